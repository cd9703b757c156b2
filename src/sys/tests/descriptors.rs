//! Descriptors that travel (X31).

use super::{alone, limit_descriptors, open_descriptors, over_socket, pipe};
use crate::sys::MAX_DESCRIPTORS;
use crate::sys::descriptors::{recv_with, words};
use nix::sys::socket::MsgFlags;
use std::io::{ErrorKind, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};

#[test]
fn as_many_as_a_message_can_carry() {
    alone("descriptors::as_many_as_a_message_can_carry", || {
        let (link, port) = over_socket();
        let (one, _other) = pipe();
        let before = open_descriptors();
        for count in [1, 2, MAX_DESCRIPTORS] {
            let mut arrived = Vec::new();
            let sent = link
                .try_send_with(&[IoSlice::new(b"x")], &vec![one.as_fd(); count])
                .unwrap();
            let received = port.recv_with(&mut Vec::new(), 9, &mut arrived).unwrap();
            assert_eq!((sent, received, arrived.len()), (Some(1), 1, count));
            drop(arrived);
            port.send_all_with(b"y", &vec![one.as_fd(); count]).unwrap();
            let mut arrived = Vec::new();
            assert_eq!(
                link.try_recv_with(&mut Vec::new(), 9, &mut arrived)
                    .unwrap(),
                Some(1)
            );
            assert_eq!(arrived.len(), count);
        }
        assert_eq!(open_descriptors(), before);
    });
}

#[test]
fn what_cannot_travel_is_refused() {
    let (link, port) = over_socket();
    let many = vec![link.read_fd(); MAX_DESCRIPTORS + 1];
    let refused = |parts: &[u8], descriptors: &[BorrowedFd<'_>], why: &str| {
        let error = link
            .try_send_with(&[IoSlice::new(parts)], descriptors)
            .unwrap_err();
        assert!(
            error.kind() == ErrorKind::InvalidInput && error.to_string().contains(why),
            "{error}"
        );
    };
    refused(b"x", &many, "more than 253");
    refused(b"", &many[..1], "without an octet");
    assert_eq!(port.try_recv(&mut Vec::new(), 9).unwrap(), None);
}

#[test]
fn an_arrived_descriptor_works() {
    let (link, port) = over_socket();
    let (read, write) = pipe();
    link.try_send_with(&[IoSlice::new(b"x")], &[write.as_fd()])
        .unwrap();
    drop(write);
    let mut arrived = Vec::new();
    port.recv_with(&mut Vec::new(), 9, &mut arrived).unwrap();
    nix::unistd::write(&arrived[0], b"through").unwrap();
    let mut buffer = [0; 9];
    assert_eq!(nix::unistd::read(read, &mut buffer), Ok(7));
}

/// A hostile peer sends more than there is room for.
#[test]
fn too_many_are_an_error_and_none_leaks() {
    alone("descriptors::too_many_are_an_error_and_none_leaks", || {
        let (link, port) = over_socket();
        let before = open_descriptors();
        port.send_all_with(b"x", &[port.read_fd(); 64]).unwrap();
        let mut arrived = Vec::new();
        let control = &mut vec![0; words(4)][..];
        let result = recv_with(
            link.read_fd(),
            &mut Vec::new(),
            9,
            &mut arrived,
            (control, MsgFlags::empty()),
        );
        assert!(result.unwrap_err().to_string().contains("more descriptors"));
        assert_eq!((arrived.len(), open_descriptors()), (0, before));
    });
}

/// The same when the table of descriptors is full.
#[test]
fn a_full_table_is_an_error_and_none_leaks() {
    alone(
        "descriptors::a_full_table_is_an_error_and_none_leaks",
        || {
            let (link, port) = over_socket();
            port.send_all_with(b"x", &[port.read_fd(); 64]).unwrap();
            let before = open_descriptors();
            limit_descriptors(40);
            let mut arrived = Vec::new();
            assert!(link.recv_with(&mut Vec::new(), 9, &mut arrived).is_err());
            assert_eq!((arrived.len(), open_descriptors()), (0, before));
        },
    );
}

/// Descriptors that nobody asked for are closed by the kernel.
#[test]
fn unasked_descriptors_do_not_leak() {
    alone("descriptors::unasked_descriptors_do_not_leak", || {
        let (link, port) = over_socket();
        let before = open_descriptors();
        port.send_all_with(b"x", &[port.read_fd(); 64]).unwrap();
        assert_eq!(link.recv(&mut Vec::new(), 9).unwrap(), 1);
        assert_eq!(open_descriptors(), before);
    });
}
