//! A worker that uses rings, written from docs/protocol.md alone, once correct and once lying; and children that cannot
//! use rings.

use std::fs::File;
use std::io::{IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::thread;

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use offspring::{Started, worker};

use crate::peers::{frame, send_with};
use crate::support::*;

worker!(ECHO: fn(String) -> String = |text: String| text, name = "rings", events = String);

const CAPACITY: usize = 131_072;
const LENGTH: usize = 266_240;

/// Counter numbers of the head and the tail of each ring.
const TO_CHILD: (usize, usize) = (1, 2);
const TO_PARENT: (usize, usize) = (3, 4);

/// A child's end of the link.
struct Peer {
    socket: UnixStream,
    memory: NonNull<u8>,
    read: u64,
    written: u64,
    /// Bytes that were read and not yet parsed.
    buffer: Vec<u8>,
}

// SAFETY: only this peer uses its mapping until it is dropped.
unsafe impl Send for Peer {}

impl Drop for Peer {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and no reference to it is left.
        unsafe { munmap(self.memory.cast(), LENGTH) }.unwrap();
    }
}

impl Peer {
    /// Reads the parent's hello, answers it, and sends `ready`.
    fn greet(mut socket: UnixStream) -> Self {
        let mut header = [0; 8];
        let memory = receive(&socket, &mut header).expect("hello carries the memory");
        let length = u32::from_be_bytes(header[4..].try_into().unwrap());
        let mut hello = vec![0; length as usize];
        socket.read_exact(&mut hello).unwrap();
        for said in ["rings\x07offered", "descriptors\x06memory"] {
            let mut windows = hello.windows(said.len());
            assert!(windows.any(|window| window == said.as_bytes()), "{said:?}");
        }
        let length = NonZeroUsize::new(LENGTH).unwrap();
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let memory = unsafe { mmap(None, length, access, MapFlags::MAP_SHARED, &memory, 0) };
        let fields = [
            ("worker", "rings"),
            ("serialiser", "octets"),
            ("backend", "blocking"),
            ("memory", "used"),
            ("rings", "used"),
        ];
        let fields: Vec<_> = fields
            .iter()
            .flat_map(|(key, value)| [*key, *value])
            .collect();
        socket.write_all(&hello_of(&fields)).unwrap();
        let mut peer = Self {
            socket,
            memory: memory.unwrap().cast(),
            read: 0,
            written: 0,
            buffer: Vec::new(),
        };
        peer.send(&frame(4 << 28, &[]));
        peer
    }

    fn value(&self, counter: usize) -> &AtomicU64 {
        // SAFETY: it is in the mapping, is aligned, and is only accessed as an atomic.
        unsafe { self.memory.byte_add(128 * counter).cast().as_ref() }
    }

    /// The word `index` of a counter: 2 is *sleeps*, 3 the number of batches of descriptors, 4 the end.
    fn word(&self, counter: usize, index: usize) -> &AtomicU32 {
        // SAFETY: as above.
        unsafe {
            self.memory
                .cast::<AtomicU32>()
                .add(32 * counter + index)
                .as_ref()
        }
    }

    fn moved(&self, counter: usize) {
        fence(Ordering::SeqCst);
        if self.word(counter, 2).swap(0, Ordering::Relaxed) != 0 {
            // The parent may have exited.
            let _ = self.socket.try_clone().unwrap().write_all(&[0xff]);
        }
    }

