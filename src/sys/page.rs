//! A little memory that parent and child share, so that what the child knew outlives it.
//!
//! ```text
//! octet 0       8       16       64                                    LENGTH
//!       started | end   | forked | the ring: the octet that has the place n
//!               |       |        | in the child's stream lies at n mod RING
//! ```
//!
//! The child puts the octets it has not written yet into the ring, and then moves `end` behind them: one store, so at
//! whatever moment it dies the octets up to `end` are whole. The parent reads them once the stream has ended.
//!
//! A template has a page of its own, of which only `forked` is used: the number of the child that it has forked last.
//! The pages of its children lie in one memory file, in [`Pages`], and none is used twice. The template inherits the file
//! to each child, which maps its own page, and closes the file before any of its user's code runs: so it cannot get at
//! those of others.

use super::memory::{Map, check_steady, steady_zeros, unsafe_file};
use nix::sys::mman::{MmapAdvise, madvise};
use std::ffi::c_void;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

/// Where the ring starts.
const HEAD: usize = 64;
/// The octets that are mapped; the kernel makes pages of them as they are touched.
const LENGTH: usize = HEAD + RING;
/// How many octets of the stream the ring holds.
pub(crate) const RING: usize = 64 << 10;
/// How far apart pages lie in a file of many: a multiple of what any system calls a page.
const STRIDE: usize = 128 << 10;

/// Mapped memory. The other process may write whatever it likes into it at any time: the counters are only ever seen as
/// atomics, and octets are copied, never lent.
#[derive(Debug)]
pub(crate) struct Page {
    /// `LENGTH` octets of the map.
    start: NonNull<c_void>,
    map: Arc<Map>,
}

/// Pages in one memory file, for the children of a template. To make a file for each takes as long as all that the child
/// does with it.
#[derive(Debug)]
pub(crate) struct Pages {
    map: Arc<Map>,
    given: u8,
}

// SAFETY: the mapping belongs to no thread.
unsafe impl Send for Page {}
// SAFETY: the counters are atomics; the ring is written by one thread at a time (`put` says so), and read where nobody
// writes.
unsafe impl Sync for Page {}

impl Page {
    /// A new page of zeros, and the descriptor that another process can open it by.
    pub(crate) fn create() -> io::Result<(Self, OwnedFd)> {
        let fd = steady_zeros(LENGTH)?;
        Ok((Self::of(Map::writable(fd.as_fd(), 0, LENGTH)?), fd))
    }

    /// Maps a page that another process has made.
    ///
    /// # Errors
    /// If it is not sealed against shrinking, or not big enough: then whoever holds it could make our reading fatal.
    pub(crate) fn open(fd: OwnedFd) -> io::Result<Self> {
        check(fd.as_fd(), LENGTH)?;
        Ok(Self::of(Map::writable(fd.as_fd(), 0, LENGTH)?))
    }

    /// Maps one of many pages, of a file that was [checked](Pages::check).
    pub(crate) fn one_of(fd: BorrowedFd<'_>, place: u8) -> io::Result<Self> {
        let at = usize::from(place) * STRIDE;
        Ok(Self::of(Map::writable(fd, at, LENGTH)?))
    }

    fn of(map: Map) -> Self {
        Self {
            start: map.start,
            map: Arc::new(map),
        }
    }

    /// How many requests the child has started, if the child tells the truth.
    pub(crate) fn started(&self) -> &AtomicU64 {
        self.counter(0)
    }

    /// Up to which place in the child's stream octets were put into the ring.
    fn end(&self) -> &AtomicU64 {
        self.counter(1)
    }

    /// The number of the child that a template has forked last; nought if the parent has put that there since.
    pub(crate) fn forked(&self) -> &AtomicI32 {
        // SAFETY: as for `counter`, of which this is the first half of the third.
        unsafe { self.start.cast::<AtomicI32>().add(4).as_ref() }
    }

    /// A child that this process forks does not get the memory; where it was, nothing is mapped there.
    pub(super) fn keep_from_children(&self) -> io::Result<()> {
        // SAFETY: the mapping is ours. In a child nobody may use it, which is for the caller to see to.
        unsafe { madvise(self.start, LENGTH, MmapAdvise::MADV_DONTFORK) }?;
        Ok(())
    }

    fn counter(&self, index: usize) -> &AtomicU64 {
        assert!(index < HEAD / size_of::<AtomicU64>());
        // SAFETY: the mapping is aligned to a page, longer than the counters, and lives as long as `self`; its file
        // cannot shrink. Whatever octets the other process writes, they are a valid number, and both sides use atomics.
        unsafe { self.start.cast::<AtomicU64>().add(index).as_ref() }
    }

