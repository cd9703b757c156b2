//! File descriptors that are sent over a link (X31).

use super::{alone, limit_descriptors, open_descriptors, over_rings, over_socket, pipe};
use crate::sys::ReadMode::{Block, Try};
use crate::sys::link::{FdBatch, control_words, recv_with};
use crate::sys::{ChildLink, Link, MAX_DESCRIPTORS, ParentLink};
use nix::sys::socket::MsgFlags;
use std::io::{ErrorKind, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

/// Copies of one descriptor.
fn copies(of: impl AsFd, count: usize) -> Vec<OwnedFd> {
    let copy = |_| of.as_fd().try_clone_to_owned().unwrap();
    (0..count).map(copy).collect()
}

fn received(port: &ChildLink) -> Option<FdBatch> {
    let mut batches = Vec::new();
    assert_eq!(
        port.recv(Block, &mut Vec::new(), 9, &mut batches).unwrap(),
        Some(1)
    );
    batches.pop()
}

fn received_by(link: &ParentLink) -> Option<FdBatch> {
    let mut batches = Vec::new();
    assert_eq!(
        link.recv(Block, &mut Vec::new(), 9, &mut batches).unwrap(),
        Some(1)
    );
    batches.pop()
}

#[test]
fn as_many_as_a_message_can_carry() {
    alone("descriptors::as_many_as_a_message_can_carry", || {
        let (one, _other) = pipe();
        for (link, port) in [over_socket(), over_rings()] {
            carry(&link, &port, &one);
        }
    });
}

fn carry(link: &ParentLink, port: &ChildLink, one: &OwnedFd) {
    let before = open_descriptors();
    for count in [1, 2, MAX_DESCRIPTORS] {
        let sent = link.try_send(&[IoSlice::new(b"x")], &copies(one, count));
        assert_eq!(sent.unwrap(), Some(1));
        let batch = received(port).unwrap();
        assert_eq!(
            (batch.descriptors.len(), batch.is_truncated),
            (count, false)
        );
        drop(batch);
        port.send_all(b"y", &copies(one, count)).unwrap();
        let batch = received_by(link).unwrap();
        assert_eq!(batch.descriptors.len(), count);
    }
    assert_eq!(open_descriptors(), before);
}

/// Bytes sent before those that carry descriptors may come in the same read, bytes sent after them do not. So a read
/// returns one batch at most.
#[test]
fn a_batch_comes_with_its_bytes_and_nothing_behind_them() {
    let (link, port) = over_socket();
    let (one, _other) = pipe();
    link.try_send(&[IoSlice::new(b"be")], &[]).unwrap();
    for bytes in [b"ab", b"cd"] {
        link.try_send(&[IoSlice::new(bytes)], &copies(&one, 1))
            .unwrap();
    }
    link.try_send(&[IoSlice::new(b"af")], &[]).unwrap();
    let mut buffer = Vec::new();
    for (want, count) in [(&b"beab"[..], 1), (b"beabcd", 1), (b"beabcdaf", 0)] {
        let mut batches = Vec::new();
        port.recv(Block, &mut buffer, 99, &mut batches).unwrap();
        assert_eq!(buffer, want);
        assert_eq!(batches.len(), count);
        assert!(batches.iter().all(|batch| batch.descriptors.len() == 1));
    }
}

#[test]
fn what_cannot_travel_is_refused() {
    let (link, port) = over_socket();
    let many = copies(link.read_fd(), MAX_DESCRIPTORS + 1);
    let refused = |parts: &[u8], descriptors: &[OwnedFd], why: &str| {
        let error = link
            .try_send(&[IoSlice::new(parts)], descriptors)
            .unwrap_err();
        assert!(
            error.kind() == ErrorKind::InvalidInput && error.to_string().contains(why),
            "{error}"
        );
    };
    refused(b"x", &many, "more than 253");
    refused(b"", &many[..1], "without a byte");
    let nothing = port.recv(Try, &mut Vec::new(), 9, &mut Vec::new());
    assert_eq!(nothing.unwrap(), None);
}

#[test]
fn an_arrived_descriptor_works() {
    let (link, port) = over_socket();
    let (read, write) = pipe();
    link.try_send(&[IoSlice::new(b"x")], &copies(&write, 1))
        .unwrap();
    drop(write);
    let arrived = received(&port).unwrap().descriptors;
    nix::unistd::write(&arrived[0], b"through").unwrap();
    let mut buffer = [0; 9];
    assert_eq!(nix::unistd::read(read, &mut buffer), Ok(7));
}

/// With room for fewer than came, some arrive, and the batch is marked as truncated.
#[test]
fn too_many_are_cut_and_none_leaks() {
    alone("descriptors::too_many_are_cut_and_none_leaks", || {
        let (link, port) = over_socket();
        let before = open_descriptors();
        port.send_all(b"x", &copies(port.read_fd(), 64)).unwrap();
        let mut batch = None;
        let control = &mut vec![MaybeUninit::uninit(); control_words(4)][..];
        let result = recv_with(
            link.read_fd(),
            &mut Vec::new(),
            9,
            &mut batch,
            (control, MsgFlags::empty()),
        );
        assert_eq!(result, Ok(1));
        let batch = batch.unwrap();
        assert!(batch.is_truncated && batch.descriptors.len() >= 4);
        drop(batch);
        assert_eq!(open_descriptors(), before);
    });
}

/// The same if the table of descriptors is full, for some or for all.
#[test]
fn a_full_table_cuts_and_none_leaks() {
    alone("descriptors::a_full_table_cuts_and_none_leaks", || {
        let (link, port) = over_socket();
        for _ in 0..2 {
            port.send_all(b"x", &copies(port.read_fd(), 64)).unwrap();
        }
        let before = open_descriptors();
        limit_descriptors(40);
        let some = received_by(&link).unwrap();
        assert!(some.is_truncated && some.descriptors.len() < 64 && !some.descriptors.is_empty());
        let none = received_by(&link).unwrap();
        assert!(none.is_truncated && none.descriptors.is_empty());
        drop(some);
        assert_eq!(open_descriptors(), before);
    });
}
