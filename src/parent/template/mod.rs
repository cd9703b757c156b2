//! Templates: small processes that fork children.
//!
//! ```text
//!            ready                      gone, or too slow
//!  starting ──────▶ forks on request ───────────────────▶ replaced at the next start
//!      └── it fails: the error of the start that waits, and the next makes a new one
//! ```
//!
//! A template is a child of its own, with a driver like others, that never gets
//! a call: that is how its hello is checked, how it tells what went wrong, and
//! how it is reaped. Besides it has a socket for requests, of which one is
//! under way at a time.
//!
//! The link of a child is made here, and its hello lies in it, before anything
//! is asked for. So if the template dies before it has forked, the next one is given the
//! very same link. Whether the dead one had forked is told by the kernel, in
//! the memory that is shared with it: then that child is the one that was wanted.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use offspring_serialisers::{Format, Octets, Serialiser};

use super::builder::Builder;
use super::child::connection::Connection;
use super::child::driver::Driver;
use super::child::state::Core;
use super::child::state::life::Ending;
use super::child::state::waiting::Want;
use super::child::terms::{EventSink, Handlers};
use super::forked;
use super::handles::rpc::Ready;
use super::maker::Maker;
use super::spawn::starter::Starter;
use super::spawn::{Declared, Environment, ForkServer, Launched, Launcher, Recipe};
use crate::base::sync::Mutex;
use crate::error::Error;
use crate::parcel::Parcel;
use crate::preload::Preloading;
use crate::protocol::{HEADER, TEMPLATE};
use crate::sys::{Answer, ForkClient, Fresh};

/// How often a start asks, if templates die under it.
const ATTEMPTS: u32 = 2;

/// A small process, made from this program, that forks children on request: see
/// [`Worker::template`](crate::Worker::template).
///
/// To fork a child costs a fraction of what it costs to start a program, and
/// costs the same however large this process is. What the template has
/// [preloaded](TemplateBuilder::preload) its children have, too, without loading
/// it, and share its memory for as long as they do not write to it. Apart from
/// that they are children like others, with the same handle, and are waited for
/// by this process: it gets to know how they end.
///
/// A child begins as a copy of the template: with its environment, its
/// directory, its stdout and stderr, which are those of this process when the
/// template was started, unless the template's builder or the child's says
/// something else.
///
/// It is cheap to clone, and may be used from any number of threads. The process
/// ends when the last clone (and builder that was given one) is dropped, and at
/// once when this process dies, however that may be. Its children do not care.
/// If it dies itself, the next start makes a new one.
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
/// The template forks only while it has one thread. In this process any number
/// is welcome. This process must not have moved its children into another
/// namespace of process ids (`unshare`), as a template there would be the first
/// one, which may not fork for its parent.
#[derive(Clone)]
pub struct Template(Arc<Shared>);

struct Shared {
    maker: Maker,
    contents: Contents,
    /// Each of the processes is started from it.
    starter: Arc<Starter>,
    current: Mutex<Arc<Running>>,
}

/// What a new process is made by.
#[derive(Debug)]
struct Contents {
    preloads: Vec<Preloading>,
    environment: Environment,
    timeout: Duration,
}

/// One process.
struct Running {
    driver: Arc<Driver<Connection>>,
    forks: ForkClient,
    ready_by: Option<Instant>,
    /// It was seen to be gone.
    gone: AtomicBool,
    /// It was killed from here.
    killed: AtomicBool,
}

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Template")
            .field("contents", &self.0.contents)
            .finish_non_exhaustive()
    }
}

impl Template {
    /// Says what the template is to be like.
    ///
    /// ```
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let template = offspring::Template::builder().env("LANG", "C").start()?;
    /// # Ok(()) }
    /// ```
    pub fn builder() -> TemplateBuilder {
        TemplateBuilder(Contents {
            preloads: Vec::new(),
            environment: Environment::default(),
            timeout: Duration::from_secs(60),
        })
    }

    /// Waits until the process that is there now has preloaded everything, or
    /// has failed to.
    ///
    /// Starts do not need it: the first one waits by itself, blocking, and what
    /// keeps a template from getting ready is its error. Waiting here is for
    /// code that must not block, or that needs to know early.
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
            Err(_) => Ready::of(forked::origin()),
        }
    }

    /// The number of the process that is there now, or was the last: that of
    /// the next one may be another.
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
        shared.current.lock().driver.wire.pid()
    }
}

