//! The lock of a pool, its inputs, and the execution of the [`Scheduler`]'s actions.
//!
//! The pool has no thread for this. The thread that reports an input to the scheduler also executes the actions that
//! follow, unless another thread is executing them already. It is the thread that calls, or the thread that read an answer
//! (a waiting thread, or the reactor). The thread that read an answer therefore sends the next call. Actions are executed in
//! the scheduler's order, by one thread at a time, and without the lock, because an action may write to a child or wake a
//! task.
//!
//! The start of a child is the exception, because it may block: each kind has a thread for it (`starter.rs`).

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock, Weak};
use std::task::Waker;
use std::time::Instant;

use super::super::callbacks::{self, CallbackThread, CallbackWake, NextStep};
use super::super::child::call::ChildCall;
use super::super::child::interface::{Answer, CallOptions, Completion, OnDone, Refusal, WaitMode};
use super::super::child::pool_child::{EncodedCall, PoolChild};
use super::super::client::{AnyCall, Client};
use super::super::reactor::{self, Registration, Source};
use super::kind::ChildKind;
use super::scheduler::{self, Key, Ticket};
use super::status::PoolStatus;
use crate::base::panics::catch_panic;
use crate::base::sync::{Mutex, MutexGuard};
use crate::base::waker::{wake, waker};
use crate::error::{ChildId, Error};
use crate::exit_status::ExitStatus;
use crate::message::Message;
use crate::trace;
use crate::trace_calls::CallSpan;

/// A callback with its arguments.
pub(super) type PoolCallback = Box<dyn FnOnce() + Send>;
type Scheduler = scheduler::Scheduler<Arc<PoolCall>, Arc<PoolChild>>;
type Action = scheduler::Action<Arc<PoolCall>, Arc<PoolChild>>;

/// A pool that runs: see the module.
pub(super) struct Engine {
    own: Weak<Self>,
    pub(super) name: &'static str,
    /// Names the pool's worker in errors that concern no particular child.
    pub(super) child: Arc<ChildId>,
    work: Mutex<EngineState>,
    pub(super) kinds: Vec<ChildKind>,
    registration: OnceLock<Registration>,
}

pub(super) struct EngineState {
    pub(super) scheduler: Scheduler,
    /// Whether a thread is executing actions.
    busy: bool,
    /// Wakers of threads and tasks that wait for a ready child, or for the end.
    changes: Vec<Waker>,
    on_destroy: Option<PoolCallback>,
    /// Whether everything is done except the pool's callbacks, which are queued or running.
    settled: bool,
    /// The next time at which the reactor calls the pool anyway.
    armed: Option<Instant>,
    /// Callbacks that no child calls, and the thread that runs them.
    jobs: VecDeque<PoolCallback>,
    thread: CallbackThread,
}

/// A call, and the pool that it belongs to.
pub(super) struct PoolCall {
    pub(super) engine: Arc<Engine>,
    pub(super) ticket: Ticket,
    /// Length of its arguments in bytes.
    pub(super) bytes: usize,
    pub(super) state: Mutex<PoolCallState>,
    pub(super) own: Weak<Self>,
}

impl PoolCall {
    fn new(engine: &Engine, ticket: Ticket, request: EncodedCall) -> Arc<Self> {
        Arc::new_cyclic(|own| Self {
            engine: engine.to_arc(),
            ticket,
            bytes: request.len(),
            own: Weak::clone(own),
            state: Mutex::new(PoolCallState {
                request: Some(request),
                ..PoolCallState::default()
            }),
        })
    }
}

/// The state of a call that changes: see [`call`](super::call).
#[derive(Default)]
pub(super) struct PoolCallState {
    pub(super) location: Location,
    /// The arguments, until it is certain that they will not be sent again.
    pub(super) request: Option<EncodedCall>,
    /// The waker of the thread or task that waits while the call is not at a child.
    pub(super) waker: Option<Waker>,
    /// Whether `waker` belongs to a callback of a child. It is then woken instead of passed on.
    pub(super) nested: bool,
    pub(super) options: CallOptions,
    pub(super) completion: Completion,
    /// How many children ended when they received the call.
    pub(super) fatal: u32,
    /// The error with which a child gave the call back.
    pub(super) error: Option<Error>,
    pub(super) span: CallSpan,
}

/// Where a call is: see [`call`](super::call).
#[derive(Default)]
pub(super) enum Location {
    #[default]
    Queued,
    At(ChildCall),
    Done(Answer),
    Over,
}

/// The reactor calls the pool when the scheduler's alarm is due.
impl Source for Weak<Engine> {
    fn tick(&self) {
        if let Some(engine) = self.upgrade() {
            engine.change(|_| ());
        }
    }

    fn is_over(&self) -> bool {
        let is_over = |engine: Arc<Engine>| engine.lock().scheduler.over;
        self.upgrade().is_none_or(is_over)
    }
}

