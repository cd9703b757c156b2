//! One call of a pool.
//!
//! ```text
//!         it is given to a child      it is done, or cancelled
//!   Queued ──────────────────────▶ At ─────────────────────────▶ Over
//!    ▲ │                           │                              ▲
//!    └─┼──────── given back ───────┘                              │
//!      └─────────────▶ Done: it failed here ──────────────────────┘
//! ```
//!
//! While the call is *At* a child, a thread or task that waits for it waits at the child. Events, order and callbacks are
//! then as without a pool. In the other states its waker is kept here, and is passed to the child with the call. A child's
//! callback that waits is the exception: it must ask the child itself, and is woken to do so.
//!
//! A call whose arguments end the child that receives them would go from child to child. So it fails with the fifth.
//!
//! The call's options and completion are always kept here, because the call may be sent again. Its arguments are kept
//! until it is certain that they will not be.

use std::sync::Arc;
use std::task::Waker;

use super::super::callbacks::is_callback_thread;
use super::super::child::call::ChildCall;
use super::super::child::interface::{
    Answer, CallOptions, CallSetup, Completion, Moved, NextEvent, OnDone, Reached, Requeue,
    WaitMode,
};
use super::super::child::pool_child::PoolChild;
use super::super::client::{Client, PendingCall};
use super::engine::{Location, PoolCall, PoolCallState};
use super::scheduler::PATIENCE;
use crate::base::waker::wake;
use crate::error::{ChildId, Error};
use crate::protocol::Started;
use crate::trace;

impl PoolCallState {
    /// Returns the waker to pass on, and the waker to wake now.
    fn take_wakers(&mut self) -> (Option<Waker>, Option<Waker>) {
        let waker = self.waker.take();
        if self.nested {
            (None, waker)
        } else {
            (waker, None)
        }
    }

    /// Returns the call at the child that has it.
    fn child(&self) -> Option<ChildCall> {
        match &self.location {
            Location::At(call) => Some(call.clone()),
            Location::Queued | Location::Done(_) | Location::Over => None,
        }
    }
}

impl PoolCall {
    /// Returns the function that a child calls with the outcome. It calls the user's callback.
    fn callback(&self) -> OnDone {
        let own = self.own.upgrade();
        Box::new(move |answer| {
            if let Some(own) = own {
                own.call_back(answer);
            }
        })
    }

    /// Sends the call to `child`. Returns whether the child has it. If the child accepts no calls, the call is queued again. If
    /// the arguments could not be copied, no child can take the call.
    ///
    /// The lock is held until the child has the call, and released under the child's lock. No thread can therefore change the
    /// call before the child has it. The wakers and callbacks that follow run without either lock.
    pub(super) fn send(self: &Arc<Self>, child: &PoolChild) -> bool {
        let mut state = self.state.lock();
        let message = match (&state.location, &state.request) {
            (Location::Queued, Some(request)) => request.copy(),
            _ => return false,
        };
        let message = match message {
            Ok(message) => message,
            Err(error) => {
                drop(state);
                self.fail(error);
                return false;
            }
        };
        let mut nested = None;
        let sent = child.send(message, Arc::clone(self) as _, |call| {
            state.location = Location::At(call);
            let waker;
            (waker, nested) = state.take_wakers();
            let completion = match state.completion {
                Completion::Keep => Completion::Keep,
                Completion::Callback(_) => Completion::Callback(self.callback()),
                Completion::Discard => Completion::Discard,
            };
            let (options, span) = (state.options, state.span.clone());
            drop(state);
            CallSetup {
                options,
                completion,
                waker,
                span,
            }
        });
        nested.into_iter().for_each(wake);
        if !sent {
            self.requeue();
        }
        sent
    }

    /// Calls the user's callback with the outcome. Only a callback thread calls this.
    fn call_back(&self, answer: Answer) {
        let completion = {
            let mut state = self.state.lock();
            state.location = Location::Over;
            std::mem::take(&mut state.completion)
        };
        if let Completion::Callback(callback) = completion {
            callback(answer);
        }
    }

