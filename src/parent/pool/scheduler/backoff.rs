//! The failures of each kind of children, and how long it backs off.
//!
//! After an unexpected exit, the effect depends on the state of the child:
//!
//! | state of the child | effect on its kind |
//! |---|---|
//! | not ready: a failed start | backs off |
//! | ready, and had started a call, which may be the cause | none: a start for each such call |
//! | ready, and had started none of the calls that it was given | backs off: the calls are queued again |
//! | ready, and was given no call | backs off for starts that no call needs (for `idle`) |
//!
//! Each pause is twice as long as the last, from `pause.0` to `pause.1`. Several children that were started before the
//! pause began count once. Backing off ends when a child has started a call. For `idle` it also ends when a child lives
//! longer than `pause.1`.

use std::time::{Duration, Instant};

/// Number of starts that fail in a row before queued calls fail, and of children that end when they receive a call before the
/// call fails.
pub(in super::super) const PATIENCE: u32 = 5;

/// A pause that doubles after each failure.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    pub(super) pause: Duration,
    pub(super) until: Option<Instant>,
}

impl Backoff {
    /// Backs off after the failure of a child that was started at `began`. Children that were started before the current
    /// pause ends do not lengthen it.
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
pub(super) struct KindState {
    /// Number of starts that failed in a row.
    pub(super) failures: u32,
    /// Whether the last of them failed permanently: another attempt cannot help.
    pub(super) hopeless: bool,
    /// Delays all starts.
    pub(super) starts: Backoff,
    /// Delays starts that no call needs.
    pub(super) spares: Backoff,
}

impl KindState {
    /// Returns whether its failures are enough to fail calls.
    pub(super) fn fails(&self) -> bool {
        self.failures >= PATIENCE || self.hopeless
    }

    /// Ends backing off, because a child of this kind has started a call.
    pub(super) fn works(&mut self) {
        self.starts.pause = Duration::ZERO;
        self.spares = Backoff::default();
    }
}
