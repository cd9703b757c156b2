//! The socket by which a parent has its template fork: a message with the link of the child to be, and a message back.
//!
//! ```text
//! parent ── the link ───────────▶ template
//!        ◀── "+"; or "-" and why ─────
//! ```
//!
//! One request is under way at a time. The end of input tells either side that the other is gone.

use super::fork::{Alone, Forker};
use super::high::create;
use super::poll::poll;
use super::reap::Fresh;
use super::ring::LinkMemory;
use super::spawn::adopt;
use super::transport::{recv_with, send, words};
use crate::base::sync::Mutex;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::Signal;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, setsockopt, socketpair, sockopt,
};
use nix::sys::time::TimeVal;
use nix::unistd::getpid;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How often a parent that waits looks at the clock.
const TICK: TimeVal = TimeVal::new(0, 100_000);
/// Which signal tells of a socket (`fcntl`, Linux); libc lacks it.
const F_SETSIG: libc::c_int = 10;
/// The longest answer.
const LONGEST: usize = 1024;

/// The parent's end.
#[derive(Debug)]
pub(crate) struct ForkClient {
    socket: OwnedFd,
    /// Where the kernel writes the number of a child.
    memory: LinkMemory,
    /// Held by the thread that waits for an answer.
    turn: Mutex<()>,
}

/// What has become of a request.
#[derive(Debug)]
pub(crate) enum Answer {
    /// There is a child.
    Forked(Fresh),
    /// There is none, and why.
    Failed(String),
    /// There is none, and the template is gone.
    Gone,
    /// The template had not answered in time, and there is none.
    Late,
}

