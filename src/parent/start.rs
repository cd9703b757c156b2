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
use super::demands::Demands;
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
    pub(super) demands: Demands,
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
                demands: Demands::default(),
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

    /// Starts the child and all that belongs to it.
    pub(super) fn start(
        mut self,
        sink: EventSink,
        handlers: Handlers,
    ) -> Result<Arc<Driver<Connection>>, Error> {
        let init = std::mem::replace(&mut self.init, Ok(Vec::new()))?;
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
        self.settings
            .demands
            .fit(&self.launch, self.settings.plain)?;
        let socket = matches!(self.launch, Launch::Own | Launch::Program(_));
        let carries_stdin = socket && !self.settings.plain;
        if self.settings.stdin.is_some() && !carries_stdin {
            return Err(Error::start(
                "the worker's stdin is the link here, and no other can be passed over it",
            ));
        }
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
            demands: self.settings.demands,
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
        match std::mem::replace(&mut self.launch, Launch::Own) {
            Launch::Own => {
                let mut command = sys::own_program();
                command.arg0(format!("{} of {}", self.name, std::process::id()));
                command.arg(MARKER);
                // After all that the user may say of the environment.
                self.adjust(|command| {
                    command.env(VARIABLE, std::process::id().to_string());
                });
                self.run(command, false)
            }
            // Without a hello it cannot know that its stdin is both ways.
            Launch::Program(command) => self.run(command, self.settings.plain),
            Launch::Command(command) => self.run(command, true),
            Launch::Socket(socket) => linked(Link::from_socket(socket)),
            Launch::Pair(read, write) => linked(Link::from_pair(read, write)),
        }
    }

    /// Runs a command with its end of a socket as stdin, and as stdout too if
    /// the link is both.
    fn run(&mut self, mut command: Command, both: bool) -> Result<Started, Error> {
        let program = command.get_program().to_string_lossy().into_owned();
        let describe = |error: io::Error| Error::start(format!("`{program}`: {error}"));
        for adjust in self.adjustments.drain(..) {
            adjust(&mut command);
        }
        let (link, theirs) = Link::pair().map_err(describe)?;
        if both {
            command.stdout(theirs.try_clone().map_err(describe)?);
        }
        command.stdin(theirs);
        if self.settings.capture.is_some() {
            command.stderr(Stdio::piped());
        }
        let demands = self.settings.demands;
        demands.prepare(&mut command);
        let limit = |pid| demands.impose(pid, self.settings.plain);
        let (process, stderr) = sys::spawn(&mut command, limit).map_err(describe)?;
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
        self.settings.demands.tell(hello)
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