    /// Runs `wait` if the counter is still `seen`, with *sleeps* set.
    fn sleep(&self, counter: usize, seen: u64, wait: impl FnOnce(&AtomicU32)) {
        let sleeps = self.word(counter, 2);
        sleeps.store(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.value(counter).load(Ordering::Acquire) == seen {
            wait(sleeps);
        }
        sleeps.store(0, Ordering::Relaxed);
    }

    /// Waits for bytes. Returns `false` at the end.
    fn recv(&mut self) -> bool {
        let mut ended = false;
        loop {
            let head = self.value(TO_CHILD.0).load(Ordering::Acquire);
            if head > self.read {
                for at in self.read..head {
                    let place = 4096 + at as usize % CAPACITY;
                    // SAFETY: the place is in the mapping, and the parent does not write there until the tail moves.
                    self.buffer
                        .push(unsafe { self.memory.byte_add(place).read() });
                }
                self.read = head;
                self.value(TO_CHILD.1).store(head, Ordering::Release);
                self.moved(TO_CHILD.1);
                return true;
            }
            if ended {
                return false;
            }
            self.sleep(TO_CHILD.0, head, |_| {
                ended = (&self.socket).read(&mut [0; 64]).unwrap() == 0;
            });
        }
    }

    fn send(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let tail = self.value(TO_PARENT.1).load(Ordering::Acquire);
            let room = CAPACITY - (self.written - tail) as usize;
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            for (at, byte) in (self.written..).zip(now) {
                let place = 4096 + CAPACITY + at as usize % CAPACITY;
                // SAFETY: the place is in the mapping, and the parent does not read there until the head moves.
                unsafe { self.memory.byte_add(place).write(*byte) };
            }
            if now.is_empty() {
                self.sleep(TO_PARENT.1, tail, wait_on);
                continue;
            }
            self.written += now.len() as u64;
            self.value(TO_PARENT.0)
                .store(self.written, Ordering::Release);
            self.moved(TO_PARENT.0);
            bytes = later;
        }
    }

    /// Waits for a frame. `None` at the end.
    fn frame(&mut self) -> Option<(u32, Vec<u8>)> {
        let number = |part: &[u8]| u32::from_be_bytes(part.try_into().unwrap());
        loop {
            if self.buffer.len() >= 8 {
                let end = 8 + number(&self.buffer[4..8]) as usize;
                if self.buffer.len() >= end {
                    let frame: Vec<u8> = self.buffer.drain(..end).collect();
                    return Some((number(&frame[..4]), frame[8..].to_vec()));
                }
            }
            if !self.recv() {
                return None;
            }
        }
    }

    /// Counts a call as started.
    fn begins(&self) {
        self.value(0).fetch_add(1, Ordering::Release);
    }

    fn end(&self) {
        self.word(TO_PARENT.0, 4).store(1, Ordering::Release);
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// Sleeps until another thread wakes it, or the word is no longer 1.
fn wait_on(word: &AtomicU32) {
    // SAFETY: the word lives as long as the call.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT,
            1,
            std::ptr::null::<u8>(),
        )
    };
}

fn hello_of(fields: &[&str]) -> Vec<u8> {
    hello(b'C', 1, fields)
}

/// Fills `bytes`; returns the descriptor that was sent with the first byte.
fn receive(socket: &UnixStream, bytes: &mut [u8]) -> Option<OwnedFd> {
    let mut space = nix::cmsg_space!([i32; 4]);
    let mut slices = [IoSliceMut::new(bytes)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_WAITALL;
    let came = recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut space), flags).unwrap();
    let mut descriptors = Vec::new();
    for message in came.cmsgs().unwrap() {
        if let ControlMessageOwned::ScmRights(numbers) = message {
            // SAFETY: they were just received, so nothing else owns them.
            let own = |number| unsafe { OwnedFd::from_raw_fd(number) };
            descriptors.extend(numbers.into_iter().map(own));
        }
    }
    descriptors.pop()
}

/// Runs `parent` with a child that is `serve` in another thread.
fn with_peer(
    serve: impl FnOnce(&mut Peer) + Send,
    parent: impl FnOnce(offspring::Rpc<fn(String) -> String, offspring::Octets, String>),
) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let rpc = ECHO.builder().socket(ours).quiet().on_event(|_| ()).begin();
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut peer = Peer::greet(theirs);
            serve(&mut peer);
            peer.end();
        });
        parent(rpc);
    });
}

fn echo(peer: &mut Peer) {
    while let Some((id, payload)) = peer.frame() {
        // A cancel needs no answer.
        if id >> 28 == 0 {
            peer.begins();
            peer.send(&frame(id, &payload));
        }
    }
}

