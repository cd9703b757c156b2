//! Of what leaves the child.

use super::*;
use crate::protocol::HEADER;
use crate::sys::{Link, ReadMode, Rings};

/// Reads until so many bytes have come.
fn read(link: &Link, count: usize, arrivals: &mut Vec<sys::Arrival>) -> Vec<u8> {
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

fn parcel(fill: u8, length: usize) -> Parcel {
    let mut parcel = Parcel::new();
    parcel.frame.resize(HEADER + length, fill);
    parcel
}

/// Over the socket, and over rings.
fn both() -> [(Link, Outgoing); 2] {
    [false, true].map(|rings| {
        let (link, theirs) = Link::pair().unwrap();
        let port = Port::from_socket(theirs).unwrap();
        let (ours, fd) = LinkMemory::create().unwrap();
        let theirs = Arc::new(LinkMemory::open(fd).unwrap());
        let mut link = link;
        if rings {
            link = link.with_rings(Some(Rings::of_parent(Arc::new(ours))));
            link.accept_rings(&[], Vec::new());
            port.use_rings(Rings::of_child(Arc::clone(&theirs)));
        }
        let outgoing = Outgoing::new(port, Form::Full, 1 << 30, Some(theirs), 100);
        (link, outgoing)
    })
}

/// Frames come in the order in which they were sent, and descriptors with their own.
#[test]
fn descriptors_overtake_nothing() {
    for (link, outgoing) in both() {
        let (mut first, mut second) = (parcel(1, 10), parcel(2, 10));
        second.descriptors.push(std::io::pipe().unwrap().0.into());
        outgoing.result(1, &mut first).unwrap();
        outgoing.result(2, &mut second).unwrap();
        let want = [&first.frame[..], &announcement(1), &second.frame].concat();
        let mut arrivals = Vec::new();
        assert!(read(&link, want.len(), &mut arrivals) == want);
        let [arrival] = &arrivals[..] else {
            panic!("{arrivals:?}")
        };
        assert_eq!(arrival.descriptors.len(), 1);
    }
}

/// More than fits into a link waits for the reader, and nothing comes between.
#[test]
fn what_finds_the_link_full_waits_for_room() {
    for (link, outgoing) in both() {
        let (mut small, mut large) = (parcel(1, 10), parcel(2, 4 << 20));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                outgoing.result(1, &mut large).unwrap();
                outgoing.result(2, &mut small).unwrap();
            });
            let bytes = read(&link, 2 * HEADER + 10 + (4 << 20), &mut Vec::new());
            let (first, second) = bytes.split_at(HEADER + (4 << 20));
            assert!(first[HEADER..].iter().all(|byte| *byte == 2));
            assert_eq!(second[HEADER..], [1; 10]);
        });
    }
}

/// X82: what was put into the ring stays there when the link breaks, and nothing
/// comes behind what was refused.
#[test]
fn a_broken_link_leaves_the_ring_as_it_is() {
    let [_, (link, outgoing)] = both();
    let (mut first, mut second) = (parcel(1, 10), parcel(2, 300_000));
    outgoing.result(1, &mut first).unwrap();
    let copy = link.read_fd().try_clone_to_owned().unwrap();
    link.cut().unwrap();
    // It is more than the ring has room for.
    assert!(outgoing.result(2, &mut second).is_err());
    assert!(outgoing.event(&mut parcel(3, 10)).is_err());
    assert!(
        outgoing
            .failed(3, &Failure::new(FailureCode::Refused, "no"))
            .is_err()
    );
    let mut bytes = Vec::new();
    while link
        .recv(ReadMode::Try, &mut bytes, 1 << 20, &mut Vec::new())
        .unwrap()
        != Some(0)
    {}
    let (before, rest) = bytes.split_at(first.frame.len());
    assert!(before == first.frame && second.frame.starts_with(rest));
    drop(copy);
}
