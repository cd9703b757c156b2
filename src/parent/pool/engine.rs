//! The doing of a pool: what happens is told to the [`Scheduler`], and the thread
//! that tells it does what the scheduler says.
//!
//! The pool has no thread for it. A thread that brings news does it, unless another
//! thread is at work: the thread that calls, or the thread that read an answer (a
//! thread that waits, or the helper). So the next call goes out on the thread that
//! read the answer. Actions are done in the order in which the scheduler says them,
//! by one thread at a time, and without the lock held, since an action may write to
//! a child or wake a task.
//!
//! The exception is starting a child, which may take as long as the system
//! likes: each launcher has a thread for it (`starter.rs`).

use std::sync::{Arc, OnceLock, Weak};
use std::task::Waker;
use std::time::Instant;

use super::super::alarm::Alarm;
use super::super::child::member::{Member, Request};
use super::super::child::terms::{Callback, Refusal, Requeue};
use super::super::maker::Maker;
use super::aside::{Aside, Job};
use super::call::{Attempt, CallState};
use super::launcher::Launcher;
use super::scheduler::{self, Key, Ticket};
use super::status::PoolStatus;
use crate::base::panics::shielded;
use crate::base::sync::{Mutex, MutexGuard};
use crate::base::waker::waker;
use crate::error::{ChildId, Error};
use crate::exit_status::ExitStatus;
use crate::parcel::Parcel;
use crate::trace;

type Scheduler = scheduler::Scheduler<Arc<PoolCall>, Arc<Member>>;
type Action = scheduler::Action<Arc<PoolCall>, Arc<Member>>;

/// See the module.
pub(super) struct Engine {
    pub(super) maker: Maker,
    name: &'static str,
    /// All its children, for errors that are about no one child.
    pub(super) child: Arc<ChildId>,
    work: Mutex<Work>,
    pub(super) launchers: Vec<Launcher>,
    alarm: OnceLock<Alarm>,
    /// How many calls may wait, and how many bytes of them.
    limits: (usize, usize),
    aside: Arc<Aside>,
}

pub(super) struct Work {
    pub(super) scheduler: Scheduler,
    /// A thread does what the scheduler says.
    busy: bool,
    /// What waits for a child to be ready, or for the end.
    changes: Vec<Waker>,
    on_destroy: Option<Job>,
    /// Nothing is left but callbacks of the pool's own, and these are under way.
    settled: bool,
}

/// One call, and the pool that it belongs to.
pub(super) struct PoolCall {
    pub(super) engine: Arc<Engine>,
    pub(super) ticket: Ticket,
    /// How many bytes of arguments it has.
    bytes: usize,
    pub(super) state: CallState,
    own: Weak<Self>,
}

impl PoolCall {
    pub(super) fn new(engine: &Arc<Engine>, ticket: Ticket, request: Request) -> Arc<Self> {
        Arc::new_cyclic(|own| Self {
            engine: Arc::clone(engine),
            ticket,
            bytes: request.len(),
            state: CallState::new(request),
            own: Weak::clone(own),
        })
    }

    /// What a child calls with the outcome if the user's callback is to have it.
    pub(super) fn callback(&self) -> Callback {
        let own = self.own.upgrade();
        Box::new(move |answer| {
            if let Some(own) = own {
                own.state.call_back(answer);
            }
        })
    }
}

impl Requeue for PoolCall {
    fn finished(&self) {
        self.state.settle();
    }

    fn lost(self: Arc<Self>, error: Error, started: bool) {
        if self.state.lost(error, started) {
            Engine::requeue(&self);
        }
    }
}

impl Engine {
    /// Starts the pool: with the children that are to be there at once.
    pub(super) fn new(
        name: &'static str,
        scheduler: Scheduler,
        launchers: Vec<Launcher>,
        limits: (usize, usize),
        on_destroy: Option<Job>,
    ) -> Result<Arc<Self>, Error> {
        let work = Work {
            scheduler,
            busy: false,
            changes: Vec::new(),
            on_destroy,
            settled: false,
        };
        let engine = Arc::new(Self {
            maker: Maker::this(),
            name,
            child: Arc::new(ChildId::of_worker(name)),
            work: Mutex::new(work),
            launchers,
            alarm: OnceLock::new(),
            limits,
            aside: Arc::default(),
        });
        let own = Arc::clone(&engine);
        let alarm = Alarm::new(waker(move || own.change(|_| ())))
            .map_err(|error| Error::start("there is no helper for the pool").caused_by(error))?;
        let _ = engine.alarm.set(alarm);
        engine.change(|_| ());
        Ok(engine)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock()
    }

