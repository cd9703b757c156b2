//! What is known of the ways of starting children: how often one has failed, and
//! how long it waits before it is tried again.
//!
//! What follows if a child ends without being told depends on how far it was:
//!
//! | it was | its launcher |
//! |---|---|
//! | not ready: a failed start | backs off |
//! | ready, and had started a call, which may be the cause | goes on: as many starts as calls |
//! | ready, and had started none of the calls that it was given | backs off: the calls come back |
//! | ready, and was given nothing | backs off where no call waits: starts for `idle` alone |
//!
//! A launcher that backs off waits twice as long as the last time, from `pause.0`
//! to `pause.1`; several children that were started before it began to wait count
//! once. It ends when a child has started a call, and for `idle` when a child
//! lives longer than `pause.1`.

use std::time::{Duration, Instant};

/// How many starts may fail in a row before callers are told.
pub(super) const PATIENCE: u32 = 5;
/// Waits longer after each failure.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    pub(super) pause: Duration,
    pub(super) until: Option<Instant>,
}

impl Backoff {
    /// A child that began then has failed. Those that had been started before
    /// the last wait began say nothing new.
    pub(super) fn lengthen(
        &mut self,
        began: Instant,
        now: Instant,
        (first, longest): (Duration, Duration),
    ) {
        if self.until.is_some_and(|until| began < until) {
            return;
        }
        self.pause = (self.pause * 2).clamp(first, longest.max(first));
        self.until = now.checked_add(self.pause);
    }
}

#[derive(Debug, Default)]
pub(super) struct Launcher {
    /// Starts that failed in a row.
    pub(super) failures: u32,
    /// The last of them so that another attempt cannot help.
    pub(super) hopeless: bool,
    /// Of all its starts.
    pub(super) starts: Backoff,
    /// Of those that no call needs.
    pub(super) spares: Backoff,
}

impl Launcher {
    /// Callers are to be told of its failures.
    pub(super) fn fails(&self) -> bool {
        self.failures >= PATIENCE || self.hopeless
    }

    /// A child of it has started a call: what failed before is not held against
    /// the next.
    pub(super) fn works(&mut self) {
        self.starts.pause = Duration::ZERO;
        self.spares = Backoff::default();
    }
}
