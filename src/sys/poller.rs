//! Waiting for many descriptors and for a word from another thread.

use super::high::{create, eventfd};
use super::poll::{Interest, poll};
use super::retry;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::EventFd;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// The token of the poller's own eventfd.
const WAKE: u64 = u64::MAX;
/// How many events one look may bring; the others come with the next.
const BATCH: usize = 64;

/// A set of descriptors with what to wait for, level-triggered.
///
/// A descriptor with no interest is taken out of the set, so that its hang-up, which epoll reports unasked, is silent.
/// One thread waits; the other methods are for any thread at any time.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: Epoll,
    wake: EventFd,
}

/// A descriptor that is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PollEvent {
    /// What the descriptor was added with.
    pub(crate) token: u64,
    /// A read will not block.
    pub(crate) readable: bool,
    /// A write will not block.
    pub(crate) writable: bool,
}

impl Poller {
    /// An empty set.
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = create(|| Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map(|epoll| epoll.0))?;
        let epoll = Epoll(epoll);
        let wake = eventfd(0)?;
        epoll.add(&wake, EpollEvent::new(EpollFlags::EPOLLIN, WAKE))?;
        Ok(Self { epoll, wake })
    }

    /// Puts a descriptor into the set that is not in it. The token [`u64::MAX`] is taken.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, token: u64, interest: Interest) -> io::Result<()> {
        debug_assert_ne!(token, WAKE);
        if interest == Interest::NONE {
            return Ok(());
        }
        Ok(self
            .epoll
            .add(fd, EpollEvent::new(flags(interest), token))?)
    }

    /// Changes what to wait for; with no interest the descriptor is silent until the next change.
    pub(crate) fn modify(
        &self,
        fd: BorrowedFd<'_>,
        token: u64,
        interest: Interest,
    ) -> io::Result<()> {
        if interest == Interest::NONE {
            return self.delete(fd);
        }
        // Most often it is put back in.
        let mut event = EpollEvent::new(flags(interest), token);
        match self.epoll.add(fd, event) {
            Err(Errno::EEXIST) => Ok(self.epoll.modify(fd, &mut event)?),
            result => Ok(result?),
        }
    }

    /// Takes a descriptor out of the set; it need not be in it.
    pub(crate) fn delete(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        match self.epoll.delete(fd) {
            Err(Errno::ENOENT) => Ok(()),
            result => Ok(result?),
        }
    }

    /// Wakes the thread that waits, or the next that will; many words before it wakes are one.
    pub(crate) fn notify(&self) -> io::Result<()> {
        match retry(|| self.wake.write(1)) {
            Ok(_) | Err(Errno::EAGAIN) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Sleeps until a descriptor is ready, the poller is notified, or the deadline has come; replaces `events`.
    ///
    /// # Blocking
    /// Until then. A deadline is kept to the nanosecond and never early: of a long time `epoll_wait`, which counts
    /// milliseconds, sleeps all but the last; for that, the epoll is itself a descriptor that `ppoll` can sleep on, which
    /// no kernel lacks. So where something comes before a distant deadline, or there is none, there is a single system
    /// call.
    pub(crate) fn wait(
        &self,
        events: &mut Vec<PollEvent>,
        deadline: Option<Instant>,
    ) -> io::Result<()> {
        events.clear();
        let Some(until) = deadline else {
            while !self.collect(events, EpollTimeout::NONE)? {}
            return Ok(());
        };
        while let Some(most) = most_of(until.saturating_duration_since(Instant::now())) {
            if self.collect(events, most)? {
                return Ok(());
            }
        }
        poll(
            &mut [PollFd::new(self.epoll.0.as_fd(), PollFlags::POLLIN)],
            deadline,
        )?;
        self.collect(events, EpollTimeout::ZERO)?;
        Ok(())
    }

    /// Like [`wait`](Self::wait), without sleeping; whether there was anything.
    pub(crate) fn look(&self, events: &mut Vec<PollEvent>) -> io::Result<bool> {
        events.clear();
        self.collect(events, EpollTimeout::ZERO)
    }

    /// One look at the set: whether there was anything, be it only a word. A signal may end it early.
    fn collect(&self, events: &mut Vec<PollEvent>, timeout: EpollTimeout) -> io::Result<bool> {
        let mut found = [EpollEvent::empty(); BATCH];
        let count = match self.epoll.wait(&mut found, timeout) {
            Err(Errno::EINTR) => 0,
            count => count?,
        };
        for event in &found[..count] {
            match event.data() {
                WAKE => drop(self.wake.read()),
                _ => events.push(PollEvent::from(event)),
            }
        }
        Ok(count > 0)
    }
}

impl From<&EpollEvent> for PollEvent {
    /// A hang-up or an error stops both directions from blocking.
    fn from(event: &EpollEvent) -> Self {
        let flags = event.events();
        let over = EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
        Self {
            token: event.data(),
            readable: flags.intersects(EpollFlags::EPOLLIN | over),
            writable: flags.intersects(EpollFlags::EPOLLOUT | over),
        }
    }
}

/// As much of this time as whole milliseconds are sure not to exceed, if it is more than a few.
fn most_of(time: Duration) -> Option<EpollTimeout> {
    let whole = time.as_millis().saturating_sub(2);
    (whole > 0).then(|| u16::try_from(whole).unwrap_or(u16::MAX).into())
}

/// The same for epoll.
fn flags(interest: Interest) -> EpollFlags {
    let mut flags = EpollFlags::empty();
    flags.set(EpollFlags::EPOLLIN, interest.read);
    flags.set(EpollFlags::EPOLLOUT, interest.write);
    flags
}
