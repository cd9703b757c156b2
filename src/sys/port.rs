//! The child's end of the byte stream.

use super::poll::poll;
use super::ring::Rings;
use super::transport::{Arrival, ReadMode, Transport};
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::MsgFlags;
use std::io::{self, IoSlice};
use std::ops::Deref;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::OnceLock;

/// The child's end of the link. Every operation blocks, whatever mode somebody has put the descriptors into.
#[derive(Debug)]
pub(crate) struct Port {
    transport: Transport,
    /// Used from hello on, where the parent has offered them.
    rings: OnceLock<Rings>,
}

impl Deref for Port {
    type Target = Transport;
    fn deref(&self) -> &Transport {
        &self.transport
    }
}

impl Port {
    /// Over a connected stream socket.
    pub(crate) fn from_socket(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self::over(Transport::socket(fd)?))
    }

    /// Over an end of [`Link::pair`](super::Link::pair), close-on-exec.
    pub(crate) fn from_pair_end(fd: OwnedFd) -> Self {
        Self::over(Transport::Socket { fd, unix: true })
    }

    /// Over two descriptors.
    pub(crate) fn from_pair(read: OwnedFd, write: OwnedFd) -> io::Result<Self> {
        Ok(Self::over(Transport::pair(read, write)?))
    }

    fn over(transport: Transport) -> Self {
        Self {
            transport,
            rings: OnceLock::new(),
        }
    }

    /// Uses these rings from now on: the socket has only doorbells and descriptors any more. Once.
    pub(crate) fn use_rings(&self, rings: Rings) {
        let _ = self.rings.set(rings);
    }

    /// Forgets the rings: nothing is read or sent any more.
    pub(crate) fn without_rings(self) -> Self {
        Self::over(self.transport)
    }

    /// Appends at most `room` bytes; zero is the end of input, `None` that nothing has come. Descriptors that came along are
    /// arrivals: see [`Transport::receive`].
    ///
    /// # Blocking
    /// With [`ReadMode::Block`], until there is a byte or the parent has ended its output. Then it never returns `None`.
    pub(crate) fn recv(
        &self,
        mode: ReadMode,
        buffer: &mut Vec<u8>,
        room: usize,
        arrivals: &mut Vec<Arrival>,
    ) -> io::Result<Option<usize>> {
        let (transport, rings) = (&self.transport, self.rings.get());
        let blocks = mode == ReadMode::Block;
        if rings.is_none() && !blocks && !transport.is_socket() && !self.is_readable()? {
            return Ok(None);
        }
        loop {
            let count = match rings {
                Some(rings) => rings.recv(mode, transport, buffer, room, arrivals)?,
                None => transport.receive(mode, buffer, room, arrivals)?,
            };
            if count.is_some() || !blocks {
                return Ok(count);
            }
            // The descriptor does not block, or what woke this thread was for another.
            if self.sleep_reading() {
                sleep_until(self.read_fd(), PollFlags::POLLIN)?;
                self.wake_reading();
            }
        }
    }

    /// Says that this process sleeps until the descriptor is readable, and returns whether it may: with rings there may be
    /// something to read without that.
    pub(crate) fn sleep_reading(&self) -> bool {
        let sleeps = |rings: &Rings| rings.sleep_reading().unwrap_or(false);
        self.rings.get().is_none_or(sleeps)
    }

    /// Says that it does not sleep any more.
    pub(crate) fn wake_reading(&self) {
        if let Some(rings) = self.rings.get() {
            rings.wake_reading();
        }
    }

    /// Whether a read would not block.
    fn is_readable(&self) -> io::Result<bool> {
        let now = Some(std::time::Instant::now());
        poll(&mut [PollFd::new(self.read_fd(), PollFlags::POLLIN)], now)
    }

    /// Writes everything.
    ///
    /// # Blocking
    /// Until the parent has made room for the last byte.
    pub(crate) fn send_all(&self, bytes: &[u8]) -> io::Result<()> {
        self.send_all_with(bytes, &[])
    }

    /// Writes everything, with descriptors, which go with the first byte.
    ///
    /// # Blocking
    /// As [`send_all`](Self::send_all).
    pub(crate) fn send_all_with(
        &self,
        mut bytes: &[u8],
        mut descriptors: &[OwnedFd],
    ) -> io::Result<()> {
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

    /// Writes what there is room for, and sleeps until there is some.
    fn write_ring(
        &self,
        rings: &Rings,
        parts: &[IoSlice<'_>],
        descriptors: &[OwnedFd],
    ) -> io::Result<usize> {
        // Nothing else would tell that the parent is gone while there is room.
        if rings.is_time_to_look() && self.has_hung_up()? {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        loop {
            if let Some(count) = rings.try_send(&self.transport, parts, descriptors)? {
                return Ok(count);
            }
            rings.wait_for_room()?;
            if self.has_hung_up()? {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
    }

    /// The same over the descriptors themselves, also where another process has set them to non-blocking mode.
    fn write_stream(&self, parts: &[IoSlice<'_>], descriptors: &[OwnedFd]) -> io::Result<usize> {
        loop {
            match self.transport.send(parts, descriptors, MsgFlags::empty())? {
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
