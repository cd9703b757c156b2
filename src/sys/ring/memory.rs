//! The memory of two rings, mapped from a sealed file.
//!
//! ```text
//! byte 0        8         128              256              384              512              4096
//!      started | forked  | to child: head | to child: tail | to parent: head | to parent: tail | to child, to parent
//! ```

use nix::sys::mman::{MmapAdvise, madvise};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering, compiler_fence};
use std::time::Duration;

use super::counter::Counter;
use super::{Memory, Way};
use crate::base::sync::explored::AtomicU32;
use crate::sys::memory::{Map, check_steady, steady_zeros};

/// How many bytes each ring has. Measured with an echo of 1 MiB, both sides on one CPU: 0.37 ms with 64 KiB, 0.24 with 128,
/// 0.18 with 256; on two CPUs 0.09 with each. All of it is touched in time, by each child that is called often.
pub(super) const CAPACITY: usize = 128 << 10;
/// Where the rings begin: the page before them is for the counters.
const HEAD: usize = 4096;
/// How many bytes are mapped; the kernel makes pages of them as they are touched.
pub(super) const LENGTH: usize = HEAD + 2 * CAPACITY;

/// What stands at the front.
#[repr(C)]
struct Head {
    /// How many requests the child has started.
    started: AtomicU64,
    /// The number of the process that a template has forked last.
    forked: AtomicI32,
    /// Head and tail of the ring to the child, then of that to the parent.
    counters: [Counter; 4],
}

/// Mapped memory of two rings.
///
/// The other process may write anything into it at any time: the head is only ever seen as atomics, and bytes are copied,
/// never lent. In this process one thread at a time copies into a ring, and one out of it.
#[derive(Debug)]
pub(crate) struct LinkMemory(Map);

impl LinkMemory {
    /// Creates memory of zeros, and returns it with the file that another process can map it by.
    ///
    /// # Errors
    /// The system has no memory files, or no room for one.
    pub(crate) fn create() -> io::Result<(Self, OwnedFd)> {
        let fd = steady_zeros(LENGTH)?;
        Ok((Self(Map::writable(fd.as_fd(), 0, LENGTH)?), fd))
    }

    /// Maps memory that another process has made.
    ///
    /// # Errors
    /// The file is not sealed against shrinking, or has another size: then reading it could end this process.
    pub(crate) fn open(fd: OwnedFd) -> io::Result<Self> {
        if check_steady(fd.as_fd())? != LENGTH {
            let text = "the memory of a link has the wrong size";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(Self(Map::writable(fd.as_fd(), 0, LENGTH)?))
    }

    /// How many requests the child has started, if the child tells the truth.
    pub(crate) fn started(&self) -> &AtomicU64 {
        &self.front().started
    }

    /// The number of the process that a template has forked last; zero if the parent has put that there since.
    pub(crate) fn forked(&self) -> &AtomicI32 {
        &self.front().forked
    }

    /// Leaves a hole at this address in children that this process forks, which must not touch it.
    pub(crate) fn keep_from_children(&self) -> io::Result<()> {
        // SAFETY: the mapping is ours. In a child nobody may use it, which is for the caller to see to.
        unsafe { madvise(self.0.start, LENGTH, MmapAdvise::MADV_DONTFORK) }?;
        Ok(())
    }

    /// Sleeps while the child's writer has said that it sleeps, for no longer than this.
    pub(super) fn wait_for_reader(&self, patience: Duration) {
        let time = libc::timespec {
            tv_sec: patience.as_secs() as libc::time_t,
            tv_nsec: patience.subsec_nanos() as _,
        };
        let word = self.tail(Way::ToParent).sleeps();
        // SAFETY: the word is mapped for as long as `self`, and the kernel only reads it; the time is read, too. It
        // returns at once if the word is not 1, and early for a signal: the caller looks again in any case.
        unsafe { futex(word, libc::FUTEX_WAIT, 1, &raw const time) };
    }

    /// Wakes the child's writer.
    pub(super) fn wake_writer(&self) {
        let word = self.tail(Way::ToParent).sleeps();
        // SAFETY: the word is mapped for as long as `self`, and is not even read.
        unsafe { futex(word, libc::FUTEX_WAKE, i32::MAX, ptr::null()) };
    }

    fn front(&self) -> &Head {
        // SAFETY: the mapping is aligned to a page, longer than a `Head`, and lives as long as `self`; its file cannot
        // shrink. Any bytes are a valid `Head`, and both processes use atomics for it.
        unsafe { self.0.start.cast::<Head>().as_ref() }
    }

    /// Returns the address of byte `at` of the stream, and how many bytes follow until the ring's end.
    fn place(&self, way: Way, at: u64) -> (*mut u8, usize) {
        let ring = match way {
            Way::ToChild => HEAD,
            Way::ToParent => HEAD + CAPACITY,
        };
        let place = (at % CAPACITY as u64) as usize;
        let address = self
            .0
            .start
            .as_ptr()
            .cast::<u8>()
            .wrapping_add(ring + place);
        (address, CAPACITY - place)
    }
}

impl Memory for LinkMemory {
    fn capacity(&self) -> usize {
        CAPACITY
    }

