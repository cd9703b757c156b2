//! Memory files, which other processes map instead of reading their bytes from a socket.
//!
//! There are two kinds, told apart by their seals, which cannot be removed.
//!
//! - [`SealedMap`]: against writing and changes of size. So no byte of it can change, not even through a mapping:
//!   the kernel does not set the seal as long as there is one that can be written to. That is why its bytes may be
//!   lent as a slice.
//! - [`SharedMap`]: against changes of size only. Its bytes are copied by relaxed atomics (`words`), never lent, unless
//!   by an `unsafe` function.
//!
//! A receiver of a file trusts its seals and its size only, because these are the kernel's. It first checks that the
//! descriptor is a memory file: reading a pipe, or a query to a file system that the sender serves, could block for ever.
//!
//! Not here: the memory of a link's rings (`ring`), and the public types over these (`memory` of the crate).

mod shared;
mod words;

use libc::off_t;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap, munmap};
use nix::sys::stat::fstat;
use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};
use nix::unistd::{ftruncate, write};
use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;
use std::sync::atomic::AtomicUsize;

use crate::sys::fd::create;
use crate::sys::retry;
use crate::sys::thread::without_sigxfsz;
pub use shared::SharedMemory;
use words::WORD;

/// Creates an empty memory file, not executable on Linux 6.3 and later.
pub(in crate::sys) fn create_file() -> nix::Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let data_only = MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL);
    create(|| match memfd_create("offspring", flags | data_only) {
        Err(Errno::EINVAL) => memfd_create("offspring", flags),
        result => result,
    })
}

/// Creates a memory file of zeros. The kernel allocates its pages when they are first written.
fn create_zeros(length: usize) -> io::Result<OwnedFd> {
    let file = create_file()?;
    let grow = || ftruncate(&file, off_t::try_from(length).map_err(|_| Errno::EFBIG)?);
    without_sigxfsz(length, grow)?;
    Ok(file)
}

/// Creates a memory file of zeros whose size is sealed.
pub(in crate::sys) fn create_sized(length: usize) -> io::Result<OwnedFd> {
    let file = create_zeros(length)?;
    seal(&file, size_seals())?;
    Ok(file)
}

/// Returns the length of a file from another process, after a check of the seals of its size.
pub(in crate::sys) fn check_size_seals(file: BorrowedFd<'_>) -> io::Result<usize> {
    check(file, size_seals())
}

/// Creates a memory file with these bytes.
fn create_filled(bytes: &[u8]) -> io::Result<OwnedFd> {
    let file = create_file()?;
    let mut left = bytes;
    let grow = || {
        while !left.is_empty() {
            left = &left[retry(|| write(&file, left))?..];
        }
        Ok(())
    };
    without_sigxfsz(bytes.len(), grow)?;
    Ok(file)
}

/// The seals of a file whose size cannot change.
fn size_seals() -> SealFlag {
    SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW
}

/// The seals of a file of which nothing can change.
fn all_seals() -> SealFlag {
    size_seals() | SealFlag::F_SEAL_WRITE
}

fn seal(file: &OwnedFd, seals: SealFlag) -> nix::Result<()> {
    fcntl(file, FcntlArg::F_ADD_SEALS(seals | SealFlag::F_SEAL_SEAL))?;
    Ok(())
}

/// Returns the size of a file from another process, after a check that it is a memory file with these seals.
///
/// Only memory files have seals. A memory file of huge pages has them, too, but a page may be missing when it is touched,
/// which raises `SIGBUS`.
fn check(file: BorrowedFd<'_>, seals: SealFlag) -> io::Result<usize> {
    let found = fcntl(file, FcntlArg::F_GET_SEALS).map_err(|_| not_a_memory_file("is none"))?;
    if !SealFlag::from_bits_retain(found).contains(seals) {
        return Err(not_a_memory_file("is not sealed as it must be"));
    }
    if fstatfs(file)?.filesystem_type() != TMPFS_MAGIC {
        return Err(not_a_memory_file("is not of ordinary pages"));
    }
    usize::try_from(fstat(file)?.st_size).map_err(|_| not_a_memory_file("is too long"))
}

