//! Answering a call later, from any thread or task.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::events::Events;
use super::executor::CallReply;
use super::function::Encode;
use super::reply_writer::{CallWithEvents, ReplyWriter};
use crate::base::sync::Mutex;
use crate::message::Message;
use crate::protocol::{Failure, FailureCode};

/// Answers one call, at any time and from any task or thread of the child.
///
/// A function that takes it as the first argument (behind the state, if any) and returns `()` is a concurrent worker, like
/// an `async fn`: it needs the feature `concurrent`. If a responder is dropped without a reply, its call fails
/// ([`Error::is_refused`](crate::Error::is_refused)).
///
/// ```
/// use offspring::{Responder, worker};
///
/// fn later(responder: Responder<String>, text: String) {
///     std::thread::spawn(move || responder.reply(text.to_uppercase()));
/// }
/// worker!(LATER: fn(String) -> String = later);
///
/// fn main() -> Result<(), offspring::Error> {
///     offspring::init();
///     let rpc = LATER.spawn()?;
///     assert_eq!(rpc.call("soon").wait()?, "SOON");
///     Ok(())
/// }
/// ```
#[must_use = "a responder that is dropped fails its call"]
#[doc(alias = "done")]
pub struct Responder<R> {
    slot: Arc<ReplySlot>,
    encode: Encode<R>,
}

impl<R> std::fmt::Debug for Responder<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Responder")
            .field(&self.slot.open.id)
            .finish()
    }
}

/// The state that a responder and the server share.
struct ReplySlot {
    reply_writer: Arc<ReplyWriter>,
    open: Arc<CallWithEvents>,
    state: Mutex<ReplyState>,
}

enum ReplyState {
    /// Not answered. The waker of the call's future.
    Open(Option<Waker>),
    /// The answer has been sent.
    Answered,
    /// The server will send this failure.
    Failed(Failure),
    /// The call was cancelled.
    Withdrawn,
}

/// Ready when the responder has answered or was dropped.
pub(super) struct ReplyFuture(Arc<ReplySlot>);

impl<R> Responder<R> {
    pub(super) fn new<E>(
        reply_writer: &Arc<ReplyWriter>,
        events: &Events<E>,
        id: u32,
        encode: Encode<R>,
    ) -> (Self, ReplyFuture) {
        let slot = Arc::new(ReplySlot {
            reply_writer: Arc::clone(reply_writer),
            open: events.open_call(id),
            state: Mutex::new(ReplyState::Open(None)),
        });
        let answered = ReplyFuture(Arc::clone(&slot));
        (Self { slot, encode }, answered)
    }

    /// Answers the call. Does nothing if the call was cancelled.
    ///
    /// ```
    /// use offspring::{Responder, worker};
    ///
    /// fn upper(responder: Responder<String>, text: String) {
    ///     std::thread::spawn(move || responder.reply(text.to_uppercase()));
    /// }
    ///
    /// worker!(UPPER: fn(String) -> String = upper);
    ///
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// assert_eq!(UPPER.spawn()?.call("so").wait()?, "SO");
    /// # Ok(()) }
    /// ```
    ///
    /// # Blocking
    ///
    /// While the link is full, because the parent does not read.
    pub fn reply(self, result: R) {
        let mut message = Message::new();
        let carries = self.slot.reply_writer.carries();
        let encoded = (self.encode)(result, &mut message.output(carries));
        let outcome = |sent: Result<(), Failure>| {
            sent.map_or_else(ReplyState::Failed, |()| ReplyState::Answered)
        };
        self.finish(|slot| {
            if let Err(failure) = encoded {
                return ReplyState::Failed(failure);
            }
            slot.reply_writer.close_call(&slot.open);
            let sent = slot.reply_writer.message(slot.open.id, &mut message);
            // If the parent has exited, the server's next read says so.
            outcome(sent.or_else(|unsent| unsent.failure().map_or(Ok(()), Err)))
        });
        message.recycle();
    }

    /// Returns whether the call was cancelled, so that no answer is wanted.
    ///
    /// ```
    /// use std::thread;
    /// use std::time::Duration;
    ///
    /// use offspring::{Responder, worker};
    ///
    /// fn count(responder: Responder<u64>, to: u64) {
    ///     thread::spawn(move || {
    ///         for _ in 0..to {
    ///             if responder.is_cancelled() {
    ///                 return; // the rest of the work is saved
    ///             }
    ///             thread::sleep(Duration::from_millis(1));
    ///         }
    ///         responder.reply(to);
    ///     });
    /// }
    ///
    /// worker!(COUNT: fn(u64) -> u64 = count);
    ///
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = COUNT.spawn()?;
    /// drop(rpc.call(u64::MAX));
    /// assert_eq!(rpc.call(2).wait()?, 2);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(*self.slot.state.lock(), ReplyState::Withdrawn)
    }

    /// Unless the call is over: sets how it ends, and wakes its future.
    fn finish(&self, end: impl FnOnce(&ReplySlot) -> ReplyState) {
        let mut state = self.slot.state.lock();
        let ReplyState::Open(waker) = &mut *state else {
            return;
        };
        let waker = waker.take();
        *state = end(&self.slot);
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<R> Drop for Responder<R> {
    fn drop(&mut self) {
        let text = "the worker dropped the responder without a reply";
        self.finish(|_| ReplyState::Failed(Failure::new(FailureCode::Refused, text)));
    }
}

impl Future for ReplyFuture {
    type Output = CallReply;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<CallReply> {
        let mut state = self.0.state.lock();
        match &mut *state {
            ReplyState::Open(waker) => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
            ReplyState::Failed(failure) => Poll::Ready(Err(failure.clone())),
            ReplyState::Answered | ReplyState::Withdrawn => Poll::Ready(Ok(None)),
        }
    }
}

impl Drop for ReplyFuture {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        if matches!(*state, ReplyState::Open(_)) {
            *state = ReplyState::Withdrawn;
        }
    }
}
