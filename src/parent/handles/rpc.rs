//! The handle of a child.

use std::future::Future;
use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::process::{ChildStderr, ChildStdin, ChildStdout};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::base::sync::Mutex;
use crate::error::{ChildId, Error};
use crate::exit_status::ExitStatus;
use crate::parcel::Decode;
use crate::parent::child::terms::{CallDefaults, HandleOptions};
use crate::parent::forked::Reach;
use crate::parent::spawn::streams::Streams;
use crate::parent::target::Origin;
use crate::signature::{Service, Signature};

/// A child that runs one worker: call it.
///
/// It is cheap to clone, and may be used from any number of threads and tasks
/// at once. When the last clone is dropped, the child finishes the calls it was
/// given, answers them, and exits; that goes on in the background, as long as
/// this process lives. [`join`](Self::join) waits for it. With
/// [`kill_on_drop`](crate::Builder::kill_on_drop) the child is killed instead.
///
/// The handle of a [`Pool`](crate::Pool) is one of these, too; what is said of the
/// child here is then true of all its children together.
///
/// The type parameters are the signature, the serialiser and the events, as in
/// the declaration.
///
/// A handle works in the process that made it. In a copy of that process made by
/// `fork`, every use of the handle, of its calls and of its pool is an error at
/// once ([`is_closed`](Error::is_closed)), and neither that nor dropping it has
/// an effect on the original. The copy may start new children.
///
/// ```
/// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
/// # fn main() -> Result<(), offspring::Error> {
/// # offspring::init();
/// let rpc = ECHO.spawn()?;
/// std::thread::scope(|scope| {
///     for n in 0..3 {
///         let rpc = rpc.clone();
///         scope.spawn(move || assert_eq!(rpc.call(n.to_string()).wait().unwrap(), n.to_string()));
///     }
/// });
/// # Ok(()) }
/// ```
pub struct Rpc<F, S = crate::Octets, E = crate::NoEvents> {
    hold: Arc<Hold>,
    /// The pipes to a child's streams that were not taken.
    pipes: Arc<Mutex<Streams>>,
    pub(crate) decode_event: Decode<E>,
    pub(super) defaults: CallDefaults,
    types: crate::signature::Types<(F, S, E)>,
}

/// What keeps a child open: it is closed, or killed, when the last handle, or wait for its end, goes.
pub(crate) struct Hold {
    reach: Reach,
    kills: bool,
}

impl Hold {
    pub(crate) fn origin(&self) -> &Arc<dyn Origin> {
        self.reach.origin()
    }

    fn child_id(&self) -> Option<Arc<ChildId>> {
        self.reach.child_id()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.kills {
            self.origin().kill();
        } else {
            self.origin().close();
        }
    }
}

impl<F, S, E> Clone for Rpc<F, S, E> {
    fn clone(&self) -> Self {
        Self {
            hold: Arc::clone(&self.hold),
            pipes: Arc::clone(&self.pipes),
            decode_event: self.decode_event,
            defaults: self.defaults,
            types: PhantomData,
        }
    }
}

impl<F, S, E> std::fmt::Debug for Rpc<F, S, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rpc")
            .field("pid", &self.pid())
            .finish_non_exhaustive()
    }
}

impl<T: ?Sized, S, E> Rpc<Service<T>, S, E> {
    /// Returns a handle by which one method of a service is called, with its name
    /// as the first argument: for what a client's methods do not offer, such as
    /// [`map`](Self::map). It holds the child like any other.
    ///
    /// ```
    /// use offspring::{service, worker};
    ///
    /// service! {
    ///     /// Works on words.
    ///     pub trait Words => WordsClient {
    ///         /// Repeats a word.
    ///         fn twice(&self, word: String) -> String;
    ///     }
    /// }
    /// struct Plain;
    /// impl Words for Plain {
    ///     fn twice(&self, word: String) -> String {
    ///         word.repeat(2)
    ///     }
    /// }
    /// worker!(WORDS: dyn Words = || Plain);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let pool = WORDS.pool().spawn()?;
    /// let twice = pool.method::<fn(String, String) -> String>();
    /// let calls = ["a", "b"].map(|word| ("twice", word));
    /// let all: Result<Vec<_>, _> = twice.map(calls).into_iter().collect();
    /// assert_eq!(all?, ["aa", "bb"]);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn method<F: Signature>(&self) -> Rpc<F, S, E> {
        Rpc {
            hold: Arc::clone(&self.hold),
            pipes: Arc::clone(&self.pipes),
            decode_event: self.decode_event,
            defaults: self.defaults,
            types: PhantomData,
        }
    }
}

impl<F, S, E> Rpc<F, S, E> {
    pub(crate) fn new(
        origin: Arc<dyn Origin>,
        decode_event: Decode<E>,
        pipes: Streams,
        options: HandleOptions,
    ) -> Self {
        Self {
            hold: Arc::new(Hold {
                reach: Reach::new(origin),
                kills: options.kill_on_drop,
            }),
            pipes: Arc::new(Mutex::new(pipes)),
            decode_event,
            defaults: options.calls,
            types: PhantomData,
        }
    }

