//! Threads of the crate: they take no signals, which are the program's.
//!
//! A signal to a process goes to any thread that does not block it. A program that blocks one everywhere, to wait for it
//! with `sigwait`, would be ended by it if one of the crate's threads took it. So all signals are blocked while such a
//! thread is created, and it is born that way.
//!
//! A program started by such a thread would inherit that all are blocked. So the thread keeps the mask of the thread that
//! it was created by, and a child is [started](as_creator) with that one.

use super::mask::Mask;
use nix::sys::signal::{SigSet, Signal};
use std::cell::Cell;
use std::fs;
use std::io;
use std::thread::{Builder, Thread};

thread_local! {
    /// In a thread of the crate: what the thread that created it blocks.
    static CREATOR_BLOCKS: Cell<Option<Mask>> = const { Cell::new(None) };
}

/// Starts a thread of this name, which blocks all signals.
///
/// # Errors
/// The system has no room for another thread.
pub(crate) fn spawn_thread(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<Thread> {
    spawn_built(Builder::new().name(name.into()), run)
}

/// The same, for a thread that needs a stack of no more than 64 KiB.
pub(crate) fn spawn_small_thread(
    name: &str,
    run: impl FnOnce() + Send + 'static,
) -> io::Result<Thread> {
    let builder = Builder::new().name(name.into()).stack_size(64 << 10);
    spawn_built(builder, run)
}

fn spawn_built(builder: Builder, run: impl FnOnce() + Send + 'static) -> io::Result<Thread> {
    let handle = with_signals_blocked(|before| {
        let creator_blocks = CREATOR_BLOCKS.get().unwrap_or(before);
        builder.spawn(move || {
            CREATOR_BLOCKS.set(Some(creator_blocks));
            run();
        })
    });
    match handle {
        Ok(handle) => Ok(handle.thread().clone()),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) && children_are_elsewhere() => {
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

/// Whether children of this thread go into another namespace of process ids than it is in.
pub(super) fn children_are_elsewhere() -> bool {
    let link = |name: &str| fs::read_link(format!("/proc/thread-self/ns/{name}")).ok();
    // There is none for children before the first of them, and after its end.
    link("pid") != link("pid_for_children")
}

/// Calls `run` while this thread blocks all signals: threads created meanwhile do so, too. `run` gets the mask before.
pub(crate) fn with_signals_blocked<T>(run: impl FnOnce(Mask) -> T) -> T {
    with_mask(Mask::all(), run)
}

/// The mask that children of this thread are to have: in a thread of the crate, that of the thread which created it.
pub(crate) fn caller_mask() -> Mask {
    CREATOR_BLOCKS.get().unwrap_or_else(Mask::current)
}

/// Calls `start` with the mask that the program which it starts is to inherit.
pub(super) fn as_creator<T>(start: impl FnOnce() -> T) -> T {
    match CREATOR_BLOCKS.get() {
        Some(mask) => with_mask(mask, |_| start()),
        None => start(),
    }
}

/// From now on programs that this thread of the crate starts inherit its own mask. For a thread that sees to the mask
/// of its children in another way.
pub(crate) fn hand_down_own_mask() {
    CREATOR_BLOCKS.set(None);
}

/// Lets signals of faults reach this thread, for it runs code of the user's: the standard library's handler then says
/// that a stack has overflowed.
pub(crate) fn take_faults() {
    let mut faults = SigSet::empty();
    for signal in [
        Signal::SIGBUS,
        Signal::SIGFPE,
        Signal::SIGILL,
        Signal::SIGSEGV,
        Signal::SIGTRAP,
        Signal::SIGSYS,
    ] {
        faults.add(signal);
    }
    // It fails for no set.
    let _ = faults.thread_unblock();
}

fn with_mask<T>(mask: Mask, run: impl FnOnce(Mask) -> T) -> T {
    let before = Restored(mask.set());
    run(before.0)
}

/// The mask of a thread, which is set again at the end, also after a panic.
struct Restored(Mask);

impl Drop for Restored {
    fn drop(&mut self) {
        self.0.set();
    }
}
