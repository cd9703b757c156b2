//! The set of file descriptors with epoll.

use super::{Link, over_socket, soon};
use crate::sys::ReadMode::Block;
use crate::sys::{Interest, PollEvent, Poller};
use std::io::IoSlice;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn look(poller: &Poller) -> Vec<PollEvent> {
    let mut events = Vec::new();
    poller.wait(&mut events, Some(Instant::now())).unwrap();
    events
}

#[test]
fn what_is_ready_is_told_until_it_is_not() {
    let (poller, (link, port)) = (Poller::new().unwrap(), over_socket());
    poller.add(link.read_fd(), 5, Interest::READ).unwrap();
    assert_eq!(look(&poller), []);
    port.send_all(b"x", &[]).unwrap();
    let readable = PollEvent {
        token: 5,
        readable: true,
        writable: false,
    };
    assert_eq!(
        (look(&poller), look(&poller)),
        (vec![readable], vec![readable])
    );
    poller.modify(link.read_fd(), 6, Interest::BOTH).unwrap();
    assert_eq!(
        look(&poller),
        [PollEvent {
            token: 6,
            readable: true,
            writable: true
        }]
    );
    link.recv(Block, &mut Vec::new(), 9, &mut Vec::new())
        .unwrap();
    assert_eq!(
        look(&poller),
        [PollEvent {
            token: 6,
            readable: false,
            writable: true
        }]
    );
    poller.delete(link.read_fd()).unwrap();
    poller.delete(link.read_fd()).unwrap();
    assert_eq!(look(&poller), []);
}

#[test]
fn a_disarmed_descriptor_that_hangs_up_is_silent() {
    let (poller, (link, port)) = (Poller::new().unwrap(), over_socket());
    poller.add(link.read_fd(), 5, Interest::BOTH).unwrap();
    poller.modify(link.read_fd(), 5, Interest::NONE).unwrap();
    poller.modify(link.read_fd(), 5, Interest::NONE).unwrap();
    drop(port);
    let (mut events, deadline) = (Vec::new(), Instant::now() + Duration::from_millis(5));
    poller.wait(&mut events, Some(deadline)).unwrap();
    assert!(events.is_empty() && Instant::now() >= deadline, "it slept");
    poller.modify(link.read_fd(), 5, Interest::WRITE).unwrap();
    assert_eq!(
        look(&poller),
        [PollEvent {
            token: 5,
            readable: true,
            writable: true
        }]
    );
}

/// X9: notifications are merged, and never block.
#[test]
fn a_word_wakes_once() {
    soon(|| {
        let (poller, (link, port)) = (Arc::new(Poller::new().unwrap()), over_socket());
        poller.add(link.read_fd(), 5, Interest::READ).unwrap();
        for _ in 0..100_000 {
            poller.notify().unwrap();
        }
        let mut events = vec![PollEvent {
            token: 9,
            readable: true,
            writable: true,
        }];
        poller.wait(&mut events, None).unwrap();
        assert_eq!(events, []);
        let other = poller.clone();
        let waker = std::thread::spawn(move || other.notify());
        poller.wait(&mut events, None).unwrap();
        waker.join().unwrap().unwrap();
        let soon = Instant::now() + Duration::from_micros(100);
        poller.wait(&mut events, Some(soon)).unwrap();
        assert!(Instant::now() >= soon, "no word is left over");
        link.try_send(&[IoSlice::new(b"x")], &[]).unwrap();
        drop(port);
    });
}

#[test]
fn a_deadline_is_never_early_and_finer_than_a_millisecond() {
    let (poller, mut events, mut shortest) = (Poller::new().unwrap(), Vec::new(), Duration::MAX);
    for nanos in (0..200).map(|step| 1_000 + 9_970 * step) {
        let (start, pause) = (Instant::now(), Duration::from_nanos(nanos));
        poller.wait(&mut events, Some(start + pause)).unwrap();
        let slept = start.elapsed();
        assert!(slept >= pause);
        shortest = shortest.min(slept);
    }
    assert!(shortest < Duration::from_millis(1), "{shortest:?}");
}
