//! A number in shared memory that one process increases and the other waits for.
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
//! The fences have a total order. If the mover's is first, the watcher sees the new value and does not sleep. If the
//! watcher's is first, the mover sees `sleeps` and sends a doorbell. So no wake-up is lost. A spurious doorbell is
//! possible and harmless: the watcher finds nothing new and sleeps again.
//!
//! The other process may write anything into both at any time. It can then get a spurious doorbell, or miss one, and
//! nothing else: the callers check each value before they use it.

use crate::base::sync::explored::{AtomicU32, AtomicU64, Ordering, fence};

/// A number that only grows, and whether the other side sleeps until it does. Both share a cache line, which the mover
/// owns after its store, so loading `sleeps` costs nothing.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub(crate) struct Counter {
    value: AtomicU64,
    sleeps: AtomicU32,
    /// The number of batches of file descriptors sent beside the counted bytes, modulo 2^32.
    batches: AtomicU32,
    /// Not zero once the number is final.
    ended: AtomicU32,
}

impl Counter {
    /// Returns the number, with acquire ordering.
    pub(super) fn get(&self) -> u64 {
        self.value.load(Ordering::Acquire)
    }

    /// Sets the number to `to`. Returns whether the other side sleeps and must be sent a doorbell.
    #[must_use]
    pub(super) fn advance(&self, to: u64) -> bool {
        self.value.store(to, Ordering::Release);
        fence(Ordering::SeqCst);
        self.sleeps.load(Ordering::Relaxed) != 0 && self.sleeps.swap(0, Ordering::Relaxed) != 0
    }

    /// Announces that this side is about to sleep until the number is no longer `seen`.
    ///
    /// # Errors
    /// The number, if it is not `seen`: this side must not sleep.
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

    /// Withdraws the announcement of [`sleep`](Self::sleep).
    pub(super) fn wake(&self) {
        self.sleeps.store(0, Ordering::Relaxed);
    }

    /// Marks the number as final.
    pub(in crate::sys) fn end(&self) {
        self.ended.store(1, Ordering::Release);
    }

    /// Returns whether the number is final. A load after this call returns the last value.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire) != 0
    }

    /// Counts a batch. To be called before the number is moved past its announcement.
    pub(super) fn count_batch(&self) {
        let sent = self.batches.load(Ordering::Relaxed);
        self.batches.store(sent.wrapping_add(1), Ordering::Relaxed);
    }

    /// Returns the number of batches sent, modulo 2^32.
    pub(super) fn batches(&self) -> u32 {
        self.batches.load(Ordering::Relaxed)
    }

    /// Returns the futex word: it is 1 while the watcher sleeps.
    pub(super) fn sleeps(&self) -> &AtomicU32 {
        &self.sleeps
    }
}
