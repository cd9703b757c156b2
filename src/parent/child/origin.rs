//! A child as what stands behind the handles ([`target`](crate::parent::target)): its
//! [`Driver`] does the work.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::connection::Connection;
use super::driver::Driver;
use super::state::Core;
use super::state::life::Ending;
use super::state::waiting::Callback;
use super::state::waiting::Want;
use crate::error::Error;
use crate::exit_status::ExitStatus;
use crate::parcel::Parcel;
use crate::parent::target::{Answer, Calls, NextEvent, Origin, Refusal, Resident};

/// What a child finds of a call.
pub(crate) enum Here<T> {
    Found(T),
    /// The call is not this child's any more.
    Moved,
}

impl<T> Here<T> {
    /// What was found of a call that no pool takes away.
    fn found(self) -> T {
        match self {
            Self::Found(found) => found,
            Self::Moved => unreachable!("a call of a child of its own stays there"),
        }
    }
}

/// The outcome of a call, once it may be seen.
pub(crate) fn outcome(core: &mut Core, id: u32) -> Option<Here<Answer>> {
    if let Some(outcome) = core.collect(id) {
        return Some(Here::Found(outcome));
    }
    if !core.knows(id) {
        return Some(Here::Moved);
    }
    let stuck = core.delivery.is_stuck_here();
    stuck.then(|| Here::Found(Err(core.stuck(id))))
}

/// The next event of a call, once it may be seen.
pub(crate) fn next_event(core: &mut Core, id: u32) -> Option<Here<NextEvent>> {
    if !core.knows(id) {
        return Some(Here::Moved);
    }
    let found = core.next_call_event(id);
    if found.is_none() && core.delivery.is_stuck_here() {
        return Some(Here::Found(NextEvent::Stuck(core.stuck(id))));
    }
    found.map(Here::Found)
}

impl Resident for Driver<Connection> {
    fn is_here(&self) -> bool {
        Self::is_here(self)
    }
    fn refuse(self: Arc<Self>, callback: Callback, error: Error) {
        self.change(|core| core.refuse(callback, error));
    }
}

impl Calls for Driver<Connection> {
    fn wait(&self, id: u32, until: Option<Instant>) -> Option<Answer> {
        self.wait(Want::Call(id), until, |core| outcome(core, id))
            .map(Here::found)
    }
    fn poll(&self, id: u32, context: &mut Context<'_>) -> Poll<Answer> {
        self.poll(Want::Call(id), context, |core| outcome(core, id))
            .map(Here::found)
    }
    fn ask_for_events(&self, id: u32) {
        self.change(|core| core.ask_for_events(id));
    }
    fn wait_event(&self, id: u32, until: Option<Instant>) -> Option<NextEvent> {
        self.wait(Want::Call(id), until, |core| next_event(core, id))
            .map(Here::found)
    }
    fn poll_event(&self, id: u32, context: &mut Context<'_>) -> Poll<NextEvent> {
        self.poll(Want::Call(id), context, |core| next_event(core, id))
            .map(Here::found)
    }
    fn cancel(&self, id: u32) {
        self.change(|core| core.cancel(id));
    }
    fn then_call(self: Arc<Self>, id: u32, callback: Callback) {
        self.change(|core| core.then_call(id, callback));
    }
    fn then_forget(&self, id: u32) -> bool {
        self.change(|core| {
            let is_sent = !core.caller.is_queued(id);
            if is_sent {
                core.then_forget(id);
            }
            is_sent
        })
    }
    fn set_deadline(&self, id: u32, at: Instant) {
        self.change(|core| core.set_deadline(id, at));
    }
    fn expire(&self, id: u32) {
        Self::expire(self, id);
    }
    fn kill_on_cancel(&self, id: u32) {
        self.change(|core| core.kill_on_cancel(id));
    }
    /// A child of its own does not come back, so there is nowhere to run it.
    fn repeat(&self, _: u32, _: u32) {}
}

impl Origin for Driver<Connection> {
    fn call(
        self: Arc<Self>,
        parcel: &mut Parcel,
        may_wait: bool,
    ) -> Result<(Arc<dyn Calls>, u32), Refusal> {
        let id = Self::call(&self, |core| core.call(parcel, may_wait))?;
        Ok((self, id))
    }
    fn carries_descriptors(&self) -> bool {
        self.wire.carries_descriptors()
    }
    fn close(&self) {
        self.change(Core::close);
    }
    fn close_within(&self, at: Instant) {
        self.change(|core| core.close_within(at));
    }
    fn kill(&self) {
        self.change(|core| core.kill(Ending::Killed("it was killed by `kill`".into())));
    }
    fn pid(&self) -> Option<u32> {
        self.wire.pid()
    }
    fn wait_ready(&self, until: Option<Instant>) -> Option<Result<(), Error>> {
        self.wait(Want::Change, until, readiness)
    }
    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll(Want::Change, context, readiness)
    }
    fn wait_end(&self, until: Option<Instant>) -> Option<Result<ExitStatus, Error>> {
        self.wait(Want::Change, until, ended)
    }
    fn poll_end(&self, context: &mut Context<'_>) -> Poll<Result<ExitStatus, Error>> {
        self.poll(Want::Change, context, ended)
    }
}

pub(crate) fn readiness(core: &mut Core) -> Option<Result<(), Error>> {
    unless_stuck(core, core.life.readiness())
}

fn ended(core: &mut Core) -> Option<Result<ExitStatus, Error>> {
    let delivered = core.delivery.is_over() || core.delivery.is_running_here();
    unless_stuck(core, core.life.outcome().filter(|_| delivered))
}

/// A callback that would wait for what is never read hears so instead.
fn unless_stuck<T>(core: &Core, found: Option<Result<T, Error>>) -> Option<Result<T, Error>> {
    let stuck = found.is_none() && core.delivery.is_stuck_here();
    if stuck {
        Some(Err(Error::stuck()))
    } else {
        found
    }
}
