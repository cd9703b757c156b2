//! File descriptors in calls, results and events.

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use offspring::format::Error as SerialiserError;
use offspring::{Bytes, Cbor, Descriptor, Error, Events, Json, MessagePack, Postcard, worker};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use crate::support::*;

/// The job of a worker with the file descriptors of its arguments.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Task {
    /// Writes this text to all of them.
    Write(String),
    /// Returns how many came, and how many are open.
    Count,
    /// Returns them.
    Return,
    /// Creates this many; from each its number can be read.
    Make(u32),
    /// Sends them as events of the child, then as events of the call.
    Send,
    /// Limits the open files to this many.
    Limit(u64),
    /// Keeps them.
    Keep,
    Gate(String),
    Die,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    text: String,
    descriptors: Vec<Descriptor>,
}

static KEPT: Mutex<Vec<Descriptor>> = Mutex::new(Vec::new());

fn act(
    task: Task,
    descriptors: Vec<Descriptor>,
    events: &Events<(u32, Descriptor)>,
) -> Result<Answer, String> {
    let mut answer = Answer {
        text: String::new(),
        descriptors: Vec::new(),
    };
    match task {
        Task::Write(text) => {
            for descriptor in descriptors {
                let written = File::from(descriptor.into_inner()).write_all(text.as_bytes());
                written.map_err(|error| error.to_string())?;
            }
        }
        Task::Count => {
            let came = descriptors.len();
            drop(descriptors);
            answer.text = format!("{came}, {}", crate::support::descriptors().len());
        }
        Task::Return => answer.descriptors = descriptors,
        Task::Make(count) => answer.descriptors = (0..count).map(readable).collect(),
        Task::Send => {
            for (n, descriptor) in (0..).zip(descriptors) {
                let copy = descriptor.try_clone().unwrap();
                events.send((n, copy.into())).unwrap();
                events.progress((n, descriptor)).unwrap();
            }
        }
        Task::Limit(soft) => {
            let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
            setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
        }
        Task::Keep => KEPT.lock().unwrap().extend(descriptors),
        Task::Gate(gate) => wait_here_at(gate),
        Task::Die => std::process::abort(),
    }
    Ok(answer)
}

/// Returns a descriptor from which this number can be read.
fn readable(number: u32) -> Descriptor {
    let (reader, mut writer) = pipe().unwrap();
    writer.write_all(number.to_string().as_bytes()).unwrap();
    Descriptor::new(reader.into())
}

/// Reads all of these to the end.
fn texts(descriptors: Vec<Descriptor>) -> Vec<String> {
    descriptors.into_iter().map(contents).collect()
}

fn contents(descriptor: Descriptor) -> String {
    let mut text = String::new();
    File::from(descriptor.into_inner())
        .read_to_string(&mut text)
        .unwrap();
    text
}

macro_rules! workers {
    ($($name:ident $serialiser:ty;)*) => {$(
        worker!($name: fn(Task, Vec<Descriptor>) -> Result<Answer, String> = act,
            serialiser = $serialiser, events = (u32, Descriptor));
    )*};
}
workers! {
    IN_CBOR Cbor;
    IN_JSON Json;
    IN_MESSAGEPACK MessagePack;
    IN_POSTCARD Postcard;
}

#[cfg(feature = "concurrent")]
async fn act_later(
    task: Task,
    descriptors: Vec<Descriptor>,
    events: &Events<(u32, Descriptor)>,
) -> Result<Answer, String> {
    futures_lite::future::yield_now().await;
    act(task, descriptors, events)
}
#[cfg(feature = "concurrent")]
worker!(AT_ONCE: fn(Task, Vec<Descriptor>) -> Result<Answer, String> = act_later,
    serialiser = Postcard, events = (u32, Descriptor));

worker!(IN_OCTETS: fn(Descriptor<PipeWriter>, String) -> Descriptor<PipeReader>
= |writer: Descriptor<PipeWriter>, text: String| -> Descriptor<PipeReader> {
    writer.into_inner().write_all(text.as_bytes()).unwrap();
    let (reader, mut writer) = pipe().unwrap();
    writer.write_all(b"back").unwrap();
    reader.into()
});

