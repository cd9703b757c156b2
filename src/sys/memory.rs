//! Memory files: octets that another process maps, instead of reading them from a socket.
//!
//! There are two kinds, told apart by their seals, which nobody can take off again.
//!
//! - [`Sealed`]: against writing and changes of size. So nobody can change an octet of it, not even through a mapping:
//!   the kernel does not set the seal as long as there is one that can be written to. That is why its octets may be
//!   lent as a slice.
//! - [`Lasting`]: against changes of size only. Its octets are copied by relaxed atomics (`words`), never lent, unless
//!   by an `unsafe` function.
//!
//! Whoever receives a file trusts nothing but its seals and its size, which are the kernel's. In particular nothing is
//! done with a descriptor before it is known to be a memory file: reading from a pipe, or asking a file system of the
//! sender's for the size of a file, may block for ever.

mod shared;
mod words;

use libc::off_t;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap, munmap};
use nix::sys::stat::fstat;
use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};
use nix::sys::uio::pread;
use nix::unistd::{ftruncate, write};
use std::ffi::c_void;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicUsize;

use super::high::create;
use super::raised::without_sigxfsz;
use super::retry;
pub use shared::SharedMemory;
use words::WORD;

/// A memory file that cannot be executed; kernels before 6.3 have no word for the latter.
pub(super) fn create_file() -> nix::Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let data_only = MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL);
    create(|| match memfd_create("offspring", flags | data_only) {
        Err(Errno::EINVAL) => memfd_create("offspring", flags),
        result => result,
    })
}

/// A memory file of zeros. As with all memory, the system has to find the pages when they are first written to.
fn zeros(length: usize) -> io::Result<OwnedFd> {
    let file = create_file()?;
    let grow = || ftruncate(&file, off_t::try_from(length).map_err(|_| Errno::EFBIG)?);
    without_sigxfsz(length, grow)?;
    Ok(file)
}

/// The same, whose size cannot change any more.
pub(super) fn steady_zeros(length: usize) -> io::Result<OwnedFd> {
    let file = zeros(length)?;
    seal(&file, steady())?;
    Ok(file)
}

/// The length of a file that another process says is one of these.
pub(super) fn check_steady(file: BorrowedFd<'_>) -> io::Result<usize> {
    check(file, steady())
}

/// A memory file of these octets.
fn filled(octets: &[u8]) -> io::Result<OwnedFd> {
    let file = create_file()?;
    let mut left = octets;
    let grow = || {
        while !left.is_empty() {
            left = &left[retry(|| write(&file, left))?..];
        }
        Ok(())
    };
    without_sigxfsz(octets.len(), grow)?;
    Ok(file)
}

/// Of a file whose size cannot change.
fn steady() -> SealFlag {
    SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW
}

/// Of a file of which nothing can change.
fn frozen() -> SealFlag {
    steady() | SealFlag::F_SEAL_WRITE
}

fn seal(file: &OwnedFd, seals: SealFlag) -> nix::Result<()> {
    fcntl(file, FcntlArg::F_ADD_SEALS(seals | SealFlag::F_SEAL_SEAL))?;
    Ok(())
}

/// The size of a file that another process says is a memory file with these seals.
///
/// Only memory files have such seals; those of huge pages have them too, but a page of these may be lacking when it is
/// touched, which is fatal.
fn check(file: BorrowedFd<'_>, seals: SealFlag) -> io::Result<usize> {
    let found = fcntl(file, FcntlArg::F_GET_SEALS).map_err(|_| unsafe_file("is none"))?;
    if !SealFlag::from_bits_retain(found).contains(seals) {
        return Err(unsafe_file("is not sealed as it must be"));
    }
    if fstatfs(file)?.filesystem_type() != TMPFS_MAGIC {
        return Err(unsafe_file("is not of ordinary pages"));
    }
    usize::try_from(fstat(file)?.st_size).map_err(|_| unsafe_file("is too long"))
}

