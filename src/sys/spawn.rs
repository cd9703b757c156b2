//! Starting a child.

use super::reap::Process;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, Command};
use std::thread;
use std::time::Duration;

/// Starts a program, and takes its pidfd; its standard error comes along if it was asked for as a pipe.
///
/// The standard library uses `posix_spawn` (which shares memory with the child until it runs the program, and copies no
/// page tables) unless the command has a `pre_exec` hook, another user, or a changed `PATH` to look a bare name up in.
///
/// # Blocking
/// Until the program runs, or has failed to. A program that somebody still has open for writing gets 63 ms to be
/// closed: in a program with threads a freshly written file can be held open by another thread's child for a moment.
///
/// # Errors
/// Those of [`Command::spawn`]; and that the system has no pidfds, or no descriptor left for one: then the child is
/// killed and reaped.
pub(crate) fn spawn(command: &mut Command) -> io::Result<(Process, Option<ChildStderr>)> {
    let mut child = spawn_patiently(command)?;
    match Process::open(child.id()) {
        Ok(process) => Ok((process, child.stderr.take())),
        Err(error) => {
            discard(child);
            Err(error)
        }
    }
}

/// Spawns, and tries again while the program's file is busy: 1, 2, 4, 8, 16 and 32 ms later.
fn spawn_patiently(command: &mut Command) -> io::Result<Child> {
    for exponent in 0..6 {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                thread::sleep(Duration::from_millis(1 << exponent));
            }
            result => return result,
        }
    }
    command.spawn()
}

/// Ends a child that cannot be kept. Nobody here has waited for it, so its number is its own.
fn discard(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// This program once more, even if its file was replaced or deleted meanwhile.
pub(crate) fn own_program() -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0(
        std::env::args_os()
            .next()
            .unwrap_or_else(|| OsString::from("offspring")),
    );
    command
}