/// Runs a block for each worker.
macro_rules! each {
    (|$worker:ident| $body:expr) => {
        each_of!(
            $worker,
            $body,
            IN_CBOR,
            IN_JSON,
            IN_MESSAGEPACK,
            IN_POSTCARD
        );
        #[cfg(feature = "concurrent")]
        each_of!($worker, $body, AT_ONCE);
    };
}

type Act = offspring::Rpc<
    fn(Task, Vec<Descriptor>) -> Result<Answer, String>,
    Postcard,
    (u32, Descriptor),
>;

fn none() -> Vec<Descriptor> {
    Vec::new()
}

/// Returns how many descriptors came, and how many the child then has open.
fn count(rpc: &Act, descriptors: Vec<Descriptor>) -> Result<(u32, u32), Error> {
    let answer = rpc.call(Task::Count, descriptors).wait()?.unwrap();
    let (came, open) = answer.text.split_once(", ").unwrap();
    Ok((came.parse().unwrap(), open.parse().unwrap()))
}

/// Returns a pipe's reader, and its writer as a `Descriptor`.
fn ends() -> (PipeReader, Descriptor) {
    let (reader, writer) = pipe().unwrap();
    (reader, Descriptor::new(writer.into()))
}

/// Reads until the last writer is closed.
fn rest(mut reader: PipeReader) -> String {
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn there_and_back_in_every_format() {
    let _guard = guard();
    each!(|worker| {
        let rpc = worker.on_event(|_| ()).begin();
        let (reader, writer) = ends();
        let (other, kept) = ends();
        let given = vec![writer, kept.try_clone().unwrap().into()];
        rpc.call(Task::Write("hello".into()), given)
            .wait()
            .unwrap()
            .unwrap();
        assert_eq!(rest(reader), "hello", "no other copy is open");
        drop(kept);
        assert_eq!(rest(other), "hello");
        let made = rpc.call(Task::Make(3), none()).wait().unwrap().unwrap();
        assert_eq!(texts(made.descriptors), ["0", "1", "2"]);
        let back = rpc.call(Task::Return, vec![readable(7)]);
        assert_eq!(texts(back.wait().unwrap().unwrap().descriptors), ["7"]);
        rpc.join().wait().unwrap();
    });
    let rpc = IN_OCTETS.spawn().unwrap();
    let (reader, writer) = pipe().unwrap();
    // By reference, then by value.
    let back = rpc.call(&writer, "one, ").wait().unwrap();
    assert_eq!(std::io::read_to_string(back.into_inner()).unwrap(), "back");
    rpc.call(writer, "two").wait().unwrap();
    assert_eq!(rest(reader), "one, two");
}

#[test]
fn events_of_both_kinds() {
    let _guard = guard();
    each!(|worker| {
        let (rpc, events) = worker.builder().spawn_with_events().unwrap();
        let mut call = rpc.call(Task::Send, (5..8).map(readable).collect::<Vec<_>>());
        let of_call: Vec<_> = call
            .events()
            .into_iter()
            .map(|event| event.unwrap())
            .map(|(n, descriptor)| (n, contents(descriptor)))
            .collect();
        call.wait().unwrap().unwrap();
        rpc.join().wait().unwrap();
        assert_eq!(of_call.len(), 3);
        // The other copy of each has nothing left to read.
        for ((n, _), event) in of_call.iter().zip(events) {
            let (number, descriptor) = event.unwrap();
            assert_eq!((number, contents(descriptor)), (*n, String::new()));
        }
        let numbers: Vec<_> = of_call.into_iter().map(|(_, text)| text).collect();
        assert_eq!(numbers, ["5", "6", "7"]);
    });
}

/// X30: more than the kernel takes with one message, in both directions.
#[test]
fn any_number() {
    alone(|| {
        let _guard = guard();
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
        let most = u32::try_from(hard / 8).unwrap_or(u32::MAX).min(1000);
        let rpc = IN_POSTCARD.spawn().unwrap();
        for number in [0, 1, 252, 253, 254, 506, 507, most] {
            let given: Vec<_> = (0..number.min(most)).map(readable).collect();
            let want = given.len();
            let back = rpc.call(Task::Return, given).wait().unwrap().unwrap();
            let all: Vec<_> = (0..want).map(|n| n.to_string()).collect();
            assert_eq!(texts(back.descriptors), all);
        }
        rpc.join().wait().unwrap();
    });
}

/// Each side keeps the descriptors that it holds, and no others.
#[test]
fn none_is_left_open() {
    let _guard = guard();
    let rpc = IN_POSTCARD.spawn().unwrap();
    let (_, open) = count(&rpc, none()).unwrap();
    let before = descriptors().len();
    for _ in 0..rounds(50) {
        assert_eq!(
            count(&rpc, (0..9).map(readable).collect()).unwrap(),
            (9, open)
        );
        drop(rpc.call(Task::Return, vec![readable(1)]).wait().unwrap());
        // A result that is dropped before it is decoded.
        rpc.call(Task::Make(3), none()).detach().unwrap();
    }
    rpc.call(Task::Keep, vec![readable(1), readable(2)])
        .wait()
        .unwrap()
        .unwrap();
    assert_eq!(count(&rpc, none()).unwrap(), (0, open + 2));
    assert_eq!(descriptors().len(), before);
}

/// A cancelled call closes its descriptors, in every stage.
#[test]
fn cancelled_calls_close_theirs() {
    let _guard = guard();
    let gate = Gate::new();
    let rpc = IN_POSTCARD.builder().max_outstanding(2, 1 << 20).begin();
    let (_, open) = count(&rpc, none()).unwrap();
    let first = rpc.call(Task::Gate(gate.name()), none());
    let _open = gate.reached();
    let (sent, writer) = ends();
    let sent_call = rpc.call(Task::Count, vec![writer]);
    let (queued, writer) = ends();
    let queued_call = rpc.call(Task::Count, vec![writer]);
    drop(queued_call);
    assert_eq!(rest(queued), "");
    drop(sent_call);
    drop(_open);
    first.wait().unwrap().unwrap();
    assert_eq!(rest(sent), "", "the child read it, and closed it");
    assert_eq!(count(&rpc, none()).unwrap(), (0, open));
}

/// The child is killed while descriptors are in flight to it: none stays open.
#[test]
fn a_child_dies_with_descriptors_in_flight() {
    let _guard = guard();
    for number in [1, 300] {
        let gate = Gate::new();
        let rpc = IN_POSTCARD.builder().quiet().begin();
        let first = rpc.call(Task::Gate(gate.name()), none());
        let _open = gate.reached();
        let (readers, writers): (Vec<_>, Vec<_>) = (0..number).map(|_| ends()).unzip();
        let call = rpc.call(Task::Count, writers);
        rpc.kill();
        assert!(first.wait().unwrap_err().is_child_dead());
        assert!(call.wait().unwrap_err().is_child_dead());
        for reader in readers {
            assert_eq!(rest(reader), "");
        }
        rpc.join().wait().unwrap();
    }
    // While a result is in flight.
    let rpc = IN_POSTCARD.builder().quiet().begin();
    let made = rpc.call(Task::Make(2), none());
    let died = rpc.call(Task::Die, vec![readable(1)]);
    assert!(died.wait().unwrap_err().is_child_dead());
    // The result was finished before, so it is not lost.
    let made = made.wait().unwrap().unwrap();
    assert_eq!(texts(made.descriptors), ["0", "1"]);
}

/// M4: over a link that carries no descriptors, a call with some fails, and no other.
#[test]
fn a_link_that_carries_none() {
    let _guard = guard();
    let text = |error: &Error| error.to_string();
    let over_pipes = {
        let mut shell = std::process::Command::new("sh");
        let own = std::env::current_exe().unwrap();
        shell
            .args(["-c", "cat | \"$0\" --serve fds | cat"])
            .arg(own);
        FDS.command(shell)
    };
    let directly = FDS.command(serving("fds"));
    let by_tcp = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let theirs = listener.accept().unwrap().0;
        let input: std::os::fd::OwnedFd = theirs.try_clone().unwrap().into();
        let output: std::os::fd::OwnedFd = theirs.into();
        let child = serving("fds").stdin(input).stdout(output).begin();
        (FDS.builder().socket(ours), child)
    };
    let (socket, mut child) = by_tcp;
    for builder in [over_pipes, directly, socket] {
        let rpc = builder.begin();
        let (reader, writer) = ends();
        let error = rpc.call(Task::Count, vec![writer]).wait().unwrap_err();
        assert!(error.is_encode(), "{error}");
        crate::messages::says(
            &error,
            "fds",
            rpc.pid(),
            "CHILD: the arguments could not be encoded: postcard: descriptors cannot be sent here: the link carries none (that of a `program` does, unless it is `plain`)",
        );
        assert_eq!(rest(reader), "");
        let error = rpc.call(Task::Make(1), none()).wait().unwrap_err();
        assert!(
            error.is_encode() && text(&error).contains("descriptor"),
            "{error}"
        );
        let answer = rpc.call(Task::Count, none()).wait().unwrap().unwrap();
        assert!(answer.text.starts_with("0, "));
        rpc.join().wait().unwrap();
    }
    assert!(child.wait().unwrap().success());
}
worker!(pub(crate) FDS: fn(Task, Vec<Descriptor>) -> Result<Answer, String> = act,
    serialiser = Postcard, events = (u32, Descriptor), name = "fds");

