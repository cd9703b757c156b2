//! The rules of a pool, without I/O and without a clock: inputs come with their time, and [`Scheduler::step`] returns the
//! actions to execute.
//!
//! The scheduler is generic over the call `C` and the child `M`, which it only passes on.
//!
//! A **call** has a ticket. Tickets increase in the order in which calls were made. A call waits in the queue until it is
//! given to a child. If the child gives it back, it waits in its old place again.
//!
//! A **child** goes through these stages, from top to bottom:
//!
//! ```text
//! Starting  it is not ready yet, and is given no calls
//! Ready     it is given calls, at most `load` at a time
//! Leaving   it is given no more calls, and finishes those it has
//! Closed    it has no calls, and was told to exit
//! Ended     it has exited, and its last callbacks have not returned
//! ```
//!
//! The rules are in `scheduler/step.rs`. A child counts for `max` from its start until it is closed or has ended.

mod backoff;
mod observe;
mod queue;
mod step;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use self::backoff::KindState;
pub(super) use self::backoff::PATIENCE;
use self::queue::Queue;
use super::status::PoolStatus;
use crate::error::Error;
use crate::exit_status::ExitStatus;

/// Identifies a call.
pub(super) type Ticket = u64;
/// Identifies a child.
pub(super) type Key = u64;

/// The options of a pool: see [`PoolBuilder`](super::PoolBuilder).
#[derive(Debug, Clone)]
pub(super) struct PoolConfig {
    /// Maximum number of children of each kind.
    pub(super) max: Vec<usize>,
    pub(super) idle: usize,
    pub(super) load: usize,
    pub(super) start: Duration,
    pub(super) stop: Duration,
    /// The first and the longest pause after a failed start.
    pub(super) pause: (Duration, Duration),
    /// Number of calls after which a child leaves. Age and memory in bytes follow.
    pub(super) calls: Option<u64>,
    pub(super) age: Option<Duration>,
    pub(super) memory: Option<u64>,
    /// Maximum number of queued calls, and of bytes of their arguments.
    pub(super) queue: (usize, usize),
}