pub(in crate::sys) fn not_a_memory_file(complaint: &str) -> io::Error {
    let text = format!("what should be a memory file {complaint}");
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// Says why `length` bytes are not mapped: mostly for want of address space.
fn unmappable(length: usize, errno: Errno) -> io::Error {
    let error = io::Error::from(errno);
    let limits = match errno {
        Errno::ENOMEM => " (`Limits::memory` or `ulimit -v` may be too low)",
        _ => "",
    };
    let text = format!("the shared memory of {length} bytes cannot be mapped{limits}: {error}");
    io::Error::new(error.kind(), text)
}

/// A shared mapping of a file. Empty if the length is zero.
#[derive(Debug)]
pub(in crate::sys) struct Mapping {
    /// The address of `length` bytes, aligned to a page, or to a word if `length` is zero. Valid until this is dropped,
    /// because the file cannot shrink.
    pub(in crate::sys) start: NonNull<c_void>,
    length: usize,
}

// SAFETY: a mapping belongs to no thread.
unsafe impl Send for Mapping {}
// SAFETY: it has no method; the users of the address take care of data races.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `length` bytes of a file for reading and writing. The file must be long enough and unable to shrink.
    pub(in crate::sys) fn writable(file: &OwnedFd, length: usize) -> io::Result<Self> {
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        Self::new(file, length, access)
    }

    fn new(file: &OwnedFd, length: usize, access: ProtFlags) -> io::Result<Self> {
        let Some(size) = NonZeroUsize::new(length) else {
            let start = NonNull::<AtomicUsize>::dangling().cast();
            return Ok(Self { start, length });
        };
        if isize::try_from(length).is_err() {
            return Err(unmappable(length, Errno::ENOMEM));
        }
        // SAFETY: the kernel chooses the address, so no other memory is affected.
        let start = unsafe { mmap(None, size, access, MapFlags::MAP_SHARED, file, 0) };
        let start = start.map_err(|errno| unmappable(length, errno))?;
        Ok(Self { start, length })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.length > 0 {
            // SAFETY: the mapping belongs to `self`, and no reference to it is left.
            let _ = unsafe { munmap(self.start, self.length) };
        }
    }
}

/// Bytes that cannot change.
#[derive(Debug)]
pub(crate) struct SealedMap {
    /// Mapped for reading. The file has the seals of `all_seals`.
    map: Mapping,
    file: OwnedFd,
}

impl SealedMap {
    /// Copies `bytes`. They are written, not mapped, so the kernel does not zero pages first.
    pub(crate) fn copy(bytes: &[u8]) -> io::Result<Self> {
        let file = create_filled(bytes)?;
        seal(&file, all_seals())?;
        Self::map(file, bytes.len())
    }

    /// Creates `length` zeros, which `fill` overwrites in place.
    pub(crate) fn build(length: usize, fill: impl FnOnce(&mut [u8])) -> io::Result<Self> {
        let file = create_zeros(length)?;
        let map = Mapping::writable(&file, length)?;
        if length > 0 {
            // A process that another thread forks now would inherit the mapping, and the file could not be sealed
            // while it has that. `seal_and_map` handles a failure.
            // SAFETY: the advice affects forks only.
            let _ = unsafe { madvise(map.start, length, MmapAdvise::MADV_DONTFORK) };
        }
        // SAFETY: the mapping has this length, which fits an `isize`, and can be read and written. No other code has the
        // mapping or the descriptor until `fill` has returned.
        fill(unsafe { std::slice::from_raw_parts_mut(map.start.cast().as_ptr(), length) });
        drop(map);
        Self::seal_and_map(file, length)
    }

    /// Seals what this process has written.
    pub(in crate::sys) fn seal_and_map(file: OwnedFd, length: usize) -> io::Result<Self> {
        match seal(&file, all_seals()) {
            // Another thread forked between the mapping and the advice, and the copy has a writable mapping.
            Err(Errno::EBUSY) => {
                let mut bytes = vec![0; length];
                File::from(file).read_exact_at(&mut bytes, 0)?;
                Self::copy(&bytes)
            }
            Err(errno) => Err(errno.into()),
            Ok(()) => Self::map(file, length),
        }
    }

    /// Maps a file from another process.
    ///
    /// # Errors
    /// It is no memory file, or not sealed against all changes: its bytes could change while they are lent, or the file
    /// could shrink, which raises `SIGBUS`.
    pub(crate) fn open(file: OwnedFd) -> io::Result<Self> {
        let length = check(file.as_fd(), all_seals())?;
        Self::map(file, length)
    }

