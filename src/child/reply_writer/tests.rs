//! Frames that a child writes.

use super::*;
use crate::protocol::HEADER;
use crate::sys::{Link, ParentLink, ReadMode, Rings};

/// Reads `count` bytes.
fn read(link: &ParentLink, count: usize, arrivals: &mut Vec<sys::FdBatch>) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < count {
        assert_ne!(
            link.recv(ReadMode::Block, &mut bytes, count, arrivals)
                .unwrap(),
            Some(0)
        );
    }
    bytes
}

fn message(fill: u8, length: usize) -> Message {
    let mut message = Message::new();
    message.frame.resize(HEADER + length, fill);
    message
}

/// Returns a link over the socket, and one over rings.
fn both() -> [(ParentLink, ReplyWriter); 2] {
    [false, true].map(|rings| {
        let (link, theirs) = ParentLink::pair().unwrap();
        let port = ChildLink::from_socket(theirs).unwrap();
        let (ours, fd) = LinkMemory::create().unwrap();
        let theirs = Arc::new(LinkMemory::open(fd).unwrap());
        let mut link = link;
        if rings {
            link = link.with_rings(Some(Rings::of_parent(Arc::new(ours))));
            link.accept_rings(&[], Vec::new());
            port.use_rings(Rings::of_child(Arc::clone(&theirs)));
        }
        let reply_writer = ReplyWriter::new(Arc::new(port), Form::Full, 1 << 30, Some(theirs), 100);
        (link, reply_writer)
    })
}

/// Frames come in the order in which they were sent, and descriptors with their own.
#[test]
fn descriptors_overtake_nothing() {
    for (link, reply_writer) in both() {
        let (mut first, mut second) = (message(1, 10), message(2, 10));
        second.descriptors.push(std::io::pipe().unwrap().0.into());
        reply_writer.message(1, &mut first).unwrap();
        reply_writer.message(2, &mut second).unwrap();
        let want = [&first.frame[..], &announcement(1), &second.frame].concat();
        let mut arrivals = Vec::new();
        assert!(read(&link, want.len(), &mut arrivals) == want);
        let [arrival] = &arrivals[..] else {
            panic!("{arrivals:?}")
        };
        assert_eq!(arrival.descriptors.len(), 1);
    }
}

/// A frame that is longer than the link waits for the reader, and no other frame comes between.
#[test]
fn what_finds_the_link_full_waits_for_room() {
    for (link, reply_writer) in both() {
        let (mut small, mut large) = (message(1, 10), message(2, 4 << 20));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                reply_writer.message(1, &mut large).unwrap();
                reply_writer.message(2, &mut small).unwrap();
            });
            let bytes = read(&link, 2 * HEADER + 10 + (4 << 20), &mut Vec::new());
            let (first, second) = bytes.split_at(HEADER + (4 << 20));
            assert!(first[HEADER..].iter().all(|byte| *byte == 2));
            assert_eq!(second[HEADER..], [1; 10]);
        });
    }
}

/// X82: frames in the ring stay there when the link breaks, and no frame follows a refused one.
#[test]
fn a_broken_link_leaves_the_ring_as_it_is() {
    let [_, (link, reply_writer)] = both();
    let (mut first, mut second) = (message(1, 10), message(2, 300_000));
    reply_writer.message(1, &mut first).unwrap();
    let copy = link.read_fd().try_clone_to_owned().unwrap();
    link.cut().unwrap();
    // It is more than the ring has room for.
    assert!(reply_writer.message(2, &mut second).is_err());
    let mut bytes = Vec::new();
    link.recv(ReadMode::Try, &mut bytes, 1000, &mut Vec::new())
        .unwrap();
    // There is room for these now. Only the first of them may find the end of the link.
    for _ in 0..3 {
        assert!(reply_writer.message(0, &mut message(3, 10)).is_err());
    }
    assert!(
        reply_writer
            .failed(3, &Failure::new(FailureCode::Refused, "no"))
            .is_err()
    );
    while link
        .recv(ReadMode::Try, &mut bytes, 1 << 20, &mut Vec::new())
        .unwrap()
        != Some(0)
    {}
    let (before, rest) = bytes.split_at(first.frame.len());
    assert!(before == first.frame && second.frame.starts_with(rest));
    drop(copy);
}
