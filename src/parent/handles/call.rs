//! The handle of a call.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::events::CallEvents;
use super::open_call::{CallState, ErrorContext, result};
use super::try_call_error::TryCallError;
use crate::error::Error;
use crate::message::Decode;
use crate::parent::child::interface::{CallOptions, Completion, TimeLimit, WaitMode};

/// A call in flight.
///
/// [`wait`](Self::wait) for the result, `.await` it with any runtime or none, set a callback with
/// [`on_done`](Self::on_done), or [`detach`](Self::detach) it. **Dropping it cancels the call.** A handle borrows nothing
/// and may be sent to another thread. After a poll or a timeout it can be waited for again.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # offspring::init();
/// # mod workers { offspring::worker!(pub UPPER: fn(String) -> String = |text: String| text.to_uppercase()); }
/// # use workers::UPPER;
/// let rpc = UPPER.spawn()?;
/// let first = rpc.call("one");
/// let second = rpc.call("two");
/// assert_eq!(second.wait()?, "TWO");
/// assert_eq!(futures_lite::future::block_on(first)?, "ONE");
/// # rpc.join().wait()?; Ok(()) }
/// ```
#[must_use = "a dropped call is cancelled: `wait` for it, `.await` it, or call `on_done` or `detach`"]
pub struct Call<R, E = crate::NoEvents> {
    state: CallState,
    decode: Decode<R>,
    decode_event: Decode<E>,
}

impl<R, E> std::fmt::Debug for Call<R, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = match &self.state {
            CallState::Open(_) => "open".into(),
            CallState::Failed(error, _) => format!("failed: {error}"),
            CallState::Over => "over".into(),
        };
        write!(f, "Call({state})")
    }
}

impl<R, E> Call<R, E> {
    pub(crate) fn new(state: CallState, decode: Decode<R>, decode_event: Decode<E>) -> Self {
        Self {
            state,
            decode,
            decode_event,
        }
    }

    /// Waits for the result.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = ECHO.spawn()?;
    /// let answer = rpc.call("so").wait()?;
    /// assert_eq!(answer, "so");
    /// # Ok(()) }
    /// ```
    ///
    /// # Blocking
    ///
    /// Blocks the thread until the child has answered or is gone. While it waits, this thread may be the leader, which
    /// moves the bytes of all calls of this child. Inside a callback it returns as soon as the answer has arrived, and does not
    /// wait for earlier callbacks.
    ///
    /// # Errors
    ///
    /// [`Error`] tells apart a panic, the death of the child, a value that could not be encoded or decoded, and a failed
    /// handshake. An `Err` that the worker's function returns is part of the result.
    pub fn wait(mut self) -> Result<R, Error> {
        self.wait_until(None, Duration::MAX)
    }

    /// Waits for the result, but no longer than `time`.
    ///
    /// ```
    /// # offspring::worker!(SLEEP: fn(String) = |ms: String| {
    /// #     std::thread::sleep(std::time::Duration::from_millis(ms.parse().unwrap_or(0)))
    /// # });
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// use std::time::Duration;
    ///
    /// let rpc = SLEEP.spawn()?;
    /// let mut call = rpc.call("100");
    /// assert!(call.wait_timeout(Duration::from_millis(1)).unwrap_err().is_timeout());
    /// call.wait_timeout(Duration::from_secs(60))?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Blocking
    ///
    /// Blocks the thread for at most `time`.
    ///
    /// # Errors
    ///
    /// After `time`, an error that [`is_timeout`](Error::is_timeout). The call remains in flight, and can be waited for again.
    /// Drop it to cancel it. Otherwise the same as [`wait`](Self::wait).
    ///
    /// # Panics
    ///
    /// If the result was taken before.
    pub fn wait_timeout(&mut self, time: Duration) -> Result<R, Error> {
        // A time beyond the range of the clock is no limit.
        self.wait_until(Instant::now().checked_add(time), time)
    }

