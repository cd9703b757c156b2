//! The observed state of children, and the actions that follow from it.

use std::time::{Duration, Instant};

use super::super::super::child::pool_child::Snapshot;
use super::backoff::Backoff;
use super::{Action, ChildEntry, Key, Scheduler, Stage};
use crate::error::Error;

/// Minimum time between two reads of a child's resident memory.
const WEIGH: Duration = Duration::from_millis(100);

impl<C: Clone, M: Clone> Scheduler<C, M> {
    /// Marks a child whose state may have changed.
    pub(in super::super) fn notice(&mut self, key: Key) {
        if let Some(child) = self.children.get_mut(&key) {
            child.news = true;
        }
    }

    /// Takes a snapshot of each marked child. If calls are queued, also of each child that can take a call: it may have retired
    /// or exited since the last snapshot.
    pub(in super::super) fn observe(&mut self, now: Instant, snapshot: impl Fn(&M) -> Snapshot) {
        let gives = !self.queue.calls.is_empty();
        let seen = |child: &ChildEntry<M>| child.news || gives && self.can_take(child);
        let keys = self.children.iter().filter(|(_, child)| seen(child));
        let keys: Vec<_> = keys.map(|(key, _)| *key).collect();
        for key in keys {
            let Some(child) = self.children.get_mut(&key) else {
                continue;
            };
            child.news = false;
            if let Some(seen) = child.own.as_ref().map(&snapshot) {
                self.observed(key, seen, now);
            }
        }
    }

    /// Applies a snapshot of a child.
    pub(in super::super) fn observed(&mut self, key: Key, seen: Snapshot, now: Instant) {
        let Some(child) = self.children.get_mut(&key) else {
            return;
        };
        if seen.answered > child.answered {
            self.kinds[child.kind].works();
        }
        self.counts.answered += seen.answered - child.answered;
        child.answered = seen.answered;
        if child.load > 0 && seen.load == 0 {
            child.rests = now;
        }
        child.load = seen.load;
        if seen.ready && child.readied.is_none() {
            child.readied = Some(now);
            self.is_ready(key, now);
        }
        if seen.retired {
            self.leave(key);
        }
        self.weigh(key, now);
        if seen.full {
            let calls = self
                .queue
                .calls
                .values()
                .map(|waiting| waiting.call.clone());
            self.actions.push(Action::LookAgain(calls.collect()));
        }
        let gone = seen.gone;
        self.may_have_ended(key, seen, now);
        if gone && let Some(child) = self.children.remove(&key) {
            self.actions.push(Action::Changed);
            self.actions.extend(child.own.map(Action::Forget));
        }
    }

    fn is_ready(&mut self, key: Key, now: Instant) {
        self.wanted = false;
        self.actions.extend([Action::Changed, Action::Ready(key)]);
        let Some(child) = self.children.get_mut(&key) else {
            return;
        };
        let kind = &mut self.kinds[child.kind];
        (kind.failures, kind.hopeless) = (0, false);
        if child.stage == Stage::Starting {
            child.stage = Stage::Ready;
            child.rests = now;
        }
    }

    /// Gives a child no more calls.
    fn leave(&mut self, key: Key) {
        if let Some(child) = self.children.get_mut(&key)
            && matches!(child.stage, Stage::Starting | Stage::Ready)
        {
            child.stage = Stage::Leaving;
            self.counts.retired += 1;
        }
    }

    /// Asks for the memory of a child. The child is given no call before the answer.
    fn weigh(&mut self, key: Key, now: Instant) {
        if let Some(child) = self.children.get_mut(&key)
            && self.config.memory.is_some()
            && child.works()
            && !child.weighs
            && child.weighed.is_none_or(|last| now >= last + WEIGH)
            && let Some(own) = child.own.clone()
        {
            (child.weighed, child.weighs) = (Some(now), true);
            self.actions.push(Action::Weigh(key, own));
        }
    }

    /// Records the resident memory of a child, in bytes.
    pub(in super::super) fn weighed(&mut self, key: Key, memory: Option<u64>) {
        if let Some(child) = self.children.get_mut(&key) {
            child.weighs = false;
        }
        let large = self.config.memory.zip(memory);
        if large.is_some_and(|(limit, memory)| memory > limit) {
            self.leave(key);
        }
    }

    fn may_have_ended(&mut self, key: Key, seen: Snapshot, now: Instant) {
        let Some((status, child)) = seen.ended.zip(self.children.get_mut(&key)) else {
            return;
        };
        let was = std::mem::replace(&mut child.stage, Stage::Ended);
        if was == Stage::Ended {
            return;
        }
        let died = was != Stage::Closed;
        if died {
            self.died(key, &seen, now);
        }
        self.actions.push(Action::Changed);
        self.actions.push(Action::Ended(key, status, !died));
        if seen.unfit.is_some() {
            self.failure = seen.unfit;
        } else if self.closing && !status.success() {
            self.exit = status;
        }
    }

    fn died(&mut self, key: Key, seen: &Snapshot, now: Instant) {
        let child = &self.children[&key];
        let (index, began) = (child.kind, child.began);
        let Some(readied) = child.readied else {
            let hopeless = seen.unfit.as_ref().is_some_and(Error::is_permanent);
            return self.start_failed(index, began, hopeless, now);
        };
        self.counts.died += 1;
        (self.vacant, self.vacated) = (self.vacant + 1, Some(now));
        let pause = self.config.pause;
        let kind = &mut self.kinds[index];
        if seen.killed {
            return;
        }
        if seen.worked {
            kind.works();
        } else if child.given > 0 {
            kind.starts.lengthen(began, now, pause);
        } else if now.saturating_duration_since(readied) < pause.1 {
            kind.spares.lengthen(began, now, pause);
        } else {
            kind.spares = Backoff::default();
        }
    }

    pub(super) fn start_failed(
        &mut self,
        kind: usize,
        began: Instant,
        hopeless: bool,
        now: Instant,
    ) {
        self.counts.failed += 1;
        self.verdict = true;
        let kind = &mut self.kinds[kind];
        kind.failures += 1;
        kind.hopeless = hopeless;
        kind.starts.lengthen(began, now, self.config.pause);
    }
}
