//! Starting a child in every way, and starts that fail.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures_lite::future::{block_on, poll_once};
use offspring::{
    Builder, Error, Events, Octets, Preload, Started, Template, Worker, preload, worker,
};

use crate::support::*;

mod peers {
    use super::*;

    pub(crate) mod other_format {
        use super::*;
        worker!(pub(crate) TEXTS: fn(String) -> String = |text: String| text, name = "it::peer", serialiser = Json);
    }
    worker!(pub(crate) OTHER: fn(String) -> String = |text: String| text, name = "it::other");
}
use peers::{OTHER, other_format};

/// Runs in a process that was started as another program.
pub(crate) fn serve_if_asked() {
    crate::support::serve_if_asked(|worker| match worker {
        "json" => other_format::TEXTS.serve(),
        "other" => OTHER.serve(),
        "bodiless" => bodiless::TEXTS.serve(),
        words if words.starts_with("it::words") || ["plain", "array"].contains(&words) => {
            crate::services::serve(words)
        }
        "panics" => crate::death::TEXT_PANICS.serve(),
        "numbers" => crate::callbacks::serve_numbers(),
        "state" => STATEFUL.serve(),
        "masks" => crate::signals::MASKS.serve(),
        "like" => crate::inheritance::LIKE.serve(),
        "close" => crate::prefixed::close_and_run(),
        "confined" => crate::confined::serve(),
        #[cfg(feature = "concurrent")]
        "many" => crate::concurrent::serve(),
        #[cfg(feature = "concurrent")]
        "nap" => crate::everywhere::NAP.serve(),
        #[cfg(all(
            feature = "cbor",
            feature = "json",
            feature = "messagepack",
            feature = "postcard"
        ))]
        other => match other {
            "closed" => crate::closed::serve(),
            "fds" => crate::descriptors::FDS.serve(),
            memory => crate::memory::serve(memory),
        },
        #[cfg(not(all(
            feature = "cbor",
            feature = "json",
            feature = "messagepack",
            feature = "postcard"
        )))]
        other => panic!("no worker {other}"),
    })
}

#[test]
fn the_plain_form_is_not_for_the_own_program() {
    let _guard = guard();
    let error = WORK.builder().plain().spawn().unwrap_err();
    assert_error!(error, is_start, "plain form");
}

#[test]
fn the_program_itself() {
    let _guard = guard();
    let rpc = WORK.spawn().unwrap();
    echoes(&rpc, "so");
    assert_ne!(rpc.pid(), Some(std::process::id()));
    assert!(rpc.join().wait().unwrap().success());
}

#[test]
fn another_program() {
    let _guard = guard();
    let rpc = WORK.program(serving("work")).begin();
    echoes(&rpc, "so");
    let arguments = rpc.call(Job::Arguments).wait().unwrap().unwrap();
    assert!(arguments.ends_with("--serve work"), "{arguments}");
    assert!(rpc.join().wait().unwrap().success());
}

#[test]
fn a_command_over_stdin_and_stdout() {
    let _guard = guard();
    let mut shell = Command::new("sh");
    let own = std::env::current_exe().unwrap();
    shell
        .args(["-c", "cat | \"$0\" --serve work | cat"])
        .arg(own);
    let rpc = WORK.command(shell).begin();
    echoes(&rpc, "far");
    // What the worker prints does not go to the link.
    rpc.call(Job::Print("hello".into()))
        .wait()
        .unwrap()
        .unwrap();
    assert_eq!(rpc.call(Job::ReadStdin).wait().unwrap(), Ok(String::new()));
    echoes(&rpc, "still");
    assert!(rpc.join().wait().unwrap().success());
}

