//! Waiting for file descriptors with the resolution of a nanosecond: `poll` for one or two, [`Poller`] for many.

mod epoll;

pub(crate) use self::epoll::{PollEvent, Poller, check_async_io, has_epoll};
use crate::sys::retry;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Instant;

/// Events to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interest {
    /// Bytes to read, or the end of input.
    pub(crate) read: bool,
    /// Room to write.
    pub(crate) write: bool,
}

impl Interest {
    pub(crate) const fn new(read: bool, write: bool) -> Self {
        Self { read, write }
    }

    /// Readable only.
    pub(crate) const READ: Self = Self::new(true, false);
    /// Writable only.
    #[cfg(test)]
    pub(crate) const WRITE: Self = Self::new(false, true);
    /// Both.
    #[cfg(test)]
    pub(crate) const BOTH: Self = Self::new(true, true);
    /// Nothing, not even a hang-up.
    pub(crate) const NONE: Self = Self::new(false, false);
}

/// Events that are ready. If neither is, the deadline has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Readiness {
    /// A read will not block.
    pub(crate) read: bool,
    /// A write will not block.
    pub(crate) write: bool,
}

/// Sleeps until a descriptor is ready or the deadline comes, and returns whether one is ready.
pub(in crate::sys) fn poll(
    descriptors: &mut [PollFd<'_>],
    deadline: Option<Instant>,
) -> io::Result<bool> {
    let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
    // The kernel never sleeps for less.
    let time = || deadline.map(|deadline| TimeSpec::from(left(deadline)));
    Ok(retry(|| ppoll(descriptors, time(), None))? > 0)
}

/// Like [`poll`], for one descriptor.
pub(in crate::sys) fn poll_fd(
    fd: BorrowedFd<'_>,
    flags: PollFlags,
    deadline: Option<Instant>,
) -> io::Result<bool> {
    poll(&mut [PollFd::new(fd, flags)], deadline)
}

/// Returns whether a descriptor is ready now.
pub(in crate::sys) fn is_ready(fd: BorrowedFd<'_>, flags: PollFlags) -> io::Result<bool> {
    poll_fd(fd, flags, Some(Instant::now()))
}

/// Returns whether a descriptor was polled for `flag` and is ready. After a hang-up or an error no call blocks.
pub(in crate::sys) fn ready_for(descriptor: &PollFd<'_>, flag: PollFlags) -> bool {
    let over = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
    let asked = descriptor.events().contains(flag);
    asked
        && descriptor
            .revents()
            .is_none_or(|found| found.intersects(flag | over))
}
