//! A child's standard streams, directory, name and exit.

use crate::sys::fd::{create, pipe};
use nix::fcntl::{OFlag, open};
use nix::sys::prctl;
use nix::sys::stat::{Mode, fstat};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, fchdir};
use std::ffi::CString;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

/// Opens `/dev/null`.
pub(crate) fn null() -> io::Result<OwnedFd> {
    open_device("/dev/null")
}

fn open_device(device: &str) -> io::Result<OwnedFd> {
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC;
    Ok(create(|| open(device, flags, Mode::empty()))?)
}

/// Opens a device that reads as empty, or a pipe in a sandbox without devices.
fn empty_input(device: &str) -> io::Result<OwnedFd> {
    open_device(device).or_else(|_| Ok(pipe()?.0))
}

/// Moves file descriptor 0 to a number above 2; stdin then reads as empty.
///
/// The content of the buffer of [`io::stdin`] is lost.
pub(crate) fn take_stdin() -> io::Result<OwnedFd> {
    let taken = io::stdin().as_fd().try_clone_to_owned()?;
    dup2_stdin(empty_input("/dev/null")?)?;
    Ok(taken)
}

/// Moves file descriptor 1 to a number above 2; output to stdout then goes to stderr, with the content of the buffer of
/// [`io::stdout`].
pub(crate) fn take_stdout() -> io::Result<OwnedFd> {
    let taken = io::stdout().as_fd().try_clone_to_owned()?;
    if dup2_stdout(io::stderr()).is_err() {
        // Stderr is closed.
        dup2_stdout(empty_input("/dev/null")?)?;
    }
    Ok(taken)
}

/// Returns whether stdout is open to the same file as `fd`.
pub(crate) fn is_stdout(fd: &OwnedFd) -> io::Result<bool> {
    let own = fstat(fd)?;
    Ok(fstat(io::stdout())
        .is_ok_and(|other| (own.st_dev, own.st_ino) == (other.st_dev, other.st_ino)))
}

/// Makes `fd` the standard stream of this number. The buffer of [`io::stdout`] must be empty.
pub(crate) fn set_stdio(number: usize, fd: &OwnedFd) -> io::Result<()> {
    debug_assert!(
        fd.as_raw_fd() > 2,
        "an owned descriptor is no standard stream"
    );
    match number {
        0 => dup2_stdin(fd),
        1 => dup2_stdout(fd),
        _ => dup2_stderr(fd),
    }?;
    Ok(())
}

/// Opens a directory for [`enter`].
pub(crate) fn open_directory(path: &PathBuf) -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    Ok(create(|| open(path, flags, Mode::empty()))?)
}

/// Makes `directory` the working directory.
pub(crate) fn enter(directory: OwnedFd) -> io::Result<()> {
    fchdir(directory)?;
    Ok(())
}

/// Flushes the buffers of the standard library and of libc, so that a fork does not copy their content.
pub(crate) fn flush_stdio() {
    // Text that cannot be written is lost, as at exit.
    let _ = io::stdout().flush();
    // SAFETY: a null pointer means all streams of libc, each of which has a lock.
    unsafe { libc::fflush(std::ptr::null_mut()) };
}

/// Sets the name of this thread, which `ps` and debuggers show, to the first 15 bytes of `name`, up to a zero.
pub(crate) fn set_thread_name(name: &str) -> io::Result<()> {
    let bytes = name.bytes().take(15).take_while(|&byte| byte != 0);
    prctl::set_name(&CString::new(bytes.collect::<Vec<_>>())?)?;
    Ok(())
}

/// Exits at once, without exit handlers and destructors.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` takes any number and touches no memory of ours.
    unsafe { libc::_exit(code) }
}

/// Returns the number of CPUs that this thread may use: 1 if the system does not say.
pub(crate) fn cpus() -> usize {
    let own = nix::unistd::Pid::from_raw(0);
    let Ok(set) = nix::sched::sched_getaffinity(own) else {
        return 1;
    };
    (0..nix::sched::CpuSet::count())
        .filter(|cpu| set.is_set(*cpu).unwrap_or(false))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read;

    #[test]
    fn nothing_reads_as_empty_even_without_devices() {
        for device in ["/dev/null", "/no such/device"] {
            let mut text = String::new();
            let mut file = File::from(empty_input(device).unwrap());
            assert_eq!(file.read_to_string(&mut text).unwrap(), 0);
        }
    }
}