    /// Waits for the result, but no longer than until `deadline`. See
    /// [`wait_timeout`](Self::wait_timeout).
    ///
    /// ```
    /// # offspring::worker!(SLEEP: fn(String) = |ms: String| {
    /// #     std::thread::sleep(std::time::Duration::from_millis(ms.parse().unwrap_or(0)))
    /// # });
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// use std::time::{Duration, Instant};
    ///
    /// let rpc = SLEEP.spawn()?;
    /// let deadline = Instant::now() + Duration::from_secs(60);
    /// let (mut one, mut two) = (rpc.call("1"), rpc.call("1"));
    /// one.wait_deadline(deadline)?;
    /// two.wait_deadline(deadline)?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`wait_timeout`](Self::wait_timeout).
    ///
    /// # Panics
    ///
    /// If the result was taken before.
    pub fn wait_deadline(&mut self, deadline: Instant) -> Result<R, Error> {
        let time = deadline.saturating_duration_since(Instant::now());
        self.wait_until(Some(deadline), time)
    }

    /// Waits until `deadline`, which is `time` from now.
    fn wait_until(&mut self, deadline: Option<Instant>, time: Duration) -> Result<R, Error> {
        match (
            self.wait_for_result(WaitMode::Thread(deadline)),
            &self.state,
        ) {
            (None, CallState::Open(open)) => Err(open.unanswered(time)),
            (found, _) => found.expect("only an open call has no result yet"),
        }
    }

    /// Waits for the result. `None` if it has not arrived yet.
    pub(super) fn wait_for_result(&mut self, mode: WaitMode<'_>) -> Option<Result<R, Error>> {
        let open = match &self.state {
            CallState::Open(open) => open,
            CallState::Failed(error, _) => return Some(Err(error.clone())),
            CallState::Over => panic!("the result of this call was taken before"),
        };
        let outcome = open.wait(mode, |call, mode| call.wait(mode))?;
        let value = result(outcome, self.decode, || open.context());
        self.state = CallState::Over;
        Some(value)
    }

    /// Sets the timeout of the call: if it is not done after `time`, it is cancelled, and fails with an error that
    /// [`is_timeout`](Error::is_timeout). A late answer is dropped.
    ///
    /// The timeout applies to every way of waiting: blocking, `.await` with any runtime or none, [`on_done`](Self::on_done) and
    /// [`detach`](Self::detach). It has no effect on a call that is already done. `None` removes the timeout, that of
    /// [`call_timeout`](crate::Builder::call_timeout) included.
    ///
    /// ```
    /// # offspring::worker!(SLEEP: fn(String) = |ms: String| {
    /// #     std::thread::sleep(std::time::Duration::from_millis(ms.parse().unwrap_or(0)))
    /// # });
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// use futures_lite::future::block_on;
    /// use std::time::Duration;
    ///
    /// let rpc = SLEEP.spawn()?;
    /// let call = rpc.call("50").timeout(Duration::from_millis(1));
    /// assert!(call.wait().unwrap_err().is_timeout());
    /// let call = rpc.call("50").timeout(Duration::from_millis(1));
    /// assert!(block_on(call).unwrap_err().is_timeout());
    /// # Ok(()) }
    /// ```
    ///
    /// # What it does not do
    ///
    /// **It does not stop a function that blocks.** The call fails in this process, and the child runs the function to its end.
    /// Later calls wait for that. To stop the function, set [`kill_on_cancel`](Self::kill_on_cancel), which kills the child. A
    /// concurrent child drops the call's future, and need not be killed unless the future blocks.
    pub fn timeout(self, time: impl Into<Option<Duration>>) -> Self {
        self.limit(time.into().map(TimeLimit::After))
    }

    /// Sets the deadline of the call: if it is not done by `deadline`, it fails. See [`timeout`](Self::timeout).
    ///
    /// ```
    /// # offspring::worker!(SLEEP: fn(String) = |ms: String| {
    /// #     std::thread::sleep(std::time::Duration::from_millis(ms.parse().unwrap_or(0)))
    /// # });
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = SLEEP.spawn()?;
    /// let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    /// let (one, two) = (rpc.call("1").deadline(deadline), rpc.call("1").deadline(deadline));
    /// one.wait()?;
    /// two.wait()?;
    /// # Ok(()) }
    /// ```
    pub fn deadline(self, deadline: Instant) -> Self {
        self.limit(Some(TimeLimit::At(deadline)))
    }