impl ForkServer for Template {
    fn start_child(&self, link: &OwnedFd, time: Duration) -> Result<Launched, Error> {
        let shared = self.0.here()?;
        let mut died = None;
        for _ in 0..ATTEMPTS {
            let running = shared.running()?;
            match running.be_ready(shared.contents.timeout) {
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

impl Shared {
    /// Itself, in the process that made it.
    fn here(&self) -> Result<&Self, Error> {
        let here = self.maker.is_this();
        here.then_some(self).ok_or_else(forked::refusal)
    }

    /// The process, or a new one if that is gone.
    fn running(&self) -> Result<Arc<Running>, Error> {
        let mut current = self.current.lock();
        if current.is_gone() {
            *current = self.contents.start(&self.starter)?;
        }
        Ok(Arc::clone(&current))
    }
}

impl Contents {
    fn start(&self, starter: &Arc<Starter>) -> Result<Arc<Running>, Error> {
        let (forks, control, memory) = ForkClient::new().map_err(describe)?;
        let declared = Declared {
            name: TEMPLATE,
            origin: String::new(),
            serialiser: Octets::NAME,
            function: None,
        };
        let mut recipe = Recipe::new(declared, self.list());
        recipe.environment = self.environment.clone();
        recipe.starter = Some(Arc::clone(starter));
        recipe.along = vec![("control", control), ("forks", memory)];
        let handlers = Handlers {
            on_event: Box::new(|_| Ok(())),
            on_error: Box::new(|error| log::error!("{error}")),
            on_destroy: None,
        };
        let (driver, _) = recipe.start(EventSink::Nobody, handlers)?;
        Ok(Arc::new(Running {
            driver,
            forks,
            ready_by: Instant::now().checked_add(self.timeout),
            gone: AtomicBool::new(false),
            killed: AtomicBool::new(false),
        }))
    }

    /// What is to be preloaded, for the template's `init`.
    fn list(&self) -> Result<Parcel, Error> {
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
        let mut parcel = Parcel::new();
        <Octets as Serialiser<Vec<Vec<u8>>, _>>::encode(&list, &mut parcel.output(false))
            .map_err(|error| Error::encode("what it is to preload", error))?;
        parcel.descriptors = descriptors;
        Ok(parcel)
    }
}

fn describe(error: io::Error) -> Error {
    Error::start("there is no descriptor for it").caused_by(error)
}

impl Running {
    fn is_gone(&self) -> bool {
        let over = |core: &mut Core| core.life.is_over() || core.life.has_exited();
        self.gone.load(Ordering::Relaxed) || over(&mut self.driver.lock())
    }

    /// Waits until it can fork. Returns what the start of a child is told if it
    /// cannot, and whether another may do better: a signal has ended it that was
    /// not sent from here.
    fn be_ready(&self, time: Duration) -> Result<(), (Error, bool)> {
        let ready = |core: &mut Core| core.readiness();
        let error = match self.driver.wait(Want::Change, self.ready_by, ready) {
            Some(Ok(())) => return Ok(()),
            Some(Err(error)) => error,
            None => {
                let text = format!("it was not ready within {time:?}, and was killed");
                self.kill(&text);
                let text = format!("its template: {text}; what it preloads takes too long");
                return Err((Error::start(text), false));
            }
        };
        let life = &self.driver.lock().life;
        let status = life.exit_status().filter(|_| !life.refuses());
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

    /// The child; `None` if this process is gone and has not forked one.
    fn request(&self, link: &OwnedFd, time: Duration) -> Result<Option<Fresh>, Error> {
        let fail = |why: String| Err(Error::start(format_args!("its template{why}")));
        let kill = || self.kill("it did not fork in time, and was killed");
        match self.forks.request_child(link.as_fd(), time, kill) {
            Ok(Answer::Forked(process)) => Ok(Some(process)),
            Ok(Answer::Gone) => Ok(None),
            Ok(Answer::Late) => fail(format!(" did not answer within {time:?}, and was killed")),
            Ok(Answer::Failed(why)) => fail(format!(": {why}")),
            Err(error) => Err(Error::start("its template does not answer").caused_by(error)),
        }
    }

    fn kill(&self, why: &str) {
        self.gone.store(true, Ordering::Relaxed);
        self.killed.store(true, Ordering::Relaxed);
        let ending = Ending::Killed(why.to_owned());
        self.driver.change(|core| core.kill(ending));
    }
}

impl Drop for Running {
    /// It ends with its requests; before that they are not read.
    fn drop(&mut self) {
        if !self.driver.is_here() {
            return;
        }
        self.driver.change(|core| {
            core.close();
            if core.life.readiness().is_none() {
                core.kill(Ending::Killed("no handle of it is left".to_owned()));
            }
        });
    }
}

/// What a template is to be like; from [`Template::builder`].
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
pub struct TemplateBuilder(Contents);

impl TemplateBuilder {
    /// Has the template load this before it forks: a reference to a
    /// [`Preload`](crate::Preload), or what its `with` made of arguments. If
    /// there are several, they are loaded in this order.
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
    pub fn preload(mut self, preload: impl Into<Preloading>) -> Self {
        self.0.preloads.push(preload.into());
        self
    }

    /// Sets a variable of the environment of the template and its children.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.0.environment.set(name, value);
        self
    }

    /// Removes a variable from the environment of the template and its children.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.0.environment.remove(name);
        self
    }

    /// Empties the environment of the template and its children, except for what is
    /// set later.
    pub fn env_clear(mut self) -> Self {
        self.0.environment.clear();
        self
    }

    /// The working directory of the template and its children.
    pub fn current_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.0.environment.enter(directory);
        self
    }

    /// How long it may take until everything is preloaded; 60 s if nothing is
    /// said. A template that is slower is killed, and the starts that wait for
    /// it fail.
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

    /// Starts the template. Returns once the process runs, and does not wait
    /// until it is [ready](Template::ready), which is a future, too.
    ///
    /// # Blocking
    ///
    /// Until the program is executed (`exec`), some milliseconds at most.
    ///
    /// # Threads
    ///
    /// The template, each that replaces it, and their children inherit from the
    /// calling thread: CPU affinity, priority, signal mask, namespaces. For that
    /// the calling thread creates another, which starts them, and stays as long as
    /// the template and its children.
    ///
    /// # Errors
    ///
    /// The program, or the thread to start it from, could not be started; arguments
    /// could not be encoded; or this program has not called [`init`](crate::init).
    pub fn start(self) -> Result<Template, Error> {
        let starter = Starter::new()?;
        let running = self.0.start(&starter)?;
        Ok(Template(Arc::new(Shared {
            maker: Maker::this(),
            contents: self.0,
            starter,
            current: Mutex::new(running),
        })))
    }
}

impl<F, S, E: Send + 'static> Builder<F, S, E> {
    /// Has a template fork the child, instead of starting this program anew: see
    /// [`Template`]. Everything else that can be said here holds for it, too.
    ///
    /// `spawn` then returns once the child is forked. The first one waits, and
    /// blocks, until the template is ready.
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
