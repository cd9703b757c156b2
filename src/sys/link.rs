//! The parent's end of the byte stream.

use super::high::{create, eventfd, pipe, raise};
use super::poll::{Interest, Ready, poll, ready_for};
use super::ring::Rings;
use super::transport::{Arrival, ReadMode, Transport};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags};
use nix::sys::eventfd::EventFd;
use nix::sys::socket::{
    AddressFamily, MsgFlags, Shutdown, SockFlag, SockType, shutdown, socketpair,
};
use std::io::{self, IoSlice};
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

/// The byte stream between parent and child: one socket for both directions, or a pair of descriptors.
///
/// Every method takes `&self`, and any thread may call any of them at any time, with two roles that one thread at a time
/// has: a reader receives, and waits for something to read; a writer sends. A socket stays in blocking mode, which a
/// peer might share: what must not block says so in the call. A pair is set to non-blocking mode, and sleeps in `poll`.
#[derive(Debug)]
pub(crate) struct Link {
    transport: Transport,
    /// Wakes the readers of a pair; the kernel does it for a socket.
    wake: Option<EventFd>,
    /// Set by `shutdown_read`: what would block is the end of input.
    read_ended: AtomicBool,
    /// Set by `shutdown_write`: every write fails.
    write_ended: AtomicBool,
    /// Two rings in shared memory, if the child was offered them.
    rings: Option<Rings>,
    /// Of these, what the child has answered.
    answer: AtomicU8,
    /// How many bytes of hello are to go over the socket before anything goes into the rings.
    hello: AtomicUsize,
}

/// The child has not answered for the rings: what it is sent goes into them, what it sends comes over the socket.
const OPEN: u8 = 0;
/// It uses them: the socket has nothing but doorbells and descriptors any more.
const ACCEPTED: u8 = 1;
/// It does not.
const REFUSED: u8 = 2;

impl Deref for Link {
    type Target = Transport;
    fn deref(&self) -> &Transport {
        &self.transport
    }
}

impl Link {
    /// A new link, and the other end of it, for the child.
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

    /// A new link of two pipes, and what is to be stdin and stdout of a command.
    pub(crate) fn pipes() -> io::Result<(Self, OwnedFd, OwnedFd)> {
        let ((stdin, write), (read, stdout)) = (pipe()?, pipe()?);
        Ok((Self::from_pair(read, write)?, stdin, stdout))
    }

    /// Over a connected stream socket.
    pub(crate) fn from_socket(fd: OwnedFd) -> io::Result<Self> {
        let fd = raise(fd)?;
        Ok(Self::over(Transport::socket(fd)?, None))
    }

    /// Over two descriptors, which are set to non-blocking mode.
    pub(crate) fn from_pair(read: OwnedFd, write: OwnedFd) -> io::Result<Self> {
        let (read, write) = (raise(read)?, raise(write)?);
        set_nonblocking(&read)?;
        set_nonblocking(&write)?;
        let wake = eventfd(0)?;
        Ok(Self::over(Transport::pair(read, write)?, Some(wake)))
    }

    /// A link with both directions open.
    fn over(transport: Transport, wake: Option<EventFd>) -> Self {
        Self {
            transport,
            wake,
            read_ended: AtomicBool::new(false),
            write_ended: AtomicBool::new(false),
            rings: None,
            answer: AtomicU8::new(OPEN),
            hello: AtomicUsize::new(0),
        }
    }

    /// The same, with rings that the child is offered.
    pub(crate) fn with_rings(self, rings: Option<Rings>) -> Self {
        Self { rings, ..self }
    }

    /// Returns whether the child is to be offered rings.
    pub(crate) fn offers_rings(&self) -> bool {
        self.rings.is_some()
    }

    /// The first `count` bytes are hello, which goes over the socket; what follows goes into the rings.
    pub(crate) fn begin_with_hello(&self, count: usize) {
        self.hello.store(count, Ordering::Relaxed);
    }

    /// Sends as much of hello as there is room for.
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

    /// Takes note that the child uses the rings. Behind its hello these bytes and descriptors have come over the socket.
    /// To be called by the thread that reads.
    pub(crate) fn accept_rings(&self, bytes: &[u8], arrivals: Vec<Arrival>) {
        if let Some(rings) = &self.rings {
            // What is wrong with them is found when their announcement is read.
            let _ = rings.came(bytes, arrivals);
            self.answer.store(ACCEPTED, Ordering::Release);
        }
    }