#[test]
fn a_ready_socket() {
    let _guard = guard();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut child = serving("work")
        .stdin(std::os::fd::OwnedFd::from(theirs.try_clone().unwrap()))
        .stdout(std::os::fd::OwnedFd::from(theirs))
        .begin();
    let rpc = WORK.builder().socket(ours).begin();
    assert_eq!(rpc.pid(), None);
    echoes(&rpc, "so");
    rpc.join().wait().unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_ready_pair_of_pipes() {
    let _guard = guard();
    let mut child = serving("work")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .begin();
    let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let rpc = WORK.builder().descriptors(stdout, stdin).begin();
    let big = "y".repeat(1 << 20);
    assert_eq!(rpc.call(echo(&big)).wait().unwrap(), Ok(big));
    rpc.join().wait().unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn environment_and_directory() {
    let _guard = guard();
    let temp = Temp::new();
    let directory = std::fs::canonicalize(temp.path(".")).unwrap();
    let rpc = WORK.builder().env("OFFSPRING_IT", "7").env("GONE", "1");
    let rpc = rpc.env_remove("GONE").current_dir(&directory).begin();
    let env = |name: &str| rpc.call(Job::Env(name.into())).wait().unwrap();
    assert_eq!(env("OFFSPRING_IT"), Ok("7".into()));
    assert!(env("GONE").is_err());
    assert!(env("PATH").is_ok());
    assert_eq!(
        rpc.call(Job::Dir).wait().unwrap(),
        Ok(directory.display().to_string())
    );
    rpc.join().wait().unwrap();

    let rpc = WORK.builder().env_clear().env("ONLY", "x").begin();
    assert!(rpc.call(Job::Env("PATH".into())).wait().unwrap().is_err());
    assert_eq!(
        rpc.call(Job::Env("ONLY".into())).wait().unwrap(),
        Ok("x".into())
    );
}

/// G8: printing and reading do not disturb the link.
#[test]
fn printing_and_reading_harm_nothing() {
    let _guard = guard();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let rpc = WORK.builder().stdout(std::os::fd::OwnedFd::from(theirs));
    let rpc = rpc.begin();
    for n in 0..20 {
        let print = rpc.call(Job::Print(format!("line {n}")));
        let read = rpc.call(Job::ReadStdin);
        print.wait().unwrap().unwrap();
        assert_eq!(read.wait().unwrap(), Ok(String::new()));
    }
    rpc.join().wait().unwrap();
    let mut printed = String::new();
    ours.read_to_string(&mut printed).unwrap();
    assert_eq!(printed.lines().count(), 20);
}

#[test]
fn stdin_is_the_users() {
    let _guard = guard();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.write_all(b"for the worker").unwrap();
    drop(ours);
    let rpc = WORK.builder().stdin(theirs).begin();
    assert_eq!(
        rpc.call(Job::ReadStdin).wait().unwrap(),
        Ok("for the worker".into())
    );
}

#[test]
fn names_are_seen_from_outside() {
    let _guard = guard();
    let rpc = WORK.spawn().unwrap();
    rpc.ready().wait().unwrap();
    let line = std::fs::read_to_string(format!("/proc/{}/cmdline", rpc.pid().unwrap())).unwrap();
    let name = line.split('\0').next().unwrap();
    assert!(
        name.ends_with(&format!("::WORK of {}", std::process::id())),
        "{name}"
    );
    assert_eq!(rpc.call(Job::ThreadName).wait().unwrap(), Ok("WORK".into()));
}

/// Checks the error of a child whose handshake failed.
#[track_caller]
fn is_wrong(error: &Error, words: &[&str]) {
    let text = error.to_string();
    assert!(error.is_handshake(), "{text}");
    assert!(!error.is_child_dead() && !error.is_start(), "{text}");
    assert_ne!(error.started(), Started::Yes);
    for word in words {
        assert!(text.contains(word), "no {word:?} in: {text}");
    }
}

/// Returns the error of a first call, which must fail quickly.
#[track_caller]
fn fails(builder: Builder<fn(String) -> String, Octets>) -> Error {
    quickly(|| builder.begin().call("x").wait().unwrap_err())
}

/// X11: a program that exits at once, one that echoes, and one that is silent.
#[test]
fn wrong_programs() {
    let _guard = guard();
    let texts = |program: &str| TEXTS.program(Command::new(program));
    let words = ["hello", "`WORKER.serve()`", "exited with code 0"];
    is_wrong(&fails(texts("true")), &words);
    is_wrong(&fails(texts("false")), &["exited with code 1"]);
    // With `program` the link is not stdin and stdout. As a command, `cat` sends back what it gets.
    is_wrong(&fails(TEXTS.command(Command::new("cat"))), &["cat"]);

    let rpc = TEXTS.program(serving("silence"));
    let rpc = rpc.hello_timeout(Duration::from_millis(50)).begin();
    let (one, two) = (rpc.call("x"), rpc.call("y"));
    let error = quickly(|| one.wait().unwrap_err());
    is_wrong(&error, &["no hello", "50ms", "`WORKER.serve()`"]);
    assert_eq!(error.started(), Started::No);
    is_wrong(&two.wait().unwrap_err(), &["no hello"]);
    let error = rpc.call("z").wait().unwrap_err();
    is_wrong(&error, &["no hello"]);
    assert_eq!(error.started(), Started::No);
    is_wrong(&rpc.ready().wait().unwrap_err(), &["no hello"]);
    is_wrong(&rpc.join().wait().unwrap_err(), &["no hello"]);
}

/// X19: the error names the program, and comes long before `hello_timeout`.
#[test]
fn a_program_that_is_not_there() {
    let _guard = guard();
    let start = Instant::now();
    let error = TEXTS
        .program(Command::new("/no/such/program"))
        .hello_timeout(Duration::from_secs(3600))
        .spawn()
        .unwrap_err();
    assert!(start.elapsed() < soon());
    assert_error!(error, is_start, "/no/such/program", "No such file");
    let error = WORK
        .builder()
        .current_dir("/no/such/place")
        .spawn()
        .unwrap_err();
    assert!(error.is_start(), "{error}");
}

#[test]
fn a_worker_of_another_name_or_format() {
    let _guard = guard();
    let error = fails(TEXTS.program(serving("other")));
    is_wrong(&error, &["worker", "it::other", "it::peer"]);
    let words = [
        "serialiser",
        "test-json",
        <Octets as offspring::format::Format>::NAME,
    ];
    is_wrong(&fails(TEXTS.program(serving("json"))), &words);
}

type Namesake = Worker<fn(String) -> String>;

mod bodiless {
    use super::*;
    worker!(pub(crate) TEXTS: fn(String) -> String, name = "it::peer");
    worker!(pub(crate) OTHER: fn(..Vec<String>) -> String, name = "it::peer", events = String, init(String, String));
}

/// A worker without a function can be called in a program that has it. Every other start is an error that says so.
#[test]
fn a_worker_that_only_another_program_has() {
    let _guard = guard();
    let rpc = bodiless::TEXTS.program(serving("texts")).begin();
    assert_eq!(rpc.call("so").wait().unwrap(), "so");
    let pool = bodiless::TEXTS.command(serving("texts")).pool().begin();
    assert_eq!(pool.call("so").wait().unwrap(), "so");
    let template = Template::builder().start().unwrap();
    for error in [
        bodiless::TEXTS.spawn().unwrap_err(),
        bodiless::TEXTS.template(&template).spawn().unwrap_err(),
        bodiless::TEXTS.pool().spawn().unwrap_err(),
        bodiless::OTHER.init("a", "b").spawn().unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(error.is_start(), "{text}");
        for word in ["`it::peer`", "without a function", "`program`"] {
            assert!(text.contains(word), "no {word:?} in: {text}");
        }
    }
    let rpc = bodiless::TEXTS.program(serving("bodiless")).begin();
    is_wrong(
        &rpc.call("so").wait().unwrap_err(),
        &["`it::peer`", "without a function"],
    );
    let rpc = bodiless::TEXTS.program(serving("other")).begin();
    is_wrong(
        &rpc.call("so").wait().unwrap_err(),
        &["`it::other`", "`it::peer`"],
    );
}

fn one_place() -> (&'static Namesake, &'static Preload<String>) {
    worker!(SAME: fn(String) -> String = |text: String| {
        text + " one" + LOADED.get().map_or("", String::as_str)
    });
    preload!(LOADED() -> String = || Ok::<_, String>(" loaded".to_owned()));
    (&SAME, &LOADED)
}

fn another_place() -> (&'static Namesake, &'static Preload<String>) {
    worker!(SAME: fn(String) -> String = |text: String| {
        text + " another" + LOADED.get().map_or("", String::as_str)
    });
    preload!(LOADED() -> String = || Ok::<_, String>(" loaded too".to_owned()));
    (&SAME, &LOADED)
}

macro_rules! places {
    ($($place:ident = $says:literal),*) => {$(
        fn $place() -> (&'static Namesake, &'static Preload<String>) {
            worker!(SAME: fn(String) -> String = |text: String| {
                text + $says + LOADED.get().map_or("", String::as_str)
            });
            preload!(LOADED() -> String = || Ok::<_, String>(concat!(" loaded", $says).to_owned()));
            (&SAME, &LOADED)
        }
    )*};
}
places!(of_a_macro = " third", of_the_same_macro = " fourth");

/// X75: all four workers are called `it::start::SAME`, and two of them are declared at the same place of the source.
#[test]
fn workers_of_one_name() {
    let _guard = guard();
    for (namesake, says, loads) in [
        (one_place(), "x one", " loaded"),
        (another_place(), "x another", " loaded too"),
        (of_a_macro(), "x third", " loaded third"),
        (of_the_same_macro(), "x fourth", " loaded fourth"),
    ] {
        let (worker, preload) = namesake;
        let rpc = worker.spawn().unwrap();
        assert_eq!(rpc.call("x").wait().unwrap(), says);
        rpc.join().wait().unwrap();
        let template = Template::builder().preload(preload).start().unwrap();
        let rpc = worker.template(&template).begin();
        assert_eq!(rpc.call("x").wait().unwrap(), format!("{says}{loads}"));
        rpc.join().wait().unwrap();
        let pool = worker.pool().max(1).begin();
        assert_eq!(pool.call("x").wait().unwrap(), says);
        pool.join().wait().unwrap();
    }
    // Both workers are called `it::peer`.
    let rpc = TEXTS.spawn().unwrap();
    assert_eq!(rpc.call("x").wait().unwrap(), "x");
    rpc.join().wait().unwrap();
    let rpc = other_format::TEXTS.spawn().unwrap();
    assert_eq!(rpc.call("x").wait().unwrap(), "x");
}

/// Returns the error of a call to a peer that sends `says` and nothing else.
fn peer(says: &[u8]) -> Error {
    peer_over(true, says)
}

fn peer_over(rings: bool, says: &[u8]) -> Error {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let rpc = TEXTS.builder().socket(ours).rings(rings).begin();
    theirs.write_all(says).unwrap();
    let error = quickly(|| rpc.call("x").wait().unwrap_err());
    assert!(rpc.join().wait().is_err());
    error
}

#[test]
fn wrong_hellos() {
    let _guard = guard();
    is_wrong(&peer(&hello(b'C', 2, &[])), &["version 2", "1"]);
    is_wrong(&peer(&hello(b'P', 1, &[])), &["cat"]);
    let refused = peer(&hello(b'C', 1, &["error", "out of order"]));
    is_wrong(&refused, &["out of order"]);
    assert_eq!(refused.started(), Started::No);
    is_wrong(
        &peer(&hello(b'C', 1, &["worker", "else"])),
        &["else", "it::peer"],
    );
    is_wrong(
        &peer(b"Welcome to this host!\n"),
        &["Welcome to this host!"],
    );
    is_wrong(&peer(&[0; 16]), &["instead of a hello"]);
    is_wrong(&peer(&hello(b'X', 1, &[])), &["role"]);
}

/// A hello that does not arrive: whether a call started is unknown, unless the parent is connected to the child
/// directly, or the child says that it will run no call.
#[test]
fn a_hello_that_is_lost_on_its_way() {
    let _guard = guard();
    let temp = Temp::new();
    let through = |worker: &str, rest: &str| {
        let worker = serving(worker);
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("\"$@\" {rest}"), "sh"]);
        shell.arg(worker.get_program()).args(worker.get_args());
        shell.stderr(Stdio::null());
        let rpc = WORK.command(shell).quiet().begin();
        let calls = ["one", "two"].map(|line| rpc.call(Job::Append(temp.path("ran"), line.into())));
        drop(rpc);
        calls.map(|call| quickly(|| call.wait().unwrap_err()))
    };
    for error in through("work", "> /dev/null") {
        is_wrong(&error, &["without a hello"]);
        assert_eq!(error.started(), Started::Unknown, "{error}");
    }
    assert_eq!(temp.lines("ran"), ["one", "two"], "both calls ran");
    // Other bytes precede hello.
    for error in through("work", "| sed '1s/^/Welcome!/'") {
        is_wrong(&error, &["Welcome!"]);
        assert_eq!(error.started(), Started::Unknown, "{error}");
    }
    // The program serves another worker, so it refuses all calls.
    for error in through("texts", "") {
        assert_eq!(error.started(), Started::No, "{error}");
    }
    for rings in [false, true] {
        // With rings no call is sent before hello has arrived.
        let started = if rings { Started::No } else { Started::Unknown };
        assert_eq!(peer_over(rings, b"Welcome!").started(), started);
    }
}

