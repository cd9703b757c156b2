//! Peers written by hand: slow, faulty and hostile.

use std::io::{IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::thread;

use futures_lite::future::{block_on, poll_once};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use offspring::{ExitStatus, Octets, Rpc, Started, worker};

use crate::support::*;

worker!(
    /// Only the peers of this file serve it.
    TEXT: fn(String) -> String = |text: String| text, name = "peer", events = String
);

type Text = Rpc<fn(String) -> String, Octets, String>;

pub(crate) struct Peer(pub(crate) UnixStream);

impl Peer {
    pub(crate) fn frame(&mut self) -> (u32, Vec<u8>) {
        let mut header = [0; 8];
        self.0.read_exact(&mut header).unwrap();
        let number = |part: &[u8]| u32::from_be_bytes(part.try_into().unwrap());
        let mut payload = vec![0; number(&header[4..]) as usize];
        self.0.read_exact(&mut payload).unwrap();
        (number(&header[..4]), payload)
    }

    fn send(&mut self, id: u32, payload: &[u8]) {
        self.0.write_all(&frame(id, payload)).unwrap();
    }

    pub(crate) fn greet(&mut self) {
        let (id, _) = self.frame();
        assert_eq!(id, 0xf0ff_5942);
        self.0.write_all(&greeting()).unwrap();
    }
}

pub(crate) fn frame(id: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = id.to_be_bytes().to_vec();
    frame.extend((payload.len() as u32).to_be_bytes());
    frame.extend(payload);
    frame
}

/// Sends `bytes`, with `copies` copies of the descriptor `of` sent with the first byte.
pub(crate) fn send_with(socket: &UnixStream, bytes: &[u8], of: RawFd, copies: usize) {
    let list = vec![of; copies];
    let rights = [ControlMessage::ScmRights(&list)];
    let control = if copies == 0 { &[][..] } else { &rights[..] };
    let parts = [IoSlice::new(bytes)];
    let sent = sendmsg::<()>(socket.as_raw_fd(), &parts, control, MsgFlags::empty(), None);
    assert_eq!(sent, Ok(bytes.len()));
}

/// The child's hello and its `ready` frame.
fn greeting() -> Vec<u8> {
    let mut octets = hello(
        b'C',
        1,
        &[
            "worker",
            "peer",
            "serialiser",
            "octets",
            "backend",
            "blocking",
        ],
    );
    octets.extend(frame(4 << 28, &[]));
    octets
}

/// Runs `parent` with a child that is `peer` in a separate thread.
fn with_peer(peer: impl FnOnce(&mut Peer) + Send, parent: impl FnOnce(Text)) {
    with_peer_over(true, peer, parent);
}

fn with_peer_over(rings: bool, peer: impl FnOnce(&mut Peer) + Send, parent: impl FnOnce(Text)) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let rpc = TEXT.builder().socket(ours).max_message(1 << 30).quiet();
    let rpc = rpc.rings(rings).on_event(|_| ()).begin();
    thread::scope(|scope| {
        scope.spawn(move || peer(&mut Peer(theirs)));
        parent(rpc);
    });
}

#[test]
fn a_peer_that_echoes() {
    let _guard = guard();
    let peer = |peer: &mut Peer| {
        peer.greet();
        for _ in 0..3 {
            let (id, payload) = peer.frame();
            peer.send(id, &payload);
        }
        assert_eq!(peer.0.read(&mut [0]).unwrap(), 0);
    };
    with_peer(peer, |rpc| {
        for text in ["a", "", "c"] {
            // A list of one string has its length in front.
            assert_eq!(rpc.call(text).wait().unwrap(), text);
        }
        assert_eq!(rpc.join().wait().unwrap(), ExitStatus::Unknown);
    });
}

/// X38: the peer sends byte by byte, while the parent drops futures in the middle of frames.
#[test]
fn a_peer_that_drips() {
    let _guard = guard();
    let peer = |peer: &mut Peer| {
        peer.frame();
        let drip = |octets: &[u8], other: &mut UnixStream| {
            octets.iter().for_each(|octet| {
                other.write_all(&[*octet]).unwrap();
                thread::yield_now();
            })
        };
        let mut out = peer.0.try_clone().unwrap();
        drip(&greeting(), &mut out);
        loop {
            let mut first = [0];
            if peer.0.peek_one(&mut first) == 0 {
                return;
            }
            let (id, payload) = peer.frame();
            // A cancelled call is answered, a cancel frame is not.
            if id >> 28 == 0 {
                drip(&frame(id, &payload), &mut out);
            }
        }
    };
    with_peer(peer, |rpc| {
        for n in 0..200_u32 {
            let text = n.to_string();
            let mut call = rpc.call(&text);
            let mut other = rpc.call("other");
            for _ in 0..n % 7 {
                if block_on(poll_once(&mut other)).is_some() {
                    break;
                }
            }
            drop(other);
            let answer = match block_on(poll_once(&mut call)) {
                Some(answer) => answer,
                None if n % 2 == 0 => block_on(call),
                None => call.wait(),
            };
            assert_eq!(answer.unwrap(), text);
        }
        rpc.join().wait().unwrap();
    });
}

trait Peek {
    fn peek_one(&mut self, octet: &mut [u8; 1]) -> usize;
}

impl Peek for UnixStream {
    fn peek_one(&mut self, octet: &mut [u8; 1]) -> usize {
        use std::os::fd::AsRawFd;
        nix::sys::socket::recv(
            self.as_raw_fd(),
            octet,
            nix::sys::socket::MsgFlags::MSG_PEEK,
        )
        .unwrap()
    }
}

