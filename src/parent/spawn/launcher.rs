//! What a child comes from: the only place that knows which launcher it is.

use std::ffi::OsStr;
use std::io;
use std::mem::replace;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::confinement::Group;
use super::starter::Starter;
use super::streams::Streams;
use super::{Recipe, failed, no_descriptor};
use crate::error::Error;
use crate::startup::{MARKER, VARIABLE, blocking, linked};
use crate::sys::{self, Fresh, Link};

/// What is started.
#[derive(Debug)]
pub(crate) enum Launcher {
    /// This program once more.
    Own,
    /// Another program, with a socket as its stdin.
    Program(Command),
    /// A command whose stdin and stdout are the link: two pipes, since some
    /// commands do not work over sockets.
    Command(Command),
    /// A fork of this template.
    Template(Arc<dyn ForkServer>),
    /// A thread of this process.
    Thread,
    /// Nothing. This is our side of the link, until a child has it.
    Link(Option<Side>),
}

/// One side of a link: what is read from, and what is written to if that is not
/// the same socket.
pub(crate) type Side = (OwnedFd, Option<OwnedFd>);

/// What was started; nothing if all of it is `None`.
#[derive(Default)]
pub(crate) struct Launched {
    pub(crate) process: Option<Fresh>,
    /// What has started it, if that has to stay.
    pub(crate) starter: Option<Arc<Starter>>,
}

/// What forks children: a template, which is started like a child itself.
pub(crate) trait ForkServer: std::fmt::Debug + Send + Sync {
    /// Has a child forked that is given this end of its link.
    ///
    /// # Blocking
    /// Until the template is ready, and then until it has forked, for at most
    /// `time`.
    fn start_child(&self, link: &OwnedFd, time: Duration) -> Result<Launched, Error>;
}

impl Launcher {
    /// Returns whether the child runs this program.
    pub(crate) fn is_own(&self) -> bool {
        matches!(self, Self::Own | Self::Template(_))
    }

    /// Returns whether the child is forked, and not executed.
    pub(crate) fn forks(&self) -> bool {
        matches!(self, Self::Template(_))
    }

    /// Says what runs the worker, for errors.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Own => "this program".into(),
            Self::Program(command) | Self::Command(command) => shown(command),
            Self::Template(_) => "a fork of the template".into(),
            Self::Thread => "a thread of this process".into(),
            Self::Link(_) => "what is at the other end".into(),
        }
    }

    /// Returns whether a process is started.
    pub(crate) fn starts(&self) -> bool {
        !matches!(self, Self::Link(_) | Self::Thread)
    }

    /// Returns whether the worker runs in a thread of this process.
    pub(crate) fn is_thread(&self) -> bool {
        matches!(self, Self::Thread)
    }

    /// Returns whether the link is one socket.
    pub(crate) fn is_socket(&self) -> bool {
        match self {
            Self::Own | Self::Program(_) | Self::Template(_) | Self::Thread => true,
            Self::Link(side) => side.as_ref().is_some_and(|(_, write)| write.is_none()),
            Self::Command(_) => false,
        }
    }

    /// Has the children block what the thread that made `starter` blocks. This
    /// program is told when it is started.
    pub(crate) fn hand_down_mask(&mut self, starter: &Starter) {
        if let Self::Program(command) | Self::Command(command) = self {
            starter.hand_down_mask(command);
        }
    }

    /// Opens the link, and the other side of it for a child that is started.
    pub(crate) fn open_link(&mut self, plain: bool) -> Result<(Link, Option<Side>), Error> {
        let opened = match self {
            Self::Link(side) => {
                let side = side.take().ok_or_else(|| {
                    Error::start("a socket, or a pair of descriptors, leads to one child only")
                        .lasting()
                })?;
                let link = match side {
                    (socket, None) => Link::from_socket(socket),
                    (read, Some(write)) => Link::from_pair(read, write),
                };
                return link
                    .map(|link| (link, None))
                    .map_err(|error| Error::start("this is no link").caused_by(error));
            }
            Self::Command(_) => {
                Link::pipes().map(|(link, read, write)| (link, (read, Some(write))))
            }
            // Without a hello a program cannot know that its stdin is both ways.
            Self::Program(_) if plain => Link::pair().and_then(|(link, theirs)| {
                let write = theirs.try_clone()?;
                Ok((link, (theirs, Some(write))))
            }),
            Self::Own | Self::Program(_) | Self::Template(_) | Self::Thread => {
                Link::pair().map(|(link, theirs)| (link, (theirs, None)))
            }
        };
        let (link, theirs) = opened.map_err(no_descriptor)?;
        Ok((link, Some(theirs)))
    }
}

