//! The shared page.

use super::pipe;
use crate::sys::{Page, Pages, RING};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::fstat;
use nix::unistd::ftruncate;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;

fn file(size: i64, seals: SealFlag) -> OwnedFd {
    let fd = memfd_create("test", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).unwrap();
    ftruncate(&fd, size).unwrap();
    fcntl(&fd, FcntlArg::F_ADD_SEALS(seals)).unwrap();
    fd
}

#[test]
fn both_sides_see_the_same_page() {
    let (ours, fd) = Page::create().unwrap();
    let theirs = Page::open(fd).unwrap();
    theirs.started().store(7, Ordering::Release);
    assert_eq!(ours.started().load(Ordering::Acquire), 7);
    drop(ours);
    assert_eq!(theirs.started().load(Ordering::Acquire), 7);
}

#[test]
fn what_was_put_into_the_ring_is_rescued_from_any_place() {
    let (ours, fd) = Page::create().unwrap();
    let theirs = Page::open(fd).unwrap();
    let octets: Vec<u8> = (0..3 * RING).map(|n| (n * 7) as u8).collect();
    let mut at = 0;
    for piece in octets.chunks(1000) {
        theirs.put(at as u64, piece);
        at += piece.len();
        let from = at.saturating_sub(RING);
        assert_eq!(ours.rescue(from as u64), octets[from..at]);
        assert_eq!(ours.rescue(at as u64 - 1), octets[at - 1..at]);
        assert!(ours.rescue(at as u64).is_empty());
    }
}

#[test]
fn a_ring_that_makes_no_sense_rescues_nothing() {
    let (page, _fd) = Page::create().unwrap();
    page.put(u64::MAX - 10, b"octets");
    assert!(page.rescue(0).is_empty());
    page.put(3, b"octets");
    assert!(page.rescue(100).is_empty());
}

#[test]
fn the_page_cannot_change_its_size() {
    let (_page, fd) = Page::create().unwrap();
    assert!(ftruncate(&fd, 0).is_err() && ftruncate(&fd, 1 << 20).is_err());
    assert!(fcntl(&fd, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_WRITE)).is_err());
}

#[test]
fn what_could_shrink_is_refused() {
    let both = SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK;
    let refused = |fd, complaint| {
        let error = Page::open(fd).unwrap_err().to_string();
        assert!(error.contains(complaint), "{error}");
    };
    refused(file(4096, SealFlag::empty()), "not sealed");
    refused(file(4096, SealFlag::F_SEAL_GROW), "not sealed");
    refused(file(0, both), "wrong size");
    refused(file(100, both), "wrong size");
    refused(pipe().0, "should be a memory file is none");
    refused(
        std::fs::File::open("/proc/self/exe").unwrap().into(),
        "memory file",
    );
    assert!(Page::open(file(64 + RING as i64, both)).is_ok());
}

#[test]
fn each_of_many_pages_is_given_once_and_has_octets_of_its_own() {
    let (mut pages, fd) = Pages::create().unwrap();
    let ours: Vec<_> = std::iter::from_fn(|| pages.take()).collect();
    let places: Vec<_> = ours.iter().map(|(place, _)| *place).collect();
    assert_eq!(places, Vec::from_iter(0..Pages::COUNT));
    let map = |place| Page::one_of(fd.as_fd(), place).unwrap();
    let all = [7; RING];
    for (place, _) in &ours {
        map(*place).put(u64::from(*place), &all);
        map(*place)
            .started()
            .store(u64::from(*place) + 1, Ordering::Release);
    }
    for (place, page) in ours.iter().rev() {
        let at = u64::from(*place);
        assert_eq!(page.started().load(Ordering::Acquire), at + 1);
        assert_eq!(page.rescue(at), all);
        assert!(page.rescue(at + RING as u64).is_empty());
    }
}

#[test]
fn what_a_page_of_many_has_used_is_given_back() {
    let (mut pages, fd) = Pages::create().unwrap();
    let blocks = || fstat(&fd).unwrap().st_blocks;
    for _ in 0..Pages::COUNT {
        let (place, page) = pages.take().unwrap();
        let theirs = Page::one_of(fd.as_fd(), place).unwrap();
        theirs.put(0, &[7; RING]);
        assert!(blocks() >= RING as i64 / 512);
        drop((page, theirs));
        assert_eq!(blocks(), 0);
    }
}

#[test]
fn only_a_file_of_many_pages_is_taken_for_one() {
    let both = SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK;
    let (_pages, fd) = Pages::create().unwrap();
    let length = fstat(&fd).unwrap().st_size;
    Pages::check(fd.as_fd()).unwrap();
    Pages::check(file(length, both).as_fd()).unwrap();
    for other in [
        file(length, SealFlag::F_SEAL_GROW),
        file(length - 1, both),
        Page::create().unwrap().1,
    ] {
        assert!(Pages::check(other.as_fd()).is_err());
    }
}
