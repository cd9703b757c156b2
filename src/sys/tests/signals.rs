//! Signals that must have no effect.

use super::{Link, all_kinds, alone, over_pipes};
use crate::sys::ReadMode::{Block, Try};
use crate::sys::{Interest, Poller};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction, signal};
use nix::unistd::{getpid, gettid};
use std::io::{ErrorKind, IoSlice};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// X47.
#[test]
fn a_gone_peer_raises_no_signal() {
    alone("signals::a_gone_peer_raises_no_signal", || {
        // SAFETY: no handler runs, and this process is this test's own.
        unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }.unwrap();
        for (link, port) in all_kinds() {
            drop(port);
            // Over rings only this tells.
            let end = link.recv(Try, &mut Vec::new(), 9, &mut Vec::new());
            assert_eq!(end.unwrap(), Some(0));
            let error = link.try_send(&[IoSlice::new(b"x")], &[]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        }
        for (link, port) in all_kinds() {
            drop(link);
            assert_eq!(
                port.send_all(b"x", &[]).unwrap_err().kind(),
                ErrorKind::BrokenPipe
            );
        }
        assert!(!SigSet::thread_get_mask().unwrap().contains(Signal::SIGPIPE));
    });
}

/// A pending `SIGPIPE` of other code stays pending; one that a write of the crate has raised does not.
#[test]
fn a_pending_signal_is_left_alone() {
    alone("signals::a_pending_signal_is_left_alone", || {
        let mut set = SigSet::empty();
        set.add(Signal::SIGPIPE);
        set.thread_block().unwrap();
        let (link, port) = over_pipes();
        drop(port);
        link.try_send(&[IoSlice::new(b"x")], &[]).unwrap_err();
        assert!(!is_pending(), "ours was taken back");
        raise(Signal::SIGPIPE).unwrap();
        link.try_send(&[IoSlice::new(b"x")], &[]).unwrap_err();
        assert!(is_pending(), "theirs is still there");
        assert!(SigSet::thread_get_mask().unwrap().contains(Signal::SIGPIPE));
    });
}

fn is_pending() -> bool {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("SigPnd:"))
        .unwrap();
    let mask = u64::from_str_radix(line["SigPnd:".len()..].trim(), 16).unwrap();
    mask & (1 << (libc::SIGPIPE - 1)) != 0
}

static INTERRUPTIONS: AtomicU32 = AtomicU32::new(0);

extern "C" fn count(_: i32) {
    INTERRUPTIONS.fetch_add(1, Ordering::Relaxed);
}

/// Runs `wait` while another thread sends signals to this one. After some hundred, `end` is called and must let it return.
fn storm(wait: impl FnOnce(), end: impl FnOnce() + Send) {
    INTERRUPTIONS.store(0, Ordering::Relaxed);
    let (target, over) = (gettid(), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while INTERRUPTIONS.load(Ordering::Relaxed) < 300 && !over.load(Ordering::Relaxed) {
                interrupt(target);
            }
            end();
            while !over.load(Ordering::Relaxed) {
                interrupt(target);
            }
        });
        let _calm = Calm(&over);
        wait();
    });
}

/// Stops the signals, also after a panic.
struct Calm<'a>(&'a AtomicBool);

impl Drop for Calm<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn interrupt(thread: nix::unistd::Pid) {
    // SAFETY: the call takes three numbers, and the thread lives: it waits for this one.
    unsafe {
        libc::syscall(
            libc::SYS_tgkill,
            getpid().as_raw(),
            thread.as_raw(),
            libc::SIGUSR1,
        )
    };
    thread::sleep(Duration::from_micros(20));
}

/// X39.
#[test]
fn interruptions_are_not_seen() {
    alone("signals::interruptions_are_not_seen", || {
        let action = SigAction::new(
            SigHandler::Handler(count),
            SaFlags::empty(),
            SigSet::empty(),
        );
        // SAFETY: the handler only adds to an atomic.
        unsafe { sigaction(Signal::SIGUSR1, &action) }.unwrap();
        for (link, port) in all_kinds() {
            storm(
                || {
                    assert_eq!(
                        link.recv(Block, &mut Vec::new(), 9, &mut Vec::new())
                            .unwrap(),
                        Some(1)
                    )
                },
                || port.send_all(b"x", &[]).unwrap(),
            );
            storm(
                || assert!(link.wait(Interest::READ, None).unwrap().read),
                || port.send_all(b"x", &[]).unwrap(),
            );
            link.recv(Block, &mut Vec::new(), 9, &mut Vec::new())
                .unwrap();
            let send = || assert_eq!(link.try_send(&[IoSlice::new(b"x")], &[]).unwrap(), Some(1));
            storm(
                || {
                    assert_eq!(
                        port.recv(Block, &mut Vec::new(), 9, &mut Vec::new())
                            .unwrap(),
                        Some(1)
                    )
                },
                send,
            );
            let megabytes = vec![0; 4 << 20];
            storm(
                || port.send_all(&megabytes, &[]).unwrap(),
                || drain(&link, megabytes.len()),
            );
            storm(|| port.wait_hang_up().unwrap(), || drop(link));
        }
        let poller = Poller::new().unwrap();
        storm(
            || poller.wait(&mut Vec::new(), None).unwrap(),
            || poller.notify().unwrap(),
        );
        let deadline = Instant::now() + Duration::from_millis(30);
        storm(
            || poller.wait(&mut Vec::new(), Some(deadline)).unwrap(),
            || (),
        );
        assert!(Instant::now() >= deadline);
    });
}

fn drain(link: &crate::sys::ParentLink, bytes: usize) {
    let mut buffer = Vec::new();
    while buffer.len() < bytes {
        link.recv(Block, &mut buffer, 1 << 16, &mut Vec::new())
            .unwrap();
    }
}