    /// Takes note that the child does not use them, and returns what is to be sent over the socket instead. No other
    /// thread may be writing.
    pub(crate) fn refuse_rings(&self) -> Vec<u8> {
        self.answer.store(REFUSED, Ordering::Release);
        self.rings.as_ref().map_or_else(Vec::new, Rings::take_back)
    }

    /// The rings, if they are read from.
    fn rings(&self) -> Option<&Rings> {
        let rings = self.rings.as_ref()?;
        (self.answer.load(Ordering::Acquire) == ACCEPTED).then_some(rings)
    }

    /// The rings, if they are written to.
    fn rings_to_write(&self) -> Option<&Rings> {
        let rings = self.rings.as_ref()?;
        (self.answer.load(Ordering::Acquire) != REFUSED).then_some(rings)
    }

    /// Writes what there is room for, without blocking; `None` means that there is no room.
    ///
    /// A peer that is gone is an error ([`BrokenPipe`](io::ErrorKind::BrokenPipe) or
    /// [`ConnectionReset`](io::ErrorKind::ConnectionReset)), never a signal.
    ///
    /// Descriptors, at most [`MAX_DESCRIPTORS`](super::transport::MAX_DESCRIPTORS), go with the first octet: once that is
    /// written, all of them are.
    pub(crate) fn try_send(
        &self,
        parts: &[IoSlice<'_>],
        descriptors: &[OwnedFd],
    ) -> io::Result<Option<usize>> {
        let hello = self.hello.load(Ordering::Relaxed);
        self.sending(|| match self.rings_to_write() {
            Some(_) if hello > 0 => self.send_hello(hello, parts, descriptors),
            // They need the socket, of which the child expects doorbells only once it has answered.
            Some(_) if !descriptors.is_empty() && self.rings().is_none() => Ok(None),
            Some(rings) => rings.try_send(&self.transport, parts, descriptors),
            None => self
                .transport
                .send(parts, descriptors, MsgFlags::MSG_DONTWAIT),
        })
    }

    /// A write that fails in one way after `shutdown_write`, whatever the descriptor has become since it began.
    fn sending(
        &self,
        send: impl FnOnce() -> io::Result<Option<usize>>,
    ) -> io::Result<Option<usize>> {
        let ended = || self.write_ended.load(Ordering::Acquire);
        if ended() {
            return Err(Errno::EPIPE.into());
        }
        send().map_err(|error| if ended() { Errno::EPIPE.into() } else { error })
    }

    /// Appends at most `room` bytes; zero is the end of input, `None` that nothing has come. Descriptors that came along are
    /// arrivals: see [`Transport::receive`].
    ///
    /// # Blocking
    /// With [`ReadMode::Block`], until there is a byte, the peer has ended its output, or
    /// [`shutdown_read`](Self::shutdown_read) is called. With rings it returns `None` if it was woken for something else:
    /// there may be room to write.
    pub(crate) fn recv(
        &self,
        mode: ReadMode,
        buffer: &mut Vec<u8>,
        room: usize,
        arrivals: &mut Vec<Arrival>,
    ) -> io::Result<Option<usize>> {
        let transport = &self.transport;
        loop {
            let rings = self.rings();
            let count = self.unless_ended(|| match rings {
                Some(rings) => rings.recv(mode, transport, buffer, room, arrivals),
                None => transport.receive(mode, buffer, room, arrivals),
            })?;
            if count.is_some() || mode != ReadMode::Block || rings.is_some() {
                return Ok(count);
            }
            self.wait(Interest::READ, None)?;
        }
    }

    /// Returns what to watch the descriptors for, to hear of what is `wanted`; at once if `is_now`. With rings, doorbells for
    /// both directions are something to read.
    pub(crate) fn interest(&self, wanted: Interest, is_now: bool) -> Interest {
        let Some(rings) = self.rings() else {
            return self.of_socket(wanted);
        };
        let has_room = wanted.write && (rings.lot_waits() || rings.has_room());
        Interest {
            read: wanted.read || wanted.write,
            // A socket has room for a doorbell, unless descriptors wait for room in it.
            write: is_now || has_room,
        }
    }

    /// What of this to ask the socket for. It does not tell when what goes into rings can be written: that is known with
    /// the child's hello.
    fn of_socket(&self, wanted: Interest) -> Interest {
        let over_socket = self.rings_to_write().is_none() || self.hello.load(Ordering::Relaxed) > 0;
        let write = wanted.write && over_socket;
        Interest { write, ..wanted }
    }

    /// With rings, says that this side sleeps as a reader; returns whether it may not, since there is something to read. No
    /// thread may be reading.
    pub(crate) fn sleep_reading(&self) -> bool {
        let sleeps = |rings: &Rings| rings.sleep_reading().unwrap_or(false);
        !self.rings().is_none_or(sleeps)
    }

    /// Takes note that nobody waits for something to read any more.
    pub(crate) fn stop_watching_reads(&self) {
        if let Some(rings) = self.rings() {
            rings.wake_reading();
        }
    }

    /// Returns whether what was not written has to wait: else there is room by now. With rings, says that this side sleeps
    /// as a writer; the thread that reads will find the doorbell.
    pub(crate) fn awaits_room(&self) -> bool {
        let sleeps = |rings: &Rings| rings.lot_waits() || rings.sleep_writing().unwrap_or(false);
        self.rings().is_none_or(sleeps)
    }

    /// Returns whether this link has rings, and room in them: what had to wait can be written.
    pub(crate) fn has_room_again(&self) -> bool {
        self.rings().is_some_and(Rings::has_room)
    }

    /// Takes doorbells off the socket. No thread may be reading.
    pub(crate) fn take_doorbells(&self) {
        if let Some(rings) = self.rings() {
            // An error, as the end, is found by the next read.
            let _ = rings.drain(&self.transport);
        }
    }

    /// Returns whether rings are in use.
    pub(crate) fn has_rings(&self) -> bool {
        self.rings().is_some()
    }

    /// After `shutdown_read`, nothing to read means the end. The flag is looked at *before* reading: what was written
    /// before it was set is then seen by the read.
    fn unless_ended(
        &self,
        recv: impl FnOnce() -> io::Result<Option<usize>>,
    ) -> io::Result<Option<usize>> {
        let ended = self.read_ended.load(Ordering::Acquire);
        let count = recv()?;
        Ok(if ended { count.or(Some(0)) } else { count })
    }

    /// Sleeps until what was asked for would not block, or the deadline has come.
    ///
    /// The end of a direction, a hang-up and an error count as ready. If nothing is asked for, only time can pass.
    pub(crate) fn wait(
        &self,
        interest: Interest,
        deadline: Option<std::time::Instant>,
    ) -> io::Result<Ready> {
        if interest.write && self.write_ended.load(Ordering::Acquire) {
            return Ok(Ready {
                write: true,
                read: false,
            });
        }
        if let Some(rings) = self.rings() {
            return self.wait_rings(rings, interest, deadline);
        }
        let interest = self.of_socket(interest);
        // Only those that matter are looked at, since a hang-up cannot be left out.
        let wake = self.wake.as_ref().map_or(self.read_fd(), AsFd::as_fd);
        let mut all = [
            PollFd::new(wake, PollFlags::POLLIN),
            PollFd::new(self.read_fd(), PollFlags::POLLIN),
            PollFd::new(self.write_fd(), PollFlags::POLLOUT),
        ];
        let first = usize::from(self.wake.is_none());
        let asked = match (interest.read, interest.write) {
            (false, false) => 0..0,
            (true, false) => first..2,
            (false, true) => 2..3,
            (true, true) => first..3,
        };
        poll(&mut all[asked.clone()], deadline)?;
        let ready = |index, flag| asked.contains(&index) && ready_for(&all[index], flag);
        Ok(Ready {
            read: ready(0, PollFlags::POLLIN) || ready(1, PollFlags::POLLIN),
            write: ready(2, PollFlags::POLLOUT),
        })
    }

    /// Doorbells for both directions come over the socket, and so does its end; what has come is left there.
    fn wait_rings(
        &self,
        rings: &Rings,
        interest: Interest,
        deadline: Option<std::time::Instant>,
    ) -> io::Result<Ready> {
        let reads = interest.read && !rings.sleep_reading()?;
        let writes = interest.write && !rings.sleep_writing()?;
        let mut come = false;
        if !reads && !writes {
            let asked = usize::from(interest != Interest::NONE);
            let mut socket = [PollFd::new(self.read_fd(), PollFlags::POLLIN)];
            come = poll(&mut socket[..asked], deadline)?;
        }
        if interest.read {
            rings.wake_reading();
        }
        Ok(Ready {
            read: interest.read && (reads || come),
            write: interest.write && rings.has_room(),
        })
    }

    /// How many bytes have come that were not read.
    pub(crate) fn unread(&self) -> u64 {
        if let Some(rings) = self.rings() {
            return rings.unread();
        }
        let mut count: libc::c_int = 0;
        // SAFETY: the descriptor is open, and the request writes one `int` to where the pointer leads.
        let done =
            unsafe { libc::ioctl(self.read_fd().as_raw_fd(), libc::FIONREAD, &raw mut count) };
        if done < 0 {
            0
        } else {
            u64::try_from(count).unwrap_or(0)
        }
    }

    /// Lets the peer see the end of input; writing fails from now on.
    ///
    /// The write descriptor of a pair is closed, yet its number stays taken, so that a [`write_fd`](Self::write_fd)
    /// which somebody holds never becomes a stranger's: a copy of the read descriptor replaces it in one step. A thread
    /// that sleeps in [`wait`](Self::wait) for room to write keeps the closed end open until it wakes.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        if self.write_ended.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        if let Some(rings) = &self.rings {
            rings.end();
        }
        let shut = shut(self.write_fd(), Shutdown::Write);
        match &self.transport {
            Transport::Socket { .. } => shut,
            Transport::Pair { read, write } => replace(write, read),
        }
    }

    /// Ends the input: a thread blocked in [`recv`](Self::recv) wakes, reads what is buffered, then sees the end.
    ///
    /// On a socket the peer can write no more.
    pub(crate) fn shutdown_read(&self) {
        self.read_ended.store(true, Ordering::Release);
        match &self.wake {
            Some(wake) => drop(wake.write(1)),
            None => drop(shut(self.read_fd(), Shutdown::Read)),
        }
    }

    /// Ends both directions for good: the peer sees the end of its input, and its writes fail. What it has
    /// written and was not read may be lost.
    pub(crate) fn cut(&self) -> io::Result<()> {
        let shut = self.shutdown_write();
        self.shutdown_read();
        if let Transport::Pair { read, write } = &self.transport {
            // An input that has ended takes both places.
            let (ended, _) = pipe()?;
            replace(read, &ended)?;
            replace(write, &ended)?;
        }
        shut
    }
}

