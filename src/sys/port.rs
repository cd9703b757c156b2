//! The child's end of the byte stream.

use super::carrier::Carrier;
use super::descriptors::Arrival;
use super::poll::poll;
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::MsgFlags;
use std::io::{self, IoSlice};
use std::os::fd::{BorrowedFd, OwnedFd};

/// The child's end of the link. Every operation blocks, whatever mode somebody has put the descriptors into.
#[derive(Debug)]
pub(crate) struct Port {
    carrier: Carrier,
}

impl Port {
    /// Over a connected stream socket.
    pub(crate) fn from_socket(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            carrier: Carrier::socket(fd)?,
        })
    }

    /// Over an end of [`Link::pair`](super::Link::pair), close-on-exec.
    pub(crate) fn from_pair_end(fd: OwnedFd) -> Self {
        Self {
            carrier: Carrier::Socket { fd, unix: true },
        }
    }

    /// Over two descriptors.
    pub(crate) fn from_pair(read: OwnedFd, write: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            carrier: Carrier::pair(read, write)?,
        })
    }

    /// Whether descriptors can travel along: over a socket of the Unix domain.
    pub(crate) fn carries_descriptors(&self) -> bool {
        self.carrier.carries_descriptors()
    }

    /// The descriptor that is read from.
    pub(crate) fn read_fd(&self) -> BorrowedFd<'_> {
        self.carrier.read_fd()
    }

    /// The descriptor that is written to.
    pub(crate) fn write_fd(&self) -> BorrowedFd<'_> {
        self.carrier.write_fd()
    }

    /// Appends at most `room` octets, and waits for the first; nought is the end of input. Descriptors that came along
    /// are the arrival: see [`Carrier::recv`].
    ///
    /// # Blocking
    /// Until there is an octet or the parent has ended its output.
    pub(crate) fn recv(
        &self,
        buffer: &mut Vec<u8>,
        room: usize,
        arrival: &mut Option<Arrival>,
    ) -> io::Result<usize> {
        self.reading(|| self.carrier.recv(buffer, room, arrival, MsgFlags::empty()))
    }

    /// Appends at most `room` octets without blocking: `None` if there are none yet, nought at the end of input.
    pub(crate) fn try_recv(
        &self,
        buffer: &mut Vec<u8>,
        room: usize,
        arrival: &mut Option<Arrival>,
    ) -> io::Result<Option<usize>> {
        if !self.carrier.is_socket() && !self.is_readable()? {
            return Ok(None);
        }
        self.carrier
            .recv(buffer, room, arrival, MsgFlags::MSG_DONTWAIT)
    }

    /// Whether a read would not block.
    fn is_readable(&self) -> io::Result<bool> {
        let now = Some(std::time::Instant::now());
        poll(&mut [PollFd::new(self.read_fd(), PollFlags::POLLIN)], now)
    }

    /// Reads, and sleeps where that would not do it by itself.
    fn reading(&self, mut recv: impl FnMut() -> io::Result<Option<usize>>) -> io::Result<usize> {
        loop {
            match recv()? {
                Some(count) => return Ok(count),
                None => sleep_until(self.read_fd(), PollFlags::POLLIN)?,
            }
        }
    }

    /// Writes everything.
    ///
    /// # Blocking
    /// Until the parent has made room for the last octet.
    pub(crate) fn send_all(&self, octets: &[u8]) -> io::Result<()> {
        self.send_all_parts([octets])
    }

    /// Writes everything, one part after the other.
    ///
    /// # Blocking
    /// As [`send_all`](Self::send_all).
    pub(crate) fn send_all_parts<const N: usize>(&self, parts: [&[u8]; N]) -> io::Result<()> {
        let mut parts = parts.map(IoSlice::new);
        let mut left = &mut parts[..];
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            let count = self.writing(|| self.carrier.send(left, &[], MsgFlags::empty()))?;
            IoSlice::advance_slices(&mut left, count);
        }
        Ok(())
    }

    /// Writes what there is room for without blocking: `None` if there is none. What is no socket is written as a whole.
    pub(crate) fn try_send(&self, octets: &[u8]) -> io::Result<Option<usize>> {
        if !self.carrier.is_socket() {
            self.send_all(octets)?;
            return Ok(Some(octets.len()));
        }
        self.carrier
            .send(&[IoSlice::new(octets)], &[], MsgFlags::MSG_DONTWAIT)
    }

    /// Sleeps until there is room to write, or nobody who reads.
    ///
    /// # Blocking
    /// Until then.
    pub(crate) fn wait_for_room(&self) -> io::Result<()> {
        sleep_until(self.write_fd(), PollFlags::POLLOUT)
    }

    /// Writes everything, with descriptors, which go with the first of the octets.
    ///
    /// # Blocking
    /// As [`send_all`](Self::send_all).
    pub(crate) fn send_all_with(&self, octets: &[u8], descriptors: &[OwnedFd]) -> io::Result<()> {
        let send = || {
            self.carrier
                .send(&[IoSlice::new(octets)], descriptors, MsgFlags::empty())
        };
        let count = self.writing(send)?;
        self.send_all(&octets[count..])
    }

    /// Writes, and sleeps where that would not do it by itself.
    fn writing(&self, mut send: impl FnMut() -> io::Result<Option<usize>>) -> io::Result<usize> {
        loop {
            match send()? {
                Some(0) => return Err(io::ErrorKind::WriteZero.into()),
                Some(count) => return Ok(count),
                None => sleep_until(self.write_fd(), PollFlags::POLLOUT)?,
            }
        }
    }

    /// Sleeps until the parent is gone altogether; that it has ended its output is not enough.
    ///
    /// Of a pair only the write descriptor can tell. A peer over TCP is known to be gone only when it refuses what is
    /// sent to it.
    ///
    /// # Blocking
    /// Until then.
    pub(crate) fn wait_hang_up(&self) -> io::Result<()> {
        sleep_until(self.write_fd(), PollFlags::empty())
    }

    /// Whether [`wait_hang_up`](Self::wait_hang_up) would return at once.
    pub(crate) fn has_hung_up(&self) -> io::Result<bool> {
        let now = Some(std::time::Instant::now());
        poll(&mut [PollFd::new(self.write_fd(), PollFlags::empty())], now)
    }
}

/// Sleeps until a descriptor is ready, or its other end is gone.
fn sleep_until(fd: BorrowedFd<'_>, flags: PollFlags) -> io::Result<()> {
    poll(&mut [PollFd::new(fd, flags)], None)?;
    Ok(())
}
