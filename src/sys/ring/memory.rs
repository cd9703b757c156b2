//! The memory of two rings, mapped from a sealed file.
//!
//! ```text
//! byte 0        8         128              256              384              512              4096
//!      started | forked  | to child: head | to child: tail | to parent: head | to parent: tail | to child, to parent
//! ```

use nix::sys::mman::{MmapAdvise, madvise};
use nix::sys::time::TimeSpec;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering, compiler_fence};
use std::time::Duration;

use super::counter::Counter;
use super::{Direction, RingMemory};
use crate::base::sync::explored::AtomicU32;
use crate::sys::memory::{Mapping, check_size_seals, create_sized};

/// The size of each ring in bytes. Measured round trip of 1 MiB with both sides on one CPU: 0.37 ms with 64 KiB, 0.24 with
/// 128, 0.18 with 256; on two CPUs 0.09 ms with each. A child that is called often touches all of it in the end.
pub(super) const CAPACITY: usize = 128 << 10;
/// The offset of the rings: the page before them holds the counters.
const CONTROL_LENGTH: usize = 4096;
/// The number of mapped bytes. The kernel allocates pages as they are touched.
pub(super) const LENGTH: usize = CONTROL_LENGTH + 2 * CAPACITY;

/// The bit of the number of started requests that says that the parent has settled it.
const SETTLED: u64 = 1 << 63;

/// The first page.
#[repr(C)]
struct ControlPage {
    /// The number of requests that the child has started.
    started: AtomicU64,
    /// The process id of the last child that a template has forked.
    forked: AtomicI32,
    /// Head and tail of the ring to the child, then of the ring to the parent.
    counters: [[Counter; 2]; 2],
}

/// Mapped memory of two rings.
///
/// The other process may write anything into it at any time. So the control page is accessed through atomics only, and
/// bytes are copied, never lent. In this process one thread at a time copies into a ring, and one out of it.
#[derive(Debug)]
pub(crate) struct LinkMemory(Mapping);

impl LinkMemory {
    /// Creates zeroed memory, and returns it with the memory file for the other process.
    ///
    /// # Errors
    /// The system has no memory files, or no memory left.
    pub(crate) fn create() -> io::Result<(Self, OwnedFd)> {
        let fd = create_sized(LENGTH)?;
        Ok((Self(Mapping::writable(&fd, LENGTH)?), fd))
    }

    /// Maps memory that another process has created.
    ///
    /// # Errors
    /// The file is not sealed against shrinking, or has another size. Reading it could then raise `SIGBUS`.
    pub(crate) fn open(fd: OwnedFd) -> io::Result<Self> {
        if check_size_seals(fd.as_fd())? != LENGTH {
            let text = "the memory of a link has the wrong size";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(Self(Mapping::writable(&fd, LENGTH)?))
    }

    /// The number of requests that the child claims to have started.
    pub(crate) fn started(&self) -> u64 {
        self.control().started.load(Ordering::Acquire) & !SETTLED
    }

    /// Settles the number of started requests, and returns it. A child that still runs starts no more.
    pub(crate) fn settle_started(&self) -> u64 {
        self.control().started.fetch_or(SETTLED, Ordering::AcqRel) & !SETTLED
    }

    /// In the child: counts the `count`-th request, which starts now. Returns false if the parent has settled the number:
    /// then the request must not run.
    pub(crate) fn start(&self, count: u64) -> bool {
        self.control().started.fetch_max(count, Ordering::AcqRel) & SETTLED == 0
    }

    /// The process id of the last child that a template has forked. Zero after the parent has reset it.
    pub(crate) fn forked(&self) -> &AtomicI32 {
        &self.control().forked
    }

    /// Marks the mapping `MADV_DONTFORK`: children that this process forks have a hole here and must not touch it.
    pub(crate) fn exclude_from_forks(&self) -> io::Result<()> {
        // SAFETY: the mapping is ours. That no child uses it is the caller's duty.
        unsafe { madvise(self.0.start, LENGTH, MmapAdvise::MADV_DONTFORK) }?;
        Ok(())
    }

    /// Sleeps on the futex of the child's writer until the parent has made room, for at most `patience`.
    pub(super) fn wait_for_room(&self, patience: Duration) {
        let time = TimeSpec::from(patience);
        let word = self.writer_sleeps();
        // SAFETY: the word is mapped for as long as `self`, and the kernel only reads it; the time is read, too. It
        // returns at once if the word is not 1, and early for a signal: the caller looks again in any case.
        unsafe { futex(word, libc::FUTEX_WAIT, 1, time.as_ref()) };
    }

    /// Wakes the child's writer.
    pub(super) fn wake_writer(&self) {
        let word = self.writer_sleeps();
        // SAFETY: the word is mapped for as long as `self`, and is not even read.
        unsafe { futex(word, libc::FUTEX_WAKE, i32::MAX, ptr::null()) };
    }

    /// The futex word of the child's writer.
    fn writer_sleeps(&self) -> &AtomicU32 {
        let [_, tail] = self.counters(Direction::ToParent);
        tail.sleeps()
    }

    fn control(&self) -> &ControlPage {
        // SAFETY: the mapping is aligned to a page, longer than a `ControlPage`, and lives as long as `self`; its file cannot
        // shrink. Any bytes are a valid `ControlPage`, and both processes use atomics for it.
        unsafe { self.0.start.cast::<ControlPage>().as_ref() }
    }

    /// Returns the address of byte `at` of the stream, and the number of bytes up to the ring's end.
    fn address(&self, direction: Direction, at: u64) -> (*mut u8, usize) {
        let ring = CONTROL_LENGTH + direction as usize * CAPACITY;
        let offset = (at % CAPACITY as u64) as usize;
        let start = self.0.start.as_ptr().cast::<u8>();
        (start.wrapping_add(ring + offset), CAPACITY - offset)
    }
}

impl RingMemory for LinkMemory {
    fn capacity(&self) -> usize {
        CAPACITY
    }