pub(super) fn unsafe_file(complaint: &str) -> io::Error {
    let text = format!("what should be a memory file {complaint}");
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// A part of the address space in which a file, or a part of it, is mapped, shared; nothing at all if that is empty.
#[derive(Debug)]
pub(super) struct Map {
    /// Of `length` bytes, aligned to a page, or to a word if there are none; valid until this is dropped, since the file
    /// cannot shrink.
    pub(super) start: NonNull<c_void>,
    length: usize,
}

// SAFETY: a mapping belongs to no thread.
unsafe impl Send for Map {}
// SAFETY: this has no method; who uses the octets sees to how that is done.
unsafe impl Sync for Map {}

impl Map {
    /// Maps bytes of a file that is long enough and cannot shrink, for reading and writing.
    pub(super) fn writable(file: BorrowedFd<'_>, at: usize, length: usize) -> io::Result<Self> {
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        Self::new(file, at, length, access)
    }

    fn new(file: BorrowedFd<'_>, at: usize, length: usize, access: ProtFlags) -> io::Result<Self> {
        let Some(size) = NonZeroUsize::new(length) else {
            let start = NonNull::<AtomicUsize>::dangling().cast();
            return Ok(Self { start, length });
        };
        if isize::try_from(length).is_err() {
            return Err(Errno::ENOMEM.into());
        }
        // SAFETY: the kernel chooses the place, so no other memory is touched.
        let start = unsafe { mmap(None, size, access, MapFlags::MAP_SHARED, file, at as off_t) }?;
        Ok(Self { start, length })
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        if self.length > 0 {
            // SAFETY: the mapping is this one's own, and nothing refers to it any more.
            let _ = unsafe { munmap(self.start, self.length) };
        }
    }
}

/// Octets that nobody can change any more.
#[derive(Debug)]
pub(crate) struct Sealed {
    /// Mapped for reading; the file has all seals of `frozen`.
    map: Map,
    file: OwnedFd,
}

impl Sealed {
    /// A copy. It is written, not mapped, so no page is filled with zeros first.
    pub(crate) fn copy(octets: &[u8]) -> io::Result<Self> {
        let file = filled(octets)?;
        seal(&file, frozen())?;
        Self::map(file, octets.len())
    }

    /// Octets that are filled in where they are; they are zeros at first.
    pub(crate) fn build(length: usize, fill: impl FnOnce(&mut [u8])) -> io::Result<Self> {
        let file = zeros(length)?;
        let map = Map::writable(file.as_fd(), 0, length)?;
        if length > 0 {
            // A process forked meanwhile by another thread would have the mapping, too, and the file could not be
            // sealed as long as it does. Where this fails, `finish` knows what to do.
            // SAFETY: this only changes what forks copy.
            let _ = unsafe { madvise(map.start, length, MmapAdvise::MADV_DONTFORK) };
        }
        // SAFETY: the mapping is of this length, which fits an `isize`, and can be read and written. It is this one's
        // own, and so is the descriptor: nobody else can write to it, or refer to it, until `fill` has returned.
        fill(unsafe { std::slice::from_raw_parts_mut(map.start.cast().as_ptr(), length) });
        drop(map);
        Self::finish(file, length)
    }

    /// Seals what this process has written.
    pub(super) fn finish(file: OwnedFd, length: usize) -> io::Result<Self> {
        match seal(&file, frozen()) {
            // Somebody forked between the mapping and the advice. He won't write, but the kernel cannot know.
            Err(Errno::EBUSY) => Self::copy(&read_all(&file, length)?),
            Err(errno) => Err(errno.into()),
            Ok(()) => Self::map(file, length),
        }
    }

    /// What another process has sent.
    ///
    /// # Errors
    /// If it is no memory file, or not sealed against all changes: then the octets could change while they are lent,
    /// or be cut off, which is fatal.
    pub(crate) fn open(file: OwnedFd) -> io::Result<Self> {
        let length = check(file.as_fd(), frozen())?;
        Self::map(file, length)
    }

    fn map(file: OwnedFd, length: usize) -> io::Result<Self> {
        let map = Map::new(file.as_fd(), 0, length, ProtFlags::PROT_READ)?;
        Ok(Self { map, file })
    }

    /// The octets.
    pub(crate) fn octets(&self) -> &[u8] {
        // SAFETY: the mapping is of this length, which fits an `isize`, and lives as long as `self`; for no octets the
        // pointer is aligned, and not null. The octets do not change: the file is sealed against writing and against
        // changes of size, and the kernel sets the first seal only where no mapping can be written to, nor lets one be
        // made afterwards. `copy`, `finish` and `open` see to it that the seals are there.
        unsafe { std::slice::from_raw_parts(self.map.start.cast().as_ptr(), self.map.length) }
    }

    /// The file, to be sent.
    pub(crate) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn read_all(file: &OwnedFd, length: usize) -> io::Result<Vec<u8>> {
    let mut octets = vec![0; length];
    let mut done = 0;
    while done < length {
        match retry(|| pread(file, &mut octets[done..], done as off_t))? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => done += count,
        }
    }
    Ok(octets)
}

/// Which file it is, for as long as it is open somewhere in this process.
///
/// Before Linux 5.9 the numbers of inodes repeat after 2^32 files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity {
    device: libc::dev_t,
    inode: libc::ino_t,
}