    fn limit(mut self, limit: Option<TimeLimit>) -> Self {
        if let CallState::Open(open) = &mut self.state {
            open.limit(limit);
        }
        self
    }

    /// Sets whether the child is killed if this call is cancelled, or [times out](Self::timeout), while the child runs it. For
    /// functions that cannot be stopped otherwise. Default: that of
    /// [`Builder::kill_on_cancel`](crate::Builder::kill_on_cancel), which is false by default.
    ///
    /// The other calls of the child fail, too. Their errors say that another call was the cause
    /// ([`Crash::reason`](crate::Crash::reason)), and whether they had [started](Error::started). A cancelled call that was not
    /// sent is withdrawn, and the child is not killed. If the call was sent and has not started, the child is killed only if it
    /// starts the call after the cancellation.
    ///
    /// ```
    /// # offspring::worker!(SLEEP: fn(String) = |ms: String| {
    /// #     std::thread::sleep(std::time::Duration::from_millis(ms.parse().unwrap_or(0)))
    /// # });
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// use std::time::Duration;
    ///
    /// let rpc = SLEEP.spawn()?;
    /// let call = rpc.call("1000000").kill_on_cancel(true).timeout(Duration::from_millis(500));
    /// assert!(call.wait().unwrap_err().is_timeout());
    /// assert_eq!(rpc.join().wait()?.signal(), Some(9));
    /// # Ok(()) }
    /// ```
    pub fn kill_on_cancel(self, kills: bool) -> Self {
        self.update(&|options| options.kill_on_cancel = kills)
    }

    /// Allows the call to be run again, up to `times`, if its child dies while it may have been running. Default: 0. Without
    /// it, a call that may have started fails, and only a call that had not started moves to another child.
    ///
    /// For calls of a [`Pool`](crate::Pool), because a child of [`Builder::spawn`](crate::Builder::spawn) is not replaced.
    /// Events that the call sent before its child died remain delivered, and may be sent again.
    ///
    /// ```
    /// # fn once(mark: String) -> String {
    /// #     if !std::path::Path::new(&mark).exists() {
    /// #         std::fs::write(&mark, "").expect("a file");
    /// #         std::process::abort();
    /// #     }
    /// #     "done".into()
    /// # }
    /// # offspring::worker!(FRAGILE: fn(String) -> String = once);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// # let file = std::env::temp_dir().join(format!("offspring-doc-{}", std::process::id()));
    /// # let mark = file.to_str().expect("text");
    /// // Its child dies the first time it is called.
    /// let pool = FRAGILE.pool().on_error(|_| ()).spawn()?;
    /// assert_eq!(pool.call(mark).repeat(1).wait()?, "done");
    /// # let _ = std::fs::remove_file(mark);
    /// # pool.join().wait()?; Ok(()) }
    /// ```
    pub fn repeat(self, times: u32) -> Self {
        self.update(&|options| options.repeats = times)
    }

    fn update(self, change: &dyn Fn(&mut CallOptions)) -> Self {
        if let CallState::Open(open) = &self.state {
            open.call().update(change);
        }
        self
    }

