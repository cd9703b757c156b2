//! The parent's end of a link.

use super::{
    all_kinds, alone, inheritable, over_pipes, over_rings, over_socket, pipe, soon, spawn,
};
use crate::sys::ReadMode::{Block, Try};
use crate::sys::{ChildLink, Interest, Link, LinkMemory, ParentLink, Poller, Process, Readiness};
use std::io::{ErrorKind, IoSlice};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

/// X20.
#[test]
fn everything_is_close_on_exec() {
    alone("link::everything_is_close_on_exec", || {
        let before = inheritable();
        let (socket, pipes) = (over_socket(), over_pipes());
        pipes.0.shutdown_write().unwrap();
        let memory = LinkMemory::create().unwrap();
        let poller = Poller::new().unwrap();
        let mut command = Command::new("true");
        let process: Process = spawn(&mut command).unwrap();
        let gone = Process::open(std::os::unix::process::parent_id()).unwrap();
        let mut batches = Vec::new();
        socket.1.send_all(b"x", &[memory.1]).unwrap();
        let (link, _) = &socket;
        link.recv(Block, &mut Vec::new(), 1, &mut batches).unwrap();
        assert_eq!(batches[0].descriptors.len(), 1);
        assert_eq!(inheritable(), before);
        drop((process, gone, poller, batches));
    });
}

/// X20: a descriptor that other code created becomes close-on-exec, too.
#[test]
fn an_adopted_descriptor_becomes_close_on_exec() {
    alone("link::an_adopted_descriptor_becomes_close_on_exec", || {
        let before = inheritable();
        let (read, write) = nix::unistd::pipe().unwrap();
        assert_ne!(inheritable(), before);
        let link = ParentLink::from_pair(read, write).unwrap();
        assert_eq!(inheritable(), before);
        drop(link);
    });
}

#[test]
fn bytes_go_both_ways() {
    for (link, port) in all_kinds() {
        let mut buffer = b"kept ".to_vec();
        assert_eq!(
            link.try_send(&[IoSlice::new(b"pi"), IoSlice::new(b"ng")], &[])
                .unwrap(),
            Some(4)
        );
        assert_eq!(
            port.recv(Block, &mut buffer, 100, &mut Vec::new()).unwrap(),
            Some(4)
        );
        port.send_all(b"pong", &[]).unwrap();
        assert_eq!(
            link.recv(Block, &mut buffer, 3, &mut Vec::new()).unwrap(),
            Some(3)
        );
        assert_eq!(
            link.recv(Try, &mut buffer, 3, &mut Vec::new()).unwrap(),
            Some(1)
        );
        assert_eq!(
            link.recv(Try, &mut buffer, 3, &mut Vec::new()).unwrap(),
            None
        );
        assert_eq!(
            port.recv(Try, &mut buffer, 3, &mut Vec::new()).unwrap(),
            None
        );
        assert_eq!(buffer, b"kept pingpong");
    }
}

#[test]
fn tcp_is_a_stream_without_descriptors() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let link = ParentLink::from_socket(ours.into()).unwrap();
    let port = ChildLink::from_socket(listener.accept().unwrap().0.into()).unwrap();
    assert!(link.is_socket() && !link.carries_descriptors() && !port.carries_descriptors());
    port.send_all(b"x", &[]).unwrap();
    assert_eq!(
        link.recv(Block, &mut Vec::new(), 9, &mut Vec::new())
            .unwrap(),
        Some(1)
    );
    let refused = link
        .try_send(
            &[IoSlice::new(b"x")],
            &[link.read_fd().try_clone_to_owned().unwrap()],
        )
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
}

#[test]
fn only_a_stream_socket_is_taken_for_one() {
    let datagrams = std::os::unix::net::UnixDatagram::pair().unwrap().0;
    assert_eq!(
        ParentLink::from_socket(datagrams.into())
            .unwrap_err()
            .kind(),
        ErrorKind::InvalidInput
    );
    assert!(ParentLink::from_socket(pipe().0).is_err());
}

#[test]
fn a_full_link_does_not_block() {
    soon(|| {
        for (link, port) in all_kinds() {
            let chunk = [0; 65536];
            let mut sent = 0;
            while let Some(count) = link.try_send(&[IoSlice::new(&chunk)], &[]).unwrap() {
                sent += count;
            }
            assert!(sent > 0);
            let now = Some(Instant::now());
            assert_eq!(
                link.wait(Interest::BOTH, now).unwrap(),
                Readiness::default()
            );
            let mut buffer = Vec::new();
            while buffer.len() < sent {
                port.recv(Block, &mut buffer, 1 << 20, &mut Vec::new())
                    .unwrap();
            }
            assert!(link.wait(Interest::BOTH, None).unwrap().write);
        }
    });
}

#[test]
fn after_the_peer_has_ended_what_is_buffered_is_read_first() {
    for (link, port) in all_kinds() {
        port.send_all(b"last", &[]).unwrap();
        drop(port);
        assert_eq!(
            link.recv(Block, &mut Vec::new(), 3, &mut Vec::new())
                .unwrap(),
            Some(3)
        );
        assert_eq!(
            link.wait(Interest::READ, None).unwrap(),
            Readiness {
                read: true,
                write: false
            }
        );
        assert_eq!(
            link.recv(Block, &mut Vec::new(), 3, &mut Vec::new())
                .unwrap(),
            Some(1)
        );
        assert_eq!(
            link.recv(Block, &mut Vec::new(), 3, &mut Vec::new())
                .unwrap(),
            Some(0)
        );
        assert_eq!(
            link.recv(Try, &mut Vec::new(), 3, &mut Vec::new()).unwrap(),
            Some(0)
        );
        assert!(link.wait(Interest::WRITE, None).unwrap().write);
        assert!(link.try_send(&[IoSlice::new(b"x")], &[]).is_err());
    }
}

