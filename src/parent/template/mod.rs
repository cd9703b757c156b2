//! Templates: small processes that fork children.
//!
//! ```text
//!            ready                      gone, or too slow
//!  starting ──────▶ forks on request ───────────────────▶ replaced at the next start
//!      └── it fails: the start that waits fails, and the next start creates a new template
//! ```
//!
//! A template is itself a child with a driver, and is never sent a call. The driver checks its hello, reports its errors and
//! reaps it. A second socket is for requests, of which at most one is in flight.
//!
//! The link of a child is opened in this process, and its hello is written to it, before the request is sent. If the
//! template dies before it has forked, the next template is given the same link. If it had forked, the kernel has recorded
//! that in the memory that is shared with it, and that child is the result.

use std::ffi::OsStr;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use offspring_serialisers::{Format, Octets, Serialiser};

use super::builder::Builder;
use super::child::child_io::{ChildIo, Launched};
use super::child::driver::Driver;
use super::child::interface::{EventSink, Handlers, WaitMode};
use super::child::state::ChildState;
use super::child::state::waiters::WaitFor;
use super::creator::Creator;
use super::forked;
use super::handles::rpc::Ready;
use super::spawn::background::Background;
use super::spawn::starter::Starter;
use super::spawn::{Environment, ForkServer, Launcher, Recipe, WorkerInfo};
use crate::base::sync::Mutex;
use crate::error::Error;
use crate::message::Message;
use crate::preload::PreloadSpec;
use crate::protocol::{HEADER, TEMPLATE};
use crate::sys::{self, ForkClient, ForkOutcome, KillOnDrop};

/// How many templates a start asks at most, if they die.
const ATTEMPTS: u32 = 2;

/// A small process that runs this program and forks children on request: see [`Worker::template`](crate::Worker::template).
///
/// A fork costs a fraction of the start of a program, and its cost does not depend on the size of this process. The children
/// have the values that the template has [preloaded](TemplateBuilder::preload) without loading them, and share their memory
/// until they write to it. They have the same handle as other children. This process is their parent, reaps them, and gets
/// their exit status.
///
/// A child begins as a copy of the template, with its environment, working directory, stdout and stderr. These are the ones
/// that this process had when the template was started, unless the builder of the template or of the child changes them.
///
/// A `Template` is cheap to clone, and may be used from any number of threads. The process exits when the last clone is
/// dropped, clones in builders included. It exits at once when this process dies, in any way. Its children are not affected.
/// If the template dies, the next start creates a new one.
///
/// A start waits for the fork. While the template is stopped (`SIGSTOP`), `spawn` blocks, at most for the
/// [`hello_timeout`](crate::Builder::hello_timeout) of the child; then the template is killed, and the start fails.
///
/// ```
/// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
/// # fn main() -> Result<(), offspring::Error> {
/// # offspring::init();
/// let template = offspring::Template::builder().start()?;
/// let some: Vec<_> = (0..10).map(|_| ECHO.template(&template).spawn()).collect();
/// for rpc in some {
///     assert_eq!(rpc?.call("so").wait()?, "so");
/// }
/// # Ok(()) }
/// ```
///
/// # What it needs
///
/// The template forks only while it has a single thread. This process may have any number. This process must not have moved
/// its children into another PID namespace (`unshare`): the template would be the init process there, which cannot fork
/// children for its parent.
#[derive(Clone)]
#[doc(alias = "AnyEvent::Fork")]
#[doc(alias = "zygote")]
#[doc(alias = "forkserver")]
pub struct Template(Arc<TemplateState>);

struct TemplateState {
    creator: Creator,
    spec: TemplateSpec,
    /// The thread that starts each template process.
    starter: Arc<Starter>,
    current: Mutex<Arc<RunningTemplate>>,
}

/// The options of a template, from which each of its processes is started.
#[derive(Debug)]
struct TemplateSpec {
    preloads: Vec<PreloadSpec>,
    environment: Environment,
    timeout: Duration,
}

