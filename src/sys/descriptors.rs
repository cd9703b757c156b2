//! Descriptors that arrive with octets.

use super::high::{raise, receive_above};
use super::octets::{MAX_DESCRIPTORS, append, count};
use super::retry;
use nix::sys::socket::MsgFlags;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// The words of ancillary data that `descriptors` of them take, in the kernel's alignment.
pub(super) const fn words(descriptors: usize) -> usize {
    // SAFETY: `CMSG_SPACE` only computes.
    let octets = unsafe { libc::CMSG_SPACE((descriptors * size_of::<RawFd>()) as libc::c_uint) };
    (octets as usize).div_ceil(size_of::<u64>())
}

/// The room that any message of the kernel's fits into.
pub(super) const WORDS: usize = words(MAX_DESCRIPTORS);

/// The descriptors that came with some octets.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) descriptors: Vec<OwnedFd>,
    /// There were more, but this process can open no more of them.
    pub(crate) is_cut: bool,
}

/// Reads octets and the descriptors that came with them.
pub(super) fn recv_with(
    fd: BorrowedFd<'_>,
    buffer: &mut Vec<u8>,
    room: usize,
    arrival: &mut Option<Arrival>,
    (control, flags): (&mut [MaybeUninit<u64>], MsgFlags),
) -> nix::Result<usize> {
    // SAFETY: `receive` returns what the kernel has written from the front.
    unsafe {
        append(buffer, room, |spare| {
            receive_above(fd, flags, |flags| {
                receive(fd, spare, arrival, control, flags)
            })
        })
    }
}

/// One `recvmsg`.
fn receive(
    fd: BorrowedFd<'_>,
    spare: &mut [MaybeUninit<u8>],
    arrival: &mut Option<Arrival>,
    control: &mut [MaybeUninit<u64>],
    flags: MsgFlags,
) -> nix::Result<usize> {
    let mut part = libc::iovec {
        iov_base: spare.as_mut_ptr().cast(),
        iov_len: spare.len(),
    };
    // SAFETY: all zeros is a valid `msghdr`: null pointers with lengths of nought.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(control) as _;
    let flags = flags.bits() | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the header points to one live part and to live ancillary room, each with its true length.
    let count = retry(|| count(unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut header, flags) }))?;
    let is_cut = header.msg_flags & libc::MSG_CTRUNC != 0;
    if header.msg_controllen > 0 || is_cut {
        // SAFETY: the header is as a successful `recvmsg` left it, and this is the only time that it is read.
        let all = unsafe { arrived(&header) };
        let count = all.len();
        let descriptors: Vec<_> = all.into_iter().map_while(|fd| raise(fd).ok()).collect();
        let is_cut = is_cut || descriptors.len() < count;
        *arrival = Some(Arrival {
            descriptors,
            is_cut,
        });
    }
    Ok(count)
}

/// The descriptors of a message.
///
/// # Safety
/// The header is one that `recvmsg` has just filled, and is given here once: each descriptor gets one owner.
unsafe fn arrived(header: &libc::msghdr) -> Vec<OwnedFd> {
    let mut found = Vec::new();
    // SAFETY: the kernel has written whole control messages, and says how far they go.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(header) };
    // SAFETY: a pointer that is not null is to a whole, aligned control message.
    while let Some(message) = unsafe { next.as_ref() } {
        if (message.cmsg_level, message.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            // SAFETY: such a message is a list of descriptors, made for this process just now.
            unsafe { adopt(message, &mut found) };
        }
        // SAFETY: as for the first.
        next = unsafe { libc::CMSG_NXTHDR(header, message) };
    }
    found
}

/// Owns the descriptors of one `SCM_RIGHTS` message.
///
/// # Safety
/// The message is whole, from the kernel, of that type, and given here once.
unsafe fn adopt(message: &libc::cmsghdr, found: &mut Vec<OwnedFd>) {
    // SAFETY: `CMSG_LEN` only computes, and `CMSG_DATA` points to just behind the header.
    let (head, list) = unsafe {
        (
            libc::CMSG_LEN(0) as usize,
            libc::CMSG_DATA(message).cast::<RawFd>(),
        )
    };
    #[allow(clippy::unnecessary_cast, reason = "it is narrower with musl")]
    let count = (message.cmsg_len as usize - head) / size_of::<RawFd>();
    for index in 0..count {
        // SAFETY: the length says that so many descriptors follow; nobody else owns them.
        found.push(unsafe { OwnedFd::from_raw_fd(list.add(index).read_unaligned()) });
    }
}
