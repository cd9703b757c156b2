//! Both rings as one process uses them, with the socket beside them.
//!
//! Doorbells travel over the socket, with one exception: the child's writer waits for room on the counter itself (a
//! futex), because several threads of a child may write while another one reads, and would take each other's doorbells
//! off the socket. In the parent, a thread that takes doorbells off the socket looks after both directions.

use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::socket::MsgFlags;
use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_gettime};

use super::lots::{DOORBELL, Lots};
use super::{LinkMemory, Reader, Way, Writer};
use crate::base::sync::Mutex;
use crate::sys::transport::{Arrival, ReadMode, Transport};

/// How many doorbells are taken off the socket at once.
const DOORBELLS: usize = 64;
/// How long a child's writer sleeps before it looks whether the parent is still there.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often a child's writer looks for room before it sleeps: about 10 µs, the time in which the parent copies a ring.
const LOOKS: usize = 500;

/// The bytes of the frame that announces a lot.
const ANNOUNCEMENT: u64 = 8;

/// See the module.
#[derive(Debug)]
pub(crate) struct Rings {
    memory: Arc<LinkMemory>,
    writer: Writer<LinkMemory>,
    reader: Reader<LinkMemory>,
    /// This is the child's side.
    is_child: bool,
    /// A lot of descriptors found no room in the socket.
    lot_waits: AtomicBool,
    /// The other side has ended its half of the socket.
    ended: AtomicBool,
    /// Lots whose announcement was not read yet.
    lots: Mutex<Lots>,
    /// There are some.
    has_lots: AtomicBool,
    /// How many have come, modulo 2^32.
    took: AtomicU32,
    /// When this side last looked whether the other is still there, by [`coarse_clock`].
    looked: AtomicI64,
}

impl Rings {
    /// The parent's side of these rings.
    pub(crate) fn of_parent(memory: Arc<LinkMemory>) -> Self {
        Self::new(memory, [Way::ToChild, Way::ToParent], false)
    }

    /// The child's side.
    pub(crate) fn of_child(memory: Arc<LinkMemory>) -> Self {
        Self::new(memory, [Way::ToParent, Way::ToChild], true)
    }

    fn new(memory: Arc<LinkMemory>, [out, back]: [Way; 2], is_child: bool) -> Self {
        Self {
            writer: Writer::new(Arc::clone(&memory), out),
            reader: Reader::new(Arc::clone(&memory), back),
            memory,
            is_child,
            lot_waits: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            lots: Mutex::default(),
            has_lots: AtomicBool::new(false),
            took: AtomicU32::new(0),
            looked: AtomicI64::new(0),
        }
    }

    /// Writes bytes that come first of all, before the other side can sleep.
    pub(crate) fn begin_with(&self, bytes: &[u8]) {
        let written = self.writer.write(&[IoSlice::new(bytes)], || ());
        debug_assert!(written.is_ok_and(|count| count == bytes.len()));
    }

    /// Appends what the ring has, at most `room` bytes; `None` if it has nothing, zero if the other side has ended it. Makes
    /// no system call, unless a lot of descriptors or a writer that sleeps has to do with these bytes.
    fn look(
        &self,
        socket: &Transport,
        buffer: &mut Vec<u8>,
        room: usize,
        arrivals: &mut Vec<Arrival>,
    ) -> io::Result<Option<usize>> {
        let doorbell = || {
            if self.is_child {
                send_doorbell(socket);
            } else {
                self.memory.wake_writer();
            }
        };
        let ended = self.reader.has_ended();
        // What comes after this look comes with lots that it does not see.
        if self.reader.available()? == 0 {
            return Ok(ended.then_some(0));
        }
        let has_lots = self.has_lots();
        let room = match has_lots {
            true => room.min(self.until_next_lot(socket)?),
            false => room,
        };
        let count = self.reader.read(buffer, room, doorbell)?;
        if has_lots {
            self.hand_out(arrivals);
        }
        Ok(Some(count))
    }

