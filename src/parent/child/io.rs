//! The operating system, as far as the driver needs it. The tests of the driver have an [`Io`] without
//! an operating system.

use std::io;
use std::time::Instant;

use crate::sys::Link;

/// One link, and the reactor that watches it.
pub(crate) trait Io: Send + Sync + 'static {
    type Link: Link;

    fn link(&self) -> &Self::Link;
    /// With rings, asks the child for a doorbell when there is room to write, and if `reads` is
    /// true, when there is something to read. No thread may be reading then.
    fn watch_again(&self, reads: bool);
    /// Has the reactor call [`Driver::readable`](super::driver::Driver::readable) and
    /// [`Driver::writable`](super::driver::Driver::writable), or stops that. `None` changes nothing.
    fn watch(&self, read: Option<bool>, write: Option<bool>);
    /// Has the reactor call [`Driver::timer_fired`](super::driver::Driver::timer_fired) at `at`.
    fn tick_at(&self, at: Instant);
    /// Cancels [`tick_at`](Self::tick_at).
    fn cancel_tick(&self, at: Instant);
    /// Sends a signal to the child. If it cannot be killed, its link is cut.
    ///
    /// # Errors
    /// The system refuses to send the signal.
    fn signal(&self, signal: i32) -> io::Result<()>;
}
