//! A page of memory that parent and child share.

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::sys::stat::fstat;
use nix::unistd::ftruncate;
use std::ffi::c_void;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

/// The octets that are mapped; the kernel rounds up to its page.
const LENGTH: usize = 4096;

/// A mapped page. The other process may write whatever it likes into it at any time: it is only ever seen as atomics.
#[derive(Debug)]
pub(crate) struct Page {
    /// `LENGTH` octets, mapped for reading and writing, of a file that can no longer shrink.
    start: NonNull<c_void>,
}

// SAFETY: the mapping belongs to no thread.
unsafe impl Send for Page {}
// SAFETY: the memory is reached through atomics only.
unsafe impl Sync for Page {}

impl Page {
    /// A new page of zeros, and the descriptor that another process can open it by.
    pub(crate) fn create() -> io::Result<(Self, OwnedFd)> {
        let fd = create_file()?;
        ftruncate(&fd, LENGTH as _)?;
        fcntl(&fd, FcntlArg::F_ADD_SEALS(seals() | SealFlag::F_SEAL_SEAL))?;
        Ok((Self::map(&fd)?, fd))
    }

    /// Maps a page that another process has made.
    ///
    /// # Errors
    /// If it is not sealed against shrinking, or not big enough: then whoever holds it could make our reading fatal.
    pub(crate) fn open(fd: OwnedFd) -> io::Result<Self> {
        let found = fcntl(&fd, FcntlArg::F_GET_SEALS)
            .map_err(|_| unsafe_page("is no sealed memory file"))?;
        if !SealFlag::from_bits_retain(found).contains(seals()) {
            return Err(unsafe_page("is not sealed against changes of its size"));
        }
        if fstat(&fd)?.st_size != LENGTH as i64 {
            return Err(unsafe_page("has the wrong size"));
        }
        Self::map(&fd)
    }

    /// Maps a file that is sealed and big enough.
    fn map(fd: &OwnedFd) -> io::Result<Self> {
        let length = NonZeroUsize::new(LENGTH).expect("a length that is not nought");
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: the kernel chooses the place, so no other memory is touched.
        let start = unsafe { mmap(None, length, access, MapFlags::MAP_SHARED, fd.as_fd(), 0) }?;
        Ok(Self { start })
    }

    /// How many requests the child has started, if the child tells the truth.
    pub(crate) fn started(&self) -> &AtomicU64 {
        // SAFETY: the mapping is aligned to a page, longer than the counter, and lives as long as `self`; its file cannot
        // shrink. Whatever octets the other process writes, they are a valid number, and both sides use atomics.
        unsafe { self.start.cast::<AtomicU64>().as_ref() }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and whoever had borrowed from it is done.
        let _ = unsafe { munmap(self.start, LENGTH) };
    }
}

/// The seals that keep the size as it is.
fn seals() -> SealFlag {
    SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK
}

/// A memory file that cannot be executed; kernels before 6.3 have no word for the latter.
fn create_file() -> nix::Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let data_only = MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL);
    match memfd_create("offspring", flags | data_only) {
        Err(Errno::EINVAL) => memfd_create("offspring", flags),
        result => result,
    }
}

/// Why a page is refused.
fn unsafe_page(complaint: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the shared page {complaint}"),
    )
}
