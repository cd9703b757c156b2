//! Answering a call later, from wherever.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::calls::Outcome;
use super::events::Events;
use super::function::Encode;
use super::outgoing::{Open, Outgoing};
use crate::base::sync::Mutex;
use crate::parcel::Parcel;
use crate::protocol::{Failure, FailureCode};

/// Answers one call, at any time and from any task or thread of the child.
///
/// A function that takes one first (behind the state, if there is any) and
/// returns nothing is a concurrent worker, like an `async fn`: it needs the
/// feature `concurrent`. A responder that is dropped without a reply is that
/// call's failure ([`Error::is_refused`](crate::Error::is_refused)), and no
/// other's.
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
pub struct Responder<R> {
    slot: Arc<Slot>,
    encode: Encode<R>,
}

impl<R> std::fmt::Debug for Responder<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Responder")
            .field(&self.slot.open.id)
            .finish()
    }
}

/// What a responder and the server share.
struct Slot {
    outgoing: Arc<Outgoing>,
    open: Arc<Open>,
    state: Mutex<State>,
}

enum State {
    /// Not answered; who wants to know.
    Open(Option<Waker>),
    /// The answer has been sent.
    Answered,
    /// It is to be answered so.
    Failed(Failure),
    /// The server wants no answer any more.
    Withdrawn,
}

/// Ends when the responder has answered, or is gone.
pub(super) struct Answered(Arc<Slot>);

impl<R> Responder<R> {
    pub(super) fn new<E>(
        outgoing: &Arc<Outgoing>,
        events: &Events<E>,
        id: u32,
        encode: Encode<R>,
    ) -> (Self, Answered) {
        let slot = Arc::new(Slot {
            outgoing: Arc::clone(outgoing),
            open: events.open(id),
            state: Mutex::new(State::Open(None)),
        });
        let answered = Answered(Arc::clone(&slot));
        (Self { slot, encode }, answered)
    }

    /// Answers the call. If it was cancelled meanwhile, nothing happens.
    ///
    /// # Blocking
    ///
    /// While the parent does not read and the socket is full.
    pub fn reply(self, result: R) {
        let mut parcel = Parcel::new();
        let carries = self.slot.outgoing.carries();
        let encoded = (self.encode)(result, &mut parcel.output(carries));
        let outcome =
            |sent: Result<(), Failure>| sent.map_or_else(State::Failed, |()| State::Answered);
        self.finish(|slot| {
            if let Err(failure) = encoded {
                return State::Failed(failure);
            }
            slot.outgoing.end(&slot.open);
            let sent = slot.outgoing.result(slot.open.id, &mut parcel);
            // If nobody reads any more, the server will find out.
            outcome(sent.or_else(|unsent| unsent.failure().map_or(Ok(()), Err)))
        });
        parcel.recycle();
    }

    /// The caller no longer wants the answer: there is no need to go on.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(*self.slot.state.lock(), State::Withdrawn)
    }

    /// Unless it is over: how it ends, and the server is told.
    fn finish(&self, end: impl FnOnce(&Slot) -> State) {
        let mut state = self.slot.state.lock();
        let State::Open(waker) = &mut *state else {
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
        self.finish(|_| State::Failed(Failure::new(FailureCode::Refused, text)));
    }
}

impl Future for Answered {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let mut state = self.0.state.lock();
        match &mut *state {
            State::Open(waker) => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
            State::Failed(failure) => Poll::Ready(Err(failure.clone())),
            State::Answered | State::Withdrawn => Poll::Ready(Ok(None)),
        }
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        if matches!(*state, State::Open(_)) {
            *state = State::Withdrawn;
        }
    }
}