/// X45: a megabyte on stdout before hello is an error.
#[test]
fn a_megabyte_before_hello() {
    let _guard = guard();
    let rpc = WORK.command(serving("noise"));
    let rpc = rpc.stderr(offspring::Stdio::null()).begin();
    let error = quickly(|| rpc.call(Job::Arguments).wait().unwrap_err());
    is_wrong(&error, &["instead of a hello", "####"]);
    drop(rpc);

    // On stderr it does no harm.
    let mut shell = Command::new("sh");
    shell
        .args([
            "-c",
            "head -c 1000000 /dev/zero >&2; exec \"$0\" --serve work",
        ])
        .arg(std::env::current_exe().unwrap());
    let rpc = WORK.command(shell).capture_stderr(10).begin();
    echoes(&rpc, "so");
}

// --- init ---

worker!(
    pub(crate) STATEFUL: fn(String) -> String = |state: &mut Vec<String>, text: String, events: &Events<String>| {
        state.push(text);
        events.send(state.len().to_string()).unwrap();
        state.join(",")
    },
    events = String,
    init(String, String) = |how: String, gate: String, events: &Events<String>| {
        events.send(format!("init {how}")).unwrap();
        match how.as_str() {
            "fail" => Err("it would not".to_owned()),
            "panic" => panic!("in init"),
            "exit" => std::process::exit(7),
            "wait" => {
                wait_here_at(gate);
                Ok(vec!["late".into()])
            }
            how => Ok(vec![how.to_owned()]),
        }
    }
);

