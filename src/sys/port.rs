//! The child's end of the byte stream.

use super::poll::poll;
use super::transport::{Arrival, Transport};
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::MsgFlags;
use std::io::{self, IoSlice};
use std::ops::Deref;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Instant;

/// The child's end of the link. Every operation blocks, whatever mode somebody has put the descriptors into.
#[derive(Debug)]
pub(crate) struct Port(Transport);

impl Deref for Port {
    type Target = Transport;
    fn deref(&self) -> &Transport {
        &self.0
    }
}

impl Port {
    /// Over a connected stream socket.
    pub(crate) fn from_socket(fd: OwnedFd) -> io::Result<Self> {
        Transport::socket(fd).map(Self)
    }

    /// Over an end of [`Link::pair`](super::Link::pair), close-on-exec.
    pub(crate) fn from_pair_end(fd: OwnedFd) -> Self {
        Self(Transport::Socket { fd, unix: true })
    }

    /// Over two descriptors.
    pub(crate) fn from_pair(read: OwnedFd, write: OwnedFd) -> io::Result<Self> {
        Transport::pair(read, write).map(Self)
    }

    /// Appends at most `room` octets, and waits for the first; nought is the end of input. Descriptors that came along
    /// are the arrival: see [`Transport::receive`].
    ///
    /// # Blocking
    /// Until there is an octet or the parent has ended its output.
    pub(crate) fn recv(
        &self,
        buffer: &mut Vec<u8>,
        room: usize,
        arrival: &mut Option<Arrival>,
    ) -> io::Result<usize> {
        loop {
            match self.receive(buffer, room, arrival, MsgFlags::empty())? {
                Some(count) => return Ok(count),
                None => self.wait_to_read(None).map(drop)?,
            }
        }
    }

    /// Appends at most `room` octets without blocking: `None` if there are none yet, nought at the end of input.
    pub(crate) fn try_recv(
        &self,
        buffer: &mut Vec<u8>,
        room: usize,
        arrival: &mut Option<Arrival>,
    ) -> io::Result<Option<usize>> {
        if !self.is_socket() && !self.wait_to_read(Some(Instant::now()))? {
            return Ok(None);
        }
        self.receive(buffer, room, arrival, MsgFlags::MSG_DONTWAIT)
    }

    fn wait_to_read(&self, deadline: Option<Instant>) -> io::Result<bool> {
        wait(self.read_fd(), PollFlags::POLLIN, deadline)
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
            let count = self.writing(|| self.0.send(left, &[], MsgFlags::empty()))?;
            IoSlice::advance_slices(&mut left, count);
        }
        Ok(())
    }

    /// Writes what there is room for without blocking: `None` if there is none. What is no socket is written as a whole.
    pub(crate) fn try_send(&self, octets: &[u8]) -> io::Result<Option<usize>> {
        if !self.is_socket() {
            self.send_all(octets)?;
            return Ok(Some(octets.len()));
        }
        self.0
            .send(&[IoSlice::new(octets)], &[], MsgFlags::MSG_DONTWAIT)
    }

    /// Sleeps until there is room to write, or nobody who reads.
    ///
    /// # Blocking
    /// Until then.
    pub(crate) fn wait_for_room(&self) -> io::Result<()> {
        wait(self.write_fd(), PollFlags::POLLOUT, None).map(drop)
    }

    /// Writes everything, with descriptors, which go with the first of the octets.
    ///
    /// # Blocking
    /// As [`send_all`](Self::send_all).
    pub(crate) fn send_all_with(&self, octets: &[u8], descriptors: &[OwnedFd]) -> io::Result<()> {
        let part = [IoSlice::new(octets)];
        let count = self.writing(|| self.0.send(&part, descriptors, MsgFlags::empty()))?;
        self.send_all(&octets[count..])
    }

    /// Writes, and sleeps where that would not do it by itself.
    fn writing(&self, mut send: impl FnMut() -> io::Result<Option<usize>>) -> io::Result<usize> {
        loop {
            match send()? {
                Some(0) => return Err(io::ErrorKind::WriteZero.into()),
                Some(count) => return Ok(count),
                None => self.wait_for_room()?,
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
        wait(self.write_fd(), PollFlags::empty(), None).map(drop)
    }

    /// Whether [`wait_hang_up`](Self::wait_hang_up) would return at once.
    pub(crate) fn has_hung_up(&self) -> io::Result<bool> {
        wait(self.write_fd(), PollFlags::empty(), Some(Instant::now()))
    }
}

/// Sleeps until a descriptor is ready, its other end is gone, or the deadline has come.
fn wait(fd: BorrowedFd<'_>, flags: PollFlags, deadline: Option<Instant>) -> io::Result<bool> {
    poll(&mut [PollFd::new(fd, flags)], deadline)
}