/// A pool sends them, also with a repeated call, and keeps none. A pool with a link that carries none refuses them.
#[test]
fn through_a_pool() {
    let _guard = guard();
    let pool = FDS.pool().max(2).quiet().begin();
    let (mut reader, writer) = pipe().unwrap();
    for _ in 0..10 {
        let writer = OwnedFd::from(writer.try_clone().unwrap());
        let call = pool.call(Task::Write("so ".into()), vec![writer.into()]);
        call.wait().unwrap().unwrap();
    }
    let call = pool.call(Task::Die, vec![OwnedFd::from(writer).into()]);
    assert!(call.repeat(2).wait().unwrap_err().is_child_dead());
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "so ".repeat(10));
    pool.join().wait().unwrap();

    let pool = FDS.pool().also(1, FDS.command(serving("fds"))).begin();
    let (_reader, writer) = pipe().unwrap();
    let call = pool.call(Task::Count, vec![OwnedFd::from(writer).into()]);
    assert!(call.wait().unwrap_err().is_encode());
}

/// A pool closes its copies for a repetition when the call has ended, also while the handle exists.
#[test]
fn a_pool_keeps_nothing_of_calls_that_have_ended() {
    let _guard = guard();
    let pool = FDS.pool().max(1).idle(1).load(50).quiet();
    let pool = pool.backoff(Duration::ZERO, Duration::ZERO).begin();
    until(|| pool.status().idle == 1);
    let (_reader, writer) = pipe().unwrap();
    let own = std::fs::read_link(format!("/proc/self/fd/{}", writer.as_raw_fd())).unwrap();
    let own = own.to_str().unwrap();
    let open = || {
        descriptors()
            .values()
            .filter(|target| *target == own)
            .count()
    };
    // Both ends have the same name.
    assert_eq!(open(), 2);
    let lent = || vec![Descriptor::from(OwnedFd::from(writer.try_clone().unwrap()))];
    let answered: Vec<_> = (0..20).map(|_| pool.call(Task::Count, lent())).collect();
    until(|| pool.status().answered == 20);
    until(|| open() == 2);
    // One crashes its child and others move to the next, one is cancelled.
    let dead = pool.call(Task::Die, lent());
    let moved: Vec<_> = (0..5).map(|_| pool.call(Task::Count, lent())).collect();
    drop(pool.call(Task::Count, lent()));
    until(|| pool.status().died == 1 && pool.status().idle == 1);
    let again = dead.repeat(1);
    until(|| pool.status().died == 2 && pool.status().idle == 1);
    // `repeat` could still be called.
    until(|| open() <= 3);
    assert!(again.wait().unwrap_err().is_child_dead());
    until(|| open() == 2);
    for call in answered.into_iter().chain(moved) {
        call.wait().unwrap().unwrap();
    }
}

