//! Both rings of a link as one process uses them, and the socket beside them.
//!
//! Doorbells are sent over the socket, with one exception: the child's writer waits for room on a futex. Several threads of
//! a child may write while another one reads, and would take each other's doorbells off the socket. In the parent, the
//! thread that takes doorbells off the socket serves both directions.

use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::socket::MsgFlags;
use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_gettime};

use super::fd_queue::{DOORBELL, FdQueue};
use super::{Direction, LinkMemory, RingEnd};
use crate::base::sync::Mutex;
use crate::sys::link::{FdBatch, ReadMode, Transport};

/// The most bytes that are taken off the socket at once.
const DOORBELLS: usize = 64;
/// How often the socket is read in a row. That is more than it can hold, so only a side that rings without end is left with
/// some, and others are served meanwhile.
const READS: usize = 16;
/// How long a child's writer sleeps before it checks whether the parent is still alive.
const HANGUP_CHECK: Duration = Duration::from_secs(1);

/// How many times a child's writer checks for room before it sleeps: about 10 µs, the time in which the parent copies a
/// ring.
const SPINS: usize = 500;

/// The length in bytes of the frame that announces a batch.
const ANNOUNCEMENT: u64 = 8;

/// See the module.
#[derive(Debug)]
pub(crate) struct Rings {
    memory: Arc<LinkMemory>,
    pub(in crate::sys) writer: RingEnd<LinkMemory>,
    pub(in crate::sys) reader: RingEnd<LinkMemory>,
    /// Whether this is the child's side.
    is_child: bool,
    /// Whether a batch of file descriptors waits for room in the socket.
    batch_waits: AtomicBool,
    /// Whether the other side has ended its half of the socket.
    ended: AtomicBool,
    /// Received batches whose announcement was not read yet.
    queue: Mutex<FdQueue>,
    /// Whether the queue is not empty.
    has_batches: AtomicBool,
    /// The number of batches received, modulo 2^32.
    received_batches: AtomicU32,
    /// When this side last checked whether the other is alive, by [`coarse_clock`].
    hangup_checked: AtomicI64,
}

impl Rings {
    /// Returns the parent's side of these rings.
    pub(crate) fn of_parent(memory: Arc<LinkMemory>) -> Self {
        Self::new(memory, [Direction::ToChild, Direction::ToParent], false)
    }

    /// Returns the child's side of these rings.
    pub(crate) fn of_child(memory: Arc<LinkMemory>) -> Self {
        Self::new(memory, [Direction::ToParent, Direction::ToChild], true)
    }

    fn new(memory: Arc<LinkMemory>, [out, back]: [Direction; 2], is_child: bool) -> Self {
        Self {
            writer: RingEnd::writer(Arc::clone(&memory), out),
            reader: RingEnd::reader(Arc::clone(&memory), back),
            memory,
            is_child,
            batch_waits: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            queue: Mutex::default(),
            has_batches: AtomicBool::new(false),
            received_batches: AtomicU32::new(0),
            hangup_checked: AtomicI64::new(0),
        }
    }

    /// Writes the first bytes, before the other side can sleep. They must fit.
    pub(crate) fn write_first(&self, bytes: &[u8]) {
        let written = self.writer.write(&[IoSlice::new(bytes)], || ());
        debug_assert!(written.is_ok_and(|count| count == bytes.len()));
    }

    /// Appends at most `room` bytes of the ring and returns their number: `None` if it is empty, zero if the other side has
    /// also ended it. Makes a system call only for a batch of file descriptors or a sleeping writer.
    fn read_ring(
        &self,
        socket: &Transport,
        buffer: &mut Vec<u8>,
        room: usize,
        batches: &mut Vec<FdBatch>,
    ) -> io::Result<Option<usize>> {
        let doorbell = || {
            if self.is_child {
                send_doorbell(socket);
            } else {
                self.memory.wake_writer();
            }
        };
        let ended = self.reader.other().has_ended();
        // The count of batches must be loaded after this.
        if self.reader.available()? == 0 {
            return Ok(ended.then_some(0));
        }
        let has_batches = self.has_batches();
        let room = match has_batches {
            true => room.min(self.bytes_until_next_batch(socket)?),
            false => room,
        };
        let count = self.reader.read(buffer, room, doorbell)?;
        if has_batches {
            self.take_due(batches);
        }
        Ok(Some(count))
    }

