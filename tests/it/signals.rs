//! Signals that interrupt parent and child, and the signal masks of threads and children.

use std::future::Future;
use std::io::Read;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction, signal};
use offspring::{Builder, Events, Template, worker};

use crate::support::*;

extern "C" fn nothing(_: i32) {}

/// Interrupts this process every 200 µs from now on.
pub(crate) fn storm() {
    let action = SigAction::new(
        SigHandler::Handler(nothing),
        SaFlags::empty(),
        SigSet::empty(),
    );
    // SAFETY: the handler does nothing.
    unsafe { sigaction(Signal::SIGALRM, &action) }.unwrap();
    let time = libc::timeval {
        tv_sec: 0,
        tv_usec: 200,
    };
    let timer = libc::itimerval {
        it_interval: time,
        it_value: time,
    };
    // SAFETY: the pointer is to a live value, and the old timer may be null.
    let done =
        unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
    assert_eq!(done, 0);
}

worker!(STORMY: fn(String) -> String = |text: String| {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(storm);
    text
});

/// X39: parent and child are interrupted all the time.
#[test]
fn a_storm_of_signals() {
    alone(|| {
        storm();
        let _guard = guard();
        let rpc = STORMY.spawn().unwrap();
        let big = "x".repeat(1 << 20);
        thread::scope(|scope| {
            for number in 0..3 {
                let (rpc, big) = (&rpc, &big);
                scope.spawn(move || {
                    for n in 0..rounds(1000) {
                        let text = format!("{number} {n}");
                        assert_eq!(rpc.call(&text).wait().unwrap(), text);
                        if n % 100 == 0 {
                            assert!(rpc.call(big).wait().unwrap() == *big);
                        }
                    }
                });
            }
        });
        rpc.join().wait().unwrap();
        for _ in 0..5 {
            let rpc = STORMY.spawn().unwrap();
            assert_eq!(rpc.call("x").wait().unwrap(), "x");
            rpc.join().wait().unwrap();
        }
    });
}

/// X47: `SIGPIPE` has its default action here, and is not raised.
#[test]
fn sigpipe_at_its_default() {
    alone(|| {
        // SAFETY: no handler is set.
        unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }.unwrap();
        let _guard = guard();
        for n in 0..20 {
            let rpc = WORK.builder().quiet().begin();
            rpc.ready().wait().unwrap();
            kill_process(rpc.pid().unwrap());
            if n % 2 == 0 {
                until(|| !is_alive(rpc.pid().unwrap()));
            }
            for _ in 0..20 {
                assert!(rpc.call(Job::Len("x".repeat(10_000))).wait().is_err());
            }
            rpc.join().wait().unwrap();
        }
        // Writing to a pipe has no flag that suppresses `SIGPIPE`.
        let mut child = serving("work")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .begin();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let rpc = WORK.builder().descriptors(stdout, stdin).quiet().begin();
        rpc.ready().wait().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        for _ in 0..20 {
            assert!(rpc.call(Job::Len("x".repeat(10_000))).wait().is_err());
        }
        let _ = rpc.join().wait();
    });
}

worker!(SLOW_TO_GO: fn(String, String) = slow_to_go);

/// Waits for `SIGTERM`, writes a line to `note`, and exits with code 7.
fn slow_to_go(note: String, gate: String) {
    let mut term = SigSet::empty();
    term.add(Signal::SIGTERM);
    term.thread_block().unwrap();
    thread::spawn(move || {
        term.wait().unwrap();
        append(&note, "told to end");
        std::process::exit(7);
    });
    wait_here_at(gate);
}

/// X52: a child that gets `SIGTERM` has time to exit before it is killed.
#[test]
fn between_term_and_kill_there_is_time() {
    let _guard = guard();
    let (temp, gate) = Temp::with_gate();
    let rpc = SLOW_TO_GO.builder().quiet().begin();
    let call = rpc.call(temp.path("note"), gate.name());
    let _running = gate.reached();
    let join = rpc.join().within(std::time::Duration::from_millis(10));
    assert_eq!(join.wait().unwrap().code(), Some(7));
    assert!(call.wait().unwrap_err().is_child_dead());
    assert_eq!(temp.lines("note"), ["told to end"]);
}

