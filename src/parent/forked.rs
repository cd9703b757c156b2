//! What the handles of another process lead to: in a copy that `fork` made of a
//! program, a handle of the original has no thread that would serve it, and its
//! link, locks and epoll set are the original's. So every use is an error at
//! once, and touches nothing.

use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Instant;

use super::callbacks;
use super::child::terms::{Answer, CallOptions, Callback, Completion, NextEvent, Refusal};
use super::maker::Maker;
use super::target::{Origin, Pending, PendingCall};
use crate::error::{ChildId, Error};
use crate::exit_status::ExitStatus;
use crate::parcel::Parcel;
use crate::protocol::Started;

/// See the module.
struct Forked;

static FORKED: LazyLock<Arc<dyn Origin>> = LazyLock::new(|| Arc::new(Forked));

/// What a handle leads to: an origin, in the process that made the handle.
#[derive(Clone)]
pub(crate) struct Reach {
    origin: Arc<dyn Origin>,
    maker: Maker,
}

impl Reach {
    pub(crate) fn new(origin: Arc<dyn Origin>) -> Self {
        let maker = Maker::this();
        Self { origin, maker }
    }

    pub(crate) fn is_here(&self) -> bool {
        self.maker.is_this()
    }

    /// The origin; in a copy of the process, one whose every use is an error.
    #[inline]
    pub(crate) fn origin(&self) -> &Arc<dyn Origin> {
        if self.is_here() {
            &self.origin
        } else {
            &FORKED
        }
    }

    /// Which child, or pool, it leads to, also in a copy of the process.
    pub(crate) fn child_id(&self) -> Option<Arc<ChildId>> {
        self.origin.child_id()
    }
}

/// What a handle that has no origin here leads to.
pub(super) fn origin() -> Arc<dyn Origin> {
    Arc::clone(&FORKED)
}

/// What a handle leads to that holds a call of another process.
pub(super) fn call() -> &'static dyn PendingCall {
    &Forked
}

/// The error of a call that was made before.
fn lost() -> Error {
    Error::forked(Started::Unknown)
}

/// The error of what was not begun.
pub(super) fn refusal() -> Error {
    Error::forked(Started::No)
}

fn call_back(callback: Callback, error: Error) {
    callbacks::run(Box::new(move |_| callback(Err(error))));
}

impl Origin for Forked {
    fn call(self: Arc<Self>, _: &mut Parcel, _: bool) -> Result<Pending, Refusal> {
        Err(refusal().into())
    }
    fn refuse(self: Arc<Self>, callback: Callback, error: Error) {
        call_back(callback, error);
    }
    fn carries_descriptors(&self) -> bool {
        true
    }
    fn window(&self) -> usize {
        1
    }
    fn close(&self) {}
    fn close_within(&self, _: Instant) {}
    fn kill(&self) {}
    fn child_id(&self) -> Option<Arc<ChildId>> {
        None
    }
    fn pid(&self) -> Option<u32> {
        None
    }
    fn wait_ready(&self, _: Option<Instant>) -> Option<Result<(), Error>> {
        Some(Err(refusal()))
    }
    fn poll_ready(&self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Err(refusal()))
    }
    fn wait_end(&self, _: Option<Instant>) -> Option<Result<ExitStatus, Error>> {
        Some(Err(refusal()))
    }
    fn poll_end(&self, _: &mut Context<'_>) -> Poll<Result<ExitStatus, Error>> {
        Poll::Ready(Err(refusal()))
    }
}

impl PendingCall for Forked {
    fn origin(&self) -> Arc<dyn Origin> {
        origin()
    }
    fn child_id(&self) -> Option<Arc<ChildId>> {
        None
    }
    fn has_started(&self) -> Started {
        Started::Unknown
    }
    fn wait(&self, _: Option<Instant>) -> Option<Answer> {
        Some(Err(lost()))
    }
    fn poll(&self, _: &mut Context<'_>) -> Poll<Answer> {
        Poll::Ready(Err(lost()))
    }
    fn wait_event(&self, _: Option<Instant>) -> Option<NextEvent> {
        Some(NextEvent::Stuck(lost()))
    }
    fn poll_event(&self, _: &mut Context<'_>) -> Poll<NextEvent> {
        Poll::Ready(NextEvent::Stuck(lost()))
    }
    fn cancel(&self) {}
    fn update(&self, _: &dyn Fn(&mut CallOptions)) {}
    fn entrust(&self, completion: Completion) -> bool {
        if let Completion::Callback(callback) = completion {
            call_back(callback, lost());
        }
        true
    }
    fn expire(&self) {}
}
