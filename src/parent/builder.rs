//! The builder of a child.

mod calls;
mod process;
mod spawning;

use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

pub use self::spawning::Spawning;
use super::child::child_io::ChildIo;
use super::child::driver::Driver;
use super::child::interface::{EventSink, HandleOptions, Handlers};
use super::handles::events::{EventStream, handle_events};
use super::handles::rpc::Rpc;
use super::spawn::streams::{Stdio, Streams};
use super::spawn::{Launcher, Recipe, WorkerInfo};
use crate::error::Error;
use crate::message::{Decode, Message};

/// The options of a child, from [`Worker::builder`](crate::Worker::builder).
///
/// By default the child runs this program, with the environment, working directory, stdout and stderr of this process, and
/// an empty stdin.
///
/// ```
/// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
/// # fn main() -> Result<(), offspring::Error> {
/// # offspring::init();
/// let rpc = ECHO
///     .builder()
///     .env("LANG", "C")
///     .on_error(|error| eprintln!("the child: {error}"))
///     .spawn()?;
/// assert_eq!(rpc.call("so").wait()?, "so");
/// # rpc.join().wait()?; Ok(()) }
/// ```
#[must_use = "nothing is started before `spawn`"]
pub struct Builder<F, S = crate::Octets, E = crate::NoEvents> {
    pub(super) recipe: Recipe,
    pub(super) decode_event: Decode<E>,
    pub(super) on_event: Option<Box<dyn FnMut(E) + Send>>,
    pub(super) on_error: Option<Box<dyn FnMut(Error) + Send>>,
    pub(super) on_destroy: Option<Box<dyn FnOnce() + Send>>,
    pub(super) handle: HandleOptions,
    types: crate::signature::Types<(F, S)>,
}

impl<F, S, E> std::fmt::Debug for Builder<F, S, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("recipe", &self.recipe)
            .finish_non_exhaustive()
    }
}

