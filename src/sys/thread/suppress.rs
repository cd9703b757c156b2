//! System calls that raise a signal beside their error, without the signal.
//!
//! A write to a pipe without a reader raises `SIGPIPE`; sockets have `MSG_NOSIGNAL`, pipes do not. A file or memory file
//! that grows beyond `RLIMIT_FSIZE` raises `SIGXFSZ`. The default action of both ends the process, and the disposition
//! belongs to the program. So the signal is blocked in this thread during the call, and consumed if the call has raised it.

use crate::sys::retry;
use nix::errno::Errno;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal};
use nix::sys::time::TimeSpec;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::time::Duration;

/// Ignores `SIGPIPE` from now on, as the standard library does before `main`.
pub(crate) fn ignore_sigpipe() {
    // SAFETY: no handler runs for an ignored signal. It cannot fail for `SIGPIPE`.
    let _ = unsafe { signal(Signal::SIGPIPE, SigHandler::SigIgn) };
}

/// Runs a write that returns `EPIPE` without raising `SIGPIPE`.
pub(in crate::sys) fn without_sigpipe<T>(write: impl FnOnce() -> nix::Result<T>) -> nix::Result<T> {
    without_signal(Signal::SIGPIPE, Errno::EPIPE, write)
}

/// Runs a call that grows a file to `length` bytes, without raising `SIGXFSZ`.
///
/// # Errors
/// [`FileTooLarge`](io::ErrorKind::FileTooLarge), with a text that names the limit, or another error of the call.
pub(in crate::sys) fn without_sigxfsz<T>(
    length: usize,
    grow: impl FnOnce() -> nix::Result<T>,
) -> io::Result<T> {
    match without_signal(Signal::SIGXFSZ, Errno::EFBIG, grow) {
        Err(Errno::EFBIG) => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!(
                "a memory file of {length} bytes is longer than a file may be here: raise the limit (`RLIMIT_FSIZE`, `ulimit -f`; `Limits::file_size` of a worker)"
            ),
        )),
        result => Ok(result?),
    }
}

/// Runs a call that raises `signal` when it fails with `error`.
fn without_signal<T>(
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
        consume_pending(&set);
    }
    before.thread_set_mask()?;
    result
}

/// Returns whether the signal is pending. If it was before the call, other code has raised it.
fn is_pending(signal: Signal) -> bool {
    let mut pending = MaybeUninit::uninit();
    // SAFETY: `sigpending` initialises the set.
    let pending = unsafe {
        libc::sigpending(pending.as_mut_ptr());
        SigSet::from_sigset_t_unchecked(pending.assume_init())
    };
    pending.contains(signal)
}

/// Consumes the pending signal, without waiting for one.
fn consume_pending(set: &SigSet) {
    let now = TimeSpec::from(Duration::ZERO);
    // SAFETY: both pointers are to live values; a null pointer means that the `siginfo_t` is not wanted.
    let call = || unsafe { libc::sigtimedwait(set.as_ref(), ptr::null_mut(), now.as_ref()) };
    let _ = retry(|| Errno::result(call()));
}
