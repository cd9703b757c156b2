//! What a child comes from, and how its process is started with the link.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::Plan;
use super::changes::{Change, Outlet, directory, environment};
use super::demands::{Demands, Group};
use super::starter::Starter;
use crate::error::Error;
use crate::limits::Limits;
use crate::parent::child::connection::Capture;
use crate::startup::{Lent, MARKER, VARIABLE, blocking};
use crate::sys::{self, Fresh, Link, Page};

/// What is started.
#[derive(Debug)]
pub(crate) enum Launch {
    /// This program once more.
    Own,
    /// Another program, with a socket as its stdin.
    Program(Command),
    /// A command whose stdin and stdout are the link: two pipes.
    Command(Command),
    /// A fork of this template.
    Template(Arc<dyn Forks>),
    /// Nothing; this is the link.
    Socket(OwnedFd),
    /// Nothing; these are the link: what is read, and what is written.
    Pair(OwnedFd, OwnedFd),
    /// Once more what was started before.
    Again(Command, Way),
    /// What could be used once only.
    Spent,
}

/// A child, and what it shares with this process.
pub(crate) type Forked = (Fresh, Option<Page>);

/// What forks children: a template, which is started like a child itself.
pub(crate) trait Forks: std::fmt::Debug + Send + Sync {
    /// Forks a child with this link.
    ///
    /// # Blocking
    /// Until the template is ready, and then until it has forked, for at most
    /// `time`.
    fn fork(&self, link: &OwnedFd, time: Duration) -> Result<Forked, Error>;

    /// What the template was started from, which is its children's parent, too.
    fn starter(&self) -> Arc<Starter>;
}

/// How a process is given the link.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    /// As its stdout, too.
    both: bool,
    /// It knows that its stdin is a socket for both directions. A command gets a
    /// pipe as stdin and another as stdout: some do not work over sockets.
    pub(super) socket: bool,
}

impl Launch {
    /// Whether this is something that can be demanded of such a child.
    pub(super) fn fits(&self, demands: &Demands, plain: bool) -> Result<(), Error> {
        let nothing_starts = matches!(self, Self::Socket(_) | Self::Pair(..));
        let ours = matches!(self, Self::Own | Self::Program(_) | Self::Template(_));
        let told = ours && !plain;
        let text = match demands.group {
            _ if plain && nothing_starts && demands.limits != Limits::new() => {
                "limits cannot be told in the plain form, and no process is started that could be limited from here"
            }
            Group::Own if nothing_starts => {
                "no process is started that could have a group of its own"
            }
            Group::Session if !told => {
                "a session of its own is for a program in the full form: put `setsid` in front of the command"
            }
            _ => return Ok(()),
        };
        Err(Error::start(text))
    }
}

/// A link, and the process at its other end if we started it.
pub(super) struct Started {
    pub(super) link: Link,
    pub(super) process: Option<Fresh>,
    /// What has started it, if that has to stay.
    pub(super) starter: Option<Arc<Starter>>,
    /// Who is to fork the process, and the link's other end for it.
    pub(super) unborn: Option<(Arc<dyn Forks>, OwnedFd)>,
    pub(super) capture: Option<Capture>,
}

impl Way {
    fn new(both: bool, socket: bool) -> Self {
        Self { both, socket }
    }
}

impl Plan {
    pub(super) fn launch(&mut self) -> Result<Started, Error> {
        let again = matches!(self.launch, Launch::Again(..));
        let (mut command, way) = match std::mem::replace(&mut self.launch, Launch::Spent) {
            Launch::Own => {
                let mut command = sys::own_program();
                command.arg0(format!("{} of {}", self.name, std::process::id()));
                command.arg(MARKER);
                command.args(self.starter.as_ref().map(|own| blocking(&own.mask())));
                // After all that the user may say of the environment.
                let parent = Change::set(VARIABLE, std::process::id().to_string());
                self.changes.push(parent);
                (command, Way::new(false, true))
            }
            Launch::Template(template) => {
                let started = self.fork(&template);
                self.launch = Launch::Template(template);
                return started;
            }
            // Without a hello it cannot know that its stdin is both ways.
            Launch::Program(command) => {
                (self.with_mask(command), Way::new(self.settings.plain, true))
            }
            Launch::Command(command) => (self.with_mask(command), Way::new(true, false)),
            Launch::Again(command, way) => (command, way),
            Launch::Socket(socket) => return linked(Link::from_socket(socket)),
            Launch::Pair(read, write) => return linked(Link::from_pair(read, write)),
            Launch::Spent => {
                return Err(Error::never_starts(
                    "a socket, or a pair of descriptors, leads to one child only",
                ));
            }
        };
        if !again {
            self.prepare(&mut command);
        }
        let started = self.run(&mut command, way);
        // The child's end is its own.
        command.stdin(Stdio::null());
        if way.both {
            command.stdout(Stdio::null());
        }
        self.launch = Launch::Again(command, way);
        started
    }

