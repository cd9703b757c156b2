//! The builder of a pool.

use std::sync::Arc;
use std::time::Duration;

use super::Pool;
use super::engine::{Engine, PoolCallback};
use super::kind::ChildKind;
use super::scheduler::{PoolConfig, Scheduler};
use crate::error::{ChildId, Error};
use crate::message::Decode;
use crate::parent::builder::Builder;
use crate::parent::child::interface::{EventSink, HandleOptions, Handlers, TimeLimit};
use crate::parent::handles::events::handle_events;
use crate::parent::handles::rpc::Rpc;

/// A handler of all children of the pool.
type Handler<T> = Arc<dyn Fn(T) + Send + Sync>;

/// The options of a pool, from [`Worker::pool`](crate::Worker::pool) or [`Builder::pool`]. The options of a child, such as its
/// limits, are those of its [`Builder`], and are set before [`pool`](Builder::pool).
///
/// The names, meanings and defaults of [`max`](Self::max), [`idle`](Self::idle), [`load`](Self::load),
/// [`start`](Self::start) and [`stop`](Self::stop) are those of `AnyEvent::Fork::Pool`. For the lowest latency, use a `load`
/// of 1 and an `idle` as large as `max`. For the highest throughput of CPU-bound work, use a `load` of 2 or more and a `max`
/// of [`std::thread::available_parallelism`].
///
/// ```
/// # offspring::worker!(UPPER: fn(String) -> String = |text: String| text.to_uppercase());
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # offspring::init();
/// let cpus = std::thread::available_parallelism()?.get();
/// let pool = UPPER.pool().max(cpus).idle(1).spawn()?;
/// assert_eq!(pool.call("so").wait()?, "SO");
/// # pool.join().wait()?; Ok(()) }
/// ```
#[must_use = "nothing is started before `spawn`"]
pub struct PoolBuilder<F, S = crate::Octets, E = crate::NoEvents> {
    kinds: Vec<Builder<F, S, E>>,
    handle: HandleOptions,
    config: PoolConfig,
    on_event: Option<Handler<E>>,
    on_error: Option<Handler<Error>>,
    on_destroy: Option<PoolCallback>,
}

impl<F, S, E> std::fmt::Debug for PoolBuilder<F, S, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PoolBuilder")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl<F, S, E: Send + 'static> Builder<F, S, E> {
    /// Turns this builder of a child into the builder of a [`Pool`] of such children.
    ///
    /// Handlers are set on the pool, not here. A descriptor for a standard stream is given to each child.
    /// [Piped](crate::Stdio::piped) streams are an error of `spawn`. All children, those that are started later included,
    /// inherit from the thread that calls [`spawn`](PoolBuilder::spawn).
    ///
    /// ```
    /// # offspring::worker!(VARIABLE: fn(String) -> String = |name: String| std::env::var(name).unwrap_or_default());
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let pool = VARIABLE.builder().env("COLOUR", "blue").pool().max(2).spawn()?;
    /// assert_eq!(pool.call("COLOUR").wait()?, "blue");
    /// # pool.join().wait()?; Ok(()) }
    /// ```
    pub fn pool(self) -> PoolBuilder<F, S, E> {
        PoolBuilder {
            handle: self.handle,
            kinds: vec![self],
            config: PoolConfig {
                max: vec![4],
                idle: 0,
                load: 2,
                start: Duration::from_millis(100),
                stop: Duration::from_secs(10),
                pause: (Duration::from_millis(100), Duration::from_secs(10)),
                calls: None,
                age: None,
                memory: None,
                queue: (1 << 16, 16 << 20),
            },
            on_event: None,
            on_error: None,
            on_destroy: None,
        }
    }
}

