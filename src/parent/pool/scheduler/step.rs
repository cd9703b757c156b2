//! The rules, which one step applies in this order.
//!
//! 1. A queued call fails at its deadline.
//! 2. A child that has reached `max_age` leaves.
//! 3. All queued calls fail if a start fails, no child is ready, and every kind has failed
//!    [`PATIENCE`](super::backoff::PATIENCE) times in a row or permanently. If every kind has failed permanently, new calls
//!    also fail while the kinds back off.
//! 4. The first call of the queue is given to the child with the fewest calls. Among equals, to the kind that was added
//!    first, and then to the child that was given a call last, so that the others become idle and can be closed.
//! 5. Another child is started if more calls are queued than the starting children will take, or if fewer than `idle`
//!    children are idle. It is started at once if there is no child, or if a child that died less than `stop` ago was not
//!    replaced. Otherwise it is started when the need has lasted for `start`, with one child in that time. It is of the first
//!    kind that has room and does not back off. A child that has been starting for [`SLOW`] is not counted among those that
//!    will take calls.
//! 6. If the queue is empty and more than `idle` children are idle, the child that has been idle longest is closed after
//!    `stop`, with one child in that time.
//! 7. A child that leaves is closed when it has answered all its calls. When the pool is closing and the queue is empty, the
//!    others are, too.
//! 8. Once calls are queued, the answers of children are read at once until the children are idle. The thread that reads an
//!    answer then sends the next call.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use super::{Action, ChildEntry, Key, KindState, Scheduler, Stage};
use crate::error::Error;
use crate::protocol::Started;

/// How long a starting child is expected to take calls: a child that needs longer does not delay the start of another.
const SLOW: Duration = Duration::from_secs(1);

impl<C: Clone, M: Clone> Scheduler<C, M> {
    /// Applies the rules.
    pub(in super::super) fn step(&mut self, now: Instant) -> Vec<Action<C, M>> {
        self.alarm = None;
        self.expire(now);
        self.let_old_ones_go(now);
        self.judge(now);
        self.give(now);
        self.close_those_that_leave();
        self.grow(now);
        self.shrink(now);
        self.attend();
        self.finish();
        std::mem::take(&mut self.actions)
    }

    fn wake_at(&mut self, at: Option<Instant>) {
        self.alarm = self.alarm.into_iter().chain(at).min();
    }

    fn expire(&mut self, now: Instant) {
        while let Some((at, ticket)) = self.queue.deadlines.first().copied() {
            if at > now {
                self.wake_at(Some(at));
                break;
            }
            let call = self.withdraw(ticket);
            let late = call.map(|call| Action::Fail(call, Error::expired(Started::No)));
            self.actions.extend(late);
        }
        match self.limit {
            Some(at) if at <= now => self.give_up("its pool did not end in time"),
            at => self.wake_at(at),
        }
    }

    fn let_old_ones_go(&mut self, now: Instant) {
        let Some(age) = self.config.age else { return };
        let mut next = None;
        for child in self.children.values_mut() {
            if child.stage != Stage::Ready {
                continue;
            }
            match child.readied.and_then(|at| at.checked_add(age)) {
                Some(at) if at <= now => {
                    child.stage = Stage::Leaving;
                    self.counts.retired += 1;
                }
                at => next = next.into_iter().chain(at).min(),
            }
        }
        self.wake_at(next);
    }

    /// Fails all queued calls if no child can be started: rule 3.
    fn judge(&mut self, now: Instant) {
        let verdict = std::mem::take(&mut self.verdict);
        let waits = |kind: &KindState| kind.starts.until.is_some_and(|at| at > now);
        let known = |kind: &KindState| kind.hopeless && waits(kind);
        let nothing =
            self.kinds.iter().all(known) && !self.children.values().any(ChildEntry::works);
        if verdict && self.fails() && !self.has_ready() || nothing {
            self.wanted = false;
            let error = self.failure.clone().unwrap_or_else(Error::closed);
            self.fail_all(&error);
        }
    }

    fn give(&mut self, now: Instant) {
        while let Some(ticket) = self.queue.first()
            && let Some((key, own)) = self.taker()
            && let Some(call) = self.withdraw(ticket)
        {
            self.turns += 1;
            let child = self.children.get_mut(&key).expect("it was just found");
            child.load += 1;
            child.given += 1;
            child.turn = self.turns;
            child.rests = now;
            if self.config.calls == Some(child.given) {
                child.stage = Stage::Leaving;
                self.counts.retired += 1;
            }
            self.actions.push(Action::Give(call, key, own));
        }
    }

    /// Returns whether a child can be given a call now.
    pub(super) fn can_take(&self, child: &ChildEntry<M>) -> bool {
        child.stage == Stage::Ready && !child.weighs && child.load < self.config.load
    }

