//! Deadlines of calls, for those that have one: a call without pays nothing.
//!
//! The helper is told of the next one only, and only if it does not look before
//! that anyway: calls that are done in time leave no timers behind.

use std::collections::BTreeSet;
use std::time::Instant;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    calls: BTreeSet<(Instant, u32)>,
    /// Calls that take the child with them if they start: when to look, the id,
    /// and which one of those that were sent it was.
    condemned: BTreeSet<(Instant, u32, u64)>,
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

    /// Then it is to be seen whether this one has started.
    pub(super) fn condemn(&mut self, at: Instant, id: u32, ordinal: u64) {
        self.condemned.insert((at, id, ordinal));
    }

    /// When the helper is to look, if it does not know.
    pub(super) fn arm(&mut self) -> Option<Instant> {
        let call = self.calls.first().map(|(at, _)| *at);
        let condemned = self.condemned.first().map(|(at, ..)| *at);
        let next = [call, condemned].into_iter().flatten().min()?;
        if self.armed.is_some_and(|armed| armed <= next) {
            return None;
        }
        self.armed = Some(next);
        self.armed
    }

    /// The calls that are late by now.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<u32> {
        self.armed.take_if(|armed| *armed <= now);
        let mut due = Vec::new();
        while let Some((at, id)) = self.calls.pop_first() {
            if at > now {
                self.calls.insert((at, id));
                break;
            }
            due.push(id);
        }
        due
    }

    /// The calls that are to be looked at now.
    pub(super) fn take_condemned(&mut self, now: Instant) -> Vec<(u32, u64)> {
        let mut due = Vec::new();
        while let Some((at, id, ordinal)) = self.condemned.pop_first() {
            if at > now {
                self.condemned.insert((at, id, ordinal));
                break;
            }
            due.push((id, ordinal));
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
            self.calls.is_empty() && self.condemned.is_empty()
        }
    }

    #[test]
    fn the_helper_is_told_of_the_next_one_only() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut deadlines = Deadlines::default();
        assert_eq!(deadlines.arm(), None);
        for id in 1..=1000 {
            deadlines.insert(at(10 + u64::from(id)), id);
            assert_eq!(deadlines.arm(), (id == 1).then_some(at(11)));
            deadlines.remove(at(10 + u64::from(id)), id);
        }
        deadlines.insert(at(5), 1);
        assert_eq!(deadlines.arm(), Some(at(5)));
        deadlines.insert(at(2000), 2);
        assert_eq!(deadlines.take_due(at(5)), [1]);
        assert_eq!(deadlines.arm(), Some(at(2000)));
        assert_eq!(deadlines.take_due(at(11)), [0; 0]);
        assert_eq!(deadlines.arm(), None);
    }
}