/// X33: stdin and stdout of a command are non-blocking because another process left them so.
#[test]
fn non_blocking_streams() {
    let _guard = guard();
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let theirs = std::os::fd::OwnedFd::from(theirs);
    let mut child = serving("work")
        .stdin(theirs.try_clone().unwrap())
        .stdout(theirs)
        .stderr(Stdio::piped())
        .begin();
    let rpc = WORK.builder().socket(ours).begin();
    let big = "x".repeat(1 << 20);
    for _ in 0..3 {
        assert!(rpc.call(Job::Echo(big.clone())).wait().unwrap() == Ok(big.clone()));
    }
    rpc.join().wait().unwrap();
    let mut errors = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut errors)
        .unwrap();
    assert!(child.wait().unwrap().success(), "{errors}");
}

/// Stops this process, which must be [`alone`], and continues it after `time`.
fn pause(time: Duration, after: impl FnOnce()) {
    let go_on = format!(
        "sleep {}; kill -CONT {}",
        time.as_secs_f64(),
        std::process::id()
    );
    let mut other = Command::new("sh").args(["-c", &go_on]).begin();
    after();
    raise(Signal::SIGSTOP).unwrap();
    assert!(other.wait().unwrap().success());
}

/// X72: the time in which the process is stopped does not count against a child that has said hello, answered or exited
/// in that time.
#[test]
fn after_a_pause_no_child_is_blamed() {
    const SHORT: Duration = Duration::from_millis(500);
    // Once just over the time limit and once far over it.
    alone(|| {
        for time in [SHORT * 2, SHORT * 4] {
            let mut started = None;
            pause(time, || {
                let rpc = WORK.builder().quiet().hello_timeout(SHORT);
                started = Some(rpc.begin());
            });
            let rpc = started.unwrap();
            rpc.ready().wait().unwrap();
            let mut call = None;
            pause(time, || {
                // Making the result takes longer than the task's first poll.
                let mut long = rpc.call(Job::Make(100_000)).timeout(SHORT);
                // A task waits, so the reactor reads, and applies the deadline.
                let context = &mut Context::from_waker(Waker::noop());
                assert!(Pin::new(&mut long).poll(context).is_pending());
                call = Some(long);
            });
            assert_eq!(call.unwrap().wait().unwrap().unwrap().len(), 100_000);
            let mut join = None;
            let clone = rpc.clone();
            pause(time, || join = Some(rpc.join().within(SHORT)));
            assert!(join.unwrap().wait().unwrap().success());
            // The call fails because the handle was closed, not because the child was late.
            let error = clone.call(Job::Arguments).wait().unwrap_err();
            assert!(error.is_closed(), "{error}");
        }
    });
}

/// The threads of this process, each with its name and its signal mask.
fn masks() -> Vec<(String, u64)> {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let read = |thread: std::fs::DirEntry| {
        let status = std::fs::read_to_string(thread.path().join("status")).ok()?;
        let field = |name| {
            status
                .lines()
                .find_map(|line: &str| line.strip_prefix(name))
        };
        let mask = u64::from_str_radix(field("SigBlk:")?.trim(), 16).unwrap();
        Some((field("Name:")?.trim().to_owned(), mask))
    };
    threads.filter_map(read).collect()
}

/// All signals that can be blocked, except those that report a fault of the code.
fn all() -> u64 {
    let faults = [
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGILL,
        libc::SIGSEGV,
        libc::SIGSYS,
        libc::SIGTRAP,
    ];
    let never = [libc::SIGKILL, libc::SIGSTOP, 32, 33, 34];
    let others = faults.into_iter().chain(never);
    others.fold(u64::MAX, |all, signal| all & !(1 << (signal - 1)))
}

const USR1: u64 = 1 << (libc::SIGUSR1 - 1);
const TERM: u64 = 1 << (libc::SIGTERM - 1);

/// Blocks these signals, and no others, in this thread.
fn block(signals: &[Signal]) {
    let set: SigSet = signals.iter().copied().collect();
    set.thread_set_mask().unwrap();
}

fn own_mask() -> u64 {
    let name = std::fs::read_link("/proc/thread-self").unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", name.display())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
    u64::from_str_radix(line.unwrap().trim(), 16).unwrap()
}

type Masks = (u64, Vec<(String, u64)>);

