//! What follows from what is seen of a child.

use std::time::{Duration, Instant};

use super::super::super::child::member::Snapshot;
use super::launchers::Backoff;
use super::{Action, Child, Key, Scheduler, Stage};
use crate::error::Error;

/// The least time between two looks at how much memory a child has.
const WEIGH: Duration = Duration::from_millis(100);

impl<C: Clone, M: Clone> Scheduler<C, M> {
    /// There may be something to see of this child.
    pub(in super::super) fn notice(&mut self, key: Key) {
        if let Some(child) = self.children.get_mut(&key) {
            child.news = true;
        }
    }

    /// Looks at each child of which there may be something to see, and at those
    /// that may be given something: they may have retired, or ended, and news of
    /// it be on its way.
    pub(in super::super) fn look(&mut self, now: Instant, snapshot: impl Fn(&M) -> Snapshot) {
        let gives = !self.queue.is_empty();
        let seen = |child: &Child<M>| child.news || gives && self.can_take(child);
        let keys = self.children.iter().filter(|(_, child)| seen(child));
        let keys: Vec<_> = keys.map(|(key, _)| *key).collect();
        for key in keys {
            let Some(child) = self.children.get_mut(&key) else {
                continue;
            };
            child.news = false;
            if let Some(seen) = child.own.as_ref().map(&snapshot) {
                self.saw(key, seen, now);
            }
        }
    }

    /// A child was looked at.
    pub(in super::super) fn saw(&mut self, key: Key, seen: Snapshot, now: Instant) {
        let Some(child) = self.children.get_mut(&key) else {
            return;
        };
        if seen.answered > child.answered {
            self.launchers[child.launcher].works();
        }
        self.counts.answered += seen.answered - child.answered;
        child.answered = seen.answered;
        if child.load > 0 && seen.load == 0 {
            child.rests = now;
        }
        child.load = seen.load;
        if seen.ready && !child.was_ready {
            child.was_ready = true;
            self.is_ready(key, now);
        }
        if seen.retired {
            self.leave(key);
        }
        self.weigh(key, now);
        if seen.full {
            let calls = self.queue.calls().cloned();
            self.actions.push(Action::LookAgain(calls.collect()));
        }
        let gone = seen.gone;
        self.may_have_ended(key, seen, now);
        if gone && let Some(child) = self.children.remove(&key) {
            self.changed = true;
            self.actions.extend(child.own.map(Action::Forget));
        }
    }

    fn is_ready(&mut self, key: Key, now: Instant) {
        (self.wanted, self.changed) = (false, true);
        self.actions.push(Action::Ready(key));
        let Some(child) = self.children.get_mut(&key) else {
            return;
        };
        let launcher = &mut self.launchers[child.launcher];
        (launcher.failures, launcher.hopeless) = (0, false);
        if child.stage == Stage::Starting {
            child.stage = Stage::Ready;
            (child.rests, child.readied) = (now, now);
        }
    }

    /// This child gets no more calls.
    fn leave(&mut self, key: Key) {
        if let Some(child) = self.children.get_mut(&key)
            && matches!(child.stage, Stage::Starting | Stage::Ready)
        {
            child.stage = Stage::Leaving;
            self.counts.retired += 1;
        }
    }

    /// Asks how much memory a child has, which is given nothing before that is
    /// known.
    fn weigh(&mut self, key: Key, now: Instant) {
        if let Some(child) = self.children.get_mut(&key)
            && self.rules.memory.is_some()
            && child.works()
            && !child.weighs
            && child.weighed.is_none_or(|last| now >= last + WEIGH)
            && let Some(own) = child.own.clone()
        {
            (child.weighed, child.weighs) = (Some(now), true);
            self.actions.push(Action::Weigh(key, own));
        }
    }

    /// It was read how many bytes of memory this child has.
    pub(in super::super) fn weighed(&mut self, key: Key, memory: Option<u64>) {
        if let Some(child) = self.children.get_mut(&key) {
            child.weighs = false;
        }
        let large = self.rules.memory.zip(memory);
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
        self.changed = true;
        self.actions.push(Action::Ended(key, status, !died));
        if seen.unfit.is_some() {
            self.failure = seen.unfit;
        } else if self.closing && !status.success() {
            self.exit = status;
        }
    }

    fn died(&mut self, key: Key, seen: &Snapshot, now: Instant) {
        let child = &self.children[&key];
        let (index, began) = (child.launcher, child.began);
        if !child.was_ready {
            let hopeless = seen.unfit.as_ref().is_some_and(Error::is_lasting);
            return self.start_failed(index, began, hopeless, now);
        }
        self.counts.died += 1;
        (self.vacant, self.vacated) = (self.vacant + 1, Some(now));
        let pause = self.rules.pause;
        let launcher = &mut self.launchers[index];
        if seen.killed {
            return;
        }
        if seen.worked {
            launcher.works();
        } else if child.given > 0 {
            launcher.starts.lengthen(began, now, pause);
        } else if now.saturating_duration_since(child.readied) < pause.1 {
            launcher.spares.lengthen(began, now, pause);
        } else {
            launcher.spares = Backoff::default();
        }
    }

    pub(super) fn start_failed(
        &mut self,
        launcher: usize,
        began: Instant,
        hopeless: bool,
        now: Instant,
    ) {
        self.counts.failed += 1;
        self.verdict = true;
        let launcher = &mut self.launchers[launcher];
        launcher.failures += 1;
        launcher.hopeless = hopeless;
        launcher.starts.lengthen(began, now, self.rules.pause);
    }
}