/// A peer that leaves bytes unread resets the connection.
#[test]
fn a_reset_is_an_end_of_input() {
    let (link, port) = over_socket();
    link.try_send(&[IoSlice::new(b"unread")], &[]).unwrap();
    port.send_all(b"x", &[]).unwrap();
    drop(port);
    assert_eq!(
        link.recv(Block, &mut Vec::new(), 3, &mut Vec::new())
            .unwrap(),
        Some(1)
    );
    assert_eq!(
        link.recv(Try, &mut Vec::new(), 3, &mut Vec::new()).unwrap(),
        Some(0)
    );
    let (link, port) = over_socket();
    link.try_send(&[IoSlice::new(b"unread")], &[]).unwrap();
    drop(port);
    assert_eq!(
        link.recv(Block, &mut Vec::new(), 3, &mut Vec::new())
            .unwrap(),
        Some(0)
    );
}

#[test]
fn shutdown_write_is_the_peers_end_of_input() {
    soon(|| {
        for (link, port) in all_kinds() {
            link.try_send(&[IoSlice::new(b"x")], &[]).unwrap();
            link.shutdown_write().unwrap();
            link.shutdown_write().unwrap();
            let refused = link.try_send(&[IoSlice::new(b"y")], &[]).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::BrokenPipe);
            assert_eq!(
                port.recv(Block, &mut Vec::new(), 9, &mut Vec::new())
                    .unwrap(),
                Some(1)
            );
            assert_eq!(
                port.recv(Block, &mut Vec::new(), 9, &mut Vec::new())
                    .unwrap(),
                Some(0)
            );
            port.send_all(b"reply", &[]).unwrap();
            assert_eq!(
                link.recv(Block, &mut Vec::new(), 9, &mut Vec::new())
                    .unwrap(),
                Some(5)
            );
        }
    });
}

#[test]
fn shutdown_read_lets_the_buffered_bytes_through() {
    for (link, port) in all_kinds() {
        port.send_all(b"abc", &[]).unwrap();
        link.shutdown_read();
        assert!(link.wait(Interest::READ, None).unwrap().read);
        assert_eq!(
            link.recv(Block, &mut Vec::new(), 2, &mut Vec::new())
                .unwrap(),
            Some(2)
        );
        assert_eq!(
            link.recv(Try, &mut Vec::new(), 9, &mut Vec::new()).unwrap(),
            Some(1)
        );
        assert_eq!(
            link.recv(Try, &mut Vec::new(), 9, &mut Vec::new()).unwrap(),
            Some(0)
        );
        assert_eq!(
            link.recv(Block, &mut Vec::new(), 9, &mut Vec::new())
                .unwrap(),
            Some(0)
        );
    }
}

#[test]
fn shutdown_read_wakes_a_blocked_reader() {
    soon(|| {
        for (link, port) in (0..200).flat_map(|_| all_kinds()) {
            std::thread::scope(|scope| {
                let reader = scope.spawn(|| {
                    assert_eq!(
                        link.recv(Block, &mut Vec::new(), 9, &mut Vec::new())
                            .unwrap(),
                        Some(1)
                    );
                    // Over rings the doorbell of the first byte may come after the byte was read.
                    let end = || link.recv(Block, &mut Vec::new(), 9, &mut Vec::new());
                    std::iter::repeat_with(|| end().unwrap()).find_map(|count| count)
                });
                port.send_all(b"x", &[]).unwrap();
                while link.unread() > 0 {}
                link.shutdown_read();
                assert_eq!(reader.join().unwrap(), Some(0));
            });
        }
    });
}

#[test]
fn a_wait_is_never_short() {
    for (link, _port) in all_kinds() {
        for interest in [Interest::READ, Interest::NONE] {
            let deadline = Instant::now() + Duration::from_nanos(1_234_567);
            assert_eq!(
                link.wait(interest, Some(deadline)).unwrap(),
                Readiness::default()
            );
            assert!(Instant::now() >= deadline);
        }
    }
}

/// Without interest nothing is reported, not even a hang-up, until the deadline.
#[test]
fn a_wait_for_nothing_ignores_a_hang_up() {
    for (link, port) in all_kinds() {
        drop(port);
        let deadline = Instant::now() + Duration::from_millis(5);
        assert_eq!(
            link.wait(Interest::NONE, Some(deadline)).unwrap(),
            Readiness::default()
        );
        assert!(Instant::now() >= deadline);
    }
}

/// After a cut, both directions have ended on both sides.
#[test]
fn a_link_that_is_cut() {
    for (link, port) in all_kinds() {
        assert!(!port.has_hung_up().unwrap());
        link.cut().unwrap();
        soon(move || port.wait_hang_up().unwrap());
        assert_eq!(
            link.recv(Block, &mut Vec::new(), 9, &mut Vec::new())
                .unwrap(),
            Some(0)
        );
        let error = link.try_send(&[IoSlice::new(b"x")], &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }
}

/// A child that rings without end keeps no thread: what is left is taken when the socket is found readable again.
#[test]
fn doorbells_are_taken_in_turns() {
    let (link, port) = over_rings();
    let is_ringing = || {
        let ready = link.wait(Interest::READ, Some(Instant::now())).unwrap();
        ready.read
    };
    assert_eq!(nix::unistd::write(port.write_fd(), &[0xff; 8192]), Ok(8192));
    let turns = (0..100).find(|_| {
        link.take_doorbells();
        !is_ringing()
    });
    assert!(matches!(turns, Some(1..)), "{turns:?}");
}
