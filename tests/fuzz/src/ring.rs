//! Both ends of a link over rings, while a third writes anything anywhere in the memory and onto the socket: each step is
//! some bytes, nothing yet, or an error; and as long as nothing was written, what arrives is what was sent.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arbitrary::Unstructured;
use nix::sys::mman::{MapFlags, ProtFlags, mmap};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use crate::sys::{ChildLink, FdBatch, Link, LinkMemory, ParentLink, ReadMode, Rings};

const CAPACITY: u64 = 131_072;
const LENGTH: usize = 266_240;

/// The memory, which inputs use one after the other, and a mapping of it to write into.
struct Memory {
    rings: Arc<LinkMemory>,
    words: NonNull<AtomicU64>,
    null: File,
}

thread_local!(static MEMORY: RefCell<Memory> = RefCell::new(Memory::new()));

impl Memory {
    fn new() -> Self {
        let (rings, fd) = LinkMemory::create().unwrap();
        let (length, access) = (
            NonZeroUsize::new(LENGTH).unwrap(),
            ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
        );
        // SAFETY: a new mapping, at a place that the kernel chooses.
        let words = unsafe { mmap(None, length, access, MapFlags::MAP_SHARED, &fd, 0) };
        let null = File::open("/dev/null").unwrap();
        Self {
            rings: Arc::new(rings),
            words: words.unwrap().cast(),
            null,
        }
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < LENGTH / 8);
        // SAFETY: it lies in the mapping, which is never unmapped, and is only ever seen as an atomic.
        unsafe { self.words.add(index).as_ref() }
    }
}

pub(crate) fn run(data: &[u8]) {
    MEMORY.with_borrow(|memory| {
        (0..128).for_each(|index| memory.word(index).store(0, Ordering::Relaxed));
        let before = memory.null.try_clone().unwrap().as_raw_fd();
        let _ = Play::new(memory).play(&mut Unstructured::new(data));
        let after = memory.null.try_clone().unwrap().as_raw_fd();
        assert_eq!(before, after, "a descriptor is left open");
    });
}

/// One direction: what was sent and has not arrived, and how many bytes were sent.
#[derive(Default)]
struct Way {
    sent: VecDeque<u8>,
    count: u64,
    descriptors: usize,
    /// Where the last announcement of descriptors ends: the next begins there at the earliest, also if a full ring has
    /// taken only a part of it.
    announced: u64,
    broken: bool,
}

impl Way {
    fn may_carry(&self, size: usize) -> bool {
        size >= 8 && self.count >= self.announced
    }

    /// After a lie this is not compared, and a full ring may seem empty for ever.
    fn keep(&mut self, bytes: &[u8], honest: bool) {
        if honest {
            self.sent.extend(bytes);
        }
    }

    fn carried(&mut self, count: usize, descriptors: usize) {
        if count > 0 && descriptors > 0 {
            self.descriptors += descriptors;
            self.announced = self.count + 8;
        }
        self.count += count as u64;
    }
}

struct Play<'m> {
    memory: &'m Memory,
    link: ParentLink,
    port: ChildLink,
    /// Copies of both ends, to write lies onto.
    sockets: [UnixStream; 2],
    down: Way,
    up: Way,
    honest: bool,
}

impl<'m> Play<'m> {
    fn new(memory: &'m Memory) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let sockets = [ours.try_clone().unwrap(), theirs.try_clone().unwrap()];
        let link = ParentLink::from_socket(OwnedFd::from(ours)).unwrap();
        let link = link.with_rings(Some(Rings::of_parent(Arc::clone(&memory.rings))));
        link.accept_rings(&[], Vec::new());
        let port = ChildLink::from_socket(OwnedFd::from(theirs)).unwrap();
        port.use_rings(Rings::of_child(Arc::clone(&memory.rings)));
        Self {
            memory,
            link,
            port,
            sockets,
            down: Way::default(),
            up: Way::default(),
            honest: true,
        }
    }

    fn play(&mut self, data: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        while !data.is_empty() {
            let step = data.int_in_range(0..=13)?;
            let size = match data.int_in_range(0..=3)? {
                0 => data.int_in_range(1..=20)?,
                1 => data.int_in_range(1..=10_000)?,
                2 => CAPACITY as usize,
                _ => data.int_in_range(1..=200_000)?,
            };
            match step {
                0..=2 => self.send_down(size, data.ratio(1, 8)?),
                3..=4 => self.send_up(size, data.ratio(1, 8)?),
                5..=6 => self.receive_down(size),
                7..=8 => self.receive_up(size),
                9 => self.look_around(),
                10..=11 => self.scribble(data)?,
                12 => self.lie_on_socket(data)?,
                _ => self.link.take_doorbells(),
            }
        }
        Ok(())
    }

    fn bytes(way: &Way, size: usize) -> Vec<u8> {
        (0..size as u64)
            .map(|at| ((way.count + at) * 31 >> 3) as u8)
            .collect()
    }

    /// A lot is sent with its announcement, which has eight bytes.
    fn null(&self, carries: bool) -> Vec<OwnedFd> {
        carries
            .then(|| self.memory.null.try_clone().unwrap().into())
            .into_iter()
            .collect()
    }

    fn send_down(&mut self, size: usize, carries: bool) {
        if self.down.broken {
            return;
        }
        let carries = carries && self.down.may_carry(size);
        let (bytes, own) = (Self::bytes(&self.down, size), self.null(carries));
        match self.link.try_send(&[IoSlice::new(&bytes)], &own) {
            Ok(count) => {
                let count = count.unwrap_or(0);
                // A lie about the tail makes room behind what is written.
                assert!(count <= size && (!self.honest || count as u64 <= CAPACITY));
                self.down.keep(&bytes[..count], self.honest);
                self.down.carried(count, own.len());
            }
            Err(error) => self.refused(&error, true),
        }
    }

