//! The rules of a pool, without any of the doing, and without a clock: what
//! happens comes in with its time, and [`Scheduler::settle`] says what is to be done.
//!
//! A scheduler is the same for all that calls and children may be: a call is a `C`,
//! a child an `M`, and both are only handed on.
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
//! The rules are in `scheduler/settle.rs`. A child counts for `max` from its start
//! until it is closed or has ended.

mod launchers;
mod look;
mod queue;
mod settle;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use self::launchers::Launcher;
use self::queue::Queue;
use super::status::PoolStatus;
use crate::error::Error;
use crate::exit_status::ExitStatus;

/// Names a call.
pub(super) type Ticket = u64;
/// Names a child.
pub(super) type Key = u64;

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
    /// The calls, the age and the bytes of memory after which a child leaves.
    pub(super) calls: Option<u64>,
    pub(super) age: Option<Duration>,
    pub(super) memory: Option<u64>,
}

/// What is to be done, in this order, and without a lock.
#[derive(Debug)]
pub(super) enum Action<C, M> {
    /// Start this child, from this launcher.
    Start(Key, usize),
    /// Say whenever there is something to see of this child.
    Watch(Key, M),
    /// This child gets this call.
    Give(C, Key, M),
    /// What it answers is read at once from now on, or not.
    Attend(M, bool),
    /// Say how much memory it has.
    Weigh(Key, M),
    /// Let it end.
    Close(M),
    /// Let it end, and make it end by then.
    CloseWithin(M, Instant),
    /// Make it end.
    Kill(M),
    /// The child is over.
    Forget(M),
    /// This call will not be run.
    Fail(C, Error),
    /// A callback of a child may wait for one of these calls, and shall look again.
    LookAgain(Vec<C>),
    /// The user hears that a start has failed, of this launcher.
    Report(usize, Error),
    /// A child is ready.
    Ready(Key),
    /// A child has ended, and was or was not told to.
    Ended(Key, ExitStatus, bool),
    /// Nothing is left, and nothing will come.
    Over,
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
struct Child<M> {
    /// What it is, once it was started.
    own: Option<M>,
    launcher: usize,
    stage: Stage,
    was_ready: bool,
    /// There may be something to see.
    news: bool,
    /// When it was last asked how much memory it has, and whether that is not
    /// answered yet.
    weighed: Option<Instant>,
    weighs: bool,
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
    /// What it answers is read at once.
    eager: bool,
}

impl<M> Child<M> {
    fn new(launcher: usize, now: Instant) -> Self {
        Self {
            own: None,
            launcher,
            stage: Stage::Starting,
            was_ready: false,
            news: false,
            weighed: None,
            weighs: false,
            load: 0,
            given: 0,
            answered: 0,
            began: now,
            readied: now,
            rests: now,
            turn: 0,
            eager: false,
        }
    }

    /// It counts for `max`.
    fn works(&self) -> bool {
        matches!(self.stage, Stage::Starting | Stage::Ready | Stage::Leaving)
    }

    fn is_idle(&self) -> bool {
        self.stage == Stage::Ready && self.load == 0
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Scheduler<C, M> {
    rules: Rules,
    queue: Queue<C>,
    tickets: Ticket,
    children: BTreeMap<Key, Child<M>>,
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
    /// A thread or task waits for a child to be ready.
    wanted: bool,
    /// A start has failed just now.
    verdict: bool,
    /// Why the last start failed.
    failure: Option<Error>,
    closing: bool,
    /// How the last child ended that did not end well when the pool was closing.
    exit: ExitStatus,
    /// By then all must be over.
    limit: Option<Instant>,
    forced: bool,
    over: bool,
    actions: Vec<Action<C, M>>,
    /// Those that wait for a child to be ready, or for the end, shall look again.
    changed: bool,
    alarm: Option<Instant>,
    counts: PoolStatus,
}

impl<C: Clone, M: Clone> Scheduler<C, M> {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            launchers: rules.max.iter().map(|_| Launcher::default()).collect(),
            rules,
            queue: Queue::new(),
            tickets: 0,
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
            failure: None,
            closing: false,
            exit: ExitStatus::Code(0),
            limit: None,
            forced: false,
            over: false,
            actions: Vec::new(),
            changed: false,
            alarm: None,
            counts: PoolStatus::default(),
        }
    }

    // --- what happens ---

    /// A number for the next call.
    pub(super) fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        self.tickets
    }

    /// A call comes, or comes back.
    pub(super) fn submit(
        &mut self,
        ticket: Ticket,
        call: C,
        bytes: usize,
        deadline: Option<Instant>,
    ) {
        if self.forced {
            self.actions.push(Action::Fail(call, Error::closed()));
        } else {
            self.queue.insert(ticket, call, bytes, deadline);
        }
    }

    /// A child will not run one of its calls, which comes back.
    pub(super) fn count_moved(&mut self) {
        self.counts.moved += 1;
    }

    /// Takes this call out of the queue, if it is there.
    pub(super) fn withdraw(&mut self, ticket: Ticket) -> Option<C> {
        self.queue.remove(ticket)
    }

    /// This call is to be done by then.
    pub(super) fn set_deadline(&mut self, ticket: Ticket, at: Option<Instant>) {
        self.queue.set_deadline(ticket, at);
    }

