//! What stands behind the handles: one child, or several.
//!
//! [`Rpc`](crate::Rpc) and [`Call`](crate::Call) name these traits only, so that
//! one handle type serves a child and a pool. A child implements them in
//! `target/child.rs`, a pool in `pool/client.rs`.

mod child;

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::child::call::ChildCall;
use super::child::terms::{Answer, CallOptions, Callback, Completion, NextEvent, Refusal};
use crate::error::{ChildId, Error};
use crate::exit_status::ExitStatus;
use crate::parcel::Parcel;
use crate::protocol::Started;

/// Takes calls.
pub(crate) trait Origin: Send + Sync {
    /// Takes a call: room for a header, then its arguments. The buffer is left
    /// for further use, or taken. A call that would have to wait for room, and
    /// may not, is refused.
    fn call(self: Arc<Self>, parcel: &mut Parcel, may_wait: bool) -> Result<Pending, Refusal>;
    /// Has `callback` called with `error`, in its turn, on a thread for callbacks: the
    /// outcome of a call that was refused.
    fn refuse(self: Arc<Self>, callback: Callback, error: Error);
    /// Descriptors can go along with calls.
    fn carries_descriptors(&self) -> bool;
    /// How many calls it is kept busy with.
    fn window(&self) -> usize;
    /// Takes no more calls, and ends when all are done.
    fn close(&self);
    /// Ends what is not done by then.
    fn close_within(&self, at: Instant);
    /// Ends it at once.
    fn kill(&self);
    /// Which child it is, for errors. `None` in a copy of the process.
    fn child_id(&self) -> Option<Arc<ChildId>>;
    /// The process that was started, if it is one.
    fn pid(&self) -> Option<u32>;
    /// Waits until it can work, no longer than until then.
    fn wait_ready(&self, until: Option<Instant>) -> Option<Result<(), Error>>;
    /// The same for a task.
    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>>;
    /// Waits until nothing is left, no longer than until then.
    fn wait_end(&self, until: Option<Instant>) -> Option<Result<ExitStatus, Error>>;
    /// The same for a task.
    fn poll_end(&self, context: &mut Context<'_>) -> Poll<Result<ExitStatus, Error>>;
}

/// A call that is under way.
pub(crate) trait PendingCall: Send + Sync {
    /// What took the call.
    fn origin(&self) -> Arc<dyn Origin>;
    /// Which child has the call, for errors. `None` in a copy of the process.
    fn child_id(&self) -> Option<Arc<ChildId>>;
    /// Whether the call has started, as far as it is known.
    fn has_started(&self) -> Started;
    /// Waits for the outcome, no longer than until then.
    fn wait(&self, until: Option<Instant>) -> Option<Answer>;
    /// The same for a task.
    fn poll(&self, context: &mut Context<'_>) -> Poll<Answer>;
    /// Waits for the next event, no longer than until then.
    fn wait_event(&self, until: Option<Instant>) -> Option<NextEvent>;
    /// The same for a task.
    fn poll_event(&self, context: &mut Context<'_>) -> Poll<NextEvent>;
    /// The outcome is not wanted any more.
    fn cancel(&self);
    /// Changes what is wished of the call.
    fn update(&self, change: &dyn Fn(&mut CallOptions));
    /// Says what becomes of the outcome, now that the handle goes. Returns false
    /// if the call waits, and there is no room for it without a handle.
    fn entrust(&self, completion: Completion) -> bool;
    /// Ends the call if its time is up.
    fn expire(&self);
}

/// A call that is under way, for its handle. That of a child is kept in place, so
/// that it costs no allocation.
pub(crate) enum Pending {
    Child(ChildCall),
    Other(Arc<dyn PendingCall>),
}

impl Pending {
    pub(crate) fn call(&self) -> &dyn PendingCall {
        match self {
            Self::Child(call) => call,
            Self::Other(call) => &**call,
        }
    }
}