    /// Returns the events of this call, in order, as a stream and iterator. It ends when the call is done. The result can be
    /// waited for afterwards.
    ///
    /// Events are kept from the start of the call, within the limits of [`max_events`](crate::Builder::max_events) for the whole
    /// child. After this method was called, a slow reader slows down the child, and so its other calls. Before that, events
    /// beyond the limits are dropped. In this case the first item is an error that [`is_full`](Error::is_full).
    ///
    /// To wait or poll for the result discards the events that were not read, and so do [`on_done`](Self::on_done) and
    /// [`detach`](Self::detach).
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text, events = String);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = ECHO.spawn()?;
    /// let mut call = rpc.call("so");
    /// for event in call.events() {
    ///     println!("{}", event?);
    /// }
    /// assert_eq!(call.wait()?, "so");
    /// # Ok(()) }
    /// ```
    pub fn events(&mut self) -> CallEvents<'_, E> {
        CallEvents::new(&mut self.state, self.decode_event)
    }

    /// Calls `callback` with the result, exactly once. The end of `main` does not wait for it: call
    /// [`join`](crate::Rpc::join) before.
    ///
    /// The callback runs on the child's callback thread, in the order in which the child answered, after the events before the
    /// answer. This is also true for a call that was refused at once (for example because the handle was closed, or the arguments
    /// could not be encoded), and for a call whose child is gone. The callback may block, make calls, wait, and drop handles. A
    /// panic is reported to [`on_error`](crate::Builder::on_error), or logged once the child is gone.
    ///
    /// A call that waits for room keeps waiting, and its arguments are kept with the callback. [`try_call`](crate::Rpc) makes a
    /// call only if there is room.
    ///
    /// If the system refuses to create the callback thread, the spare thread, which was started before the first child, runs the
    /// callbacks of all children. If no child is left either, the thread that calls `on_done` runs `callback`.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let (sender, receiver) = std::sync::mpsc::channel();
    /// let rpc = ECHO.spawn()?;
    /// rpc.call("so").on_done(move |answer| sender.send(answer).expect("it is received"));
    /// assert_eq!(receiver.recv().expect("it is called")?, "so");
    /// # Ok(()) }
    /// ```
    pub fn on_done(mut self, callback: impl FnOnce(Result<R, Error>) + Send + 'static)
    where
        R: 'static,
    {
        let decode = self.decode;
        let context = match &self.state {
            CallState::Open(open) => open.context(),
            CallState::Failed(..) | CallState::Over => ErrorContext::default(),
        };
        let callback = Box::new(move |outcome| callback(result(outcome, decode, || context)));
        match std::mem::replace(&mut self.state, CallState::Over) {
            CallState::Open(open) => {
                open.call().set_completion(Completion::Callback(callback));
            }
            CallState::Failed(error, at) => Arc::clone(at.client()).refuse(callback, error),
            CallState::Over => panic!("the result of this call was taken before"),
        }
    }

    /// Lets the call run without a handle. Its result or error is dropped.
    ///
    /// The call runs in the background while this process lives. **The end of `main` does not wait for it**, and a call that
    /// has not run by then may never run: call [`join`](crate::Rpc::join) before.
    ///
    /// The call must have been sent, or, in a [`Pool`](crate::Pool), there must be room for it within
    /// [`max_queue`](crate::PoolBuilder::max_queue), because a request beyond the limits is kept only by its handle. There is room
    /// for a call that [`try_call`](crate::Rpc) made, unless it is longer than the rest of the limit.
    ///
    /// ```
    /// # offspring::worker!(SLEEP: fn(String) = |ms: String| {
    /// #     std::thread::sleep(std::time::Duration::from_millis(ms.parse().unwrap_or(0)))
    /// # });
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = SLEEP.spawn()?;
    /// rpc.call("1").detach()?;
    /// assert!(rpc.join().wait()?.success());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// The call is queued, and there is no room for it without its handle. [`TryCallError::into_inner`] returns the handle, for
    /// example to wait for the call. If the error is dropped, the call is cancelled.
    pub fn detach(mut self) -> Result<(), TryCallError<Self>> {
        let CallState::Open(open) = &self.state else {
            return Ok(());
        };
        if !open.call().set_completion(Completion::Discard) {
            return Err(TryCallError(self));
        }
        self.state = CallState::Over;
        Ok(())
    }
}

impl<R, E> Future for Call<R, E> {
    type Output = Result<R, Error>;

    /// Polls for the result. Never blocks the executor's thread.
    ///
    /// # Panics
    ///
    /// If polled after it was ready.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let found = self.wait_for_result(WaitMode::Task(context.waker()));
        found.map_or(Poll::Pending, Poll::Ready)
    }
}

impl<R, E> Drop for Call<R, E> {
    fn drop(&mut self) {
        if let CallState::Open(open) = &self.state {
            open.call().cancel();
        }
    }
}