    /// Has a command that is not this program block the signals that it should.
    fn with_mask(&self, mut command: Command) -> Command {
        if let Some(starter) = &self.starter {
            starter.hand_down_mask(&mut command);
        }
        command
    }

    /// Makes a command as the user wants it, once.
    fn prepare(&mut self, command: &mut Command) {
        for change in &self.changes {
            change.apply(command);
        }
        if let Some(stdout) = self.stdout.take() {
            command.stdout(stdout);
        }
        if let Some(stderr) = self.stderr.take() {
            command.stderr(stderr);
        }
        self.settings.demands.prepare(command);
    }

    /// Runs a command with its end of the link as stdin, and as stdout too if the
    /// link is both.
    fn run(&self, command: &mut Command, way: Way) -> Result<Started, Error> {
        let program = command.get_program().to_string_lossy().into_owned();
        let describe = |error: io::Error| failed(&error, format!("`{program}`: {error}"));
        let directory = command.get_current_dir().map(Path::to_owned);
        let describe_start = |error: io::Error| {
            let cause = sys::why_not_started(Path::new(&program), directory.as_deref(), &error);
            failed(
                &error,
                cause.unwrap_or_else(|| format!("`{program}`: {error}")),
            )
        };
        let link = if way.socket {
            let (link, theirs) = Link::pair().map_err(describe)?;
            if way.both {
                command.stdout(theirs.try_clone().map_err(describe)?);
            }
            command.stdin(theirs);
            link
        } else {
            let (link, stdin, stdout) = Link::pipes().map_err(describe)?;
            command.stdin(stdin).stdout(stdout);
            link
        };
        if self.settings.capture.is_some() {
            command.stderr(Stdio::piped());
        }
        let (process, stderr) = self.spawn(command).map_err(describe_start)?;
        let capture = self.capture(stderr).map_err(describe)?;
        Ok(Started {
            link,
            process: Some(process),
            starter: self.starter.clone(),
            unborn: None,
            capture,
        })
    }

    /// Starts the process, from the starter if there is one.
    fn spawn(&self, command: &mut Command) -> io::Result<(Fresh, Option<ChildStderr>)> {
        let (demands, plain) = (self.settings.demands, self.settings.plain);
        let limit = move |pid| demands.impose(pid, plain);
        let Some(starter) = &self.starter else {
            return sys::spawn(command, limit);
        };
        let mut own = std::mem::replace(command, Command::new(""));
        let done = starter.run(move || {
            let started = sys::spawn(&mut own, limit);
            (own, started)
        });
        let (own, started) = done.ok_or_else(|| io::Error::other("the start panicked"))?;
        *command = own;
        started
    }

    /// Prepares what a template's child is to have; it is born later.
    fn fork(&mut self, template: &Arc<dyn Forks>) -> Result<Started, Error> {
        let describe = |error: io::Error| failed(&error, error.to_string());
        let (link, theirs) = Link::pair().map_err(describe)?;
        let mut pipe = None;
        if self.settings.capture.is_some() {
            let (read, write) = sys::pipe().map_err(describe)?;
            pipe = Some(read.into());
            self.stderr = Some(Outlet::new(write));
        }
        let capture = self.capture(pipe).map_err(describe)?;
        let directory = directory(&self.changes).map_err(describe)?;
        self.along.extend(directory.map(|fd| ("directory", fd)));
        for (name, outlet, lent) in [
            ("stdout", &mut self.stdout, Lent::Stdout),
            ("stderr", &mut self.stderr, Lent::Stderr),
        ] {
            let Some(taken) = outlet.take() else { continue };
            let descriptor = taken.resolve(lent).map_err(describe)?;
            let copy = descriptor.try_clone().map_err(describe)?;
            *outlet = Some(Outlet::new(copy));
            self.along.push((name, descriptor));
        }
        if self.settings.capture.is_some() {
            // The pipe is this child's alone.
            self.stderr = None;
        }
        self.environment = environment(&self.changes).map_err(describe)?;
        Ok(Started {
            link,
            process: None,
            starter: Some(template.starter()),
            unborn: Some((Arc::clone(template), theirs)),
            capture,
        })
    }

    fn capture(&self, stderr: Option<ChildStderr>) -> io::Result<Option<Capture>> {
        let keep = self.settings.capture.unwrap_or(0);
        stderr.map(|pipe| Capture::new(pipe, keep)).transpose()
    }
}

/// A start has failed for this reason, in these words.
fn failed(error: &io::Error, text: String) -> Error {
    if sys::is_lasting(error) {
        Error::never_starts(text)
    } else {
        Error::start(text)
    }
}

fn linked(link: io::Result<Link>) -> Result<Started, Error> {
    let link = link.map_err(|error| Error::start(error.to_string()))?;
    Ok(Started {
        link,
        process: None,
        starter: None,
        unborn: None,
        capture: None,
    })
}
