//! What becomes of calls that take too long, and of a child that is not wanted any more.

use std::time::Duration;

use super::Builder;
use crate::parent::child::terms::Limit;

impl<F, S, E: Send + 'static> Builder<F, S, E> {
    /// Limits each call, from when it is made: see [`Call::timeout`](crate::Call::timeout), which sets another limit for
    /// one call, or none (`timeout(None)`). Default: none.
    ///
    /// By itself it does not stop a function that blocks: the call fails, and the child works on. For that there is
    /// [`kill_on_cancel`](Self::kill_on_cancel).
    ///
    /// ```
    /// # offspring::worker!(SLEEP: fn(String) = |ms: String| {
    /// #     std::thread::sleep(std::time::Duration::from_millis(ms.parse().unwrap_or(0)))
    /// # });
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// use std::time::Duration;
    ///
    /// let rpc = SLEEP.builder().call_timeout(Duration::from_millis(20)).spawn()?;
    /// assert!(rpc.call("100").wait().unwrap_err().is_timeout());
    /// // This one may take as long as it takes.
    /// rpc.call("100").timeout(None).wait()?;
    /// # Ok(()) }
    /// ```
    pub fn call_timeout(mut self, time: Duration) -> Self {
        self.handle.calls.limit = Some(Limit::After(time));
        self
    }

    /// Whether a child that runs a call which is cancelled, or late, is killed for it. Default: false. See
    /// [`Call::kill_on_cancel`](crate::Call::kill_on_cancel), which decides for one call.
    ///
    /// The other calls of the child fail with it; in a [`Pool`](crate::Pool) those that had not started move, and the
    /// child is replaced.
    ///
    /// ```
    /// # offspring::worker!(SLEEP: fn(String) = |ms: String| {
    /// #     std::thread::sleep(std::time::Duration::from_millis(ms.parse().unwrap_or(0)))
    /// # });
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// use std::time::Duration;
    ///
    /// let sleeps = SLEEP.builder().call_timeout(Duration::from_millis(500)).kill_on_cancel(true);
    /// let rpc = sleeps.spawn()?;
    /// assert!(rpc.call("1000000").wait().unwrap_err().is_timeout());
    /// assert_eq!(rpc.join().wait()?.signal(), Some(9));
    /// # Ok(()) }
    /// ```
    pub fn kill_on_cancel(mut self, kills: bool) -> Self {
        self.handle.calls.kill_on_cancel = kills;
        self
    }

    /// Whether the child is killed (`SIGKILL`) when its last handle is dropped. Default: false; it finishes its calls.
    ///
    /// Calls that are not done by then fail like those of any child that was killed: a thread or task that waits has the
    /// error at once, `on_done` is called with it, a detached call is lost. A [`Call`](crate::Call) is no handle of its
    /// child, an [`EventStream`](crate::EventStream) neither; a [`Map`](crate::Map) is one. So is a
    /// [`Join`](crate::Join): while it is waited for, the child finishes its calls; dropped before the child has ended, it
    /// has the child killed.
    ///
    /// ```
    /// # offspring::worker!(SLEEP: fn(String) = |ms: String| {
    /// #     std::thread::sleep(std::time::Duration::from_millis(ms.parse().unwrap_or(0)))
    /// # });
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = SLEEP.builder().kill_on_drop(true).spawn()?;
    /// let call = rpc.call("1000000");
    /// drop(rpc);
    /// let error = call.wait().unwrap_err();
    /// assert_eq!(error.crash().expect("it was killed").status().signal(), Some(9));
    /// # Ok(()) }
    /// ```
    pub fn kill_on_drop(mut self, kills: bool) -> Self {
        self.handle.kill_on_drop = kills;
        self
    }
}
