//! One call of a fresh child.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::call::Call;
use super::rpc::{Hold, Rpc};
use crate::error::Error;

/// A call of a fresh child that ends with it: its result is to come. From [`Worker::once`](crate::Worker::once) and
/// [`Builder::once`](crate::Builder::once).
///
/// [`wait`](Self::wait) for it, or `.await` it. The result comes once the child has exited and was reaped. After a
/// result it exits by itself, with what the worker does at its end; after an error it is killed. **Dropping this kills
/// the child**, also in the middle of the call.
///
/// ```
/// # offspring::worker!(UPPER: fn(String) -> String = |text: String| text.to_uppercase());
/// # fn main() -> Result<(), offspring::Error> {
/// # offspring::init();
/// let once = UPPER.once("so");
/// assert_eq!(futures_lite::future::block_on(once)?, "SO");
/// # Ok(()) }
/// ```
#[must_use = "a child that is dropped is killed: `wait` for it, or `.await` it"]
pub struct Once<R, E = crate::NoEvents> {
    call: Option<Call<R, E>>,
    /// Until the child is gone.
    child: Option<Arc<Hold>>,
    outcome: Option<Result<R, Error>>,
}

impl<R, E> std::fmt::Debug for Once<R, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Once")
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}

/// Nothing in it is pinned.
impl<R, E> Unpin for Once<R, E> {}

impl<R, E> Once<R, E> {
    /// Calls a child that goes with its handle.
    pub(crate) fn new<F, S>(
        child: Result<Rpc<F, S, E>, Error>,
        call: impl FnOnce(&Rpc<F, S, E>) -> Call<R, E>,
    ) -> Self {
        let (call, child, outcome) = match child {
            Ok(rpc) => (Some(call(&rpc)), Some(rpc.hold()), None),
            Err(error) => (None, None, Some(Err(error))),
        };
        Self {
            call,
            child,
            outcome,
        }
    }

    /// Limits the call, as [`Call::timeout`] does; the child is killed then.
    pub fn timeout(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.call = self.call.map(|call| call.timeout(time));
        self
    }

    /// Waits for the result, and until the child is gone.
    ///
    /// ```
    /// # offspring::worker!(UPPER: fn(String) -> String = |text: String| text.to_uppercase());
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// assert_eq!(UPPER.once("so").wait()?, "SO");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// What kept the child from being started, or as [`Call::wait`].
    pub fn wait(mut self) -> Result<R, Error> {
        if let Some(call) = self.call.take() {
            self.finish(call.wait());
        }
        if let Some(child) = self.child.take() {
            // The result says what there is to say.
            let _ = child.origin().wait_end(None);
        }
        self.outcome.take().expect("the call is done")
    }

    fn finish(&mut self, outcome: Result<R, Error>) {
        if let Some(child) = &self.child {
            match &outcome {
                Ok(_) => child.origin().close(),
                Err(_) => child.origin().kill(),
            }
        }
        self.call = None;
        self.outcome = Some(outcome);
    }
}

impl<R, E> Future for Once<R, E> {
    type Output = Result<R, Error>;

    /// # Panics
    ///
    /// If polled after it was ready.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(call) = &mut self.call {
            let outcome = ready!(Pin::new(call).poll(context));
            self.finish(outcome);
        }
        if let Some(child) = &self.child {
            let _ = ready!(child.origin().poll_end(context));
            self.child = None;
        }
        let outcome = self.outcome.take();
        Poll::Ready(outcome.expect("the result was taken before"))
    }
}
