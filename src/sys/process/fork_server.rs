//! The socket over which a parent asks its template to fork: a message with the new child's link, and an answer.
//!
//! ```text
//! parent ── the link ───────────▶ template
//!        ◀── "+"; or "-" and why ─────
//! ```
//!
//! One request is in flight at a time. The end of input tells either side that the other has exited.

use super::fork::{Forker, SingleThreaded};
use super::pidfd::KillOnDrop;
use super::spawn::{name_limit, open_forked};
use crate::base::sync::Mutex;
use crate::sys::fd::create;
use crate::sys::link::{control_words, recv_with, send};
use crate::sys::poll::is_ready;
use crate::sys::ring::LinkMemory;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::PollFlags;
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

/// How often a waiting parent looks at the clock: 100 ms.
const TICK: TimeVal = TimeVal::new(0, 100_000);
/// `fcntl` command for the signal of `O_ASYNC`, which libc lacks.
const F_SETSIG: libc::c_int = 10;
/// The longest answer in bytes.
const LONGEST: usize = 1024;

/// The parent's side.
#[derive(Debug)]
pub(crate) struct ForkClient {
    socket: OwnedFd,
    /// The kernel writes the process id of a child here.
    memory: LinkMemory,
    /// Locked by the thread that waits for an answer.
    turn: Mutex<()>,
}

/// The outcome of a request.
#[derive(Debug)]
pub(crate) enum ForkOutcome {
    /// The template has forked a child.
    Forked(KillOnDrop),
    /// No child exists, for this reason.
    Failed(String),
    /// No child exists, and the template has exited.
    Gone,
    /// No child exists, and the template has not answered in time.
    Late,
}

impl ForkClient {
    /// Returns the client, and for the template the other end of its socket and the shared memory.
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

    /// Asks the template to fork a child with this link. Calls `kill`, which kills the template, after `time`.
    ///
    /// # Blocking
    /// Until the template answers or exits, for `time` and a little longer.
    ///
    /// # Errors
    /// This process cannot send a file descriptor, because too many are in flight, or cannot open the child's pidfd.
    pub(crate) fn request_child(
        &self,
        link: BorrowedFd<'_>,
        time: Duration,
        kill: impl FnOnce(),
    ) -> io::Result<ForkOutcome> {
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
            let why = String::from_utf8_lossy(why).into_owned();
            return Ok(ForkOutcome::Failed(why));
        }
        // The kernel has written the process id even if the template could not answer.
        match u32::try_from(self.memory.forked().load(Ordering::Relaxed)) {
            Ok(0) | Err(_) if late => Ok(ForkOutcome::Late),
            Ok(0) | Err(_) => Ok(ForkOutcome::Gone),
            Ok(pid) => open_forked(pid).map(ForkOutcome::Forked),
        }
    }

    /// Sends a request. If the template has exited, the answer says so.
    fn request(&self, link: BorrowedFd<'_>) -> io::Result<()> {
        let (part, link) = (IoSlice::new(b"f"), [link.as_raw_fd()]);
        match send(self.socket.as_fd(), &[part], &link, MsgFlags::empty()) {
            Ok(_) | Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Waits for the answer, for `time` and at most a tick longer. Empty if the template has exited; `None` if it is late.
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

/// The template's side.
#[derive(Debug)]
pub(crate) struct ForkServer {
    socket: OwnedFd,
    /// The parent reads the process id of a child here. Children have no mapping of it.
    memory: LinkMemory,
    forker: Forker,
}

/// The link of a forked child, and the proof that it has one thread.
pub(crate) type ForkedChild = (OwnedFd, SingleThreaded);

impl ForkServer {
    pub(crate) fn new(socket: OwnedFd, memory: OwnedFd) -> io::Result<Self> {
        let memory = LinkMemory::open(memory)?;
        memory.exclude_from_forks()?;
        Ok(Self {
            socket,
            memory,
            forker: Forker::new()?,
        })
    }

    /// Has this process killed when its parent exits, if `on`, or no longer. No request may come while it is on.
    ///
    /// A template has no thread that could watch the socket. So the kernel sends `SIGKILL` at the first event of the
    /// socket, which is its end.
    pub(crate) fn die_with_parent(&self, on: bool) -> io::Result<()> {
        let socket = &self.socket;
        let flags = if on { OFlag::O_ASYNC } else { OFlag::empty() };
        if on {
            let (own, signal) = (getpid().as_raw(), Signal::SIGKILL as libc::c_int);
            for (command, number) in [(libc::F_SETOWN, own), (F_SETSIG, signal)] {
                // SAFETY: the call takes numbers, and sets the signal of this socket.
                Errno::result(unsafe { libc::fcntl(socket.as_raw_fd(), command, number) })?;
            }
        }
        fcntl(socket, FcntlArg::F_SETFL(flags))?;
        // The parent may have exited before.
        if on && is_ready(socket.as_fd(), PollFlags::POLLIN)? {
            crate::sys::exit_now(0);
        }
        Ok(())
    }

    /// Forks for each request. Returns in each child; in the template it exits when the parent does.
    pub(crate) fn serve(mut self) -> ForkedChild {
        loop {
            let failed = match self.next() {
                Ok(None) => crate::sys::exit_now(0),
                Ok(Some(link)) => match self.forker.fork(self.memory.forked()) {
                    Ok(Some(alone)) => {
                        // This process has no mapping of it.
                        std::mem::forget(self.memory);
                        return (link, alone);
                    }
                    Ok(None) => None,
                    Err(error) => Some(format!("-it cannot fork{}: {error}", name_limit(&error))),
                },
                Err(error) => Some(format!(
                    "-a descriptor has not arrived{}: {error}",
                    name_limit(&error)
                )),
            };
            let answer = failed.unwrap_or_else(|| "+".into());
            let part = IoSlice::new(answer.as_bytes());
            if send(self.socket.as_fd(), &[part], &[], MsgFlags::empty()).is_err() {
                crate::sys::exit_now(0);
            }
        }
    }

    /// Returns the link of the next child: `None` when the parent has closed the socket.
    fn next(&mut self) -> io::Result<Option<OwnedFd>> {
        let (mut request, mut batch) = (Vec::new(), None);
        let control = &mut [MaybeUninit::uninit(); control_words(1)];
        let socket = self.socket.as_fd();
        let flags = MsgFlags::empty();
        match recv_with(socket, &mut request, 1, &mut batch, (control, flags)) {
            Ok(0) | Err(Errno::ECONNRESET) => return Ok(None),
            Ok(_) => {}
            Err(errno) => return Err(errno.into()),
        }
        let batch = batch.filter(|batch| !batch.is_truncated);
        let mut descriptors = batch.into_iter().flat_map(|all| all.descriptors);
        let link = descriptors.next();
        link.map(Some).ok_or_else(|| Errno::EMFILE.into())
    }
}
