//! Starting a child: the link, the process, the hello, the driver.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::connection::{Capture, Charge, Connection};
use super::core::{Core, EventSink, Reading, Waiter};
use super::delivery::{Courier, Delivery, EventLimits, Handlers};
use super::driver::Driver;
use super::helper::Helper;
use super::life::{Expected, Life};
use crate::error::Error;
use crate::protocol::{Caller, Form, Hello, Limits, Reader, Role};
use crate::spin::Spin;
use crate::startup::{MARKER, VARIABLE, forgot_init};
use crate::sys::{self, Link, Page, Process};

/// What is started.
#[derive(Debug)]
pub(super) enum Launch {
    /// This program once more.
    Own,
    /// Another program, with a socket as its stdin.
    Program(Command),
    /// A command whose stdin and stdout are the link.
    Command(Command),
    /// Nothing; this is the link.
    Socket(OwnedFd),
    /// Nothing; these are the link: what is read, and what is written.
    Pair(OwnedFd, OwnedFd),
    /// Once more what was started before.
    Again(Command, Way),
    /// What could be used once only.
    Spent,
}

/// How a process is given the link.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    /// As its stdout, too.
    both: bool,
    /// It knows that its stdin is a socket for both directions.
    socket: bool,
}

/// What a user may set.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) plain: bool,
    pub(super) hello_timeout: Duration,
    pub(super) limits: Limits,
    pub(super) events: EventLimits,
    pub(super) exit_with_parent: bool,
    pub(super) spin: bool,
    pub(super) stdin: Option<OwnedFd>,
    pub(super) capture: Option<usize>,
}

type Adjustment = Box<dyn FnOnce(&mut Command) + Send>;

/// All that is known before a child is started.
pub(super) struct Plan {
    pub(super) launch: Launch,
    pub(super) settings: Settings,
    name: &'static str,
    origin: String,
    serialiser: &'static str,
    init: Result<Vec<u8>, Error>,
    adjustments: Vec<Adjustment>,
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan")
            .field("launch", &self.launch)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Way {
    fn new(both: bool, socket: bool) -> Self {
        Self { both, socket }
    }
}

/// A link, and the process at its other end if we started it.
struct Started {
    link: Link,
    process: Option<Process>,
    capture: Option<Capture>,
}

impl Plan {
    pub(super) fn new(
        name: &'static str,
        origin: String,
        serialiser: &'static str,
        init: Result<Vec<u8>, Error>,
    ) -> Self {
        Self {
            launch: Launch::Own,
            settings: Settings {
                plain: false,
                hello_timeout: Duration::from_secs(10),
                limits: Limits {
                    calls: 1 << 16,
                    bytes: 16 << 20,
                    frame: 1 << 30,
                },
                events: EventLimits {
                    events: 1 << 16,
                    bytes: 16 << 20,
                },
                exit_with_parent: false,
                spin: true,
                stdin: None,
                capture: None,
            },
            name,
            origin,
            serialiser,
            init,
            adjustments: Vec::new(),
        }
    }

    /// Changes the command that is started, after all that comes before.
    pub(super) fn adjust(&mut self, change: impl FnOnce(&mut Command) + Send + 'static) {
        self.adjustments.push(Box::new(change));
    }

    /// What keeps every child from being started, if that is known.
    pub(super) fn check(&self) -> Result<(), Error> {
        if let Err(error) = &self.init {
            return Err(error.clone());
        }
        if forgot_init() {
            return Err(Error::start(
                "this process is itself a child, but did not go to work: call `offspring::init()` first in `main`",
            ));
        }
        if self.settings.plain && matches!(self.launch, Launch::Own) {
            return Err(Error::start(
                "the plain form cannot say which worker of this program is meant: name a `program` or a `command`",
            ));
        }
        Ok(())
    }

    /// Starts a child and all that belongs to it. What was not given away with
    /// it can be started again.
    pub(super) fn start(
        &mut self,
        sink: EventSink,
        handlers: Handlers,
    ) -> Result<Arc<Driver<Connection>>, Error> {
        self.check()?;
        let init = self.init.clone()?;
        let socket = match &self.launch {
            Launch::Own | Launch::Program(_) => true,
            Launch::Again(_, way) => way.socket,
            _ => false,
        };
        let started = self.launch()?;
        let (page, page_fd) = if socket && !self.settings.plain {
            Page::create().ok().unzip()
        } else {
            (None, None)
        };
        let hello = (!self.settings.plain).then(|| self.hello(init, socket, page_fd.is_some()));
        let mut caller = Caller::new(hello.as_ref(), self.settings.limits);
        let descriptors: Vec<_> = [&page_fd, &self.settings.stdin]
            .into_iter()
            .flatten()
            .map(AsFd::as_fd)
            .collect();
        if socket {
            send_hello(&started.link, &mut caller, &descriptors);
        }
        let pid = started.process.as_ref().map(Process::pid);
        let expected = Expected {
            worker: self.name.into(),
            serialiser: self.serialiser,
        };
        let life = Life::new(
            expected,
            pid,
            hello.is_some().then_some(self.settings.hello_timeout),
            page,
        );
        let delivery = Delivery::new(sink, self.settings.events, handlers.on_destroy.is_some());
        let form = if hello.is_some() {
            Form::Full
        } else {
            Form::Plain
        };
        let reader = Reader::new(form, self.settings.limits.frame);
        let core = Core::new(
            caller,
            Reading {
                reader,
                spin: Spin::new(self.settings.spin),
            },
            life,
            delivery,
        );
        let driver = connect(started, core, handlers)
            .map_err(|error| Error::start(format!("no helper for the child: {error}")))?;
        driver.change(|_| ());
        Ok(driver)
    }

