//! The parent's end of a link.

use super::transport::{FdBatch, ReadMode, Transport};
use crate::sys::fd::{create, eventfd, move_above_stdio, pipe};
use crate::sys::is_too_many_fds_in_flight;
use crate::sys::poll::{Interest, Readiness, poll, ready_for};
use crate::sys::ring::{Rings, send_doorbell};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags};
use nix::sys::eventfd::EventFd;
use nix::sys::socket::{
    AddressFamily, MsgFlags, Shutdown, SockFlag, SockType, shutdown, socketpair,
};
use std::io::{self, IoSlice};
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::time::Instant;

/// The operations of a child's driver on its link. The tests of the driver have a link without an operating system.
pub(crate) trait Link {
    /// Writes what fits without blocking, and returns the number of bytes: `None` if there is no room.
    ///
    /// A peer that has closed its end is an error ([`BrokenPipe`](io::ErrorKind::BrokenPipe) or
    /// [`ConnectionReset`](io::ErrorKind::ConnectionReset)), never a signal.
    ///
    /// `descriptors`, at most [`MAX_DESCRIPTORS`](super::transport::MAX_DESCRIPTORS), are sent with the first byte: if any
    /// byte was written, all of them were sent.
    fn try_send(&self, parts: &[IoSlice<'_>], descriptors: &[OwnedFd])
    -> io::Result<Option<usize>>;
    /// Appends at most `room` bytes and returns their number: zero at the end of input, `None` if there are none. File
    /// descriptors that came with them are appended to `batches`: see [`Transport::receive`].
    ///
    /// # Blocking
    /// With [`ReadMode::Block`], until there is a byte, the peer has ended its output, or
    /// [`shutdown_read`](ParentLink::shutdown_read) is called. With rings it returns `None` after a doorbell for the writer.
    fn recv(
        &self,
        mode: ReadMode,
        buffer: &mut Vec<u8>,
        room: usize,
        batches: &mut Vec<FdBatch>,
    ) -> io::Result<Option<usize>>;
    /// Switches to the rings, because the child uses them. `bytes` and `batches` have arrived over the socket behind its hello.
    /// Returns whether there are rings: a child may use some that were not offered to it.
    fn accept_rings(&self, bytes: &[u8], batches: Vec<FdBatch>) -> bool;
    /// Switches to the socket, because the child does not use the rings.
    fn refuse_rings(&self);
    /// Takes the doorbells off the socket. No thread may be reading.
    fn take_doorbells(&self);
    /// Returns whether rings are in use. The thread that reads then also waits for room to write.
    fn has_rings(&self) -> bool;
    /// Returns whether a write that found no room must wait; otherwise there is room by now. With rings, announces that this
    /// side sleeps as a writer: the reader will take the doorbell.
    fn awaits_room(&self) -> bool;
    /// Returns whether the ring has room to write.
    fn has_room_again(&self) -> bool;
    /// Returns how many bytes have arrived and were not read.
    fn unread(&self) -> u64;
    /// Sleeps until one of `interest` would not block, or until `deadline`.
    ///
    /// The end of a direction, a hang-up and an error count as ready. Without interest it sleeps until `deadline`.
    fn wait(&self, interest: Interest, deadline: Option<Instant>) -> io::Result<Readiness>;
    /// Ends the output: the peer reads the end of input, and writes fail from now on.
    fn shutdown_write(&self) -> io::Result<()>;
}

/// The parent's end of the byte stream to a child, over a socket or a pair of file descriptors, with or without rings.
///
/// Any thread may call any method at any time, with two roles that one thread at a time has: the reader receives, and
/// waits for something to read; the writer sends. A socket stays in blocking mode, because the mode belongs to the open
/// file, which other processes may share; calls that must not block pass `MSG_DONTWAIT`. A pair is set to non-blocking
/// mode, and its reader sleeps in `poll`.
#[derive(Debug)]
pub(crate) struct ParentLink {
    transport: Transport,
    /// Wakes the readers of a pair. A socket needs none: `shutdown` wakes them.
    wake: Option<EventFd>,
    /// Set by `shutdown_read`: a read that would block returns the end of input.
    read_ended: AtomicBool,
    /// Set by `shutdown_write`: every write fails.
    write_ended: AtomicBool,
    /// A write has failed. The bytes that it had are missing, so no others may follow.
    write_failed: AtomicBool,
    /// The rings that the child was offered.
    rings: Option<Rings>,
    /// Whether the child uses the rings: `OPEN`, `ACCEPTED` or `REFUSED`.
    answer: AtomicU8,
    /// The number of bytes of hello that are not sent yet. They are sent over the socket, later bytes through the rings.
    hello: AtomicUsize,
}

/// The child's hello has not come: this side sends nothing behind its own hello, and reads the socket.
const OPEN: u8 = 0;
/// The child uses the rings: the socket carries doorbells and file descriptors only.
const ACCEPTED: u8 = 1;
/// The child does not use the rings: the socket carries everything.
const REFUSED: u8 = 2;

impl Deref for ParentLink {
    type Target = Transport;
    fn deref(&self) -> &Transport {
        &self.transport
    }
}

impl ParentLink {
    /// Returns a new link, and the child's end of it.
    pub(crate) fn pair() -> io::Result<(Self, OwnedFd)> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let pair = || socketpair(AddressFamily::Unix, SockType::Stream, None, flags);
        let (ours, theirs) = create(pair)?;
        Ok((
            Self::over(
                Transport::Socket {
                    fd: ours,
                    unix: true,
                },
                None,
            ),
            theirs,
        ))
    }

    /// Returns a new link of two pipes, and the child's ends: its stdin and its stdout.
    pub(crate) fn pipes() -> io::Result<(Self, OwnedFd, OwnedFd)> {
        let ((stdin, write), (read, stdout)) = (pipe()?, pipe()?);
        Ok((Self::from_pair(read, write)?, stdin, stdout))
    }

    /// Returns a link over a connected stream socket.
    pub(crate) fn from_socket(fd: OwnedFd) -> io::Result<Self> {
        let fd = move_above_stdio(fd)?;
        Ok(Self::over(Transport::socket(fd)?, None))
    }

    /// Returns a link over two file descriptors, which are set to non-blocking mode.
    pub(crate) fn from_pair(read: OwnedFd, write: OwnedFd) -> io::Result<Self> {
        let (read, write) = (move_above_stdio(read)?, move_above_stdio(write)?);
        set_nonblocking(&read)?;
        set_nonblocking(&write)?;
        let wake = eventfd(0)?;
        Ok(Self::over(Transport::pair(read, write)?, Some(wake)))
    }

    /// Returns a link without rings, with both directions open.
    fn over(transport: Transport, wake: Option<EventFd>) -> Self {
        Self {
            transport,
            wake,
            read_ended: AtomicBool::new(false),
            write_ended: AtomicBool::new(false),
            write_failed: AtomicBool::new(false),
            rings: None,
            answer: AtomicU8::new(OPEN),
            hello: AtomicUsize::new(0),
        }
    }

    /// Returns the link with rings that the child will be offered.
    pub(crate) fn with_rings(self, rings: Option<Rings>) -> Self {
        Self { rings, ..self }
    }

    /// Returns whether the child is offered rings.
    pub(crate) fn offers_rings(&self) -> bool {
        self.rings.is_some()
    }

    /// Says that the first `count` bytes are hello, which is sent over the socket. Later bytes are written into the ring.
    pub(crate) fn begin_with_hello(&self, count: usize) {
        self.hello.store(count, Ordering::Relaxed);
    }

    /// Sends as much of hello as the socket takes.
    fn send_hello(
        &self,
        left: usize,
        parts: &[IoSlice<'_>],
        descriptors: &[OwnedFd],
    ) -> io::Result<Option<usize>> {
        let part = parts.iter().find(|part| !part.is_empty());
        let part = part.map_or(&[][..], |part| &part[..part.len().min(left)]);
        let flags = MsgFlags::MSG_DONTWAIT;
        let sent = self
            .transport
            .send(&[IoSlice::new(part)], descriptors, flags)?;
        self.hello.fetch_sub(sent.unwrap_or(0), Ordering::Relaxed);
        Ok(sent)
    }

    /// Returns the rings if this side reads from them.
    fn rings(&self) -> Option<&Rings> {
        let rings = self.rings.as_ref()?;
        (self.answer.load(Ordering::Acquire) == ACCEPTED).then_some(rings)
    }

    /// Returns the rings if this side writes into them, or will if the child uses them.
    fn writable_rings(&self) -> Option<&Rings> {
        let rings = self.rings.as_ref()?;
        (self.answer.load(Ordering::Acquire) != REFUSED).then_some(rings)
    }

    /// Runs a write. After `shutdown_write` it fails with `EPIPE`, whatever the descriptor refers to by then.
    fn unless_write_ended(
        &self,
        send: impl FnOnce() -> io::Result<Option<usize>>,
    ) -> io::Result<Option<usize>> {
        let ended = || self.write_ended.load(Ordering::Acquire);
        if ended() || self.write_failed.load(Ordering::Acquire) {
            return Err(Errno::EPIPE.into());
        }
        send().map_err(|error| {
            if ended() {
                return Errno::EPIPE.into();
            }
            // Nothing was tried if the system has not said it, and descriptors can be left out.
            if error.raw_os_error().is_some() && !is_too_many_fds_in_flight(&error) {
                self.write_failed.store(true, Ordering::Release);
            }
            error
        })
    }

    /// Returns what to poll the descriptors for, to be told of what is `wanted`; `is_now` asks for an event at once. With
    /// rings, doorbells for both directions make the socket readable.
    pub(crate) fn interest(&self, wanted: Interest, is_now: bool) -> Interest {
        let Some(rings) = self.rings() else {
            return self.socket_interest(wanted);
        };
        let has_room = wanted.write && (rings.batch_waits() || rings.has_room());
        Interest {
            read: wanted.read || wanted.write,
            // A socket is always writable, unless a batch of descriptors waits for room in it.
            write: is_now || has_room,
        }
    }

    /// Returns the part of `wanted` that the socket can tell. Until the child's hello comes, nothing may be written.
    fn socket_interest(&self, wanted: Interest) -> Interest {
        let over_socket = self.writable_rings().is_none() || self.hello.load(Ordering::Relaxed) > 0;
        let write = wanted.write && over_socket;
        Interest { write, ..wanted }
    }

    /// With rings, announces that this side sleeps as a reader, and returns whether it must not, because there is something
    /// to read. No thread may be reading.
    pub(crate) fn sleep_reading(&self) -> bool {
        let sleeps = |rings: &Rings| rings.reader.sleep().unwrap_or(false);
        !self.rings().is_none_or(sleeps)
    }

    /// Withdraws the announcement of [`sleep_reading`](Self::sleep_reading).
    pub(crate) fn stop_watching_reads(&self) {
        if let Some(rings) = self.rings() {
            rings.reader.wake();
        }
    }

    /// Runs a read. After `shutdown_read`, nothing to read means the end. The flag is loaded *before* the read, which
    /// therefore sees all that was written before the flag was set.
    fn unless_read_ended(
        &self,
        recv: impl FnOnce() -> io::Result<Option<usize>>,
    ) -> io::Result<Option<usize>> {
        let ended = self.read_ended.load(Ordering::Acquire);
        let count = recv()?;
        Ok(if ended { count.or(Some(0)) } else { count })
    }

    /// Doorbells for both directions, and the end, make the socket readable. They are left in it.
    fn wait_rings(
        &self,
        rings: &Rings,
        interest: Interest,
        deadline: Option<Instant>,
    ) -> io::Result<Readiness> {
        let reads = interest.read && !rings.reader.sleep()?;
        let writes = interest.write && !rings.sleep_writing()?;
        let mut come = false;
        if !reads && !writes {
            let asked = usize::from(interest != Interest::NONE);
            let mut socket = [PollFd::new(self.read_fd(), PollFlags::POLLIN)];
            come = poll(&mut socket[..asked], deadline)?;
        }
        if interest.read {
            rings.reader.wake();
        }
        Ok(Readiness {
            read: interest.read && (reads || come),
            write: interest.write && rings.has_room(),
        })
    }

    /// Ends the input: a thread blocked in [`recv`](Self::recv) wakes, reads what is buffered, and then the end.
    ///
    /// On a socket the peer's writes fail from now on.
    pub(crate) fn shutdown_read(&self) {
        self.read_ended.store(true, Ordering::Release);
        match &self.wake {
            Some(wake) => drop(wake.write(1)),
            None => drop(shut(self.read_fd(), Shutdown::Read)),
        }
    }

    /// Returns the descriptor that becomes readable with [`shutdown_read`](Self::shutdown_read), because a pipe that another
    /// process holds does not end. `None` for a socket, which itself becomes readable.
    pub(crate) fn end_fd(&self) -> Option<BorrowedFd<'_>> {
        self.wake.as_ref().map(AsFd::as_fd)
    }

    /// Ends both directions: the peer reads the end of input, and its writes fail. Unread bytes may be lost.
    pub(crate) fn cut(&self) -> io::Result<()> {
        let shut = self.shutdown_write();
        self.shutdown_read();
        if let Transport::Pair { read, write } = &self.transport {
            // The read end of a closed pipe replaces both.
            let (ended, _) = pipe()?;
            replace(read, &ended)?;
            replace(write, &ended)?;
        }
        shut
    }
}

impl Link for ParentLink {
    fn try_send(
        &self,
        parts: &[IoSlice<'_>],
        descriptors: &[OwnedFd],
    ) -> io::Result<Option<usize>> {
        let hello = self.hello.load(Ordering::Relaxed);
        self.unless_write_ended(|| match self.writable_rings() {
            Some(_) if hello > 0 => self.send_hello(hello, parts, descriptors),
            // The child's hello says how they travel.
            Some(_) if self.rings().is_none() => Ok(None),
            Some(rings) => rings.try_send(&self.transport, parts, descriptors),
            None => self
                .transport
                .send(parts, descriptors, MsgFlags::MSG_DONTWAIT),
        })
    }

    fn recv(
        &self,
        mode: ReadMode,
        buffer: &mut Vec<u8>,
        room: usize,
        batches: &mut Vec<FdBatch>,
    ) -> io::Result<Option<usize>> {
        let transport = &self.transport;
        loop {
            let rings = self.rings();
            let count = self.unless_read_ended(|| match rings {
                Some(rings) => rings.recv(mode, transport, buffer, room, batches),
                None => transport.receive(mode, buffer, room, batches),
            })?;
            if count.is_some() || mode != ReadMode::Block || rings.is_some() {
                return Ok(count);
            }
            self.wait(Interest::READ, None)?;
        }
    }

    fn accept_rings(&self, bytes: &[u8], batches: Vec<FdBatch>) -> bool {
        if let Some(rings) = &self.rings {
            // An error comes up again when their announcement is read.
            let _ = rings.received(bytes, batches);
            self.answer.store(ACCEPTED, Ordering::Release);
        }
        self.offers_rings()
    }

    fn refuse_rings(&self) {
        self.answer.store(REFUSED, Ordering::Release);
    }

    fn take_doorbells(&self) {
        if let Some(rings) = self.rings() {
            // The next read finds an error, or the end, again.
            let _ = rings.drain(&self.transport);
        }
    }

    fn has_rings(&self) -> bool {
        self.rings().is_some()
    }

    fn awaits_room(&self) -> bool {
        let sleeps = |rings: &Rings| rings.batch_waits() || rings.sleep_writing().unwrap_or(false);
        self.rings().is_none_or(sleeps)
    }

    fn has_room_again(&self) -> bool {
        self.rings().is_some_and(Rings::has_room)
    }

    fn unread(&self) -> u64 {
        if let Some(rings) = self.rings() {
            return rings.reader.unread();
        }
        let mut count: libc::c_int = 0;
        // SAFETY: the descriptor is open, and the request writes one `int` to a live one.
        let done =
            unsafe { libc::ioctl(self.read_fd().as_raw_fd(), libc::FIONREAD, &raw mut count) };
        if done < 0 {
            0
        } else {
            u64::try_from(count).unwrap_or(0)
        }
    }

    fn wait(&self, interest: Interest, deadline: Option<Instant>) -> io::Result<Readiness> {
        if interest.write && self.write_ended.load(Ordering::Acquire) {
            return Ok(Readiness {
                write: true,
                read: false,
            });
        }
        if let Some(rings) = self.rings() {
            return self.wait_rings(rings, interest, deadline);
        }
        let interest = self.socket_interest(interest);
        // Only the descriptors of interest are polled, because `poll` always reports a hang-up.
        let wake = self.wake.as_ref().map_or(self.read_fd(), AsFd::as_fd);
        let mut all = [
            PollFd::new(wake, PollFlags::POLLIN),
            PollFd::new(self.read_fd(), PollFlags::POLLIN),
            PollFd::new(self.write_fd(), PollFlags::POLLOUT),
        ];
        let first = usize::from(self.wake.is_none());
        let start = if interest.read { first } else { 2 };
        let asked = start..2 + usize::from(interest.write);
        poll(&mut all[asked.clone()], deadline)?;
        let ready = |index, flag| asked.contains(&index) && ready_for(&all[index], flag);
        Ok(Readiness {
            read: ready(0, PollFlags::POLLIN) || ready(1, PollFlags::POLLIN),
            write: ready(2, PollFlags::POLLOUT),
        })
    }

    /// The write descriptor of a pair is closed, but its number stays taken, so that a borrowed
    /// [`write_fd`](Self::write_fd) never refers to another file of the program: `dup3` replaces it by a copy of the read
    /// descriptor in one step. A thread that sleeps in [`wait`](Self::wait) for room keeps the pipe open until it wakes.
    fn shutdown_write(&self) -> io::Result<()> {
        if self.write_ended.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        if let Some(rings) = &self.rings {
            rings.writer.own().end();
        }
        let shut = shut(self.write_fd(), Shutdown::Write);
        match (&self.transport, self.rings()) {
            // The child finds the end in the ring, too, if it looks there.
            (Transport::Socket { .. }, Some(_)) if shut.is_err() => {
                send_doorbell(&self.transport);
                Ok(())
            }
            (Transport::Socket { .. }, _) => shut,
            (Transport::Pair { read, write }, _) => replace(write, read),
        }
    }
}

/// Sets `O_NONBLOCK`.
pub(crate) fn set_nonblocking(fd: impl AsFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
    fcntl(&fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Shuts a direction down. A peer that has closed its end is no error.
fn shut(fd: BorrowedFd<'_>, how: Shutdown) -> io::Result<()> {
    match shutdown(fd.as_raw_fd(), how) {
        Err(Errno::ENOTCONN) => Ok(()),
        result => Ok(result?),
    }
}

/// Closes what `old` is open to, and makes `old` a copy of `new`. Where `dup3` is refused this takes two steps, and a program
/// that another thread starts between them inherits the copy.
fn replace(old: &OwnedFd, new: &OwnedFd) -> io::Result<()> {
    let (from, to) = (new.as_raw_fd(), old.as_raw_fd());
    // SAFETY: both descriptors are open and stay open, and ours: `old` is borrowed, so it cannot be closed meanwhile,
    // and its number is given from one open file to another in one step.
    let at_once = || unsafe { libc::dup3(from, to, libc::O_CLOEXEC) };
    if crate::sys::retry(|| Errno::result(at_once())).is_err() {
        // SAFETY: as above.
        crate::sys::retry(|| Errno::result(unsafe { libc::dup2(from, to) }))?;
        fcntl(old, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::ChildLink;

    /// X4: the peer writes and the input is ended, just after a read has found nothing.
    #[test]
    fn shutdown_read_does_not_overtake_bytes() {
        let (link, theirs) = ParentLink::pair().unwrap();
        let port = ChildLink::from_socket(theirs).unwrap();
        let overtaken = link.unless_read_ended(|| {
            let (bytes, batches) = (&mut Vec::new(), &mut Vec::new());
            let nothing = link.transport.receive(ReadMode::Try, bytes, 9, batches)?;
            port.send_all(b"x", &[])?;
            link.shutdown_read();
            Ok(nothing)
        });
        assert_eq!(overtaken.unwrap(), None, "it is not the end yet");
        assert_eq!(
            link.recv(ReadMode::Try, &mut Vec::new(), 9, &mut Vec::new())
                .unwrap(),
            Some(1)
        );
        assert_eq!(
            link.recv(ReadMode::Try, &mut Vec::new(), 9, &mut Vec::new())
                .unwrap(),
            Some(0)
        );
    }
}
