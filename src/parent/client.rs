//! The traits behind the handles, for a child and for a pool.
//!
//! [`Rpc`](crate::Rpc) and [`Call`](crate::Call) name these traits only, so one handle type
//! serves a child and a pool. A child implements them here, a pool in `pool/call.rs` and
//! `pool/engine.rs`.

use std::sync::Arc;
use std::time::Instant;

use super::child::call::ChildCall;
use super::child::child_io::ChildIo;
use super::child::driver::Driver;
use super::child::interface::{
    Answer, CallOptions, Completion, Moved, NextEvent, OnDone, Refusal, WaitMode,
};
use super::child::state::waiters::WaitFor;
use crate::error::{ChildId, Error};
use crate::exit_status::ExitStatus;
use crate::message::Message;
use crate::protocol::Started;

/// Takes calls: a child, or a pool.
pub(crate) trait Client: Send + Sync {
    /// Takes a call. `message` has room for a header, and then the arguments; its buffer is
    /// left for further use, or taken. A call that would have to wait for room is refused if
    /// `may_wait` is false.
    fn call(self: Arc<Self>, message: &mut Message, may_wait: bool) -> Result<AnyCall, Refusal>;
    /// Has `on_done` called with `error` on a thread for callbacks, after the callbacks that are
    /// queued. It is the outcome of a call that was refused.
    fn refuse(self: Arc<Self>, on_done: OnDone, error: Error);
    /// Returns whether calls can carry file descriptors.
    fn carries_descriptors(&self) -> bool;
    /// Returns how many calls keep it busy.
    fn window(&self) -> usize;
    /// Takes no more calls, and ends when all calls are done, or at `until`.
    fn close(&self, until: Option<Instant>);
    /// Kills the child, or all children. The errors of their calls say why.
    fn kill(&self, why: &'static str);
    /// Returns which child it is, for errors. `None` in a copy of the process.
    fn child_id(&self) -> Option<Arc<ChildId>>;
    /// Returns the id of the process that was started. `None` if there is none, or several.
    fn pid(&self) -> Option<u32>;
    /// Waits until it is ready for calls. `None` if it is not ready yet.
    fn wait_ready(&self, mode: WaitMode<'_>) -> Option<Result<(), Error>>;
    /// Waits until it has ended. `None` if it has not ended yet.
    fn wait_end(&self, mode: WaitMode<'_>) -> Option<Result<ExitStatus, Error>>;
}

/// A call that was made.
pub(crate) trait PendingCall: Send + Sync {
    /// Returns what took the call.
    fn client(&self) -> Arc<dyn Client>;
    /// Returns which child has the call, for errors. `None` in a copy of the process.
    fn child_id(&self) -> Option<Arc<ChildId>>;
    /// Returns whether the call has started, as far as this is known.
    fn has_started(&self) -> Started;
    /// Waits for the outcome. `None` if it has not arrived yet.
    fn wait(&self, mode: WaitMode<'_>) -> Option<Answer>;
    /// Waits for the next event. `None` if it has not arrived yet.
    fn wait_event(&self, mode: WaitMode<'_>) -> Option<NextEvent>;
    /// Cancels the call.
    fn cancel(&self);
    /// Changes the options of the call.
    fn update(&self, change: &dyn Fn(&mut CallOptions));
    /// Says what becomes of the outcome, because the handle goes. Returns false if the call is
    /// queued, and cannot stay there without a handle.
    fn set_completion(&self, completion: Completion) -> bool;
    /// Ends the call if its deadline is over.
    fn expire(&self);
}

/// A call for its handle. The call of a child is stored in place, so it costs no allocation.
pub(crate) enum AnyCall {
    Child(ChildCall),
    Other(Arc<dyn PendingCall>),
}

impl AnyCall {
    pub(crate) fn call(&self) -> &dyn PendingCall {
        match self {
            Self::Child(call) => call,
            Self::Other(call) => &**call,
        }
    }
}

/// How many short calls keep a child busy while their results are handled.
const WINDOW: usize = 16;

/// A call of a child outside a pool has no owner, so it is never given back.
fn never_moves<T>(found: Result<T, Moved>) -> T {
    found.unwrap_or_else(|Moved| unreachable!("a call without an owner is not given back"))
}

impl PendingCall for ChildCall {
    fn client(&self) -> Arc<dyn Client> {
        Arc::clone(&self.driver) as _
    }
    fn child_id(&self) -> Option<Arc<ChildId>> {
        Some(Arc::clone(&self.driver.child))
    }
    fn has_started(&self) -> Started {
        self.driver.inspect(|state| state.has_started(self.id))
    }
    fn wait(&self, mode: WaitMode<'_>) -> Option<Answer> {
        self.wait(mode).map(never_moves)
    }
    fn wait_event(&self, mode: WaitMode<'_>) -> Option<NextEvent> {
        self.wait_event(mode).map(never_moves)
    }
    fn cancel(&self) {
        self.driver.change(|state| state.cancel(self.id));
    }
    fn update(&self, change: &dyn Fn(&mut CallOptions)) {
        self.driver.change(|state| state.update(self.id, change));
    }
    fn set_completion(&self, completion: Completion) -> bool {
        let is_queued = || self.driver.inspect(|state| state.caller.is_queued(self.id));
        let may_go = completion.is_callback() || !is_queued();
        if may_go {
            self.set_completion(completion);
        }
        may_go
    }
    fn expire(&self) {
        self.driver.expire(self.id);
    }
}

impl Client for Driver<ChildIo> {
    fn call(self: Arc<Self>, message: &mut Message, may_wait: bool) -> Result<AnyCall, Refusal> {
        let id = Self::call(&self, |state| state.call(message, may_wait))?;
        Ok(AnyCall::Child(ChildCall { driver: self, id }))
    }
    fn refuse(self: Arc<Self>, on_done: OnDone, error: Error) {
        self.change(|state| state.refuse(on_done, error));
    }
    fn carries_descriptors(&self) -> bool {
        self.io.carries_descriptors()
    }
    fn window(&self) -> usize {
        WINDOW
    }
    fn close(&self, until: Option<Instant>) {
        self.change(|state| state.close(until));
    }
    fn kill(&self, why: &'static str) {
        self.change(|state| state.kill(why));
    }
    fn child_id(&self) -> Option<Arc<ChildId>> {
        Some(Arc::clone(&self.child))
    }
    fn pid(&self) -> Option<u32> {
        self.io.pid()
    }
    fn wait_ready(&self, mode: WaitMode<'_>) -> Option<Result<(), Error>> {
        self.wait(WaitFor::Change, mode, |state| state.readiness())
    }
    fn wait_end(&self, mode: WaitMode<'_>) -> Option<Result<ExitStatus, Error>> {
        self.wait(WaitFor::Change, mode, |state| state.end())
    }
}