/// A socket to a child that other code started carries them.
#[test]
fn a_ready_socket_carries_them() {
    let _guard = guard();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let input: std::os::fd::OwnedFd = theirs.try_clone().unwrap().into();
    let output: std::os::fd::OwnedFd = theirs.into();
    let mut child = serving("fds").stdin(input).stdout(output).begin();
    let rpc = FDS.builder().socket(ours).begin();
    let back = rpc.call(Task::Return, vec![readable(5)]);
    assert_eq!(texts(back.wait().unwrap().unwrap().descriptors), ["5"]);
    rpc.join().wait().unwrap();
    assert!(child.wait().unwrap().success());
    let rpc = FDS.program(serving("fds")).begin();
    let back = rpc.call(Task::Return, vec![readable(6)]);
    assert_eq!(texts(back.wait().unwrap().unwrap().descriptors), ["6"]);
}

/// X32: the child cannot open more: that call fails, and the next does not.
#[test]
fn the_child_has_too_many_open() {
    let _guard = guard();
    for number in [20, 300] {
        let rpc = IN_POSTCARD.spawn().unwrap();
        let (_, open) = count(&rpc, none()).unwrap();
        rpc.call(Task::Limit(u64::from(open) + 10), none())
            .wait()
            .unwrap()
            .unwrap();
        let error = count(&rpc, (0..number).map(readable).collect()).unwrap_err();
        assert_error!(error, is_decode, "too many open files");
        assert_eq!(count(&rpc, vec![readable(1)]).unwrap(), (1, open));
        rpc.join().wait().unwrap();
    }
}