#[test]
fn init_makes_the_state() {
    let _guard = guard();
    let (rpc, events) = STATEFUL.init("a", "").spawn_with_events().unwrap();
    assert_eq!(rpc.call("b").wait().unwrap(), "a,b");
    assert_eq!(rpc.call("c").wait().unwrap(), "a,b,c");
    rpc.join().wait().unwrap();
    let events: Vec<_> = events.into_iter().map(Result::unwrap).collect();
    assert_eq!(events, ["init a", "2", "3"]);
}

#[test]
fn init_may_take_longer_than_hello() {
    let _guard = guard();
    let gate = Gate::new();
    let rpc = STATEFUL
        .init("wait", gate.name().as_str())
        .hello_timeout(Duration::from_secs(5))
        .on_event(|_| ())
        .begin();
    let mut ready = rpc.ready();
    let inside = gate.reached();
    assert!(ready.wait_timeout(Duration::ZERO).unwrap_err().is_timeout());
    drop(inside);
    ready.wait().unwrap();
    assert_eq!(rpc.call("b").wait().unwrap(), "late,b");
}

#[test]
fn init_that_fails() {
    let _guard = guard();
    for (how, words) in [("fail", "it would not"), ("panic", "in init")] {
        let rpc = STATEFUL.init(how, "").stderr(offspring::Stdio::null());
        let rpc = rpc.on_event(|_| ()).begin();
        let (one, two) = (rpc.call("x"), rpc.call("y"));
        for error in [
            one.wait().unwrap_err(),
            two.wait().unwrap_err(),
            rpc.ready().wait().unwrap_err(),
            rpc.call("z").wait().unwrap_err(),
        ] {
            assert_error!(error, is_init, started = No, words);
        }
        assert!(rpc.join().wait().unwrap_err().is_init());
    }
}

