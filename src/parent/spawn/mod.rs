//! The start of a child, in five steps: the link, the streams, the hello, the process, the driver.
//!
//! The hello is written to the link before the process exists. The child therefore does not wait for it, and a template
//! that dies can be replaced by another that is given the same link.

pub(crate) mod background;
pub(crate) mod confinement;
mod environment;
mod launcher;
pub(crate) mod starter;
pub(crate) mod streams;

use std::ffi::OsString;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use self::confinement::{Confinement, Group};
pub(crate) use self::environment::Environment;
pub(crate) use self::launcher::{ForkServer, Launcher};
use self::starter::Starter;
use self::streams::{NAMES, OpenedStreams, Stdio, Streams};
use super::child::child_io::{ChildIo, Launched, Outputs};
use super::child::driver::Driver;
use super::child::handlers::ChildHandlers;
use super::child::interface::{EventSink, Handlers};
use super::child::state::callback_queue::{CallbackQueue, EventLimits};
use super::child::state::lifecycle::{Expected, Lifecycle};
use super::child::state::{Caller, ChildState, LinkReader};
use super::reactor;
use crate::base::registry::WorkerEntry;
use crate::base::spin::Spins;
use crate::error::{ChildId, Error};
use crate::message::{FrameReader, Message};
use crate::protocol::{
    DESCRIPTORS, FlowLimits, Form, HEADER, Hello, MAX_PARENT_HELLO, MOST, Role, TEMPLATE,
};
use crate::startup;
use crate::sys::{self, Link, LinkMemory, ParentLink, Rings};

/// Bytes of a hello that are reserved for everything except the arguments of `init`: the environment may be long.
const OTHERS: usize = 16 << 20;