impl Engine {
    /// Starts the pool and its first `idle` children.
    pub(super) fn new(
        name: &'static str,
        scheduler: Scheduler,
        kinds: Vec<ChildKind>,
        on_destroy: Option<PoolCallback>,
    ) -> Result<Arc<Self>, Error> {
        let work = EngineState {
            scheduler,
            busy: false,
            changes: Vec::new(),
            on_destroy,
            settled: false,
            armed: None,
            jobs: VecDeque::new(),
            thread: CallbackThread::default(),
        };
        let engine = Arc::new_cyclic(|own| Self {
            own: Weak::clone(own),
            name,
            child: Arc::new(ChildId::of_worker(name)),
            work: Mutex::new(work),
            kinds,
            registration: OnceLock::new(),
        });
        let registered = reactor::register(|registration| {
            let _ = engine.registration.set(registration);
            Ok(Arc::new(Weak::clone(&engine.own)))
        });
        registered
            .map_err(|error| Error::start("there is no reactor for the pool").caused_by(error))?;
        engine.change(|_| ());
        Ok(engine)
    }

    fn to_arc(&self) -> Arc<Self> {
        let own = self.own.upgrade();
        own.expect("a pool that is used has an owner")
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, EngineState> {
        self.work.lock()
    }

    /// Reports an input to the scheduler, and executes the actions that follow.
    pub(super) fn change(&self, tell: impl FnOnce(&mut Scheduler)) {
        let mut work = self.lock();
        tell(&mut work.scheduler);
        self.drain(work);
    }

    /// Executes the scheduler's actions until there are none, unless another thread does so already.
    pub(super) fn drain<'a>(&'a self, mut work: MutexGuard<'a, EngineState>) {
        if std::mem::replace(&mut work.busy, true) {
            return;
        }
        loop {
            let now = Instant::now();
            let scheduler = &mut work.scheduler;
            // A thread that holds a child's lock never asks for the pool's.
            scheduler.observe(now, |child| child.snapshot());
            let actions = scheduler.step(now);
            if actions.is_empty() {
                let at = scheduler.alarm.filter(|_| !scheduler.over);
                work.busy = false;
                return self.set_alarm(at, now, work);
            }
            drop(work);
            actions.into_iter().for_each(|action| self.execute(action));
            work = self.lock();
        }
    }

    fn set_alarm(&self, at: Option<Instant>, now: Instant, mut work: MutexGuard<'_, EngineState>) {
        let is_armed = |at| work.armed.is_some_and(|armed| armed <= at && armed > now);
        if let Some(at) = at.filter(|at| !is_armed(*at)) {
            work.armed = Some(at);
            drop(work);
            self.tick_at(at);
        }
    }

    fn tick_at(&self, at: Instant) {
        if let Some(registration) = self.registration.get() {
            registration.tick_at(at);
        }
    }

    fn execute(&self, action: Action) {
        match action {
            Action::Start(key, kind) => self.start(key, kind),
            Action::Watch(key, child) => {
                let own = self.to_arc();
                child.watch(waker(move || own.change(|it| it.notice(key))));
            }
            Action::Give(call, key, child) => self.give(&call, key, &child),
            Action::Attend(child, eagerly) => child.set_eager(eagerly),
            Action::Weigh(key, child) => {
                let memory = child.memory();
                trace::child_memory_read(self.name, key, memory);
                self.change(|it| it.weighed(key, memory));
            }
            Action::Close(child) => child.close(),
            Action::CloseWithin(child, at) => child.close_within(at),
            Action::Kill(child, why) => child.kill(why),
            Action::Forget(child) => child.unwatch(),
            Action::Fail(call, error) => call.fail(error),
            Action::LookAgain(calls) => calls.iter().for_each(|call| call.wake_nested()),
            Action::Changed => self.wake_changes(),
            Action::Report(kind, error) => {
                let own = self.to_arc();
                self.run_callback(Box::new(move || own.kinds[kind].report(error)));
            }
            Action::Ready(key) => trace::child_ready(self.name, key, &self.status()),
            Action::Ended(key, status, asked) => {
                trace::child_ended(self.name, key, status, asked, &self.status());
            }
            Action::Over => self.end_all(),
        }
    }

    fn start(&self, key: Key, kind: usize) {
        let own = self.to_arc();
        self.kinds[kind].push(move || {
            trace::child_starts(own.name, key, kind);
            match own.kinds[kind].start() {
                Ok(child) => own.change(|it| it.started(key, Arc::new(child))),
                Err(error) => {
                    trace::child_failed(own.name, key, &error);
                    own.change(|it| it.failed(key, error, Instant::now()));
                }
            }
        });
    }