/// A template process.
struct RunningTemplate {
    driver: Arc<Driver<ChildIo>>,
    forks: ForkClient,
    ready_by: Option<Instant>,
    /// Whether a request found it gone, or it was killed from here.
    gone: AtomicBool,
    /// Whether it was killed from here.
    killed: AtomicBool,
}

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Template")
            .field("spec", &self.0.spec)
            .finish_non_exhaustive()
    }
}

impl Template {
    /// Returns a builder of a template.
    ///
    /// ```
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let template = offspring::Template::builder().env("LANG", "C").start()?;
    /// # Ok(()) }
    /// ```
    pub fn builder() -> TemplateBuilder {
        TemplateBuilder(TemplateSpec {
            preloads: Vec::new(),
            environment: Environment::default(),
            timeout: Duration::from_secs(60),
        })
    }

    /// Waits until the current process has preloaded everything, or has failed to.
    ///
    /// This is optional: the first start of a child blocks until the template is ready, and returns its error if it fails. Use
    /// it in code that must not block, or to detect a failure early.
    ///
    /// ```
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let template = offspring::Template::builder().start()?;
    /// template.ready().wait()?;
    /// # Ok(()) }
    /// ```
    pub fn ready(&self) -> Ready {
        match self.0.here() {
            Ok(shared) => Ready::of(Arc::clone(&shared.current.lock().driver) as _),
            Err(_) => Ready::of(forked::client()),
        }
    }

    /// Returns the process ID of the current template process, or of the last. It changes when the template is replaced.
    ///
    /// ```
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let template = offspring::Template::builder().start()?;
    /// assert!(template.pid().is_some());
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        let shared = self.0.here().ok()?;
        shared.current.lock().driver.io.pid()
    }
}

impl ForkServer for Template {
    fn start_child(&self, link: &OwnedFd, time: Duration) -> Result<Launched, Error> {
        let shared = self.0.here()?;
        let mut died = None;
        for _ in 0..ATTEMPTS {
            let running = shared.running()?;
            match running.be_ready(shared.spec.timeout) {
                Ok(()) => {
                    if let Some(process) = running.request(link, time)? {
                        return Ok(Launched {
                            process: Some(process),
                            starter: Some(Arc::clone(&shared.starter)),
                        });
                    }
                }
                Err((error, true)) => died = Some(error),
                Err((error, false)) => return Err(error),
            }
            running.gone.store(true, Ordering::Relaxed);
        }
        let text = "its template died, and so did the one that took its place";
        Err(died.unwrap_or_else(|| Error::start(text)))
    }
}

impl TemplateState {
    /// Returns `self` in the process that created it, and an error in a fork of that process.
    fn here(&self) -> Result<&Self, Error> {
        let here = self.creator.is_current();
        here.then_some(self).ok_or_else(forked::refusal)
    }

    /// Returns the current process. Starts a new one if it is gone.
    fn running(&self) -> Result<Arc<RunningTemplate>, Error> {
        let mut current = self.current.lock();
        if current.is_gone() {
            *current = self.spec.start(&self.starter)?;
        }
        Ok(Arc::clone(&current))
    }
}

impl TemplateSpec {
    fn start(&self, starter: &Arc<Starter>) -> Result<Arc<RunningTemplate>, Error> {
        let (forks, control, memory) = ForkClient::new().map_err(describe)?;
        let declared = WorkerInfo {
            name: TEMPLATE,
            origin: String::new(),
            serialiser: Octets::NAME,
            function: None,
        };
        let mut recipe = Recipe::new(declared, self.list());
        recipe.environment = self.environment.clone();
        recipe.starter = Some(Arc::clone(starter));
        recipe.hello_fds = vec![("control", control), ("forks", memory)];
        let (driver, _) = recipe.start(EventSink::Unhandled, Handlers::default())?;
        Ok(Arc::new(RunningTemplate {
            driver,
            forks,
            ready_by: Instant::now().checked_add(self.timeout),
            gone: AtomicBool::new(false),
            killed: AtomicBool::new(false),
        }))
    }

