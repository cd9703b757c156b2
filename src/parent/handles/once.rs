//! A single call to a new child.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::call::Call;
use super::rpc::{KeepOpen, Rpc};
use crate::error::Error;
use crate::parent::child::interface::WaitMode;

/// The pending result of a call to a new child, which exits after the call. From [`Worker::once`](crate::Worker::once) and
/// [`Builder::once`](crate::Builder::once).
///
/// [`wait`](Self::wait) for it, or `.await` it. The result is returned once the child has exited and is reaped. After a
/// result the child exits normally, and runs the worker's cleanup. After an error it is killed. **Dropping this kills the
/// child**, even during the call.
///
/// `once` starts the child like [`spawn`](crate::Builder::spawn), and blocks for about a millisecond, or until its template is
/// ready. Async code that must not block starts the child by [`spawn_async`](crate::Builder::spawn_async) instead, with
/// [`kill_on_drop`](crate::Builder::kill_on_drop), and makes one call.
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
    /// The handle of the child. `None` once the child is gone.
    child: Option<Arc<KeepOpen>>,
    outcome: Option<Result<R, Error>>,
}

impl<R, E> std::fmt::Debug for Once<R, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Once")
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}

/// No field is pinned.
impl<R, E> Unpin for Once<R, E> {}

impl<R, E> Once<R, E> {
    /// Makes the call. The child is killed when its handle is dropped.
    pub(crate) fn new<F, S>(
        child: Result<Rpc<F, S, E>, Error>,
        call: impl FnOnce(&Rpc<F, S, E>) -> Call<R, E>,
    ) -> Self {
        let (call, child, outcome) = match child {
            Ok(rpc) => (Some(call(&rpc)), Some(rpc.keep_open()), None),
            Err(error) => (None, None, Some(Err(error))),
        };
        Self {
            call,
            child,
            outcome,
        }
    }

    /// Sets the timeout of the call, like [`Call::timeout`]. If it expires, the child is killed.
    ///
    /// ```
    /// # offspring::worker!(SLEEP: fn(u64) = |s: u64| std::thread::sleep(std::time::Duration::from_secs(s)));
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let once = SLEEP.once(u64::MAX).timeout(std::time::Duration::from_millis(20));
    /// assert!(once.wait().unwrap_err().is_timeout());
    /// # Ok(()) }
    /// ```
    pub fn timeout(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.call = self.call.map(|call| call.timeout(time));
        self
    }

    /// Waits for the result and for the exit of the child.
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
    /// The child could not be started, or the same as [`Call::wait`].
    pub fn wait(mut self) -> Result<R, Error> {
        let outcome = self.wait_for_end(WaitMode::Thread(None));
        outcome.expect("there is no deadline")
    }

    fn wait_for_end(&mut self, mode: WaitMode<'_>) -> Option<Result<R, Error>> {
        if let Some(call) = &mut self.call {
            let mut outcome = call.wait_for_result(mode)?;
            self.call = None;
            if let Some(child) = &self.child {
                match &outcome {
                    Ok(_) => child.client().close(None),
                    Err(_) => child.client().kill("its only call failed"),
                }
                outcome = outcome.map_err(Error::and_killed);
            }
            self.outcome = Some(outcome);
        }
        if let Some(child) = &self.child {
            // The outcome of the call is returned, and the exit status is not needed.
            let _ = child.client().wait_end(mode)?;
            self.child = None;
        }
        Some(self.outcome.take().expect("the result was taken before"))
    }
}

impl<R, E> Future for Once<R, E> {
    type Output = Result<R, Error>;

    /// # Panics
    ///
    /// If polled after it was ready.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = self.wait_for_end(WaitMode::Task(context.waker()));
        outcome.map_or(Poll::Pending, Poll::Ready)
    }
}
