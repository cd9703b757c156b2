//! Children: starting, waiting, signalling.

use super::{alone, limit_descriptors, open_descriptors, spawn, text};
use crate::exit_status::ExitStatus;
use crate::sys::{Process, own_program};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::parent_id;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn shell(script: &str) -> Process {
    spawn(Command::new("sh").args(["-c", script]).stdin(Stdio::null())).unwrap()
}

/// A child that `prepare` fails for is killed and reaped, unless it has exited by itself.
#[test]
fn preparing_fails() {
    let fail = |_: u32| Err(std::io::Error::other("no such limit"));
    let mut sleep = Command::new("sleep");
    let mut number = 0;
    let note = |pid| {
        number = pid;
        fail(pid)
    };
    let error = crate::sys::spawn(sleep.arg("1000"), note).unwrap_err();
    assert_eq!(error.to_string(), "no such limit");
    let gone = std::fs::metadata(format!("/proc/{number}")).is_err();
    assert!(gone, "it was killed and reaped");

    let until_it_ends = |pid| {
        let end = Process::open(pid).unwrap();
        end_of(&end);
        fail(pid)
    };
    let process = crate::sys::spawn(&mut Command::new("true"), until_it_ends).unwrap();
    assert_eq!(process.try_reap().unwrap(), Some(ExitStatus::Code(0)));
}

/// A failure between the start of a child and `keep` leaves neither a process nor a zombie.
#[test]
fn a_child_that_is_not_kept_is_gone() {
    let start = || crate::sys::spawn(Command::new("sleep").arg("20"), |_| Ok(())).unwrap();
    let there = |pid| std::fs::metadata(format!("/proc/{pid}")).is_ok();
    let fresh = start();
    let pid = fresh.pid();
    drop(fresh);
    assert!(!there(pid), "it was killed and reaped");
    let fresh = start();
    let process = fresh.keep();
    assert!(there(process.pid()) && !process.is_over().unwrap());
    process.signal(libc::SIGKILL).unwrap();
    status_of(&process);
}

/// Sleeps until the pidfd says that the child has exited.
fn end_of(process: &Process) {
    let ready = poll(
        &mut [PollFd::new(process.pidfd(), PollFlags::POLLIN)],
        PollTimeout::from(20_000u16),
    );
    assert_eq!(ready, Ok(1), "the child ends");
}

fn status_of(process: &Process) -> ExitStatus {
    end_of(process);
    assert!(process.is_over().unwrap());
    process.try_reap().unwrap().expect("it has ended")
}

#[test]
fn the_status_tells_how_it_ended() {
    assert_eq!(status_of(&shell("exit 7")), ExitStatus::Code(7));
    assert_eq!(status_of(&shell("exit 0")), ExitStatus::Code(0));
    assert_eq!(
        status_of(&shell("ulimit -c 0; kill -11 $$")),
        ExitStatus::Signal {
            number: 11,
            core_dumped: false
        }
    );
    let real_time = status_of(&shell("kill -40 $$"));
    assert_eq!(
        real_time,
        ExitStatus::Signal {
            number: 40,
            core_dumped: false
        }
    );
}

#[test]
fn a_status_stays_and_no_zombie_does() {
    let process = shell("exit 3");
    assert_eq!(status_of(&process), ExitStatus::Code(3));
    assert_eq!(process.try_reap().unwrap(), Some(ExitStatus::Code(3)));
    process.signal(libc::SIGKILL).unwrap();
    let number = Pid::from_raw(process.pid() as i32);
    assert_eq!(waitpid(number, None), Err(nix::errno::Errno::ECHILD));
}

#[test]
fn a_running_child_is_not_over_until_it_is_killed() {
    let process = spawn(Command::new("sleep").arg("1000")).unwrap();
    assert_eq!(
        (process.try_reap().unwrap(), process.is_over().unwrap()),
        (None, false)
    );
    process.signal(libc::SIGKILL).unwrap();
    end_of(&process);
    process.signal(libc::SIGKILL).unwrap();
    assert_eq!(
        process.try_reap().unwrap(),
        Some(ExitStatus::Signal {
            number: libc::SIGKILL,
            core_dumped: false
        })
    );
}