    /// Encodes the preloads as the arguments of the template's `init`.
    fn list(&self) -> Result<Message, Error> {
        let mut list: Vec<Vec<u8>> = Vec::new();
        let mut descriptors = Vec::new();
        for preload in &self.preloads {
            list.push(preload.name.into());
            list.push(preload.origin.clone().into());
            let arguments = preload.arguments.as_ref().map_err(Error::clone)?;
            let arguments = arguments.try_clone().map_err(describe)?;
            list.push(arguments.descriptors.len().to_string().into());
            list.push(arguments.frame.get(HEADER..).unwrap_or_default().to_vec());
            descriptors.extend(arguments.descriptors);
        }
        let mut message = Message::new();
        <Octets as Serialiser<Vec<Vec<u8>>, _>>::encode(&list, &mut message.output(false))
            .map_err(|error| Error::encode("what it is to preload", error))?;
        message.descriptors = descriptors;
        Ok(message)
    }
}

fn describe(error: io::Error) -> Error {
    refused("there is no descriptor for it", error)
}

fn refused(what: &str, error: io::Error) -> Error {
    Error::start(format_args!("{what}{}", sys::name_limit(&error))).caused_by(error)
}

impl RunningTemplate {
    fn is_gone(&self) -> bool {
        let over =
            |state: &mut ChildState| state.lifecycle.is_over() || state.lifecycle.has_exited();
        self.gone.load(Ordering::Relaxed) || over(&mut self.driver.lock())
    }

    /// Waits until the template can fork. An error says whether another template may succeed: a signal ended this one, and it
    /// was not sent from here.
    fn be_ready(&self, time: Duration) -> Result<(), (Error, bool)> {
        let ready = |state: &mut ChildState| state.readiness();
        let error = match self
            .driver
            .wait(WaitFor::Change, WaitMode::Thread(self.ready_by), ready)
        {
            Some(Ok(())) => return Ok(()),
            Some(Err(error)) => error,
            None => {
                let text = format!("it was not ready within {time:?}, and was killed");
                self.kill(&text);
                let text = format!("its template: {text}; what it preloads takes too long");
                return Err((Error::start(text), false));
            }
        };
        let lifecycle = &self.driver.lock().lifecycle;
        let status = lifecycle.exit_status().filter(|_| !lifecycle.refuses());
        let killed = status.filter(|status| status.signal().is_some());
        let is_ours = self.killed.load(Ordering::Relaxed);
        let error = match (error.crash(), killed) {
            (Some(crash), _) => Error::start(format_args!("its template was not ready: {crash}")),
            (None, Some(status)) => {
                Error::start(format_args!("its template {status} before it was ready"))
            }
            (None, None) => error,
        };
        Err((error, killed.is_some() && !is_ours))
    }

    /// Requests a child. `None` if the template is gone and has not forked it.
    fn request(&self, link: &OwnedFd, time: Duration) -> Result<Option<KillOnDrop>, Error> {
        let fail = |why: String| Err(Error::start(format_args!("its template{why}")));
        let kill = || self.kill("it did not fork in time, and was killed");
        match self.forks.request_child(link.as_fd(), time, kill) {
            Ok(ForkOutcome::Forked(process)) => Ok(Some(process)),
            Ok(ForkOutcome::Gone) => Ok(None),
            Ok(ForkOutcome::Late) => {
                fail(format!(" did not answer within {time:?}, and was killed"))
            }
            Ok(ForkOutcome::Failed(why)) => fail(format!(": {why}")),
            Err(error) => Err(refused("its template does not answer", error)),
        }
    }

    fn kill(&self, why: &str) {
        self.gone.store(true, Ordering::Relaxed);
        self.killed.store(true, Ordering::Relaxed);
        self.driver.change(|state| state.kill(why));
    }
}

