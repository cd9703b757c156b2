//! What the driver needs of the operating system, so that it can be explored
//! with none.

use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::time::Instant;

use crate::sys::{Arrival, Interest, Ready};

/// One link and the helper that watches it.
pub(crate) trait Wire: Send + Sync + 'static {
    /// Writes without blocking; `None`: the socket is full. The descriptors go
    /// with the first octet.
    fn try_send(&self, parts: &[IoSlice<'_>], descriptors: &[OwnedFd])
    -> io::Result<Option<usize>>;
    /// Writes, but blocks for no longer than a millisecond or so without any
    /// progress; `None`: nothing was written.
    fn send(&self, parts: &[IoSlice<'_>], descriptors: &[OwnedFd]) -> io::Result<Option<usize>>;
    /// Reads, blocking, at most `room` octets; 0 at the end.
    fn recv(
        &self,
        buffer: &mut Vec<u8>,
        room: usize,
        arrival: &mut Option<Arrival>,
    ) -> io::Result<usize>;
    /// Reads without blocking.
    fn try_recv(
        &self,
        buffer: &mut Vec<u8>,
        room: usize,
        arrival: &mut Option<Arrival>,
    ) -> io::Result<Option<usize>>;
    /// How many bytes have come that were not read.
    fn unread(&self) -> u64;
    /// Waits until reading or writing would not block.
    fn wait(&self, interest: Interest, deadline: Option<Instant>) -> io::Result<Ready>;
    /// The child sees the end of its input.
    fn shutdown_write(&self);
    /// The helper shall call `readable`, or stop.
    fn watch_read(&self, on: bool);
    /// The helper shall call `writable`, or stop.
    fn watch_write(&self, on: bool);
    /// The helper shall call `tick` then.
    fn tick_at(&self, at: Instant);
    /// It need not: nothing is to be done then any more.
    fn no_tick_at(&self, at: Instant);
    /// Sends the child a signal. If it refuses to be killed the link is cut.
    ///
    /// # Errors
    /// The system refuses to send it.
    fn signal(&self, signal: i32) -> io::Result<()>;
}
