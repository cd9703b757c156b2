//! Children in sandboxes, where this machine permits them.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use crate::seccomp::{Refused, refuse};
use crate::support::*;

pub(crate) const BWRAP: &[&str] = &[
    "bwrap",
    "--ro-bind",
    "/",
    "/",
    "--dev",
    "/dev",
    "--unshare-all",
    "--die-with-parent",
];
pub(crate) const UNSHARE: &[&str] = &[
    "unshare",
    "--user",
    "--map-root-user",
    "--net",
    "--pid",
    "--fork",
    "--kill-child",
];
pub(crate) const SETPRIV: &[&str] = &[
    "setpriv",
    "--reuid",
    "65534",
    "--regid",
    "65534",
    "--clear-groups",
    "--no-new-privs",
];
pub(crate) const SUDO: &[&str] = &["sudo", "-n", "-u", "nobody"];

/// Returns the command of a worker behind these words.
pub(crate) fn before(words: &[&str], worker: &str) -> Command {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command.arg(std::env::current_exe().unwrap());
    command.args(["--serve", worker]);
    command
}

/// Tries to run a command behind these words on this machine.
pub(crate) fn attempt(words: &[&str]) -> Result<(), String> {
    match before(words, "leave").stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().into()),
        Err(error) => Err(error.to_string()),
    }
}

/// As a command, and as a program that inherits a socket and more.
fn works_behind(words: &[&str]) {
    let _guard = guard();
    let command = || before(words, "work");
    for builder in [WORK.command(command()), WORK.program(command())] {
        let rpc = builder.begin();
        let big = "x".repeat(1 << 20);
        assert_eq!(
            rpc.call(Job::Len(big)).wait().unwrap(),
            Ok("1048576".into())
        );
        assert_eq!(rpc.call(Job::ReadStdin).wait().unwrap(), Ok(String::new()));
        assert!(rpc.join().wait().unwrap().success());
    }
}

pub(crate) fn bubblewrap() {
    works_behind(BWRAP);
}

/// A bare sandbox has no devices that could be opened.
pub(crate) fn bubblewrap_without_devices() {
    works_behind(&["bwrap", "--ro-bind", "/", "/", "--unshare-all"]);
}

pub(crate) fn unshare() {
    works_behind(UNSHARE);
}

pub(crate) fn setpriv() {
    works_behind(SETPRIV);
}

pub(crate) fn sudo() {
    works_behind(SUDO);
}

/// A command that runs as another user cannot be sent signals. The link is cut instead, and the worker exits.
pub(crate) fn a_child_that_cannot_be_killed() {
    let other = ["setpriv", "--reuid", "65534", "--clear-groups"];
    if told().is_none() {
        let _guard = guard();
        let again = again(&a_child_that_cannot_be_killed, "powerless");
        let words = ["setpriv", "--bounding-set=-kill"].map(OsStr::new);
        let words = [&words[..], &[again.get_program()]].concat();
        return succeeds(&mut with_words(&words, &again));
    }
    let _guard = guard();
    let command = before(&other, "work");
    let builder = WORK.command(command).exit_with_parent();
    let rpc = builder.quiet().begin();
    rpc.ready().wait().unwrap();
    let pid = nix::unistd::Pid::from_raw(rpc.pid().unwrap() as i32);
    let refused = nix::sys::signal::kill(pid, None);
    assert_eq!(refused, Err(nix::errno::Errno::EPERM));
    let call = rpc.call(Job::Spin);
    rpc.kill();
    let error = quickly(|| call.wait().unwrap_err());
    assert!(error.is_child_dead(), "{error}");
    quickly(|| rpc.join().wait()).unwrap();
}

type Work = offspring::Builder<fn(Job) -> Result<String, String>, Json, u32>;

