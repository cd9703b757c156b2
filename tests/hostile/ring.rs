//! An end of two rings, from docs/protocol.md, for bytes and lies.

use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering, fence};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use crate::lies::send_nonblocking;
use crate::support::Random;

const CAPACITY: u64 = 131_072;
pub(crate) const LENGTH: usize = 266_240;

/// One direction: the bytes at which its head and its tail lie, and its ring.
#[derive(Debug, Clone, Copy)]
struct Way {
    head: usize,
    tail: usize,
    ring: usize,
}

const TO_CHILD: Way = Way {
    head: 128,
    tail: 256,
    ring: 4096,
};
const TO_PARENT: Way = Way {
    head: 384,
    tail: 512,
    ring: 4096 + CAPACITY as usize,
};

pub(crate) struct Ring {
    memory: NonNull<u8>,
    incoming: Way,
    outgoing: Way,
    read: u64,
    written: u64,
}

// SAFETY: the mapping belongs to this value, and is seen as atomics only.
unsafe impl Send for Ring {}
// SAFETY: the same.
unsafe impl Sync for Ring {}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and nothing refers to it any more.
        unsafe { munmap(self.memory.cast(), LENGTH) }.unwrap();
    }
}

impl Ring {
    pub(crate) fn of_child(memory: impl AsFd) -> Self {
        Self::map(memory, TO_CHILD, TO_PARENT)
    }

    pub(crate) fn of_parent(memory: impl AsFd) -> Self {
        Self::map(memory, TO_PARENT, TO_CHILD)
    }

    fn map(memory: impl AsFd, incoming: Way, outgoing: Way) -> Self {
        let length = NonZeroUsize::new(LENGTH).unwrap();
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping, at a place that the kernel chooses.
        let memory = unsafe { mmap(None, length, access, MapFlags::MAP_SHARED, memory, 0) };
        Self {
            memory: memory.unwrap().cast(),
            incoming,
            outgoing,
            read: 0,
            written: 0,
        }
    }

    /// A third one's mapping of memory that this process has mapped at `address`.
    pub(crate) fn of_a_third(address: usize) -> Self {
        // SAFETY: with an old size of 0 it is a second mapping of the same shared memory; the first one is left alone.
        let memory = unsafe {
            libc::mremap(
                std::ptr::with_exposed_provenance_mut(address),
                0,
                LENGTH,
                libc::MREMAP_MAYMOVE,
            )
        };
        assert_ne!(
            memory,
            libc::MAP_FAILED,
            "{}",
            std::io::Error::last_os_error()
        );
        Self {
            memory: NonNull::new(memory.cast()).unwrap(),
            incoming: TO_CHILD,
            outgoing: TO_PARENT,
            read: 0,
            written: 0,
        }
    }

    fn value(&self, at: usize) -> &AtomicU64 {
        assert!(at.is_multiple_of(8) && at < LENGTH);
        // SAFETY: it lies in the mapping, is aligned, and is seen as an atomic only.
        unsafe { self.memory.byte_add(at).cast().as_ref() }
    }

    fn half(&self, at: usize) -> &AtomicU32 {
        assert!(at.is_multiple_of(4) && at < LENGTH);
        // SAFETY: as above.
        unsafe { self.memory.byte_add(at).cast().as_ref() }
    }

    fn byte(&self, at: usize) -> &AtomicU8 {
        assert!(at < LENGTH);
        // SAFETY: as above.
        unsafe { self.memory.byte_add(at).cast().as_ref() }
    }

    fn moved(&self, counter: usize, socket: &UnixStream) {
        fence(Ordering::SeqCst);
        let sleeps = self.half(counter + 8);
        if sleeps.swap(0, Ordering::Relaxed) != 0 {
            send_nonblocking(socket, &[0xff], 0);
            // SAFETY: the word is mapped, and is not even read. A child's writer sleeps on it.
            unsafe { libc::syscall(libc::SYS_futex, sleeps, libc::FUTEX_WAKE, i32::MAX) };
        }
    }