#[test]
fn a_worker_written_from_the_document() {
    let _guard = guard();
    with_peer(echo, |rpc| {
        for length in [0, 1, 1000, 200_000, 1 << 20] {
            let text = "x".repeat(length);
            assert!(rpc.call(&text).wait().unwrap() == text, "{length}");
        }
        thread::scope(|scope| {
            for number in 0..2 {
                let rpc = &rpc;
                scope.spawn(move || {
                    let texts: Vec<_> = (0..rounds(300))
                        .map(|n| "y".repeat(997 * n as usize % 5000 + number))
                        .collect();
                    let calls: Vec<_> = texts.iter().map(|text| rpc.call(text)).collect();
                    for (call, text) in calls.into_iter().zip(&texts) {
                        assert!(call.wait().unwrap() == *text);
                    }
                });
            }
        });
        rpc.join().wait().unwrap();
    });
}

/// The values in the rings contradict each other: the call fails with the reason, and the link ends.
#[test]
fn workers_that_lie_of_their_rings() {
    let _guard = guard();
    type Lie = (&'static str, fn(&mut Peer));
    let lies: [Lie; 6] = [
        ("contradict", |peer| {
            let head = peer.written + CAPACITY as u64 + 1;
            peer.value(TO_PARENT.0).store(head, Ordering::Release);
            peer.moved(TO_PARENT.0);
        }),
        ("contradict", |peer| {
            peer.value(TO_PARENT.0).store(0, Ordering::Release);
            peer.moved(TO_PARENT.0);
        }),
        ("contradict", |peer| {
            peer.value(TO_CHILD.1).store(u64::MAX, Ordering::Release);
            peer.moved(TO_CHILD.1);
        }),
        ("contradict", |peer| {
            // The parent has seen a larger tail.
            while peer.read < 2 * CAPACITY as u64 {
                peer.recv();
            }
            peer.value(TO_CHILD.1).store(0, Ordering::Release);
            peer.moved(TO_CHILD.1);
        }),
        ("nothing announces", |peer| {
            for place in [peer.written + 5000, peer.written + 6000] {
                send_descriptor(&peer.socket, &place.to_be_bytes());
            }
        }),
        ("closed the link", |peer| {
            let half = frame(1, b"abcdef");
            peer.send(&half[..10]);
            peer.end();
        }),
    ];
    for (complaint, lie) in lies {
        let serve = |peer: &mut Peer| {
            let (id, payload) = peer.frame().unwrap();
            peer.begins();
            peer.send(&frame(id, &payload));
            peer.recv();
            lie(peer);
            // The parent ends the link; this peer does not.
            while (&peer.socket)
                .read(&mut [0; 64])
                .is_ok_and(|count| count > 0)
            {}
        };
        with_peer(serve, |rpc| {
            assert_eq!(rpc.call("so").wait().unwrap(), "so");
            // The writer looks at its tail only when the ring seems full.
            let error = quickly(|| rpc.call("z".repeat(4 * CAPACITY)).wait().unwrap_err());
            assert!(
                error.to_string().contains(complaint),
                "{complaint}: {error}"
            );
            assert_ne!(error.started(), Started::Yes, "{error}");
        });
    }
}

fn send_descriptor(socket: &UnixStream, bytes: &[u8]) {
    let null = File::open("/dev/null").unwrap();
    send_with(socket, bytes, null.as_raw_fd(), 1);
}

/// A process between parent and child copies bytes but no descriptors.
#[test]
fn a_socket_whose_descriptors_are_lost() {
    let _guard = guard();
    let (ours, near) = UnixStream::pair().unwrap();
    let (far, theirs) = UnixStream::pair().unwrap();
    let mut child = serving("texts")
        .stdin(OwnedFd::from(theirs.try_clone().unwrap()))
        .stdout(OwnedFd::from(theirs))
        .begin();
    let copy = |mut from: &UnixStream, mut to: &UnixStream| {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    };
    thread::scope(|scope| {
        scope.spawn(|| copy(&near, &far));
        scope.spawn(|| copy(&far, &near));
        let rpc = TEXTS.builder().socket(ours).begin();
        let texts = ["a".repeat(1 << 20), "b".into(), "c".repeat(300_000)];
        let calls = texts.each_ref().map(|text| rpc.call(text));
        for (call, text) in calls.into_iter().zip(&texts) {
            assert!(call.wait().unwrap() == *text);
        }
        rpc.join().wait().unwrap();
    });
    assert!(child.wait().unwrap().success());
}