    /// Like [`read_ring`](Self::read_ring); if the ring is empty, reads the socket as `mode` says, and then the ring again.
    /// Zero is also the end of the socket. `None` also after a doorbell for the other direction.
    ///
    /// # Blocking
    /// With [`ReadMode::Block`], until a byte or a doorbell comes, or the socket ends.
    pub(in crate::sys) fn recv(
        &self,
        mode: ReadMode,
        socket: &Transport,
        buffer: &mut Vec<u8>,
        room: usize,
        batches: &mut Vec<FdBatch>,
    ) -> io::Result<Option<usize>> {
        let found = self.read_ring(socket, buffer, room, batches)?;
        if found.is_some() || mode == ReadMode::Look {
            return Ok(found);
        }
        let mut ended = false;
        if mode == ReadMode::Try {
            ended = self.drain(socket)?;
        } else if self.reader.sleep()? {
            ended = self.read_socket(mode, socket)? == Some(0);
            self.reader.wake();
        }
        // The bytes that were written before the end, or before the doorbell.
        let found = self.read_ring(socket, buffer, room, batches)?;
        Ok(found.or(ended.then_some(0)))
    }

    /// Reads the socket without blocking until it is empty, at most [`READS`] times, and returns whether it has ended. Stops
    /// behind a batch that belongs to bytes in the ring. No other thread may be reading: it would miss its doorbell.
    pub(in crate::sys) fn drain(&self, socket: &Transport) -> io::Result<bool> {
        let is_due = |place| place < self.reader.other().get();
        for _ in 0..READS {
            if self.queue.lock().next_place().is_some_and(is_due) {
                break;
            }
            match self.read_socket(ReadMode::Try, socket)? {
                None => return Ok(false),
                Some(0) => return Ok(true),
                Some(_) => {}
            }
        }
        Ok(false)
    }

    /// Returns whether batches wait in the queue or in the socket.
    fn has_batches(&self) -> bool {
        self.has_batches.load(Ordering::Relaxed) || self.has_unread_batches()
    }

    fn has_unread_batches(&self) -> bool {
        self.reader.other().batches() != self.received_batches.load(Ordering::Relaxed)
    }

    /// Takes the next batch off the socket, unless it is in the queue, and returns how many bytes may be read: up to the end
    /// of its announcement if more batches follow. So a read returns one batch at most, and no more are kept open here.
    fn bytes_until_next_batch(&self, socket: &Transport) -> io::Result<usize> {
        for _ in 0..READS {
            if !self.has_unread_batches() || self.queue.lock().next_place().is_some() {
                break;
            }
            if let None | Some(0) = self.read_socket(ReadMode::Try, socket)? {
                break;
            }
        }
        let place = self.queue.lock().next_place();
        let end = place.map(|place| place.saturating_add(ANNOUNCEMENT));
        let until = end.and_then(|end| end.checked_sub(self.reader.position()));
        Ok(match until {
            Some(until) if until > 0 && self.has_unread_batches() => until as usize,
            _ => usize::MAX,
        })
    }

    /// Moves the batches whose announcement was read to `batches`.
    fn take_due(&self, batches: &mut Vec<FdBatch>) {
        let mut queue = self.queue.lock();
        queue.take_due(self.reader.position(), batches);
        self.has_batches.store(!queue.is_empty(), Ordering::Relaxed);
    }

    /// Reads the socket once, and returns the number of bytes: zero at its end.
    fn read_socket(&self, mode: ReadMode, socket: &Transport) -> io::Result<Option<usize>> {
        let (mut bytes, mut batches) = (Vec::new(), Vec::new());
        let count = socket.receive(mode, &mut bytes, DOORBELLS, &mut batches)?;
        if count == Some(0) {
            self.ended.store(true, Ordering::Relaxed);
        }
        if !batches.is_empty() || bytes.iter().any(|byte| *byte != DOORBELL) {
            self.received(&bytes, batches)?;
        }
        Ok(count)
    }