#[test]
fn init_that_exits() {
    let _guard = guard();
    let rpc = STATEFUL.init("exit", "").on_event(|_| ()).quiet().begin();
    let error = rpc.call("x").wait().unwrap_err();
    assert!(error.is_child_dead(), "{error}");
    assert_eq!(error.crash().unwrap().status().code(), Some(7));
    assert_eq!(error.started(), Started::No);
    assert!(rpc.ready().wait().unwrap_err().is_child_dead());
    assert_eq!(rpc.join().wait().unwrap().code(), Some(7));
}

#[test]
fn another_program_has_init_too() {
    let _guard = guard();
    let rpc = STATEFUL.init("a", "").program(serving("state"));
    let rpc = rpc.on_event(|_| ()).begin();
    assert_eq!(rpc.call("b").wait().unwrap(), "a,b");
}

/// X57: a worker has workers, which end when it is killed.
#[test]
fn nested_workers() {
    let _guard = guard();
    in_each_way(|_, children| {
        let rpc = children().on_event(|_| ()).quiet().begin();
        let inner = Job::Nested(Job::Nested(echo("deep").into()).into());
        assert_eq!(rpc.call(inner).wait().unwrap(), Ok("deep".into()));
        let inner = rpc.call(Job::NestedPid).wait().unwrap().unwrap();
        let inner = inner.parse().unwrap();
        assert!(is_alive(inner));
        rpc.kill();
        assert_eq!(rpc.join().wait().unwrap().signal(), Some(9));
        quickly(|| until(|| !is_alive(inner)));
    });
}

