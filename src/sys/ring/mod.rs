//! Two byte rings in memory that parent and child share: the local link without a system call for each byte.
//!
//! A ring is `CAPACITY` bytes and two [counters](Counter): `head`, how many bytes its writer has put in since the
//! start, and `tail`, how many its reader has taken out. Byte `n` of the stream lies at `n` modulo the capacity. Each
//! side keeps a copy of the counter that it moves, and the last value of the other's that it saw.
//!
//! * **Writing**: copy in what fits, move `head`; send a doorbell if the reader sleeps. After each [`PIECE`] `head` is
//!   moved, so that of a long message the reader copies one piece while the writer copies the next.
//! * **Reading**: copy out what is there, move `tail`; send a doorbell if the writer sleeps. What was copied out is
//!   private, and is parsed only then.
//! * **Sleeping**: say so in the counter that is waited for, look once more, then block on the socket.
//! * **Doorbell**: one byte on the socket. How it is sent is the caller's affair.
//! * **The end**: after the end of the socket, or of the process, what lies before `head` is still read. A writer that ends
//!   its stream says so in `head`, too, for a reader that looks at nothing else.
//! * **File descriptors** go over the socket, one message a lot, before `head` is moved past the bytes that announce
//!   them. `head` has a count of the lots, so a reader that is awake knows when to look at the socket. No more than one
//!   lot is ahead of `head`.
//! * **Fallback**: a peer that does not answer for the rings reads the socket alone; what was written into the ring for
//!   it is [taken back](Writer::take_back).
//!
//! The other process may write anything into the memory at any time. A counter is loaded once, checked, and only then
//! used: less than was seen before, or more than the capacity ahead, is a violation. Nothing in the memory is lent.
//! After a counter that says that there is something, that much is copied, so no loop goes on without a byte or a sleep.

mod counter;
mod lots;
mod memory;
mod rings;
#[cfg(test)]
mod tests;

use std::io::{self, IoSlice};
use std::sync::Arc;

use self::counter::Counter;
pub(crate) use self::memory::LinkMemory;
pub(crate) use self::rings::Rings;
use crate::base::sync::explored::{AtomicU64, Ordering};

/// After this many bytes `head` or `tail` is moved. Measured with messages of 1 MiB: 8 KiB give 0.22 to 0.3 ms there
/// and back, all that fits at once 0.42 to 0.6 ms.
const PIECE: usize = 8 << 10;

/// Which ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// The parent writes, the child reads.
    ToChild,
    /// The child writes, the parent reads.
    ToParent,
}

/// Where two rings lie.
pub(crate) trait Memory {
    /// How many bytes a ring has.
    fn capacity(&self) -> usize;
    /// How many bytes were written into the ring.
    fn head(&self, way: Way) -> &Counter;
    /// How many bytes were read from it.
    fn tail(&self, way: Way) -> &Counter;
    /// Copies `bytes` to the place of byte `at` of the stream and on; at most the capacity.
    fn copy_in(&self, way: Way, at: u64, bytes: &[u8]);
    /// Appends `count` bytes from the place of byte `at` of the stream and on; at most the capacity.
    fn copy_out(&self, way: Way, at: u64, count: usize, buffer: &mut Vec<u8>);
}

/// What the other process says of a ring makes no sense.
fn violation() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the counters of the shared memory contradict each other",
    )
}

/// The writing end of a ring. One thread at a time uses it.
#[derive(Debug)]
pub(crate) struct Writer<M> {
    memory: Arc<M>,
    way: Way,
    /// How many bytes were written; what the counter should say.
    head: AtomicU64,
    /// How many the reader had read when this side last looked.
    tail: AtomicU64,
}

impl<M: Memory> Writer<M> {
    /// The end of a ring that nothing was written into.
    pub(crate) fn new(memory: Arc<M>, way: Way) -> Self {
        Self {
            memory,
            way,
            head: AtomicU64::new(0),
            tail: AtomicU64::new(0),
        }
    }