/// A file descriptor that is sent with the hello, and its name there.
pub(crate) type HelloFd = (&'static str, OwnedFd);

/// The declaration of a worker, as the parent knows it.
#[derive(Debug)]
pub(crate) struct WorkerInfo {
    pub(crate) name: &'static str,
    pub(crate) origin: String,
    pub(crate) serialiser: &'static str,
    /// The entry that runs the worker in this program. `None` if it was declared without a function.
    pub(crate) function: Option<&'static dyn WorkerEntry>,
}

/// Everything that is needed to start a child.
#[derive(Debug)]
pub(crate) struct Recipe {
    pub(crate) launcher: Launcher,
    pub(crate) declared: WorkerInfo,
    init: Result<Message, Error>,
    pub(crate) plain: bool,
    pub(crate) hello_timeout: Duration,
    pub(crate) limits: FlowLimits,
    pub(crate) events: EventLimits,
    pub(crate) exit_with_parent: bool,
    pub(crate) spin: bool,
    /// Whether the link uses rings, if the child supports them.
    pub(crate) rings: bool,
    pub(crate) confinement: Confinement,
    pub(crate) environment: Environment,
    /// The words before this program on the command line. Default: none.
    pub(crate) prefix: Vec<OsString>,
    /// The options of the standard streams, indexed by file descriptor number.
    pub(crate) streams: [Option<Stdio>; 3],
    /// Further file descriptors for the hello of the next child.
    pub(crate) hello_fds: Vec<HelloFd>,
    /// The thread that starts processes. `None`: the calling thread.
    pub(crate) starter: Option<Arc<Starter>>,
}

impl Recipe {
    pub(crate) fn new(declared: WorkerInfo, init: Result<Message, Error>) -> Self {
        Self {
            launcher: Launcher::Own,
            declared,
            init,
            plain: false,
            hello_timeout: Duration::from_secs(10),
            limits: FlowLimits {
                calls: 1 << 16,
                bytes: 16 << 20,
                frame: 1 << 30,
                descriptors: DESCRIPTORS,
            },
            events: EventLimits {
                events: 1 << 16,
                bytes: 16 << 20,
                descriptors: DESCRIPTORS,
            },
            exit_with_parent: false,
            spin: true,
            rings: true,
            confinement: Confinement::default(),
            environment: Environment::default(),
            prefix: Vec::new(),
            streams: [None, None, None],
            hello_fds: Vec::new(),
            starter: None,
        }
    }

    /// Lets `starter` start the children, with the signal mask of its creator. No thread waits for these starts.
    pub(crate) fn start_from(&mut self, starter: Arc<Starter>) {
        self.launcher.hand_down_mask(&starter);
        self.starter = Some(starter);
    }

    /// Checks what would make every start fail.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let init = self.init.as_ref().map_err(Error::clone)?;
        let own = self.launcher.is_own();
        let here = own && self.declared.name != TEMPLATE || self.launcher.is_thread();
        if here && self.declared.function.is_none() {
            return Err(Error::start(
                "it is declared without a function here: start the program that has it, by `program` or `command`",
            )
            .permanent());
        }
        let is_child = startup::role() != startup::ProcessRole::Program;
        if (own || is_child) && !startup::can_be_child() {
            let advice = match startup::is_test_binary() {
                true => {
                    "with the test harness, write `offspring::init_in_tests!();` once, anywhere in this crate; with a `main` of yours (`harness = false`), call `init` first in it"
                }
                false => "call it first in `main`",
            };
            return Err(Error::start(format_args!(
                "this program has not called `offspring::init()`, and a child made from it would run its `main` once more: {advice}, or start another program that is a worker, by `program` or `command`"
            )));
        }
        if self.plain && own {
            return Err(Error::start(
                "the plain form cannot say which worker of this program is meant: name a `program` or a `command`",
            ));
        }
        self.check_prefix()?;
        self.check_thread()?;
        self.check_confinement()?;
        self.check_streams()?;
        check_length(init)?;
        self.check_descriptors(init.descriptors.len())
    }

    /// Checks what would make every start fail for children without a handle, which are those of a pool.
    pub(crate) fn check_without_handle(&self) -> Result<(), Error> {
        let mut streams = NAMES.iter().zip(&self.streams);
        let piped = |stdio: &Option<Stdio>| stdio.as_ref().is_some_and(Stdio::is_piped);
        let checked = match streams.find(|(_, stdio)| piped(stdio)) {
            Some((name, _)) => Err(Error::start(format_args!(
                "there is no handle of one child here that the pipe of its {name} could be taken from: give it a descriptor, `Stdio::lines` or `Stdio::null`"
            ))),
            None => self.check(),
        };
        checked.map_err(|error| error.about(&self.child_id(None)))
    }

    /// Returns whether a process is started that receives its hello over a socket, and applies the options in it.
    fn is_told(&self) -> bool {
        self.launcher.starts() && self.launcher.is_socket() && !self.plain
    }

    /// Returns whether file descriptors can be sent to the child. They cannot over the stdin and stdout of a command, which
    /// may lead to another machine.
    pub(crate) fn may_carry(&self) -> bool {
        self.launcher.is_socket() && !self.plain
    }

    /// Refuses options that would change this process if the worker runs in a thread of it.
    fn check_thread(&self) -> Result<(), Error> {
        let Confinement { limits, rights, .. } = &self.confinement;
        let changes_environment = self.environment != Environment::default();
        let own = [
            ("form", "plain", self.plain),
            ("limits", "limits", *limits != crate::limits::Limits::new()),
            ("rights", "rights", *rights != crate::rights::Rights::new()),
            ("environment and directory", "env", changes_environment),
            ("lifetime", "exit_with_parent", self.exit_with_parent),
        ];
        let mut set = own.into_iter().filter(|(.., is_set)| *is_set);
        match set.next() {
            Some((what, option, _)) if self.launcher.is_thread() => {
                Err(Error::start(format_args!(
                    "a thread has the {what} of its process: leave `{option}` or `in_process` out"
                )))
            }
            _ => Ok(()),
        }
    }

    fn check_prefix(&self) -> Result<(), Error> {
        let text = match self.launcher {
            _ if self.prefix.is_empty() => return Ok(()),
            Launcher::Own => return Ok(()),
            Launcher::Program(_) | Launcher::Command(_) => {
                "a `prefix` is for this program: put its words in front of those of the `program` or `command`"
            }
            Launcher::Template(_) => {
                "a template forks its children, so no `prefix` can run them: leave `prefix` out, or start the child without a template"
            }
            Launcher::Thread => {
                "a thread is not a program that a `prefix` could run: leave `prefix` or `in_process` out"
            }
            Launcher::Link(_) => {
                "no process is started here that a `prefix` could run: leave `prefix` out"
            }
        };
        Err(Error::start(text))
    }

    fn check_confinement(&self) -> Result<(), Error> {
        let Confinement {
            limits,
            rights,
            group,
        } = &self.confinement;
        let nothing_starts = !self.launcher.starts();
        let text = match group {
            _ if self.plain && nothing_starts && *limits != crate::limits::Limits::new() => {
                "limits cannot be told in the plain form, and no process is started that could be limited from here"
            }
            _ if self.plain && *rights != crate::rights::Rights::new() => {
                "rights cannot be told in the plain form: put `setpriv` in front of the command, or give it `uid` and `gid` (of `std::os::unix::process::CommandExt`)"
            }
            Group::Own if nothing_starts => {
                "no process is started that could have a separate group"
            }
            Group::Session if !self.is_told() => {
                "a separate session is for a program in the full form: put `setsid` in front of the command"
            }
            _ => return Ok(()),
        };
        Err(Error::start(text))
    }

    fn check_streams(&self) -> Result<(), Error> {
        let free = if self.is_told() { 0 } else { 2 };
        for (number, name) in NAMES.iter().enumerate() {
            let text = match &self.streams[number] {
                Some(_) if !self.launcher.starts() => {
                    format!("no process is started here whose {name} could be chosen")
                }
                Some(stdio) if number == 0 && stdio.is_read() => {
                    "the worker reads its stdin, and writes no lines there".into()
                }
                Some(_) if number < free => {
                    format!("the worker's {name} is the link here, and there can be no other")
                }
                _ => continue,
            };
            return Err(Error::start(text));
        }
        Ok(())
    }

    fn check_descriptors(&self, count: usize) -> Result<(), Error> {
        if count > 0 && !self.may_carry() {
            return Err(Error::start(
                "the arguments of `init` hold descriptors, which cannot travel over the stdin and stdout of a command, nor in the plain form: use `program`",
            ));
        }
        // The hello may also have stdin and the memory. For a fork it may have the other streams and the directory.
        let others = if self.launcher.forks() { 5 } else { 2 };
        let most = MOST - others - self.hello_fds.len();
        if count > most {
            return Err(Error::start(format_args!(
                "the arguments of `init`, or what is to be preloaded, hold {count} descriptors, the most is {most}: send others with calls"
            )));
        }
        Ok(())
    }

    /// Starts a child, its driver and its callbacks. Returns the parent's ends of the pipes to its streams. Another child can
    /// be started from the recipe, except from a [`Launcher::Link`].
    pub(crate) fn start(
        &mut self,
        sink: EventSink,
        handlers: Handlers,
    ) -> Result<(Arc<Driver<ChildIo>>, Streams), Error> {
        let child = self.child_id(None);
        let started = self.start_child(sink, handlers);
        started.map_err(|error| error.about(&child))
    }

    /// Returns how errors name a child of this recipe.
    pub(crate) fn child_id(&self, pid: Option<u32>) -> Arc<ChildId> {
        let (program, runner) = self.describe();
        Arc::new(ChildId {
            pid,
            program,
            runner,
            ..ChildId::of_worker(self.declared.name)
        })
    }

    fn start_child(
        &mut self,
        sink: EventSink,
        mut handlers: Handlers,
    ) -> Result<(Arc<Driver<ChildIo>>, Streams), Error> {
        self.check()?;
        let (link, theirs) = self.launcher.open_link(self.plain)?;
        let mut streams = OpenedStreams::new(&self.streams).map_err(no_descriptor)?;
        let (hello_fds, memory) = self.gather(&link, &mut streams.theirs)?;
        let rings = memory.clone().filter(|_| self.rings).map(Rings::of_parent);
        let link = link.with_rings(rings);
        let caller = self.write_hello(&link, hello_fds)?;
        let launched = self.launch(theirs, streams.theirs)?;
        let pid = launched.process.as_ref().map(|own| own.pid());
        let child = self.child_id(pid);
        let (named, mut on_error) = (Arc::clone(&child), handlers.on_error);
        handlers.on_error = Box::new(move |error| on_error(error.about(&named)));
        let callbacks = CallbackQueue::new(sink, self.events, handlers.on_destroy.is_some());
        let state = self.state(caller, child, memory, callbacks);
        let carries = link.carries_descriptors() && !self.plain;
        let driver = connect((link, carries), launched, streams.outputs, state, handlers)?;
        driver.change(|_| ());
        Ok((driver, streams.pipes))
    }

    /// Returns the file descriptors for the hello, and the memory that is shared with the child. The descriptors are that
    /// memory, and the streams that the child does not inherit.
    fn gather(
        &mut self,
        link: &ParentLink,
        streams: &mut Streams,
    ) -> Result<(Vec<HelloFd>, Option<Arc<LinkMemory>>), Error> {
        let mut hello_fds = std::mem::take(&mut self.hello_fds);
        let forks = self.launcher.forks();
        let by_hello = if forks { 3 } else { 1 };
        let streams = NAMES.into_iter().zip(streams).take(by_hello);
        hello_fds.extend(streams.filter_map(|(name, stream)| Some((name, stream.take()?))));
        if forks {
            let directory = self.environment.open_directory()?;
            hello_fds.extend(directory.map(|fd| ("directory", fd)));
        }
        // If no memory file can be created, all bytes are sent over the socket.
        // Over a socket of the user, the memory is created for rings only: it is unknown whether the child records in it which
        // calls it has started.
        let shares = self.is_told() || self.rings && link.carries_descriptors() && !self.plain;
        let memory = shares.then(LinkMemory::create);
        let (memory, fd) = memory.and_then(Result::ok).unzip();
        hello_fds.extend(fd.map(|fd| ("memory", fd)));
        Ok((hello_fds, memory.map(Arc::new)))
    }

    /// Writes as much of the hello as the link accepts without blocking. The driver writes the rest.
    fn write_hello(&self, link: &ParentLink, hello_fds: Vec<HelloFd>) -> Result<Caller, Error> {
        let init = self.init.as_ref().map_err(Error::clone)?;
        let init = init.try_clone().map_err(no_descriptor)?;
        let hello_fds = hello_fds.into_iter();
        let hello_fds = hello_fds.chain(init.descriptors.into_iter().map(|own| ("init", own)));
        let (names, descriptors): (Vec<_>, Vec<_>) = hello_fds.unzip();
        if self.plain {
            return Ok(Caller::new(None, descriptors, self.limits));
        }
        let init = init.frame.get(HEADER..).unwrap_or_default();
        let hello = self.hello(link, &names.join(","), init)?;
        let mut caller = Caller::new(Some(&hello), descriptors, self.limits);
        let mut outbox = caller.take_outbox();
        link.begin_with_hello(outbox.len());
        let mut slices = [IoSlice::new(&[])];
        let count = outbox.slices(&mut slices);
        let sent = link.try_send(&slices[..count], outbox.descriptors());
        let written = match sent {
            Ok(count) => count.unwrap_or(0),
            // The driver gets the same error.
            Err(error) if sys::is_gone_peer(&error) || sys::is_too_many_fds_in_flight(&error) => 0,
            Err(error) => {
                return Err(Error::start("its link cannot be written to").caused_by(error));
            }
        };
        outbox.consume(written);
        caller.wrote(written, outbox);
        Ok(caller)
    }

    fn hello(&self, link: &ParentLink, descriptors: &str, init: &[u8]) -> Result<Hello, Error> {
        let mut hello = Hello::new(Role::Parent)
            .with("worker", self.declared.name)
            .with("serialiser", self.declared.serialiser)
            .with("origin", self.declared.origin.as_str())
            .with("max-message", self.limits.frame.to_string())
            .with("max-descriptors", self.limits.descriptors.to_string())
            .with("descriptors", descriptors)
            .with("init", init);
        if self.launcher.forks() {
            let environment = self.environment.to_bytes()?;
            if !environment.is_empty() {
                hello = hello.with("environment", environment);
            }
        }
        for (says, name, value) in [
            (!self.spin, "spin", "no"),
            (self.exit_with_parent, "parent-death", "exit"),
            (link.is_socket(), "link", "socket"),
            (link.offers_rings(), "rings", "offered"),
            (link.carries_descriptors(), "carries", "descriptors"),
        ] {
            if says {
                hello = hello.with(name, value);
            }
        }
        Ok(self.confinement.add_to(hello))
    }

    /// Returns the state of a child that was just started.
    fn state(
        &self,
        caller: Caller,
        child: Arc<ChildId>,
        memory: Option<Arc<LinkMemory>>,
        callbacks: CallbackQueue,
    ) -> ChildState {
        let expected = Expected {
            child,
            serialiser: self.declared.serialiser,
            confinement: self.confinement.clone(),
        };
        let (form, time) = match self.plain {
            true => (Form::Plain, None),
            false => (Form::Full, Some(self.hello_timeout)),
        };
        let is_first = self.prefix.is_empty();
        let direct = is_first && self.launcher.starts() && self.launcher.is_socket();
        // The process is then the prefix. The worker may outlive it, and start more calls.
        let lifecycle = Lifecycle::new(expected, time, memory.filter(|_| is_first), direct);
        let mut reader = FrameReader::new(form, self.limits.frame);
        reader.set_most_descriptors(self.limits.descriptors);
        let reader = LinkReader {
            frames: reader,
            spin: Spins::new(self.spin),
        };
        ChildState::new(caller, reader, lifecycle, callbacks)
    }
}