/// An action for the engine. Actions are executed in order, without the pool's lock.
#[derive(Debug)]
pub(super) enum Action<C, M> {
    /// Start this child of this kind.
    Start(Key, usize),
    /// Call [`notice`](Scheduler::notice) whenever the state of this child changes.
    Watch(Key, M),
    /// Send this call to this child.
    Give(C, Key, M),
    /// Read this child's answers at once from now on, or no longer.
    Attend(M, bool),
    /// Read the resident memory of this child, and report it to [`weighed`](Scheduler::weighed).
    Weigh(Key, M),
    /// Close this child, so that it exits.
    Close(M),
    /// Close this child, and kill it at this time.
    CloseWithin(M, Instant),
    /// Kill this child. The errors of its calls say why.
    Kill(M, &'static str),
    /// Drop this child: it has exited, and its callbacks have returned.
    Forget(M),
    /// Fail this call, which no child will run.
    Fail(C, Error),
    /// Wake the callbacks of children that wait for one of these calls.
    LookAgain(Vec<C>),
    /// Wake what waits for a ready child, or for the end: there is something new to see.
    Changed,
    /// Report a failed start of this kind to the user.
    Report(usize, Error),
    /// Trace that this child is ready.
    Ready(Key),
    /// Trace that this child has exited, and whether it was told to.
    Ended(Key, ExitStatus, bool),
    /// End the pool: it is closed, and has neither calls nor children.
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
struct ChildEntry<M> {
    /// The handle of the child. `None` until it was started.
    own: Option<M>,
    kind: usize,
    stage: Stage,
    /// Whether its state may have changed since it was last observed.
    news: bool,
    /// When its memory was last asked for.
    weighed: Option<Instant>,
    /// Whether the answer to that is pending.
    weighs: bool,
    /// Number of calls that it has.
    load: usize,
    /// Number of calls that it was given so far.
    given: u64,
    /// Number of calls that it has answered so far.
    answered: u64,
    began: Instant,
    readied: Option<Instant>,
    /// Since when it has been idle.
    rests: Instant,
    /// The number of the last call that it was given, counted over all children.
    turn: u64,
    /// Whether its answers are read at once.
    eager: bool,
}

impl<M> ChildEntry<M> {
    fn new(kind: usize, now: Instant) -> Self {
        Self {
            own: None,
            kind,
            stage: Stage::Starting,
            news: false,
            weighed: None,
            weighs: false,
            load: 0,
            given: 0,
            answered: 0,
            began: now,
            readied: None,
            rests: now,
            turn: 0,
            eager: false,
        }
    }

    /// Returns whether it counts for `max`.
    fn works(&self) -> bool {
        matches!(self.stage, Stage::Starting | Stage::Ready | Stage::Leaving)
    }

    fn is_idle(&self) -> bool {
        self.stage == Stage::Ready && self.load == 0
    }
}

/// The state of a pool: see the module.
#[derive(Debug)]
pub(super) struct Scheduler<C, M> {
    config: PoolConfig,
    queue: Queue<C>,
    tickets: Ticket,
    children: BTreeMap<Key, ChildEntry<M>>,
    kinds: Vec<KindState>,
    keys: Key,
    turns: u64,
    /// Whether the first `idle` children were started.
    begun: bool,
    /// Since when more children have been needed, or when the last of these was started.
    short: Option<Instant>,
    /// When the last idle child was closed.
    stopped: Option<Instant>,
    /// Number of children that died and were not replaced.
    vacant: usize,
    /// When the last of these died.
    vacated: Option<Instant>,
    /// Whether a thread or task waits for a ready child.
    pub(super) wanted: bool,
    /// Whether a start has failed since the last step.
    verdict: bool,
    /// The error of the last start that failed.
    failure: Option<Error>,
    pub(super) closing: bool,
    /// The status of the last child that failed while the pool was closing.
    pub(super) exit: ExitStatus,
    /// When everything that is not done fails.
    limit: Option<Instant>,
    /// Why children are killed, and calls fail instead of being queued.
    given_up: Option<&'static str>,
    pub(super) over: bool,
    actions: Vec<Action<C, M>>,
    pub(super) alarm: Option<Instant>,
    pub(super) counts: PoolStatus,
}

impl<C: Clone, M: Clone> Scheduler<C, M> {
    pub(super) fn new(config: PoolConfig) -> Self {
        Self {
            kinds: config.max.iter().map(|_| KindState::default()).collect(),
            config,
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
            given_up: None,
            over: false,
            actions: Vec::new(),
            alarm: None,
            counts: PoolStatus::default(),
        }
    }

    // --- inputs ---

    /// Returns the ticket for a new call.
    pub(super) fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        self.tickets
    }

    /// Queues a call that is new, or that a child gave back.
    pub(super) fn submit(
        &mut self,
        ticket: Ticket,
        call: C,
        bytes: usize,
        deadline: Option<Instant>,
    ) {
        if self.given_up.is_some() {
            self.actions.push(Action::Fail(call, Error::closed()));
        } else {
            self.queue.insert(ticket, call, bytes, deadline);
        }
    }

    /// Removes a call from the queue. `None` if it is not queued.
    pub(super) fn withdraw(&mut self, ticket: Ticket) -> Option<C> {
        self.queue.remove(ticket)
    }

    /// Sets the deadline of a queued call.
    pub(super) fn set_deadline(&mut self, ticket: Ticket, at: Option<Instant>) {
        self.queue.set_deadline(ticket, at);
    }

    /// Records that a child was started. It may have been closed since its start was decided.
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
            let why = self.given_up;
            self.tell(key, |own| match why {
                Some(why) => Action::Kill(own, why),
                None => Action::Close(own),
            });
        }
    }

    /// Records that a child could not be started.
    pub(super) fn failed(&mut self, key: Key, error: Error, now: Instant) {
        let Some(child) = self.children.remove(&key) else {
            return;
        };
        let report = Action::Report(child.kind, error.clone());
        self.actions.push(report);
        self.start_failed(child.kind, child.began, error.is_permanent(), now);
        self.failure = Some(error);
        self.actions.push(Action::Changed);
    }

    /// Accepts no more calls: the pool ends when all calls are done. At `until`, it gives up the calls in the queue, and each
    /// child is told to end.
    pub(super) fn close(&mut self, until: Option<Instant>) {
        self.closing = true;
        if let Some(at) = until {
            self.limit = until;
            let children = self.children.values().filter_map(|child| child.own.clone());
            let told = children.map(|own| Action::CloseWithin(own, at));
            self.actions.extend(told);
        }
    }

    /// Closes the pool, fails the queued calls and kills all children.
    pub(super) fn kill(&mut self, why: &'static str) {
        self.give_up(why);
        for child in self.children.values_mut() {
            if child.stage != Stage::Ended {
                child.stage = Stage::Closed;
                let own = child.own.clone();
                self.actions.extend(own.map(|own| Action::Kill(own, why)));
            }
        }
    }

    fn give_up(&mut self, why: &'static str) {
        (self.closing, self.given_up) = (true, Some(why));
        self.fail_all(&Error::closed());
    }

    fn fail_all(&mut self, error: &Error) {
        while let Some(call) = self.queue.first().and_then(|first| self.withdraw(first)) {
            self.actions.push(Action::Fail(call, error.clone()));
        }
    }

    /// Adds an action for a child, if it was started.
    fn tell(&mut self, key: Key, action: impl FnOnce(M) -> Action<C, M>) {
        let own = self.children.get(&key).and_then(|child| child.own.clone());
        self.actions.extend(own.map(action));
    }

    // --- queries ---

    /// Returns whether the queue would be over its limits with `more` calls of a byte each.
    pub(super) fn is_full(&self, more: usize) -> bool {
        let (calls, bytes) = self.config.queue;
        self.queue.calls.len() + more > calls || self.queue.bytes + more > bytes
    }

    /// Returns how many calls all children together may have in flight.
    pub(super) fn capacity(&self) -> usize {
        let children = self.config.max.iter().copied();
        let children = children.fold(0, usize::saturating_add);
        children.saturating_mul(self.config.load)
    }

    /// Returns all children that were started.
    pub(super) fn children(&self) -> impl Iterator<Item = &M> {
        self.children
            .values()
            .filter_map(|child| child.own.as_ref())
    }

    /// Returns whether a child is ready, or the error why none will be. `None` if that is open.
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

    /// Returns whether the starts of every kind fail.
    fn fails(&self) -> bool {
        self.kinds.iter().all(KindState::fails)
    }

    /// Returns whether everything is done except callbacks of children that are `excepted`, and at least one of these remains.
    pub(super) fn is_over_but_for(&self, excepted: impl Fn(&M) -> bool) -> bool {
        let last = |child: &ChildEntry<M>| {
            child.stage == Stage::Ended && child.own.as_ref().is_some_and(&excepted)
        };
        let mut children = self.children.values();
        let is_done = self.closing && self.queue.calls.is_empty() && !self.children.is_empty();
        is_done && children.all(last)
    }

    /// Returns the counters.
    pub(super) fn status(&self) -> PoolStatus {
        let mut status = self.counts;
        status.queued = self.queue.calls.len();
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