/// Returns the masks once threads with these names exist. One of these threads writes events, and exists only if many
/// events are sent in a row.
fn tell_masks(names: Vec<String>, events: &Events<u32>) -> Masks {
    let is_there = |name: &String| masks().iter().any(|(own, _)| own == name);
    while !names.iter().all(is_there) {
        (0..100).for_each(|number| events.send(number).unwrap());
    }
    (own_mask(), masks())
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

worker!(pub(crate) MASKS: fn(Vec<String>) -> Masks = tell_masks, serialiser = Json, events = u32);
#[cfg(feature = "concurrent")]
worker!(MASKS_AT_ONCE: fn(Vec<String>) -> Masks =
    async |names: Vec<String>, events: &Events<u32>| tell_masks(names, events),
    serialiser = Json, events = u32);

/// Checks that every thread of the crate, and of crates that it uses, blocks all signals.
#[track_caller]
fn block_all(masks: &[(String, u64)]) {
    for (name, mask) in masks {
        if name.starts_with("offspring-") || name == "async-io" {
            assert_eq!(mask & all(), all(), "{name}: {mask:x}");
        }
    }
}

/// X70: signals are left to the threads of the program.
#[test]
fn threads_of_the_crate_take_no_signals() {
    let _guard = guard();
    block(&[]);
    let (seen, sees) = std::sync::mpsc::channel();
    let rpc = MASKS.builder().exit_with_parent().on_event(|_| ()).spawn();
    let rpc = rpc.unwrap();
    let wanted = names(&["offspring-paren"]);
    rpc.call(&wanted).on_done(move |outcome| {
        seen.send((masks(), outcome.unwrap())).unwrap();
    });
    let (here, (main, there)) = sees.recv().unwrap();
    for name in ["offspring-react", "offspring-callb"] {
        assert!(here.iter().any(|(own, _)| own == name), "{here:x?}");
    }
    block_all(&here);
    block_all(&there);
    assert_eq!(main, 0, "of the worker's thread");
    rpc.join().wait().unwrap();
    #[cfg(feature = "concurrent")]
    {
        let rpc = MASKS_AT_ONCE.builder().exit_with_parent().on_event(|_| ());
        let rpc = rpc.begin();
        let wanted = names(&["offspring-paren", "async-io"]);
        let (main, there) = rpc.call(wanted).wait().unwrap();
        block_all(&there);
        assert_eq!(main, 0);
        rpc.join().wait().unwrap();
    }
}

/// X69, X70: a child has the signal mask of the thread that starts it, whichever thread has started the reactor.
#[test]
fn a_child_has_the_mask_of_its_starter() {
    let _guard = guard();
    block(&[]);
    let first = MASKS.builder().on_event(|_| ()).begin();
    let started = |builder: Builder<fn(Vec<String>) -> Masks, Json, u32>| {
        let rpc = builder.on_event(|_| ()).begin();
        let (main, there) = rpc.call(names(&[])).wait().unwrap();
        block_all(&there);
        rpc.join().wait().unwrap();
        main
    };
    let as_thread = |signals: &'static [Signal]| {
        let template = Template::builder().start().unwrap();
        thread::spawn(move || {
            block(signals);
            let own = Template::builder().start().unwrap();
            let program = MASKS.program(serving("masks"));
            let capture = MASKS.builder().capture_stderr(10);
            let all = [MASKS.builder(), program, capture, MASKS.template(&own)];
            let masks = all.map(started);
            assert_eq!(own_mask(), masks[0]);
            // A child of a template has the mask of the template.
            assert_eq!(started(MASKS.template(&template)), 0);
            masks
        })
        .join()
        .unwrap()
    };
    assert_eq!(as_thread(&[]), [0; 4]);
    assert_eq!(
        as_thread(&[Signal::SIGUSR1, Signal::SIGTERM]),
        [USR1 | TERM; 4]
    );
    first.join().wait().unwrap();
}

/// X70: a child that a callback starts does not inherit the callback thread's full mask.
#[test]
fn a_child_of_a_callback() {
    let _guard = guard();
    block(&[Signal::SIGUSR1]);
    let rpc = WORK.spawn().unwrap();
    let (seen, sees) = std::sync::mpsc::channel();
    rpc.call(Job::Len("x".into())).on_done(move |_| {
        let rpc = MASKS.builder().on_event(|_| ()).begin();
        seen.send(rpc.call(names(&[])).wait().unwrap().0).unwrap();
        rpc.join().wait().unwrap();
    });
    assert_eq!(sees.recv().unwrap(), USR1);
    rpc.join().wait().unwrap();
    block(&[]);
}
