//! How the handles of a pool reach it: as they would reach a child.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::super::child::call::ChildCall;
use super::super::child::member::Member;
use super::super::child::terms::{
    Answer, CallOptions, Callback, Completion, Here, NextEvent, Refusal,
};
use super::super::target::{Origin, Pending, PendingCall};
use super::call::Spot;
use super::engine::{Engine, PoolCall};
use super::launcher::Launcher;
use crate::base::sync::park_until;
use crate::base::waker::this_thread;
use crate::error::{ChildId, Error};
use crate::exit_status::ExitStatus;
use crate::parcel::Parcel;
use crate::protocol::Started;

/// What the handles of a pool lead to.
pub(super) struct PoolClient(pub(super) Arc<Engine>);

impl Origin for PoolClient {
    fn call(self: Arc<Self>, parcel: &mut Parcel, may_wait: bool) -> Result<Pending, Refusal> {
        let call = self.0.submit(parcel, may_wait)?;
        Ok(Pending::Other(call))
    }

    fn refuse(self: Arc<Self>, callback: Callback, error: Error) {
        self.0.aside(Box::new(move || callback(Err(error))));
    }

    /// Only if every child can take them, since any child may get the call.
    fn carries_descriptors(&self) -> bool {
        self.0.launchers.iter().all(Launcher::carries_descriptors)
    }

    fn window(&self) -> usize {
        self.0.capacity()
    }

    fn close(&self) {
        self.0.change(|it| it.close());
    }

    fn close_within(&self, at: Instant) {
        self.0.change(|it| it.close_within(at));
    }

    fn kill(&self) {
        self.0.change(|it| it.kill());
    }

    fn child_id(&self) -> Option<Arc<ChildId>> {
        Some(Arc::clone(&self.0.child))
    }

    fn pid(&self) -> Option<u32> {
        None
    }

    fn wait_ready(&self, until: Option<Instant>) -> Option<Result<(), Error>> {
        wait(until, |waker| self.0.readiness(waker))
    }

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let found = self.0.readiness(|| context.waker().clone());
        found.map_or(Poll::Pending, Poll::Ready)
    }

    fn wait_end(&self, until: Option<Instant>) -> Option<Result<ExitStatus, Error>> {
        wait(until, |waker| self.0.end(waker)).map(Ok)
    }

    fn poll_end(&self, context: &mut Context<'_>) -> Poll<Result<ExitStatus, Error>> {
        let found = self.0.end(|| context.waker().clone());
        found.map_or(Poll::Pending, |status| Poll::Ready(Ok(status)))
    }
}

/// Sleeps until this finds something; `None` once the time is up.
fn wait<T>(until: Option<Instant>, mut look: impl FnMut(fn() -> Waker) -> Option<T>) -> Option<T> {
    loop {
        if let Some(found) = look(this_thread) {
            return Some(found);
        }
        if until.is_some_and(|until| until <= Instant::now()) {
            return None;
        }
        park_until(until);
    }
}

impl PoolCall {
    /// Says where to look; if nowhere, the waker is woken when it is worth looking
    /// again.
    fn find(&self, moved: Option<&ChildCall>, waker: impl Fn() -> Waker) -> Spot {
        match self.state.find(moved, None) {
            Spot::Queued => {}
            found => return found,
        }
        // This asks for the pool's lock, so not under that of the call.
        let nested = self.engine.any(Member::is_calling_back_here);
        let found = self.state.find(moved, Some((waker(), nested)));
        if nested && matches!(found, Spot::Queued) && self.engine.any(Member::is_stuck_here) {
            self.cancel();
            return Spot::Done(Err(Error::would_deadlock()));
        }
        found
    }