    /// Ends the call with `error`, from any thread. If the pool was closed and a child gave the call back before, the older
    /// error is used.
    pub(super) fn fail(&self, error: Error) {
        let mut state = self.state.lock();
        if matches!(state.location, Location::Over | Location::Done(_)) {
            return;
        }
        let older = state.error.take().filter(|_| error.is_closed());
        let error = older.unwrap_or(error).after(state.options.earlier);
        let waker = state.waker.take();
        let request = state.request.take();
        let completion = std::mem::take(&mut state.completion);
        let (location, job) = match completion {
            Completion::Keep => (Location::Done(Err(error)), None),
            Completion::Discard => (Location::Over, None),
            Completion::Callback(callback) => (Location::Over, Some(|| callback(Err(error)))),
        };
        state.location = location;
        drop(state);
        drop(request);
        waker.into_iter().for_each(wake);
        if let Some(job) = job {
            self.engine.run_callback(Box::new(job));
        }
    }

    /// Queues the call again, for another child.
    pub(super) fn requeue(self: &Arc<Self>) {
        trace::call_moved(self.engine.name, self.ticket);
        let deadline = self.state.lock().options.deadline;
        self.engine.change(|it| {
            it.counts.moved += 1;
            it.submit(self.ticket, Arc::clone(self), self.bytes, deadline);
        });
    }

    /// Wakes the callback of a child that waits here, to look again.
    pub(super) fn wake_nested(&self) {
        let (_, nested) = match self.state.lock() {
            mut state if state.nested => state.take_wakers(),
            _ => return,
        };
        nested.into_iter().for_each(wake);
    }

    /// Returns where the call is, other than at the child from which it has `moved`. If that is `Queued`, the waker of
    /// `enlisted` is kept, and is woken when it changes. Its flag says whether it belongs to a callback of a child.
    fn look(&self, moved: Option<&ChildCall>, enlisted: Option<(Waker, bool)>) -> Location {
        let mut state = self.state.lock();
        match &state.location {
            Location::Done(_) => return std::mem::replace(&mut state.location, Location::Over),
            Location::At(call) if !moved.is_some_and(|old| old.is(call)) => {
                return Location::At(call.clone());
            }
            Location::Queued | Location::At(_) => {}
            Location::Over => panic!("the result of this call was taken before"),
        }
        if let Some((waker, nested)) = enlisted {
            state.nested = nested;
            let old = state.waker.replace(waker);
            drop(state);
            drop(old);
        }
        Location::Queued
    }

    /// Returns where the call is, other than at `moved`. If that is `Queued`, what waits is woken when it changes.
    fn find(&self, moved: Option<&ChildCall>, mode: WaitMode<'_>) -> Location {
        match self.look(moved, None) {
            Location::Queued => {}
            found => return found,
        }
        let nested = is_callback_thread();
        let found = self.look(moved, Some((mode.waker(), nested)));
        // This takes the pool's lock, so the call's lock must not be held.
        if nested
            && matches!(found, Location::Queued)
            && self.engine.any(PoolChild::would_deadlock_here)
        {
            let earlier = self.state.lock().options.earlier;
            self.cancel();
            let error = Error::would_deadlock(Started::No).after(earlier);
            return Location::Done(Err(error));
        }
        found
    }

    /// Waits at the child that has the call, or in the pool. `here` converts an outcome that is in the pool.
    fn wait_at<T>(
        &self,
        mode: WaitMode<'_>,
        here: impl Fn(Answer) -> T,
        wait: impl Fn(&ChildCall, WaitMode<'_>) -> Option<Result<T, Moved>>,
    ) -> Option<T> {
        let mut moved = None;
        loop {
            match self.find(moved.as_ref(), mode) {
                Location::Done(answer) => return Some(here(answer)),
                Location::At(call) => match wait(&call, mode)? {
                    Ok(found) => return Some(found),
                    Err(Moved) => moved = Some(call),
                },
                Location::Queued | Location::Over if mode.park() => {}
                Location::Queued | Location::Over => return None,
            }
        }
    }

    /// Returns the call at the child that has it.
    fn child(&self) -> Option<ChildCall> {
        self.state.lock().child()
    }
}

impl Requeue for PoolCall {
    /// Drops the arguments: the call will not be sent again.
    fn finished(&self) {
        let request = self.state.lock().request.take();
        drop(request);
    }

