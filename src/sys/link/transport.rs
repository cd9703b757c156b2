//! The socket or pipes below a link: reading and writing bytes and file descriptors, for both ends.

use crate::sys::fd::{move_above_stdio, receive_above_stdio};
use crate::sys::thread::without_sigpipe;
use crate::sys::{retry, unless_blocked};
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

/// The behaviour of a read if there is nothing to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadMode {
    /// It returns. For a spinning thread: with rings it makes no system call, and does not see the end of the socket.
    Look,
    /// It returns, after a look at the socket.
    Try,
    /// It sleeps until the first byte or the end comes.
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

/// One socket for both directions, or one file descriptor for each.
#[derive(Debug)]
pub(crate) enum Transport {
    /// A connected stream socket, and whether its domain is Unix.
    Socket { fd: OwnedFd, unix: bool },
    /// Two pipes, or any descriptors that can be read and written.
    Pair { read: OwnedFd, write: OwnedFd },
}

impl Transport {
    /// Takes a connected stream socket.
    ///
    /// # Errors
    /// It is no stream socket.
    pub(in crate::sys) fn socket(fd: OwnedFd) -> io::Result<Self> {
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

    /// Takes a descriptor to read from and one to write to.
    pub(in crate::sys) fn pair(read: OwnedFd, write: OwnedFd) -> io::Result<Self> {
        close_on_exec(&read)?;
        close_on_exec(&write)?;
        Ok(Self::Pair { read, write })
    }

    /// Returns whether this is a socket.
    pub(crate) fn is_socket(&self) -> bool {
        matches!(self, Self::Socket { .. })
    }

    /// Returns whether file descriptors can be sent.
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

    /// Appends at most `room` bytes and returns their number: zero at the end of input, `None` if it would block.
    ///
    /// File descriptors that came with the bytes are appended to `batches`. Bytes sent before those that carried the
    /// descriptors may come in the same read; bytes sent after them do not.
    ///
    /// `mode` applies to a socket. A pair blocks or not as its descriptors are set.
    pub(in crate::sys) fn receive(
        &self,
        mode: ReadMode,
        buffer: &mut Vec<u8>,
        room: usize,
        batches: &mut Vec<FdBatch>,
    ) -> io::Result<Option<usize>> {
        let (mut batch, flags) = (None, mode.flags());
        let control = &mut [MaybeUninit::uninit(); control_words(MAX_DESCRIPTORS)];
        let result = match self {
            Self::Socket { fd, unix } => {
                let control = if *unix { &mut control[..] } else { &mut [] };
                recv_with(fd.as_fd(), buffer, room, &mut batch, (control, flags))
            }
            Self::Pair { read, .. } => read_some(read.as_fd(), buffer, room),
        };
        batches.extend(batch);
        unless_blocked(reset_is_end(result))
    }

    /// Writes what fits and returns the number of bytes: `None` if it would block. `descriptors` are sent with the first
    /// byte.
    pub(in crate::sys) fn send(
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

    /// Refuses what the kernel would lose, or refuse with an unclear error.
    fn check_descriptors(&self, parts: &[IoSlice<'_>], count: usize) -> io::Result<()> {
        let complaint = if !self.carries_descriptors() {
            "only a socket of the Unix domain can carry descriptors"
        } else if count > MAX_DESCRIPTORS {
            "more than 253 descriptors in one message"
        } else if parts.iter().all(|part| part.is_empty()) {
            "descriptors cannot be sent without a byte"
        } else {
            return Ok(());
        };
        Err(io::Error::new(io::ErrorKind::InvalidInput, complaint))
    }
}

/// A peer that closed its end without reading everything (`ECONNRESET`) counts as the end of input.
fn reset_is_end(result: nix::Result<usize>) -> nix::Result<usize> {
    match result {
        Err(Errno::ECONNRESET) => Ok(0),
        result => result,
    }
}

/// Sets close-on-exec, which other code may have left out.
fn close_on_exec(fd: &OwnedFd) -> io::Result<()> {
    fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(())
}

/// Appends the bytes that `fill` writes into at most `room` bytes of spare capacity.
///
/// # Safety
/// `fill` must initialise as many bytes as it returns, from the front of its slice.
unsafe fn append<E>(
    buffer: &mut Vec<u8>,
    room: usize,
    fill: impl FnOnce(&mut [MaybeUninit<u8>]) -> Result<usize, E>,
) -> Result<usize, E> {
    debug_assert!(room > 0, "reading into no room looks like the end of input");
    buffer.reserve(room);
    let count = fill(&mut buffer.spare_capacity_mut()[..room])?;
    // SAFETY: `count` bytes after the length are initialised (the caller's promise), and lie within the capacity, since
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
    // SAFETY: the kernel has written as many bytes as it returned, from the front.
    unsafe { append(buffer, room, fill) }
}

/// Returns the count that a system call returned, or its error.
fn count(result: isize) -> nix::Result<usize> {
    usize::try_from(result).map_err(|_| Errno::last())
}

/// Writes to a socket, with file descriptors. Uses `send` for a single part without descriptors, because it has half the
/// overhead of `sendmsg`.
pub(in crate::sys) fn send(
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

/// Returns how many 64-bit words of ancillary data this number of file descriptors takes.
pub(in crate::sys) const fn control_words(descriptors: usize) -> usize {
    // SAFETY: `CMSG_SPACE` only computes.
    let bytes = unsafe { libc::CMSG_SPACE((descriptors * size_of::<RawFd>()) as libc::c_uint) };
    (bytes as usize).div_ceil(size_of::<u64>())
}

/// The file descriptors of one message.
#[derive(Debug)]
pub(crate) struct FdBatch {
    pub(crate) descriptors: Vec<OwnedFd>,
    /// Whether the kernel dropped some (`MSG_CTRUNC`), because this process cannot open more.
    pub(crate) is_truncated: bool,
}

/// Reads bytes, and the file descriptors that came with them.
pub(in crate::sys) fn recv_with(
    fd: BorrowedFd<'_>,
    buffer: &mut Vec<u8>,
    room: usize,
    batch: &mut Option<FdBatch>,
    (control, flags): (&mut [MaybeUninit<u64>], MsgFlags),
) -> nix::Result<usize> {
    // SAFETY: `receive` returns the number of bytes that the kernel has written from the front.
    unsafe {
        append(buffer, room, |spare| {
            receive_above_stdio(fd, flags, |flags| receive(fd, spare, batch, control, flags))
        })
    }
}

/// Calls `recvmsg` once.
fn receive(
    fd: BorrowedFd<'_>,
    spare: &mut [MaybeUninit<u8>],
    batch: &mut Option<FdBatch>,
    control: &mut [MaybeUninit<u64>],
    flags: MsgFlags,
) -> nix::Result<usize> {
    let mut part = libc::iovec {
        iov_base: spare.as_mut_ptr().cast(),
        iov_len: spare.len(),
    };
    // SAFETY: all zeros is a valid `msghdr`: null pointers with lengths of zero.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(control) as _;
    let flags = flags.bits() | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the header points to one live buffer and to live room for ancillary data, each with its true length.
    let count = retry(|| count(unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut header, flags) }))?;
    let is_truncated = header.msg_flags & libc::MSG_CTRUNC != 0;
    if header.msg_controllen > 0 || is_truncated {
        // SAFETY: the header is as a successful `recvmsg` left it, and this is the only time that it is read.
        let all = unsafe { received_descriptors(&header) };
        let count = all.len();
        let descriptors: Vec<_> = all
            .into_iter()
            .map_while(|fd| move_above_stdio(fd).ok())
            .collect();
        let is_truncated = is_truncated || descriptors.len() < count;
        *batch = Some(FdBatch {
            descriptors,
            is_truncated,
        });
    }
    Ok(count)
}

/// Takes the file descriptors of a message.
///
/// # Safety
/// `recvmsg` has just filled `header`, and this is called once for it: each descriptor gets one owner.
unsafe fn received_descriptors(header: &libc::msghdr) -> Vec<OwnedFd> {
    let mut found = Vec::new();
    // SAFETY: the kernel has written whole control messages, and their total length.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(header) };
    // SAFETY: a pointer that is not null points to a whole, aligned control message.
    while let Some(message) = unsafe { next.as_ref() } {
        if (message.cmsg_level, message.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            // SAFETY: such a message is a list of descriptors that were just created for this process.
            unsafe { own_descriptors(message, &mut found) };
        }
        // SAFETY: as for the first.
        next = unsafe { libc::CMSG_NXTHDR(header, message) };
    }
    found
}

/// Takes the file descriptors of one `SCM_RIGHTS` message.
///
/// # Safety
/// `message` is a whole `SCM_RIGHTS` message from the kernel, and this is called once for it.
unsafe fn own_descriptors(message: &libc::cmsghdr, found: &mut Vec<OwnedFd>) {
    // SAFETY: it only computes.
    let head = unsafe { libc::CMSG_LEN(0) } as usize;
    // SAFETY: it returns the address behind the header.
    let list = unsafe { libc::CMSG_DATA(message) }.cast::<RawFd>();
    #[allow(clippy::unnecessary_cast, reason = "it is narrower with musl")]
    let count = (message.cmsg_len as usize - head) / size_of::<RawFd>();
    for index in 0..count {
        // SAFETY: the length covers `count` descriptors, and no other code owns them.
        found.push(unsafe { OwnedFd::from_raw_fd(list.add(index).read_unaligned()) });
    }
}