/// Breaches of the protocol, each with a word that the error contains.
#[test]
fn peers_that_break_the_protocol() {
    let _guard = guard();
    let breaches: &[(&str, Vec<u8>)] = &[
        ("not open", frame(77, b"x")),
        ("kind", frame(9 << 28, b"")),
        ("kind", frame(3 << 28 | 1, b"")),
        ("limit", {
            let mut event = 0_u32.to_be_bytes().to_vec();
            event.extend(u32::MAX.to_be_bytes());
            event
        }),
    ];
    for (word, octets) in breaches {
        let peer = |peer: &mut Peer| {
            peer.greet();
            peer.frame();
            peer.0.write_all(octets).unwrap();
        };
        with_peer(peer, |rpc| {
            let error = quickly(|| rpc.call("x").wait().unwrap_err());
            assert_error!(error, is_protocol, word);
            assert!(rpc.call("y").wait().is_err());
            assert!(rpc.join().wait().unwrap_err().is_protocol());
        });
    }
}

/// X17, X41: a second answer to a call is an error, not the answer to another call.
#[test]
fn a_peer_that_answers_twice() {
    let _guard = guard();
    let peer = |peer: &mut Peer| {
        peer.greet();
        let (id, payload) = peer.frame();
        peer.send(id, &payload);
        peer.send(id, &payload);
        let _ = peer.0.read_to_end(&mut Vec::new());
    };
    with_peer(peer, |rpc| {
        assert_eq!(rpc.call("once").wait().unwrap(), "once");
        let error = quickly(|| rpc.call("next").wait().unwrap_err());
        assert!(error.is_protocol(), "{error}");
        assert!(rpc.join().wait().is_err());
    });
}

/// X36, G9: a length without its bytes allocates no memory.
#[test]
fn a_peer_that_claims_a_gigabyte() {
    let _guard = guard();
    let memory = || {
        let text = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("VmPeak:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    };
    let before = memory();
    let peer = |peer: &mut Peer| {
        peer.greet();
        let (id, _) = peer.frame();
        let mut claim = id.to_be_bytes().to_vec();
        claim.extend((1_u32 << 30).to_be_bytes());
        claim.extend([b'x'; 100]);
        peer.0.write_all(&claim).unwrap();
    };
    with_peer(peer, |rpc| {
        let error = quickly(|| rpc.call("x").wait().unwrap_err());
        assert!(error.is_child_dead(), "{error}");
        assert_eq!(error.crash().unwrap().status(), ExitStatus::Unknown);
        assert_ne!(error.started(), Started::No);
        rpc.join().wait().unwrap();
    });
    // glibc reserves 64 MiB of addresses for a thread's first allocation.
    assert!(memory() < before + (800 << 20), "{}", memory());
}

/// The peer shuts its sending half down, and still reads.
#[test]
fn a_peer_that_ends_its_output() {
    let _guard = guard();
    let peer = |peer: &mut Peer| {
        peer.greet();
        let (id, payload) = peer.frame();
        peer.send(id, &payload);
        peer.frame();
        peer.0.shutdown(Shutdown::Write).unwrap();
        let _ = peer.0.read_to_end(&mut Vec::new());
    };
    with_peer(peer, |rpc| {
        let (one, two) = (rpc.call("one"), rpc.call("two"));
        assert_eq!(one.wait().unwrap(), "one");
        let error = quickly(|| two.wait().unwrap_err());
        assert!(error.is_child_dead(), "{error}");
        assert!(quickly(|| rpc.join().wait()).is_ok());
    });
}

/// For a child without a process, `kill` closes the link.
#[test]
fn a_peer_that_is_killed() {
    let _guard = guard();
    let peer = |peer: &mut Peer| {
        peer.greet();
        peer.frame();
        assert!(peer.0.read_to_end(&mut Vec::new()).is_ok());
    };
    with_peer(peer, |rpc| {
        rpc.ready().wait().unwrap();
        let call = rpc.call("x");
        rpc.kill();
        let error = quickly(|| call.wait().unwrap_err());
        assert!(error.is_child_dead(), "{error}");
        quickly(|| rpc.join().wait()).unwrap();
    });
}

/// A call given up with `kill_on_cancel` starts all the same, as soon as the call before it is answered. The child is
/// then killed, as the caller asked.
#[test]
fn a_call_that_starts_although_it_was_given_up() {
    let _guard = guard();
    let (done, held) = std::sync::mpsc::channel::<()>();
    let peer = move |peer: &mut Peer| {
        let _hello = peer.frame();
        let (first, _) = peer.frame();
        let (second, _) = peer.frame();
        assert_eq!(peer.frame().0, 3 << 28 | second);
        // Before hello no call can have started. One write, so that the parent sees hello and answer together.
        let answer = [greeting(), frame(first, b"\x02so")].concat();
        peer.0.write_all(&answer).unwrap();
        // The peer ignores the cancel, and keeps the link open.
        assert!(held.recv().is_err());
    };
    // With rings the peer would see no call before its hello.
    with_peer_over(false, peer, |rpc| {
        let first = rpc.call("first");
        drop(rpc.call("second").kill_on_cancel(true));
        assert_eq!(first.wait().unwrap(), "so");
        rpc.join().wait_timeout(soon()).unwrap();
        drop(done);
    });
}