    /// The same; and if there is nothing, does what `mode` says: takes what is on the socket, or sleeps. Zero is the end
    /// of the socket; `None` after a doorbell that was for something else, too.
    ///
    /// # Blocking
    /// With [`ReadMode::Block`], until there is a byte or a doorbell, or the socket has ended.
    pub(in crate::sys) fn recv(
        &self,
        mode: ReadMode,
        socket: &Transport,
        buffer: &mut Vec<u8>,
        room: usize,
        arrivals: &mut Vec<Arrival>,
    ) -> io::Result<Option<usize>> {
        let found = self.look(socket, buffer, room, arrivals)?;
        if found.is_some() || mode == ReadMode::Look {
            return Ok(found);
        }
        let mut ended = false;
        if mode == ReadMode::Try {
            ended = self.drain(socket)?;
        } else if self.reader.sleep()? {
            ended = self.take(mode, socket)? == Some(0);
            self.reader.wake();
        }
        // What was written before the end, or before the doorbell.
        let found = self.look(socket, buffer, room, arrivals)?;
        Ok(found.or(ended.then_some(0)))
    }

    /// Takes what is on the socket, without blocking, and returns whether it has ended. If no thread reads, so that no
    /// other misses a doorbell. Once a lot is there that belongs to bytes in the ring, what is behind it stays.
    pub(in crate::sys) fn drain(&self, socket: &Transport) -> io::Result<bool> {
        let is_due = |place| place < self.reader.head();
        while !self.lots.lock().next_place().is_some_and(is_due) {
            match self.take(ReadMode::Try, socket)? {
                None => return Ok(false),
                Some(0) => return Ok(true),
                Some(_) => {}
            }
        }
        Ok(false)
    }

    /// Returns whether lots were sent with bytes that can be read now, or wait here.
    fn has_lots(&self) -> bool {
        self.has_lots.load(Ordering::Relaxed) || self.has_unread_lots()
    }

    fn has_unread_lots(&self) -> bool {
        self.reader.lots() != self.took.load(Ordering::Relaxed)
    }

    /// Takes the next lot off the socket, if it is not here, and returns how many bytes may be read: if there are more
    /// lots, up to the end of its announcement. So no read brings more than one, and no more are kept open here.
    fn until_next_lot(&self, socket: &Transport) -> io::Result<usize> {
        while self.has_unread_lots() && self.lots.lock().next_place().is_none() {
            if self
                .take(ReadMode::Try, socket)?
                .is_none_or(|count| count == 0)
            {
                break;
            }
        }
        let place = self.lots.lock().next_place();
        let until = place.and_then(|place| {
            place
                .saturating_add(ANNOUNCEMENT)
                .checked_sub(self.reader.tail())
        });
        Ok(match until {
            Some(until) if until > 0 && self.has_unread_lots() => until as usize,
            _ => usize::MAX,
        })
    }

    /// Hands out the lots that belong to what was read.
    fn hand_out(&self, arrivals: &mut Vec<Arrival>) {
        let mut lots = self.lots.lock();
        lots.hand_out(self.reader.tail(), arrivals);
        self.has_lots.store(!lots.is_empty(), Ordering::Relaxed);
    }

    /// Takes a piece off the socket: zero bytes at its end.
    fn take(&self, mode: ReadMode, socket: &Transport) -> io::Result<Option<usize>> {
        let (mut bytes, mut arrivals) = (Vec::new(), Vec::new());
        let count = socket.receive(mode, &mut bytes, DOORBELLS, &mut arrivals)?;
        if count == Some(0) {
            self.ended.store(true, Ordering::Relaxed);
        }
        if !arrivals.is_empty() || bytes.iter().any(|byte| *byte != DOORBELL) {
            self.came(&bytes, arrivals)?;
        }
        Ok(count)
    }