/// Checks that the arguments of `init` fit into the hello with everything else.
fn check_length(init: &Message) -> Result<(), Error> {
    let length = init.frame.len().saturating_sub(HEADER);
    let most = MAX_PARENT_HELLO as usize - OTHERS;
    if length <= most {
        return Ok(());
    }
    Err(Error::too_long(format_args!(
        "the arguments of `init` have {length} bytes, the limit is {most}: send the rest with calls"
    )))
}

fn connect(
    (link, carries): (ParentLink, bool),
    launched: Launched,
    outputs: Outputs,
    state: ChildState,
    handlers: Handlers,
) -> Result<Arc<Driver<ChildIo>>, Error> {
    let driver = reactor::register(|registration| {
        let io = ChildIo::new(registration, (link, carries), launched, outputs)?;
        Ok(Driver::new(state, io, ChildHandlers::new(handlers)))
    });
    driver.map_err(|error| failed("the reactor cannot watch it", error))
}

/// Returns the error of a start, permanent if `error` is.
fn failed(text: impl std::fmt::Display, error: io::Error) -> Error {
    let failed = Error::start(format_args!("{text}{}", sys::name_limit(&error)));
    let failed = match sys::is_permanent(&error) {
        true => failed.permanent(),
        false => failed,
    };
    failed.caused_by(error)
}

fn no_descriptor(error: io::Error) -> Error {
    failed("there is no descriptor for it", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_of_init_beyond_a_hello_are_refused() {
        let most = MAX_PARENT_HELLO as usize - OTHERS;
        let init = |length| Message {
            frame: vec![0; HEADER + length],
            ..Message::default()
        };
        assert!(check_length(&Message::default()).is_ok());
        assert!(check_length(&init(most)).is_ok());
        let error = check_length(&init(most + 1)).unwrap_err();
        assert!(error.is_too_long());
        assert!(error.to_string().contains(&most.to_string()), "{error}");
    }
}