    /// Writes what there is room for and returns how many bytes; calls `doorbell` if the reader is to be sent one.
    ///
    /// # Errors
    /// The counters contradict each other.
    pub(crate) fn write(&self, parts: &[IoSlice<'_>], doorbell: impl Fn()) -> io::Result<usize> {
        let start = self.head.load(Ordering::Relaxed);
        let (mut head, mut moved) = (start, start);
        // One for all pieces: on one CPU each would be two changes of processes.
        let mut sleeps = false;
        let mut publish = |head| {
            self.head.store(head, Ordering::Relaxed);
            sleeps |= self.memory.head(self.way).advance(head);
        };
        'parts: for part in parts {
            let mut rest: &[u8] = part;
            while !rest.is_empty() {
                let room = self.room(head, rest.len().min(PIECE))?;
                if room == 0 {
                    break 'parts;
                }
                let (now, later) = rest.split_at(room.min(rest.len()).min(PIECE));
                self.memory.copy_in(self.way, head, now);
                (head, rest) = (head + now.len() as u64, later);
                if head - moved >= PIECE as u64 {
                    publish(head);
                    moved = head;
                }
            }
        }
        if head > moved {
            publish(head);
        }
        if sleeps {
            doorbell();
        }
        Ok((head - start) as usize)
    }

    /// Returns how many bytes can be written behind `head`; looks at the counter only if it was fewer than `want`.
    fn room(&self, head: u64, want: usize) -> io::Result<usize> {
        let capacity = self.memory.capacity() as u64;
        let room = |tail| capacity - (head - tail);
        let tail = self.tail.load(Ordering::Relaxed);
        if room(tail) >= want as u64 {
            return Ok(room(tail) as usize);
        }
        self.saw(head, self.memory.tail(self.way).get())?;
        Ok(room(self.tail.load(Ordering::Relaxed)) as usize)
    }

    /// Takes note of a value of `tail`.
    fn saw(&self, head: u64, tail: u64) -> io::Result<()> {
        if tail < self.tail.load(Ordering::Relaxed) || tail > head {
            return Err(violation());
        }
        self.tail.store(tail, Ordering::Relaxed);
        Ok(())
    }

    /// Returns whether there seems to be room, or a violation, of which a write will tell. Any thread may ask: nothing is
    /// noted.
    pub(super) fn has_room(&self) -> bool {
        let head = self.head.load(Ordering::Relaxed);
        let used = head.wrapping_sub(self.memory.tail(self.way).get());
        used != self.memory.capacity() as u64
    }

    /// Says that this side sleeps until there is room, and returns whether it may: there is none yet.
    ///
    /// # Errors
    /// The counters contradict each other.
    pub(crate) fn sleep(&self) -> io::Result<bool> {
        let head = self.head.load(Ordering::Relaxed);
        let tail = self.tail.load(Ordering::Relaxed);
        if head - tail < self.memory.capacity() as u64 {
            return Ok(false);
        }
        match self.memory.tail(self.way).sleep(tail) {
            Ok(()) => Ok(true),
            Err(tail) => self.saw(head, tail).map(|()| false),
        }
    }

    /// Says that this side does not sleep any more.
    pub(crate) fn wake(&self) {
        self.memory.tail(self.way).wake();
    }

    /// Returns how many bytes were written: the place of the next.
    pub(super) fn head(&self) -> u64 {
        self.head.load(Ordering::Relaxed)
    }

    /// Counts a lot of file descriptors that was sent over the socket. Its announcement is written after this.
    pub(crate) fn sent_lot(&self) {
        self.memory.head(self.way).add_lot();
    }

    /// Says that nothing more will be written.
    pub(crate) fn end(&self) {
        self.memory.head(self.way).end();
    }