/// X26.
#[test]
fn with_sigchld_ignored_the_status_is_unknown() {
    alone(
        "process::with_sigchld_ignored_the_status_is_unknown",
        || {
            // SAFETY: no handler runs, and this process is this test's own.
            unsafe { signal(Signal::SIGCHLD, SigHandler::SigIgn) }.unwrap();
            let process = spawn(Command::new("cat").stdin(Stdio::null())).unwrap();
            assert_eq!(status_of(&process), ExitStatus::Unknown);
            let process = spawn(Command::new("sleep").arg("1000")).unwrap();
            assert_eq!(process.try_reap().unwrap(), None);
            process.signal(libc::SIGKILL).unwrap();
            assert_eq!(status_of(&process), ExitStatus::Unknown);
            process.signal(libc::SIGKILL).unwrap();
        },
    );
}

/// X27.
#[test]
fn another_thread_may_reap() {
    let process = shell("exit 3");
    waitpid(Pid::from_raw(process.pid() as i32), None).unwrap();
    process.signal(libc::SIGKILL).unwrap();
    assert_eq!(status_of(&process), ExitStatus::Unknown);
    process.signal(libc::SIGKILL).unwrap();
}

/// X27, before there is a pidfd.
#[test]
fn a_child_that_has_vanished_has_an_unknown_status() {
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    assert_eq!(
        status_of(&Process::open(child.id()).unwrap()),
        ExitStatus::Unknown
    );
}

/// X28: another process has got the process id; here it is the parent of this one.
#[test]
fn a_stranger_is_never_touched() {
    alone("process::a_stranger_is_never_touched", || {
        let stranger = Process::open(parent_id()).unwrap();
        assert_eq!(status_of(&stranger), ExitStatus::Unknown);
        stranger.signal(libc::SIGKILL).unwrap();
    });
}

/// X19.
#[test]
fn a_missing_program_is_an_error_and_leaves_nothing() {
    alone(
        "process::a_missing_program_is_an_error_and_leaves_nothing",
        || {
            let before = open_descriptors();
            let error = spawn(&mut Command::new("/nonexistent")).unwrap_err();
            assert_eq!(
                (error.kind(), open_descriptors()),
                (ErrorKind::NotFound, before)
            );
        },
    );
}

/// X32: the process cannot open another file descriptor for the pidfd.
#[test]
fn a_child_without_a_pidfd_is_killed_and_reaped() {
    alone(
        "process::a_child_without_a_pidfd_is_killed_and_reaped",
        || {
            let mut files = Vec::new();
            limit_descriptors(64);
            while let Ok(file) = std::fs::File::open("/dev/null") {
                files.push(file);
            }
            assert!(spawn(Command::new("sleep").arg("5").stdin(Stdio::inherit())).is_err());
            assert_eq!(
                waitpid(None, Some(WaitPidFlag::WNOHANG)),
                Err(nix::errno::Errno::ECHILD)
            );
        },
    );
}

/// X23: a start gives up after a bounded time if the file stays busy.
#[test]
fn a_busy_program_is_given_up_in_the_end() {
    let path = std::env::temp_dir().join(format!("offspring-busy-{}", std::process::id()));
    std::fs::copy("/proc/self/exe", &path).unwrap();
    let writer = std::fs::OpenOptions::new()
        .write(true)
        .mode(0o755)
        .open(&path)
        .unwrap();
    let start = Instant::now();
    let error = spawn(&mut Command::new(&path)).unwrap_err();
    drop(writer);
    let run = spawn(
        Command::new(&path)
            .args(["--exact", "no such test"])
            .stdout(Stdio::null()),
    );
    std::fs::remove_file(&path).unwrap();
    assert_eq!(error.kind(), ErrorKind::ExecutableFileBusy);
    assert!(start.elapsed() >= Duration::from_millis(63));
    assert_eq!(status_of(&run.unwrap()), ExitStatus::Code(0));
}

/// X20: while other threads create descriptors and start children, a child inherits only its own.
#[test]
fn a_child_inherits_no_descriptor() {
    alone("process::a_child_inherits_no_descriptor", || {
        let list = || {
            let script = "ls /proc/self/fd | tr '\\n' ' ' >&2";
            let (read, write) = super::pipe();
            let process = spawn(Command::new("sh").args(["-c", script]).stderr(write)).unwrap();
            let (_link, mut found) = (super::all_kinds(), Vec::new());
            std::fs::File::from(read).read_to_end(&mut found).unwrap();
            status_of(&process);
            text(&found)
        };
        let alone = list();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..10).for_each(|_| assert_eq!(list(), alone)));
            }
        });
    });
}

/// X25.
#[test]
fn this_program_can_be_started_again() {
    let mut command = own_program();
    let process = spawn(
        command
            .args(["--exact", "no such test"])
            .stdout(Stdio::null()),
    )
    .unwrap();
    assert_eq!(status_of(&process), ExitStatus::Code(0));
}