    fn head(&self, way: Way) -> &Counter {
        &self.front().counters[2 * usize::from(way == Way::ToParent)]
    }

    fn tail(&self, way: Way) -> &Counter {
        &self.front().counters[2 * usize::from(way == Way::ToParent) + 1]
    }

    fn copy_in(&self, way: Way, at: u64, bytes: &[u8]) {
        assert!(bytes.len() <= CAPACITY);
        let (place, until_end) = self.place(way, at);
        let (first, second) = bytes.split_at(bytes.len().min(until_end));
        let (start, _) = self.place(way, 0);
        // SAFETY: `first` fits in before the ring's end and `second` at its start. No reference to the ring exists.
        unsafe {
            ptr::copy_nonoverlapping(first.as_ptr(), place, first.len());
            ptr::copy_nonoverlapping(second.as_ptr(), start, second.len());
        }
    }

    fn copy_out(&self, way: Way, at: u64, count: usize, buffer: &mut Vec<u8>) {
        assert!(count <= CAPACITY);
        let (place, until_end) = self.place(way, at);
        let first = count.min(until_end);
        let (start, _) = self.place(way, 0);
        buffer.reserve(count);
        // SAFETY: `first` bytes lie before the ring's end and the rest at its start; the buffer has room for them all,
        // which are initialised then. No reference to the ring exists.
        unsafe {
            let to = buffer.as_mut_ptr().add(buffer.len());
            ptr::copy_nonoverlapping(place, to, first);
            ptr::copy_nonoverlapping(start, to.add(first), count - first);
            buffer.set_len(buffer.len() + count);
        }
        // The other process may write meanwhile: what is used from here on is what was copied, not read once more.
        compiler_fence(Ordering::SeqCst);
    }
}

/// A futex that processes share.
///
/// # Safety
/// As for the system call: the time is null or can be read.
unsafe fn futex(word: &AtomicU32, operation: i32, value: i32, time: *const libc::timespec) {
    let word = ptr::from_ref(word);
    // SAFETY: the word lives during the call, and the time is as the caller says.
    unsafe { libc::syscall(libc::SYS_futex, word, operation, value, time) };
}

#[cfg(all(test, not(loom)))]
pub(super) mod tests {
    use super::*;
    use nix::fcntl::{FcntlArg, SealFlag, fcntl};
    use nix::sys::memfd::{MFdFlags, memfd_create};
    use nix::unistd::ftruncate;
    use std::mem::offset_of;

    /// A memory file of any size, with any seals.
    pub(crate) fn file(size: usize, seals: SealFlag) -> OwnedFd {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let fd = memfd_create("test", flags).unwrap();
        ftruncate(&fd, size as i64).unwrap();
        fcntl(&fd, FcntlArg::F_ADD_SEALS(seals)).unwrap();
        fd
    }

    /// The places that `docs/protocol.md` gives.
    #[test]
    fn the_front_is_as_documented() {
        let places = [
            offset_of!(Head, started),
            offset_of!(Head, forked),
            offset_of!(Head, counters),
            size_of::<Counter>(),
            size_of::<Head>(),
            HEAD + CAPACITY,
            LENGTH,
        ];
        assert_eq!(places, [0, 8, 128, 128, 640, 135_168, 266_240]);
    }

    impl LinkMemory {
        /// Writes eight bytes somewhere, as another process may; twice as often in front as in the rings.
        pub(crate) fn scribble(&self, place: usize, value: u64) {
            let words = if place & 3 == 0 { LENGTH / 8 } else { 128 };
            let at = (place >> 2) % words;
            // SAFETY: the word lies in the mapping, and is only ever written by an atomic of its size or as the
            // other process would, while this one copies bytes.
            let word = unsafe { self.0.start.cast::<AtomicU64>().add(at).as_ref() };
            word.store(value, Ordering::Relaxed);
        }
    }
}
