//! Children behind a prefix, a command line that runs the worker: `env`, which executes it, and a shell, which starts
//! it and waits. Debuggers are tested in `tests/tools`.

use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use offspring::{Limits, Template, worker};

use crate::support::*;

const RUNS: &[&str] = &["env", "MARK=prefixed"];
/// The shell stays as a process between parent and worker.
const STARTS: &[&str] = &["sh", "-c", "MARK=prefixed \"$@\"; exit $?", "sh"];

fn children() -> [Children; 2] {
    [RUNS, STARTS].map(|words| WORK.builder().prefix(words.iter().copied()))
}

#[test]
fn a_child_behind_words() {
    let _guard = guard();
    for builder in children() {
        let (sink, events) = sink();
        let builder = builder.on_event(sink).env("OTHER", "so");
        let rpc = builder.current_dir("/").begin();
        for (name, value) in [("MARK", "prefixed"), ("OTHER", "so")] {
            let told = rpc.call(Job::Env(name.into())).wait().unwrap();
            assert_eq!(told, Ok(value.into()));
        }
        assert_eq!(rpc.call(Job::Dir).wait().unwrap(), Ok("/".into()));
        assert_eq!(rpc.call(Job::ReadStdin).wait().unwrap(), Ok(String::new()));
        rpc.call(Job::Events(0, 3)).wait().unwrap().unwrap();
        assert_eq!(events.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
        let big = "x".repeat(1 << 20);
        let length = rpc.call(Job::Len(big)).wait().unwrap();
        assert_eq!(length, Ok("1048576".into()));
        // The child inherits nothing from this process, and what the child starts inherits no link.
        let inherited = rpc.call(Job::Inherited).wait().unwrap().unwrap();
        assert!(!inherited.contains("socket:"), "{inherited}");
        assert!(rpc.join().wait().unwrap().success());
    }
}

#[test]
fn what_else_a_child_is_told() {
    let _guard = guard();
    for builder in children() {
        let (mut read, write) = std::io::pipe().unwrap();
        let stdin = std::fs::File::open("/proc/self/comm").unwrap();
        let limits = Limits::new().open_files(50);
        let rpc = builder.stdin(stdin).stdout(write).limits(limits);
        let rpc = rpc.exit_with_parent().begin();
        assert_ne!(rpc.call(Job::ReadStdin).wait().unwrap(), Ok(String::new()));
        rpc.call(Job::Print("printed".into()))
            .wait()
            .unwrap()
            .unwrap();
        rpc.join().wait().unwrap();
        assert_eq!(std::io::read_to_string(&mut read).unwrap(), "printed\n");
    }
    for builder in children() {
        let rpc = builder.quiet().begin();
        let error = rpc.call(Job::Exit(7)).wait().unwrap_err();
        assert_error!(error, is_child_dead, started = Unknown, "code 7");
        assert_eq!(rpc.join().wait().unwrap().code(), Some(7));
    }
}

#[test]
fn a_pool_behind_words() {
    let _guard = guard();
    for builder in children() {
        let pool = builder.pool().max(2).begin();
        let calls = (0..20).map(|n| pool.call(echo(n)));
        assert_eq!(answers(calls)[19], Ok("19".into()));
        pool.join().wait().unwrap();
    }
}

/// The signals that the calling process blocks.
fn blocked() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
    line.unwrap().trim().into()
}

worker!(BLOCKED: fn() -> String = blocked);

/// X69: a pool's children are started by a thread that blocks every signal. They have the mask of the thread that made
/// the pool.
#[test]
fn the_signal_mask_behind_words() {
    let _guard = guard();
    let signals = SigSet::from(Signal::SIGUSR1);
    let before = signals.thread_swap_mask(SigmaskHow::SIG_BLOCK).unwrap();
    let builder = BLOCKED.builder().prefix(RUNS.iter().copied());
    let pool = builder.pool().max(1).begin();
    assert_eq!(pool.call().wait().unwrap(), "0000000000000200");
    pool.join().wait().unwrap();
    before.thread_set_mask().unwrap();
}

