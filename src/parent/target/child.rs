//! One child as what stands behind the handles: its [`Driver`] does the work.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::super::child::call::ChildCall;
use super::super::child::connection::Connection;
use super::super::child::driver::Driver;
use super::super::child::state::Core;
use super::super::child::state::waiting::Want;
use super::super::child::terms::{
    Answer, CallOptions, Callback, Completion, Here, NextEvent, Refusal,
};
use super::{Origin, Pending, PendingCall};
use crate::error::{ChildId, Error};
use crate::exit_status::ExitStatus;
use crate::parcel::Parcel;
use crate::protocol::Started;

/// How many short calls keep a child busy while their results are looked at.
const WINDOW: usize = 16;

/// A call of a child of its own is not given back, so it never moves.
fn stays<T>(here: Here<T>) -> T {
    match here {
        Here::Found(found) => found,
        Here::Moved => unreachable!("a call without an owner is not given back"),
    }
}

impl PendingCall for ChildCall {
    fn origin(&self) -> Arc<dyn Origin> {
        Arc::clone(self.driver()) as _
    }
    fn child_id(&self) -> Option<Arc<ChildId>> {
        Some(Arc::clone(&self.driver().child))
    }
    fn has_started(&self) -> Started {
        self.driver().look(|core| core.has_started(self.id()))
    }
    fn wait(&self, until: Option<Instant>) -> Option<Answer> {
        self.wait(until).map(stays)
    }
    fn poll(&self, context: &mut Context<'_>) -> Poll<Answer> {
        self.poll(context).map(stays)
    }
    fn wait_event(&self, until: Option<Instant>) -> Option<NextEvent> {
        self.wait_event(until).map(stays)
    }
    fn poll_event(&self, context: &mut Context<'_>) -> Poll<NextEvent> {
        self.poll_event(context).map(stays)
    }
    fn cancel(&self) {
        self.driver().change(|core| core.cancel(self.id()));
    }
    fn update(&self, change: &dyn Fn(&mut CallOptions)) {
        self.driver().change(|core| core.update(self.id(), change));
    }
    fn entrust(&self, completion: Completion) -> bool {
        let waits = || self.driver().look(|core| core.caller.is_queued(self.id()));
        let may_go = completion.is_callback() || !waits();
        if may_go {
            self.entrust(completion);
        }
        may_go
    }
    fn expire(&self) {
        self.driver().expire(self.id());
    }
}

impl Origin for Driver<Connection> {
    fn call(self: Arc<Self>, parcel: &mut Parcel, may_wait: bool) -> Result<Pending, Refusal> {
        let id = Self::call(&self, |core| core.call(parcel, may_wait))?;
        Ok(Pending::Child(ChildCall::new(self, id)))
    }
    fn refuse(self: Arc<Self>, callback: Callback, error: Error) {
        self.change(|core| core.refuse(callback, error));
    }
    fn carries_descriptors(&self) -> bool {
        self.wire.carries_descriptors()
    }
    fn window(&self) -> usize {
        WINDOW
    }
    fn close(&self) {
        self.change(Core::close);
    }
    fn close_within(&self, at: Instant) {
        self.change(|core| core.close_within(at));
    }
    fn kill(&self) {
        self.change(Core::kill_by_user);
    }
    fn child_id(&self) -> Option<Arc<ChildId>> {
        Some(Arc::clone(&self.child))
    }
    fn pid(&self) -> Option<u32> {
        self.wire.pid()
    }
    fn wait_ready(&self, until: Option<Instant>) -> Option<Result<(), Error>> {
        self.wait(Want::Change, until, |core| core.readiness())
    }
    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll(Want::Change, context, |core| core.readiness())
    }
    fn wait_end(&self, until: Option<Instant>) -> Option<Result<ExitStatus, Error>> {
        self.wait(Want::Change, until, |core| core.end())
    }
    fn poll_end(&self, context: &mut Context<'_>) -> Poll<Result<ExitStatus, Error>> {
        self.poll(Want::Change, context, |core| core.end())
    }
}