/// A command that runs `script` in `shell`, with the path of this program as `$0`.
fn shell(shell: &str, script: &str) -> Command {
    let mut command = Command::new(shell);
    command.arg("-c").arg(script);
    command.arg(std::env::current_exe().unwrap());
    command
}

/// X74: stdin and stdout of a command are pipes, which programs expect.
#[test]
fn a_command_is_given_pipes() {
    let _guard = guard();
    let cat = || shell("sh", "exec cat /dev/stdin");
    let error = quickly(|| TEXTS.command(cat()).begin().call("x").wait());
    is_wrong(&error.unwrap_err(), &["cat"]);
    let rpc = TEXTS.command(cat()).plain().begin();
    let big = "x".repeat(1 << 20);
    for _ in 0..3 {
        assert_eq!(rpc.call("x").wait().unwrap(), "x");
        assert!(rpc.call(&big).wait().unwrap() == big);
    }
    rpc.join().wait().unwrap();

    let check = "[ -p /dev/stdin ] && [ -p /dev/stdout ] || exit 9;";
    for capture in [false, true] {
        let worker = shell("sh", &format!("{check} exec \"$0\" --serve work"));
        let builder = WORK.command(worker);
        let builder = builder.when(capture, |own| own.capture_stderr(9));
        let rpc = builder.begin();
        for _ in 0..3 {
            assert!(rpc.call(Job::Echo(big.clone())).wait().unwrap() == Ok(big.clone()));
        }
        let calls: Vec<_> = (0..1000).map(|_| rpc.call(echo("x"))).collect();
        for call in calls {
            assert_eq!(call.wait().unwrap(), Ok("x".into()));
        }
        rpc.join().wait().unwrap();
    }
    let pool = WORK.command(shell("sh", &format!("{check} exec \"$0\" --serve work")));
    let pool = pool.pool().max(2).begin();
    echoes(&pool, "x");
}

/// X74: a parent that writes to a pipe without a reader gets an error and no signal, and the command ends.
#[test]
fn a_command_that_goes() {
    alone(|| {
        // SAFETY: no handler is set.
        unsafe {
            nix::sys::signal::signal(
                nix::sys::signal::Signal::SIGPIPE,
                nix::sys::signal::SigHandler::SigDfl,
            )
        }
        .unwrap();
        let _guard = guard();
        for (script, kills) in [
            ("exit 3", false),
            ("exec <&-; exec sleep 1000", true),
            ("exec \"$0\" --serve work", true),
        ] {
            let builder = WORK.command(shell("sh", script)).quiet();
            let rpc = builder.begin();
            let calls: Vec<_> = (0..20)
                .map(|_| rpc.call(echo("x".repeat(100_000))))
                .collect();
            if kills {
                rpc.kill();
            }
            for call in calls {
                let outcome = quickly(|| call.wait());
                assert!(kills || outcome.is_err(), "{script}");
            }
            let _ = quickly(|| rpc.join().wait());
        }
    });
}

/// X76: the error names the file or directory that is missing.
#[test]
fn what_is_missing_is_named() {
    let _guard = guard();
    let temp = Temp::new();
    let nowhere = temp.path("nowhere");
    let template = Template::builder().start().unwrap();
    let says = |error: Error, words: &[&str]| {
        assert!(error.is_start(), "{error}");
        for word in words {
            assert!(error.to_string().contains(word), "no {word:?} in: {error}");
        }
        assert!(!error.to_string().contains("/proc/self/exe"), "{error}");
    };
    let directory = ["the directory `", &nowhere, "No such file"];
    for builder in [
        WORK.builder(),
        WORK.program(serving("work")),
        WORK.command(serving("work")),
        WORK.template(&template),
    ] {
        says(
            builder.current_dir(&nowhere).spawn().unwrap_err(),
            &directory,
        );
    }
    let elsewhere = Template::builder().current_dir(&nowhere).start();
    says(elsewhere.unwrap_err(), &directory);
    append(temp.path("file"), "");
    for builder in [WORK.builder(), WORK.template(&template)] {
        let error = builder.current_dir(temp.path("file")).spawn().unwrap_err();
        says(error, &["the directory `", "file", "Not a directory"]);
    }
    // The program is missing, not the directory.
    let none = WORK
        .command(Command::new("/no/such/program"))
        .current_dir("/");
    says(
        none.spawn().unwrap_err(),
        &["/no/such/program", "No such file"],
    );
    let script = temp.path("script");
    append(&script, "#!/no/such/interpreter");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&script, mode).unwrap();
    says(
        WORK.command(Command::new(&script)).spawn().unwrap_err(),
        &["script", "interpreter"],
    );
}