    pub(crate) fn origin(&self) -> &Arc<dyn Origin> {
        self.hold.origin()
    }

    /// What keeps the child open, without the types.
    pub(crate) fn hold(&self) -> Arc<Hold> {
        Arc::clone(&self.hold)
    }

    /// Says in an error which child, or pool, it is about.
    pub(crate) fn about(&self, error: Error) -> Error {
        error.about(self.hold.child_id().as_ref())
    }

    /// The process that was started for this child: the child itself, or the
    /// command that leads to it. `None` for descriptors that were given, and for a
    /// pool.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = ECHO.spawn()?;
    /// assert_ne!(rpc.pid(), Some(std::process::id()));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.origin().pid()
    }

    /// Takes the pipe that leads to the child's stdin, if that was said to be
    /// [piped](crate::Stdio::piped). `None` if it was taken before. What is not
    /// taken is closed with the last handle.
    ///
    /// ```
    /// # fn line() -> String {
    /// #     std::io::stdin().lines().next().and_then(Result::ok).unwrap_or_default()
    /// # }
    /// # offspring::worker!(LINE: fn() -> String = line);
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # offspring::init();
    /// use std::io::Write;
    ///
    /// let rpc = LINE.builder().stdin(offspring::Stdio::piped()).spawn()?;
    /// let mut stdin = rpc.take_stdin().expect("it is piped");
    /// writeln!(stdin, "so")?;
    /// assert_eq!(rpc.call().wait()?, "so");
    /// assert!(rpc.take_stdin().is_none());
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn take_stdin(&self) -> Option<ChildStdin> {
        self.take_pipe(0).map(ChildStdin::from)
    }

    /// Takes the pipe that the child's stdout leads to, if that was said to be
    /// [piped](crate::Stdio::piped). `None` if it was taken before. It has to be
    /// read: the child blocks once it is full.
    ///
    /// ```
    /// # offspring::worker!(SAY: fn(String) = |text: String| println!("{text}"));
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # offspring::init();
    /// let rpc = SAY.builder().stdout(offspring::Stdio::piped()).spawn()?;
    /// let stdout = rpc.take_stdout().expect("it is piped");
    /// rpc.call("so").wait()?;
    /// rpc.join().wait()?;
    /// assert_eq!(std::io::read_to_string(stdout)?, "so\n");
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn take_stdout(&self) -> Option<ChildStdout> {
        self.take_pipe(1).map(ChildStdout::from)
    }

    /// Takes the pipe that the child's stderr leads to, like
    /// [`take_stdout`](Self::take_stdout). To see only the last of it, when the
    /// child has died, there is [`capture_stderr`](crate::Builder::capture_stderr).
    ///
    /// ```
    /// # offspring::worker!(WARN: fn(String) = |text: String| eprintln!("{text}"));
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # offspring::init();
    /// let rpc = WARN.builder().stderr(offspring::Stdio::piped()).spawn()?;
    /// let stderr = rpc.take_stderr().expect("it is piped");
    /// rpc.call("so").wait()?;
    /// rpc.join().wait()?;
    /// assert_eq!(std::io::read_to_string(stderr)?, "so\n");
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn take_stderr(&self) -> Option<ChildStderr> {
        self.take_pipe(2).map(ChildStderr::from)
    }

    /// In a copy of the process nothing can be taken, and the lock may be held for ever.
    fn take_pipe(&self, number: usize) -> Option<OwnedFd> {
        if !self.hold.reach.is_here() {
            return None;
        }
        self.pipes.lock()[number].take()
    }

    /// Waits until the child has said hello and its `init` is done. Of a pool,
    /// until one child is ready, which is started if there is none.
    ///
    /// Calls do not need it: they go out at once, and what keeps a child from
    /// getting ready is their error.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = ECHO.spawn()?;
    /// rpc.ready().wait()?;
    /// # Ok(()) }
    /// ```
    #[must_use = "wait for it, or await it"]
    pub fn ready(&self) -> Ready {
        Ready(self.hold.reach.clone())
    }

    /// Closes the child for all clones, and waits until it has finished its
    /// calls, has exited and was reaped, and the last callback has returned.
    ///
    /// Calls made from now on fail. Without a [limit](Join::within) it may take
    /// as long as the calls do.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = ECHO.spawn()?;
    /// let call = rpc.call("so");
    /// let status = rpc.join().wait()?;
    /// assert!(status.success());
    /// assert_eq!(call.wait()?, "so");
    /// # Ok(()) }
    /// ```
    #[must_use = "wait for it, or await it"]
    pub fn join(self) -> Join {
        self.origin().close();
        Join(self.hold())
    }

    /// Kills the child with `SIGKILL`, now. Open calls fail; [`join`](Self::join)
    /// still tells how it ended. Without a process of ours the link is cut. So it
    /// is if the system refuses the signal, because the child has become another
    /// user's or in a sandbox; a child that has not ended a second later is given
    /// up: its calls and `join` fail with an error that says so. It is reaped
    /// when it ends.
    ///
    /// ```
    /// # offspring::worker!(SLEEP: fn(String) = |ms: String| {
    /// #     std::thread::sleep(std::time::Duration::from_millis(ms.parse().unwrap_or(0)))
    /// # });
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = SLEEP.spawn()?;
    /// let call = rpc.call("1000000");
    /// rpc.kill();
    /// let error = call.wait().unwrap_err();
    /// assert_eq!(error.crash().unwrap().status().signal(), Some(9));
    /// # Ok(()) }
    /// ```
    pub fn kill(&self) {
        self.origin().kill();
    }
}

