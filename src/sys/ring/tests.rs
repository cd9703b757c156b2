//! The rings under every schedule that loom finds, against what a queue does, and with a liar on the other side.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;

use super::counter::Counter;
use super::{Memory, Reader, Way, Writer};
use crate::base::sync::explored::{AtomicU32, Mutex, Ordering};
use crate::base::sync::testing::{Condvar, explore, spawn};

/// Rings of a few bytes that are atomics, so that loom sees a byte that is read too early.
struct Small {
    counters: [Counter; 4],
    bytes: [Vec<AtomicU32>; 2],
}

impl Small {
    fn new(capacity: usize) -> Arc<Self> {
        let ring = || (0..capacity).map(|_| AtomicU32::new(0)).collect();
        Arc::new(Self {
            counters: Default::default(),
            bytes: [ring(), ring()],
        })
    }

    fn byte(&self, way: Way, at: u64) -> &AtomicU32 {
        let ring = &self.bytes[usize::from(way == Way::ToParent)];
        &ring[at as usize % ring.len()]
    }
}

impl Memory for Small {
    fn capacity(&self) -> usize {
        self.bytes[0].len()
    }
    fn head(&self, way: Way) -> &Counter {
        &self.counters[2 * usize::from(way == Way::ToParent)]
    }
    fn tail(&self, way: Way) -> &Counter {
        &self.counters[2 * usize::from(way == Way::ToParent) + 1]
    }
    fn copy_in(&self, way: Way, at: u64, bytes: &[u8]) {
        for (place, byte) in (at..).zip(bytes) {
            self.byte(way, place)
                .store(u32::from(*byte), Ordering::Relaxed);
        }
    }
    fn copy_out(&self, way: Way, at: u64, count: usize, buffer: &mut Vec<u8>) {
        for place in at..at + count as u64 {
            buffer.push(self.byte(way, place).load(Ordering::Relaxed) as u8);
        }
    }
}

/// What doorbells are sent over: one direction of a socket.
struct Socket {
    state: Mutex<(u32, bool)>,
    news: Condvar,
}

impl Socket {
    fn new() -> Self {
        Self {
            state: Mutex::new((0, false)),
            news: Condvar::new(),
        }
    }

    fn doorbell(&self) {
        self.state.lock().0 += 1;
        self.news.notify_all();
    }

    fn end(&self) {
        self.state.lock().1 = true;
        self.news.notify_all();
    }

    /// Blocks until there is a doorbell, and takes them all; false at the end.
    fn recv(&self) -> bool {
        let mut state = self.state.lock();
        while *state == (0, false) {
            state = self.news.wait(state).unwrap();
        }
        std::mem::take(&mut state.0) > 0
    }
}

/// Writes all, sleeping while there is no room; false if the other side is gone.
fn send(writer: &Writer<Small>, mut bytes: &[u8], to: &Socket, from: &Socket) -> io::Result<bool> {
    while !bytes.is_empty() {
        let count = writer.write(&[IoSlice::new(bytes)], || to.doorbell())?;
        bytes = &bytes[count..];
        if count == 0 && writer.sleep()? && !from.recv() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads until the end, sleeping while there is nothing.
fn receive(reader: &Reader<Small>, to: &Socket, from: &Socket) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        if reader.read(&mut bytes, 100, || to.doorbell())? == 0 && reader.sleep()? && !from.recv() {
            while reader.read(&mut bytes, 100, || ())? > 0 {}
            return Ok(bytes);
        }
    }
}

fn model(capacity: usize, message: &'static [u8]) {
    explore(3, move || {
        let memory = Small::new(capacity);
        let sockets = Arc::new([Socket::new(), Socket::new()]);
        let (ours, theirs) = (Arc::clone(&memory), Arc::clone(&sockets));
        let writing = spawn(move || {
            let writer = Writer::new(ours, Way::ToChild);
            let [to, from] = &*theirs;
            assert!(send(&writer, message, to, from).unwrap());
            to.end();
        });
        let reader = Reader::new(memory, Way::ToChild);
        let [from, to] = &*sockets;
        assert_eq!(receive(&reader, to, from).unwrap(), message);
        writing.join().unwrap();
    });
}

/// Reader and writer sleep and wake each other; a wake-up that is lost is a deadlock, which loom reports.
#[test]
fn loom_every_byte_arrives_once_through_a_ring_of_two() {
    model(2, &[1, 2, 3]);
}

#[test]
fn loom_the_last_bytes_arrive_before_the_end() {
    model(4, &[1, 2]);
}

