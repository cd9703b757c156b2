//! Threads of the crate, which block all signals, and signal masks.
//!
//! A signal to a process is delivered to any thread that does not block it. A program that blocks a signal in all its
//! threads, to wait for it with `sigwait`, would be killed if a thread of the crate took it. So all signals are blocked
//! while such a thread is created, and it inherits that mask.
//!
//! A program that such a thread starts would inherit the same mask. So the thread remembers the mask of its creator, and
//! [starts](with_creator_mask) programs with that one.
//!
//! Not here: threads of the user's, and locks (`base/sync.rs`).

mod mask;
mod suppress;

pub(crate) use self::mask::SignalMask;
pub(crate) use self::suppress::ignore_sigpipe;
pub(in crate::sys) use self::suppress::{without_sigpipe, without_sigxfsz};
use nix::sys::signal::{SigSet, Signal};
use std::cell::Cell;
use std::fs;
use std::io;
use std::thread::{Builder, Thread};

thread_local! {
    /// In a thread of the crate: the mask of the thread that created it.
    static CREATOR_MASK: Cell<Option<SignalMask>> = const { Cell::new(None) };
}

/// Starts a thread with this name that blocks all signals.
///
/// # Errors
/// The system has no room for another thread.
pub(crate) fn spawn_thread(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<Thread> {
    spawn_with(Builder::new().name(name.into()), run)
}

/// Like [`spawn_thread`], with a stack of 64 KiB.
pub(crate) fn spawn_small_thread(
    name: &str,
    run: impl FnOnce() + Send + 'static,
) -> io::Result<Thread> {
    let builder = Builder::new().name(name.into()).stack_size(64 << 10);
    spawn_with(builder, run)
}

fn spawn_with(builder: Builder, run: impl FnOnce() + Send + 'static) -> io::Result<Thread> {
    let handle = with_signals_blocked(|before| {
        let creator_mask = CREATOR_MASK.get().unwrap_or(before);
        builder.spawn(move || {
            CREATOR_MASK.set(Some(creator_mask));
            run();
        })
    });
    match handle {
        Ok(handle) => Ok(handle.thread().clone()),
        Err(error)
            if error.raw_os_error() == Some(libc::EINVAL) && children_get_other_pid_namespace() =>
        {
            Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "{error}: after `unshare(CLONE_NEWPID)` this thread cannot start others; start the child from a thread that was there before"
                ),
            ))
        }
        Err(error) => Err(error),
    }
}

/// Returns whether children of this thread get another namespace of process ids.
pub(in crate::sys) fn children_get_other_pid_namespace() -> bool {
    let link = |name: &str| fs::read_link(format!("/proc/thread-self/ns/{name}")).ok();
    // Before its first process, and after that has exited, the children's namespace has no link.
    link("pid") != link("pid_for_children")
}

/// Calls `run` with the mask before, while this thread blocks all signals. Threads that `run` creates inherit that.
pub(crate) fn with_signals_blocked<T>(run: impl FnOnce(SignalMask) -> T) -> T {
    with_mask(SignalMask::all(), run)
}

/// Returns the mask for children of this thread: its own, or its creator's in a thread of the crate.
pub(crate) fn mask_for_children() -> SignalMask {
    CREATOR_MASK.get().unwrap_or_else(SignalMask::current)
}

/// Calls `start` with the mask that the started program inherits.
pub(in crate::sys) fn with_creator_mask<T>(start: impl FnOnce() -> T) -> T {
    match CREATOR_MASK.get() {
        Some(mask) => with_mask(mask, |_| start()),
        None => start(),
    }
}

/// Lets programs that this thread of the crate starts inherit its own mask. For a thread that sets the mask of its
/// children in another way.
pub(crate) fn children_inherit_own_mask() {
    CREATOR_MASK.set(None);
}

/// Unblocks the signals of faults, for a thread that runs the user's code: the standard library's handler then reports a
/// stack overflow.
pub(crate) fn unblock_fault_signals() {
    use Signal::{SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP};
    let faults = SigSet::from_iter([SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP]);
    // It cannot fail.
    let _ = faults.thread_unblock();
}

fn with_mask<T>(mask: SignalMask, run: impl FnOnce(SignalMask) -> T) -> T {
    let before = RestoreMask(mask.set());
    run(before.0)
}

/// Restores the mask of a thread when it is dropped, also after a panic.
struct RestoreMask(SignalMask);

impl Drop for RestoreMask {
    fn drop(&mut self) {
        self.0.set();
    }
}
