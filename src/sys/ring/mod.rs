//! Two byte rings in memory that parent and child share, so that a local link needs no system call while both are awake.
//!
//! Not here: the socket beside the rings, and the ends of a link (`link`).
//!
//! A ring is `CAPACITY` bytes and two [counters](Counter): `head`, how many bytes its writer has put in since the
//! start, and `tail`, how many its reader has taken out. Byte `n` of the stream lies at `n` modulo the capacity. Each
//! side keeps a copy of the counter that it moves, and the last value of the other's that it saw.
//!
//! * **Writing**: copy in what fits, move `head`, send a doorbell if the reader sleeps. `head` is moved after each
//!   [`CHUNK`], so the reader copies one chunk of a long message while the writer copies the next.
//! * **Reading**: copy out what is available, move `tail`, send a doorbell if the writer sleeps. Only the private copy is
//!   parsed.
//! * **Sleeping**: set `sleeps` beside the awaited counter, load the counter once more, then block on the socket.
//! * **Doorbell**: one byte on the socket. The caller sends it.
//! * **The end**: after the end of the socket, or of the process, the bytes before `head` are still read. A writer that
//!   ends its stream also sets a flag beside `head`, for a reader that looks at the memory only.
//! * **File descriptors** are sent over the socket, one message per batch, before `head` is moved past the bytes that
//!   announce them. A count of the batches lies beside `head`, so a reader that is awake knows when to read the socket. At
//!   most one batch is ahead of `head`.
//!
//! The other process may write anything into the memory at any time. A counter is loaded once, checked, and only then
//! used: a value below the last one, or more than the capacity ahead, is a violation. Nothing in the memory is lent. Each
//! step of a loop copies bytes or sleeps, so a lying peer cannot make a loop spin.

mod counter;
mod fd_queue;
mod memory;
mod rings;
#[cfg(test)]
mod tests;

use std::io::{self, IoSlice};
use std::sync::Arc;

use self::counter::Counter;
pub(crate) use self::memory::LinkMemory;
pub(in crate::sys) use self::rings::send_doorbell;
pub(crate) use self::rings::{Rings, coarse_clock};
use crate::base::sync::explored::{AtomicU64, Ordering};

/// `head` and `tail` are moved after this many bytes. Measured round trip of 1 MiB: 0.22 to 0.3 ms with 8 KiB, 0.42 to
/// 0.6 ms if all that fits is published at once.
const CHUNK: usize = 8 << 10;

/// The ring that is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// The parent writes, the child reads.
    ToChild,
    /// The child writes, the parent reads.
    ToParent,
}

/// The memory of two rings.
pub(crate) trait RingMemory {
    /// The size of a ring in bytes.
    fn capacity(&self) -> usize;
    /// The numbers of bytes ever written into the ring (`head`) and ever read from it (`tail`).
    fn counters(&self, direction: Direction) -> &[Counter; 2];
    /// Copies `bytes`, at most the capacity, to the position of byte `at` of the stream.
    fn copy_in(&self, direction: Direction, at: u64, bytes: &[u8]);
    /// Appends `count` bytes, at most the capacity, from the position of byte `at` of the stream.
    fn copy_out(&self, direction: Direction, at: u64, count: usize, buffer: &mut Vec<u8>);
}

/// The writing or the reading end of a ring, for one thread at a time.
///
/// The writer moves `head`, and may go up to `tail` plus the capacity. The reader moves `tail`, and may go up to `head`.
#[derive(Debug)]
pub(crate) struct RingEnd<M> {
    memory: Arc<M>,
    direction: Direction,
    /// The number of bytes that this end may be ahead of the other's counter: the capacity for a writer, zero for a reader.
    lead: u64,
    /// The number of bytes that this end has passed on: the private copy of the counter that it moves.
    position: AtomicU64,
    /// Up to which position it may go, by the other's counter as last seen.
    limit: AtomicU64,
}

impl<M: RingMemory> RingEnd<M> {
    /// Returns the writing end of an empty ring.
    pub(crate) fn writer(memory: Arc<M>, direction: Direction) -> Self {
        let capacity = memory.capacity() as u64;
        Self::new(memory, direction, capacity)
    }

    /// Returns the reading end of an empty ring.
    pub(crate) fn reader(memory: Arc<M>, direction: Direction) -> Self {
        Self::new(memory, direction, 0)
    }

    fn new(memory: Arc<M>, direction: Direction, lead: u64) -> Self {
        Self {
            memory,
            direction,
            lead,
            position: AtomicU64::new(0),
            limit: AtomicU64::new(lead),
        }
    }

    /// Returns the counter that this end moves.
    pub(super) fn own(&self) -> &Counter {
        &self.memory.counters(self.direction)[usize::from(self.lead == 0)]
    }

    /// Returns the counter that the other end moves.
    pub(super) fn other(&self) -> &Counter {
        &self.memory.counters(self.direction)[usize::from(self.lead > 0)]
    }

