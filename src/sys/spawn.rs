//! Starting a child.

use super::high::above_streams;
use super::reap::{Fresh, Process};
use super::retry;
use super::thread::{as_creator, children_are_elsewhere};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{AccessFlags, Pid, access};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

/// Starts a program, and takes its pidfd. Then `prepare` is given its number.
///
/// The standard library uses `posix_spawn` (which shares memory with the child until it runs the program, and copies no
/// page tables) unless the command has a `pre_exec` hook, another user, or a changed `PATH` to look a bare name up in.
///
/// # Blocking
/// Until the program runs, or has failed to. A program that another process still has open for writing gets 63 ms to be
/// closed: in a program with threads a freshly written file can be held open by another thread's child for a moment.
///
/// # Errors
/// Those of [`Command::spawn`]; and that the system has no pidfds, or no descriptor left for one: then the child is
/// killed and reaped. So it is when `prepare` fails, unless it has ended by itself before that.
pub(crate) fn spawn(
    command: &mut Command,
    prepare: impl FnOnce(u32) -> io::Result<()>,
) -> io::Result<Fresh> {
    let child = patiently(|| above_streams(|| as_creator(|| command.spawn())))?;
    let prepared = Process::open(child.id()).and_then(|process| match prepare(child.id()) {
        Err(error) if !process.is_over()? => Err(error),
        _ => Ok(process),
    });
    match prepared {
        Ok(process) => Ok(Fresh::new(process)),
        Err(error) => {
            discard(child);
            Err(error)
        }
    }
}

/// Whether a start has failed for a reason that stays as long as the command and the files that it names are the same.
/// Others may pass: a busy file, no memory, too many processes or open files.
pub(crate) fn is_lasting(error: &io::Error) -> bool {
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

/// Tries again while the program's file is busy: 1, 2, 4, 8, 16 and 32 ms later.
fn patiently<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
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

/// Takes the pidfd of a child that a template has forked for this process, just now.
///
/// # Errors
/// As for [`spawn`]: then the child is killed and reaped.
pub(crate) fn adopt(pid: u32) -> io::Result<Fresh> {
    let opened = Process::open(pid).inspect_err(|_| {
        let pid = Pid::from_raw(pid as i32);
        // This process has not waited for it, so its number is its own.
        let _ = kill(pid, Signal::SIGKILL);
        let _ = retry(|| waitpid(pid, None));
    });
    opened.map(Fresh::new)
}

/// Ends a child that cannot be kept. This process has not waited for it, so its number is its own.
fn discard(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// Why a program was not started, in words: the error of the system is the same for a directory, a program, and the
/// loader of the program.
pub(crate) fn why_not_started(
    program: &Path,
    directory: Option<&Path>,
    error: &io::Error,
) -> String {
    let is_there = |path: &Path| fs::metadata(path).is_ok();
    if let Some(directory) = directory
        && fs::read_dir(directory).is_err()
        && access(directory, AccessFlags::X_OK).is_err()
    {
        return no_directory(directory);
    }
    let name = program.display();
    match error.raw_os_error() {
        Some(libc::ENOENT) if program == Path::new(OWN) && !is_there(Path::new("/proc/self")) => {
            "this program is found by way of `/proc`, which is not mounted here (a chroot or a container needs it, too); else start a worker by its path, with `program`".into()
        }
        Some(libc::ENOENT) if program.is_absolute() && is_there(program) => format!(
            "`{name}` is there, but not what runs it: its loader, or the interpreter behind `#!`"
        ),
        Some(libc::ENOENT) if program.components().count() > 1 || program.has_root() => {
            format!("there is no program `{name}`")
        }
        Some(libc::ENOENT) => format!("there is no program `{name}` in `PATH`"),
        Some(libc::EACCES) => format!("`{name}` may not be executed"),
        Some(libc::ENOMEM) if children_are_elsewhere() => {
            "children go into another namespace of process ids (after `unshare(CLONE_NEWPID)`), and the first process there has ended, so there can be no more".into()
        }
        _ => format!("`{name}` could not be run"),
    }
}

/// Names the directory that cannot be entered.
pub(crate) fn no_directory(path: &Path) -> String {
    format!("the directory `{}` cannot be entered", path.display())
}

/// Where the system has a program's own file.
const OWN: &str = "/proc/self/exe";

/// This program once more, even if its file was replaced or deleted.
pub(crate) fn own_program() -> Command {
    let mut command = Command::new(OWN);
    command.arg0(
        std::env::args_os()
            .next()
            .unwrap_or_else(|| OsString::from("offspring")),
    );
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
        assert_eq!(patiently(attempt).unwrap(), -1);
    }

    #[test]
    fn what_another_attempt_may_mend() {
        let lasting = |program: &str| {
            let error = spawn(&mut Command::new(program), |_| Ok(())).unwrap_err();
            is_lasting(&error)
        };
        // Not there; not executable; no file; an impossible name.
        for program in ["/nowhere/at/all", "/proc/self/maps", "/", "a\0b"] {
            assert!(lasting(program), "{program}");
        }
        for number in [libc::EAGAIN, libc::ENOMEM, libc::ETXTBSY, libc::EMFILE] {
            assert!(!is_lasting(&io::Error::from_raw_os_error(number)));
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
            patiently(attempt).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        assert_eq!(attempts, 1);
    }
}
