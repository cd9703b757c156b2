//! Writing to what is no socket without being killed by `SIGPIPE`.
//!
//! A socket has `MSG_NOSIGNAL`; a pipe has nothing like it, and the program's disposition of the signal is not ours to
//! change. So the signal is blocked for this thread while it writes, and taken back if the write has raised it.

use super::retry;
use nix::errno::Errno;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal};
use std::mem::MaybeUninit;
use std::ptr;

/// Has `SIGPIPE` ignored from now on, as the standard library has before `main`.
pub(crate) fn ignore_sigpipe() {
    // SAFETY: no handler runs for a signal that is ignored. It fails for no signal that exists.
    let _ = unsafe { signal(Signal::SIGPIPE, SigHandler::SigIgn) };
}

/// Runs a write; if that would raise `SIGPIPE`, there is only the error `EPIPE`.
pub(super) fn without_sigpipe<T>(write: impl FnOnce() -> nix::Result<T>) -> nix::Result<T> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGPIPE);
    let before = set.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let pending = before.contains(Signal::SIGPIPE) && is_pending();
    let result = write();
    if matches!(result, Err(Errno::EPIPE)) && !pending {
        take_back(&set);
    }
    before.thread_set_mask()?;
    result
}

/// Whether the signal waited before, in a thread that had it blocked: then it is somebody else's.
fn is_pending() -> bool {
    let mut pending = MaybeUninit::uninit();
    // SAFETY: `sigpending` initialises the set that it is given, which lives on this stack.
    let pending = unsafe {
        libc::sigpending(pending.as_mut_ptr());
        SigSet::from_sigset_t_unchecked(pending.assume_init())
    };
    pending.contains(Signal::SIGPIPE)
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
