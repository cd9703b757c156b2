//! The launchers of children. No other file distinguishes them.

use std::ffi::{OsStr, OsString};
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
use crate::error::{Error, Runner};
use crate::parent::child::child_io::Launched;
use crate::startup::{self, MARKER, VARIABLE, link_argument, mask_argument};
use crate::sys::{self, KillOnDrop, ParentLink};

/// The way in which a child is started.
#[derive(Debug)]
pub(crate) enum Launcher {
    /// Another process of this program.
    Own,
    /// Another program, with a socket as its stdin.
    Program(Command),
    /// A command whose stdin and stdout are the link. It is a pair of pipes, because some commands do not work over sockets.
    Command(Command),
    /// A fork of this template.
    Template(Arc<dyn ForkServer>),
    /// A thread of this process.
    Thread,
    /// No process. The user gave the parent's side of a link, which the first child takes.
    Link(Option<StdioPair>),
}

/// A side of a link: the file descriptor to read from, and the file descriptor to write to if it is not the same socket.
pub(crate) type StdioPair = (OwnedFd, Option<OwnedFd>);

/// A process that forks children: a template.
pub(crate) trait ForkServer: std::fmt::Debug + Send + Sync {
    /// Forks a child with `link` as its end of the link.
    ///
    /// # Blocking
    /// Until the template is ready, and then until it has forked, for at most `time`.
    fn start_child(&self, link: &OwnedFd, time: Duration) -> Result<Launched, Error>;
}

impl Launcher {
    /// Returns whether the child runs this program.
    pub(crate) fn is_own(&self) -> bool {
        matches!(self, Self::Own | Self::Template(_))
    }

    /// Returns whether the child is forked and does not call `exec`.
    pub(crate) fn forks(&self) -> bool {
        matches!(self, Self::Template(_))
    }

    /// Returns a description of the program, and how it runs.
    fn describe(&self) -> (String, Runner) {
        match self {
            Self::Own => ("this program".into(), Runner::Own),
            Self::Program(command) | Self::Command(command) => {
                let words = std::iter::once(command.get_program()).chain(command.get_args());
                (shown(words), Runner::Other)
            }
            Self::Template(_) => ("a fork of the template".into(), Runner::Own),
            Self::Thread => ("a thread of this process".into(), Runner::Thread),
            Self::Link(_) => ("what is at the other end".into(), Runner::Other),
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

    /// Gives children the signal mask of the thread that created `starter`. This program receives the mask as an argument
    /// instead.
    pub(crate) fn hand_down_mask(&mut self, starter: &Starter) {
        if let Self::Program(command) | Self::Command(command) = self {
            starter.hand_down_mask(command);
        }
    }

    /// Opens the link. Returns the parent's side, and the child's side if a child is started.
    pub(crate) fn open_link(
        &mut self,
        plain: bool,
    ) -> Result<(ParentLink, Option<StdioPair>), Error> {
        let opened = match self {
            Self::Link(side) => {
                let side = side.take().ok_or_else(|| {
                    Error::start("a socket, or a pair of descriptors, leads to one child only")
                        .permanent()
                })?;
                let link = match side {
                    (socket, None) => ParentLink::from_socket(socket),
                    (read, Some(write)) => ParentLink::from_pair(read, write),
                };
                return link
                    .map(|link| (link, None))
                    .map_err(|error| Error::start("this is no link").caused_by(error));
            }
            Self::Command(_) => {
                ParentLink::pipes().map(|(link, read, write)| (link, (read, Some(write))))
            }
            // Without a hello, a program cannot know that its stdin is bidirectional.
            Self::Program(_) if plain => ParentLink::pair().and_then(|(link, theirs)| {
                let write = theirs.try_clone()?;
                Ok((link, (theirs, Some(write))))
            }),
            Self::Own | Self::Program(_) | Self::Template(_) | Self::Thread => {
                ParentLink::pair().map(|(link, theirs)| (link, (theirs, None)))
            }
        };
        let (link, theirs) = opened.map_err(no_descriptor)?;
        Ok((link, Some(theirs)))
    }
}

impl Recipe {
    /// Returns a description of the program, and how it runs. Behind a prefix this program may not have run at all.
    pub(super) fn describe(&self) -> (String, Runner) {
        if self.prefix.is_empty() {
            return self.launcher.describe();
        }
        let words = self.prefix.iter().map(OsString::as_os_str);
        (format!("the prefix {}", shown(words)), Runner::Prefix)
    }

    /// Starts the process with its side of the link and its streams.
    pub(crate) fn launch(
        &mut self,
        side: Option<StdioPair>,
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

    /// Runs this program behind the words of `prefix`. Its stdin may be in use by the prefix, so the link is another file
    /// descriptor.
    fn run_prefixed(&self, link: OwnedFd, streams: Streams) -> Result<Launched, Error> {
        let mut command = Command::new(&self.prefix[0]);
        let program = std::env::current_exe();
        let program = program.map_err(|error| failed("this program's path", error))?;
        command.args(&self.prefix[1..]).arg(program).arg(MARKER);
        if let Some(starter) = &self.starter {
            starter.hand_down_mask(&mut command);
        }
        let told = sys::inherit_socket(&mut command, link).map_err(no_descriptor)?;
        command.arg(link_argument(&told));
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
        command.args(self.starter.as_ref().map(|own| mask_argument(&own.mask())));
        self.environment.apply(&mut command);
        // After the user's changes of the environment, which may clear it.
        command.env(VARIABLE, parent.to_string());
        command
    }

    /// Starts the worker's thread, which blocks all signals except those of faults.
    fn start_thread(&self, link: OwnedFd) -> Result<Launched, Error> {
        let worker = self.declared.function.expect("it was checked");
        let run = move || {
            sys::unblock_fault_signals();
            worker.run_here(link);
        };
        let started = sys::spawn_thread(startup::thread_name(self.declared.name), run);
        let started = started.map_err(|error| failed("there is no thread for it", error));
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
            // Created with the process, so that no signal arrives in between.
            command.process_group(0);
        }
        let process = self.spawn(command, starter.as_deref());
        // Drops this process's copies of the child's streams.
        give(command, is_given.map(|given| given.then(Stdio::null)));
        Ok(Launched {
            process: Some(process.map_err(|error| why_not(command, error))?),
            starter,
        })
    }

    fn spawn(&self, command: &mut Command, starter: Option<&Starter>) -> io::Result<KillOnDrop> {
        let (limits, plain) = (self.confinement.limits, self.plain);
        // In the full form the child applies the limits itself.
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

/// Returns the streams of a command whose stdin is the link, and whose stdout is, too, if the link is a pair.
fn over((stdin, stdout): StdioPair, [_, own_stdout, stderr]: Streams) -> Streams {
    [Some(stdin), stdout.or(own_stdout), stderr]
}

/// Sets the streams of a command that are not `None`.
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

/// Maximum length of a command in an error, in characters.
const SHOWN: usize = 200;

/// Returns the words of a command for an error, at most [`SHOWN`] characters.
fn shown<'w>(words: impl Iterator<Item = &'w OsStr>) -> String {
    let words: Vec<_> = words.map(OsStr::to_string_lossy).collect();
    let text = words.join(" ");
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("`{}…`", &text[..end]),
        None => format!("`{text}`"),
    }
}

/// Returns the error of a command that could not be started.
fn why_not(command: &Command, error: io::Error) -> Error {
    let program = Path::new(command.get_program());
    let text = sys::explain_failed_spawn(program, command.get_current_dir(), &error);
    failed(text, error)
}
