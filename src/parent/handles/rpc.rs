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
use crate::message::Decode;
use crate::parent::child::interface::{CallDefaults, HandleOptions, WaitMode};
use crate::parent::client::Client;
use crate::parent::forked::ClientRef;
use crate::parent::spawn::streams::Streams;
use crate::signature::{Service, Signature};

/// The handle of a child, through which its worker is called.
///
/// It is cheap to clone, and may be used from any number of threads and tasks at the same time. After the last clone is
/// dropped, the child finishes and answers its calls, and exits, in the background while this process lives.
/// [`join`](Self::join) waits for that. The end of `main` does not, so call `join` before it if calls were
/// [detached](crate::Call::detach) or have callbacks. With [`kill_on_drop`](crate::Builder::kill_on_drop) the child is killed instead.
///
/// A [`Pool`](crate::Pool) has a handle of this type, too. The documentation then applies to all its children together.
///
/// The type parameters are the signature, the serialiser and the events, as in the declaration.
///
/// A handle works in the process that created it. In a copy of that process made by `fork`, every use of the handle, of its
/// calls and of its pool fails at once ([`is_closed`](Error::is_closed)). Neither use nor drop in the copy affects the original
/// process. The copy may start new children.
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
#[doc(alias = "AnyEvent::Fork::RPC")]
pub struct Rpc<F, S = crate::Octets, E = crate::NoEvents> {
    keep_open: Arc<KeepOpen>,
    /// The pipes to the child's streams that were not taken yet.
    pipes: Arc<Mutex<Streams>>,
    pub(crate) decode_event: Decode<E>,
    pub(super) defaults: CallDefaults,
    types: crate::signature::Types<(F, S, E)>,
}

/// Keeps a child open. When the last handle and the last [`Join`] are dropped, the child is closed or killed.
pub(crate) struct KeepOpen {
    client: ClientRef,
    kills: bool,
}

impl KeepOpen {
    pub(crate) fn client(&self) -> &Arc<dyn Client> {
        self.client.client()
    }

    fn child_id(&self) -> Option<Arc<ChildId>> {
        self.client.child_id()
    }
}

impl Drop for KeepOpen {
    fn drop(&mut self) {
        if self.kills {
            let why = "its last handle was dropped (`kill_on_drop`)";
            self.client().kill(why);
        } else {
            self.client().close(None);
        }
    }
}

impl<F, S, E> Clone for Rpc<F, S, E> {
    fn clone(&self) -> Self {
        self.with_types()
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
    /// Returns a handle that calls methods of a service by name, for a method that the child has and the client lacks.
    ///
    /// The first argument of a call is the name. The handle keeps the child open like any other. To map a method that the client
    /// has, use [`map_calls`](Self::map_calls).
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
    /// let words = WORDS.spawn()?;
    /// let unary = words.method::<fn(String, String) -> String>();
    /// assert_eq!(unary.call("twice", "a").wait()?, "aa");
    /// let error = unary.call("thrice", "a").wait().unwrap_err();
    /// assert!(error.is_refused());
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn method<F: Signature>(&self) -> Rpc<F, S, E> {
        self.with_types()
    }
}

impl<F, S, E> Rpc<F, S, E> {
    pub(crate) fn new(
        client: Arc<dyn Client>,
        decode_event: Decode<E>,
        pipes: Streams,
        options: HandleOptions,
    ) -> Self {
        Self {
            keep_open: Arc::new(KeepOpen {
                client: ClientRef::new(client),
                kills: options.kill_on_drop,
            }),
            pipes: Arc::new(Mutex::new(pipes)),
            decode_event,
            defaults: options.calls,
            types: PhantomData,
        }
    }

    /// Returns another handle of the same child, which may have another signature.
    fn with_types<G>(&self) -> Rpc<G, S, E> {
        Rpc {
            keep_open: Arc::clone(&self.keep_open),
            pipes: Arc::clone(&self.pipes),
            decode_event: self.decode_event,
            defaults: self.defaults,
            types: PhantomData,
        }
    }

    pub(crate) fn client(&self) -> &Arc<dyn Client> {
        self.keep_open.client()
    }

    /// Returns whether this process created the handle, and is no copy of it made by `fork`.
    pub(crate) fn is_here(&self) -> bool {
        self.keep_open.client.is_here()
    }

    /// Returns the reference that keeps the child open, without the types.
    pub(crate) fn keep_open(&self) -> Arc<KeepOpen> {
        Arc::clone(&self.keep_open)
    }

    /// Adds the child or pool to an error.
    pub(crate) fn about(&self, error: Error) -> Error {
        error.about(self.keep_open.child_id().as_ref())
    }

    /// Returns the process ID of the child, or of the command that leads to it. `None` for a socket or pair of descriptors, for
    /// a worker in a thread, and for a pool.
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
        self.client().pid()
    }

    /// Takes the pipe to the child's stdin. `None` if it is not [piped](crate::Stdio::piped), or was taken before. A pipe that is
    /// not taken is closed with the last handle.
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

    /// Takes the pipe from the child's stdout. `None` if it is not [piped](crate::Stdio::piped), or was taken before. It must be
    /// read, because the child blocks once it is full.
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

    /// Takes the pipe from the child's stderr, like [`take_stdout`](Self::take_stdout). To get only the end of it after the child
    /// has died, use [`capture_stderr`](crate::Builder::capture_stderr).
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

    /// Takes a pipe. `None` in a forked copy of the process, in which the lock may be held forever.
    fn take_pipe(&self, number: usize) -> Option<OwnedFd> {
        if !self.is_here() {
            return None;
        }
        self.pipes.lock()[number].take()
    }