    /// Returns the number of bytes that this end has passed on, which is the position of the next.
    pub(super) fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }

    /// Moves the counter of this end. Returns whether the other end sleeps and must be sent a doorbell.
    #[must_use]
    fn advance(&self, to: u64) -> bool {
        self.position.store(to, Ordering::Relaxed);
        self.own().advance(to)
    }

    /// In a writer: writes what fits and returns the number of bytes. Calls `doorbell` if the reader sleeps.
    ///
    /// # Errors
    /// The counters contradict each other.
    pub(crate) fn write(&self, parts: &[IoSlice<'_>], doorbell: impl Fn()) -> io::Result<usize> {
        let start = self.position();
        let (mut head, mut moved) = (start, start);
        // One doorbell for all chunks: on one CPU each doorbell costs two context switches.
        let mut sleeps = false;
        'parts: for part in parts {
            let mut rest: &[u8] = part;
            while !rest.is_empty() {
                let room = self.available_behind(head, rest.len().min(CHUNK))?;
                if room == 0 {
                    break 'parts;
                }
                let (now, later) = rest.split_at(room.min(rest.len()).min(CHUNK));
                self.memory.copy_in(self.direction, head, now);
                (head, rest) = (head + now.len() as u64, later);
                if head - moved >= CHUNK as u64 {
                    sleeps |= self.advance(head);
                    moved = head;
                }
            }
        }
        if head > moved {
            sleeps |= self.advance(head);
        }
        if sleeps {
            doorbell();
        }
        Ok((head - start) as usize)
    }

    /// In a reader: appends at most `room` bytes and returns their number. Calls `doorbell` if the writer sleeps.
    ///
    /// # Errors
    /// The counters contradict each other.
    pub(crate) fn read(
        &self,
        buffer: &mut Vec<u8>,
        room: usize,
        doorbell: impl Fn(),
    ) -> io::Result<usize> {
        let count = self.available()?.min(room);
        let (mut left, mut sleeps) = (count, false);
        while left > 0 {
            let (tail, now) = (self.position(), left.min(CHUNK));
            self.memory.copy_out(self.direction, tail, now, buffer);
            sleeps |= self.advance(tail + now as u64);
            left -= now;
        }
        if sleeps {
            doorbell();
        }
        Ok(count)
    }

    /// Returns how many bytes can be written or read. Loads the shared counter only if the last value leaves none.
    ///
    /// # Errors
    /// The counters contradict each other.
    pub(crate) fn available(&self) -> io::Result<usize> {
        self.available_behind(self.position(), 1)
    }

    /// Returns how many bytes can be written or read from `position` on. Loads the shared counter only if the last value
    /// leaves fewer than `want`.
    fn available_behind(&self, position: u64, want: usize) -> io::Result<usize> {
        let mut limit = self.limit.load(Ordering::Relaxed);
        if limit - position < want as u64 {
            limit = self.saw(position, self.other().get())?;
        }
        Ok((limit - position) as usize)
    }

    /// Checks a value of the other end's counter. Stores and returns the limit that follows.
    fn saw(&self, position: u64, value: u64) -> io::Result<u64> {
        let limit = value.wrapping_add(self.lead);
        let before = self.limit.load(Ordering::Relaxed);
        if limit < before || limit - position > self.memory.capacity() as u64 {
            let text = "the counters of the shared memory contradict each other";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        self.limit.store(limit, Ordering::Relaxed);
        Ok(limit)
    }

    /// Returns whether a write or read would pass something on: there is something, or the counters contradict each other.
    /// Any thread may call this; it changes nothing.
    pub(super) fn may_go_on(&self) -> bool {
        let (position, limit) = (self.position(), self.limit.load(Ordering::Relaxed));
        // The other counter may lie about what was seen of it before.
        limit > position || self.other().get().wrapping_add(self.lead) != position
    }

    /// Announces that this side sleeps until bytes can be written or read. Returns whether there are still none, so that it
    /// may.
    ///
    /// # Errors
    /// The counters contradict each other.
    pub(crate) fn sleep(&self) -> io::Result<bool> {
        let (position, limit) = (self.position(), self.limit.load(Ordering::Relaxed));
        if limit > position {
            return Ok(false);
        }
        match self.other().sleep(limit - self.lead) {
            Ok(()) => Ok(true),
            Err(value) => self.saw(position, value).map(|_| false),
        }
    }

    /// Withdraws the announcement of [`sleep`](Self::sleep).
    pub(crate) fn wake(&self) {
        self.other().wake();
    }

    /// In a reader: returns the number of unread bytes, at most the capacity. Any thread may call this; it changes nothing.
    pub(in crate::sys) fn unread(&self) -> u64 {
        let unread = self.other().get().saturating_sub(self.position());
        unread.min(self.memory.capacity() as u64)
    }
}
