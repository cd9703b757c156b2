//! System calls that raise a signal where an error would do, without the signal.
//!
//! A write to a pipe without a reader raises `SIGPIPE`; a socket has `MSG_NOSIGNAL`, a pipe has nothing like it. A file
//! that grows beyond `RLIMIT_FSIZE` raises `SIGXFSZ`, a memory file too. The program's dispositions of these signals are
//! not ours to change, and the default ends the process. So the signal is blocked for this thread during the call, and
//! taken back if the call has raised it.

use super::retry;
use nix::errno::Errno;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal};
use std::io;
use std::mem::MaybeUninit;
use std::ptr;

/// Has `SIGPIPE` ignored from now on, as the standard library has before `main`.
pub(crate) fn ignore_sigpipe() {
    // SAFETY: no handler runs for a signal that is ignored. It fails for no signal that exists.
    let _ = unsafe { signal(Signal::SIGPIPE, SigHandler::SigIgn) };
}

/// Runs a write; if that would raise `SIGPIPE`, there is only the error `EPIPE`.
pub(super) fn without_sigpipe<T>(write: impl FnOnce() -> nix::Result<T>) -> nix::Result<T> {
    without(Signal::SIGPIPE, Errno::EPIPE, write)
}

/// Runs what makes a file longer, up to this length; if that would raise `SIGXFSZ`, there is only an error.
///
/// # Errors
/// [`FileTooLarge`](io::ErrorKind::FileTooLarge), in words that say which limit it is; or another one of the call.
pub(super) fn without_sigxfsz<T>(
    length: usize,
    grow: impl FnOnce() -> nix::Result<T>,
) -> io::Result<T> {
    match without(Signal::SIGXFSZ, Errno::EFBIG, grow) {
        Err(Errno::EFBIG) => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!(
                "a memory file of {length} bytes is longer than a file may be here: raise the limit (`RLIMIT_FSIZE`, `ulimit -f`; `Limits::file_size` of a worker)"
            ),
        )),
        result => Ok(result?),
    }
}

/// Runs a call that raises this signal where it fails with this error.
fn without<T>(
    signal: Signal,
    error: Errno,
    call: impl FnOnce() -> nix::Result<T>,
) -> nix::Result<T> {
    let mut set = SigSet::empty();
    set.add(signal);
    let before = set.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let pending = before.contains(signal) && is_pending(signal);
    let result = call();
    if result.as_ref().err() == Some(&error) && !pending {
        take_back(&set);
    }
    before.thread_set_mask()?;
    result
}

/// Whether the signal waited before, in a thread that had it blocked: then it is somebody else's.
fn is_pending(signal: Signal) -> bool {
    let mut pending = MaybeUninit::uninit();
    // SAFETY: `sigpending` initialises the set that it is given, which lives on this stack.
    let pending = unsafe {
        libc::sigpending(pending.as_mut_ptr());
        SigSet::from_sigset_t_unchecked(pending.assume_init())
    };
    pending.contains(signal)
}

/// Takes the signal that is pending for this thread, without waiting for one.
fn take_back(set: &SigSet) {
    let now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: both pointers are to live values, and a null pointer says that the details are not wanted.
    let call = || unsafe { libc::sigtimedwait(set.as_ref(), ptr::null_mut(), &now) };
    let _ = retry(|| Errno::result(call()));
}
