//! The rings under every schedule of loom, compared with a queue, and with a lying peer.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;

use super::counter::Counter;
use super::{Direction, RingEnd, RingMemory};
use crate::base::sync::explored::{AtomicU32, Mutex, Ordering};
use crate::base::sync::testing::{Condvar, explore, spawn};

/// Rings of a few atomic bytes, so that loom finds a byte that is read too early.
struct Small {
    counters: [[Counter; 2]; 2],
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

    fn byte(&self, direction: Direction, at: u64) -> &AtomicU32 {
        let ring = &self.bytes[direction as usize];
        &ring[at as usize % ring.len()]
    }
}

impl RingMemory for Small {
    fn capacity(&self) -> usize {
        self.bytes[0].len()
    }
    fn counters(&self, direction: Direction) -> &[Counter; 2] {
        &self.counters[direction as usize]
    }
    fn copy_in(&self, direction: Direction, at: u64, bytes: &[u8]) {
        for (place, byte) in (at..).zip(bytes) {
            self.byte(direction, place)
                .store(u32::from(*byte), Ordering::Relaxed);
        }
    }
    fn copy_out(&self, direction: Direction, at: u64, count: usize, buffer: &mut Vec<u8>) {
        for place in at..at + count as u64 {
            buffer.push(self.byte(direction, place).load(Ordering::Relaxed) as u8);
        }
    }
}

/// One direction of a socket for doorbells.
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

    /// Blocks until a doorbell comes, and takes all of them. Returns false at the end.
    fn recv(&self) -> bool {
        let mut state = self.state.lock();
        while *state == (0, false) {
            state = self.news.wait(state).unwrap();
        }
        std::mem::take(&mut state.0) > 0
    }
}

/// Writes all bytes, and sleeps while there is no room. Returns false if the other side has ended.
fn send(writer: &RingEnd<Small>, mut bytes: &[u8], to: &Socket, from: &Socket) -> io::Result<bool> {
    while !bytes.is_empty() {
        let count = writer.write(&[IoSlice::new(bytes)], || to.doorbell())?;
        bytes = &bytes[count..];
        if count == 0 && writer.sleep()? && !from.recv() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads until the end, and sleeps while the ring is empty.
fn receive(reader: &RingEnd<Small>, to: &Socket, from: &Socket) -> io::Result<Vec<u8>> {
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
            let writer = RingEnd::writer(ours, Direction::ToChild);
            let [to, from] = &*theirs;
            assert!(send(&writer, message, to, from).unwrap());
            to.end();
        });
        let reader = RingEnd::reader(memory, Direction::ToChild);
        let [from, to] = &*sockets;
        assert_eq!(receive(&reader, to, from).unwrap(), message);
        writing.join().unwrap();
    });
}

/// Reader and writer sleep and wake each other. A lost wake-up is a deadlock, which loom reports.
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
            let [head, _] = lies.counters(Direction::ToChild);
            let [_, tail] = lies.counters(Direction::ToParent);
            let _ = head.advance(2);
            let _ = tail.advance(9);
            let _ = head.advance(1);
        });
        let reader = RingEnd::reader(Arc::clone(&memory), Direction::ToChild);
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
        let writer = RingEnd::writer(memory, Direction::ToParent);
        let written = writer.write(&[IoSlice::new(&[1, 2, 3])], || ());
        assert!(written.is_err() || written.unwrap() == 2);
        liar.join().unwrap();
    });
}

/// Tests without loom, of the mapped memory.
#[cfg(not(loom))]
mod mapped {
    use super::*;
    use crate::sys::ring::memory::{CAPACITY, LENGTH, tests::file};
    use crate::sys::ring::{CHUNK, LinkMemory};
    use nix::fcntl::{FcntlArg, SealFlag, fcntl};
    use nix::unistd::ftruncate;
    use proptest::prelude::*;