/// X32: the parent cannot open more: a result with descriptors is an error of its call, and so is an argument that cannot
/// be duplicated.
#[test]
fn the_parent_has_too_many_open() {
    alone(|| {
        let _guard = guard();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let rpc = IN_POSTCARD.spawn().unwrap();
        count(&rpc, none()).unwrap();
        let given: Vec<_> = (0..100).map(readable).collect();
        let highest = *descriptors().keys().max().unwrap();
        let mut filling = vec![File::open("/dev/null").unwrap()];
        while filling.last().unwrap().as_raw_fd() < highest as i32 {
            filling.push(File::open("/dev/null").unwrap());
        }
        setrlimit(Resource::RLIMIT_NOFILE, u64::from(highest) + 10, hard).unwrap();
        let error = rpc.call(Task::Make(200), none()).wait().unwrap_err();
        assert!(error.is_decode());
        crate::messages::says(
            &error,
            "it::descriptors::IN_POSTCARD",
            rpc.pid(),
            "CHILD: the result could not be decoded: its descriptors were lost: the receiver has too many open files (`RLIMIT_NOFILE` limits them)",
        );
        assert_error!(count(&rpc, given).unwrap_err(), is_encode, "open files");
        let made = rpc.call(Task::Make(2), none()).wait().unwrap().unwrap();
        assert_eq!(made.descriptors.len(), 2);
        drop((made, filling));
        setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
        rpc.join().wait().unwrap();
    });
}

/// The kernel limits the descriptors in flight per user: the call that exceeds the limit fails, and no other.
#[test]
fn too_many_on_their_way() {
    alone(|| {
        let _guard = guard();
        let gate = Gate::new();
        let rpc = IN_POSTCARD.spawn().unwrap();
        let first = rpc.call(Task::Gate(gate.name()), none());
        let open = gate.reached();
        let open_here = u64::from(*descriptors().keys().max().unwrap());
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let soft = open_here + 150;
        setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
        let many = |count: u32| {
            let (reader, writer) = ends();
            drop(reader);
            (0..count)
                .map(|_| writer.try_clone().unwrap().into())
                .collect::<Vec<_>>()
        };
        as_nobody(true);
        let mut calls = Vec::new();
        for _ in 0..30 {
            let mut call = rpc.call(Task::Count, many(30));
            // A thread that waits writes.
            assert!(call.wait_timeout(Duration::ZERO).unwrap_err().is_timeout());
            calls.push(call);
        }
        let plain = rpc.call(Task::Count, none());
        as_nobody(false);
        drop(open);
        first.wait().unwrap().unwrap();
        let mut refused = 0;
        for call in calls {
            match call.wait() {
                Ok(answer) => assert!(answer.unwrap().text.starts_with("30, ")),
                Err(error) => {
                    assert_error!(error, is_decode, "on their way");
                    refused += 1;
                }
            }
        }
        assert!((1..30).contains(&refused), "{refused} of 30");
        assert!(plain.wait().unwrap().unwrap().text.starts_with("0, "));
        assert_eq!(count(&rpc, many(3)).unwrap().0, 3);
        rpc.join().wait().unwrap();
    });
}

/// The limit does not apply to root, so root becomes another user for a while.
fn as_nobody(on: bool) {
    let real = nix::unistd::getuid();
    if real.is_root() {
        let effective = if on { 65534.into() } else { real };
        nix::unistd::seteuid(effective).unwrap();
    }
}