/// The other side changes its counters while this side reads, writes and sleeps: each step is a byte, a sleep, or an
/// error that ends it.
#[test]
fn loom_a_liar_stops_nothing() {
    explore(3, || {
        let memory = Small::new(2);
        let lies = Arc::clone(&memory);
        let liar = spawn(move || {
            let _ = lies.head(Way::ToChild).advance(2);
            let _ = lies.tail(Way::ToParent).advance(9);
            let _ = lies.head(Way::ToChild).advance(1);
        });
        let reader = Reader::new(Arc::clone(&memory), Way::ToChild);
        let mut bytes = Vec::new();
        for _ in 0..3 {
            let before = bytes.len();
            let Ok(sleeps) = reader.sleep() else { break };
            if !sleeps {
                let Ok(count) = reader.read(&mut bytes, 9, || ()) else {
                    break;
                };
                assert!(count > 0 && bytes.len() == before + count);
            }
        }
        assert!(bytes.len() <= 2, "no more than was claimed at once");
        let writer = Writer::new(memory, Way::ToParent);
        let written = writer.write(&[IoSlice::new(&[1, 2, 3])], || ());
        assert!(written.is_err() || written.unwrap() == 2);
        liar.join().unwrap();
    });
}

/// Without loom: whole processes' worth of bytes, and the mapped memory itself.
#[cfg(not(loom))]
mod mapped {
    use super::*;
    use crate::sys::ring::memory::{CAPACITY, LENGTH, tests::file};
    use crate::sys::ring::{LinkMemory, PIECE};
    use nix::fcntl::{FcntlArg, SealFlag, fcntl};
    use nix::unistd::ftruncate;
    use proptest::prelude::*;

