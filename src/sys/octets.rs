//! Octets in and out of one descriptor.

use super::raised::without_sigpipe;
use super::retry;
use nix::errno::Errno;
use nix::sys::socket::{self, ControlMessage, MsgFlags, sendmsg};
use nix::sys::uio::writev;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

/// The most descriptors that one message can carry (`SCM_MAX_FD` of the kernel).
pub(crate) const MAX_DESCRIPTORS: usize = 253;

/// Appends what `fill` puts at the front of at most `room` octets.
///
/// # Safety
/// `fill` must return no more than the octets it has initialised at the front of what it is given.
pub(super) unsafe fn append<E>(
    buffer: &mut Vec<u8>,
    room: usize,
    fill: impl FnOnce(&mut [MaybeUninit<u8>]) -> Result<usize, E>,
) -> Result<usize, E> {
    debug_assert!(room > 0, "reading into no room looks like the end of input");
    buffer.reserve(room);
    let count = fill(&mut buffer.spare_capacity_mut()[..room])?;
    // SAFETY: `count` octets after the length are initialised (the caller's promise), and lie within the capacity, since
    // they lie within the slice.
    unsafe { buffer.set_len(buffer.len() + count) };
    Ok(count)
}

/// Reads from a socket.
pub(super) fn recv(
    fd: BorrowedFd<'_>,
    buffer: &mut Vec<u8>,
    room: usize,
    flags: MsgFlags,
) -> nix::Result<usize> {
    let fill = |spare: &mut [MaybeUninit<u8>]| {
        // SAFETY: the pointer and the length are those of a live, writable slice.
        let mut call = || unsafe {
            libc::recv(
                fd.as_raw_fd(),
                spare.as_mut_ptr().cast(),
                spare.len(),
                flags.bits(),
            )
        };
        retry(|| count(call()))
    };
    // SAFETY: the kernel has written as many octets as it says, from the front.
    unsafe { append(buffer, room, fill) }
}

/// Reads from any descriptor.
pub(super) fn read(fd: BorrowedFd<'_>, buffer: &mut Vec<u8>, room: usize) -> nix::Result<usize> {
    let fill = |spare: &mut [MaybeUninit<u8>]| {
        // SAFETY: the pointer and the length are those of a live, writable slice.
        let mut call =
            || unsafe { libc::read(fd.as_raw_fd(), spare.as_mut_ptr().cast(), spare.len()) };
        retry(|| count(call()))
    };
    // SAFETY: the kernel has written as many octets as it says, from the front.
    unsafe { append(buffer, room, fill) }
}

/// The count that a system call returned, or its error.
pub(super) fn count(result: isize) -> nix::Result<usize> {
    usize::try_from(result).map_err(|_| Errno::last())
}

/// Writes to a socket, with descriptors. One part without any goes by `send`, which does half as much before it writes.
pub(super) fn send(
    fd: BorrowedFd<'_>,
    parts: &[IoSlice<'_>],
    descriptors: &[RawFd],
    flags: MsgFlags,
) -> nix::Result<usize> {
    let flags = flags | MsgFlags::MSG_NOSIGNAL;
    if let ([part], []) = (parts, descriptors) {
        return retry(|| socket::send(fd.as_raw_fd(), part, flags));
    }
    let rights = [ControlMessage::ScmRights(descriptors)];
    let control = if descriptors.is_empty() {
        &[][..]
    } else {
        &rights[..]
    };
    retry(|| sendmsg::<()>(fd.as_raw_fd(), parts, control, flags, None))
}

/// Writes to any descriptor.
pub(super) fn write(fd: BorrowedFd<'_>, parts: &[IoSlice<'_>]) -> nix::Result<usize> {
    without_sigpipe(|| retry(|| writev(fd, parts)))
}