/// Waits until a child can work; from [`Rpc::ready`], or
/// [`Template::ready`](crate::Template::ready). A future, too.
///
/// ```
/// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
/// # fn main() -> Result<(), offspring::Error> {
/// # offspring::init();
/// let rpc = ECHO.spawn()?;
/// let mut ready = rpc.ready();
/// ready.wait_timeout(std::time::Duration::from_secs(60))?;
/// # Ok(()) }
/// ```
#[must_use = "wait for it, or await it"]
pub struct Ready(Reach);

impl Ready {
    pub(crate) fn of(origin: Arc<dyn Origin>) -> Self {
        Self(Reach::new(origin))
    }
}

/// Waits until a child is gone; from [`Rpc::join`]. A future, too. If it is dropped, the child ends in the background;
/// with [`kill_on_drop`](crate::Builder::kill_on_drop) it is killed.
///
/// ```
/// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
/// # fn main() -> Result<(), offspring::Error> {
/// # offspring::init();
/// let rpc = ECHO.spawn()?;
/// let status = futures_lite::future::block_on(rpc.join())?;
/// assert!(status.success());
/// # Ok(()) }
/// ```
#[must_use = "wait for it, or await it"]
pub struct Join(Arc<Hold>);

impl Join {
    /// Limits the wait: after `time` the child is told to end (`SIGTERM`), and
    /// a second later killed (`SIGKILL`). Its open calls fail then.
    ///
    /// ```
    /// # offspring::worker!(SLEEP: fn(String) = |ms: String| {
    /// #     std::thread::sleep(std::time::Duration::from_millis(ms.parse().unwrap_or(0)))
    /// # });
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = SLEEP.spawn()?;
    /// let call = rpc.call("1000000");
    /// let status = rpc.join().within(std::time::Duration::from_millis(50)).wait()?;
    /// assert!(!status.success());
    /// assert!(call.wait().unwrap_err().is_child_dead());
    /// # Ok(()) }
    /// ```
    pub fn within(self, time: Duration) -> Self {
        // A time that no clock reaches is no limit.
        if let Some(at) = Instant::now().checked_add(time) {
            self.0.origin().close_within(at);
        }
        self
    }
}

macro_rules! waits {
    ($type:ident, $wait:ident, $poll:ident, $value:ty, $late:literal) => {
        impl $type {
            /// Waits for it.
            ///
            /// # Blocking
            ///
            /// Blocks the thread, which meanwhile moves the bytes of the calls
            /// of this child.
            ///
            /// # Errors
            ///
            /// What kept the child from working: the handshake, its `init`, a
            /// breach of the protocol.
            pub fn wait(self) -> Result<$value, Error> {
                self.wait_until(None, Duration::MAX)
            }

            /// Waits for it, but no longer than `time`.
            ///
            /// # Errors
            ///
            /// As [`wait`](Self::wait); and once the time is up an error that
            /// [`is_timeout`](Error::is_timeout). It can be waited for again.
            pub fn wait_timeout(&mut self, time: Duration) -> Result<$value, Error> {
                self.wait_until(Instant::now().checked_add(time), time)
            }

            /// Waits for it, but no longer than until `deadline`.
            ///
            /// # Errors
            ///
            /// As [`wait_timeout`](Self::wait_timeout).
            pub fn wait_deadline(&mut self, deadline: Instant) -> Result<$value, Error> {
                let time = deadline.saturating_duration_since(Instant::now());
                self.wait_until(Some(deadline), time)
            }

            /// Waits until `deadline`, which is in `time`.
            fn wait_until(
                &self,
                deadline: Option<Instant>,
                time: Duration,
            ) -> Result<$value, Error> {
                let outcome = self.0.origin().$wait(deadline);
                let outcome = outcome.unwrap_or_else(|| Err(Error::timed_out($late, time)));
                outcome.map_err(|error| error.about(self.0.child_id().as_ref()))
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(stringify!($type))
            }
        }

        impl Future for $type {
            type Output = Result<$value, Error>;

            fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
                let polled = self.0.origin().$poll(context);
                polled.map_err(|error| error.about(self.0.child_id().as_ref()))
            }
        }
    };
}
waits!(Ready, wait_ready, poll_ready, (), "was not ready");
waits!(
    Join,
    wait_end,
    poll_end,
    ExitStatus,
    "did not end, or one of its callbacks did not return,"
);