    fn both_ends(direction: Direction) -> (RingEnd<LinkMemory>, RingEnd<LinkMemory>) {
        let (ours, fd) = LinkMemory::create().unwrap();
        let theirs = LinkMemory::open(fd).unwrap();
        (
            RingEnd::writer(Arc::new(ours), direction),
            RingEnd::reader(Arc::new(theirs), direction),
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Writes and reads of any sizes act as on a bounded queue, in both directions.
        #[test]
        fn a_ring_is_a_bounded_queue(steps in prop::collection::vec((any::<bool>(), 0usize..200_000), 1..40)) {
            for direction in [Direction::ToChild, Direction::ToParent] {
                let (writer, reader) = both_ends(direction);
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
                    prop_assert_eq!(writer.may_go_on(), queue.len() < capacity);
                    prop_assert_eq!(reader.available().unwrap() > 0, !queue.is_empty());
                    prop_assert_eq!(reader.unread(), queue.len() as u64);
                }
            }
        }
    }

    #[test]
    fn a_doorbell_is_asked_for_once_a_sleep() {
        let (writer, reader) = both_ends(Direction::ToChild);
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
        assert!(!writer.may_go_on());
        for _ in 0..2 {
            assert_eq!(reader.read(&mut Vec::new(), 1, doorbell).unwrap(), 1);
        }
        assert_eq!(rung.get(), 2);
        assert!(!writer.sleep().unwrap(), "there is room");
    }

    /// The reader can copy one chunk of a long message while the writer copies the next.
    #[test]
    fn a_long_message_is_seen_in_pieces() {
        let (writer, reader) = both_ends(Direction::ToParent);
        let seen = std::cell::RefCell::new(Vec::new());
        reader.sleep().unwrap();
        let doorbell = || {
            reader
                .read(&mut seen.borrow_mut(), usize::MAX, || ())
                .unwrap();
            reader.sleep().unwrap();
        };
        let message: Vec<u8> = (0..5 * CHUNK + 7).map(|n| (n / 3) as u8).collect();
        assert_eq!(
            writer.write(&[IoSlice::new(&message)], doorbell).unwrap(),
            message.len()
        );
        assert_eq!(*seen.borrow(), message);
    }

    #[test]
    fn counters_that_contradict_each_other_are_a_violation() {
        let refused = |error: io::Error| assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        for head in [CAPACITY as u64 + 1, u64::MAX] {
            let (_, reader) = both_ends(Direction::ToChild);
            let _ = reader.other().advance(head);
            refused(reader.read(&mut Vec::new(), 9, || ()).unwrap_err());
            refused(reader.sleep().unwrap_err());
        }
        for tail in [CAPACITY as u64 + 1, u64::MAX] {
            let (writer, _) = both_ends(Direction::ToChild);
            let _ = writer.other().advance(tail);
            refused(
                writer
                    .write(&[IoSlice::new(&[0; CAPACITY + 1000])], || ())
                    .unwrap_err(),
            );
        }
        // A counter that decreases is a violation, too.
        let (writer, reader) = both_ends(Direction::ToChild);
        writer.write(&[IoSlice::new(b"four")], || ()).unwrap();
        reader.read(&mut Vec::new(), 2, || ()).unwrap();
        let _ = reader.other().advance(1);
        reader.read(&mut Vec::new(), 2, || ()).unwrap();
        assert!(reader.sleep().is_err());
        // A tail that decreases until the ring looks full: a side that believed it would look for room without end.
        let (writer, _) = both_ends(Direction::ToChild);
        writer.write(&[IoSlice::new(b"four")], || ()).unwrap();
        let _ = writer.other().advance(4_u64.wrapping_sub(CAPACITY as u64));
        assert!(writer.may_go_on());
        refused(
            writer
                .write(&[IoSlice::new(&[0; CAPACITY])], || ())
                .unwrap_err(),
        );
    }

    /// Another process writes at random over the whole mapping while this side reads and writes: no access is out of
    /// bounds, nothing panics, and each step is a byte, a sleep or an error.
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
            let writer = RingEnd::writer(own(), Direction::ToParent);
            let reader = RingEnd::reader(own(), Direction::ToChild);
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