impl<F, S, E: Send + 'static> PoolBuilder<F, S, E> {
    /// Sets the maximum number of children. Default: 4. With several kinds of children it limits the first kind: see
    /// [`also`](Self::also).
    ///
    /// A child that retires counts until it has answered its last call. [`std::thread::available_parallelism`] is the number
    /// of CPUs (`ncpu` in Perl).
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let pool = ECHO.pool().max(2).spawn()?;
    /// let calls = pool.map(["a", "b", "c"]);
    /// assert_eq!(calls.into_iter().count(), 3);
    /// assert!(pool.status().started <= 2);
    /// # pool.join().wait()?; Ok(()) }
    /// ```
    #[doc(alias = "ncpu")]
    pub fn max(mut self, children: usize) -> Self {
        self.config.max[0] = children;
        self
    }

    /// Adds another kind of children, at most `max`, started as `children` says.
    ///
    /// Each call is sent to the child with the fewest calls, and among equals to the kind that was added first. Children of a
    /// later kind are started when the kinds before have reached their maximum, or cannot be started. If the starts of a kind
    /// fail, it is tried again later, while the other kinds continue.
    ///
    /// ```no_run
    /// # offspring::worker!(UPPER: fn(String) -> String = |text: String| text.to_uppercase());
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let mut ssh = std::process::Command::new("ssh");
    /// ssh.args(["build.example.org", "upper-worker"]);
    /// // Four here, and eight over there.
    /// let pool = UPPER.pool().max(4).also(8, UPPER.command(ssh)).spawn()?;
    /// # Ok(()) }
    /// ```
    pub fn also(mut self, max: usize, children: Builder<F, S, E>) -> Self {
        self.kinds.push(children);
        self.config.max.push(max);
        self
    }

    /// Makes this a pool of a single child that is replaced if it dies: sets `max` and `idle` to 1, and `load` to 65,536, the
    /// limit of a child without a pool.
    ///
    /// ```
    /// # offspring::worker!(PID: fn() -> String = || std::process::id().to_string());
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = PID.pool().single().on_error(|_| ()).spawn()?;
    /// let pid = rpc.call().wait()?;
    /// std::process::Command::new("kill").args(["-9", &pid]).status().expect("`kill` exists");
    /// while rpc.call().wait()? == pid {}
    /// # rpc.join().wait()?; Ok(()) }
    /// ```
    pub fn single(self) -> Self {
        self.max(1).idle(1).load(1 << 16)
    }

    /// Sets the minimum number of idle children, from the start. Default: 0.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let pool = ECHO.pool().idle(1).spawn()?;
    /// pool.ready().wait()?;
    /// assert_eq!(pool.status().idle, 1);
    /// # pool.join().wait()?; Ok(()) }
    /// ```
    pub fn idle(mut self, children: usize) -> Self {
        self.config.idle = children;
        self
    }

    /// Sets how many calls a child is given at the same time. Default: 2, one that runs and one that follows without a pause.
    /// Further calls wait in the pool.
    ///
    /// A call stays with its child while the child lives. So use 1 if some calls are long: with 2, a call may wait behind a
    /// long call while another child is idle. Use about 16 for calls of less than a millisecond, and more for workers that run
    /// many calls at the same time.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let pool = ECHO.pool().max(1).load(16).spawn()?;
    /// let calls: Vec<_> = (0..100).map(|n| pool.call(n.to_string())).collect();
    /// assert!(pool.status().running <= 16);
    /// for call in calls {
    ///     call.wait()?;
    /// }
    /// # pool.join().wait()?; Ok(()) }
    /// ```
    pub fn load(mut self, calls: usize) -> Self {
        self.config.load = calls;
        self
    }

    /// Sets how long all children must be busy with calls queued before another is started. Default: 100 ms.
    ///
    /// At most one child is started in that time. The first child is started at once, and so is the replacement of a child that
    /// died less than [`stop`](Self::stop) ago.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// use std::time::Duration;
    ///
    /// // A child for each call that would wait.
    /// let pool = ECHO.pool().load(1).start(Duration::ZERO).spawn()?;
    /// assert_eq!(pool.call("so").wait()?, "so");
    /// # pool.join().wait()?; Ok(()) }
    /// ```
    pub fn start(mut self, time: Duration) -> Self {
        self.config.start = time;
        self
    }

    /// Sets how long a child must be idle before the pool ends it. Default: 10 s.
    ///
    /// At most one child is ended in that time, and [`idle`](Self::idle) children are kept.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let pool = ECHO.pool().stop(std::time::Duration::from_millis(1)).spawn()?;
    /// pool.call("so").wait()?;
    /// while pool.status().children() > 0 {
    ///     std::thread::yield_now();
    /// }
    /// # pool.join().wait()?; Ok(()) }
    /// ```
    pub fn stop(mut self, time: Duration) -> Self {
        self.config.stop = time;
        self
    }

    /// Sets the pause after a failed start: `first`, and twice as long after each further failure, up to `longest`. Default:
    /// 100 ms and 10 s.
    ///
    /// A start has failed if the child did not become [ready](crate::Rpc::ready). A child that dies later is replaced at once
    /// if it had started a call, or may have: a call that crashes its child costs one start and delays no other call. A child
    /// that dies without having started a call is replaced after a pause, too:
    ///
    /// * It had started none of the calls that it was given. The calls move to other children, and the pause is that of a
    ///   failed start.
    /// * It was given no call. The pause delays only starts that keep `idle` children alive, and not a start for a call. There
    ///   is no pause if the child had been ready for `longest`.
    ///
    /// When five starts in a row of every kind of children have failed, the queued calls fail with the error of the last start.
    /// Further calls wait for the next attempt.
    ///
    /// A single failure is enough if the next start would fail, too: the program does not exist, may not be executed, or is
    /// another than the expected worker. It is taken for another program if it sends the hello of another worker, serialiser or
    /// version, writes anything that is no hello, or exits without a hello and with code 0, 126 or 127. Calls that are made
    /// during the pause then fail at once, and the first call after it is the next attempt.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// use std::time::Duration;
    ///
    /// let pool = ECHO.pool().backoff(Duration::from_secs(1), Duration::from_secs(60)).spawn()?;
    /// assert_eq!(pool.call("so").wait()?, "so");
    /// # pool.join().wait()?; Ok(()) }
    /// ```
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.config.pause = (first, longest);
        self
    }

    /// Sets the maximum number of calls of a child, after which the pool replaces it. The child exits when they are answered. Default: no
    /// limit.
    ///
    /// ```
    /// # offspring::worker!(PID: fn() -> String = || std::process::id().to_string());
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let pool = PID.pool().max(1).max_calls(1).spawn()?;
    /// assert_ne!(pool.call().wait()?, pool.call().wait()?);
    /// # pool.join().wait()?; Ok(()) }
    /// ```
    pub fn max_calls(mut self, calls: u64) -> Self {
        self.config.calls = Some(calls);
        self
    }

    /// Sets the maximum age of a child, counted from when it is ready, after which the pool replaces it. The child exits when its calls
    /// are answered. Default: no limit.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let pool = ECHO.pool().max_age(std::time::Duration::from_secs(3600)).spawn()?;
    /// assert_eq!(pool.call("so").wait()?, "so");
    /// # pool.join().wait()?; Ok(()) }
    /// ```
    pub fn max_age(mut self, time: Duration) -> Self {
        self.config.age = Some(time);
        self
    }

    /// Sets the resident memory (`VmRSS` in `/proc/PID/status`), in bytes, above which a child is given no more calls. It exits
    /// when its calls are answered. Default: no limit.
    ///
    /// The memory is read when the child has answered a call, at most every 100 ms. For a [`command`](Builder::command) it is
    /// the memory of the local process, such as `ssh`, and not that of the worker. For a worker
    /// [in this process](Builder::in_process), `spawn` fails.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let pool = ECHO.pool().max_memory(1 << 30).spawn()?;
    /// assert_eq!(pool.call("so").wait()?, "so");
    /// # pool.join().wait()?; Ok(()) }
    /// ```
    pub fn max_memory(mut self, bytes: u64) -> Self {
        self.config.memory = Some(bytes);
        self
    }

    /// Sets how many calls, and bytes of their arguments, may wait for a child before `try_call` and
    /// [`Call::detach`](crate::Call::detach) refuse more. Default: 65,536 and 16 MiB.
    ///
    /// `call` ignores the limit, because its caller holds a handle for each call.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let pool = ECHO.pool().max(1).load(1).max_queue(1, 1000).spawn()?;
    /// let calls: Vec<_> = (0..100).map_while(|n| pool.try_call(n.to_string()).ok()).collect();
    /// assert!(!calls.is_empty(), "there was room for some");
    /// for call in calls {
    ///     call.wait()?;
    /// }
    /// # pool.join().wait()?; Ok(()) }
    /// ```
    pub fn max_queue(mut self, calls: usize, bytes: usize) -> Self {
        self.config.queue = (calls, bytes);
        self
    }

    /// Sets the timeout of each call. It includes the time in the pool's queue: see [`Builder::call_timeout`]. Default: that of
    /// the builder of the first kind of children.
    ///
    /// ```
    /// # offspring::worker!(SLEEP: fn(String) = |ms: String| {
    /// #     std::thread::sleep(std::time::Duration::from_millis(ms.parse().unwrap_or(0)))
    /// # });
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// use std::time::Duration;
    ///
    /// // No call takes longer, and no child stays busy with a call that timed out.
    /// let pool = SLEEP.pool().call_timeout(Duration::from_millis(500)).kill_on_cancel(true);
    /// let pool = pool.on_error(|_| ()).spawn()?;
    /// let (one, two) = (pool.call("1"), pool.call("1000000"));
    /// one.wait()?;
    /// assert!(two.wait().unwrap_err().is_timeout());
    /// # pool.join().wait()?; Ok(()) }
    /// ```
    pub fn call_timeout(mut self, time: Duration) -> Self {
        self.handle.calls.limit = Some(TimeLimit::After(time));
        self
    }

    /// Sets whether a child is killed when a call that it runs is cancelled or times out: see [`Builder::kill_on_cancel`]. The
    /// pool replaces the child. Default: that of the builder of the first kind of children.
    ///
    /// ```
    /// # offspring::worker!(SLEEP: fn(u64) = |s: u64| std::thread::sleep(std::time::Duration::from_secs(s)));
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let pool = SLEEP.pool().max(1).load(1).kill_on_cancel(true).on_error(|_| ()).spawn()?;
    /// drop(pool.call(u64::MAX)); // dropping a call cancels it
    /// pool.call(0).wait()?; // so the only child is free, or replaced
    /// # pool.join().wait()?; Ok(()) }
    /// ```
    pub fn kill_on_cancel(mut self, kills: bool) -> Self {
        self.handle.calls.kill_on_cancel = kills;
        self
    }

    /// Sets whether all children are killed, and open calls fail, when the last handle of the pool is dropped: see
    /// [`Builder::kill_on_drop`]. Default: that of the builder of the first kind of children.
    ///
    /// ```
    /// # offspring::worker!(SLEEP: fn(u64) = |s: u64| std::thread::sleep(std::time::Duration::from_secs(s)));
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let pool = SLEEP.pool().kill_on_drop(true).on_error(|_| ()).spawn()?;
    /// let call = pool.call(u64::MAX);
    /// drop(pool);
    /// assert!(call.wait().is_err());
    /// # Ok(()) }
    /// ```
    pub fn kill_on_drop(mut self, kills: bool) -> Self {
        self.handle.kill_on_drop = kills;
        self
    }

    /// Calls `handler` with each event of each child, except events of a call. Default: events are dropped, as in
    /// `AnyEvent::Fork::Pool`.
    ///
    /// The handler runs on the callback thread of the child, so several may run at the same time. For the events of one child
    /// it is called as [`Builder::on_event`] says.
    ///
    /// ```
    /// # fn tell(text: String, events: &offspring::Events<String>) {
    /// #     events.send(text).expect("the parent runs");
    /// # }
    /// # offspring::worker!(TELL: fn(String) = tell, events = String);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let (sender, events) = std::sync::mpsc::channel();
    /// let pool = TELL.pool().on_event(move |event| drop(sender.send(event))).spawn()?;
    /// pool.call("so").wait()?;
    /// assert_eq!(events.recv().expect("an event"), "so");
    /// # pool.join().wait()?; Ok(()) }
    /// ```
    pub fn on_event(mut self, handler: impl Fn(E) + Send + Sync + 'static) -> Self {
        self.on_event = Some(Arc::new(handler));
        self
    }

    /// Calls `handler` with each error that does not belong to a call: a child died, a start failed, a callback panicked.
    /// Default: errors are logged at error level, with the crate `log`.
    ///
    /// The handler may run on several threads at the same time, like that of [`on_event`](Self::on_event).
    ///
    /// ```
    /// # offspring::worker!(ABORT: fn() = || std::process::abort());
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let (sender, errors) = std::sync::mpsc::channel();
    /// let pool = ABORT.pool().on_error(move |error| drop(sender.send(error))).spawn()?;
    /// assert!(pool.call().wait().is_err());
    /// assert!(errors.recv().expect("an error").is_child_dead());
    /// # Ok(()) }
    /// ```
    pub fn on_error(mut self, handler: impl Fn(Error) + Send + Sync + 'static) -> Self {
        self.on_error = Some(Arc::new(handler));
        self
    }

    /// Calls `handler` at the end: the handles are dropped, the calls done, the children reaped, and all other callbacks have
    /// returned.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let (sender, receiver) = std::sync::mpsc::channel();
    /// let pool = ECHO
    ///     .pool()
    ///     .on_destroy(move || sender.send(()).expect("it is received"))
    ///     .spawn()?;
    /// pool.call("so").detach()?;
    /// drop(pool);
    /// receiver.recv().expect("all is over");
    /// # Ok(()) }
    /// ```
    pub fn on_destroy(mut self, handler: impl FnOnce() + Send + 'static) -> Self {
        self.on_destroy = Some(Box::new(handler));
        self
    }

    /// Creates the pool, and starts the first `idle` children in the background. If they cannot be started, calls fail, and each
    /// failure is reported to [`on_error`](Self::on_error).
    ///
    /// Does not block: the calling thread creates a thread for each kind of children, which starts them one after the other.
    /// Every child therefore inherits CPU affinity, priority, signal mask and namespaces from the calling thread. The created
    /// thread lives as long as the pool and its children. Children of a [template](crate::Template) inherit from the template.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// assert!(ECHO.pool().max(0).spawn().is_err());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// * `max`, `load` or `max_calls` is 0.
    /// * A builder of children has handlers.
    /// * No child could ever be started: the arguments of `init` could not be encoded, this program has not called
    ///   [`init`](crate::init), or the reactor or a thread that starts children could not be created.
    pub fn spawn(self) -> Result<Pool<F, S, E>, Error> {
        let child = ChildId::of_worker(self.kinds[0].recipe.declared.name);
        self.build().map_err(|error| error.about(&Arc::new(child)))
    }

    fn build(self) -> Result<Pool<F, S, E>, Error> {
        self.check()?;
        let decode = self.kinds[0].decode_event;
        let name = self.kinds[0].recipe.declared.name;
        let sink = match self.on_event {
            Some(_) => EventSink::Handler,
            None => EventSink::Dropped,
        };
        let (on_event, on_error) = (self.on_event, self.on_error);
        let kind = |builder: Builder<F, S, E>| {
            let (on_event, on_error) = (on_event.clone(), on_error.clone());
            let handlers = move || of_one_child(&on_event, &on_error, decode);
            ChildKind::new(builder.recipe, sink, Box::new(handlers))
        };
        let kinds = self.kinds.into_iter().map(kind);
        let kinds = kinds.collect::<Result<_, _>>()?;
        let scheduler = Scheduler::new(self.config);
        let engine = Engine::new(name, scheduler, kinds, self.on_destroy)?;
        Ok(Pool {
            rpc: Rpc::new(
                Arc::clone(&engine) as _,
                decode,
                Default::default(),
                self.handle,
            ),
            engine,
        })
    }

    fn check(&self) -> Result<(), Error> {
        if let Some(text) = self.fault() {
            return Err(Error::start(text));
        }
        let mut kinds = self.kinds.iter();
        kinds.try_for_each(|builder| builder.recipe.check_without_handle())
    }

    /// Returns why the options cannot be those of a pool. `None` if they can.
    fn fault(&self) -> Option<&'static str> {
        let config = &self.config;
        let is_thread = |builder: &Builder<F, S, E>| builder.recipe.launcher.is_thread();
        let has_handlers = |builder: &Builder<F, S, E>| {
            builder.on_event.is_some() || builder.on_error.is_some() || builder.on_destroy.is_some()
        };
        let mut handles = self.kinds[1..].iter().map(|builder| builder.handle);
        let refused = [
            (
                config.max.contains(&0),
                "a pool with a `max` of 0 would never run anything",
            ),
            (
                config.load == 0,
                "a pool with a `load` of 0 would never run anything",
            ),
            (
                config.calls == Some(0),
                "a child that leaves after 0 calls would never run anything",
            ),
            (
                config.memory.is_some() && self.kinds.iter().any(is_thread),
                "a thread has the memory of its process: leave `max_memory` or `in_process` out",
            ),
            (
                self.kinds.iter().any(has_handlers),
                "handlers are set for the pool, not for the builder of its children: call `on_event` and the others after `pool()`",
            ),
            (
                handles.any(|handle| handle != HandleOptions::default()),
                "timeouts of calls, `kill_on_cancel` and `kill_on_drop` are set for the pool, not for a further kind of its children",
            ),
        ];
        let mut refused = refused.into_iter();
        refused.find_map(|(is_refused, text)| is_refused.then_some(text))
    }
}

/// Returns the handlers of one child, which call those of the pool.
fn of_one_child<E: Send + 'static>(
    on_event: &Option<Handler<E>>,
    on_error: &Option<Handler<Error>>,
    decode: Decode<E>,
) -> Handlers {
    let on_event = on_event.clone();
    let on_event =
        on_event.map(|handler| Box::new(move |event| handler(event)) as Box<dyn FnMut(E) + Send>);
    let on_error = on_error.clone();
    Handlers {
        on_event: handle_events(on_event, decode),
        on_error: Box::new(move |error| match &on_error {
            Some(handler) => handler(error),
            None => log::error!("{error}"),
        }),
        on_destroy: None,
    }
}