/// Octets of which the number is fixed, that all who have the file may read and write.
#[derive(Debug)]
pub(crate) struct Lasting {
    /// Mapped for reading and writing; the file has the seals of `steady`.
    map: Map,
    file: OwnedFd,
    identity: Identity,
}

/// A file that is a [`Lasting`] one as far as its seals go, and not mapped yet.
#[derive(Debug)]
pub(crate) struct Found {
    file: OwnedFd,
    length: usize,
    pub(crate) identity: Identity,
}

impl Found {
    /// What another process has sent.
    ///
    /// # Errors
    /// If it is no memory file, its size can change (then whoever holds it could make our reading fatal), or its octets
    /// cannot.
    pub(crate) fn new(file: OwnedFd) -> io::Result<Self> {
        let length = check_steady(file.as_fd())?;
        let status = fstat(&file)?;
        let identity = Identity {
            device: status.st_dev,
            inode: status.st_ino,
        };
        Ok(Self {
            file,
            length,
            identity,
        })
    }

    /// Maps it.
    pub(crate) fn map(self) -> io::Result<Lasting> {
        let map = Map::writable(self.file.as_fd(), 0, self.length)?;
        Ok(Lasting {
            map,
            file: self.file,
            identity: self.identity,
        })
    }
}

impl Lasting {
    /// So many zeros.
    pub(crate) fn create(length: usize) -> io::Result<Self> {
        Found::new(steady_zeros(length)?)?.map()
    }

    /// The file, to be sent.
    pub(crate) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Which file it is.
    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// How many octets there are.
    pub(crate) fn len(&self) -> usize {
        self.map.length
    }

    /// Copies from here, from the octet `at` on.
    ///
    /// # Panics
    /// If there are not so many octets.
    pub(crate) fn read(&self, at: usize, to: &mut [u8]) {
        self.check(at, to.len());
        words::read(self.words(), at, to);
    }

    /// Copies to here, to the octet `at` and on.
    ///
    /// # Panics
    /// If there are not so many octets.
    pub(crate) fn write(&self, at: usize, from: &[u8]) {
        self.check(at, from.len());
        words::write(self.words(), at, from);
    }

    /// Makes all octets the same.
    pub(crate) fn fill(&self, octet: u8) {
        words::fill(self.words(), octet);
    }

    #[track_caller]
    fn check(&self, at: usize, count: usize) {
        let fits = at.checked_add(count).is_some_and(|end| end <= self.len());
        assert!(
            fits,
            "{count} octets at {at} of {} are out of range",
            self.len()
        );
    }

    /// The octets as words; the last may have a few that are behind the end.
    fn words(&self) -> &[AtomicUsize] {
        // SAFETY: the octets begin at the start of a page, and the page in which they end is mapped as a whole, so all of
        // the last word; without octets the pointer is aligned, and not null. The mapping lives as long as `self`.
        // Whatever the other process writes is a valid number, and in this one all access is atomic and by words, unless
        // by the slices, whose callers promise that nobody else has access.
        unsafe {
            let start = self.map.start.cast().as_ptr();
            std::slice::from_raw_parts(start, self.len().div_ceil(WORD))
        }
    }
}
