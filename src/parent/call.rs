//! The handle of a call.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::connection::Connection;
use super::core::Core;
use super::driver::{Driver, Want};
use crate::error::Error;
use crate::protocol::Payload;

/// How octets become a result.
pub(crate) type Decode<R> = fn(&[u8]) -> Result<R, Error>;

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
pub struct Call<R> {
    state: State,
    decode: Decode<R>,
    result: PhantomData<fn() -> R>,
}

enum State {
    Open(Arc<Driver<Connection>>, u32),
    /// It never got so far as to be sent.
    Failed(Error),
    Over,
}

impl<R> std::fmt::Debug for Call<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = match &self.state {
            State::Open(_, id) => format!("open, id {id}"),
            State::Failed(error) => format!("failed: {error}"),
            State::Over => "over".into(),
        };
        write!(f, "Call({state})")
    }
}

impl<R> Call<R> {
    pub(crate) fn open(driver: &Arc<Driver<Connection>>, id: u32, decode: Decode<R>) -> Self {
        Self {
            state: State::Open(Arc::clone(driver), id),
            decode,
            result: PhantomData,
        }
    }

    pub(crate) fn failed(error: Error, decode: Decode<R>) -> Self {
        Self {
            state: State::Failed(error),
            decode,
            result: PhantomData,
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
        self.wait_until(None)
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
        self.wait_until(Instant::now().checked_add(time))
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
        self.wait_until(Some(deadline))
    }

    fn wait_until(&mut self, deadline: Option<Instant>) -> Result<R, Error> {
        let (driver, id) = match &self.state {
            State::Open(driver, id) => (driver, *id),
            State::Failed(error) => return Err(error.clone()),
            State::Over => panic!("the result of this call was taken before"),
        };
        let Some(outcome) = driver.wait(Want::Call(id), deadline, |core| collect(core, id)) else {
            return Err(Error::timed_out());
        };
        self.state = State::Over;
        finish(outcome, self.decode)
    }

    /// Has `callback` called with the result.
    ///
    /// It is called exactly once, on the child's thread for callbacks, in the
    /// order in which the child answered, after the events that came before.
    /// It may block, call, wait, and drop handles; a panic of it goes to
    /// [`on_error`](crate::Builder::on_error). A call that was refused at once
    /// (the handle was closed, say, or the arguments could not be encoded) has
    /// it called here and now, by this thread.
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
        match std::mem::replace(&mut self.state, State::Over) {
            State::Open(driver, id) => {
                let callback = Box::new(move |outcome| callback(finish(outcome, decode)));
                driver.change(|core| core.then_call(id, callback));
            }
            State::Failed(error) => callback(Err(error)),
            State::Over => panic!("the result of this call was taken before"),
        }
    }

    /// Lets the call be done without anybody waiting for it; its result, or
    /// error, is dropped.
    ///
    /// ```
    /// # offspring::worker!(SLEEP: fn(String) = |ms: String| {
    /// #     std::thread::sleep(std::time::Duration::from_millis(ms.parse().unwrap_or(0)))
    /// # });
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = SLEEP.spawn()?;
    /// rpc.call("1").detach();
    /// assert!(rpc.join().wait()?.success());
    /// # Ok(()) }
    /// ```
    pub fn detach(mut self) {
        if let State::Open(driver, id) = std::mem::replace(&mut self.state, State::Over) {
            driver.change(|core| core.then_forget(id));
        }
    }
}

fn collect(core: &mut Core, id: u32) -> Option<Result<Payload, Error>> {
    let outcome = core.collect(id);
    if outcome.is_none() && core.delivery.is_stuck_here() {
        core.cancel(id);
        let text = "the queue of events is full, and its callback waits for an answer behind them";
        return Some(Err(Error::full(text)));
    }
    outcome
}

impl<R> Future for Call<R> {
    type Output = Result<R, Error>;

    /// Polls for the result. The executor's thread is never blocked.
    ///
    /// # Panics
    ///
    /// If polled after it was ready.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (driver, id) = match &self.state {
            State::Open(driver, id) => (driver, *id),
            State::Failed(error) => return Poll::Ready(Err(error.clone())),
            State::Over => panic!("the result of this call was taken before"),
        };
        let polled = driver.poll(Want::Call(id), context, |core| collect(core, id));
        polled.map(|outcome| {
            self.state = State::Over;
            finish(outcome, self.decode)
        })
    }
}

impl<R> Drop for Call<R> {
    fn drop(&mut self) {
        if let State::Open(driver, id) = &self.state {
            driver.change(|core| core.cancel(*id));
        }
    }
}

/// Turns the outcome into the result. A decoder that panics is an error.
fn finish<R>(outcome: Result<Payload, Error>, decode: Decode<R>) -> Result<R, Error> {
    let payload = outcome?;
    let decoded = crate::shielded(|| decode(&payload));
    payload.recycle();
    decoded.unwrap_or_else(|panic| Err(Error::decode_panicked(panic)))
}
