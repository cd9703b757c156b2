//! The socket by which a parent has its template fork: a message with the link of the child to be, and a message back.
//!
//! ```text
//! parent ── "f", the link ─────────────────────────▶ template   a child without a page
//!        ── "p" and a place, the link ─────────────▶            its page is there in the file that came last
//!        ── "n" and a place, the link and a file ──▶            or in this one
//!        ◀── "+"; or "-" and why ───────────────────
//! ```
//!
//! One request is under way at a time. The end of input tells either side that the other is gone.

use super::descriptors::{recv_with, words};
use super::fork::{Alone, Forker};
use super::high::create;
use super::octets::{self, send};
use super::poll::poll;
use super::{Page, Pages};
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
use std::time::Instant;

/// How often a parent that waits looks at the clock.
const TICK: TimeVal = TimeVal::new(0, 100_000);
/// Which signal tells of a socket (`fcntl`, Linux); libc lacks it.
const F_SETSIG: libc::c_int = 10;
/// The longest answer.
const LONGEST: usize = 1024;

/// The parent's end.
#[derive(Debug)]
pub(crate) struct Control(OwnedFd);

/// What the template says.
#[derive(Debug)]
pub(crate) enum Answer {
    /// There is a child.
    Forked,
    /// There is none, and why.
    Failed(String),
    /// The template is gone.
    Gone,
    /// Nothing, until the deadline.
    Late,
}

impl Control {
    /// A new socket, and the end for the template.
    pub(crate) fn pair() -> io::Result<(Self, OwnedFd)> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let pair = || socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags);
        let (ours, theirs) = create(pair)?;
        setsockopt(&ours, sockopt::ReceiveTimeout, &TICK)?;
        Ok((Self(ours), theirs))
    }

    /// Has the template fork a child with this link, and a page if there is a place for it: in this file, or in the one
    /// that came last. If it is gone, the answer will say so.
    ///
    /// # Errors
    /// This process cannot pass a descriptor: too many are under way, say.
    pub(crate) fn request(
        &self,
        link: BorrowedFd<'_>,
        place: Option<u8>,
        file: Option<BorrowedFd<'_>>,
    ) -> io::Result<()> {
        let request = match (place, file) {
            (None, _) => &[b'f'][..],
            (Some(place), None) => &[b'p', place],
            (Some(place), Some(_)) => &[b'n', place],
        };
        let descriptors: Vec<_> = [Some(link), file].into_iter().flatten().collect();
        let numbers: Vec<_> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let part = IoSlice::new(request);
        let sent = send(self.0.as_fd(), &[part], &numbers, MsgFlags::empty());
        match sent {
            Ok(_) | Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Waits for the answer.
    ///
    /// # Blocking
    /// Until the deadline, and a tenth of a second longer.
    pub(crate) fn answer(&self, deadline: Option<Instant>) -> io::Result<Answer> {
        let mut answer = Vec::new();
        loop {
            match octets::recv(self.0.as_fd(), &mut answer, LONGEST, MsgFlags::empty()) {
                Ok(0) | Err(Errno::ECONNRESET) => return Ok(Answer::Gone),
                Ok(_) => return Ok(understand(&answer)),
                Err(Errno::EAGAIN) if deadline.is_none_or(|at| Instant::now() < at) => {}
                Err(Errno::EAGAIN) => return Ok(Answer::Late),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

fn understand(answer: &[u8]) -> Answer {
    match answer {
        [b'+', ..] => Answer::Forked,
        [_, why @ ..] => Answer::Failed(String::from_utf8_lossy(why).into_owned()),
        [] => Answer::Gone,
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

/// What a child has from its template.
#[derive(Debug)]
pub(crate) struct Birth {
    pub(crate) link: OwnedFd,
    pub(crate) page: Option<Page>,
    pub(crate) alone: Alone,
}

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

    /// From now on this process is killed when the parent goes, or stops that. There must be no request meanwhile.
    ///
    /// There is nobody to look: other threads are not wanted here. So the kernel sends a signal that cannot be caught
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
        let mut octets = Vec::new();
        loop {
            octets.clear();
            let answer = match self.next(&mut octets) {
                Ok(None) => super::exit_now(0),
                Ok(Some((link, place))) => match self.forker.fork(self.page.forked()) {
                    Ok(Some(alone)) => {
                        // It was never mapped here.
                        std::mem::forget(self.page);
                        let file = self.pages.as_ref().map(AsFd::as_fd);
                        let own = file.zip(place);
                        let page = own.and_then(|(file, place)| Page::one_of(file, place).ok());
                        return Birth { link, page, alone };
                    }
                    Ok(None) => Ok(()),
                    Err(error) => Err(format!("it cannot fork: {error}")),
                },
                Err(error) => Err(format!("a descriptor has not arrived: {error}")),
            };
            let sent = match answer {
                Ok(()) => self.answer(&[IoSlice::new(b"+")]),
                Err(why) => self.answer(&[IoSlice::new(b"-"), IoSlice::new(why.as_bytes())]),
            };
            if sent.is_err() {
                super::exit_now(0);
            }
        }
    }

    fn answer(&self, parts: &[IoSlice<'_>]) -> nix::Result<usize> {
        send(self.socket.as_fd(), parts, &[], MsgFlags::empty())
    }

    /// The link of the next child, and the place of its page; `None` when the parent is done, or gone.
    fn next(&mut self, octets: &mut Vec<u8>) -> io::Result<Option<(OwnedFd, Option<u8>)>> {
        let mut arrival = None;
        let control = &mut [MaybeUninit::uninit(); words(2)];
        let flags = MsgFlags::empty();
        let socket = self.socket.as_fd();
        match recv_with(socket, octets, 2, &mut arrival, (control, flags)) {
            Ok(0) | Err(Errno::ECONNRESET) => return Ok(None),
            Ok(_) => {}
            Err(errno) => return Err(errno.into()),
        }
        let lost = || io::Error::other("it has too many open files");
        let mut descriptors = arrival.into_iter().flat_map(|all| all.descriptors);
        let link = descriptors.next().ok_or_else(lost)?;
        let file = descriptors.next();
        let place = match octets[..] {
            [b'n', place] => {
                let file = file.ok_or_else(lost)?;
                Pages::check(file.as_fd())?;
                self.pages = Some(file);
                Some(place)
            }
            [b'p', place] => Some(place),
            _ => None,
        };
        Ok(Some((link, place.filter(|place| *place < Pages::COUNT))))
    }
}
