//! The options of [`Builder`] for calls, and for how their bytes travel.

use std::time::Duration;

use super::Builder;
use crate::parent::child::interface::TimeLimit;

impl<F, S, E: Send + 'static> Builder<F, S, E> {
    /// Sets the timeout of each call, from when it is made. Default: none. [`Call::timeout`](crate::Call::timeout) sets another
    /// for a single call, or none (`timeout(None)`).
    ///
    /// The timeout alone does not stop a function that blocks: the call fails, and the child continues to run it. To stop it, set
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
    /// // This call has no timeout.
    /// rpc.call("100").timeout(None).wait()?;
    /// # Ok(()) }
    /// ```
    pub fn call_timeout(mut self, time: Duration) -> Self {
        self.handle.calls.limit = Some(TimeLimit::After(time));
        self
    }

    /// Sets whether the child is killed if a call that it runs is cancelled or times out. Default: false.
    /// [`Call::kill_on_cancel`](crate::Call::kill_on_cancel) sets it for a single call.
    ///
    /// The other calls of the child fail, too. In a [`Pool`](crate::Pool), calls that had not started move to another child, and
    /// the child is replaced.
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

    /// Sets whether the child is killed (`SIGKILL`) when its last handle is dropped. Default: false, and the child finishes its
    /// calls.
    ///
    /// Open calls then fail like those of any child that was killed. A waiting thread or task gets the error at once, `on_done` is
    /// called with it, and a detached call is lost. A [`Call`](crate::Call) or an [`EventStream`](crate::EventStream) is not a
    /// handle of the child, and a [`Map`](crate::Map) is. A [`Join`](crate::Join) is a handle, too: while it is waited for, the
    /// child finishes its calls. If it is dropped before the child has exited, the child is killed.
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

    /// Sets the maximum number of file descriptors, at least 1. Default: 1024, which is also the number of open files that most
    /// systems allow a process.
    ///
    /// It limits the descriptors of each call, result and event. It also limits the received descriptors that wait in this
    /// process: those of results that were not taken, and those of events that wait for a slow handler or reader.
    ///
    /// A call or result with more descriptors fails. A result that would exceed the limit of waiting descriptors fails, and its
    /// descriptors are closed. If waiting events have too many, backpressure slows the child down. A child that sends more than
    /// `count` descriptors before the message to which they belong breaks the protocol, and is killed. Descriptors that belong to
    /// no message are closed at once.
    ///
    /// ```
    /// # mod workers {
    /// # use offspring::Descriptor;
    /// # fn both(_: Descriptor, _: Descriptor) -> String { "two".into() }
    /// # offspring::worker!(pub TWO: fn(Descriptor, Descriptor) -> String = both);
    /// # }
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # offspring::init();
    /// # use workers::TWO;
    /// use offspring::Descriptor;
    ///
    /// let null = || std::fs::File::open("/dev/null").map(|file| Descriptor::new(file.into()));
    /// let rpc = TWO.builder().max_descriptors(2).spawn()?;
    /// assert_eq!(rpc.call(null()?, null()?).wait()?, "two");
    /// let rpc = TWO.builder().max_descriptors(1).spawn()?;
    /// assert!(rpc.call(null()?, null()?).wait().unwrap_err().is_too_long());
    /// # Ok(()) }
    /// ```
    pub fn max_descriptors(mut self, count: usize) -> Self {
        let count = count.clamp(1, u32::MAX as usize);
        let recipe = &mut self.recipe;
        (recipe.limits.descriptors, recipe.events.descriptors) = (count, count);
        self
    }

    /// Sets whether both sides may spin for some microseconds, and look for bytes, before they sleep. Default: true.
    ///
    /// In this process, the thread that waits for a call spins. For tasks, and for calls of a busy pool, the reactor spins after
    /// it has read an answer while other calls are in flight.
    ///
    /// Spinning makes short calls several times faster. Each side measures whether it pays, and stops if it does not. Neither side
    /// spins while no call is in flight.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = ECHO.builder().spin(false).spawn()?;
    /// assert_eq!(rpc.call("so").wait()?, "so");
    /// # Ok(()) }
    /// ```
    pub fn spin(mut self, allowed: bool) -> Self {
        self.recipe.spin = allowed;
        self
    }

    /// Sets whether the link may use rings, in memory that parent and child share. Default: true.
    ///
    /// With rings, a call to a child that is awake needs no system call. The socket is used in any case if the child does not
    /// support rings, if the link is not a local socket, or if the system has no memory files. With rings, calls are sent once the
    /// child has answered the hello. Without rings, a finished result that did not fit into the full socket is lost if the child
    /// dies.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = ECHO.builder().rings(false).spawn()?;
    /// assert_eq!(rpc.call("so").wait()?, "so");
    /// # Ok(()) }
    /// ```
    pub fn rings(mut self, allowed: bool) -> Self {
        self.recipe.rings = allowed;
        self
    }
}
