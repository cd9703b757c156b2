//! Starting a child by exec, and the reasons why that fails.

use super::pidfd::{KillOnDrop, Process};
use crate::sys::fd::above_stdio;
use crate::sys::retry;
use crate::sys::thread::{children_get_other_pid_namespace, with_creator_mask};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{AccessFlags, Pid, access};
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

/// Starts a program, opens its pidfd, and then calls `prepare` with its process id.
///
/// The standard library uses `posix_spawn` (which shares memory with the child until exec, and copies no page tables)
/// unless the command has a `pre_exec` hook, another user, or a changed `PATH` to look a bare name up in.
///
/// # Blocking
/// Until exec has succeeded or failed. If the program's file is open for writing (`ETXTBSY`), for up to 63 ms more: a
/// child of another thread can hold a freshly written file open until its own exec.
///
/// # Errors
/// Those of [`Command::spawn`]. If the pidfd cannot be opened, or `prepare` fails, the child is killed and reaped, unless
/// it has exited by itself before that.
pub(crate) fn spawn(
    command: &mut Command,
    prepare: impl FnOnce(u32) -> io::Result<()>,
) -> io::Result<KillOnDrop> {
    let mut child = retry_while_busy(|| above_stdio(|| with_creator_mask(|| command.spawn())))?;
    let prepared = Process::open(child.id()).and_then(|process| match prepare(child.id()) {
        Err(error) if !process.is_over()? => Err(error),
        _ => Ok(process),
    });
    prepared.map(KillOnDrop::new).inspect_err(|_| {
        // This process has not waited for it, so no other process has its process id.
        let _ = child.kill();
        let _ = child.wait();
    })
}

/// Returns whether a start failed for a reason that lasts until the command or its files change. Other reasons can pass:
/// a busy file, no memory, too many processes or open files.
pub(crate) fn is_permanent(error: &io::Error) -> bool {
    const LASTING: [i32; 11] = [
        libc::E2BIG,
        libc::EACCES,
        libc::EINVAL,
        libc::EISDIR,
        libc::ELIBBAD,
        libc::ELOOP,
        libc::ENAMETOOLONG,
        libc::ENOENT,
        libc::ENOEXEC,
        libc::ENOTDIR,
        libc::EPERM,
    ];
    match error.raw_os_error() {
        Some(number) => LASTING.contains(&number),
        // A zero byte in an argument; no pidfds.
        None => matches!(
            error.kind(),
            io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
        ),
    }
}

/// Repeats `attempt` while the program's file is busy, after 1, 2, 4, 8, 16 and 32 ms.
fn retry_while_busy<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for exponent in 0..6 {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                thread::sleep(Duration::from_millis(1 << exponent));
            }
            result => return result,
        }
    }
    attempt()
}

/// Opens the pidfd of a child that a template has just forked for this process.
///
/// # Errors
/// As for [`spawn`]: then the child is killed and reaped.
pub(crate) fn open_forked(pid: u32) -> io::Result<KillOnDrop> {
    let opened = Process::open(pid).inspect_err(|_| {
        let pid = Pid::from_raw(pid as i32);
        // This process has not waited for it, so no other process has its process id.
        let _ = kill(pid, Signal::SIGKILL);
        let _ = retry(|| waitpid(pid, None));
    });
    opened.map(KillOnDrop::new)
}

/// Returns why a program was not started. The system's error is the same for a missing directory, program, and loader of
/// the program.
pub(crate) fn explain_failed_spawn(
    program: &Path,
    directory: Option<&Path>,
    error: &io::Error,
) -> String {
    let is_there = |path: &Path| fs::metadata(path).is_ok();
    if let Some(directory) = directory
        && fs::read_dir(directory).is_err()
        && access(directory, AccessFlags::X_OK).is_err()
    {
        return cannot_enter_directory(directory);
    }
    let name = program.display();
    match error.raw_os_error() {
        Some(libc::ENOENT) if program == Path::new(OWN_PROGRAM) && !is_there(Path::new("/proc/self")) => {
            "this program is found by way of `/proc`, which is not mounted here (a chroot or a container needs it, too); else start a worker by its path, with `program`".into()
        }
        Some(libc::ENOENT) if program.is_absolute() && is_there(program) => format!(
            "`{name}` exists, but the program that runs it does not: its loader, or the interpreter behind `#!`"
        ),
        Some(libc::ENOENT) if program.components().count() > 1 || program.has_root() => {
            format!("there is no program `{name}`")
        }
        Some(libc::ENOENT) => format!("there is no program `{name}` in `PATH`"),
        Some(libc::EACCES) => format!("`{name}` may not be executed"),
        Some(libc::ENOMEM) if children_get_other_pid_namespace() => {
            "children go into another namespace of process ids (after `unshare(CLONE_NEWPID)`), and the first process there has ended, so there can be no more".into()
        }
        _ => format!("`{name}` could not be run"),
    }
}

/// Returns the limit that the system's error is about, in parentheses, behind a space. Empty if it is about none.
pub(crate) fn name_limit(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EAGAIN) => {
            " (is the limit of processes and threads reached, RLIMIT_NPROC or pids.max?)"
        }
        Some(libc::EMFILE) => " (raise the limit of open files: `RLIMIT_NOFILE`, `ulimit -n`)",
        Some(libc::ENFILE) => " (raise the system's limit of open files: `fs.file-max`)",
        _ => "",
    }
}

/// Returns the text for a directory that cannot be entered.
pub(crate) fn cannot_enter_directory(path: &Path) -> String {
    format!("the directory `{}` cannot be entered", path.display())
}

/// The path of this program's file.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// Returns the command of this program, even if its file was replaced or deleted.
pub(crate) fn own_program() -> Command {
    let mut command = Command::new(OWN_PROGRAM);
    let name = std::env::args_os().next();
    command.arg0(name.unwrap_or_else(|| "offspring".into()));
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    /// X23.
    #[test]
    fn a_busy_program_is_tried_again() {
        let mut busy = 3;
        let attempt = || {
            busy -= 1;
            if busy < 0 {
                Ok(busy)
            } else {
                Err(io::ErrorKind::ExecutableFileBusy.into())
            }
        };
        assert_eq!(retry_while_busy(attempt).unwrap(), -1);
    }

    #[test]
    fn what_another_attempt_may_mend() {
        let lasting = |program: &str| {
            let error = spawn(&mut Command::new(program), |_| Ok(())).unwrap_err();
            is_permanent(&error)
        };
        // Not there; not executable; no file; an impossible name.
        for program in ["/nowhere/at/all", "/proc/self/maps", "/", "a\0b"] {
            assert!(lasting(program), "{program}");
        }
        for number in [libc::EAGAIN, libc::ENOMEM, libc::ETXTBSY, libc::EMFILE] {
            assert!(!is_permanent(&io::Error::from_raw_os_error(number)));
        }
    }

    #[test]
    fn another_error_is_final() {
        let mut attempts = 0;
        let attempt = || -> io::Result<()> {
            attempts += 1;
            Err(io::ErrorKind::NotFound.into())
        };
        assert_eq!(
            retry_while_busy(attempt).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        assert_eq!(attempts, 1);
    }
}