/// Sets `O_NONBLOCK`.
pub(crate) fn set_nonblocking(fd: impl AsFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
    fcntl(&fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Shuts a direction down; a peer that is gone already is no error.
fn shut(fd: BorrowedFd<'_>, how: Shutdown) -> io::Result<()> {
    match shutdown(fd.as_raw_fd(), how) {
        Err(Errno::ENOTCONN) => Ok(()),
        result => Ok(result?),
    }
}

/// Closes what `old` is open to, and makes `old` a copy of `new`.
fn replace(old: &OwnedFd, new: &OwnedFd) -> io::Result<()> {
    // SAFETY: both descriptors are open and stay open, and ours: `old` is borrowed, so it cannot be closed meanwhile,
    // and its number goes from one open file to another in one step.
    let call = || unsafe { libc::dup3(new.as_raw_fd(), old.as_raw_fd(), libc::O_CLOEXEC) };
    super::retry(|| Errno::result(call()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Port;

    /// X4: the peer writes, and the input is ended, just after a read has found nothing.
    #[test]
    fn shutdown_read_does_not_overtake_octets() {
        let (link, theirs) = Link::pair().unwrap();
        let port = Port::from_socket(theirs).unwrap();
        let overtaken = link.unless_ended(|| {
            let (bytes, arrivals) = (&mut Vec::new(), &mut Vec::new());
            let nothing = link.transport.receive(ReadMode::Try, bytes, 9, arrivals)?;
            port.send_all(b"x")?;
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
