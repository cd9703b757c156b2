//! The deadlines of calls. A call without a deadline costs nothing here.
//!
//! The reactor has a timer for the next deadline only, and none if it wakes up before that
//! anyway. So calls that are done in time leave no timers behind. At most [`BATCH`] calls
//! expire at a time, so that other children, and threads that wait for the lock, get their
//! turn.

use std::collections::BTreeSet;
use std::time::Instant;

/// The id of no call. At such a deadline the reactor looks at the child, and at calls for
/// which the child is to be killed.
pub(super) const NO_CALL: u32 = 0;
/// How many calls expire while the lock is held. Each takes about 1 µs.
const BATCH: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    calls: BTreeSet<(Instant, u32)>,
    /// When the reactor wakes up.
    pub(super) armed: Option<Instant>,
}

impl Deadlines {
    /// Adds a deadline.
    pub(super) fn insert(&mut self, at: Instant, id: u32) {
        self.calls.insert((at, id));
    }

    /// Removes a deadline.
    pub(super) fn remove(&mut self, at: Instant, id: u32) {
        self.calls.remove(&(at, id));
    }

    /// Returns the next deadline, or `timeout` if that is earlier. `None` if the reactor
    /// wakes up by then anyway.
    pub(super) fn arm(&mut self, timeout: Option<Instant>) -> Option<Instant> {
        let call = self.calls.first().map(|(at, _)| *at);
        let next = call.into_iter().chain(timeout).min()?;
        if self.armed.is_some_and(|armed| armed <= next) {
            return None;
        }
        self.armed = Some(next);
        self.armed
    }

    /// Returns whether a deadline is over at `now`.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.calls.first().is_some_and(|(at, _)| *at <= now)
    }

    /// Removes up to [`BATCH`] deadlines that are over at `now`, and returns their calls.
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

    impl super::super::ChildState {
        pub(crate) fn has_no_deadlines(&self) -> bool {
            self.deadlines.is_empty() && self.kill_if_started.is_empty()
        }
    }

    #[test]
    fn the_reactor_gets_a_timer_for_the_next_deadline_only() {
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
    fn many_deadlines_at_once_expire_in_batches() {
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
