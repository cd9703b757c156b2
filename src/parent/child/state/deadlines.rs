//! Deadlines of calls, for those that have one: a call without pays nothing.
//!
//! The helper is told of the next deadline only, and only if it does not look
//! before that anyway: calls that are done in time leave no timers behind. At
//! most [`BATCH`] calls expire at a time, so that other children, and threads
//! that want the lock of this one, get their turn in between.

use std::collections::BTreeSet;
use std::time::Instant;

/// Stands for no call: then the helper looks at the child, and at the calls that are
/// condemned.
pub(super) const NO_CALL: u32 = 0;
/// How many calls expire in one go: at about 1 µs each, some hundred
/// microseconds under the lock.
const BATCH: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    calls: BTreeSet<(Instant, u32)>,
    /// When the helper will look.
    armed: Option<Instant>,
}

impl Deadlines {
    /// This call is late from then on.
    pub(super) fn insert(&mut self, at: Instant, id: u32) {
        self.calls.insert((at, id));
    }

    /// This one is not.
    pub(super) fn remove(&mut self, at: Instant, id: u32) {
        self.calls.remove(&(at, id));
    }

    /// When the helper is to look, if it does not know: at the next deadline or
    /// `alarm`.
    pub(super) fn arm(&mut self, alarm: Option<Instant>) -> Option<Instant> {
        let call = self.calls.first().map(|(at, _)| *at);
        let next = call.into_iter().chain(alarm).min()?;
        if self.armed.is_some_and(|armed| armed <= next) {
            return None;
        }
        self.armed = Some(next);
        self.armed
    }

    /// The helper is not to look, or to be told anew. Returns when it would have.
    pub(super) fn disarm(&mut self) -> Option<Instant> {
        self.armed.take()
    }

    /// Returns whether a call is late by now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.calls.first().is_some_and(|(at, _)| *at <= now)
    }

    /// Up to [`BATCH`] calls that are late by now. The next are due at once.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<u32> {
        self.armed.take_if(|armed| *armed <= now);
        let mut due = Vec::new();
        while due.len() < BATCH
            && let Some((at, id)) = self.calls.first().copied()
            && at <= now
        {
            self.calls.pop_first();
            due.push(id);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    impl Deadlines {
        pub(crate) fn is_empty(&self) -> bool {
            self.calls.is_empty()
        }
    }

    #[test]
    fn the_helper_is_told_of_the_next_one_only() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut deadlines = Deadlines::default();
        assert_eq!(deadlines.arm(None), None);
        for id in 1..=1000 {
            deadlines.insert(at(10 + u64::from(id)), id);
            assert_eq!(deadlines.arm(None), (id == 1).then_some(at(11)));
            deadlines.remove(at(10 + u64::from(id)), id);
        }
        deadlines.insert(at(5), 1);
        assert_eq!(deadlines.arm(None), Some(at(5)));
        deadlines.insert(at(2000), 2);
        assert_eq!(deadlines.take_due(at(5)), [1]);
        assert_eq!(deadlines.arm(None), Some(at(2000)));
        assert_eq!(deadlines.take_due(at(11)), [0; 0]);
        assert_eq!(deadlines.arm(None), None);
    }

    #[test]
    fn many_that_are_late_at_once_come_in_batches() {
        let now = Instant::now();
        let mut deadlines = Deadlines::default();
        for id in 1..=1000 {
            deadlines.insert(now, id);
        }
        assert_eq!(deadlines.arm(None), Some(now));
        let mut due = Vec::new();
        for count in [BATCH, BATCH, BATCH, 1000 - 3 * BATCH] {
            let batch = deadlines.take_due(now);
            assert_eq!(batch.len(), count);
            due.extend(batch);
            let more = due.len() < 1000;
            assert_eq!(deadlines.arm(None), more.then_some(now));
        }
        assert!(due.into_iter().eq(1..=1000));
    }
}
