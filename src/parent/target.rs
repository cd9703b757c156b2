//! What stands behind the handles: one child, or several.
//!
//! [`Rpc`](crate::Rpc) and [`Call`](crate::Call) name these traits only, so that
//! one handle type serves a child and a pool. A child implements them in
//! `origin.rs`, a pool in `pool/entrance.rs` and `pool/route.rs` with what
//! [`Member`](super::child::member::Member) offers.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::child::state::waiting::Callback;
use crate::error::Error;
use crate::exit_status::ExitStatus;
use crate::parcel::{Parcel, Payload};

/// The bytes of a result, or why there are none.
pub(crate) type Answer = Result<Payload, Error>;

/// What [`Calls::wait_event`] finds.
pub(crate) enum NextEvent {
    /// The bytes of an event, or that some are missing.
    Event(Answer),
    /// There will be none.
    End,
    /// A callback would wait for ever: the call was given up.
    Stuck(Error),
}

/// Why a call was not taken.
pub(crate) enum Refusal {
    /// It would have to wait for room.
    NoRoom,
    /// It fails at once.
    Failed(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Lives in one process, where it has a thread for callbacks.
pub(crate) trait Resident: Send + Sync {
    /// This is the process that made it, and not a copy (`forked.rs`).
    fn is_here(&self) -> bool;
    /// Has `callback` called with `error` there, in its turn: the outcome of a call
    /// that was refused.
    fn refuse(self: Arc<Self>, callback: Callback, error: Error);
}

/// Takes calls.
pub(crate) trait Origin: Resident {
    /// Takes a call: room for a header, then its arguments. The buffer is left
    /// for further use, or taken. A call that would have to wait for room, and
    /// may not, is refused.
    fn call(
        self: Arc<Self>,
        parcel: &mut Parcel,
        may_wait: bool,
    ) -> Result<(Arc<dyn Calls>, u32), Refusal>;
    /// Descriptors can go along with calls.
    fn carries_descriptors(&self) -> bool;
    /// Takes no more calls, and ends when all are done.
    fn close(&self);
    /// Ends what is not done by then.
    fn close_within(&self, at: Instant);
    /// Ends it at once.
    fn kill(&self);
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

/// Calls that are under way, each with an id.
pub(crate) trait Calls: Resident {
    /// Waits for the outcome, no longer than until then.
    fn wait(&self, id: u32, until: Option<Instant>) -> Option<Answer>;
    /// The same for a task.
    fn poll(&self, id: u32, context: &mut Context<'_>) -> Poll<Answer>;
    /// The events of this call will be read.
    fn ask_for_events(&self, id: u32);
    /// Waits for the next event, no longer than until then.
    fn wait_event(&self, id: u32, until: Option<Instant>) -> Option<NextEvent>;
    /// The same for a task.
    fn poll_event(&self, id: u32, context: &mut Context<'_>) -> Poll<NextEvent>;
    /// Nobody wants the outcome any more.
    fn cancel(&self, id: u32);
    /// The outcome goes to a callback.
    fn then_call(self: Arc<Self>, id: u32, callback: Callback);
    /// It shall be done, and the outcome is dropped. False: it waits, and there is
    /// no room for it without a handle.
    fn then_forget(&self, id: u32) -> bool;
    /// It is to be done by then.
    fn set_deadline(&self, id: u32, at: Instant);
    /// Its time is up.
    fn expire(&self, id: u32);
    /// If it is cancelled while it runs, the child is killed.
    fn kill_on_cancel(&self, id: u32);
    /// It may run again so often if its child dies.
    fn repeat(&self, id: u32, times: u32);
}