/// X76: no signal can be sent, and no thread waits for a child that does not exit.
pub(crate) fn where_no_signal_can_be_sent() {
    alone(|| {
        refuse(&[Refused::One(libc::SYS_pidfd_send_signal, libc::EPERM)]).unwrap();
        let _guard = guard();
        let temp = Temp::new();
        let spin = |builder: Work| {
            let gate = temp.gate(&format!("gate{:?}", std::time::Instant::now()));
            let rpc = builder.quiet().begin();
            let job = both(Job::Gate(gate.name()), Job::Spin);
            let call = rpc.call(job);
            drop(gate.reached());
            let number = nix::unistd::Pid::from_raw(rpc.pid().unwrap() as i32);
            (rpc, call, number)
        };
        let end = |pid| nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        let template = offspring::Template::builder().start().unwrap();
        for builder in [
            WORK.builder(),
            WORK.builder().capture_stderr(100),
            WORK.template(&template),
            WORK.command(serving("work")),
        ] {
            let (rpc, call, pid) = spin(builder);
            let limit = std::time::Duration::from_millis(50);
            let error = quickly(|| rpc.join().within(limit).wait()).unwrap_err();
            assert!(error.to_string().contains("cannot be killed"), "{error}");
            let error = call.wait().unwrap_err();
            assert_error!(error, is_child_dead, "Operation not permitted");
            end(pid);
        }
        // The same for the other ways to wait.
        let (rpc, call, pid) = spin(WORK.builder());
        rpc.kill();
        let error = quickly(|| futures_lite::future::block_on(call)).unwrap_err();
        assert!(error.to_string().contains("cannot be killed"), "{error}");
        quickly(|| futures_lite::future::block_on(rpc.join())).unwrap_err();
        end(pid);
        // An idle child notices that the link is cut.
        let rpc = WORK.builder().quiet().begin();
        rpc.ready().wait().unwrap();
        rpc.kill();
        assert!(quickly(|| rpc.join().wait()).unwrap().success());
    });
}

/// X76: children in a pid namespace in which the parent has no pid.
pub(crate) fn a_namespace_of_process_ids() {
    alone(|| {
        let _guard = guard();
        let echo = || echo("x");
        let before = WORK.spawn().unwrap();
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWPID).unwrap();
        let first = WORK.spawn().unwrap();
        assert_eq!(first.call(echo()).wait().unwrap(), Ok("x".into()));
        let nested = Job::Nested(Box::new(echo()));
        assert_eq!(first.call(nested).wait().unwrap(), Ok("x".into()));
        let second = WORK.builder().quiet().begin();
        assert_eq!(second.call(echo()).wait().unwrap(), Ok("x".into()));
        let program = WORK.program(serving("work")).quiet();
        let third = program.begin();
        assert_eq!(third.call(echo()).wait().unwrap(), Ok("x".into()));
        // These start their processes from a thread, which cannot be created here.
        let error = offspring::Template::builder().start().unwrap_err();
        assert!(error.to_string().contains("CLONE_NEWPID"), "{error}");
        let error = WORK.pool().on_event(|_| ()).spawn().unwrap_err();
        assert!(error.to_string().contains("CLONE_NEWPID"), "{error}");
        // The other processes end with the first, and no further can start.
        first.join().wait().unwrap();
        for rpc in [second, third] {
            let status = rpc.join().wait().unwrap();
            assert_eq!(status.signal(), Some(libc::SIGKILL));
        }
        let error = WORK.spawn().unwrap_err();
        assert!(error.to_string().contains("CLONE_NEWPID"), "{error}");
        before.join().wait().unwrap();
        until(|| own_threads().is_empty());
        let error = WORK.command(Command::new("true")).spawn().unwrap_err();
        assert!(error.to_string().contains("CLONE_NEWPID"), "{error}");
    });
}

/// X76: the same if no further thread can be started.
pub(crate) fn a_namespace_without_a_thread() {
    alone(|| {
        let _guard = guard();
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWPID).unwrap();
        let error = WORK.spawn().unwrap_err();
        assert!(error.to_string().contains("CLONE_NEWPID"), "{error}");
        assert!(error.to_string().contains("thread"), "{error}");
    });
}

/// X76: without `/proc` the program cannot find itself.
pub(crate) fn a_root_without_proc() {
    alone(|| {
        let temp = Temp::new();
        let outside = std::fs::File::open("/").unwrap();
        nix::unistd::chroot(temp.path(".").as_str()).unwrap();
        std::env::set_current_dir("/").unwrap();
        let error = WORK.spawn().unwrap_err();
        assert!(error.to_string().contains("`/proc`"), "{error}");
        let error = offspring::Template::builder().start().unwrap_err();
        assert!(error.to_string().contains("`/proc`"), "{error}");
        // `temp` removes its folder by its path outside of the new root.
        nix::unistd::fchdir(&outside).unwrap();
        nix::unistd::chroot(".").unwrap();
    });
}