    /// Returns all that was written, for a peer that reads no ring: it has read nothing, so all of it is still here.
    pub(crate) fn take_back(&self) -> Vec<u8> {
        let count = self.head.load(Ordering::Relaxed) as usize;
        let mut bytes = Vec::new();
        self.memory.copy_out(self.way, 0, count, &mut bytes);
        bytes
    }
}

/// The reading end of a ring. One thread at a time uses it.
#[derive(Debug)]
pub(crate) struct Reader<M> {
    memory: Arc<M>,
    way: Way,
    /// How many bytes were read; what the counter should say.
    tail: AtomicU64,
    /// How many were written when this side last looked.
    head: AtomicU64,
}

impl<M: Memory> Reader<M> {
    /// The end of a ring that nothing was read from.
    pub(crate) fn new(memory: Arc<M>, way: Way) -> Self {
        Self {
            memory,
            way,
            tail: AtomicU64::new(0),
            head: AtomicU64::new(0),
        }
    }

    /// Appends at most `room` bytes and returns how many there were; calls `doorbell` if the writer is to be sent one.
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
            let (tail, now) = (self.tail.load(Ordering::Relaxed), left.min(PIECE));
            self.memory.copy_out(self.way, tail, now, buffer);
            let tail = tail + now as u64;
            self.tail.store(tail, Ordering::Relaxed);
            sleeps |= self.memory.tail(self.way).advance(tail);
            left -= now;
        }
        if sleeps {
            doorbell();
        }
        Ok(count)
    }

    /// Returns how many bytes can be read, at least; looks at the counter only if there were none.
    ///
    /// # Errors
    /// The counters contradict each other.
    pub(crate) fn available(&self) -> io::Result<usize> {
        let (tail, head) = (
            self.tail.load(Ordering::Relaxed),
            self.head.load(Ordering::Relaxed),
        );
        if head == tail {
            self.saw(tail, self.memory.head(self.way).get())?;
        }
        Ok((self.head.load(Ordering::Relaxed) - tail) as usize)
    }

    /// Takes note of a value of `head`.
    fn saw(&self, tail: u64, head: u64) -> io::Result<()> {
        let before = self.head.load(Ordering::Relaxed);
        if head < before || head - tail > self.memory.capacity() as u64 {
            return Err(violation());
        }
        self.head.store(head, Ordering::Relaxed);
        Ok(())
    }

    /// Returns whether the other side has said that it writes no more. What is read after this is the last.
    pub(super) fn has_ended(&self) -> bool {
        self.memory.head(self.way).has_ended()
    }

    /// Says that this side sleeps until there is something to read, and returns whether it may: there is nothing yet.
    ///
    /// # Errors
    /// The counters contradict each other.
    pub(crate) fn sleep(&self) -> io::Result<bool> {
        let tail = self.tail.load(Ordering::Relaxed);
        if self.head.load(Ordering::Relaxed) > tail {
            return Ok(false);
        }
        match self.memory.head(self.way).sleep(tail) {
            Ok(()) => Ok(true),
            Err(head) => self.saw(tail, head).map(|()| false),
        }
    }

    /// Says that this side does not sleep any more.
    pub(crate) fn wake(&self) {
        self.memory.head(self.way).wake();
    }

    /// Returns how many bytes were read.
    pub(super) fn tail(&self) -> u64 {
        self.tail.load(Ordering::Relaxed)
    }

    /// Returns how many bytes seem to be unread, at most what a ring has. Any thread may ask: nothing is noted.
    pub(super) fn unread(&self) -> u64 {
        let unread = self.head().saturating_sub(self.tail());
        unread.min(self.memory.capacity() as u64)
    }

    /// Returns how many bytes the other side has written by now, if that is true.
    pub(super) fn head(&self) -> u64 {
        self.memory.head(self.way).get()
    }

    /// Returns how many lots of file descriptors were sent, modulo 2^32, before what can be read now or later.
    pub(super) fn lots(&self) -> u32 {
        self.memory.head(self.way).lots()
    }
}