    fn map(file: OwnedFd, length: usize) -> io::Result<Self> {
        let map = Mapping::new(&file, length, ProtFlags::PROT_READ)?;
        Ok(Self { map, file })
    }

    /// Returns the bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping has this length, which fits an `isize`, and lives as long as `self`; for a length of zero
        // the pointer is aligned and not null. The bytes do not change: the file is sealed against writing and changes
        // of size. The kernel sets the first seal only if no writable mapping exists, and permits none afterwards.
        // `copy`, `seal_and_map` and `open` ensure the seals.
        unsafe { std::slice::from_raw_parts(self.map.start.cast().as_ptr(), self.map.length) }
    }

    /// Returns the file, to be sent.
    pub(crate) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Identifies a file, as long as it is open in this process.
///
/// Before Linux 5.9 the numbers of inodes repeat after 2^32 files.
pub(crate) type FileId = (libc::dev_t, libc::ino_t);

/// A fixed number of bytes that every process with the file may read and write.
#[derive(Debug)]
pub(crate) struct SharedMap {
    /// Mapped for reading and writing. The file has the seals of `size_seals`.
    map: Mapping,
    file: OwnedFd,
    identity: FileId,
}

/// The file of a [`SharedMap`], with checked seals and not mapped.
#[derive(Debug)]
pub(crate) struct SharedFile {
    file: OwnedFd,
    length: usize,
    pub(crate) identity: FileId,
}

impl SharedFile {
    /// Checks a file from another process.
    ///
    /// # Errors
    /// It is no memory file, or its size can change: a read could then raise `SIGBUS`. Or its bytes cannot change.
    pub(crate) fn new(file: OwnedFd) -> io::Result<Self> {
        let length = check_size_seals(file.as_fd())?;
        let status = fstat(&file)?;
        let identity = (status.st_dev, status.st_ino);
        Ok(Self {
            file,
            length,
            identity,
        })
    }

    /// Maps it.
    pub(crate) fn map(self) -> io::Result<SharedMap> {
        let map = Mapping::writable(&self.file, self.length)?;
        Ok(SharedMap {
            map,
            file: self.file,
            identity: self.identity,
        })
    }
}

impl SharedMap {
    /// Creates `length` zeros.
    pub(crate) fn create(length: usize) -> io::Result<Self> {
        SharedFile::new(create_sized(length)?)?.map()
    }

    /// Returns the file, to be sent.
    pub(crate) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Identifies the file.
    pub(crate) fn identity(&self) -> FileId {
        self.identity
    }

    /// Returns the number of bytes.
    pub(crate) fn len(&self) -> usize {
        self.map.length
    }

    /// Copies bytes from `at` on to `to`.
    ///
    /// # Panics
    /// If the range exceeds the length.
    pub(crate) fn read(&self, at: usize, to: &mut [u8]) {
        self.check(at, to.len());
        words::read(self.words(), at, to);
    }

    /// Copies the bytes of `from` to `at` and on.
    ///
    /// # Panics
    /// If the range exceeds the length.
    pub(crate) fn write(&self, at: usize, from: &[u8]) {
        self.check(at, from.len());
        words::write(self.words(), at, from);
    }

    /// Sets all bytes to `byte`.
    pub(crate) fn fill(&self, byte: u8) {
        words::fill(self.words(), byte);
    }

    #[track_caller]
    fn check(&self, at: usize, count: usize) {
        let fits = at.checked_add(count).is_some_and(|end| end <= self.len());
        assert!(
            fits,
            "{count} bytes at {at} of {} are out of range",
            self.len()
        );
    }

    /// Returns the bytes as words. The last word may extend beyond the end.
    fn words(&self) -> &[AtomicUsize] {
        // SAFETY: the bytes begin at the start of a page, and pages are mapped whole, so the last word is mapped. For a
        // length of zero the pointer is aligned and not null. The mapping lives as long as `self`. Any bytes are a
        // valid number. This process accesses them by atomic words only, except through the slices, whose callers
        // promise exclusive access.
        unsafe {
            let start = self.map.start.cast().as_ptr();
            std::slice::from_raw_parts(start, self.len().div_ceil(WORD))
        }
    }
}
