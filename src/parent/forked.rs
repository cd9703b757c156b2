//! Stand-ins for children in a copy of the process that `fork` made. There a handle has no thread
//! that would serve it, and its link, locks and `epoll` set belong to the original. So each use
//! is an error at once, and touches none of them.

use std::sync::{Arc, LazyLock};
use std::time::Instant;

use super::callbacks;
use super::child::interface::{
    Answer, CallOptions, Completion, NextEvent, OnDone, Refusal, WaitMode,
};
use super::client::{AnyCall, Client, PendingCall};
use super::creator::Creator;
use crate::error::{ChildId, Error};
use crate::exit_status::ExitStatus;
use crate::message::Message;
use crate::protocol::Started;

/// See the module.
struct Forked;

static FORKED: LazyLock<Arc<dyn Client>> = LazyLock::new(|| Arc::new(Forked));

/// A client, and the process that created the handle.
#[derive(Clone)]
pub(crate) struct ClientRef {
    client: Arc<dyn Client>,
    creator: Creator,
}

impl ClientRef {
    pub(crate) fn new(client: Arc<dyn Client>) -> Self {
        let creator = Creator::current();
        Self { client, creator }
    }

    pub(crate) fn is_here(&self) -> bool {
        self.creator.is_current()
    }

    /// Returns the client. In a copy of the process, it is one whose every use is an error.
    #[inline]
    pub(crate) fn client(&self) -> &Arc<dyn Client> {
        if self.is_here() {
            &self.client
        } else {
            &FORKED
        }
    }

    /// Returns which child, or pool, it is, also in a copy of the process.
    pub(crate) fn child_id(&self) -> Option<Arc<ChildId>> {
        self.client.child_id()
    }
}

/// Returns the client of a handle that has none in this process.
pub(super) fn client() -> Arc<dyn Client> {
    Arc::clone(&FORKED)
}

/// Returns what takes the place of a call that another process made.
pub(super) fn call() -> &'static dyn PendingCall {
    &Forked
}

/// The error of a call that was made before the copy.
fn lost() -> Error {
    Error::forked(Started::Unknown)
}

/// The error of a call that was not made.
pub(super) fn refusal() -> Error {
    Error::forked(Started::No)
}

fn call_back(on_done: OnDone, error: Error) {
    callbacks::run(Box::new(move |_| on_done(Err(error))));
}

impl Client for Forked {
    fn call(self: Arc<Self>, _: &mut Message, _: bool) -> Result<AnyCall, Refusal> {
        Err(refusal().into())
    }
    fn refuse(self: Arc<Self>, on_done: OnDone, error: Error) {
        call_back(on_done, error);
    }
    fn carries_descriptors(&self) -> bool {
        true
    }
    fn window(&self) -> usize {
        1
    }
    fn close(&self, _: Option<Instant>) {}
    fn kill(&self, _: &'static str) {}
    fn child_id(&self) -> Option<Arc<ChildId>> {
        None
    }
    fn pid(&self) -> Option<u32> {
        None
    }
    fn wait_ready(&self, _: WaitMode<'_>) -> Option<Result<(), Error>> {
        Some(Err(refusal()))
    }
    fn wait_end(&self, _: WaitMode<'_>) -> Option<Result<ExitStatus, Error>> {
        Some(Err(refusal()))
    }
}

impl PendingCall for Forked {
    fn client(&self) -> Arc<dyn Client> {
        client()
    }
    fn child_id(&self) -> Option<Arc<ChildId>> {
        None
    }
    fn has_started(&self) -> Started {
        Started::Unknown
    }
    fn wait(&self, _: WaitMode<'_>) -> Option<Answer> {
        Some(Err(lost()))
    }
    fn wait_event(&self, _: WaitMode<'_>) -> Option<NextEvent> {
        Some(NextEvent::WouldDeadlock(lost()))
    }
    fn cancel(&self) {}
    fn update(&self, _: &dyn Fn(&mut CallOptions)) {}
    fn set_completion(&self, completion: Completion) -> bool {
        if let Completion::Callback(on_done) = completion {
            call_back(on_done, lost());
        }
        true
    }
    fn expire(&self) {}
}