    /// Adds what a read of the socket returned to the queue.
    pub(in crate::sys) fn received(&self, bytes: &[u8], batches: Vec<FdBatch>) -> io::Result<()> {
        let mut queue = self.queue.lock();
        queue.received(bytes, batches);
        self.received_batches
            .store(queue.count(), Ordering::Relaxed);
        self.has_batches.store(true, Ordering::Relaxed);
        if !queue.are_consistent(self.reader.position(), self.reader.other().get()) {
            let text = "descriptors came that nothing announces";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(())
    }

    /// Writes what fits and returns the number of bytes: `None` if the ring is full. `descriptors`, at most
    /// [`MAX_DESCRIPTORS`](crate::sys::link::MAX_DESCRIPTORS), are sent over the socket before the first byte is written.
    ///
    /// # Errors
    /// The other side is gone, or the counters contradict each other.
    pub(in crate::sys) fn try_send(
        &self,
        socket: &Transport,
        parts: &[IoSlice<'_>],
        descriptors: &[OwnedFd],
    ) -> io::Result<Option<usize>> {
        // A parent that has ended its output still reads.
        if !self.is_child && self.ended.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        // The caller may have given up the batch that waited.
        self.batch_waits.store(false, Ordering::Relaxed);
        if !descriptors.is_empty() {
            if !self.writer.may_go_on() {
                return Ok(None);
            }
            let place = self.writer.position().to_be_bytes();
            let sent = socket.send(&[IoSlice::new(&place)], descriptors, MsgFlags::MSG_DONTWAIT)?;
            self.batch_waits.store(sent.is_none(), Ordering::Relaxed);
            if sent.is_none() {
                return Ok(None);
            }
            self.writer.own().count_batch();
        }
        let count = self.writer.write(parts, || send_doorbell(socket))?;
        Ok((count > 0).then_some(count))
    }

    /// Sleeps until [`try_send`](Self::try_send) may find room. For the child only.
    ///
    /// # Blocking
    /// Until the parent reads, or for [`HANGUP_CHECK`].
    pub(in crate::sys) fn wait_for_room(&self) -> io::Result<()> {
        if self.batch_waits.load(Ordering::Relaxed) {
            // The parent has to take other batches first, and sends no doorbell when it has.
            std::thread::sleep(Duration::from_millis(1));
            return Ok(());
        }
        // The parent may be copying.
        let has_room = |_| {
            std::hint::spin_loop();
            self.writer.may_go_on()
        };
        if !(0..SPINS).any(has_room) && self.writer.sleep()? {
            self.memory.wait_for_room(HANGUP_CHECK);
            self.writer.wake();
        }
        Ok(())
    }

    /// Returns whether the coarse clock has moved on (some milliseconds) since the last call.
    pub(in crate::sys) fn is_hangup_check_due(&self) -> bool {
        let now = coarse_clock();
        self.hangup_checked.swap(now, Ordering::Relaxed) != now
    }

    /// Announces that this side sleeps until there is room. Returns whether it may.
    pub(in crate::sys) fn sleep_writing(&self) -> io::Result<bool> {
        Ok(!self.ended.load(Ordering::Relaxed) && self.writer.sleep()?)
    }

    /// Returns whether a batch of file descriptors waits for room in the socket.
    pub(in crate::sys) fn batch_waits(&self) -> bool {
        self.batch_waits.load(Ordering::Relaxed)
    }

    /// Returns whether [`try_send`](Self::try_send) would not return `None`: there is room, or the other side is gone. Any
    /// thread may call this.
    pub(in crate::sys) fn has_room(&self) -> bool {
        self.ended.load(Ordering::Relaxed) || self.writer.may_go_on()
    }
}

/// Sends a doorbell. A full socket already has doorbells for the other side; if that is gone, the next read returns the
/// end.
pub(in crate::sys) fn send_doorbell(socket: &Transport) {
    let _ = socket.send(&[IoSlice::new(&[DOORBELL])], &[], MsgFlags::MSG_DONTWAIT);
}

/// Returns the time in nanoseconds, by a clock that ticks every 1 to 10 ms. Reading it takes 5 ns, a fifth of what an exact
/// clock takes.
pub(crate) fn coarse_clock() -> i64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE);
    now.map_or(0, |now| now.num_nanoseconds())
}
