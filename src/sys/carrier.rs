//! The descriptors under a byte stream: what the parent's link and the child's port have in common.

use super::descriptors::{self, Arrival};
use super::octets::{self, MAX_DESCRIPTORS};
use super::unless_blocked;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockType, SockaddrLike, SockaddrStorage, getsockname, getsockopt,
    sockopt,
};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// One socket for both directions, or a descriptor for each.
#[derive(Debug)]
pub(super) enum Carrier {
    /// A connected stream socket, and whether it is one of the Unix domain.
    Socket { fd: OwnedFd, unix: bool },
    /// Pipes, or whatever can be read and written.
    Pair { read: OwnedFd, write: OwnedFd },
}

impl Carrier {
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
    pub(super) fn is_socket(&self) -> bool {
        matches!(self, Self::Socket { .. })
    }

    /// Whether descriptors can travel along.
    pub(super) fn carries_descriptors(&self) -> bool {
        matches!(self, Self::Socket { unix: true, .. })
    }

    /// The descriptor that is read from.
    pub(super) fn read_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Socket { fd, .. } | Self::Pair { read: fd, .. } => fd.as_fd(),
        }
    }

    /// The descriptor that is written to.
    pub(super) fn write_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Socket { fd, .. } | Self::Pair { write: fd, .. } => fd.as_fd(),
        }
    }

    /// Appends at most `room` octets; nought is the end of input, `None` means that it would block.
    ///
    /// Descriptors that came along are the arrival. Octets that were sent before those that carried the descriptors may
    /// come in the same piece; those sent after them do not.
    ///
    /// The flags are for a socket; whether a pair blocks is a matter of its descriptors.
    pub(super) fn recv(
        &self,
        buffer: &mut Vec<u8>,
        room: usize,
        arrival: &mut Option<Arrival>,
        flags: MsgFlags,
    ) -> io::Result<Option<usize>> {
        let result = match self {
            Self::Socket { fd, unix: true } => {
                let control = &mut [MaybeUninit::uninit(); descriptors::WORDS];
                descriptors::recv_with(fd.as_fd(), buffer, room, arrival, (control, flags))
            }
            Self::Socket { fd, .. } => octets::recv(fd.as_fd(), buffer, room, flags),
            Self::Pair { read, .. } => octets::read(read.as_fd(), buffer, room),
        };
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
                Self::Socket { fd, .. } => octets::send(fd.as_fd(), parts, &[], flags),
                Self::Pair { write, .. } => octets::write(write.as_fd(), parts),
            });
        }
        self.check_descriptors(parts, descriptors.len())?;
        let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        unless_blocked(octets::send(self.write_fd(), parts, &raw, flags))
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