    /// Only if the child would not wait for room: no other thread makes any.
    fn send_up(&mut self, size: usize, carries: bool) {
        let tail = self.memory.word(64).load(Ordering::Relaxed);
        // A write in chunks may pass a lie about the tail. Then the lie is believed, and the ring is full earlier.
        let end = self.up.count + size as u64;
        let fits = tail > end || end - tail <= CAPACITY;
        // A batch that finds no room in the socket is waited for, too.
        if self.up.broken || !fits || self.up.descriptors > 50 {
            return;
        }
        let (bytes, own) = (
            Self::bytes(&self.up, size),
            self.null(carries && self.honest && self.up.may_carry(size)),
        );
        match self.port.send_all(&bytes, &own) {
            Ok(()) => {
                self.up.keep(&bytes, self.honest);
                self.up.carried(size, own.len());
            }
            Err(error) => self.refused(&error, false),
        }
    }

    fn receive_down(&mut self, room: usize) {
        let (mut bytes, mut arrivals) = (Vec::new(), Vec::new());
        match self
            .port
            .recv(ReadMode::Try, &mut bytes, room, &mut arrivals)
        {
            Ok(count) => Self::came(&mut self.down, self.honest, &bytes, count, room, &arrivals),
            Err(error) => self.refused(&error, true),
        }
    }

    fn receive_up(&mut self, room: usize) {
        let (mut bytes, mut arrivals) = (Vec::new(), Vec::new());
        match self
            .link
            .recv(ReadMode::Try, &mut bytes, room, &mut arrivals)
        {
            Ok(count) => Self::came(&mut self.up, self.honest, &bytes, count, room, &arrivals),
            Err(error) => self.refused(&error, false),
        }
    }

    fn came(
        way: &mut Way,
        honest: bool,
        bytes: &[u8],
        count: Option<usize>,
        room: usize,
        arrivals: &[FdBatch],
    ) {
        assert!(bytes.len() == count.unwrap_or(0) && bytes.len() <= room);
        if honest {
            let is_there = way.sent.len();
            let sent: Vec<u8> = way.sent.drain(..bytes.len()).collect();
            assert!(sent == bytes, "other bytes than were sent");
            assert!(count != Some(0) && (count.is_some() || is_there == 0));
            let came: usize = arrivals.iter().map(|lot| lot.descriptors.len()).sum();
            way.descriptors = way
                .descriptors
                .checked_sub(came)
                .expect("more descriptors than were sent");
            assert!(
                !way.sent.is_empty() || way.descriptors == 0,
                "descriptors stay behind"
            );
        }
    }

    /// Something is wrong, and something was written: that direction has ended.
    fn refused(&mut self, error: &io::Error, down: bool) {
        assert!(!self.honest, "{error}");
        let kinds = [io::ErrorKind::InvalidData, io::ErrorKind::BrokenPipe];
        assert!(kinds.contains(&error.kind()), "{error:?}");
        if down {
            self.down.broken = true
        } else {
            self.up.broken = true
        }
    }

    /// Queries that any thread may make at any time.
    fn look_around(&self) {
        assert!(self.link.unread() <= CAPACITY);
        if self.honest {
            assert_eq!(self.link.unread(), self.up.sent.len() as u64);
        }
        let _ = (self.link.has_room_again(), self.link.awaits_room());
        if self.link.sleep_reading() {
            self.link.stop_watching_reads();
        }
        if self.port.sleep_reading() {
            self.port.wake_reading();
        }
    }

    /// The counters are the words 16, 32, 48 and 64, each with three more words that mean something.
    fn scribble(&mut self, data: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        self.honest = false;
        let index = match data.int_in_range(0..=3)? {
            0 => data.int_in_range(0..=LENGTH / 8 - 1)?,
            1 => 16 * data.int_in_range(1..=4)?,
            _ => 16 * data.int_in_range(1..=4)? + data.int_in_range(0..=2)?,
        };
        let word = self.memory.word(index);
        let now = word.load(Ordering::Relaxed);
        word.store(
            match data.int_in_range(0..=3)? {
                0 => data.arbitrary()?,
                1 => now.wrapping_add(data.int_in_range(0..=300)?),
                2 => now.wrapping_sub(data.int_in_range(0..=300)?),
                _ => now
                    .wrapping_add(CAPACITY)
                    .wrapping_add(data.int_in_range(0..=2)?),
            },
            Ordering::Relaxed,
        );
        Ok(())
    }

    fn lie_on_socket(&mut self, data: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        self.honest = false;
        let socket = &self.sockets[data.int_in_range(0..=1)?];
        let bytes = match data.int_in_range(0..=2)? {
            0 => data.arbitrary::<[u8; 3]>()?.to_vec(),
            1 => data.int_in_range(0..=300_000u64)?.to_be_bytes().to_vec(),
            _ => vec![0xff; 70],
        };
        let list = [self.memory.null.as_raw_fd(); 5];
        let rights = [ControlMessage::ScmRights(
            &list[..data.int_in_range(1..=5)?],
        )];
        let control = if data.arbitrary()? { &rights[..] } else { &[] };
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let _ = sendmsg::<()>(
            socket.as_raw_fd(),
            &[IoSlice::new(&bytes)],
            control,
            flags,
            None,
        );
        if data.ratio(1, 16)? {
            let _ = socket.shutdown(std::net::Shutdown::Write);
        }
        let _ = (&mut &self.sockets[0]).flush();
        Ok(())
    }
}
