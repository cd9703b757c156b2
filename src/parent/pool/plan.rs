//! The rules of a pool, without any of the doing, and without a clock: what
//! happens comes in with its time, and [`Plan::settle`] says what is to be done.
//!
//! A **call** is known by its ticket, tickets by the order in which calls came.
//! It waits in the queue until it is given to a child, and is then that child's
//! affair, unless the child gives it back: then it waits in its old place.
//!
//! A **child** is in one of these stages, and goes through them downwards:
//!
//! ```text
//! Starting  it has not said that it is ready, and is given nothing
//! Ready     it is given calls, `load` at once at most
//! Leaving   it gets no more, and finishes what it has
//! Closed    it has nothing, and was told to end
//! Ended     it has, but its last callbacks have not returned
//! ```
//!
//! Rules, each of which is a step of `settle` (`plan/settle.rs`):
//!
//! 1. What waits beyond its deadline fails.
//! 2. A child that is old enough leaves.
//! 3. When a start fails and every launcher has failed [`PATIENCE`] times in a
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
//! 8. While calls wait, what children answer is read at once, or on a beat
//!    (`plan/pace.rs`).
//!
//! A child counts for `max` from its start until it is closed or has ended. What
//! follows if it ends without being told depends on how far it was:
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

mod pace;
mod settle;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use self::pace::Pace;
use crate::parent::child::member::Attention;

/// Names a call.
pub(super) type Ticket = u64;
/// Names a child.
pub(super) type Key = u64;

/// So many starts may fail in a row before callers are told.
pub(super) const PATIENCE: u32 = 5;
/// How long a child that starts is counted on.
const SLOW: Duration = Duration::from_secs(1);

/// What the user chose.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    /// For each launcher.
    pub(super) max: Vec<usize>,
    pub(super) idle: usize,
    pub(super) load: usize,
    pub(super) start: Duration,
    pub(super) stop: Duration,
    /// The first pause after a failure, and the longest.
    pub(super) pause: (Duration, Duration),
    /// A child leaves after so many calls, after so long, with so much memory.
    pub(super) calls: Option<u64>,
    pub(super) age: Option<Duration>,
    pub(super) memory: Option<u64>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Order {
    /// Start this child, from this launcher.
    Start(Key, usize),
    /// This child gets this call.
    Give(Ticket, Key),
    /// Let it end.
    Close(Key),
    /// Make it end.
    Kill(Key),
    /// What it answers is read so from now on.
    Attend(Key, Attention),
    /// What it has answered is read now.
    Read(Key),
    /// This call will not be run.
    Fail(Ticket, Fault),
    /// Nothing is left, and nothing will come.
    Over,
}

/// Why a call will not be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Its time is up.
    Late,
    /// No child can be started.
    NoChild,
    /// The pool is closed, by force.
    Closed,
}

/// How far a child is seen to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) load: usize,
    pub(super) answered: u64,
    pub(super) ready: bool,
    pub(super) retired: bool,
    pub(super) ended: bool,
    /// It had started a call by its end, or may have.
    pub(super) worked: bool,
    /// It never was ready, and nor will the next be.
    pub(super) hopeless: bool,
    /// This side ended it, because a caller wanted it.
    pub(super) killed: bool,
    pub(super) gone: bool,
    pub(super) memory: Option<u64>,
}

/// What is new of a child.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) ready: bool,
    pub(super) ended: bool,
    /// And nobody had told it to.
    pub(super) died: bool,
}

/// What can be counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) starting: usize,
    pub(super) idle: usize,
    pub(super) busy: usize,
    pub(super) leaving: usize,
    pub(super) queued: usize,
    pub(super) running: usize,
    pub(super) started: u64,
    pub(super) failed: u64,
    pub(super) died: u64,
    pub(super) retired: u64,
    pub(super) answered: u64,
    pub(super) moved: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Starting,
    Ready,
    Leaving,
    Closed,
    Ended,
}

#[derive(Debug)]
struct Child {
    launcher: usize,
    stage: Stage,
    was_ready: bool,
    /// Calls that it has, was given, and has answered.
    load: usize,
    given: u64,
    answered: u64,
    began: Instant,
    readied: Instant,
    /// Since when it has had nothing to do.
    rests: Instant,
    /// When it was given something, in turns.
    turn: u64,
    attention: Attention,
}

impl Child {
    /// It counts for `max`.
    fn works(&self) -> bool {
        matches!(self.stage, Stage::Starting | Stage::Ready | Stage::Leaving)
    }

    fn is_idle(&self) -> bool {
        self.stage == Stage::Ready && self.load == 0
    }
}

/// Waits longer after each failure.
#[derive(Debug, Default)]
struct Backoff {
    pause: Duration,
    until: Option<Instant>,
}