    /// Tells the scheduler something, and does what follows.
    pub(super) fn change(self: &Arc<Self>, tell: impl FnOnce(&mut Scheduler)) {
        let mut work = self.lock();
        tell(&mut work.scheduler);
        self.drain(work);
    }

    /// Does what the scheduler says until it says nothing more, unless another
    /// thread is at it.
    pub(super) fn drain<'a>(self: &'a Arc<Self>, mut work: MutexGuard<'a, Work>) {
        if std::mem::replace(&mut work.busy, true) {
            return;
        }
        loop {
            let now = Instant::now();
            let Work {
                scheduler, changes, ..
            } = &mut *work;
            // A thread that holds a child's lock never asks for the pool's.
            scheduler.look(now, |child| child.snapshot());
            let actions = scheduler.settle(now);
            let woken = match scheduler.take_changed() {
                true => std::mem::take(changes),
                false => Vec::new(),
            };
            if actions.is_empty() && woken.is_empty() {
                let at = scheduler.alarm().filter(|_| !scheduler.is_over());
                work.busy = false;
                drop(work);
                return self.set_alarm(at);
            }
            drop(work);
            actions.into_iter().for_each(|action| self.perform(action));
            for waker in woken {
                let _ = shielded(|| waker.wake());
            }
            work = self.lock();
        }
    }

    fn set_alarm(&self, at: Option<Instant>) {
        if let Some((at, alarm)) = at.zip(self.alarm.get()) {
            alarm.set(at);
        }
    }

    fn perform(self: &Arc<Self>, action: Action) {
        match action {
            Action::Start(key, launcher) => self.start(key, launcher),
            Action::Watch(key, child) => {
                let own = Arc::clone(self);
                child.watch(waker(move || own.change(|it| it.notice(key))));
            }
            Action::Give(call, key, child) => self.give(&call, key, &child),
            Action::Attend(child, eagerly) => child.attend(eagerly),
            Action::Weigh(key, child) => {
                let memory = child.memory();
                trace::child_weighed(self.name, key, memory);
                self.change(|it| it.weighed(key, memory));
            }
            Action::Close(child) => child.close(),
            Action::CloseWithin(child, at) => child.close_within(at),
            Action::Kill(child) => child.kill(),
            Action::Forget(child) => child.unwatch(),
            Action::Fail(call, error) => self.fail(&call, error),
            Action::LookAgain(calls) => calls.iter().for_each(|call| call.state.wake_nested()),
            Action::Report(launcher, error) => {
                let own = Arc::clone(self);
                self.aside(Box::new(move || own.launchers[launcher].report(error)));
            }
            Action::Ready(key) => trace::child_ready(self.name, key, &self.status()),
            Action::Ended(key, status, asked) => {
                trace::child_ended(self.name, key, status, asked, &self.status());
            }
            Action::Over => self.end_all(),
        }
    }

    fn start(self: &Arc<Self>, key: Key, launcher: usize) {
        let own = Arc::clone(self);
        self.launchers[launcher].push(move || {
            trace::child_starts(own.name, key, launcher);
            match own.launchers[launcher].start() {
                Ok(child) => own.change(|it| it.started(key, Arc::new(child))),
                Err(error) => {
                    trace::child_failed(own.name, key, &error);
                    own.change(|it| it.failed(key, error, Instant::now()));
                }
            }
        });
    }

    fn give(self: &Arc<Self>, call: &Arc<PoolCall>, key: Key, child: &Member) {
        let owner = Arc::clone(call) as _;
        match call.state.send(child, owner, || call.callback()) {
            Attempt::Sent => return,
            Attempt::Dropped => {}
            Attempt::Waits => Self::requeue(call),
            Attempt::Failed(error) => self.fail(call, error),
        }
        // It has one call less than was said.
        self.change(|it| it.notice(key));
    }

    /// A call has to move to another child.
    fn requeue(call: &Arc<PoolCall>) {
        let own = &call.engine;
        trace::call_moved(own.name, call.ticket);
        let deadline = call.state.deadline();
        own.change(|it| {
            it.count_moved();
            it.submit(call.ticket, Arc::clone(call), call.bytes, deadline);
        });
    }

    fn fail(self: &Arc<Self>, call: &PoolCall, error: Error) {
        if let Some(job) = call.state.fail(error) {
            self.aside(job);
        }
    }

    fn end_all(self: &Arc<Self>) {
        self.launchers.iter().for_each(Launcher::retire);
        let on_destroy = self.lock().on_destroy.take();
        if let Some(on_destroy) = on_destroy {
            self.aside(on_destroy);
        }
        if let Some(alarm) = self.alarm.get() {
            alarm.turn_off();
        }
        self.lock().settled = true;
        self.wake_changes();
    }

    fn wake_changes(&self) {
        let woken = std::mem::take(&mut self.lock().changes);
        for waker in woken {
            let _ = shielded(|| waker.wake());
        }
    }

    /// Has a callback run on a thread that is for callbacks.
    pub(super) fn aside(self: &Arc<Self>, job: Job) {
        let own = Arc::clone(self);
        let job = Box::new(move || {
            if let Err(panic) = shielded(job) {
                own.launchers[0].report(Error::callback(panic).about(&own.child));
            }
        });
        let own = Arc::clone(self);
        self.aside.push(job, move || own.wake_changes());
    }

    /// Returns whether one of the children is so.
    pub(super) fn any(&self, is: impl Fn(&Member) -> bool) -> bool {
        let work = self.lock();
        work.scheduler.children().any(|child| is(child))
    }

    /// Takes a call.
    pub(super) fn submit(
        self: &Arc<Self>,
        parcel: &mut Parcel,
        may_wait: bool,
    ) -> Result<Arc<PoolCall>, Refusal> {
        let mut work = self.lock();
        if work.scheduler.is_closing() {
            return Err(Error::closed().into());
        }
        let ((calls, bytes), (most_calls, most_bytes)) = (work.scheduler.queued(), self.limits);
        if !may_wait && (calls >= most_calls || bytes >= most_bytes) {
            return Err(Refusal::Full);
        }
        let ticket = work.scheduler.ticket();
        let call = PoolCall::new(self, ticket, Request::new(parcel));
        let queued = Arc::clone(&call);
        work.scheduler.submit(ticket, queued, call.bytes, None);
        self.drain(work);
        Ok(call)
    }

    /// Returns whether more calls wait than may wait without their handles.
    pub(super) fn has_too_many(&self) -> bool {
        let (calls, bytes) = self.lock().scheduler.queued();
        let (most_calls, most_bytes) = self.limits;
        calls > most_calls || bytes > most_bytes
    }

    /// What can be counted.
    pub(super) fn status(&self) -> PoolStatus {
        if !self.maker.is_this() {
            return PoolStatus::default();
        }
        self.lock().scheduler.status()
    }

    /// Returns how many calls its children may have under way.
    pub(super) fn capacity(&self) -> usize {
        self.lock().scheduler.capacity()
    }

    pub(super) fn readiness(
        self: &Arc<Self>,
        waker: impl FnOnce() -> Waker,
    ) -> Option<Result<(), Error>> {
        let mut work = self.lock();
        let found = work.scheduler.readiness();
        if found.is_none() {
            work.scheduler.want_one();
            work.changes.push(waker());
            self.drain(work);
        }
        found
    }

    pub(super) fn end(&self, waker: impl FnOnce() -> Waker) -> Option<ExitStatus> {
        let mut work = self.lock();
        // A callback does not wait for itself.
        let but_for_this = || {
            work.scheduler
                .is_over_but_for(|child| child.is_calling_back_here())
        };
        if (work.settled || but_for_this()) && self.aside.is_done() {
            return Some(work.scheduler.exit());
        }
        work.changes.push(waker());
        None
    }
}