    /// Takes note of what came over the socket, if there is a lot in it.
    pub(in crate::sys) fn came(&self, bytes: &[u8], arrivals: Vec<Arrival>) -> io::Result<()> {
        let mut lots = self.lots.lock();
        lots.came(bytes, arrivals);
        self.took.store(lots.count(), Ordering::Relaxed);
        self.has_lots.store(true, Ordering::Relaxed);
        if !lots.make_sense(self.reader.tail(), self.reader.head()) {
            let text = "descriptors came that nothing announces";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(())
    }

    /// Writes what there is room for; `None` if there is none. Descriptors, at most what one message carries, go over
    /// the socket before the first byte is written.
    ///
    /// # Errors
    /// The other side is gone, or writes nonsense into the memory.
    pub(in crate::sys) fn try_send(
        &self,
        socket: &Transport,
        parts: &[IoSlice<'_>],
        descriptors: &[OwnedFd],
    ) -> io::Result<Option<usize>> {
        // A parent that has ended its half still reads.
        if !self.is_child && self.ended.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        // Those that waited may have been given up.
        self.lot_waits.store(false, Ordering::Relaxed);
        if !descriptors.is_empty() {
            if !self.writer.has_room() {
                return Ok(None);
            }
            let place = self.writer.head().to_be_bytes();
            let sent = socket.send(&[IoSlice::new(&place)], descriptors, MsgFlags::MSG_DONTWAIT)?;
            self.lot_waits.store(sent.is_none(), Ordering::Relaxed);
            if sent.is_none() {
                return Ok(None);
            }
            self.writer.sent_lot();
        }
        let count = self.writer.write(parts, || send_doorbell(socket))?;
        Ok((count > 0).then_some(count))
    }

    /// Sleeps until [`try_send`](Self::try_send) may find room. For the child.
    ///
    /// # Blocking
    /// Until the parent reads, or for [`PATIENCE`].
    pub(in crate::sys) fn wait_for_room(&self) -> io::Result<()> {
        if self.lot_waits.load(Ordering::Relaxed) {
            // The parent has to take other lots first; nothing tells when.
            std::thread::sleep(Duration::from_millis(1));
        } else if !self.look_for_room() && self.writer.sleep()? {
            self.memory.wait_for_reader(PATIENCE);
            self.writer.wake();
        }
        Ok(())
    }

    /// Looks for room a few times, for some microseconds: the parent may be copying.
    fn look_for_room(&self) -> bool {
        (0..LOOKS).any(|_| {
            std::hint::spin_loop();
            self.writer.has_room()
        })
    }

    /// Returns whether some milliseconds have passed since this was last true.
    pub(in crate::sys) fn is_time_to_look(&self) -> bool {
        let now = coarse_clock();
        self.looked.swap(now, Ordering::Relaxed) != now
    }

    /// Says that this side sleeps until there is something to read; returns whether it may.
    pub(in crate::sys) fn sleep_reading(&self) -> io::Result<bool> {
        self.reader.sleep()
    }

    /// Says that this side does not sleep as a reader any more.
    pub(in crate::sys) fn wake_reading(&self) {
        self.reader.wake();
    }

    /// Says that this side sleeps until there is room; returns whether it may.
    pub(in crate::sys) fn sleep_writing(&self) -> io::Result<bool> {
        Ok(!self.ended.load(Ordering::Relaxed) && self.writer.sleep()?)
    }

    /// Returns whether a write waits for room in the socket, because of the descriptors that go with it.
    pub(in crate::sys) fn lot_waits(&self) -> bool {
        self.lot_waits.load(Ordering::Relaxed)
    }

    /// Returns whether a write would say something: that there is room, or that the other side is gone. Any thread may ask.
    pub(in crate::sys) fn has_room(&self) -> bool {
        self.ended.load(Ordering::Relaxed) || self.writer.has_room()
    }

    /// Returns how many bytes can be read. Any thread may ask.
    pub(in crate::sys) fn unread(&self) -> u64 {
        self.reader.unread()
    }

    /// Says that nothing more will be written.
    pub(in crate::sys) fn end(&self) {
        self.writer.end();
    }

    /// Returns all that was written, for a peer that does not use the rings.
    pub(in crate::sys) fn take_back(&self) -> Vec<u8> {
        self.writer.take_back()
    }
}

/// Sends one byte. If the socket is full of them, the other side has enough to wake up; if it is gone, reads tell.
fn send_doorbell(socket: &Transport) {
    let _ = socket.send(&[IoSlice::new(&[DOORBELL])], &[], MsgFlags::MSG_DONTWAIT);
}

/// A clock of a few milliseconds' resolution, in nanoseconds. It takes 5 ns, a fifth of what an exact one takes.
fn coarse_clock() -> i64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE);
    now.map_or(0, |now| now.num_nanoseconds())
}