impl Drop for RunningTemplate {
    /// A ready template exits when its request socket is closed. Before it is ready it does not read from it, so it is killed.
    fn drop(&mut self) {
        if !self.driver.is_here() {
            return;
        }
        self.driver.change(|state| {
            state.lifecycle.closing = true;
            if state.lifecycle.readiness().is_none() {
                state.kill("no handle of it is left");
            }
        });
    }
}

/// The options of a template, from [`Template::builder`].
///
/// ```
/// use offspring::{Template, preload};
///
/// preload!(GREETING() -> String = || std::env::var("GREETING"));
///
/// fn main() -> Result<(), offspring::Error> {
///     offspring::init();
///     let template = Template::builder()
///         .env("GREETING", "hello")
///         .current_dir("/")
///         .preload(&GREETING)
///         .start()?;
///     template.ready().wait()
/// }
/// ```
#[derive(Debug)]
#[must_use = "nothing is started before `start`"]
pub struct TemplateBuilder(TemplateSpec);

impl TemplateBuilder {
    /// Adds a value that the template loads before it forks: a reference to a [`Preload`](crate::Preload), or the result of
    /// [`Preload::with`](crate::Preload::with). Values are loaded in the order in which they were added.
    ///
    /// ```
    /// use offspring::{Template, preload, worker};
    ///
    /// preload!(TABLE(String) -> Vec<u8> = std::fs::read);
    /// worker!(SIZE: fn() -> String = || TABLE.get().map_or(0, Vec::len).to_string());
    ///
    /// fn main() -> Result<(), offspring::Error> {
    ///     offspring::init();
    ///     let template = Template::builder().preload(TABLE.with("/proc/self/cmdline")).start()?;
    ///     assert_ne!(SIZE.template(&template).spawn()?.call().wait()?, "0");
    ///     Ok(())
    /// }
    /// ```
    pub fn preload(mut self, preload: impl Into<PreloadSpec>) -> Self {
        self.0.preloads.push(preload.into());
        self
    }