impl Backoff {
    /// A child that began then has failed. Those that had been started before
    /// the last wait began say nothing new.
    fn lengthen(&mut self, began: Instant, now: Instant, (first, longest): (Duration, Duration)) {
        if self.until.is_some_and(|until| began < until) {
            return;
        }
        self.pause = (self.pause * 2).clamp(first, longest.max(first));
        self.until = now.checked_add(self.pause);
    }
}

#[derive(Debug, Default)]
struct Launcher {
    /// Starts that failed in a row.
    failures: u32,
    /// The last of them so that another attempt cannot help.
    hopeless: bool,
    /// Of all its starts.
    starts: Backoff,
    /// Of those that no call needs.
    spares: Backoff,
}

impl Launcher {
    /// Callers are to be told of its failures.
    fn fails(&self) -> bool {
        self.failures >= PATIENCE || self.hopeless
    }

    /// A child of it has started a call: what failed before is not held against
    /// the next.
    fn works(&mut self) {
        self.starts.pause = Duration::ZERO;
        self.spares = Backoff::default();
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Plan {
    rules: Rules,
    queue: BTreeSet<Ticket>,
    /// Of those in the queue.
    deadlines: BTreeSet<(Instant, Ticket)>,
    due: HashMap<Ticket, Instant>,
    children: BTreeMap<Key, Child>,
    launchers: Vec<Launcher>,
    keys: Key,
    turns: u64,
    /// The children that are there at the beginning were started.
    begun: bool,
    /// Since when there have been too few, or since one was started then.
    short: Option<Instant>,
    /// When the last one was stopped.
    stopped: Option<Instant>,
    /// How many have died and were not replaced, and when the last of them has.
    vacant: usize,
    vacated: Option<Instant>,
    /// Somebody waits for a child to be ready.
    wanted: bool,
    /// A start has failed just now.
    verdict: bool,
    closing: bool,
    pace: Pace,
    /// By then all must be over.
    limit: Option<Instant>,
    forced: bool,
    over: bool,
    orders: Vec<Order>,
    alarm: Option<Instant>,
    counts: Counts,
}

impl Plan {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            launchers: rules.max.iter().map(|_| Launcher::default()).collect(),
            rules,
            queue: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            due: HashMap::new(),
            children: BTreeMap::new(),
            keys: 0,
            turns: 0,
            begun: false,
            short: None,
            stopped: None,
            vacant: 0,
            vacated: None,
            wanted: false,
            verdict: false,
            closing: false,
            pace: Pace::default(),
            limit: None,
            forced: false,
            over: false,
            orders: Vec::new(),
            alarm: None,
            counts: Counts::default(),
        }
    }

    // --- what happens ---

    /// A call comes, or comes back.
    pub(super) fn submit(&mut self, ticket: Ticket, deadline: Option<Instant>) {
        if self.forced {
            return self.orders.push(Order::Fail(ticket, Fault::Closed));
        }
        self.queue.insert(ticket);
        if let Some(at) = deadline {
            self.set_deadline(ticket, at);
        }
    }

    /// A call comes back from a child that will not run it.
    pub(super) fn submit_again(&mut self, ticket: Ticket, deadline: Option<Instant>) {
        self.counts.moved += 1;
        self.submit(ticket, deadline);
    }

    /// Nobody wants this call any more.
    pub(super) fn withdraw(&mut self, ticket: Ticket) {
        self.queue.remove(&ticket);
        self.forget_deadline(ticket);
    }

    /// This call is to be done by then.
    pub(super) fn set_deadline(&mut self, ticket: Ticket, at: Instant) {
        if self.queue.contains(&ticket) {
            self.forget_deadline(ticket);
            self.deadlines.insert((at, ticket));
            self.due.insert(ticket, at);
        }
    }

    fn forget_deadline(&mut self, ticket: Ticket) {
        if let Some(at) = self.due.remove(&ticket) {
            self.deadlines.remove(&(at, ticket));
        }
    }

    /// Somebody waits for a child to be ready.
    pub(super) fn want_one(&mut self) {
        self.wanted = true;
    }

    /// This child was started. It may have been closed meanwhile.
    pub(super) fn started(&mut self, key: Key) {
        self.counts.started += 1;
        if let Some(child) = self.children.get(&key)
            && child.stage == Stage::Closed
        {
            self.orders.push(if self.forced {
                Order::Kill(key)
            } else {
                Order::Close(key)
            });
        }
    }

    /// This child could not be started.
    pub(super) fn failed(&mut self, key: Key, hopeless: bool, now: Instant) {
        if let Some(child) = self.children.remove(&key) {
            self.start_failed(child.launcher, child.began, hopeless, now);
        }
    }

