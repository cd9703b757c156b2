//! How a child is to be started, and what becomes of its events.

mod confinement;
mod descriptors;
mod giving_up;
mod prefix;
mod spawning;
mod spinning;
mod thread;

use std::ffi::OsStr;
use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

pub use self::spawning::Spawning;
use super::child::connection::Connection;
use super::child::driver::Driver;
use super::child::terms::{EventSink, HandleOptions, Handlers};
use super::handles::events::{EventStream, handle_events};
use super::handles::rpc::Rpc;
use super::spawn::streams::{Stdio, Streams};
use super::spawn::{Declared, Launcher, Recipe};
use crate::error::Error;
use crate::parcel::{Decode, Parcel};

/// How a child is to be started, and what becomes of its events; from
/// [`Worker::builder`](crate::Worker::builder).
///
/// Without more the child is this program once more, with the environment and
/// the directory of this process, its stdin empty, its stdout and stderr those
/// of this process.
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
        declared: Declared,
        decode_event: Decode<E>,
        init: Result<Parcel, Error>,
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

    /// Starts another program instead of this one. It calls
    /// [`Worker::serve`](crate::Worker::serve) on a worker with the same name,
    /// types and serialiser, and is given a socket as its stdin; what it prints
    /// goes to its stdout as usual (in the [plain](Self::plain) form stdout is
    /// the link, too). Arguments, environment, directory, stdout and stderr are
    /// the command's.
    ///
    /// ```no_run
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let mut command = std::process::Command::new("/usr/libexec/my-worker");
    /// command.arg("--quiet").current_dir("/srv");
    /// // In its `main` it says `ECHO.serve()`.
    /// let rpc = ECHO.builder().program(command).spawn()?;
    /// # Ok(()) }
    /// ```
    pub fn program(mut self, command: Command) -> Self {
        self.recipe.launcher = Launcher::Program(command);
        self
    }

    /// Starts a command whose stdin and stdout lead to a worker: `ssh`,
    /// `docker run -i`, a program in another language. Both belong to the
    /// protocol then; what the worker prints goes to its stderr. They are pipes,
    /// in the [plain](Self::plain) form too.
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
    pub fn command(mut self, command: Command) -> Self {
        self.recipe.launcher = Launcher::Command(command);
        self
    }

    /// Starts nothing: a worker listens at the other end of this connected
    /// stream socket.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// use std::os::unix::net::UnixStream;
    ///
    /// let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    /// // This stands for a worker: what is sent comes back.
    /// std::thread::spawn(move || std::io::copy(&mut &theirs, &mut &theirs));
    /// let rpc = ECHO.builder().socket(ours).plain().spawn()?;
    /// assert_eq!(rpc.call("so").wait()?, "so");
    /// # Ok(()) }
    /// ```
    pub fn socket(mut self, socket: impl Into<OwnedFd>) -> Self {
        self.recipe.launcher = Launcher::Link(Some((socket.into(), None)));
        self
    }

    /// Starts nothing: a worker's stdout can be read from the first descriptor,
    /// and its stdin be written to the second.
    ///
    /// Both are made non-blocking.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let (read, write) = std::io::pipe().expect("a pipe");
    /// // A pipe with nothing in between: what is sent comes back.
    /// let rpc = ECHO.builder().descriptors(read, write).plain().spawn()?;
    /// assert_eq!(rpc.call("so").wait()?, "so");
    /// # Ok(()) }
    /// ```
    pub fn descriptors(mut self, read: impl Into<OwnedFd>, write: impl Into<OwnedFd>) -> Self {
        self.recipe.launcher = Launcher::Link(Some((read.into(), Some(write.into()))));
        self
    }

    /// Speaks the plain form of the protocol, that of `AnyEvent::Fork::RPC`:
    /// no hello, no `init` arguments, and a call that fails ends the child.
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

    /// Sets a variable of the child's environment.
    ///
    /// ```
    /// # offspring::worker!(VARIABLE: fn(String) -> String = |name: String| std::env::var(name).unwrap_or_default());
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = VARIABLE.builder().env("LEVEL", "9").spawn()?;
    /// assert_eq!(rpc.call("LEVEL").wait()?, "9");
    /// # Ok(()) }
    /// ```
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.recipe.environment.set(name, value);
        self
    }

    /// Removes a variable from the child's environment.
    ///
    /// ```
    /// # offspring::worker!(VARIABLE: fn(String) -> String = |name: String| std::env::var(name).unwrap_or_default());
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = VARIABLE.builder().env_remove("PATH").spawn()?;
    /// assert_eq!(rpc.call("PATH").wait()?, "");
    /// # Ok(()) }
    /// ```
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.recipe.environment.remove(name);
        self
    }

    /// Empties the child's environment, except for what is set later.
    pub fn env_clear(mut self) -> Self {
        self.recipe.environment.clear();
        self
    }

    /// The child's working directory.
    ///
    /// ```
    /// # offspring::worker!(HERE: fn() -> std::path::PathBuf = || std::env::current_dir().unwrap_or_default());
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = HERE.builder().current_dir("/").spawn()?;
    /// assert_eq!(rpc.call().wait()?, std::path::Path::new("/"));
    /// # Ok(()) }
    /// ```
    pub fn current_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.recipe.environment.enter(directory);
        self
    }

    /// What the worker reads as its stdin. Default: [`Stdio::null`]. Only for this
    /// program, forks of a template and [`program`](Self::program)s in the full
    /// form: for a [`command`](Self::command), whose stdin is the link, it is an
    /// error at the start.
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

    /// Where the child's stdout goes. Default: that of this process. Like
    /// [`stdin`](Self::stdin) not for [`command`](Self::command)s, whose stdout is
    /// the link. A pipe that nothing reads blocks the child once it is full.
    ///
    /// ```
    /// # offspring::worker!(SAY: fn(String) = |text: String| println!("{text}"));
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = SAY.builder().stdout(offspring::Stdio::null()).spawn()?;
    /// rpc.call("to nobody").wait()?;
    /// # Ok(()) }
    /// ```
    pub fn stdout(self, stdout: impl Into<Stdio>) -> Self {
        self.stream(1, stdout.into())
    }

    /// Where the child's stderr goes. Default: that of this process. For
    /// everything that is started.
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

    /// Keeps the last `bytes` of what the child writes to its stderr for the
    /// report of its end, [`Crash::stderr_tail`](crate::Crash::stderr_tail),
    /// instead of passing them on. The child is never held up by it. In the place
    /// of [`stderr`](Self::stderr): the later of the two counts.
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

    /// How long the child may take to say hello. Default: 10 s. The
    /// worker's `init` may take longer.
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

    /// The longest request and result, in bytes. Default: 1 GiB. A
    /// longer one fails its call, and nothing else.
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

    /// How many calls, and bytes of their arguments, may be sent and not yet
    /// answered. Default: 65,536 and 16 MiB. Calls over it wait in
    /// their handles, first come, first served.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = ECHO.builder().max_outstanding(2, 1000).spawn()?;
    /// // Two are sent, and three wait for their turn.
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

    /// How many events, and bytes of events, wait for a slow handler or
    /// reader. Default: 65,536 and 16 MiB. Beyond it the child is
    /// slowed down. Each event counts for less than 100 bytes more than it
    /// has, for what is kept with it.
    ///
    /// ```
    /// # fn count(to: String, events: &offspring::Events<String>) {
    /// #     for n in 0..to.parse().unwrap_or(0) {
    /// #         events.send(n.to_string()).expect("the parent is there");
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

    /// The child goes at once when this process dies, in the middle of a call,
    /// too. If nothing is said, it finishes the call that it is running.
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

    /// Has `handler` called with each event of the child, in the child's order
    /// among its answers, on the child's thread for callbacks, one after the
    /// other. An answer is not seen before the handler has returned from the
    /// events that came before it (but inside a callback it is).
    ///
    /// While it blocks, later answers, also that the child is gone, wait for it.
    /// The thread blocks all signals, and a program that the handler starts by
    /// [`std::process::Command`] inherits that; a worker that it spawns does not.
    ///
    /// It may call and wait. If it panics, the panic goes to
    /// [`on_error`](Self::on_error), and the next event comes as if nothing had
    /// happened.
    ///
    /// ```
    /// # fn count(to: String, events: &offspring::Events<String>) {
    /// #     for n in 0..to.parse().unwrap_or(0) {
    /// #         events.send(n.to_string()).expect("the parent is there");
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
    /// // The handler has returned from all that came before the answer.
    /// assert_eq!(receiver.try_iter().collect::<Vec<_>>(), ["0", "1", "2"]);
    /// # Ok(()) }
    /// ```
    pub fn on_event(mut self, handler: impl FnMut(E) + Send + 'static) -> Self {
        self.on_event = Some(Box::new(handler));
        self
    }

    /// Has `handler` called with what went wrong and is not the error of one
    /// call: that the child ended when it should not, that it is not the worker
    /// that was meant, events that nobody handles, panics of callbacks. If
    /// nothing is said they go to the `log` crate, at error level.
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

    /// Has `handler` called once all is over: the handles are gone, the calls
    /// done, the child reaped, and all other callbacks have returned.
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

    /// Starts the child. Returns once it runs, and does not wait until it is ready:
    /// calls go out behind the hello, and what keeps it from working is their
    /// error. See [`Rpc::ready`].
    ///
    /// # Blocking
    ///
    /// Until the program is executed (`exec`), some milliseconds at most unless the
    /// file lies on a slow file system. From a [template](Self::template) until that is ready, so the
    /// first time as long as its preloads take
    /// ([`preload_timeout`](crate::TemplateBuilder::preload_timeout)), and then until the child is forked, a fraction of a
    /// millisecond. [`spawn_async`](Self::spawn_async) does not block.
    ///
    /// # Threads
    ///
    /// The child inherits from the calling thread: CPU affinity, priority, signal
    /// mask, namespaces. For a [`program`](Self::program) or a
    /// [`command`](Self::command) that thread creates another, which starts the
    /// process and stays until it has exited, since a parent-death signal comes
    /// when the thread that started a process ends.
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
    /// The program, or the thread to start it from, could not be started; the
    /// arguments of `init` could not be encoded; or this process is itself a child that did not call
    /// [`init`](crate::init).
    pub fn spawn(self) -> Result<Rpc<F, S, E>, Error> {
        let sink = if self.on_event.is_some() {
            EventSink::Handler
        } else {
            EventSink::Nobody
        };
        let (decode, options) = (self.decode_event, self.handle);
        let (driver, pipes) = self.start(sink)?;
        Ok(Rpc::new(driver, decode, pipes, options))
    }

    /// Starts the child for a call that ends it, and of whose handle the user knows nothing.
    pub(crate) fn spawn_without_handle(self) -> Result<Rpc<F, S, E>, Error> {
        self.recipe.check_without_handle()?;
        self.kill_on_drop(true).spawn()
    }

    /// Starts the child like [`spawn`](Self::spawn), and gives its events as a
    /// stream and iterator. An `on_event` handler gets none then.
    ///
    /// ```
    /// # fn count(to: String, events: &offspring::Events<String>) {
    /// #     for n in 0..to.parse().unwrap_or(0) {
    /// #         events.send(n.to_string()).expect("the parent is there");
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

    fn start(mut self, sink: EventSink) -> Result<(Arc<Driver<Connection>>, Streams), Error> {
        let handlers = Handlers {
            on_event: handle_events(self.on_event, self.decode_event),
            on_error: self
                .on_error
                .unwrap_or_else(|| Box::new(|error| log::error!("{error}"))),
            on_destroy: self.on_destroy,
        };
        self.recipe.start(sink, handlers)
    }
}