    /// A thread or task waits for a child to be ready.
    pub(super) fn want_one(&mut self) {
        self.wanted = true;
    }

    /// This child was started. It may have been closed meanwhile.
    pub(super) fn started(&mut self, key: Key, own: M) {
        self.counts.started += 1;
        let Some(child) = self.children.get_mut(&key) else {
            return;
        };
        child.own = Some(own.clone());
        let is_closed = child.stage == Stage::Closed;
        if let Some(at) = self.limit {
            self.actions.push(Action::CloseWithin(own.clone(), at));
        }
        self.actions.push(Action::Watch(key, own));
        if is_closed {
            let ends = if self.forced {
                Action::Kill
            } else {
                Action::Close
            };
            self.tell(key, ends);
        }
    }

    /// This child could not be started.
    pub(super) fn failed(&mut self, key: Key, error: Error, now: Instant) {
        let Some(child) = self.children.remove(&key) else {
            return;
        };
        let report = Action::Report(child.launcher, error.clone());
        self.actions.push(report);
        self.start_failed(child.launcher, child.began, error.is_lasting(), now);
        self.failure = Some(error);
        self.changed = true;
    }

    /// No more calls will come.
    pub(super) fn close(&mut self) {
        self.closing = true;
    }

    /// What is not done by then will not be.
    pub(super) fn close_within(&mut self, at: Instant) {
        self.closing = true;
        self.limit = Some(at);
        let children = self.children.values().filter_map(|child| child.own.clone());
        let told = children.map(|own| Action::CloseWithin(own, at));
        self.actions.extend(told);
    }

    /// All is to end now.
    pub(super) fn kill(&mut self) {
        self.give_up();
        for child in self.children.values_mut() {
            if child.stage != Stage::Ended {
                child.stage = Stage::Closed;
                self.actions.extend(child.own.clone().map(Action::Kill));
            }
        }
    }

    fn give_up(&mut self) {
        (self.closing, self.forced) = (true, true);
        self.fail_all(&Error::closed());
    }

    fn fail_all(&mut self, error: &Error) {
        while let Some(call) = self.queue.first().and_then(|first| self.withdraw(first)) {
            self.actions.push(Action::Fail(call, error.clone()));
        }
    }

    /// Tells a child something, if it was started.
    fn tell(&mut self, key: Key, action: impl FnOnce(M) -> Action<C, M>) {
        let own = self.children.get(&key).and_then(|child| child.own.clone());
        self.actions.extend(own.map(action));
    }

    // --- what can be asked ---

    /// No more calls are taken.
    pub(super) fn is_closing(&self) -> bool {
        self.closing
    }

    /// How many calls wait, and how many bytes of arguments they have.
    pub(super) fn queued(&self) -> (usize, usize) {
        (self.queue.len(), self.queue.bytes())
    }

    /// Returns how many calls all children together may have under way.
    pub(super) fn capacity(&self) -> usize {
        let children = self.rules.max.iter().copied();
        let children = children.fold(0, usize::saturating_add);
        children.saturating_mul(self.rules.load)
    }

    /// All children that were started.
    pub(super) fn children(&self) -> impl Iterator<Item = &M> {
        self.children
            .values()
            .filter_map(|child| child.own.as_ref())
    }

    /// Returns whether those that wait for a child or the end shall look again,
    /// once.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// That a child can work, or why none will.
    pub(super) fn readiness(&self) -> Option<Result<(), Error>> {
        if self.has_ready() {
            return Some(Ok(()));
        }
        if self.closing {
            return Some(Err(Error::closed()));
        }
        self.failure.clone().filter(|_| self.fails()).map(Err)
    }

    fn has_ready(&self) -> bool {
        self.children
            .values()
            .any(|child| matches!(child.stage, Stage::Ready | Stage::Leaving))
    }

    /// A start has failed, and none has succeeded since.
    fn fails(&self) -> bool {
        self.launchers.iter().all(Launcher::fails)
    }

    /// Nothing is left, and nothing will come.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// All is done but for the callbacks of children that are excepted, and there
    /// is one of these.
    pub(super) fn is_over_but_for(&self, excepted: impl Fn(&M) -> bool) -> bool {
        let last = |child: &Child<M>| {
            child.stage == Stage::Ended && child.own.as_ref().is_some_and(&excepted)
        };
        let mut children = self.children.values();
        let is_done = self.closing && self.queue.is_empty() && !self.children.is_empty();
        is_done && children.all(last)
    }

    /// How the last child ended that did not end well when the pool was closing.
    pub(super) fn exit(&self) -> ExitStatus {
        self.exit
    }

    /// What can be counted.
    pub(super) fn status(&self) -> PoolStatus {
        let mut status = self.counts;
        status.queued = self.queue.len();
        for child in self.children.values() {
            status.running += child.load;
            match child.stage {
                Stage::Starting => status.starting += 1,
                Stage::Ready if child.load == 0 => status.idle += 1,
                Stage::Ready => status.busy += 1,
                Stage::Leaving => status.leaving += 1,
                Stage::Closed | Stage::Ended => {}
            }
        }
        status
    }
}

#[cfg(test)]
mod tests;