    fn give(&self, call: &Arc<PoolCall>, key: Key, child: &PoolChild) {
        if !call.send(child) {
            // The scheduler counted this call for the child.
            self.change(|it| it.notice(key));
        }
    }

    fn end_all(&self) {
        self.kinds.iter().for_each(ChildKind::retire);
        let on_destroy = self.lock().on_destroy.take();
        if let Some(on_destroy) = on_destroy {
            self.run_callback(on_destroy);
        }
        // The reactor finds that the pool is over.
        self.tick_at(Instant::now());
        self.lock().settled = true;
        self.wake_changes();
    }

    fn wake_changes(&self) {
        let woken = std::mem::take(&mut self.lock().changes);
        for waker in woken {
            wake(waker);
        }
    }

    /// Runs `job` on the pool's callback thread, which exits when no job is left. The thread calls callbacks that no child calls:
    /// `on_destroy`, `on_error` for failed starts, and `on_done` of calls that no child was given. They run one after the
    /// other.
    pub(super) fn run_callback(&self, job: PoolCallback) {
        let mut work = self.lock();
        work.jobs.push_back(job);
        if let Some(CallbackWake::Start) = work.thread.wake() {
            drop(work);
            let own = self.to_arc();
            callbacks::run_each(move |_| own.run_next_callback());
        }
    }

    fn run_next_callback(&self) -> NextStep {
        let mut work = self.lock();
        work.thread.begin();
        let Some(job) = work.jobs.pop_front() else {
            work.thread.exit();
            drop(work);
            self.wake_changes();
            return NextStep::Exit;
        };
        drop(work);
        if let Err(panic) = catch_panic(job) {
            let error = Error::callback(panic).about(&self.child);
            let _ = catch_panic(|| self.kinds[0].report(error));
        }
        NextStep::Again
    }

    /// Returns whether `is` holds for any child.
    pub(super) fn any(&self, is: impl Fn(&PoolChild) -> bool) -> bool {
        let work = self.lock();
        work.scheduler.children().any(|child| is(child))
    }

    /// Returns the counters.
    pub(super) fn status(&self) -> PoolStatus {
        self.lock().scheduler.status()
    }
}

impl Client for Engine {
    fn call(self: Arc<Self>, message: &mut Message, may_wait: bool) -> Result<AnyCall, Refusal> {
        let mut work = self.lock();
        if work.scheduler.closing {
            return Err(Error::closed().into());
        }
        if !may_wait && work.scheduler.is_full(1) {
            return Err(Refusal::Full);
        }
        let ticket = work.scheduler.ticket();
        let call = PoolCall::new(&self, ticket, EncodedCall::new(message));
        let queued = Arc::clone(&call);
        work.scheduler.submit(ticket, queued, call.bytes, None);
        self.drain(work);
        Ok(AnyCall::Other(call))
    }

    fn refuse(self: Arc<Self>, callback: OnDone, error: Error) {
        self.run_callback(Box::new(move || callback(Err(error))));
    }

    /// Returns whether every kind of children accepts descriptors, because any child may get the call.
    fn carries_descriptors(&self) -> bool {
        self.kinds.iter().all(ChildKind::carries_descriptors)
    }

    fn window(&self) -> usize {
        self.lock().scheduler.capacity()
    }

    fn close(&self, until: Option<Instant>) {
        self.change(|it| it.close(until));
    }

    fn kill(&self, why: &'static str) {
        self.change(|it| it.kill(why));
    }

    fn child_id(&self) -> Option<Arc<ChildId>> {
        Some(Arc::clone(&self.child))
    }

    fn pid(&self) -> Option<u32> {
        None
    }

    fn wait_ready(&self, mode: WaitMode<'_>) -> Option<Result<(), Error>> {
        wait(mode, || {
            let mut work = self.lock();
            let found = work.scheduler.readiness();
            if found.is_none() {
                work.scheduler.wanted = true;
                work.changes.push(mode.waker());
                self.drain(work);
            }
            found
        })
    }

    fn wait_end(&self, mode: WaitMode<'_>) -> Option<Result<ExitStatus, Error>> {
        wait(mode, || {
            let mut work = self.lock();
            // A callback does not wait for itself.
            let but_for_this = || {
                work.scheduler
                    .is_over_but_for(|child| child.is_calling_back_here())
            };
            // A job that asks this is not waited for.
            let is_done =
                || work.thread.is_absent() || work.jobs.is_empty() && work.thread.is_here();
            if (work.settled || but_for_this()) && is_done() {
                return Some(Ok(work.scheduler.exit));
            }
            work.changes.push(mode.waker());
            None
        })
    }
}

/// Returns what `look` finds, as soon as it finds something.
fn wait<T>(mode: WaitMode<'_>, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    loop {
        let found = look();
        if found.is_some() || !mode.park() {
            return found;
        }
    }
}
