//! One number in shared memory, which one process moves on and the other waits for.
//!
//! ```text
//! mover                                    watcher
//!   value = n                                sleeps = 1
//!   fence                                    fence
//!   if sleeps and swap(sleeps, 0):           if value is still what was seen:
//!       send a doorbell                          sleep until a doorbell comes
//!                                            else sleeps = 0
//! ```
//!
//! The fences have one order. If the mover's is first, the watcher sees the new value and does not sleep; if the
//! watcher's is first, the mover sees `sleeps` and sends a doorbell. So no wake-up is lost. A doorbell too many is
//! possible, and harmless: the watcher looks, finds nothing new, and sleeps again.
//!
//! The other process may write anything into both at any time. Then it may get a doorbell too many, or none, and no
//! more: the callers check each value before they use it.

use crate::base::sync::explored::{AtomicU32, AtomicU64, Ordering, fence};

/// A number that only grows, and whether the other side sleeps until it does. The two share a cache line: the mover,
/// who owns the line after its store, looks at `sleeps` for free.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub(crate) struct Counter {
    value: AtomicU64,
    sleeps: AtomicU32,
    /// How many lots of file descriptors were sent beside the bytes that are counted, modulo 2^32.
    lots: AtomicU32,
    /// Not zero once the number is moved no more.
    ended: AtomicU32,
}

impl Counter {
    /// Returns the number; what was written before it was moved here is visible.
    pub(super) fn get(&self) -> u64 {
        self.value.load(Ordering::Acquire)
    }

    /// Moves the number to `to`. Returns whether the other side sleeps: then it must be sent a doorbell.
    #[must_use]
    pub(super) fn advance(&self, to: u64) -> bool {
        self.value.store(to, Ordering::Release);
        fence(Ordering::SeqCst);
        self.sleeps.load(Ordering::Relaxed) != 0 && self.sleeps.swap(0, Ordering::Relaxed) != 0
    }

    /// Says that this side is about to sleep until the number is no longer `seen`.
    ///
    /// # Errors
    /// It is not `seen` any more, but this: this side must not sleep.
    pub(super) fn sleep(&self, seen: u64) -> Result<(), u64> {
        self.sleeps.store(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let value = self.get();
        if value == seen {
            return Ok(());
        }
        self.wake();
        Err(value)
    }

    /// Says that this side does not sleep.
    pub(super) fn wake(&self) {
        self.sleeps.store(0, Ordering::Relaxed);
    }

    /// Says that the number is moved no more.
    pub(super) fn end(&self) {
        self.ended.store(1, Ordering::Release);
    }

    /// Returns whether the number is moved no more: what is read from it after this is the last.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire) != 0
    }

    /// Counts one more lot, before the number is moved past its announcement.
    pub(super) fn add_lot(&self) {
        let sent = self.lots.load(Ordering::Relaxed);
        self.lots.store(sent.wrapping_add(1), Ordering::Relaxed);
    }

    /// Returns how many lots were sent, modulo 2^32.
    pub(super) fn lots(&self) -> u32 {
        self.lots.load(Ordering::Relaxed)
    }

    /// Returns the word that a thread can sleep on while this side has said that it sleeps.
    pub(super) fn sleeps(&self) -> &AtomicU32 {
        &self.sleeps
    }
}
