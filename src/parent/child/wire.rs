//! What the driver needs of the operating system, so that it can be explored
//! with none.

use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::time::Instant;

use crate::sys::{Arrival, Interest, ReadMode, Ready};

/// One link and the helper that watches it.
pub(crate) trait Wire: Send + Sync + 'static {
    /// Writes without blocking; `None`: the socket is full. The descriptors go
    /// with the first octet.
    fn try_send(&self, parts: &[IoSlice<'_>], descriptors: &[OwnedFd])
    -> io::Result<Option<usize>>;
    /// Reads at most `room` bytes; zero at the end, `None` if there is nothing, or it was
    /// woken for something else.
    fn recv(
        &self,
        mode: ReadMode,
        buffer: &mut Vec<u8>,
        room: usize,
        arrivals: &mut Vec<Arrival>,
    ) -> io::Result<Option<usize>>;
    /// Takes note that the child uses the rings that it was offered; behind its
    /// hello this has come over the socket.
    fn accept_rings(&self, _bytes: &[u8], _arrivals: Vec<Arrival>) {}
    /// Takes note that it does not, and returns what is to be sent over the socket
    /// instead. Nobody may be writing.
    fn refuse_rings(&self) -> Vec<u8> {
        Vec::new()
    }
    /// Takes doorbells off the socket. No thread may be reading.
    fn take_doorbells(&self) {}
    /// With rings, has the helper hear of what comes or finds room from now on; also
    /// of what comes, if it may `reads`: no thread may be reading then.
    fn watch_again(&self, _reads: bool) {}
    /// Rings are in use: the thread that reads minds room to write, too.
    fn has_rings(&self) -> bool {
        false
    }
    /// Whether what found no room has to wait; else there is room by now.
    fn awaits_room(&self) -> bool {
        true
    }
    /// There is room again in the rings.
    fn has_room_again(&self) -> bool {
        false
    }
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