    fn taker(&self) -> Option<(Key, M)> {
        let all = self.children.iter();
        let all = all.filter(|(_, child)| self.can_take(child));
        let best = all.min_by_key(|(_, child)| (child.load, child.kind, Reverse(child.turn)));
        best.and_then(|(key, child)| Some((*key, child.own.clone()?)))
    }

    fn grow(&mut self, now: Instant) {
        let vacant_until = self.vacated.and_then(|at| at.checked_add(self.config.stop));
        if vacant_until.is_some_and(|until| until <= now) {
            (self.vacant, self.vacated) = (0, None);
        }
        loop {
            let children = self.children.values();
            let works = children.clone().any(ChildEntry::works);
            let idle = children.filter(|child| child.is_idle()).count();
            let hopes = self.hopes(now);
            let calls = self.queue.calls.len() > hopes.len().saturating_mul(self.config.load);
            let rests = !self.closing && idle + hopes.len() < self.config.idle;
            let wanted = self.wanted && !works;
            if !calls && !rests && !wanted {
                self.short = None;
                self.begun = true;
                if !self.queue.calls.is_empty() {
                    self.wake_at(hopes.into_iter().min());
                }
                return;
            }
            let due = if self.begun && works && self.vacant == 0 {
                let since = *self.short.get_or_insert(now);
                since.checked_add(self.config.start)
            } else {
                Some(now)
            };
            if due.is_none_or(|due| due > now) {
                return self.wake_at(due);
            }
            let Some(kind) = self.kind(now, calls || wanted) else {
                self.begun = true;
                return;
            };
            self.start(kind, now);
        }
    }

    /// Returns for each starting child until when it is expected to take calls.
    fn hopes(&self, now: Instant) -> Vec<Instant> {
        let starts = self.children.values();
        let starts = starts.filter(|child| child.stage == Stage::Starting);
        let slow = starts.filter_map(|child| child.began.checked_add(SLOW));
        slow.filter(|slow| *slow > now).collect()
    }

    fn start(&mut self, kind: usize, now: Instant) {
        self.keys += 1;
        self.short = Some(now);
        self.vacant = self.vacant.saturating_sub(1);
        self.children.insert(self.keys, ChildEntry::new(kind, now));
        self.actions.push(Action::Start(self.keys, kind));
    }

    /// Returns the first kind that may start a child now. `needed` says whether a call needs it.
    fn kind(&mut self, now: Instant, needed: bool) -> Option<usize> {
        let mut next = None;
        for (index, kind) in self.kinds.iter().enumerate() {
            let children = self.children.values();
            let works = children.filter(|child| child.kind == index && child.works());
            if works.count() >= self.config.max[index] {
                continue;
            }
            let spares = kind.spares.until.filter(|_| !needed);
            match kind.starts.until.max(spares) {
                Some(at) if at > now => next = next.into_iter().chain([at]).min(),
                _ => return Some(index),
            }
        }
        self.wake_at(next);
        None
    }

    fn shrink(&mut self, now: Instant) {
        loop {
            let idle = self.children.iter().filter(|(_, child)| child.is_idle());
            let excess = idle.clone().count() > self.config.idle;
            if !excess || !self.queue.calls.is_empty() || self.closing {
                return;
            }
            let longest = idle.min_by_key(|(_, child)| (child.rests, Reverse(child.kind)));
            let Some((&key, child)) = longest else { return };
            let since = self
                .stopped
                .map_or(child.rests, |stopped| child.rests.max(stopped));
            let due = since.checked_add(self.config.stop);
            if due.is_none_or(|due| due > now) {
                return self.wake_at(due);
            }
            self.stopped = Some(now);
            self.close_child(key);
        }
    }

    fn close_child(&mut self, key: Key) {
        if let Some(child) = self.children.get_mut(&key) {
            child.stage = Stage::Closed;
            self.tell(key, Action::Close);
        }
    }

    fn close_those_that_leave(&mut self) {
        let all = self.closing && self.queue.calls.is_empty();
        let done = |child: &ChildEntry<M>| match child.stage {
            Stage::Leaving => child.load == 0,
            Stage::Starting | Stage::Ready => all && child.load == 0,
            Stage::Closed | Stage::Ended => false,
        };
        let children = self.children.iter().filter(|(_, child)| done(child));
        let keys: Vec<_> = children.map(|(key, _)| *key).collect();
        for key in keys {
            self.close_child(key);
        }
    }

    fn attend(&mut self) {
        let want = !self.queue.calls.is_empty() || self.closing;
        for child in self.children.values_mut() {
            let gives = matches!(child.stage, Stage::Ready | Stage::Leaving);
            let eager = gives && want || child.eager && child.load > 0;
            if std::mem::replace(&mut child.eager, eager) != eager && child.works() {
                let attend = child.own.clone();
                self.actions
                    .extend(attend.map(|own| Action::Attend(own, eager)));
            }
        }
    }

    fn finish(&mut self) {
        if self.closing && !self.over && self.queue.calls.is_empty() && self.children.is_empty() {
            self.over = true;
            self.actions.push(Action::Over);
        }
    }
}
