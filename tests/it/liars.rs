//! Peers that lie about the descriptors that they send.

use std::io::{IoSlice, PipeReader, Read, Write, pipe};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::thread;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use offspring::{Descriptor, Output, Postcard, Serialiser, worker};

use crate::common::*;
use crate::descriptors::Task;
use crate::peers::{Peer, frame};
use crate::start::hello;

worker!(
    /// Served by nobody but the peers here.
    PIPE: fn() -> Descriptor<PipeReader>
        = || -> Descriptor<PipeReader> { unreachable!("it is another one's") },
    name = "peer"
);

/// What is announced, and what then comes: lots, each with the announcement at
/// its place, and those beyond them with the frame itself.
type Lie = (&'static str, &'static [u32], &'static [usize]);

const LIES: &[Lie] = &[
    ("too few", &[2], &[1]),
    ("too many", &[1], &[2]),
    ("none", &[1], &[0]),
    ("none of the second lot", &[1, 1], &[1, 0]),
    ("none of the first lot", &[1, 1], &[0, 1]),
    ("it could not send them", &[0], &[0]),
    ("not announced", &[], &[1]),
    ("many, not announced", &[], &[253]),
    ("more than announced", &[1], &[1, 3]),
    ("far too many", &[253], &[1]),
];

/// Sends octets, and copies of a descriptor with the first.
fn send_with(socket: &UnixStream, octets: &[u8], of: RawFd, copies: usize) {
    let list = vec![of; copies];
    let rights = [ControlMessage::ScmRights(&list)];
    let control = if copies == 0 { &[][..] } else { &rights[..] };
    let parts = [IoSlice::new(octets)];
    let sent = sendmsg::<()>(socket.as_raw_fd(), &parts, control, MsgFlags::empty(), None);
    assert_eq!(sent, Ok(octets.len()));
}

/// Sends a frame with these announcements and lots.
fn tell(socket: &UnixStream, (_, announced, lots): Lie, frame: &[u8]) {
    let (reader, _writer) = pipe().unwrap();
    let mut lots = lots.iter().copied();
    for count in announced {
        let header = [(5 << 28 | count).to_be_bytes(), [0; 4]].concat();
        send_with(
            socket,
            &header,
            reader.as_raw_fd(),
            lots.next().unwrap_or(0),
        );
    }
    send_with(socket, frame, reader.as_raw_fd(), lots.next().unwrap_or(0));
}

const HONEST: Lie = ("honest", &[1], &[1]);

/// Whether a frame with one descriptor that is sent so arrives whole: what comes
/// beyond it is only closed.
fn is_whole((_, announced, lots): Lie) -> bool {
    announced == [1] && lots[0] == 1
}

#[test]
fn a_child_that_lies() {
    let _guard = guard();
    let before = descriptors().len();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let rpc = PIPE
        .builder()
        .socket(ours)
        .on_error(|_| ())
        .spawn()
        .unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut peer = Peer(theirs);
            peer.greet();
            for lie in LIES {
                for what in [*lie, HONEST] {
                    let (id, _) = peer.frame();
                    // The index 0, as an octet string.
                    tell(&peer.0, what, &frame(id, &[4, 0, 0, 0, 0]));
                }
            }
            assert_eq!(peer.0.read(&mut [0]).unwrap(), 0);
        });
        rpc.ready().wait().unwrap();
        let open = descriptors().len();
        assert!(open > before);
        for lie in LIES {
            match rpc.call().wait() {
                Ok(_) => assert!(is_whole(*lie), "{}", lie.0),
                Err(error) => assert!(error.is_decode() && !is_whole(*lie), "{}: {error}", lie.0),
            }
            rpc.call().wait().unwrap();
            // The peer closes its pipe a little later than it has sent it.
            until(|| descriptors().len() == open);
        }
        rpc.join().wait().unwrap();
    });
}

/// What a call of this worker with one descriptor looks like.
fn counting(id: u32) -> Vec<u8> {
    let (mut octets, mut table) = (Vec::new(), Vec::new());
    let (reader, _writer) = pipe().unwrap();
    let arguments = (Task::Count, vec![Descriptor::<OwnedFd>::new(reader.into())]);
    let output = &mut Output::with_descriptors(&mut octets, &mut table);
    <Postcard as Serialiser<(Task, Vec<Descriptor>)>>::encode(&arguments, output).unwrap();
    frame(id, &octets)
}

#[test]
fn a_parent_that_lies() {
    let _guard = guard();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut child = serving("fds").stdin(OwnedFd::from(theirs)).spawn().unwrap();
    let mut peer = Peer(ours);
    let fields = ["worker", "fds", "serialiser", "postcard", "link", "socket"];
    peer.0.write_all(&hello(b'P', 1, &fields)).unwrap();
    assert_eq!(peer.frame().0, 0xf0ff_5942);
    assert_eq!(peer.frame().0, 4 << 28);
    let mut counts = Vec::new();
    for (id, lie) in (1..).zip(LIES) {
        tell(&peer.0, *lie, &counting(id));
        let (answered, payload) = peer.frame();
        if is_whole(*lie) {
            assert_eq!(answered, id, "{}", lie.0);
        } else {
            assert_eq!(answered, 1 << 28 | id, "{}", lie.0);
            assert!(payload.starts_with(b"\x06decode"), "{}", lie.0);
        }
        tell(&peer.0, HONEST, &counting(id));
        let (answered, payload) = peer.frame();
        assert_eq!(answered, id, "after {}", lie.0);
        counts.push(payload);
    }
    // The same number is open each time.
    counts.dedup();
    assert_eq!(counts.len(), 1, "{counts:?}");
    drop(peer);
    assert!(child.wait().unwrap().success());
}