    fn both_ends(way: Way) -> (Writer<LinkMemory>, Reader<LinkMemory>) {
        let (ours, fd) = LinkMemory::create().unwrap();
        let theirs = LinkMemory::open(fd).unwrap();
        (
            Writer::new(Arc::new(ours), way),
            Reader::new(Arc::new(theirs), way),
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Writes and reads of any sizes do what a bounded queue does, in both directions.
        #[test]
        fn a_ring_is_a_bounded_queue(steps in prop::collection::vec((any::<bool>(), 0usize..200_000), 1..40)) {
            for way in [Way::ToChild, Way::ToParent] {
                let (writer, reader) = both_ends(way);
                let capacity = CAPACITY;
                let (mut queue, mut next) = (VecDeque::<u8>::new(), 0u8);
                for (writes, size) in &steps {
                    if *writes {
                        let bytes: Vec<u8> = (0..*size).map(|n| next.wrapping_add(n as u8)).collect();
                        let (first, second) = bytes.split_at(size / 3);
                        let count = writer.write(&[IoSlice::new(first), IoSlice::new(second)], || ()).unwrap();
                        prop_assert_eq!(count, bytes.len().min(capacity - queue.len()));
                        queue.extend(&bytes[..count]);
                        next = next.wrapping_add(count as u8);
                    } else {
                        let mut bytes = Vec::new();
                        // What the reader saw last may be less than there is.
                        let mut count = 0;
                        while count < *size {
                            let more = reader.read(&mut bytes, size - count, || ()).unwrap();
                            if more == 0 { break }
                            count += more;
                        }
                        prop_assert_eq!(count, queue.len().min(*size));
                        prop_assert!(bytes.into_iter().eq(queue.drain(..count)));
                    }
                    prop_assert_eq!(writer.has_room(), queue.len() < capacity);
                    prop_assert_eq!(reader.available().unwrap() > 0, !queue.is_empty());
                    prop_assert_eq!(reader.unread(), queue.len() as u64);
                }
            }
        }
    }

    #[test]
    fn a_doorbell_is_asked_for_once_a_sleep() {
        let (writer, reader) = both_ends(Way::ToChild);
        let rung = std::cell::Cell::new(0);
        let doorbell = || rung.set(rung.get() + 1);
        let write = |bytes: &[u8]| writer.write(&[IoSlice::new(bytes)], doorbell).unwrap();
        write(b"a");
        assert_eq!(rung.get(), 0, "the reader has not said that it sleeps");
        assert!(!reader.sleep().unwrap(), "there is something to read");
        assert_eq!(reader.read(&mut Vec::new(), 9, || ()).unwrap(), 1);
        assert!(reader.sleep().unwrap());
        write(b"b");
        write(b"c");
        assert_eq!(rung.get(), 1);
        reader.read(&mut Vec::new(), 9, || ()).unwrap();
        assert!(reader.sleep().unwrap());
        reader.wake();
        write(b"d");
        assert_eq!(rung.get(), 1, "it has said that it does not sleep any more");
        // The same for a writer.
        let all = vec![0; 2 * CAPACITY];
        write(&all);
        assert!(writer.sleep().unwrap());
        assert!(!writer.has_room());
        for _ in 0..2 {
            assert_eq!(reader.read(&mut Vec::new(), 1, doorbell).unwrap(), 1);
        }
        assert_eq!(rung.get(), 2);
        assert!(!writer.sleep().unwrap(), "there is room");
    }

    /// Of a long message the reader can have a piece while the next is copied.
    #[test]
    fn a_long_message_is_seen_in_pieces() {
        let (writer, reader) = both_ends(Way::ToParent);
        let seen = std::cell::RefCell::new(Vec::new());
        reader.sleep().unwrap();
        let doorbell = || {
            reader
                .read(&mut seen.borrow_mut(), usize::MAX, || ())
                .unwrap();
            reader.sleep().unwrap();
        };
        let message: Vec<u8> = (0..5 * PIECE + 7).map(|n| (n / 3) as u8).collect();
        assert_eq!(
            writer.write(&[IoSlice::new(&message)], doorbell).unwrap(),
            message.len()
        );
        assert_eq!(*seen.borrow(), message);
    }

    #[test]
    fn what_nobody_reads_is_taken_back() {
        let (writer, _reader) = both_ends(Way::ToChild);
        let bytes: Vec<u8> = (0..CAPACITY + 1000).map(|n| (n * 7) as u8).collect();
        let count = writer.write(&[IoSlice::new(&bytes)], || ()).unwrap();
        assert_eq!(writer.take_back(), bytes[..count]);
    }

    #[test]
    fn counters_that_contradict_each_other_are_a_violation() {
        let refused = |error: io::Error| assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        for head in [CAPACITY as u64 + 1, u64::MAX] {
            let (_, reader) = both_ends(Way::ToChild);
            let _ = reader.memory.head(Way::ToChild).advance(head);
            refused(reader.read(&mut Vec::new(), 9, || ()).unwrap_err());
            refused(reader.sleep().unwrap_err());
        }
        for tail in [CAPACITY as u64 + 1, u64::MAX] {
            let (writer, _) = both_ends(Way::ToChild);
            let _ = writer.memory.tail(Way::ToChild).advance(tail);
            refused(
                writer
                    .write(&[IoSlice::new(&[0; CAPACITY + 1000])], || ())
                    .unwrap_err(),
            );
        }
        // One that goes back is as wrong.
        let (writer, reader) = both_ends(Way::ToChild);
        writer.write(&[IoSlice::new(b"four")], || ()).unwrap();
        reader.read(&mut Vec::new(), 2, || ()).unwrap();
        let _ = reader.memory.head(Way::ToChild).advance(1);
        reader.read(&mut Vec::new(), 2, || ()).unwrap();
        assert!(reader.sleep().is_err());
    }

    /// A program that writes at random over the whole mapping, while this side goes on reading and writing: nothing is
    /// read outside, nothing panics, and each step is a byte, a sleep or an error.
    #[test]
    fn a_scribbler_ends_nothing_but_the_ring() {
        let (memory, fd) = LinkMemory::create().unwrap();
        let (memory, theirs) = (Arc::new(memory), LinkMemory::open(fd).unwrap());
        let scribbler = std::thread::spawn(move || {
            let mut random = 0x9e37_79b9_7f4a_7c15u64;
            for _ in 0..10_000_000 {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let value = if random & 1 == 0 {
                    random
                } else {
                    random >> 44
                };
                theirs.scribble((random >> 20) as usize, value);
            }
        });
        let (mut errors, mut bytes) = (0u64, Vec::new());
        while !scribbler.is_finished() {
            let own = || Arc::clone(&memory);
            let writer = Writer::new(own(), Way::ToParent);
            let reader = Reader::new(own(), Way::ToChild);
            let step = |bytes: &mut Vec<u8>| {
                bytes.clear();
                let wrote = writer.write(&[IoSlice::new(&[7; 40])], || ())?;
                let sleeps = wrote == 0 && writer.sleep()?;
                let read = reader.read(bytes, 4096, || ())?;
                assert!(read <= 4096 && read == bytes.len());
                let sleeps = sleeps || (read == 0 && reader.sleep()?);
                Ok::<_, io::Error>(sleeps || wrote + read > 0)
            };
            for _ in 0..1000 {
                if step(&mut bytes).is_err() {
                    errors += 1;
                    break;
                }
            }
        }
        scribbler.join().unwrap();
        assert!(errors > 0, "the scribbler was heard");
    }

    #[test]
    fn the_memory_keeps_its_size() {
        let (_memory, fd) = LinkMemory::create().unwrap();
        assert!(ftruncate(&fd, 0).is_err() && ftruncate(&fd, 1 << 20).is_err());
        assert!(fcntl(&fd, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_WRITE)).is_err());
    }

    #[test]
    fn what_could_shrink_is_refused() {
        let both = SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK;
        let refused = |fd, complaint| {
            let error = LinkMemory::open(fd).unwrap_err().to_string();
            assert!(error.contains(complaint), "{error}");
        };
        refused(file(LENGTH, SealFlag::empty()), "seal");
        refused(file(LENGTH, SealFlag::F_SEAL_GROW), "seal");
        refused(file(0, both), "wrong size");
        refused(file(LENGTH - 1, both), "wrong size");
        refused(io::pipe().unwrap().0.into(), "memory file");
        refused(
            std::fs::File::open("/proc/self/exe").unwrap().into(),
            "memory file",
        );
        assert!(LinkMemory::open(file(LENGTH, both)).is_ok());
    }
}
