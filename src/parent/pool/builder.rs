//! How a pool is set up.

use std::sync::Arc;
use std::time::Duration;

use super::Pool;
use super::aside::Job;
use super::client::PoolClient;
use super::engine::Engine;
use super::launcher::Launcher;
use super::scheduler::{Rules, Scheduler};
use crate::error::{ChildId, Error};
use crate::parent::builder::Builder;
use crate::parent::child::terms::{EventSink, HandleOptions, Handlers, Limit};
use crate::parent::handles::events::handle_events;
use crate::parent::handles::rpc::Rpc;

/// How a pool is set up; from [`Worker::pool`](crate::Worker::pool) or
/// [`Builder::pool`].
///
/// The names, meanings and defaults of [`max`](Self::max), [`idle`](Self::idle),
/// [`load`](Self::load), [`start`](Self::start) and [`stop`](Self::stop) are
/// those of `AnyEvent::Fork::Pool`. Two recipes from there: for the lowest
/// latency a `load` of 1 and an `idle` as large as `max`; for the throughput of
/// work that takes CPU a `load` of 2 or more and a `max` of
/// [`std::thread::available_parallelism`].
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
    launchers: Vec<Builder<F, S, E>>,
    handle: HandleOptions,
    rules: Rules,
    queue: (usize, usize),
    on_event: Option<Arc<dyn Fn(E) + Send + Sync>>,
    on_error: Option<Arc<dyn Fn(Error) + Send + Sync>>,
    on_destroy: Option<Job>,
}

impl<F, S, E> std::fmt::Debug for PoolBuilder<F, S, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PoolBuilder")
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

impl<F, S, E: Send + 'static> Builder<F, S, E> {
    /// Says that children are to be started so, as many as are needed, and how a
    /// [`Pool`] of them works.
    ///
    /// Handlers are set for the pool, not here. A descriptor for one of the
    /// worker's streams is given to each child; [piped](crate::Stdio::piped) they
    /// cannot be, which is an error of `spawn`. All children inherit from
    /// the thread that calls [`spawn`](PoolBuilder::spawn), also those that are
    /// started later.
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
            launchers: vec![self],
            rules: Rules {
                max: vec![4],
                idle: 0,
                load: 2,
                start: Duration::from_millis(100),
                stop: Duration::from_secs(10),
                pause: (Duration::from_millis(100), Duration::from_secs(10)),
                calls: None,
                age: None,
                memory: None,
            },
            queue: (1 << 16, 16 << 20),
            on_event: None,
            on_error: None,
            on_destroy: None,
        }
    }
}