    /// Sets a variable of the environment of the template and its children.
    ///
    /// ```
    /// # offspring::worker!(VARIABLE: fn(String) -> String = |name: String| std::env::var(name).unwrap_or_default());
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let template = offspring::Template::builder().env("LEVEL", "9").start()?;
    /// let rpc = VARIABLE.template(&template).spawn()?;
    /// assert_eq!(rpc.call("LEVEL").wait()?, "9");
    /// # Ok(()) }
    /// ```
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.0.environment.set(name, value);
        self
    }

    /// Removes a variable from the environment of the template and its children.
    ///
    /// ```
    /// # offspring::worker!(VARIABLE: fn(String) -> String = |name: String| std::env::var(name).unwrap_or_default());
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let template = offspring::Template::builder().env_remove("HOME").start()?;
    /// let rpc = VARIABLE.template(&template).spawn()?;
    /// assert_eq!(rpc.call("HOME").wait()?, "");
    /// # Ok(()) }
    /// ```
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.0.environment.remove(name);
        self
    }

    /// Clears the environment of the template and its children. Variables that are set later are kept.
    ///
    /// ```
    /// # offspring::worker!(HAS: fn(String) -> bool = |name: String| std::env::var_os(name).is_some());
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let template = offspring::Template::builder().env_clear().env("A", "1").start()?;
    /// let rpc = HAS.template(&template).spawn()?;
    /// assert!(rpc.call("A").wait()? && !rpc.call("PATH").wait()?);
    /// # Ok(()) }
    /// ```
    pub fn env_clear(mut self) -> Self {
        self.0.environment.clear();
        self
    }

    /// Sets the working directory of the template and its children.
    ///
    /// ```
    /// # offspring::worker!(PLACE: fn() -> std::path::PathBuf = || std::env::current_dir().unwrap_or_default());
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let template = offspring::Template::builder().current_dir("/").start()?;
    /// let rpc = PLACE.template(&template).spawn()?;
    /// assert_eq!(rpc.call().wait()?, std::path::Path::new("/"));
    /// # Ok(()) }
    /// ```
    pub fn current_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.0.environment.enter(directory);
        self
    }

    /// Sets how long the template may take to preload everything. Default: 60 s. A template that is slower is killed, and the
    /// starts that wait for it fail.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use offspring::{Template, preload, worker};
    ///
    /// preload!(ENDLESS() -> () = || -> Result<(), String> { loop { std::thread::park() } });
    /// worker!(ECHO: fn(String) -> String = |text: String| text);
    ///
    /// fn main() -> Result<(), offspring::Error> {
    ///     offspring::init();
    ///     let template = Template::builder()
    ///         .preload(&ENDLESS)
    ///         .preload_timeout(Duration::from_millis(50))
    ///         .start()?;
    ///     assert!(ECHO.template(&template).spawn().unwrap_err().is_start());
    ///     Ok(())
    /// }
    /// ```
    pub fn preload_timeout(mut self, time: Duration) -> Self {
        self.0.timeout = time;
        self
    }

    /// Starts the template. Returns once the process runs. To wait until it can fork, use [`Template::ready`].
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let template = offspring::Template::builder().start()?;
    /// template.ready().wait()?;
    /// let rpc = ECHO.template(&template).spawn()?;
    /// assert_eq!(rpc.call("so").wait()?, "so");
    /// # Ok(()) }
    /// ```
    ///
    /// # Blocking
    ///
    /// Until the program is executed (`exec`), some milliseconds at most.
    ///
    /// # Threads
    ///
    /// The template, its replacements and their children inherit CPU affinity, priority, signal mask and namespaces from the
    /// calling thread. It creates a thread that starts them, and that lives as long as the template and its children.
    ///
    /// # Errors
    ///
    /// The program, or the thread that starts it, could not be started, arguments could not be encoded, or this program has not
    /// called [`init`](crate::init).
    pub fn start(self) -> Result<Template, Error> {
        self.start_from(Starter::new()?)
    }

    /// Starts the template like [`start`](Self::start), on another thread. Returns a future, for async code that must not block.
    ///
    /// The start does not depend on the future being polled. If the future is dropped, the template exits after its start. The
    /// template inherits from the calling thread, as with `start`. The errors are those of `start`.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// # futures_lite::future::block_on(async {
    /// let template = offspring::Template::builder().start_async().await?;
    /// template.ready().await?;
    /// let rpc = ECHO.template(&template).spawn_async().await?;
    /// assert_eq!(rpc.call("so").await?, "so");
    /// # Ok(()) }) }
    /// ```
    pub fn start_async(
        self,
    ) -> impl Future<Output = Result<Template, Error>> + Send + Unpin + 'static {
        Background::new(Starter::new(), |starter| self.start_from(starter))
    }

    fn start_from(self, starter: Arc<Starter>) -> Result<Template, Error> {
        let running = self.0.start(&starter)?;
        Ok(Template(Arc::new(TemplateState {
            creator: Creator::current(),
            spec: self.0,
            starter,
            current: Mutex::new(running),
        })))
    }
}

impl<F, S, E: Send + 'static> Builder<F, S, E> {
    /// Lets a template fork the child instead of starting this program again: see [`Template`]. All other options apply to it,
    /// too.
    ///
    /// `spawn` returns once the child is forked. The first `spawn` blocks until the template is ready.
    ///
    /// ```
    /// # offspring::worker!(LEVEL: fn() -> String = || std::env::var("LEVEL").unwrap_or_default());
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let template = offspring::Template::builder().env("LEVEL", "1").start()?;
    /// let one = LEVEL.builder().template(&template).spawn()?;
    /// let nine = LEVEL.builder().template(&template).env("LEVEL", "9").spawn()?;
    /// assert_eq!(one.call().wait()?, "1");
    /// assert_eq!(nine.call().wait()?, "9");
    /// # Ok(()) }
    /// ```
    pub fn template(mut self, template: &Template) -> Self {
        self.recipe.launcher = Launcher::Template(Arc::new(template.clone()));
        self
    }
}
