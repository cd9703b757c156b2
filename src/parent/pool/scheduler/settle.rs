//! What is to be done: the rules, one after the other.
//!
//! 1. What waits beyond its deadline fails.
//! 2. A child that is old enough leaves.
//! 3. When a start fails and every launcher has failed [`PATIENCE`](super::launchers::PATIENCE) times in a
//!    row, or in a way that another attempt cannot mend, with no child that can
//!    work, all that waits fails. In the latter case so does what comes while
//!    the launchers back off.
//! 4. The first call of the queue goes to the child with the least to do; among
//!    equals to the launcher that was named first, then to the child that was
//!    given something last (so that the others can be stopped).
//! 5. One more child is started if more calls wait than those that start will
//!    take, or fewer than `idle` are idle: at once if there is no child, or one
//!    that has died less than `stop` ago was not replaced yet; else when that has
//!    been so for `start`, and one in that time. It comes from the first launcher
//!    that has room and does not back off. A child that has been starting for
//!    [`SLOW`] is not counted on.
//! 6. With nothing in the queue and more than `idle` children idle, the one that
//!    has been so longest is closed after `stop`, and one in that time.
//! 7. A child that leaves is closed when it has answered everything. When the
//!    pool is closing and nothing waits, so are all.
//! 8. Once calls wait, what children answer is read at once, until they have
//!    nothing to do: the next call goes out on the thread that reads an answer.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use super::{Action, Child, Key, Launcher, Scheduler, Stage};
use crate::error::Error;
use crate::protocol::Started;

/// How long a child that starts is counted on.
const SLOW: Duration = Duration::from_secs(1);

impl<C: Clone, M: Clone> Scheduler<C, M> {
    /// Applies the rules.
    pub(in super::super) fn settle(&mut self, now: Instant) -> Vec<Action<C, M>> {
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

    /// When [`settle`](Self::settle) is to be called next, if nothing happens.
    pub(in super::super) fn alarm(&self) -> Option<Instant> {
        self.alarm
    }

    fn wake_at(&mut self, at: Option<Instant>) {
        self.alarm = self.alarm.into_iter().chain(at).min();
    }

    fn expire(&mut self, now: Instant) {
        while let Some((at, ticket)) = self.queue.next_deadline() {
            if at > now {
                self.wake_at(Some(at));
                break;
            }
            let call = self.withdraw(ticket);
            let late = call.map(|call| Action::Fail(call, Error::expired(Started::No)));
            self.actions.extend(late);
        }
        match self.limit {
            Some(at) if at <= now => self.give_up(),
            at => self.wake_at(at),
        }
    }

    fn let_old_ones_go(&mut self, now: Instant) {
        let Some(age) = self.rules.age else { return };
        let mut next = None;
        for child in self.children.values_mut() {
            if child.stage != Stage::Ready {
                continue;
            }
            match child.readied.checked_add(age) {
                Some(at) if at <= now => {
                    child.stage = Stage::Leaving;
                    self.counts.retired += 1;
                }
                at => next = next.into_iter().chain(at).min(),
            }
        }
        self.wake_at(next);
    }

    /// Whether nothing can be started.
    fn judge(&mut self, now: Instant) {
        let verdict = std::mem::take(&mut self.verdict);
        let waits = |launcher: &Launcher| launcher.starts.until.is_some_and(|at| at > now);
        let known = |launcher: &Launcher| launcher.hopeless && waits(launcher);
        let nothing = self.launchers.iter().all(known) && !self.children.values().any(Child::works);
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
            if self.rules.calls == Some(child.given) {
                child.stage = Stage::Leaving;
                self.counts.retired += 1;
            }
            self.actions.push(Action::Give(call, key, own));
        }
    }

    /// This child may be given something now.
    pub(super) fn can_take(&self, child: &Child<M>) -> bool {
        child.stage == Stage::Ready && !child.weighs && child.load < self.rules.load
    }

    fn taker(&self) -> Option<(Key, M)> {
        let all = self.children.iter();
        let all = all.filter(|(_, child)| self.can_take(child));
        let best = all.min_by_key(|(_, child)| (child.load, child.launcher, Reverse(child.turn)));
        best.and_then(|(key, child)| Some((*key, child.own.clone()?)))
    }

    fn grow(&mut self, now: Instant) {
        let vacant_until = self.vacated.and_then(|at| at.checked_add(self.rules.stop));
        if vacant_until.is_some_and(|until| until <= now) {
            (self.vacant, self.vacated) = (0, None);
        }
        loop {
            let children = self.children.values();
            let works = children.clone().any(Child::works);
            let idle = children.filter(|child| child.is_idle()).count();
            let hopes = self.hopes(now);
            let calls = self.queue.len() > hopes.len().saturating_mul(self.rules.load);
            let rests = !self.closing && idle + hopes.len() < self.rules.idle;
            let wanted = self.wanted && !works;
            if !calls && !rests && !wanted {
                self.short = None;
                self.begun = true;
                if !self.queue.is_empty() {
                    self.wake_at(hopes.into_iter().min());
                }
                return;
            }
            let due = if self.begun && works && self.vacant == 0 {
                let since = *self.short.get_or_insert(now);
                since.checked_add(self.rules.start)
            } else {
                Some(now)
            };
            if due.is_none_or(|due| due > now) {
                return self.wake_at(due);
            }
            let Some(launcher) = self.launcher(now, calls || wanted) else {
                self.begun = true;
                return;
            };
            self.start(launcher, now);
        }
    }

    /// Until when each child that starts is counted on.
    fn hopes(&self, now: Instant) -> Vec<Instant> {
        let starts = self.children.values();
        let starts = starts.filter(|child| child.stage == Stage::Starting);
        let slow = starts.filter_map(|child| child.began.checked_add(SLOW));
        slow.filter(|slow| *slow > now).collect()
    }

    fn start(&mut self, launcher: usize, now: Instant) {
        self.keys += 1;
        self.short = Some(now);
        self.vacant = self.vacant.saturating_sub(1);
        self.children.insert(self.keys, Child::new(launcher, now));
        self.actions.push(Action::Start(self.keys, launcher));
    }

    /// The first launcher that may start one now, `needed` for calls or not.
    fn launcher(&mut self, now: Instant, needed: bool) -> Option<usize> {
        let mut next = None;
        for (index, launcher) in self.launchers.iter().enumerate() {
            let children = self.children.values();
            let works = children.filter(|child| child.launcher == index && child.works());
            if works.count() >= self.rules.max[index] {
                continue;
            }
            let spares = launcher.spares.until.filter(|_| !needed);
            match launcher.starts.until.max(spares) {
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
            let excess = idle.clone().count() > self.rules.idle;
            if !excess || !self.queue.is_empty() || self.closing {
                return;
            }
            let longest = idle.min_by_key(|(_, child)| (child.rests, Reverse(child.launcher)));
            let Some((&key, child)) = longest else { return };
            let since = self
                .stopped
                .map_or(child.rests, |stopped| child.rests.max(stopped));
            let due = since.checked_add(self.rules.stop);
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
        let all = self.closing && self.queue.is_empty();
        let done = |child: &Child<M>| match child.stage {
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
        let want = !self.queue.is_empty() || self.closing;
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
        if self.closing && !self.over && self.queue.is_empty() && self.children.is_empty() {
            self.over = true;
            self.actions.push(Action::Over);
        }
    }
}
