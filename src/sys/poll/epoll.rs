//! Waiting for many file descriptors, or for a notification by another thread.

use super::{Interest, poll_fd};
use crate::sys::fd::{create, eventfd};
use crate::sys::retry;
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::EventFd;
use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr;
use std::time::{Duration, Instant};

/// The token of the poller's own eventfd.
const WAKE: u64 = u64::MAX;
/// The most events that one call returns. The others come with the next.
const BATCH: usize = 64;
/// The number of descriptors that [`has_epoll`] tests.
const FIRST: RawFd = 64;

/// A level-triggered set of file descriptors, each with its interest.
///
/// A descriptor without interest is removed from the epoll set, because epoll always reports a hang-up. One thread waits;
/// the other methods are for any thread at any time.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: Epoll,
    wake: EventFd,
}

/// A descriptor that is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PollEvent {
    /// The token that the descriptor was added with.
    pub(crate) token: u64,
    /// A read will not block.
    pub(crate) readable: bool,
    /// A write will not block.
    pub(crate) writable: bool,
}

/// Waits for nothing as `async-io` does, which goes on at once if the system refuses it: a child would never see a byte, and
/// use a CPU.
///
/// # Errors
/// The system refuses `epoll_pwait`, or to set a timer that it has created.
pub(crate) fn check_async_io() -> io::Result<()> {
    let refused = |call, errno: Errno| {
        let text = format!("the system refuses `{call}`: {}", io::Error::from(errno));
        io::Error::new(io::Error::from(errno).kind(), text)
    };
    let epoll = create(|| Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map(|epoll| epoll.0))?;
    let mut event = libc::epoll_event { events: 0, u64: 0 };
    // SAFETY: there is room for one event, and a null pointer is no signal mask.
    let mut wait =
        || unsafe { libc::epoll_pwait(epoll.as_raw_fd(), &raw mut event, 1, 0, ptr::null()) };
    retry(|| Errno::result(wait())).map_err(|errno| refused("epoll_pwait", errno))?;
    // Without such timers it has another way.
    let flags = TimerFlags::TFD_CLOEXEC;
    if let Ok(timer) = create(|| TimerFd::new(ClockId::CLOCK_MONOTONIC, flags).map(OwnedFd::from)) {
        // SAFETY: it was created as one.
        let timer = unsafe { TimerFd::from_owned_fd(timer) };
        timer
            .unset()
            .map_err(|errno| refused("timerfd_settime", errno))?;
    }
    Ok(())
}

/// Returns whether this process has an epoll set, among its first descriptors.
pub(crate) fn has_epoll() -> io::Result<bool> {
    let own = create(|| Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map(|epoll| epoll.0))?;
    Ok((0..FIRST).any(|number| {
        // SAFETY: a deletion reads no event.
        let deleted = unsafe {
            libc::epoll_ctl(
                number,
                libc::EPOLL_CTL_DEL,
                own.as_raw_fd(),
                ptr::null_mut(),
            )
        };
        // Another epoll set does not contain the new one. Any other descriptor is `EINVAL` or `EBADF`.
        Errno::result(deleted) == Err(Errno::ENOENT)
    }))
}

impl Poller {
    /// Returns an empty set.
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = create(|| Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map(|epoll| epoll.0))?;
        let epoll = Epoll(epoll);
        let wake = eventfd(0)?;
        epoll.add(&wake, EpollEvent::new(EpollFlags::EPOLLIN, WAKE))?;
        // A system that refuses to wait is found out here, where an error is told.
        retry(|| epoll.wait(&mut [EpollEvent::empty()], EpollTimeout::ZERO))?;
        Ok(Self { epoll, wake })
    }

    /// Adds a descriptor that is not in the set. The token [`u64::MAX`] is reserved.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, token: u64, interest: Interest) -> io::Result<()> {
        debug_assert_ne!(token, WAKE);
        if interest == Interest::NONE {
            return Ok(());
        }
        Ok(self
            .epoll
            .add(fd, EpollEvent::new(flags(interest), token))?)
    }

    /// Changes the interest of a descriptor. Without interest it causes no events until the next change.
    pub(crate) fn modify(
        &self,
        fd: BorrowedFd<'_>,
        token: u64,
        interest: Interest,
    ) -> io::Result<()> {
        if interest == Interest::NONE {
            return self.delete(fd);
        }
        // In most cases it had no interest before.
        let mut event = EpollEvent::new(flags(interest), token);
        match self.epoll.add(fd, event) {
            Err(Errno::EEXIST) => Ok(self.epoll.modify(fd, &mut event)?),
            result => Ok(result?),
        }
    }

    /// Removes a descriptor, if it is in the set.
    pub(crate) fn delete(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        match self.epoll.delete(fd) {
            Err(Errno::ENOENT) => Ok(()),
            result => Ok(result?),
        }
    }

    /// Wakes the thread that waits, or the next that will. Notifications before it wakes count as one.
    pub(crate) fn notify(&self) -> io::Result<()> {
        match retry(|| self.wake.write(1)) {
            Ok(_) | Err(Errno::EAGAIN) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Sleeps until a descriptor is ready, the poller is notified, or the deadline comes. Replaces the content of `events`.
    ///
    /// # Blocking
    /// Until then. It never returns before the deadline, which has a resolution of a nanosecond. `epoll_wait` counts
    /// milliseconds, so it sleeps until the last two; for these, `ppoll` sleeps on the epoll descriptor. Without a deadline,
    /// or if an event comes long before it, that is one system call.
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
        while let Some(most) = whole_milliseconds(until.saturating_duration_since(Instant::now())) {
            if self.collect(events, most)? {
                return Ok(());
            }
        }
        poll_fd(self.epoll.0.as_fd(), PollFlags::POLLIN, deadline)?;
        self.collect(events, EpollTimeout::ZERO)?;
        Ok(())
    }

    /// Like [`wait`](Self::wait) without sleeping. Returns whether there was an event or a notification.
    pub(crate) fn look(&self, events: &mut Vec<PollEvent>) -> io::Result<bool> {
        events.clear();
        self.collect(events, EpollTimeout::ZERO)
    }

    /// Calls `epoll_wait` once. Returns whether there was an event or a notification. A signal may end it early.
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
    /// After a hang-up or an error neither direction blocks.
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

/// Returns whole milliseconds that surely end before `time` does. `None` if less than a millisecond would be left.
fn whole_milliseconds(time: Duration) -> Option<EpollTimeout> {
    let whole = time.as_millis().saturating_sub(2);
    (whole > 0).then(|| u16::try_from(whole).unwrap_or(u16::MAX).into())
}

/// Returns the flags of epoll for this interest.
fn flags(interest: Interest) -> EpollFlags {
    let mut flags = EpollFlags::empty();
    flags.set(EpollFlags::EPOLLIN, interest.read);
    flags.set(EpollFlags::EPOLLOUT, interest.write);
    flags
}