/// F5: descriptors of the start reach `init`.
#[test]
fn given_at_the_start() {
    let _guard = guard();
    let (reader, writer) = pipe().unwrap();
    let rpc = LOG.init(&writer, "log: ").begin();
    drop(writer);
    rpc.call("one").wait().unwrap();
    rpc.call(" two").wait().unwrap();
    rpc.join().wait().unwrap();
    assert_eq!(rest(reader), "log: one two");
    // Over a command they are an error, at once.
    let (_reader, writer) = pipe().unwrap();
    let error = LOG
        .init(writer, "")
        .command(serving("work"))
        .spawn()
        .unwrap_err();
    assert_error!(error, is_start, "descriptors");
    let writers = (0..252).map(|_| ends().1).collect::<Vec<_>>();
    assert_error!(MANY.init(writers).spawn().unwrap_err(), is_start, "251");
    let rpc = MANY
        .init((0..251).map(|_| ends().1).collect::<Vec<_>>())
        .begin();
    assert_eq!(rpc.call().wait().unwrap(), 251);
}
worker!(LOG: fn(String) = |log: &mut PipeWriter, text: String| log.write_all(text.as_bytes()).unwrap(),
init(Descriptor<PipeWriter>, String) = |log: Descriptor<PipeWriter>, first: String| {
    let mut log = log.into_inner();
    log.write_all(first.as_bytes())?;
    Ok::<_, std::io::Error>(log)
});
worker!(MANY: fn() -> usize = |all: &mut Vec<Descriptor>| all.len(),
    init(Vec<Descriptor>) = |all: Vec<Descriptor>| Ok::<_, SerialiserError>(all), serialiser = Postcard);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(rounds(12)))]

    /// Calls with and without descriptors, and with many bytes, all sent before the first answer: each gets its own.
    #[test]
    fn in_between(script in prop::collection::vec((0..4u32, prop_oneof![4 => 0..100usize, 1 => 50_000..200_000usize]), 1..60)) {
        let _guard = guard();
        let rpc = ECHO.builder().max_outstanding(20, 1 << 20).begin();
        let mut calls = Vec::new();
        for (n, (count, size)) in (0..).zip(&script) {
            let descriptors: Vec<_> = (0..*count).map(|k| readable(n * 10 + k)).collect();
            calls.push(rpc.call(descriptors, Bytes::from(vec![n as u8; *size])));
        }
        for (call, (n, (count, size))) in calls.into_iter().zip((0u32..).zip(&script)) {
            let (descriptors, bytes) = call.wait().unwrap();
            let want: Vec<_> = (0..*count).map(|k| (n * 10 + k).to_string()).collect();
            assert_eq!(texts(descriptors), want);
            assert!(bytes[..] == vec![n as u8; *size]);
        }
        rpc.join().wait().unwrap();
    }
}
worker!(ECHO: fn(Vec<Descriptor>, Bytes) -> (Vec<Descriptor>, Bytes)
    = |descriptors: Vec<Descriptor>, bytes: Bytes| (descriptors, bytes), serialiser = Postcard);

/// The descriptors of a result that cannot be sent are closed at once: the child holds none while it sleeps, and the next
/// result has its own only.
#[test]
fn a_result_that_is_too_long_keeps_none() {
    let _guard = guard();
    let rpc = SWELL.builder().max_message(10_000).begin();
    let (reader, writer) = ends();
    let error = rpc.call(writer, 20_000).wait().unwrap_err();
    assert!(error.is_too_long(), "{error}");
    assert_eq!(rest(reader), "");
    let (descriptor, bytes) = rpc.call(readable(7), 3).wait().unwrap();
    assert_eq!((contents(descriptor), bytes.len()), ("7".into(), 3));
}
worker!(SWELL: fn(Descriptor, u32) -> (Descriptor, Bytes)
    = |descriptor: Descriptor, size: u32| (descriptor, vec![0; size as usize].into()), serialiser = Postcard);