    /// Waits wherever the call is; `None` once the time is up. `here` is what to
    /// make of an outcome that is found in the pool.
    fn wait_at<T>(
        &self,
        until: Option<Instant>,
        here: impl Fn(Answer) -> T,
        wait: impl Fn(&ChildCall) -> Option<Here<T>>,
    ) -> Option<T> {
        let mut moved = None;
        loop {
            match self.find(moved.as_ref(), this_thread) {
                Spot::Done(answer) => return Some(here(answer)),
                Spot::At(call) => match wait(&call)? {
                    Here::Found(found) => return Some(found),
                    Here::Moved => moved = Some(call),
                },
                _ if until.is_some_and(|until| until <= Instant::now()) => return None,
                _ => park_until(until),
            }
        }
    }

    /// The same for a task.
    fn poll_at<T>(
        &self,
        context: &mut Context<'_>,
        here: impl Fn(Answer) -> T,
        poll: impl Fn(&ChildCall, &mut Context<'_>) -> Poll<Here<T>>,
    ) -> Poll<T> {
        let mut moved = None;
        loop {
            match self.find(moved.as_ref(), || context.waker().clone()) {
                Spot::Done(answer) => return Poll::Ready(here(answer)),
                Spot::At(call) => match poll(&call, context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Here::Found(found)) => return Poll::Ready(found),
                    Poll::Ready(Here::Moved) => moved = Some(call),
                },
                Spot::Queued | Spot::Over => return Poll::Pending,
            }
        }
    }

    /// An outcome was found where an event was looked for.
    fn no_event(&self, answer: Answer) -> NextEvent {
        self.state.put_back(answer);
        NextEvent::End
    }
}

impl PendingCall for PoolCall {
    fn origin(&self) -> Arc<dyn Origin> {
        Arc::new(PoolClient(Arc::clone(&self.engine)))
    }

    fn child_id(&self) -> Option<Arc<ChildId>> {
        match self.state.child() {
            Some(call) => call.child_id(),
            None => Some(Arc::clone(&self.engine.child)),
        }
    }

    fn has_started(&self) -> Started {
        let call = self.state.child();
        call.map_or(Started::No, |call| call.has_started())
    }

    fn wait(&self, until: Option<Instant>) -> Option<Answer> {
        self.wait_at(until, |answer| answer, |call| call.wait(until))
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<Answer> {
        self.poll_at(context, |answer| answer, ChildCall::poll)
    }

    fn wait_event(&self, until: Option<Instant>) -> Option<NextEvent> {
        self.wait_at(
            until,
            |answer| self.no_event(answer),
            |call| call.wait_event(until),
        )
    }

    fn poll_event(&self, context: &mut Context<'_>) -> Poll<NextEvent> {
        self.poll_at(
            context,
            |answer| self.no_event(answer),
            ChildCall::poll_event,
        )
    }

    fn cancel(&self) {
        match self.state.cancel() {
            Spot::At(call) => call.cancel(),
            Spot::Queued => self.engine.change(|it| drop(it.withdraw(self.ticket))),
            Spot::Done(_) | Spot::Over => {}
        }
    }

    fn update(&self, change: &dyn Fn(&mut CallOptions)) {
        let before = self.state.deadline();
        if let Some(call) = self.state.update(change) {
            return call.update(change);
        }
        let deadline = self.state.deadline();
        if deadline != before {
            self.engine
                .change(|it| it.set_deadline(self.ticket, deadline));
        }
    }

    /// What is at a child has room: a child is given no more than its load.
    fn entrust(&self, mut completion: Completion) -> bool {
        let is_callback = completion.is_callback();
        if !is_callback && self.state.needs_room() && self.engine.has_too_many() {
            return false;
        }
        match self.state.entrust(&mut completion) {
            Spot::At(call) if is_callback => call.entrust(Completion::Callback(self.callback())),
            Spot::At(call) => call.entrust(Completion::Discard),
            Spot::Done(answer) => {
                if let Completion::Callback(callback) = completion {
                    self.engine.aside(Box::new(move || callback(answer)));
                }
            }
            Spot::Queued | Spot::Over => {}
        }
        true
    }

    fn expire(&self) {
        match self.state.child() {
            Some(call) => call.expire(),
            None => self.engine.change(|_| ()),
        }
    }
}