    /// Takes what the other side has written.
    pub(crate) fn read(&mut self, buffer: &mut Vec<u8>, socket: &UnixStream) {
        let head = self.value(self.incoming.head).load(Ordering::Acquire);
        // After a lie about the tail the head may be anywhere.
        if head <= self.read || head - self.read > CAPACITY {
            return;
        }
        for at in self.read..head {
            let place = self.incoming.ring + (at % CAPACITY) as usize;
            buffer.push(self.byte(place).load(Ordering::Relaxed));
        }
        self.read = head;
        self.value(self.incoming.tail)
            .store(self.read, Ordering::Release);
        self.moved(self.incoming.tail, socket);
    }

    /// Says that a call has started.
    pub(crate) fn starts(&self) {
        self.value(0).fetch_add(1, Ordering::Release);
    }

    /// Writes as much as there is room for. Returns whether that was all.
    pub(crate) fn write(&mut self, bytes: &[u8], socket: &UnixStream) -> bool {
        let tail = self.value(self.outgoing.tail).load(Ordering::Acquire);
        let room = CAPACITY.saturating_sub(self.written.saturating_sub(tail));
        for byte in bytes.iter().take(room as usize) {
            let place = self.outgoing.ring + (self.written % CAPACITY) as usize;
            self.byte(place).store(*byte, Ordering::Relaxed);
            self.written += 1;
        }
        self.value(self.outgoing.head)
            .store(self.written, Ordering::Release);
        self.moved(self.outgoing.head, socket);
        bytes.len() as u64 <= room
    }

    /// Returns whether the other side has read all.
    pub(crate) fn is_read(&self) -> bool {
        self.value(self.outgoing.tail).load(Ordering::Acquire) == self.written
    }

    /// The place of the next byte.
    pub(crate) fn place(&self) -> u64 {
        self.written
    }

    /// Counts a lot of descriptors.
    pub(crate) fn add_lot(&self) {
        self.half(self.outgoing.head + 12)
            .fetch_add(1, Ordering::Relaxed);
    }

    /// Writes anything to any place, or sends any doorbell.
    pub(crate) fn scribble(&self, random: &mut Random, socket: &UnixStream) {
        if random.below(8) == 0 {
            let bytes: Vec<u8> = (0..1 + random.below(16))
                .map(|_| [0, 0xff, random.next() as u8][random.below(3) as usize])
                .collect();
            send_nonblocking(socket, &bytes, random.below(20).saturating_sub(16) as usize);
        } else {
            self.scribble_memory(random);
        }
        // So that it looks.
        send_nonblocking(socket, &[0xff], 0);
    }

    /// Writes anything to a place: a counter, bytes that are about to be read, any other.
    pub(crate) fn scribble_memory(&self, random: &mut Random) {
        let value = random.next() >> random.below(64);
        let ways = [TO_CHILD, TO_PARENT];
        let way = ways[random.below(2) as usize];
        match random.below(8) {
            0 => {
                let counter = [0, way.head, way.tail][random.below(3) as usize];
                let step = random.below(300).wrapping_sub(150);
                self.value(counter).fetch_add(step, Ordering::AcqRel);
            }
            1 => {
                let counter = [0, way.head, way.tail][random.below(3) as usize];
                self.value(counter).store(value, Ordering::Release);
            }
            2 => {
                let part = [8, 12, 16][random.below(3) as usize];
                let counter = [way.head, way.tail][random.below(2) as usize];
                self.half(counter + part)
                    .store(value as u32, Ordering::Relaxed);
            }
            3..5 => {
                let tail = self.value(way.tail).load(Ordering::Relaxed);
                let at = tail.wrapping_add(random.below(200)) % CAPACITY;
                self.byte(way.ring + at as usize)
                    .store(value as u8, Ordering::Relaxed);
            }
            5 => self
                .value(8 * random.below(512) as usize)
                .store(value, Ordering::Release),
            _ => self
                .byte(random.below(LENGTH as u64) as usize)
                .store(value as u8, Ordering::Relaxed),
        }
    }
}
