//! The socket by which a parent has its template fork: a message with the link of the child to be, and a message back.
//!
//! ```text
//! parent ── a place, the link ─────────────▶ template   its page is there in the file that came last
//!        ── a place, the link and a file ──▶            in this one
//!        ◀── "+"; or "-" and why ───────────
//! ```
//!
//! Without a page there is no place, which is [`NOWHERE`].
//!
//! One request is under way at a time. The end of input tells either side that the other is gone.

use super::fork::{Alone, Forker};
use super::high::create;
use super::poll::poll;
use super::reap::Fresh;
use super::spawn::adopt;
use super::transport::{recv_with, send, words};
use super::{Page, Pages};
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
/// The place of a page that does not exist.
const NOWHERE: u8 = u8::MAX;
/// The longest answer.
const LONGEST: usize = 1024;

/// The parent's end.
#[derive(Debug)]
pub(crate) struct ForkClient {
    socket: OwnedFd,
    /// Where the kernel writes the number of a child.
    page: Page,
    /// The pages for children that the template has. Held by the thread that waits for an answer.
    pages: Mutex<Option<Pages>>,
}

/// What has become of a request.
#[derive(Debug)]
pub(crate) enum Answer {
    /// There is a child, which shares a page with this process if there was one to be had.
    Forked(Fresh, Option<Page>),
    /// There is none, and why.
    Failed(String),
    /// There is none, and the template is gone.
    Gone,
    /// The template had not answered in time, and there is none.
    Late,
}

impl ForkClient {
    /// A new socket. The template is given the end of it, and the page.
    pub(crate) fn new() -> io::Result<(Self, OwnedFd, OwnedFd)> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let pair = || socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags);
        let (socket, theirs) = create(pair)?;
        setsockopt(&socket, sockopt::ReceiveTimeout, &TICK)?;
        let (page, fd) = Page::create()?;
        let pages = Mutex::new(None);
        let own = Self {
            socket,
            page,
            pages,
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
        let mut pages = self.pages.lock();
        self.page.forked().store(0, Ordering::Relaxed);
        // Unless all goes well it is not known which file the template has.
        let spot = Pages::next(pages.take()).ok();
        let (place, file) = match &spot {
            Some((_, place, _, file)) => (*place, file.as_ref()),
            None => (NOWHERE, None),
        };
        self.request(place, link, file)?;
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
        match u32::try_from(self.page.forked().load(Ordering::Relaxed)) {
            Ok(0) | Err(_) if late => Ok(Answer::Late),
            Ok(0) | Err(_) => Ok(Answer::Gone),
            Ok(pid) => {
                let process = adopt(pid)?;
                let page = spot.map(|(rest, _, page, _)| {
                    *pages = Some(rest);
                    page
                });
                Ok(Answer::Forked(process, page))
            }
        }
    }

    /// Sends a request. If the template is gone, the answer will say so.
    fn request(&self, place: u8, link: BorrowedFd<'_>, file: Option<&OwnedFd>) -> io::Result<()> {
        let numbers: Vec<_> = [Some(link.as_raw_fd()), file.map(AsRawFd::as_raw_fd)]
            .into_iter()
            .flatten()
            .collect();
        let part = [place];
        let part = IoSlice::new(&part);
        let sent = send(self.socket.as_fd(), &[part], &numbers, MsgFlags::empty());
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
    page: Page,
    /// Where the pages of children lie.
    pages: Option<OwnedFd>,
    forker: Forker,
}

/// What a child has from its template: its link, and its page.
pub(crate) type Birth = (OwnedFd, Option<Page>, Alone);

impl Requests {
    pub(crate) fn new(socket: OwnedFd, page: OwnedFd) -> io::Result<Self> {
        let page = Page::open(page)?;
        page.keep_from_children()?;
        Ok(Self {
            socket,
            page,
            pages: None,
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
                Ok(Some((link, place))) => match self.forker.fork(self.page.forked()) {
                    Ok(Some(alone)) => {
                        // It was never mapped here.
                        std::mem::forget(self.page);
                        let file = self.pages.filter(|_| place < Pages::COUNT);
                        let page = file.and_then(|file| Page::one_of(file.as_fd(), place).ok());
                        return (link, page, alone);
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

    /// The link of the next child, and the place of its page; `None` when the parent is done, or gone.
    fn next(&mut self) -> io::Result<Option<(OwnedFd, u8)>> {
        let (mut request, mut arrival) = (Vec::new(), None);
        let control = &mut [MaybeUninit::uninit(); words(2)];
        let socket = self.socket.as_fd();
        let flags = MsgFlags::empty();
        match recv_with(socket, &mut request, 2, &mut arrival, (control, flags)) {
            Ok(0) | Err(Errno::ECONNRESET) => return Ok(None),
            Ok(_) => {}
            Err(errno) => return Err(errno.into()),
        }
        let arrival = arrival.filter(|arrival| !arrival.is_cut);
        let mut descriptors = arrival.into_iter().flat_map(|all| all.descriptors);
        let link = descriptors.next();
        let link = link.ok_or_else(|| io::Error::other("it has too many open files"))?;
        if let Some(file) = descriptors.next() {
            Pages::check(file.as_fd())?;
            self.pages = Some(file);
        }
        Ok(Some((link, request[0])))
    }
}
