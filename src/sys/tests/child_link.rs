//! The child's end of a link.

use super::{Link, all_kinds, set_nonblocking, soon};
use crate::sys::ReadMode::Block;
use std::io::{ErrorKind, IoSlice};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// X33.
#[test]
fn non_blocking_descriptors_do_not_disturb() {
    soon(|| {
        for (link, port) in all_kinds() {
            set_nonblocking(port.read_fd());
            set_nonblocking(port.write_fd());
            thread::scope(|scope| {
                let echo = scope.spawn(|| {
                    let mut buffer = Vec::new();
                    while port
                        .recv(Block, &mut buffer, 1 << 16, &mut Vec::new())
                        .unwrap()
                        != Some(0)
                    {}
                    port.send_all(&vec![1; 4 << 20], &[]).unwrap();
                    drop(port);
                    buffer
                });
                thread::yield_now();
                link.try_send(&[IoSlice::new(b"ask")], &[]).unwrap();
                link.shutdown_write().unwrap();
                let mut answer = Vec::new();
                while link
                    .recv(Block, &mut answer, 1 << 16, &mut Vec::new())
                    .unwrap()
                    != Some(0)
                {}
                assert_eq!(
                    (echo.join().unwrap(), answer.len()),
                    (b"ask".to_vec(), 4 << 20)
                );
            });
        }
    });
}

#[test]
fn only_a_parent_that_is_gone_hangs_up() {
    for (link, port) in all_kinds() {
        let (gone, told) = mpsc::channel();
        thread::spawn(move || gone.send(port.wait_hang_up().is_ok()));
        link.shutdown_write().unwrap();
        let early = told.recv_timeout(Duration::from_millis(30));
        assert_eq!(early, Err(mpsc::RecvTimeoutError::Timeout));
        drop(link);
        assert_eq!(told.recv_timeout(Duration::from_secs(20)), Ok(true));
    }
}

#[test]
fn a_parent_that_is_gone_is_an_error_for_the_writer() {
    for (link, port) in all_kinds() {
        drop(link);
        assert_eq!(
            port.recv(Block, &mut Vec::new(), 9, &mut Vec::new())
                .unwrap(),
            Some(0)
        );
        assert_eq!(
            port.send_all(b"x", &[]).unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );
    }
}
