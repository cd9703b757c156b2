//! The handle of a call.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::events::CallEvents;
use super::open::{Context as ErrorContext, State, result};
use super::try_call_error::TryCallError;
use crate::error::Error;
use crate::parcel::Decode;
use crate::parent::child::terms::{Completion, Limit};

/// One call: its result is to come.
///
/// Wait for it with [`wait`](Self::wait), or `.await` it under any runtime or
/// none, or have [`on_done`](Self::on_done) called, or [`detach`](Self::detach)
/// it. **Dropping it cancels the call.** A handle borrows nothing and may be
/// sent to another thread; waiting after a poll or a time-out works.
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
#[must_use = "a dropped call is cancelled: `wait` for it, `.await` it, or say `on_done` or `detach`"]
pub struct Call<R, E = crate::NoEvents> {
    state: State,
    decode: Decode<R>,
    decode_event: Decode<E>,
}

impl<R, E> std::fmt::Debug for Call<R, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = match &self.state {
            State::Open(_) => "open".into(),
            State::Failed(error, _) => format!("failed: {error}"),
            State::Over => "over".into(),
        };
        write!(f, "Call({state})")
    }
}

impl<R, E> Call<R, E> {
    pub(crate) fn new(state: State, decode: Decode<R>, decode_event: Decode<E>) -> Self {
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
    /// Blocks the thread until the child has answered or is gone. Meanwhile
    /// this thread itself moves the octets of all calls of this child. Inside
    /// a callback it returns as soon as the answer is there, without waiting
    /// for callbacks that come before it.
    ///
    /// # Errors
    ///
    /// [`Error`] says whether it was a panic, the death of the child, a value
    /// that could not be encoded or decoded, or the handshake. The worker's own
    /// `Err` is inside the result.
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
    /// Blocks the thread for `time` at most.
    ///
    /// # Errors
    ///
    /// Once the time is up, an error that [`is_timeout`](Error::is_timeout).
    /// The call goes on then, and can be waited for again; drop it to cancel.
    /// Else as [`wait`](Self::wait).
    ///
    /// # Panics
    ///
    /// If the result was taken before.
    pub fn wait_timeout(&mut self, time: Duration) -> Result<R, Error> {
        // A time that no clock reaches is no limit.
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

    /// Waits until `deadline`, which is in `time`.
    fn wait_until(&mut self, deadline: Option<Instant>, time: Duration) -> Result<R, Error> {
        let open = match &self.state {
            State::Open(open) => open,
            State::Failed(error, _) => return Err(error.clone()),
            State::Over => panic!("the result of this call was taken before"),
        };
        let Some(outcome) = open.wait(deadline, |call, until| call.wait(until)) else {
            return Err(open.unanswered(time));
        };
        let value = result(outcome, self.decode, || open.context());
        self.state = State::Over;
        value
    }

    /// Limits the call: if it is not done after `time` it fails with an error
    /// that [`is_timeout`](Error::is_timeout), and is cancelled. A late answer
    /// is dropped.
    ///
    /// That holds however one waits, or does not wait: blocking, `.await` under
    /// any runtime or none, [`on_done`](Self::on_done), [`detach`](Self::detach).
    /// A call that is done already stays so. With `None` there is no limit, whatever
    /// [`call_timeout`](crate::Builder::call_timeout) says.
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
    /// **It does not stop a function that blocks.** The call fails here, and the child runs it to its end; calls behind it
    /// wait for that. To stop the work there is [`kill_on_cancel`](Self::kill_on_cancel), which ends the child. A
    /// concurrent child drops the call's future where it stands, and needs no kill unless the future blocks.
    pub fn timeout(self, time: impl Into<Option<Duration>>) -> Self {
        self.limit(time.into().map(Limit::After))
    }

    /// Limits the call: if it is not done by `deadline` it fails. See
    /// [`timeout`](Self::timeout).
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
        self.limit(Some(Limit::At(deadline)))
    }

    fn limit(mut self, limit: Option<Limit>) -> Self {
        if let State::Open(open) = &mut self.state {
            open.limit(limit);
        }
        self
    }

    /// Whether the child is killed if this call is cancelled, or its [time](Self::timeout) is up, while the child runs
    /// it: for work that cannot be stopped otherwise. Default: what
    /// [`Builder::kill_on_cancel`](crate::Builder::kill_on_cancel) says, else false.
    ///
    /// The other calls of the child fail with it, and their errors say that it
    /// was not their doing ([`Crash::reason`](crate::Crash::reason)) and whether
    /// they had [started](Error::started). A call that was not sent is
    /// withdrawn as usual; one that has not started takes the child with it only
    /// if it starts in spite of being cancelled.
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
        if let State::Open(open) = &self.state {
            open.call()
                .update(&|options| options.kill_on_cancel = kills);
        }
        self
    }