/// The shell is killed; its worker finishes the call that runs.
#[test]
fn what_stands_before_is_killed() {
    let _guard = guard();
    let (temp, gate) = Temp::with_gate();
    let [_, builder] = children();
    let rpc = builder.quiet().begin();
    let line = |text: &str| Job::Append(temp.path("lines"), text.into());
    let first = rpc.call(both(line("one"), Job::LonelyGate(gate.name())));
    let second = rpc.call(line("two"));
    let open = gate.reached();
    let worker = children_of(rpc.pid().unwrap())[0];
    rpc.kill();
    for call in [first, second] {
        assert_error!(call.wait().unwrap_err(), is_child_dead, started = Unknown);
    }
    let _ = rpc.join().wait();
    drop(open);
    until(|| !is_alive(worker));
}

/// Starts a copy of this worker, with its arguments and environment. The copy has another parent and no link.
fn copy() -> String {
    let mut copy = Command::new("/proc/self/exe");
    copy.args(std::env::args_os().skip(1)).stdin(Stdio::null());
    let output = copy.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    format!("{:?} {text}", output.status.code())
}

worker!(COPY: fn() -> String = copy);

#[test]
fn strays_are_found() {
    let _guard = guard();
    let ways = [RUNS, STARTS].map(|words| COPY.builder().prefix(words.iter().copied()));
    for (builder, word) in ways
        .into_iter()
        .map(|way| (way, "its link is closed"))
        .chain([(COPY.builder(), "not by its parent")])
    {
        let text = builder.begin().call().wait().unwrap();
        assert!(text.starts_with("Some(1) "), "{text}");
        assert!(text.contains(word), "{text}");
    }
    // Workers that are told of a socket of another process, or of no socket.
    let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let inherited = nix::unistd::dup(&socket).unwrap();
    let another = format!("{}:1", inherited.as_raw_fd());
    for told in [another.as_str(), "1000:1", "0:1", "x", ""] {
        let mut stray = Command::new("/proc/self/exe");
        stray.args(["--offspring-worker", &format!("--offspring-link={told}")]);
        let output = stray
            .env("OFFSPRING_PARENT", std::process::id().to_string())
            .output();
        assert_eq!(output.unwrap().status.code(), Some(1), "{told}");
    }
}

/// Runs as a program: closes the descriptors that it inherited, then executes the rest of its arguments.
pub(crate) fn close_and_run() -> ! {
    let words: Vec<_> = std::env::args_os().skip(3).collect();
    // SAFETY: this process uses no descriptor after this.
    unsafe { libc::close_range(3, u32::MAX, 0) };
    let error = Command::new(&words[0]).args(&words[1..]).exec();
    panic!("{error}");
}

#[test]
fn a_prefix_that_closes_the_link() {
    let _guard = guard();
    let own = std::env::current_exe().unwrap();
    let words = [own.as_os_str(), "--serve".as_ref(), "close".as_ref()];
    let rpc = WORK
        .builder()
        .prefix(words)
        .quiet()
        .capture_stderr(10_000)
        .begin();
    let error = quickly(|| rpc.call(Job::Dir).wait().unwrap_err());
    assert_error!(
        error,
        is_handshake,
        "the `prefix` command has closed the descriptor"
    );
    let _ = rpc.join().wait();
}

#[test]
fn the_time_for_hello() {
    let _guard = guard();
    let slow = ["sh", "-c", "sleep 0.3; exec \"$@\"", "sh"];
    let soon = Duration::from_millis(50);
    let rpc = WORK.builder().hello_timeout(soon).prefix(slow).begin();
    rpc.ready().wait().unwrap();
    let rpc = WORK.builder().prefix(slow).hello_timeout(soon).quiet();
    let rpc = rpc.begin();
    assert_error!(rpc.ready().wait().unwrap_err(), is_handshake, "50ms");
    let _ = rpc.join().wait();
}

#[test]
fn a_prefix_of_what_has_none() {
    let _guard = guard();
    let template = Template::builder().start().unwrap();
    let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    for (builder, remedy) in [
        (WORK.template(&template), "without a template"),
        (WORK.program(serving("work")), "in front of those of the"),
        (WORK.command(serving("work")), "in front of those of the"),
        (WORK.builder().in_process(), "`prefix` or `in_process` out"),
        (WORK.builder().socket(socket), "leave `prefix` out"),
    ] {
        let error = builder.prefix(["env"]).spawn().unwrap_err();
        assert_error!(error, is_start, "`prefix`", remedy);
    }
    let error = WORK
        .builder()
        .prefix(["/no such program"])
        .spawn()
        .unwrap_err();
    assert_error!(error, is_start, "/no such program");
}