    /// Waits until the child has sent its hello and its `init` is done. For a pool, waits until a child is ready, and starts one if
    /// there is none.
    ///
    /// Calls do not need it: they are sent at once. If the child does not become ready, they fail with the reason.
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
        Ready(self.keep_open.client.clone())
    }

    /// Closes the child for all clones of the handle, and waits until it has finished its calls, has exited and is reaped, and the
    /// last callback has returned.
    ///
    /// Calls that are made afterwards fail. Without a [limit](Join::within), the wait is as long as the calls are. A clone of
    /// the handle keeps the descriptors and the memory of the link until it is dropped.
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
    #[doc(alias = "rpc_quit")]
    #[doc(alias = "quit")]
    #[doc(alias = "on_destroy")]
    pub fn join(self) -> Join {
        self.client().close(None);
        Join(self.keep_open())
    }

    /// Kills the child at once with `SIGKILL`. Open calls fail, and [`join`](Self::join) returns the exit status.
    ///
    /// If this process has started no process for the child, it closes the link instead. It does so, too, if the system refuses
    /// the signal, in a sandbox or because the child runs as another user. If the child has not exited a second later, it is
    /// given up: its calls and `join` fail with an error that says so. It is reaped when it exits.
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
        self.client().kill("`kill` was called");
    }
}

/// Waits until a child is ready. A future, too. From [`Rpc::ready`] and [`Template::ready`](crate::Template::ready).
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
pub struct Ready(ClientRef);

impl Ready {
    pub(crate) fn of(client: Arc<dyn Client>) -> Self {
        Self(ClientRef::new(client))
    }
}

/// Waits until a child is gone. A future, too. From [`Rpc::join`]. If it is dropped, the child exits in the background, or is
/// killed with [`kill_on_drop`](crate::Builder::kill_on_drop).
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
pub struct Join(Arc<KeepOpen>);

impl Join {
    /// Limits the wait: after `time` the child gets `SIGTERM`, and a second later `SIGKILL`. Its open calls fail then.
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
        // A time beyond the range of the clock is no limit.
        let at = Instant::now().checked_add(time);
        self.0.client().close(at);
        self
    }
}

macro_rules! waits {
    ($type:ident, $method:literal, $wait:ident, $value:ty, $late:literal) => {
        impl $type {
            /// Waits without a limit.
            ///
            /// ```
            /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
            /// # fn main() -> Result<(), offspring::Error> {
            /// # offspring::init();
            /// let rpc = ECHO.spawn()?;
            #[doc = concat!("rpc.", $method, "().wait()?;")]
            /// # Ok(()) }
            /// ```
            ///
            /// # Blocking
            ///
            /// Blocks the thread. While it waits, this thread may be the leader, which moves the bytes of the child's calls.
            ///
            /// # Errors
            ///
            /// The child could not work: the handshake or its `init` failed, or it broke the protocol.
            pub fn wait(self) -> Result<$value, Error> {
                self.wait_until(None, Duration::MAX)
            }

            /// Waits for at most `time`.
            ///
            /// ```
            /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
            /// # fn main() -> Result<(), offspring::Error> {
            /// # offspring::init();
            /// use std::time::Duration;
            ///
            /// let rpc = ECHO.spawn()?;
            #[doc = concat!("let mut wait = rpc.", $method, "();")]
            /// loop {
            ///     match wait.wait_timeout(Duration::from_secs(5)) {
            ///         Err(error) if error.is_timeout() => eprintln!("{error}, and is waited for again"),
            ///         outcome => break outcome.map(drop),
            ///     }
            /// }
            /// # }
            /// ```
            ///
            /// # Errors
            ///
            /// The same as [`wait`](Self::wait), and after `time` an error that [`is_timeout`](Error::is_timeout). The wait
            /// can be repeated.
            pub fn wait_timeout(&mut self, time: Duration) -> Result<$value, Error> {
                self.wait_until(Instant::now().checked_add(time), time)
            }

            /// Waits until `deadline` at most.
            ///
            /// ```
            /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
            /// # fn main() -> Result<(), offspring::Error> {
            /// # offspring::init();
            /// use std::time::{Duration, Instant};
            ///
            /// let deadline = Instant::now() + Duration::from_secs(60);
            /// let (one, two) = (ECHO.spawn()?, ECHO.spawn()?);
            #[doc = concat!("one.", $method, "().wait_deadline(deadline)?;")]
            #[doc = concat!("two.", $method, "().wait_deadline(deadline)?; // one deadline for both")]
            /// # Ok(()) }
            /// ```
            ///
            /// # Errors
            ///
            /// The same as [`wait_timeout`](Self::wait_timeout).
            pub fn wait_deadline(&mut self, deadline: Instant) -> Result<$value, Error> {
                let time = deadline.saturating_duration_since(Instant::now());
                self.wait_until(Some(deadline), time)
            }

            /// Waits until `deadline`, which is `time` from now.
            fn wait_until(
                &self,
                deadline: Option<Instant>,
                time: Duration,
            ) -> Result<$value, Error> {
                let outcome = self.0.client().$wait(WaitMode::Thread(deadline));
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
                let outcome = self.0.client().$wait(WaitMode::Task(context.waker()));
                let outcome = outcome.map_or(Poll::Pending, Poll::Ready);
                outcome.map_err(|error| error.about(self.0.child_id().as_ref()))
            }
        }
    };
}
waits!(Ready, "ready", wait_ready, (), "was not ready");
waits!(
    Join,
    "join",
    wait_end,
    ExitStatus,
    "did not end, or one of its callbacks did not return,"
);