    /// This call may be run again, up to so many times, if its child dies while
    /// it may have been running. Without it such a call fails, and only one that
    /// had not started moves to another child.
    ///
    /// That is for calls of a [`Pool`](crate::Pool); the child of
    /// [`Builder::spawn`](crate::Builder::spawn) does not come back. Events that
    /// the call sent before its child died have been sent, and may come again.
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
        if let State::Open(open) = &self.state {
            open.call().update(&|options| options.repeats = times);
        }
        self
    }

    /// The events of this call, in order, as a stream and iterator. It ends when
    /// the call is done; then the result can be waited for.
    ///
    /// Events are kept for the handle from the beginning, within the limits of
    /// [`max_events`](crate::Builder::max_events) for the whole child. Once they
    /// were asked for, a slow reader slows the child down, and with it its other
    /// calls. What was not asked for makes way over the limits; if it is asked
    /// for then, the first item is an error that [`is_full`](Error::is_full).
    ///
    /// Waiting for the result, or polling for it, gives up the events that were
    /// not read, and so do [`on_done`](Self::on_done) and
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

    /// Has `callback` called with the result.
    ///
    /// It is called exactly once. A call that waits for room goes on waiting, and
    /// its arguments are kept with the callback; [`try_call`](crate::Rpc) makes a
    /// call only if there is room. It runs on the child's thread for callbacks, in the
    /// order in which the child answered, after the events that came before.
    /// That holds also for a call that was refused at once (the handle was
    /// closed, say, or the arguments could not be encoded), and for a call whose
    /// child is over already. The callback may block, call, wait, and drop
    /// handles. A panic of it goes to [`on_error`](crate::Builder::on_error), or
    /// to the log once the child is over.
    ///
    /// If the system refuses a thread for callbacks, one thread that was started
    /// before the first child runs the callbacks of all children; if no child is
    /// left either, the thread that calls `on_done` runs `callback`.
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
            State::Open(open) => open.context(),
            State::Failed(..) | State::Over => ErrorContext::default(),
        };
        let callback = Box::new(move |outcome| callback(result(outcome, decode, || context)));
        match std::mem::replace(&mut self.state, State::Over) {
            State::Open(open) => {
                open.call().entrust(Completion::Callback(callback));
            }
            State::Failed(error, at) => Arc::clone(at.origin()).refuse(callback, error),
            State::Over => panic!("the result of this call was taken before"),
        }
    }

    /// Lets the call be done without a handle; its result, or error, is dropped.
    ///
    /// The call must have been sent, or of a [`Pool`](crate::Pool) be one of
    /// those for which [`max_queue`](crate::PoolBuilder::max_queue) has room: a
    /// request that waits beyond the limits is kept by its handle only. A call
    /// that [`try_call`](crate::Rpc) made finds room, unless it is longer than
    /// the limit leaves room for.
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
    /// The call waits, and there is no room for it without its handle. The error
    /// gives the handle [back](TryCallError::into_inner), to wait for it, say. If the
    /// error is dropped, the call is cancelled.
    pub fn detach(mut self) -> Result<(), TryCallError<Self>> {
        let State::Open(open) = &self.state else {
            return Ok(());
        };
        if !open.call().entrust(Completion::Discard) {
            return Err(TryCallError(self));
        }
        self.state = State::Over;
        Ok(())
    }
}

impl<R, E> Future for Call<R, E> {
    type Output = Result<R, Error>;

    /// Polls for the result. The executor's thread is never blocked.
    ///
    /// # Panics
    ///
    /// If polled after it was ready.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let open = match &self.state {
            State::Open(open) => open,
            State::Failed(error, _) => return Poll::Ready(Err(error.clone())),
            State::Over => panic!("the result of this call was taken before"),
        };
        open.check_time();
        let polled = open.call().poll(context);
        let value = polled.map(|outcome| result(outcome, self.decode, || open.context()));
        if value.is_ready() {
            self.state = State::Over;
        }
        value
    }
}

impl<R, E> Drop for Call<R, E> {
    fn drop(&mut self) {
        if let State::Open(open) = &self.state {
            open.call().cancel();
        }
    }
}