impl Recipe {
    /// Starts the process, which is given its side of the link, and streams.
    pub(crate) fn launch(
        &mut self,
        side: Option<Side>,
        streams: Streams,
    ) -> Result<Launched, Error> {
        let Some(side) = side else {
            return Ok(Launched::default());
        };
        let mut launcher = replace(&mut self.launcher, Launcher::Own);
        let launched = match &mut launcher {
            Launcher::Own if !self.prefix.is_empty() => self.run_prefixed(side.0, streams),
            Launcher::Own => self.run(
                &mut self.own_program(),
                over(side, streams),
                self.starter.clone(),
            ),
            Launcher::Program(command) | Launcher::Command(command) => {
                self.environment.apply(command);
                let starter = match &self.starter {
                    Some(starter) => Some(Arc::clone(starter)),
                    None => Starter::for_child()?,
                };
                self.run(command, over(side, streams), starter)
            }
            Launcher::Template(template) => template.start_child(&side.0, self.hello_timeout),
            Launcher::Thread => self.start_thread(side.0),
            Launcher::Link(_) => Ok(Launched::default()),
        };
        self.launcher = launcher;
        launched
    }

    /// Runs this program behind other words: these have its stdin, so the link is
    /// another descriptor.
    fn run_prefixed(&self, link: OwnedFd, streams: Streams) -> Result<Launched, Error> {
        let mut command = Command::new(&self.prefix[0]);
        let program = std::env::current_exe();
        let program = program.map_err(|error| failed("this program's path", error))?;
        command.args(&self.prefix[1..]).arg(program).arg(MARKER);
        if let Some(starter) = &self.starter {
            starter.hand_down_mask(&mut command);
        }
        let told = sys::hand_down_socket(&mut command, link).map_err(no_descriptor)?;
        command.arg(linked(&told));
        self.environment.apply(&mut command);
        command.env(VARIABLE, std::process::id().to_string());
        let [_, stdout, stderr] = streams;
        self.run(&mut command, [None, stdout, stderr], self.starter.clone())
    }

    fn own_program(&self) -> Command {
        let mut command = sys::own_program();
        let parent = std::process::id();
        command.arg0(format!("{} of {parent}", self.declared.name));
        command.arg(MARKER);
        command.args(self.starter.as_ref().map(|own| blocking(&own.mask())));
        self.environment.apply(&mut command);
        // After all that the user may say of the environment.
        command.env(VARIABLE, parent.to_string());
        command
    }

    /// Starts the thread, which takes the signals of faults only.
    fn start_thread(&self, link: OwnedFd) -> Result<Launched, Error> {
        let worker = self.declared.function.expect("it was checked");
        let run = move || {
            sys::take_faults();
            worker.run_here(link);
        };
        let started = sys::spawn_thread("offspring-worker", run);
        let started =
            started.map_err(|error| Error::start("there is no thread for it").caused_by(error));
        started.map(|_| Launched::default())
    }

    fn run(
        &self,
        command: &mut Command,
        given: Streams,
        starter: Option<Arc<Starter>>,
    ) -> Result<Launched, Error> {
        let is_given = given.each_ref().map(Option::is_some);
        give(command, given.map(|stream| stream.map(Stdio::from)));
        if self.confinement.group == Group::Own {
            // With the process, so that no signal can come in between.
            command.process_group(0);
        }
        let process = self.spawn(command, starter.as_deref());
        // What was given is the child's alone.
        give(command, is_given.map(|given| given.then(Stdio::null)));
        Ok(Launched {
            process: Some(process.map_err(|error| why_not(command, error))?),
            starter,
        })
    }

    fn spawn(&self, command: &mut Command, starter: Option<&Starter>) -> io::Result<Fresh> {
        let (limits, plain) = (self.confinement.limits, self.plain);
        // One that speaks the full form is told, and limits itself.
        let limit = move |pid| match plain {
            true => limits.set(pid).map_err(io::Error::other),
            false => Ok(()),
        };
        let Some(starter) = starter else {
            return sys::spawn(command, limit);
        };
        let mut own = replace(command, Command::new(""));
        let done = starter.run(move || {
            let started = sys::spawn(&mut own, limit);
            (own, started)
        });
        let (own, started) = done.ok_or_else(|| io::Error::other("the start panicked"))?;
        *command = own;
        started
    }
}

/// The streams of a command whose stdin, and perhaps stdout, are the link.
fn over((stdin, stdout): Side, [_, own_stdout, stderr]: Streams) -> Streams {
    [Some(stdin), stdout.or(own_stdout), stderr]
}

/// Says what the streams of a command are, of which something is to be said.
fn give(command: &mut Command, [stdin, stdout, stderr]: [Option<Stdio>; 3]) {
    if let Some(stdin) = stdin {
        command.stdin(stdin);
    }
    if let Some(stdout) = stdout {
        command.stdout(stdout);
    }
    if let Some(stderr) = stderr {
        command.stderr(stderr);
    }
}

/// How much of a command is shown, in characters.
const SHOWN: usize = 200;

/// The program and its arguments.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(OsStr::to_string_lossy).collect();
    let text = words.join(" ");
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("`{}…`", &text[..end]),
        None => format!("`{text}`"),
    }
}

/// Says why a command could not be run.
fn why_not(command: &Command, error: io::Error) -> Error {
    let program = Path::new(command.get_program());
    let text = sys::why_not_started(program, command.get_current_dir(), &error);
    failed(text, error)
}
