//! The standard streams of a child, and what else a child is told by the system.

use super::high::{create, pipe};
use nix::fcntl::{OFlag, open};
use nix::sys::prctl;
use nix::sys::stat::{Mode, fstat};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, fchdir};
use std::ffi::CString;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

/// Reads as empty, and takes whatever is written.
pub(crate) fn null() -> io::Result<OwnedFd> {
    open_device("/dev/null")
}

fn open_device(device: &str) -> io::Result<OwnedFd> {
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC;
    Ok(create(|| open(device, flags, Mode::empty()))?)
}

/// What reads as empty, also where a sandbox has no devices.
fn nothing(device: &str) -> io::Result<OwnedFd> {
    open_device(device).or_else(|_| Ok(pipe()?.0))
}

/// Moves descriptor 0 to one above 2; descriptor 0 then reads as empty.
///
/// What was already read into the buffer of [`io::stdin`] is lost.
pub(crate) fn take_stdin() -> io::Result<OwnedFd> {
    let taken = io::stdin().as_fd().try_clone_to_owned()?;
    dup2_stdin(nothing("/dev/null")?)?;
    Ok(taken)
}

/// Moves descriptor 1 to one above 2; what is written to 1 then goes to standard error.
///
/// What waits in the buffer of [`io::stdout`] goes to standard error too.
pub(crate) fn take_stdout() -> io::Result<OwnedFd> {
    let taken = io::stdout().as_fd().try_clone_to_owned()?;
    if dup2_stdout(io::stderr()).is_err() {
        // There is none.
        dup2_stdout(nothing("/dev/null")?)?;
    }
    Ok(taken)
}

/// Whether descriptor 1 is open to the same file, if it is open at all.
pub(crate) fn is_stdout(fd: &OwnedFd) -> io::Result<bool> {
    let own = fstat(fd)?;
    Ok(fstat(io::stdout())
        .is_ok_and(|other| (own.st_dev, own.st_ino) == (other.st_dev, other.st_ino)))
}

/// Makes a descriptor the standard stream of this number. The buffer of [`io::stdout`] has to be empty.
pub(crate) fn put_stream(number: usize, fd: &OwnedFd) -> io::Result<()> {
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

/// A directory, only to be entered.
pub(crate) fn open_directory(path: &PathBuf) -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    Ok(create(|| open(path, flags, Mode::empty()))?)
}

/// Makes a directory the working directory.
pub(crate) fn enter(directory: OwnedFd) -> io::Result<()> {
    fchdir(directory)?;
    Ok(())
}

/// Writes what waits in the buffers of the standard library and of libc, so that a fork does not double it.
pub(crate) fn flush_streams() {
    // What cannot be written is lost, as it would be at the end of the process.
    let _ = io::stdout().flush();
    // SAFETY: a null pointer asks for all streams of libc, each of which has a lock of its own.
    unsafe { libc::fflush(std::ptr::null_mut()) };
}

/// Names this thread, as `ps` and debuggers show it: the first 15 bytes, up to a zero.
pub(crate) fn set_thread_name(name: &str) -> io::Result<()> {
    let octets: Vec<u8> = name
        .bytes()
        .take(15)
        .take_while(|&octet| octet != 0)
        .collect();
    prctl::set_name(&CString::new(octets)?)?;
    Ok(())
}

/// Ends this process at once: no exit handlers, no destructors.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` takes any number and touches no memory of ours.
    unsafe { libc::_exit(code) }
}

/// How many CPUs this thread may use; 1 if the system does not say.
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
            let mut file = File::from(nothing(device).unwrap());
            assert_eq!(file.read_to_string(&mut text).unwrap(), 0);
        }
    }
}