impl<F, S, E: Send + 'static> PoolBuilder<F, S, E> {
    /// How many children there are at most; 4 if nothing is said. With several
    /// kinds of children, how many of the first kind: see [`also`](Self::also).
    ///
    /// A child that leaves counts until it has answered its last call.
    pub fn max(mut self, children: usize) -> Self {
        self.rules.max[0] = children;
        self
    }

    /// Adds another kind of children: `max` of them, started in that way. Calls
    /// go to the kind that was named first, as long as its children have less to
    /// do; children of a later kind are started when those before have no room,
    /// or cannot be started.
    ///
    /// What is lost of one kind is tried again later, while the others go on.
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
        self.launchers.push(children);
        self.rules.max.push(max);
        self
    }

    /// A single child that comes back if it dies: `max` and `idle` are 1, and
    /// `load` is 65,536, what a child of its own is sent at once.
    ///
    /// ```
    /// # offspring::worker!(PID: fn() -> String = || std::process::id().to_string());
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = PID.pool().single().on_error(|_| ()).spawn()?;
    /// let pid = rpc.call().wait()?;
    /// std::process::Command::new("kill").args(["-9", &pid]).status().expect("it is there");
    /// while rpc.call().wait()? == pid {}
    /// # rpc.join().wait()?; Ok(()) }
    /// ```
    pub fn single(self) -> Self {
        self.max(1).idle(1).load(1 << 16)
    }

    /// At least so many children are kept idle, also right from the start; none
    /// if nothing is said.
    pub fn idle(mut self, children: usize) -> Self {
        self.rules.idle = children;
        self
    }

    /// So many calls may be under way at one child; 2 if nothing is said: one
    /// that runs, and one that is there when it is done. The rest waits in the
    /// pool. For workers that run many calls at once it may be many more.
    ///
    /// For calls of less than a millisecond, 16 or so: children do not run out of
    /// work then.
    pub fn load(mut self, calls: usize) -> Self {
        self.rules.load = calls;
        self
    }

    /// For so long all children must have been busy, with calls waiting, before
    /// one more is started, and at most one is started in that time; 0.1 s if
    /// nothing is said. The first one is started at once, and so is one in place
    /// of a child that has died less than [`stop`](Self::stop) ago.
    pub fn start(mut self, time: Duration) -> Self {
        self.rules.start = time;
        self
    }

    /// A child that has been idle for so long is ended, one in that time, down
    /// to `idle`; 10 s if nothing is said.
    pub fn stop(mut self, time: Duration) -> Self {
        self.rules.stop = time;
        self
    }

    /// Sets the pause after a failed start: `first`, and twice as long after each
    /// further failure, up to `longest`. Default: 100 ms and 10 s.
    ///
    /// A start has failed if the child did not become
    /// [ready](crate::Rpc::ready). A child that dies later is replaced at once if
    /// it had started a call, or may have: a call that ends its child costs one
    /// start and delays no other call. What a child may die of without a call is
    /// backed off in the same way, so that no child is started over and over:
    ///
    /// * It had started none of the calls that it was given. They move to other
    ///   children, and the pause is that of a failed start.
    /// * It was given no call. The pause is for starts that keep `idle` children
    ///   alive; a start for a call does not wait for it. There is no pause if the
    ///   child had been ready for `longest`.
    ///
    /// When five starts in a row have failed, of every kind of children, the
    /// calls that wait fail with the error of the last start. Further calls wait
    /// for the next attempt.
    ///
    /// One failure is enough of a kind whose next start would fail, too: there is
    /// no such program, or no permission to run it; or what runs is not the
    /// worker that was meant. That is so if it says a hello of another worker,
    /// serialiser or version, or writes something else, or exits without a hello
    /// with code 0, 126 or 127. Calls that are made during the pause then fail at
    /// once, and the first one after it is the next attempt.
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.rules.pause = (first, longest);
        self
    }

    /// A child that was given so many calls gets no more, and ends when they are
    /// answered; no limit if nothing is said.
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
        self.rules.calls = Some(calls);
        self
    }

    /// A child that has been ready for so long gets no more calls, and ends when
    /// those that it has are answered; no limit if nothing is said.
    pub fn max_age(mut self, time: Duration) -> Self {
        self.rules.age = Some(time);
        self
    }

    /// A child that has more than this many bytes of memory resident (`VmRSS` in
    /// `/proc/PID/status`) gets no more calls, and ends when those that it has
    /// are answered; no limit if nothing is said.
    ///
    /// It is looked at when the child has answered something, but not more often
    /// than every 100 ms. Of a [`command`](Builder::command) it is the memory of
    /// the command here, `ssh` say, not of the worker.
    pub fn max_memory(mut self, bytes: u64) -> Self {
        self.rules.memory = Some(bytes);
        self
    }

    /// How many calls, and bytes of their arguments, may wait for a child
    /// before `try_call` refuses more, and [`Call::detach`](crate::Call::detach).
    /// Default: 65,536 and 16 MiB. `call` takes them all the same, and their
    /// bytes belong to their handles.
    pub fn max_queue(mut self, calls: usize, bytes: usize) -> Self {
        self.queue = (calls, bytes);
        self
    }

    /// Limits each call, from when it is made, also while it waits in the pool: see
    /// [`Builder::call_timeout`]. Default: what the builder of the first kind of children says.
    ///
    /// ```
    /// # offspring::worker!(SLEEP: fn(String) = |ms: String| {
    /// #     std::thread::sleep(std::time::Duration::from_millis(ms.parse().unwrap_or(0)))
    /// # });
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// use std::time::Duration;
    ///
    /// // No call takes longer than that, and no child is busy with one that was given up.
    /// let pool = SLEEP.pool().call_timeout(Duration::from_millis(500)).kill_on_cancel(true);
    /// let pool = pool.on_error(|_| ()).spawn()?;
    /// let (one, two) = (pool.call("1"), pool.call("1000000"));
    /// one.wait()?;
    /// assert!(two.wait().unwrap_err().is_timeout());
    /// # pool.join().wait()?; Ok(()) }
    /// ```
    pub fn call_timeout(mut self, time: Duration) -> Self {
        self.handle.calls.limit = Some(Limit::After(time));
        self
    }

    /// Whether a child that runs a call which is cancelled, or late, is killed for it: see
    /// [`Builder::kill_on_cancel`]. The pool replaces it. Default: what the builder of the first kind of children says.
    pub fn kill_on_cancel(mut self, kills: bool) -> Self {
        self.handle.calls.kill_on_cancel = kills;
        self
    }

    /// Whether all children are killed when the last handle of the pool is dropped, and the calls that are not done fail:
    /// see [`Builder::kill_on_drop`]. Default: what the builder of the first kind of children says.
    pub fn kill_on_drop(mut self, kills: bool) -> Self {
        self.handle.kill_on_drop = kills;
        self
    }

    /// Has `handler` called with each event of any child; without it they are
    /// dropped, as by `AnyEvent::Fork::Pool`. Events of a call do not come here.
    ///
    /// It runs on the callback threads of the children, so for several of them
    /// at the same time; for one child it is as said of
    /// [`Builder::on_event`].
    pub fn on_event(mut self, handler: impl Fn(E) + Send + Sync + 'static) -> Self {
        self.on_event = Some(Arc::new(handler));
        self
    }

    /// Has `handler` called with what went wrong and is not the error of one
    /// call: children that died, starts that failed, panics of callbacks. If
    /// nothing is said they go to the `log` crate, at error level. It may run
    /// several times at once, like [`on_event`](Self::on_event).
    pub fn on_error(mut self, handler: impl Fn(Error) + Send + Sync + 'static) -> Self {
        self.on_error = Some(Arc::new(handler));
        self
    }

    /// Has `handler` called once all is over: the handles are gone, the calls
    /// done, the children reaped, and all other callbacks have returned.
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

    /// Sets the pool up, and has the first `idle` children started. Does not
    /// wait for them: what keeps children from being started is an error of the
    /// calls, and [`on_error`](Self::on_error) hears each time.
    ///
    /// Does not block: children are started, one after the other, from a thread that
    /// the calling thread creates for each kind of children. So every child inherits from the
    /// calling thread: CPU affinity, priority, signal mask, namespaces. The thread
    /// stays until the pool and its children are gone. Children of a
    /// [template](crate::Template) inherit from the template.
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
    /// `max`, `load` or `max_calls` is 0; a builder of children has handlers; or
    /// what no child could be started with: the arguments of `init` could not be
    /// encoded, this program has not called [`init`](crate::init), there can be
    /// no helper or no thread to start children from.
    pub fn spawn(self) -> Result<Pool<F, S, E>, Error> {
        let child = ChildId::of_worker(self.launchers[0].recipe.declared.name);
        self.build().map_err(|error| error.about(&Arc::new(child)))
    }

    fn build(self) -> Result<Pool<F, S, E>, Error> {
        self.check()?;
        let decode = self.launchers[0].decode_event;
        let name = self.launchers[0].recipe.declared.name;
        let (on_event, on_error) = (self.on_event, self.on_error);
        let launcher = |builder: Builder<F, S, E>| {
            let (on_event, on_error) = (on_event.clone(), on_error.clone());
            let sink = match on_event {
                Some(_) => EventSink::Handler,
                None => EventSink::Dropped,
            };
            let handlers = move || {
                let on_event = on_event.clone();
                let on_event = on_event.map(|handler| {
                    Box::new(move |event| handler(event)) as Box<dyn FnMut(E) + Send>
                });
                let on_error = on_error.clone();
                Handlers {
                    on_event: handle_events(on_event, decode),
                    on_error: Box::new(move |error| match &on_error {
                        Some(handler) => handler(error),
                        None => log::error!("{error}"),
                    }),
                    on_destroy: None,
                }
            };
            Launcher::new(builder.recipe, sink, Box::new(handlers))
        };
        let launchers = self.launchers.into_iter().map(launcher);
        let launchers = launchers.collect::<Result<_, _>>()?;
        let scheduler = Scheduler::new(self.rules);
        let engine = Engine::new(name, scheduler, launchers, self.queue, self.on_destroy)?;
        let client = PoolClient(Arc::clone(&engine));
        Ok(Pool {
            rpc: Rpc::new(Arc::new(client), decode, Default::default(), self.handle),
            engine,
        })
    }

    fn check(&self) -> Result<(), Error> {
        let refuse = |text: &str| Err(Error::start(text));
        if self.rules.max.contains(&0) {
            return refuse("a pool with a `max` of 0 would never run anything");
        }
        if self.rules.load == 0 {
            return refuse("a pool with a `load` of 0 would never run anything");
        }
        if self.rules.calls == Some(0) {
            return refuse("a child that leaves after 0 calls would never run anything");
        }
        for builder in &self.launchers {
            let handlers = builder.on_event.is_some()
                || builder.on_error.is_some()
                || builder.on_destroy.is_some();
            if handlers {
                return refuse(
                    "handlers are set for the pool, not for the builder of its children: call `on_event` and the others after `pool()`",
                );
            }
            builder.recipe.check_without_handle()?;
        }
        if self.launchers[1..]
            .iter()
            .any(|builder| builder.handle.is_some())
        {
            return refuse(
                "timeouts of calls, `kill_on_cancel` and `kill_on_drop` are set for the pool, not for a further kind of its children",
            );
        }
        Ok(())
    }
}
