//! Waiting for descriptors, to the nanosecond.

use super::retry;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use std::io;
use std::time::Instant;

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interest {
    /// Octets to read, or the end of input.
    pub(crate) read: bool,
    /// Room to write.
    pub(crate) write: bool,
}

impl Interest {
    /// Only octets to read.
    pub(crate) const READ: Self = Self {
        read: true,
        write: false,
    };
    /// Only room to write.
    #[cfg(test)]
    pub(crate) const WRITE: Self = Self {
        read: false,
        write: true,
    };
    /// Both.
    #[cfg(test)]
    pub(crate) const BOTH: Self = Self {
        read: true,
        write: true,
    };
    /// Nothing, not even a hang-up.
    pub(crate) const NONE: Self = Self {
        read: false,
        write: false,
    };
}

/// What is ready; nothing means that the time is up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ready {
    /// A read will not block.
    pub(crate) read: bool,
    /// A write will not block.
    pub(crate) write: bool,
}

/// Sleeps until one of the descriptors is ready or the deadline has come; tells whether one is.
pub(super) fn poll(descriptors: &mut [PollFd<'_>], deadline: Option<Instant>) -> io::Result<bool> {
    let ready = retry(|| ppoll(descriptors, deadline.map(remaining), None))?;
    Ok(ready > 0)
}

/// The time that is left; the kernel sleeps at least that long.
fn remaining(deadline: Instant) -> TimeSpec {
    deadline.saturating_duration_since(Instant::now()).into()
}

/// What a descriptor has become ready for: a hang-up or an error stops it from blocking whatever was asked.
pub(super) fn ready_for(descriptor: &PollFd<'_>, flag: PollFlags) -> bool {
    let over = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
    let asked = descriptor.events().contains(flag);
    asked
        && descriptor
            .revents()
            .is_none_or(|found| found.intersects(flag | over))
}
