//! The child's end of a link.

use super::transport::{FdBatch, ReadMode, Transport};
use crate::sys::poll::{is_ready, poll_fd};
use crate::sys::ring::Rings;
use nix::poll::PollFlags;
use nix::sys::socket::MsgFlags;
use std::io::{self, IoSlice};
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

/// The child's end of the byte stream. Operations block even if another process has set the descriptors to non-blocking
/// mode.
#[derive(Debug)]
pub(crate) struct ChildLink {
    transport: Transport,
    /// Set with hello, if the parent has offered them.
    rings: OnceLock<Rings>,
}

impl Deref for ChildLink {
    type Target = Transport;
    fn deref(&self) -> &Transport {
        &self.transport
    }
}

/// The descriptor that is read from.
impl AsFd for ChildLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.read_fd()
    }
}

impl ChildLink {
    /// Returns the end of a link over a connected stream socket.
    pub(crate) fn from_socket(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self::over(Transport::socket(fd)?))
    }

    /// Returns the end of a link over the end of [`ParentLink::pair`](super::ParentLink::pair).
    pub(crate) fn from_pair_end(fd: OwnedFd) -> Self {
        Self::over(Transport::Socket { fd, unix: true })
    }

    /// Returns the end of a link over two file descriptors.
    pub(crate) fn from_pair(read: OwnedFd, write: OwnedFd) -> io::Result<Self> {
        Ok(Self::over(Transport::pair(read, write)?))
    }

    fn over(transport: Transport) -> Self {
        Self {
            transport,
            rings: OnceLock::new(),
        }
    }

    /// Uses these rings from now on: the socket carries doorbells and file descriptors only. To be called once.
    pub(crate) fn use_rings(&self, rings: Rings) {
        let _ = self.rings.set(rings);
    }

    /// Unmaps the rings, for a link that is only kept open.
    pub(crate) fn without_rings(self) -> Self {
        Self::over(self.transport)
    }

    /// Appends at most `room` bytes and returns their number: zero at the end of input, `None` if there are none. File
    /// descriptors that came with them are appended to `batches`: see [`Transport::receive`].
    ///
    /// # Blocking
    /// With [`ReadMode::Block`], until there is a byte or the parent has ended its output. It never returns `None` then.
    pub(crate) fn recv(
        &self,
        mode: ReadMode,
        buffer: &mut Vec<u8>,
        room: usize,
        batches: &mut Vec<FdBatch>,
    ) -> io::Result<Option<usize>> {
        let (transport, rings) = (&self.transport, self.rings.get());
        let blocks = mode == ReadMode::Block;
        if rings.is_none()
            && !blocks
            && !transport.is_socket()
            && !is_ready(self.read_fd(), PollFlags::POLLIN)?
        {
            return Ok(None);
        }
        loop {
            let count = match rings {
                Some(rings) => rings.recv(mode, transport, buffer, room, batches)?,
                None => transport.receive(mode, buffer, room, batches)?,
            };
            if count.is_some() || !blocks {
                return Ok(count);
            }
            // The descriptor is non-blocking, or the doorbell was spurious.
            if self.sleep_reading() {
                poll_fd(self.read_fd(), PollFlags::POLLIN, None)?;
                self.wake_reading();
            }
        }
    }

    /// Announces that this process sleeps until the descriptor is readable, and returns whether it may: a ring may have
    /// bytes to read already.
    pub(crate) fn sleep_reading(&self) -> bool {
        let sleeps = |rings: &Rings| rings.reader.sleep().unwrap_or(false);
        self.rings.get().is_none_or(sleeps)
    }

    /// Withdraws the announcement of [`sleep_reading`](Self::sleep_reading).
    pub(crate) fn wake_reading(&self) {
        if let Some(rings) = self.rings.get() {
            rings.reader.wake();
        }
    }

    /// Writes all bytes, and sends `descriptors` with the first.
    ///
    /// # Blocking
    /// Until the parent has made room for the last byte.
    pub(crate) fn send_all(&self, mut bytes: &[u8], mut descriptors: &[OwnedFd]) -> io::Result<()> {
        while !bytes.is_empty() {
            let part = [IoSlice::new(bytes)];
            let count = match self.rings.get() {
                Some(rings) => self.write_ring(rings, &part, descriptors)?,
                None => self.write_stream(&part, descriptors)?,
            };
            (bytes, descriptors) = (&bytes[count..], &[]);
        }
        Ok(())
    }

    /// Writes what fits into the ring, and sleeps until something does.
    fn write_ring(
        &self,
        rings: &Rings,
        parts: &[IoSlice<'_>],
        descriptors: &[OwnedFd],
    ) -> io::Result<usize> {
        // While there is room, no other call would notice that the parent has exited.
        let mut is_check_due = rings.is_hangup_check_due();
        loop {
            if is_check_due && self.has_hung_up()? {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            if let Some(count) = rings.try_send(&self.transport, parts, descriptors)? {
                return Ok(count);
            }
            rings.wait_for_room()?;
            is_check_due = true;
        }
    }

    /// Writes what fits into the socket or pipe, and sleeps until something does.
    fn write_stream(&self, parts: &[IoSlice<'_>], descriptors: &[OwnedFd]) -> io::Result<usize> {
        loop {
            match self.transport.send(parts, descriptors, MsgFlags::empty())? {
                Some(0) => return Err(io::ErrorKind::WriteZero.into()),
                Some(count) => return Ok(count),
                None => drop(poll_fd(self.write_fd(), PollFlags::POLLOUT, None)?),
            }
        }
    }

    /// Sleeps until the parent has closed its end. That it has ended its output is not enough.
    ///
    /// Of a pair only the write descriptor can tell. Over TCP, a peer that is gone is noticed when it refuses bytes.
    ///
    /// # Blocking
    /// Until then.
    pub(crate) fn wait_hang_up(&self) -> io::Result<()> {
        poll_fd(self.write_fd(), PollFlags::empty(), None).map(drop)
    }

    /// Returns whether [`wait_hang_up`](Self::wait_hang_up) would return at once.
    pub(crate) fn has_hung_up(&self) -> io::Result<bool> {
        is_ready(self.write_fd(), PollFlags::empty())
    }
}