impl<F, S, E: Send + 'static> Builder<F, S, E> {
    pub(crate) fn new(
        declared: WorkerInfo,
        decode_event: Decode<E>,
        init: Result<Message, Error>,
    ) -> Self {
        Self {
            recipe: Recipe::new(declared, init),
            decode_event,
            on_event: None,
            on_error: None,
            on_destroy: None,
            handle: HandleOptions::default(),
            types: PhantomData,
        }
    }

    /// Starts another program instead of this one. Its `main` must call [`Worker::serve`](crate::Worker::serve) on a worker with
    /// the same name, types and serialiser.
    ///
    /// The program's stdin is a socket. It may print to its stdout, except in the [plain](Self::plain) form, where stdout is the
    /// link, too. Arguments, environment, working directory, stdout and stderr are those of `command`.
    ///
    /// ```no_run
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let mut command = std::process::Command::new("/usr/libexec/my-worker");
    /// command.arg("--quiet").current_dir("/srv");
    /// // Its `main` calls `ECHO.serve()`.
    /// let rpc = ECHO.builder().program(command).spawn()?;
    /// # Ok(()) }
    /// ```
    #[doc(alias = "new_exec")]
    pub fn program(mut self, command: Command) -> Self {
        self.recipe.launcher = Launcher::Program(command);
        self
    }

    /// Starts a command whose stdin and stdout lead to a worker: `ssh`, `docker run -i`, a program in another language.
    ///
    /// Both are pipes, in the [plain](Self::plain) form too, and carry the protocol. The worker's prints go to its stderr.
    ///
    /// ```no_run
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let mut ssh = std::process::Command::new("ssh");
    /// ssh.args(["backup.example.org", "my-worker"]);
    /// let rpc = ECHO.builder().command(ssh).spawn()?;
    /// # Ok(()) }
    /// ```
    #[doc(alias = "AnyEvent::Fork::Remote")]
    #[doc(alias = "new_execp")]
    #[doc(alias = "ssh")]
    pub fn command(mut self, command: Command) -> Self {
        self.recipe.launcher = Launcher::Command(command);
        self
    }

    /// Uses a connected stream socket with a worker at its other end, and starts no process.
    ///
    /// The worker's program has its end as stdin, and calls [`serve`](crate::Worker::serve). A daemon starts such a program for
    /// each connection, as `inetd` does:
    ///
    /// ```no_run
    /// # use std::{os::unix::net::UnixListener, process::{Command, Stdio}};
    /// # fn main() -> std::io::Result<()> {
    /// let listener = UnixListener::bind("/run/my-worker")?;
    /// for connection in listener.incoming() {
    ///     let stdin = Stdio::from(std::os::fd::OwnedFd::from(connection?));
    ///     let mut worker = Command::new("/usr/libexec/my-worker").stdin(stdin).spawn()?;
    ///     std::thread::spawn(move || worker.wait());
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// The parent connects. The exit status of such a worker is [unknown](crate::ExitStatus::Unknown) to it.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// use std::os::unix::net::UnixStream;
    ///
    /// let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    /// // In place of a worker, this thread returns all bytes.
    /// std::thread::spawn(move || std::io::copy(&mut &theirs, &mut &theirs));
    /// let rpc = ECHO.builder().socket(ours).plain().spawn()?;
    /// assert_eq!(rpc.call("so").wait()?, "so");
    /// # Ok(()) }
    /// ```
    pub fn socket(mut self, socket: impl Into<OwnedFd>) -> Self {
        self.recipe.launcher = Launcher::Link(Some((socket.into(), None)));
        self
    }

    /// Uses two file descriptors that lead to a worker, and starts no process. The worker's stdout can be read from `read`, and
    /// its stdin written to `write`.
    ///
    /// Both are made non-blocking.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let (read, write) = std::io::pipe().expect("a pipe");
    /// // A pipe without a worker, which returns all bytes.
    /// let rpc = ECHO.builder().descriptors(read, write).plain().spawn()?;
    /// assert_eq!(rpc.call("so").wait()?, "so");
    /// # Ok(()) }
    /// ```
    #[doc(alias = "new_from_fh")]
    pub fn descriptors(mut self, read: impl Into<OwnedFd>, write: impl Into<OwnedFd>) -> Self {
        self.recipe.launcher = Launcher::Link(Some((read.into(), Some(write.into()))));
        self
    }

    /// Uses the plain form of the protocol, that of `AnyEvent::Fork::RPC`. It has no hello and no `init` arguments, and a call
    /// that fails ends the child.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// // In the plain form `cat` is a worker that returns its arguments.
    /// let cat = std::process::Command::new("cat");
    /// let rpc = ECHO.builder().command(cat).plain().spawn()?;
    /// assert_eq!(rpc.call("so").wait()?, "so");
    /// # Ok(()) }
    /// ```
    pub fn plain(mut self) -> Self {
        self.recipe.plain = true;
        self
    }

    /// Sets the worker's stdin. Default: [`Stdio::null`].
    ///
    /// Only for this program, forks of a template and [`program`](Self::program)s in the full form. For a
    /// [`command`](Self::command), whose stdin is the link, `spawn` fails.
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
    /// let rpc = LINE.builder().stdin(std::fs::File::open("/proc/self/comm")?).spawn()?;
    /// assert!(!rpc.call().wait()?.is_empty());
    /// let rpc = LINE.builder().stdin(offspring::Stdio::piped()).spawn()?;
    /// writeln!(rpc.take_stdin().expect("it is piped"), "so")?;
    /// assert_eq!(rpc.call().wait()?, "so");
    /// # Ok(()) }
    /// ```
    pub fn stdin(self, stdin: impl Into<Stdio>) -> Self {
        self.stream(0, stdin.into())
    }

    /// Sets the child's stdout. Default: that of this process.
    ///
    /// Like [`stdin`](Self::stdin), it cannot be set for a [`command`](Self::command), whose stdout is the link. A pipe that is
    /// not read blocks the child once it is full.
    ///
    /// ```
    /// # offspring::worker!(SAY: fn(String) = |text: String| println!("{text}"));
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = SAY.builder().stdout(offspring::Stdio::null()).spawn()?;
    /// rpc.call("discarded").wait()?;
    /// # Ok(()) }
    /// ```
    pub fn stdout(self, stdout: impl Into<Stdio>) -> Self {
        self.stream(1, stdout.into())
    }

    /// Sets the child's stderr. Default: that of this process. For every child that is started as a process. Of this and
    /// [`capture_stderr`](Self::capture_stderr), the last one wins.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = ECHO.builder().stderr(offspring::Stdio::null()).spawn()?;
    /// # Ok(()) }
    /// ```
    pub fn stderr(self, stderr: impl Into<Stdio>) -> Self {
        self.stream(2, stderr.into())
    }

    fn stream(mut self, number: usize, stdio: Stdio) -> Self {
        self.recipe.streams[number] = Some(stdio);
        self
    }

    /// Keeps the last `bytes` of the child's stderr for the report of its exit,
    /// [`Crash::stderr_tail`](crate::Crash::stderr_tail), instead of passing them on. It never blocks the child. Of this and
    /// [`stderr`](Self::stderr), the last one wins.
    ///
    /// With `RUST_BACKTRACE=1` a backtrace follows the text of a panic, in a debug build of 5 KB and more, and pushes it out of a
    /// smaller tail: take 16384, or set the variable to 0 by [`env`](Self::env).
    ///
    /// ```
    /// # fn go(text: String) {
    /// #     eprintln!("{text}");
    /// #     std::process::exit(1)
    /// # }
    /// # offspring::worker!(GO: fn(String) = go);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = GO.builder().capture_stderr(1000).spawn()?;
    /// let error = rpc.call("no disk").wait().unwrap_err();
    /// assert_eq!(error.crash().unwrap().stderr_tail(), b"no disk\n");
    /// # Ok(()) }
    /// ```
    pub fn capture_stderr(self, bytes: usize) -> Self {
        self.stream(2, Stdio::captured(bytes))
    }

    /// Sets how long the child may take to send its hello. Default: 10 s. The worker's `init` runs after the hello and may take
    /// longer.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let mut sleep = std::process::Command::new("sleep");
    /// sleep.arg("1000");
    /// let rpc = ECHO.builder().command(sleep).hello_timeout(std::time::Duration::from_millis(50)).spawn()?;
    /// assert!(rpc.ready().wait().unwrap_err().is_handshake());
    /// # Ok(()) }
    /// ```
    pub fn hello_timeout(mut self, time: Duration) -> Self {
        self.recipe.hello_timeout = time;
        self
    }

    /// Sets the maximum length of a request and of a result, in bytes. Default: 1 GiB. A longer one fails only its call.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = ECHO.builder().max_message(1000).spawn()?;
    /// assert!(rpc.call("x".repeat(2000)).wait().unwrap_err().is_too_long());
    /// assert_eq!(rpc.call("x").wait()?, "x");
    /// # Ok(()) }
    /// ```
    pub fn max_message(mut self, bytes: u32) -> Self {
        self.recipe.limits.frame = bytes;
        self
    }

    /// Sets how many calls, and bytes of their arguments, may be in flight. Default: 65,536 and 16 MiB. Further calls wait in
    /// their handles, and are sent first in, first out.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = ECHO.builder().max_outstanding(2, 1000).spawn()?;
    /// // Two are sent, and three wait.
    /// let calls: Vec<_> = (0..5).map(|n| rpc.call(n.to_string())).collect();
    /// for (n, call) in calls.into_iter().enumerate() {
    ///     assert_eq!(call.wait()?, n.to_string());
    /// }
    /// # Ok(()) }
    /// ```
    pub fn max_outstanding(mut self, calls: usize, bytes: usize) -> Self {
        let limits = &mut self.recipe.limits;
        (limits.calls, limits.bytes) = (calls.max(1), bytes);
        self
    }

    /// Sets how many events, and bytes of events, may wait for a slow handler or reader. Default: 65,536 and 16 MiB. Beyond the
    /// limits, backpressure slows the child down. Each event counts as its length and less than 100 bytes for its bookkeeping.
    ///
    /// ```
    /// # fn count(to: String, events: &offspring::Events<String>) {
    /// #     for n in 0..to.parse().unwrap_or(0) {
    /// #         events.send(n.to_string()).expect("the parent runs");
    /// #     }
    /// # }
    /// # offspring::worker!(COUNT: fn(String) = count, events = String);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = COUNT.builder().max_events(10, 1000).on_event(|_| ()).spawn()?;
    /// rpc.call("1000").wait()?;
    /// # Ok(()) }
    /// ```
    pub fn max_events(mut self, events: usize, bytes: usize) -> Self {
        let limits = &mut self.recipe.events;
        (limits.events, limits.bytes) = (events.max(1), bytes.max(1));
        self
    }

    /// Lets the child exit at once when this process dies, even during a call. By default it finishes the running call. For a
    /// worker [in this process](Self::in_process), `spawn` fails.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = ECHO.builder().exit_with_parent().spawn()?;
    /// # Ok(()) }
    /// ```
    pub fn exit_with_parent(mut self) -> Self {
        self.recipe.exit_with_parent = true;
        self
    }

    /// Calls `handler` with each event of the child, one after the other, on the child's callback thread.
    ///
    /// Events and answers keep the order in which the child sent them: an answer is returned after the handler has returned from
    /// all earlier events. Inside a callback, answers do not wait for that.
    ///
    /// While the handler blocks, later answers wait, and so does the error that the child is gone. The thread blocks all signals.
    /// A program that the handler starts with [`std::process::Command`] inherits that mask, and a worker that it spawns does not.
    ///
    /// The handler may make calls and wait for them. A panic of it is reported to [`on_error`](Self::on_error), and the handler
    /// is called with the next event.
    ///
    /// ```
    /// # fn count(to: String, events: &offspring::Events<String>) {
    /// #     for n in 0..to.parse().unwrap_or(0) {
    /// #         events.send(n.to_string()).expect("the parent runs");
    /// #     }
    /// # }
    /// # offspring::worker!(COUNT: fn(String) = count, events = String);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let (sender, receiver) = std::sync::mpsc::channel();
    /// let rpc = COUNT
    ///     .builder()
    ///     .on_event(move |event| sender.send(event).expect("it is received"))
    ///     .spawn()?;
    /// rpc.call("3").wait()?;
    /// // The handler has returned from all events before the answer.
    /// assert_eq!(receiver.try_iter().collect::<Vec<_>>(), ["0", "1", "2"]);
    /// # Ok(()) }
    /// ```
    pub fn on_event(mut self, handler: impl FnMut(E) + Send + 'static) -> Self {
        self.on_event = Some(Box::new(handler));
        self
    }

    /// Calls `handler` with each error that does not belong to a call: the child exited unexpectedly, it is not the expected
    /// worker, an event has no handler, a callback panicked. Default: errors are logged at error level, with the crate `log`.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let (sender, receiver) = std::sync::mpsc::channel();
    /// let rpc = ECHO
    ///     .builder()
    ///     .on_error(move |error| sender.send(error).expect("it is received"))
    ///     .spawn()?;
    /// rpc.call("so").on_done(|_| panic!("a callback may panic"));
    /// rpc.join().wait()?;
    /// assert!(receiver.recv().expect("an error").is_callback_panic());
    /// # Ok(()) }
    /// ```
    pub fn on_error(mut self, handler: impl FnMut(Error) + Send + 'static) -> Self {
        self.on_error = Some(Box::new(handler));
        self
    }

    /// Calls `handler` at the end: the handles are dropped, the calls done, the child reaped, and all other callbacks have
    /// returned.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let (sender, receiver) = std::sync::mpsc::channel();
    /// let rpc = ECHO
    ///     .builder()
    ///     .on_destroy(move || sender.send(()).expect("it is received"))
    ///     .spawn()?;
    /// rpc.call("so").detach()?;
    /// drop(rpc);
    /// receiver.recv().expect("all is over");
    /// # Ok(()) }
    /// ```
    pub fn on_destroy(mut self, handler: impl FnOnce() + Send + 'static) -> Self {
        self.on_destroy = Some(Box::new(handler));
        self
    }

    /// Starts the child. Returns once its process runs, and does not wait until it is ready. Calls are sent after the hello. If
    /// the child cannot work, they fail with the reason. See [`Rpc::ready`].
    ///
    /// # Blocking
    ///
    /// Until the program is executed (`exec`): some milliseconds at most, unless the file is on a slow file system. With a
    /// [template](Self::template), until the template is ready and the child is forked. The first child therefore waits for the
    /// preloads, at most [`preload_timeout`](crate::TemplateBuilder::preload_timeout). The fork takes a fraction of a
    /// millisecond. [`spawn_async`](Self::spawn_async) does not block.
    ///
    /// # Threads
    ///
    /// The child inherits CPU affinity, priority, signal mask and namespaces from the calling thread. For a
    /// [`program`](Self::program) or a [`command`](Self::command), the calling thread creates a thread that starts the process
    /// and lives until the process has exited. The reason is that a parent-death signal is sent when the thread that started the
    /// process exits.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = ECHO.builder().spawn()?;
    /// assert!(rpc.pid().is_some());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// The program, or the thread that starts it, could not be started, the arguments of `init` could not be encoded, or this
    /// program has not called [`init`](crate::init).
    #[doc(alias = "run")]
    pub fn spawn(self) -> Result<Rpc<F, S, E>, Error> {
        let sink = if self.on_event.is_some() {
            EventSink::Handler
        } else {
            EventSink::Unhandled
        };
        let (decode, options) = (self.decode_event, self.handle);
        let (driver, pipes) = self.start(sink)?;
        Ok(Rpc::new(driver, decode, pipes, options))
    }

    /// Starts the child for a single call. The user gets no handle.
    pub(crate) fn spawn_without_handle(self) -> Result<Rpc<F, S, E>, Error> {
        self.recipe.check_without_handle()?;
        self.kill_on_drop(true).spawn()
    }

    /// Starts the child like [`spawn`](Self::spawn), and returns its events as a stream and iterator. A handler that was set with
    /// [`on_event`](Self::on_event) is not called.
    ///
    /// ```
    /// # fn count(to: String, events: &offspring::Events<String>) {
    /// #     for n in 0..to.parse().unwrap_or(0) {
    /// #         events.send(n.to_string()).expect("the parent runs");
    /// #     }
    /// # }
    /// # offspring::worker!(COUNT: fn(String) = count, events = String);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let (rpc, events) = COUNT.builder().spawn_with_events()?;
    /// rpc.call("2").detach()?;
    /// drop(rpc);
    /// let events: Vec<String> = events.into_iter().collect::<Result<_, _>>()?;
    /// assert_eq!(events, ["0", "1"]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    #[expect(
        clippy::type_complexity,
        reason = "a name for the pair would hide what it is"
    )]
    pub fn spawn_with_events(self) -> Result<(Rpc<F, S, E>, EventStream<E>), Error> {
        let (decode, options) = (self.decode_event, self.handle);
        let (driver, pipes) = self.start(EventSink::Stream)?;
        let events = EventStream::new(Arc::clone(&driver), decode);
        Ok((Rpc::new(driver, decode, pipes, options), events))
    }

    fn start(mut self, sink: EventSink) -> Result<(Arc<Driver<ChildIo>>, Streams), Error> {
        let handlers = Handlers {
            on_event: handle_events(self.on_event, self.decode_event),
            on_error: self.on_error.unwrap_or(Handlers::default().on_error),
            on_destroy: self.on_destroy,
        };
        self.recipe.start(sink, handlers)
    }
}