    fn lost(self: Arc<Self>, error: Error, reached: Reached) {
        let mut state = self.state.lock();
        let repeats = &mut state.options.repeats;
        *repeats = repeats.saturating_sub((reached == Reached::Running).into());
        state.options.earlier = Some(error.started());
        state.fatal += u32::from(reached == Reached::Receiving);
        let is_fatal = state.fatal >= PATIENCE;
        state.error = Some(error.clone());
        if matches!(state.location, Location::At(_)) {
            let left = std::mem::take(&mut state.location);
            drop(state);
            // This may be the last handle of the child.
            drop(left);
            match is_fatal {
                true => self.fail(error.fatal()),
                false => self.requeue(),
            }
        }
    }
}

impl PendingCall for PoolCall {
    fn client(&self) -> Arc<dyn Client> {
        Arc::clone(&self.engine) as _
    }

    fn child_id(&self) -> Option<Arc<ChildId>> {
        match self.child() {
            Some(call) => call.child_id(),
            None => Some(Arc::clone(&self.engine.child)),
        }
    }

    fn has_started(&self) -> Started {
        let state = self.state.lock();
        let (call, earlier) = (state.child(), state.options.earlier);
        drop(state);
        let now = call.map_or(Started::No, |call| call.has_started());
        earlier.map_or(now, |earlier| earlier.either(now))
    }

    fn wait(&self, mode: WaitMode<'_>) -> Option<Answer> {
        self.wait_at(mode, |answer| answer, ChildCall::wait)
    }

    fn wait_event(&self, mode: WaitMode<'_>) -> Option<NextEvent> {
        // An outcome that is found instead of an event is put back. No event follows.
        let end = |answer| {
            self.state.lock().location = Location::Done(answer);
            NextEvent::End
        };
        self.wait_at(mode, end, ChildCall::wait_event)
    }

    fn cancel(&self) {
        let mut state = self.state.lock();
        let location = std::mem::replace(&mut state.location, Location::Over);
        let completion = std::mem::take(&mut state.completion);
        let spent = (state.waker.take(), completion, state.request.take());
        drop(state);
        drop(spent);
        match location {
            Location::At(call) => call.cancel(),
            Location::Queued => self.engine.change(|it| drop(it.withdraw(self.ticket))),
            Location::Done(_) | Location::Over => {}
        }
    }

    fn update(&self, change: &dyn Fn(&mut CallOptions)) {
        let mut state = self.state.lock();
        let before = state.options.deadline;
        change(&mut state.options);
        let (child, deadline) = (state.child(), state.options.deadline);
        drop(state);
        match child {
            Some(call) => call.update(change),
            None if deadline == before => {}
            None => self
                .engine
                .change(|it| it.set_deadline(self.ticket, deadline)),
        }
    }

    /// A call at a child needs no room in the queue, because a child has at most `load` calls.
    fn set_completion(&self, completion: Completion) -> bool {
        let is_callback = completion.is_callback();
        let is_queued = || {
            matches!(
                self.state.lock().location,
                Location::Queued | Location::Over
            )
        };
        if !is_callback && is_queued() && self.engine.lock().scheduler.is_full(0) {
            return false;
        }
        let mut state = self.state.lock();
        if let Location::Done(_) = state.location {
            let done = std::mem::replace(&mut state.location, Location::Over);
            drop(state);
            if let (Location::Done(answer), Completion::Callback(callback)) = (done, completion) {
                self.engine.run_callback(Box::new(move || callback(answer)));
            }
            return true;
        }
        state.completion = completion;
        let child = state.child();
        drop(state);
        if let Some(call) = child {
            call.set_completion(match is_callback {
                true => Completion::Callback(self.callback()),
                false => Completion::Discard,
            });
        }
        true
    }

    fn expire(&self) {
        match self.child() {
            Some(call) => call.expire(),
            None => self.engine.change(|_| ()),
        }
    }
}