/// X76: an error advises to call `serve` only where that may help, and `init` for no other program.
#[test]
fn no_advice_that_cannot_help() {
    let _guard = guard();
    let says = |script: &str| {
        let builder = WORK.command(shell("sh", script)).quiet();
        let rpc = builder.stderr(offspring::Stdio::null()).begin();
        let error = quickly(|| rpc.call(echo("x")).wait().unwrap_err());
        assert!(error.is_handshake(), "{error}");
        assert!(!error.to_string().contains("init()"), "{error}");
        error.to_string()
    };
    for script in [
        "kill -9 $$",
        "kill -11 $$",
        "/no/such/program",
        "/dev/null",
        "exit 255",
        "exit 137",
        "exit 2",
    ] {
        let text = says(script);
        assert!(!text.contains("`WORKER.serve()`"), "{script}: {text}");
        assert!(text.contains("without a hello"), "{text}");
    }
    let text = says("exit 0");
    assert!(text.contains("`WORKER.serve()`"), "{text}");
}

/// X76: a timeout says what was waited for.
#[test]
fn what_was_waited_for() {
    let _guard = guard();
    let gate = Gate::new();
    let rpc = WORK.spawn().unwrap();
    let mut call = rpc.call(Job::Gate(gate.name()));
    let running = gate.reached();
    let error = call.wait_timeout(Duration::ZERO).unwrap_err();
    assert_error!(error, is_timeout, "this call");
    let mut join = rpc.join();
    for error in [
        join.wait_timeout(Duration::ZERO),
        join.wait_deadline(Instant::now()),
    ] {
        let error = error.unwrap_err();
        assert_error!(error, is_timeout, "did not end");
        assert!(!error.to_string().contains("call "), "{error}");
    }
    drop(running);
    call.wait().unwrap().unwrap();
    join.wait().unwrap();
    let silent = TEXTS.program(serving("silence")).quiet().begin();
    let error = silent.ready().wait_timeout(Duration::ZERO).unwrap_err();
    assert_error!(error, is_timeout, "ready");
    silent.kill();
}

preload!(GATED(String) -> () = |gate: String| { wait_at(gate); Ok::<_, String>(()) });

/// `spawn_async` does not block the task: the template is ready only after the first poll has returned.
#[test]
fn a_start_that_blocks_no_task() {
    let _guard = guard();
    let gate = Gate::new();
    let preloaded = Template::builder().preload(GATED.with(gate.name()));
    let template = preloaded.start().unwrap();
    let mut spawning = TEXTS.template(&template).spawn_async();
    assert!(block_on(poll_once(&mut spawning)).is_none());
    drop(gate.reached());
    let rpc = block_on(spawning).unwrap();
    assert_eq!(rpc.call("so").wait().unwrap(), "so");
    rpc.join().wait().unwrap();
}

#[test]
fn every_kind_is_started_by_another_thread() {
    let _guard = guard();
    let kinds = || {
        [
            TEXTS.builder(),
            TEXTS.program(serving("texts")),
            TEXTS.command(serving("texts")),
        ]
    };
    for builder in kinds() {
        let rpc = block_on(builder.spawn_async()).unwrap();
        assert_eq!(block_on(rpc.call("so")).unwrap(), "so");
        block_on(rpc.join()).unwrap();
    }
    // The guard checks that these children exit.
    kinds()
        .into_iter()
        .for_each(|builder| drop(builder.spawn_async()));
    let nowhere = TEXTS.program(Command::new("/nowhere/at/all"));
    let error = block_on(nowhere.spawn_async()).unwrap_err();
    assert!(
        error.is_start() && error.to_string().contains("/nowhere/at/all"),
        "{error}"
    );
}