impl ForkClient {
    /// A new socket. The template is given the end of it, and the memory.
    pub(crate) fn new() -> io::Result<(Self, OwnedFd, OwnedFd)> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let pair = || socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags);
        let (socket, theirs) = create(pair)?;
        setsockopt(&socket, sockopt::ReceiveTimeout, &TICK)?;
        let (memory, fd) = LinkMemory::create()?;
        let own = Self {
            socket,
            memory,
            turn: Mutex::default(),
        };
        Ok((own, theirs, fd))
    }

    /// Has the template fork a child with this link. If that takes longer than `time`, the template is killed by `kill`.
    ///
    /// # Blocking
    /// Until there is an answer, or the template is gone, for `time` and a little longer.
    ///
    /// # Errors
    /// This process cannot pass a descriptor: too many are under way, say. Or there is none left for the child.
    pub(crate) fn request_child(
        &self,
        link: BorrowedFd<'_>,
        time: Duration,
        kill: impl FnOnce(),
    ) -> io::Result<Answer> {
        let _turn = self.turn.lock();
        self.memory.forked().store(0, Ordering::Relaxed);
        self.request(link)?;
        let mut answer = self.answer(time)?;
        let late = answer.is_none();
        if late {
            kill();
            answer = self.answer(time)?;
        }
        if let Some([b'-', why @ ..]) = answer.as_deref() {
            return Ok(Answer::Failed(String::from_utf8_lossy(why).into_owned()));
        }
        // The kernel knows, whatever the template could say.
        match u32::try_from(self.memory.forked().load(Ordering::Relaxed)) {
            Ok(0) | Err(_) if late => Ok(Answer::Late),
            Ok(0) | Err(_) => Ok(Answer::Gone),
            Ok(pid) => adopt(pid).map(Answer::Forked),
        }
    }

    /// Sends a request. If the template is gone, the answer will say so.
    fn request(&self, link: BorrowedFd<'_>) -> io::Result<()> {
        let (part, link) = (IoSlice::new(b"f"), [link.as_raw_fd()]);
        let sent = send(self.socket.as_fd(), &[part], &link, MsgFlags::empty());
        match sent {
            Ok(_) | Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Waits for the answer, for `time` and at most a tick longer: nothing, if the template is gone; `None`: it is late.
    fn answer(&self, time: Duration) -> io::Result<Option<Vec<u8>>> {
        let deadline = Instant::now().checked_add(time);
        let mut answer = Vec::new();
        loop {
            let (socket, flags) = (self.socket.as_fd(), MsgFlags::empty());
            match recv_with(socket, &mut answer, LONGEST, &mut None, (&mut [], flags)) {
                Ok(_) | Err(Errno::ECONNRESET) => return Ok(Some(answer)),
                Err(Errno::EAGAIN) if deadline.is_none_or(|at| Instant::now() < at) => {}
                Err(Errno::EAGAIN) => return Ok(None),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// The template's end.
#[derive(Debug)]
pub(crate) struct Requests {
    socket: OwnedFd,
    /// Where the parent looks for the number of a child. Not copied to children.
    memory: LinkMemory,
    forker: Forker,
}

/// What a child has from its template: its link.
pub(crate) type Birth = (OwnedFd, Alone);

impl Requests {
    pub(crate) fn new(socket: OwnedFd, memory: OwnedFd) -> io::Result<Self> {
        let memory = LinkMemory::open(memory)?;
        memory.keep_from_children()?;
        Ok(Self {
            socket,
            memory,
            forker: Forker::new()?,
        })
    }

    /// From now on this process is killed when the parent goes, or stops that. There must be no request before it stops.
    ///
    /// No thread can look: other threads are not wanted here. So the kernel sends a signal that cannot be caught
    /// when something happens to the socket, and that is its end.
    pub(crate) fn die_with_parent(&self, on: bool) -> io::Result<()> {
        let socket = &self.socket;
        let flags = if on { OFlag::O_ASYNC } else { OFlag::empty() };
        if on {
            let own = getpid().as_raw();
            // SAFETY: both calls take numbers, and change what the kernel does about this socket.
            unsafe {
                Errno::result(libc::fcntl(socket.as_raw_fd(), libc::F_SETOWN, own))?;
                Errno::result(libc::fcntl(
                    socket.as_raw_fd(),
                    F_SETSIG,
                    Signal::SIGKILL as libc::c_int,
                ))?;
            }
        }
        fcntl(socket, FcntlArg::F_SETFL(flags))?;
        // It may have gone before.
        let now = Some(Instant::now());
        if on && poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], now)? {
            super::exit_now(0);
        }
        Ok(())
    }

    /// Forks whenever the parent wants a child. Returns in each child; ends the process with the parent.
    pub(crate) fn serve(mut self) -> Birth {
        loop {
            let failed = match self.next() {
                Ok(None) => super::exit_now(0),
                Ok(Some(link)) => match self.forker.fork(self.memory.forked()) {
                    Ok(Some(alone)) => {
                        // It was never mapped here.
                        std::mem::forget(self.memory);
                        return (link, alone);
                    }
                    Ok(None) => None,
                    Err(error) => Some(format!("-it cannot fork: {error}")),
                },
                Err(error) => Some(format!("-a descriptor has not arrived: {error}")),
            };
            let answer = failed.unwrap_or_else(|| "+".into());
            let part = IoSlice::new(answer.as_bytes());
            if send(self.socket.as_fd(), &[part], &[], MsgFlags::empty()).is_err() {
                super::exit_now(0);
            }
        }
    }

    /// The link of the next child; `None` when the parent is done, or gone.
    fn next(&mut self) -> io::Result<Option<OwnedFd>> {
        let (mut request, mut arrival) = (Vec::new(), None);
        let control = &mut [MaybeUninit::uninit(); words(1)];
        let socket = self.socket.as_fd();
        let flags = MsgFlags::empty();
        match recv_with(socket, &mut request, 1, &mut arrival, (control, flags)) {
            Ok(0) | Err(Errno::ECONNRESET) => return Ok(None),
            Ok(_) => {}
            Err(errno) => return Err(errno.into()),
        }
        let arrival = arrival.filter(|arrival| !arrival.is_cut);
        let mut descriptors = arrival.into_iter().flat_map(|all| all.descriptors);
        let link = descriptors.next();
        link.map(Some)
            .ok_or_else(|| io::Error::other("it has too many open files"))
    }
}