    fn launch(&mut self) -> Result<Started, Error> {
        let (mut command, way) = match std::mem::replace(&mut self.launch, Launch::Spent) {
            Launch::Own => {
                let mut command = sys::own_program();
                command.arg0(format!("{} of {}", self.name, std::process::id()));
                command.arg(MARKER);
                // After all that the user may say of the environment.
                self.adjust(|command| {
                    command.env(VARIABLE, std::process::id().to_string());
                });
                (command, Way::new(false, true))
            }
            // Without a hello it cannot know that its stdin is both ways.
            Launch::Program(command) => (command, Way::new(self.settings.plain, true)),
            Launch::Command(command) => (command, Way::new(true, false)),
            Launch::Again(command, way) => (command, way),
            Launch::Socket(socket) => return linked(Link::from_socket(socket)),
            Launch::Pair(read, write) => return linked(Link::from_pair(read, write)),
            Launch::Spent => {
                return Err(Error::start(
                    "a socket, or a pair of descriptors, leads to one child only",
                ));
            }
        };
        for adjust in self.adjustments.drain(..) {
            adjust(&mut command);
        }
        let started = self.run(&mut command, way.both);
        // The child's end is its own.
        command.stdin(Stdio::null());
        if way.both {
            command.stdout(Stdio::null());
        }
        self.launch = Launch::Again(command, way);
        started
    }

    /// Runs a command with its end of a socket as stdin, and as stdout too if
    /// the link is both.
    fn run(&self, command: &mut Command, both: bool) -> Result<Started, Error> {
        let program = command.get_program().to_string_lossy().into_owned();
        let describe = |error: io::Error| Error::start(format!("`{program}`: {error}"));
        let (link, theirs) = Link::pair().map_err(describe)?;
        if both {
            command.stdout(theirs.try_clone().map_err(describe)?);
        }
        command.stdin(theirs);
        if self.settings.capture.is_some() {
            command.stderr(Stdio::piped());
        }
        let (process, stderr) = sys::spawn(command).map_err(describe)?;
        let keep = self.settings.capture.unwrap_or(0);
        let capture = stderr
            .map(|pipe| Capture::new(pipe, keep))
            .transpose()
            .map_err(describe)?;
        Ok(Started {
            link,
            process: Some(process),
            capture,
        })
    }

    fn hello(&self, init: Vec<u8>, socket: bool, page: bool) -> Hello {
        let names = [
            ("page", page),
            ("stdin", self.settings.stdin.is_some() && socket),
        ];
        let descriptors: Vec<_> = names
            .iter()
            .filter(|(_, there)| *there)
            .map(|(name, _)| *name)
            .collect();
        let mut hello = Hello::new(Role::Parent)
            .with("worker", self.name)
            .with("serialiser", self.serialiser)
            .with("origin", self.origin.as_str())
            .with("max-message", self.settings.limits.frame.to_string())
            .with("descriptors", descriptors.join(","))
            .with("init", init);
        if socket {
            hello = hello.with("link", "socket");
        }
        if !self.settings.spin {
            hello = hello.with("spin", "no");
        }
        if self.settings.exit_with_parent {
            hello = hello.with("parent-death", "exit");
        }
        hello
    }
}

fn linked(link: io::Result<Link>) -> Result<Started, Error> {
    let link = link.map_err(|error| Error::start(error.to_string()))?;
    Ok(Started {
        link,
        process: None,
        capture: None,
    })
}

/// Sends the first octets with the descriptors that go along. What does not fit
/// is left for the driver; and how a child ended that is gone already, comes
/// from elsewhere.
fn send_hello(link: &Link, caller: &mut Caller<Waiter>, descriptors: &[BorrowedFd<'_>]) {
    let mut outbox = caller.take_outbox();
    let mut slices = [IoSlice::new(&[])];
    let count = outbox.slices(&mut slices);
    let sent = link.try_send_with(&slices[..count], descriptors);
    let sent = sent.ok().flatten().unwrap_or(0);
    outbox.consume(sent);
    caller.wrote(sent, outbox);
}

fn connect(
    started: Started,
    core: Core,
    handlers: Handlers,
) -> io::Result<Arc<Driver<Connection>>> {
    let Started {
        link,
        process,
        capture,
    } = started;
    let charge = Helper::attach(|helper, key| {
        let connection =
            Connection::new(helper, key, link, process, capture, Courier::new(handlers))?;
        let driver = Driver::new(core, connection);
        driver.wire.set_driver(&driver);
        Ok(Arc::new(Charge(driver)))
    })?;
    Ok(Arc::clone(&charge.0))
}