    /// Puts octets into the ring whose place in the stream is `at`. For the child, one thread at a time.
    ///
    /// The octets before `at` that are not written yet must fit into the ring together with these.
    pub(crate) fn put(&self, at: u64, octets: &[u8]) {
        assert!(octets.len() <= RING);
        let place = ring_place(at);
        let (first, second) = octets.split_at(octets.len().min(RING - place));
        self.copy_in(place, first);
        self.copy_in(0, second);
        self.end()
            .store(at + octets.len() as u64, Ordering::Release);
    }

    fn copy_in(&self, place: usize, octets: &[u8]) {
        assert!(place + octets.len() <= RING);
        // SAFETY: the ring starts at `HEAD` and has `RING` octets, and these fit in. No reference to it exists.
        unsafe {
            let to = self.start.cast::<u8>().add(HEAD + place);
            std::ptr::copy_nonoverlapping(octets.as_ptr(), to.as_ptr(), octets.len());
        }
    }

    /// For the parent, once `from` octets of the stream have come and no more will: those that the child has put into
    /// the ring behind them. Nothing if what the child says of it makes no sense.
    pub(crate) fn rescue(&self, from: u64) -> Vec<u8> {
        let end = self.end().load(Ordering::Acquire);
        let count = end.saturating_sub(from).min(RING as u64 + 1);
        if count > RING as u64 {
            return Vec::new();
        }
        (from..from + count)
            .map(|at| self.octet(ring_place(at)))
            .collect()
    }

    fn octet(&self, place: usize) -> u8 {
        assert!(place < RING);
        // SAFETY: the ring starts at `HEAD` and has `RING` octets. The read is volatile since a grandchild that holds
        // the memory might still write; whatever it writes is an octet.
        unsafe { self.start.cast::<u8>().add(HEAD + place).read_volatile() }
    }
}

impl Drop for Page {
    /// Others may need the file for long: they do not keep what this ring has used.
    fn drop(&mut self) {
        if Arc::strong_count(&self.map) > 1 && self.end().load(Ordering::Relaxed) > 0 {
            // SAFETY: the octets are this page's alone, and nobody looks at them any more. It is no harm if it fails.
            let _ = unsafe { madvise(self.start, STRIDE, MmapAdvise::MADV_REMOVE) };
        }
    }
}

impl Pages {
    /// How many there are.
    pub(crate) const COUNT: u8 = 32;
    const LENGTH: usize = Self::COUNT as usize * STRIDE;

    /// New pages of zeros, and the descriptor that other processes can map them by.
    pub(crate) fn create() -> io::Result<(Self, OwnedFd)> {
        let fd = steady_zeros(Self::LENGTH)?;
        let map = Map::writable(fd.as_fd(), 0, Self::LENGTH)?;
        let map = Arc::new(map);
        Ok((Self { map, given: 0 }, fd))
    }

    /// One of these that nobody has had, and its place; if none is left, of new ones, with their file.
    pub(super) fn next(pages: Option<Self>) -> io::Result<(Self, u8, Page, Option<OwnedFd>)> {
        let found = pages.and_then(|mut pages| pages.take().map(|found| (pages, found)));
        if let Some((pages, (place, page))) = found {
            return Ok((pages, place, page, None));
        }
        let (mut pages, file) = Self::create()?;
        let (place, page) = pages.take().ok_or(io::ErrorKind::OutOfMemory)?;
        Ok((pages, place, page, Some(file)))
    }

    /// One that nobody has had, and its place.
    pub(crate) fn take(&mut self) -> Option<(u8, Page)> {
        let place = self.given;
        if place == Self::COUNT {
            return None;
        }
        self.given += 1;
        // SAFETY: the place is one of those that are mapped.
        let start = unsafe { self.map.start.byte_add(usize::from(place) * STRIDE) };
        let map = Arc::clone(&self.map);
        Some((place, Page { start, map }))
    }

    /// Makes sure that another process has made this file for pages.
    ///
    /// # Errors
    /// As for [`Page::open`].
    pub(crate) fn check(fd: BorrowedFd<'_>) -> io::Result<()> {
        check(fd, Self::LENGTH)
    }
}

/// Makes sure that another process has made a file of this length, and that nobody can make reading it fatal.
fn check(fd: BorrowedFd<'_>, length: usize) -> io::Result<()> {
    if check_steady(fd)? == length {
        Ok(())
    } else {
        Err(unsafe_file("has the wrong size"))
    }
}

/// Where in the ring an octet of the stream lies.
fn ring_place(at: u64) -> usize {
    (at % RING as u64) as usize
}