    /// A child was looked at. Says what is new of it.
    pub(super) fn saw(&mut self, key: Key, seen: &Seen, now: Instant) -> Change {
        let mut change = Change::default();
        let Some(child) = self.children.get_mut(&key) else {
            return change;
        };
        if seen.answered > child.answered {
            self.launchers[child.launcher].works();
        }
        self.counts.answered += seen.answered - child.answered;
        child.answered = seen.answered;
        if child.load > 0 && seen.load == 0 {
            child.rests = now;
            let ready = child.stage == Stage::Ready && !seen.ended;
            if child.attention == Attention::Deferred && ready && !self.queue.is_empty() {
                self.pace.missed(now);
            }
        }
        child.load = seen.load;
        if seen.ready && !child.was_ready {
            (child.was_ready, change.ready) = (true, true);
            self.wanted = false;
            let launcher = &mut self.launchers[child.launcher];
            (launcher.failures, launcher.hopeless) = (0, false);
            if child.stage == Stage::Starting {
                child.stage = Stage::Ready;
                (child.rests, child.readied) = (now, now);
            }
        }
        let large = self.rules.memory.zip(seen.memory);
        let large = large.is_some_and(|(limit, memory)| memory > limit);
        if (seen.retired || large) && matches!(child.stage, Stage::Starting | Stage::Ready) {
            child.stage = Stage::Leaving;
            self.counts.retired += 1;
        }
        if seen.ended && child.stage != Stage::Ended {
            let was = std::mem::replace(&mut child.stage, Stage::Ended);
            change.ended = true;
            change.died = was != Stage::Closed;
            if change.died {
                self.died(key, seen, now);
            }
        }
        if seen.gone {
            self.children.remove(&key);
        }
        change
    }

    fn died(&mut self, key: Key, seen: &Seen, now: Instant) {
        let child = &self.children[&key];
        let (index, began) = (child.launcher, child.began);
        if !child.was_ready {
            return self.start_failed(index, began, seen.hopeless, now);
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

    fn start_failed(&mut self, launcher: usize, began: Instant, hopeless: bool, now: Instant) {
        self.counts.failed += 1;
        self.verdict = true;
        let launcher = &mut self.launchers[launcher];
        launcher.failures += 1;
        launcher.hopeless = hopeless;
        launcher.starts.lengthen(began, now, self.rules.pause);
    }

    /// No more calls will come.
    pub(super) fn close(&mut self) {
        self.closing = true;
    }

    /// What is not done by then will not be.
    pub(super) fn close_within(&mut self, at: Instant) {
        self.closing = true;
        self.limit = Some(at);
    }

    /// All is to end now.
    pub(super) fn kill(&mut self) {
        self.give_up();
        for (key, child) in &mut self.children {
            if child.stage != Stage::Ended {
                child.stage = Stage::Closed;
                self.orders.push(Order::Kill(*key));
            }
        }
    }

    fn give_up(&mut self) {
        (self.closing, self.forced) = (true, true);
        self.fail_all(Fault::Closed);
    }

    fn fail_all(&mut self, fault: Fault) {
        self.deadlines.clear();
        self.due.clear();
        let tickets = std::mem::take(&mut self.queue);
        let failed = tickets.into_iter().map(|ticket| Order::Fail(ticket, fault));
        self.orders.extend(failed);
    }

    // --- what can be asked ---

    /// Where a child comes from.
    pub(super) fn launcher_of(&self, key: Key) -> Option<usize> {
        self.children.get(&key).map(|child| child.launcher)
    }

    /// The child is not over yet.
    pub(super) fn knows(&self, key: Key) -> bool {
        self.children.contains_key(&key)
    }

    /// A child can work.
    pub(super) fn has_ready(&self) -> bool {
        self.children
            .values()
            .any(|child| matches!(child.stage, Stage::Ready | Stage::Leaving))
    }

    /// All is done but for the callbacks of these children.
    pub(super) fn is_over_but_for(&self, mut excepted: impl FnMut(Key) -> bool) -> bool {
        let last = |(key, child): (&Key, &Child)| child.stage == Stage::Ended && excepted(*key);
        self.closing && self.queue.is_empty() && self.children.iter().all(last)
    }

    /// A start has failed, and none has succeeded since.
    pub(super) fn fails(&self) -> bool {
        self.launchers.iter().all(Launcher::fails)
    }

    /// See [`Counts`].
    pub(super) fn counts(&self) -> Counts {
        let mut counts = self.counts;
        counts.queued = self.queue.len();
        for child in self.children.values() {
            counts.running += child.load;
            match child.stage {
                Stage::Starting => counts.starting += 1,
                Stage::Ready if child.load == 0 => counts.idle += 1,
                Stage::Ready => counts.busy += 1,
                Stage::Leaving => counts.leaving += 1,
                Stage::Closed | Stage::Ended => {}
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests;
