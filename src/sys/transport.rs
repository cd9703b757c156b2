//! The descriptors under a byte stream, and how bytes and descriptors go through them: what the parent's link and the
//! child's port have in common.

use super::high::{raise, receive_above};
use super::raised::without_sigpipe;
use super::{retry, unless_blocked};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{
    self, AddressFamily, ControlMessage, MsgFlags, SockType, SockaddrLike, SockaddrStorage,
    getsockname, getsockopt, sendmsg, sockopt,
};
use nix::sys::uio::writev;
use std::io::{self, IoSlice};
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// The most descriptors that one message can carry (`SCM_MAX_FD` of the kernel).
pub(crate) const MAX_DESCRIPTORS: usize = 253;

/// What a read does where nothing has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadMode {
    /// It returns, for a thread that looks again and again. Where there are rings it makes no system call, and misses the
    /// end of the socket.
    Look,
    /// It returns.
    Try,
    /// It sleeps until the first byte has come, or the end.
    Block,
}

impl ReadMode {
    fn flags(self) -> MsgFlags {
        match self {
            Self::Look | Self::Try => MsgFlags::MSG_DONTWAIT,
            Self::Block => MsgFlags::empty(),
        }
    }
}

/// One socket for both directions, or a descriptor for each.
#[derive(Debug)]
pub(crate) enum Transport {
    /// A connected stream socket, and whether it is one of the Unix domain.
    Socket { fd: OwnedFd, unix: bool },
    /// Pipes, or whatever can be read and written.
    Pair { read: OwnedFd, write: OwnedFd },
}

impl Transport {
    /// Over a connected stream socket.
    pub(super) fn socket(fd: OwnedFd) -> io::Result<Self> {
        if getsockopt(&fd, sockopt::SockType)? != SockType::Stream {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the socket is not a stream",
            ));
        }
        close_on_exec(&fd)?;
        let address: SockaddrStorage = getsockname(fd.as_raw_fd())?;
        Ok(Self::Socket {
            fd,
            unix: address.family() == Some(AddressFamily::Unix),
        })
    }

    /// Over two descriptors.
    pub(super) fn pair(read: OwnedFd, write: OwnedFd) -> io::Result<Self> {
        close_on_exec(&read)?;
        close_on_exec(&write)?;
        Ok(Self::Pair { read, write })
    }

    /// Whether this is a socket.
    pub(crate) fn is_socket(&self) -> bool {
        matches!(self, Self::Socket { .. })
    }

    /// Whether descriptors can travel along.
    pub(crate) fn carries_descriptors(&self) -> bool {
        matches!(self, Self::Socket { unix: true, .. })
    }

    /// The descriptor that is read from.
    pub(crate) fn read_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Socket { fd, .. } | Self::Pair { read: fd, .. } => fd.as_fd(),
        }
    }

    /// The descriptor that is written to.
    pub(crate) fn write_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Socket { fd, .. } | Self::Pair { write: fd, .. } => fd.as_fd(),
        }
    }

    /// Appends at most `room` octets; nought is the end of input, `None` means that it would block.
    ///
    /// Descriptors that came along are the arrival. Octets that were sent before those that carried the descriptors may
    /// come in the same piece; those sent after them do not.
    ///
    /// The mode is for a socket; whether a pair blocks is a matter of its descriptors.
    pub(super) fn receive(
        &self,
        mode: ReadMode,
        buffer: &mut Vec<u8>,
        room: usize,
        arrivals: &mut Vec<Arrival>,
    ) -> io::Result<Option<usize>> {
        let (mut arrival, flags) = (None, mode.flags());
        let control = &mut [MaybeUninit::uninit(); words(MAX_DESCRIPTORS)];
        let result = match self {
            Self::Socket { fd, unix } => {
                let control = if *unix { &mut control[..] } else { &mut [] };
                recv_with(fd.as_fd(), buffer, room, &mut arrival, (control, flags))
            }
            Self::Pair { read, .. } => read_some(read.as_fd(), buffer, room),
        };
        arrivals.extend(arrival);
        unless_blocked(reset_is_end(result))
    }

    /// Writes what there is room for; `None` means that it would block. Descriptors go with the first of the octets.
    pub(super) fn send(
        &self,
        parts: &[IoSlice<'_>],
        descriptors: &[OwnedFd],
        flags: MsgFlags,
    ) -> io::Result<Option<usize>> {
        if descriptors.is_empty() {
            return unless_blocked(match self {
                Self::Socket { fd, .. } => send(fd.as_fd(), parts, &[], flags),
                Self::Pair { write, .. } => without_sigpipe(|| retry(|| writev(write, parts))),
            });
        }
        self.check_descriptors(parts, descriptors.len())?;
        let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        unless_blocked(send(self.write_fd(), parts, &raw, flags))
    }

    /// Refuses what the kernel would refuse, or lose, without a clear word.
    fn check_descriptors(&self, parts: &[IoSlice<'_>], count: usize) -> io::Result<()> {
        let complaint = if !self.carries_descriptors() {
            "only a socket of the Unix domain can carry descriptors"
        } else if count > MAX_DESCRIPTORS {
            "more than 253 descriptors in one message"
        } else if parts.iter().all(|part| part.is_empty()) {
            "descriptors cannot travel without an octet"
        } else {
            return Ok(());
        };
        Err(io::Error::new(io::ErrorKind::InvalidInput, complaint))
    }
}

/// A peer that left without reading everything is gone, like any other.
fn reset_is_end(result: nix::Result<usize>) -> nix::Result<usize> {
    match result {
        Err(Errno::ECONNRESET) => Ok(0),
        result => result,
    }
}

/// A descriptor that somebody else has made may still be open to inheritance.
fn close_on_exec(fd: &OwnedFd) -> io::Result<()> {
    fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(())
}

/// Appends what `fill` puts at the front of at most `room` octets.
///
/// # Safety
/// `fill` must return no more than the octets it has initialised at the front of what it is given.
unsafe fn append<E>(
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

/// Reads from any descriptor.
fn read_some(fd: BorrowedFd<'_>, buffer: &mut Vec<u8>, room: usize) -> nix::Result<usize> {
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
fn count(result: isize) -> nix::Result<usize> {
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

/// The words of ancillary data that `descriptors` of them take, in the kernel's alignment.
pub(super) const fn words(descriptors: usize) -> usize {
    // SAFETY: `CMSG_SPACE` only computes.
    let octets = unsafe { libc::CMSG_SPACE((descriptors * size_of::<RawFd>()) as libc::c_uint) };
    (octets as usize).div_ceil(size_of::<u64>())
}

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