    fn counters(&self, direction: Direction) -> &[Counter; 2] {
        &self.control().counters[direction as usize]
    }

    fn copy_in(&self, direction: Direction, at: u64, bytes: &[u8]) {
        assert!(bytes.len() <= CAPACITY);
        let (address, until_end) = self.address(direction, at);
        let (first, second) = bytes.split_at(bytes.len().min(until_end));
        let (start, _) = self.address(direction, 0);
        // SAFETY: `first` fits in before the ring's end and `second` at its start. No reference to the ring exists.
        unsafe {
            ptr::copy_nonoverlapping(first.as_ptr(), address, first.len());
            ptr::copy_nonoverlapping(second.as_ptr(), start, second.len());
        }
    }

    fn copy_out(&self, direction: Direction, at: u64, count: usize, buffer: &mut Vec<u8>) {
        assert!(count <= CAPACITY);
        let (address, until_end) = self.address(direction, at);
        let first = count.min(until_end);
        let (start, _) = self.address(direction, 0);
        buffer.reserve(count);
        // SAFETY: `first` bytes lie before the ring's end and the rest at its start; the buffer has room for them all,
        // which are initialised then. No reference to the ring exists.
        unsafe {
            let to = buffer.as_mut_ptr().add(buffer.len());
            ptr::copy_nonoverlapping(address, to, first);
            ptr::copy_nonoverlapping(start, to.add(first), count - first);
            buffer.set_len(buffer.len() + count);
        }
        // The other process may write at the same time: the compiler must use the copy, and not load the bytes again.
        compiler_fence(Ordering::SeqCst);
    }
}

/// Calls `futex` on a word that processes share.
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

    /// Creates a memory file of this size with these seals.
    pub(crate) fn file(size: usize, seals: SealFlag) -> OwnedFd {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let fd = memfd_create("test", flags).unwrap();
        ftruncate(&fd, size as i64).unwrap();
        fcntl(&fd, FcntlArg::F_ADD_SEALS(seals)).unwrap();
        fd
    }

    /// The offsets are those of `docs/protocol.md`.
    #[test]
    fn the_front_is_as_documented() {
        let places = [
            offset_of!(ControlPage, started),
            offset_of!(ControlPage, forked),
            offset_of!(ControlPage, counters),
            size_of::<Counter>(),
            size_of::<ControlPage>(),
            CONTROL_LENGTH + CAPACITY,
            LENGTH,
        ];
        assert_eq!(places, [0, 8, 128, 128, 640, 135_168, 266_240]);
    }

    impl LinkMemory {
        /// Writes eight bytes somewhere, as another process may: three times in four into the control page.
        pub(crate) fn scribble(&self, address: usize, value: u64) {
            let words = if address & 3 == 0 { LENGTH / 8 } else { 128 };
            let at = (address >> 2) % words;
            // SAFETY: the word lies in the mapping, and is only ever written by an atomic of its size or as the
            // other process would, while this one copies bytes.
            let word = unsafe { self.0.start.cast::<AtomicU64>().add(at).as_ref() };
            word.store(value, Ordering::Relaxed);
        }
    }
}