/// The requests that a child reads ahead while no more calls may run do not fill its table of descriptors.
#[cfg(feature = "concurrent")]
#[test]
fn more_calls_than_the_child_can_open() {
    let _guard = guard();
    let temp = Temp::new();
    let gate = temp.path("gate");
    let rpc = FEW.spawn().unwrap();
    let waiting: Vec<_> = (0..2)
        .map(|n| rpc.call(File::from(readable(n).into_inner()), &gate))
        .collect();
    let calls: Vec<_> = (2..500)
        .map(|n| rpc.call(File::from(readable(n).into_inner()), ""))
        .collect();
    // It has read some requests ahead, and sleeps.
    let pid = rpc.pid().unwrap();
    let open = || {
        std::fs::read_dir(format!("/proc/{pid}/fd"))
            .unwrap()
            .count()
    };
    until(|| open() > 50 && stat(pid).is_some_and(|(state, _)| state == 'S'));
    append(&gate, "open");
    for (n, call) in (0..).zip(waiting.into_iter().chain(calls)) {
        assert_eq!(call.wait().unwrap(), n.to_string());
    }
}
#[cfg(feature = "concurrent")]
worker!(FEW: fn(Descriptor<File>, String) -> String = async |file: Descriptor<File>, gate: String| {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, 400, hard).unwrap();
        while !gate.is_empty() && !std::path::Path::new(&gate).exists() {
            smol::Timer::after(Duration::from_millis(1)).await;
        }
        let mut text = String::new();
        file.into_inner().read_to_string(&mut text).unwrap();
        text
    }, max_running = 2, serialiser = Postcard);

/// X84: waiting results keep no more descriptors than `max_descriptors`; calls beyond that fail, and the child lives.
#[test]
fn results_that_wait_keep_few_descriptors() {
    let _guard = guard();
    let rpc = IN_POSTCARD.builder().max_descriptors(5).begin();
    let before = descriptors().len();
    let calls: Vec<_> = (0..10).map(|_| rpc.call(Task::Make(2), none())).collect();
    // All have arrived with the answer of the last call.
    assert_eq!(
        rpc.call(Task::Make(0), none())
            .wait()
            .unwrap()
            .unwrap()
            .descriptors
            .len(),
        0
    );
    assert!(descriptors().len() <= before + 5);
    for (n, call) in calls.into_iter().enumerate() {
        match call.wait() {
            Ok(answer) => assert!(n < 2 && answer.unwrap().descriptors.len() == 2),
            Err(error) => {
                assert!(n >= 2 && error.is_decode(), "{n}: {error}");
                assert!(error.to_string().contains("`max_descriptors`"), "{error}");
            }
        }
    }
    let answer = rpc.call(Task::Make(5), none()).wait().unwrap().unwrap();
    assert_eq!(answer.descriptors.len(), 5);
    drop(answer);
    assert_eq!(descriptors().len(), before);
}

/// X84: more descriptors than one message may have are an error of that message, on either side.
#[test]
fn too_many_descriptors_fail_one_call() {
    let _guard = guard();
    type Act = fn(Task, Vec<Descriptor>) -> Result<Answer, String>;
    let check = |rpc: offspring::Rpc<Act, Postcard, (u32, Descriptor)>| {
        let given = |number: u32| (0..number).map(readable).collect::<Vec<_>>();
        let results: [Result<Result<Answer, String>, Error>; 4] = [
            rpc.call(Task::Count, given(4)).wait(),
            rpc.call(Task::Make(4), none()).wait(),
            rpc.call(Task::Count, given(300)).wait(),
            rpc.call(Task::Make(300), none()).wait(),
        ];
        for result in results {
            assert_error!(result.unwrap_err(), is_too_long, "the limit is 3");
        }
        let back = rpc.call(Task::Return, given(3)).wait().unwrap().unwrap();
        assert_eq!(back.descriptors.len(), 3);
        drop(back);
        rpc.join().wait().unwrap();
    };
    check(IN_POSTCARD.builder().max_descriptors(3).begin());
    #[cfg(feature = "concurrent")]
    check(AT_ONCE.builder().max_descriptors(3).begin());
}

/// X84: events with descriptors that no thread takes block the child.
#[test]
fn events_that_wait_keep_few_descriptors() {
    let _guard = guard();
    let (rpc, events) = IN_POSTCARD
        .builder()
        .max_descriptors(10)
        .spawn_with_events()
        .unwrap();
    let before = descriptors().len();
    let calls: Vec<_> = (0..20)
        .map(|_| rpc.call(Task::Send, (0..10).map(readable).collect::<Vec<_>>()))
        .collect();
    let mut count = 0;
    for event in events {
        drop(event.unwrap());
        count += 1;
        // Descriptors of the calls may be open, too, and of a few events that came together.
        assert!(descriptors().len() < before + 200 + 60);
        if count == 200 {
            break;
        }
    }
    for call in calls {
        call.wait().unwrap().unwrap();
    }
}
