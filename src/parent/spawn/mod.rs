//! Starting a child, in five steps: the link, the streams, the hello, the
//! process, the driver.
//!
//! The hello lies in the link before there is a process. So the child need not
//! wait for it, and a template that dies can be replaced by one that is given the
//! same link.

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
pub(crate) use self::launcher::{ForkServer, Launched, Launcher};
use self::starter::Starter;
use self::streams::{NAMES, Opened, Stdio, Streams};
use super::child::connection::{Charge, Connection, Outputs};
use super::child::courier::Courier;
use super::child::driver::Driver;
use super::child::state::delivery::{Delivery, EventLimits};
use super::child::state::life::{Expected, Life};
use super::child::state::{Caller, Core, Reading};
use super::child::terms::{EventSink, Handlers};
use super::helper::Helper;
use crate::base::registry::Registered;
use crate::base::spin::Spins;
use crate::error::{ChildId, Error};
use crate::parcel::{Parcel, Reader};
use crate::protocol::{
    DESCRIPTORS, Form, HEADER, Hello, LONGEST_PARENT_HELLO, Limits, MOST, Role, TEMPLATE,
};
use crate::startup;
use crate::sys::{self, Fresh, Link, LinkMemory, Rings};

/// How much of a hello is kept for all but the arguments of `init`, in bytes: the environment may be long.
const OTHERS: usize = 16 << 20;

/// A descriptor that goes along with hello, and what it is for.
pub(crate) type Along = (&'static str, OwnedFd);

/// What a declaration tells the parent.
#[derive(Debug)]
pub(crate) struct Declared {
    pub(crate) name: &'static str,
    pub(crate) origin: String,
    pub(crate) serialiser: &'static str,
    /// What runs it in this program, if it has the function.
    pub(crate) function: Option<&'static dyn Registered>,
}

/// All that is known before a child is started.
#[derive(Debug)]
pub(crate) struct Recipe {
    pub(crate) launcher: Launcher,
    pub(crate) declared: Declared,
    init: Result<Parcel, Error>,
    pub(crate) plain: bool,
    pub(crate) hello_timeout: Duration,
    pub(crate) limits: Limits,
    pub(crate) events: EventLimits,
    pub(crate) exit_with_parent: bool,
    pub(crate) spin: bool,
    /// Bytes travel through shared memory, if the child can do that.
    pub(crate) rings: bool,
    pub(crate) confinement: Confinement,
    pub(crate) environment: Environment,
    /// What stands before this program. Default: nothing.
    pub(crate) prefix: Vec<OsString>,
    /// What is said of the standard streams, by their numbers.
    pub(crate) streams: [Option<Stdio>; 3],
    /// What else goes along with the hello of the next child.
    pub(crate) along: Vec<Along>,
    /// What processes are started from, if not from the calling thread.
    pub(crate) starter: Option<Arc<Starter>>,
}

impl Recipe {
    pub(crate) fn new(declared: Declared, init: Result<Parcel, Error>) -> Self {
        Self {
            launcher: Launcher::Own,
            declared,
            init,
            plain: false,
            hello_timeout: Duration::from_secs(10),
            limits: Limits {
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
            along: Vec::new(),
            starter: None,
        }
    }

    /// Has children started from `starter` by itself, not for a thread that waits.
    pub(crate) fn start_from(&mut self, starter: Arc<Starter>) {
        self.launcher.hand_down_mask(&starter);
        self.starter = Some(starter);
    }

    /// What keeps every child from being started, if that is known.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let init = self.init.as_ref().map_err(Error::clone)?;
        let own = self.launcher.is_own();
        let here = own && self.declared.name != TEMPLATE || self.launcher.is_thread();
        if here && self.declared.function.is_none() {
            return Err(Error::start(
                "it is declared without a function here: start the program that has it, by `program` or `command`",
            )
            .lasting());
        }
        let is_child = startup::role() != startup::Role::Program;
        if (own || is_child) && !startup::can_be_child() {
            let advice = match startup::is_test_binary() {
                true => {
                    "write `offspring::init_in_tests!();` once, anywhere in this test's crate (or, if its `main` is yours, call `init` first in it)"
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
        if !self.prefix.is_empty() && !matches!(self.launcher, Launcher::Own) {
            return Err(Error::start(
                "a `prefix` stands before this program: put its words in front of another `program` or `command`, and start the child without a template",
            ));
        }
        self.check_thread()?;
        self.check_confinement()?;
        self.check_streams()?;
        check_length(init)?;
        self.check_descriptors(init.descriptors.len())
    }

    /// What keeps children without a handle from being started in this way.
    pub(crate) fn check_without_handle(&self) -> Result<(), Error> {
        let mut streams = NAMES.iter().zip(&self.streams);
        let piped = |stdio: &Option<Stdio>| stdio.as_ref().is_some_and(Stdio::is_piped);
        match streams.find(|(_, stdio)| piped(stdio)) {
            Some((name, _)) => Err(Error::start(format_args!(
                "there is no handle of one child here that the pipe of its {name} could be taken from: give it a descriptor, `Stdio::lines` or `Stdio::null`"
            ))),
            None => self.check(),
        }
    }

    /// The child is a program that gets a hello over a socket, and takes from it what it needs.
    fn is_told(&self) -> bool {
        self.launcher.starts() && self.launcher.is_socket() && !self.plain
    }

    /// Descriptors may go along: it is for no command's stdin and stdout, which
    /// may lead anywhere.
    pub(crate) fn may_carry(&self) -> bool {
        self.launcher.is_socket() && !self.plain
    }

    /// What a thread cannot have without changing this process.
    fn check_thread(&self) -> Result<(), Error> {
        let Confinement { limits, rights, .. } = &self.confinement;
        let own = [
            ("form, the plain one,", self.plain),
            ("limits", *limits != crate::limits::Limits::new()),
            ("rights", *rights != crate::rights::Rights::new()),
            (
                "environment or directory",
                self.environment != Environment::default(),
            ),
        ];
        match own
            .into_iter()
            .find(|(_, is_set)| self.launcher.is_thread() && *is_set)
        {
            Some((what, _)) => Err(Error::start(format_args!(
                "a thread has the {what} of its process: leave `in_process` out"
            ))),
            None => Ok(()),
        }
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
                "no process is started that could have a group of its own"
            }
            Group::Session if !self.is_told() => {
                "a session of its own is for a program in the full form: put `setsid` in front of the command"
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
                "the arguments of `init` hold descriptors, which cannot travel over the stdin and stdout of a command, nor in the plain form",
            ));
        }
        // Stdin may go along, with the memory, and to a fork with the other streams and the directory.
        let others = if self.launcher.forks() { 5 } else { 2 };
        let most = MOST - others - self.along.len();
        if count > most {
            return Err(Error::start(format_args!(
                "the arguments of `init`, or what is to be preloaded, hold {count} descriptors, the most is {most}: send others with calls"
            )));
        }
        Ok(())
    }

    /// Starts a child and all that belongs to it, and gives the pipes to its
    /// streams. What was not given away with it can be started again.
    pub(crate) fn start(
        &mut self,
        sink: EventSink,
        handlers: Handlers,
    ) -> Result<(Arc<Driver<Connection>>, Streams), Error> {
        let child = self.child_id(None);
        let started = self.start_child(sink, handlers);
        started.map_err(|error| error.about(&child))
    }

    /// The child of this recipe, with this process.
    pub(crate) fn child_id(&self, pid: Option<u32>) -> Arc<ChildId> {
        Arc::new(ChildId {
            pid,
            program: self.launcher.describe(),
            ..ChildId::of_worker(self.declared.name)
        })
    }

    fn start_child(
        &mut self,
        sink: EventSink,
        mut handlers: Handlers,
    ) -> Result<(Arc<Driver<Connection>>, Streams), Error> {
        self.check()?;
        let (link, theirs) = self.launcher.open_link(self.plain)?;
        let mut streams = Opened::new(&self.streams).map_err(no_descriptor)?;
        let (along, memory) = self.gather(&link, &mut streams.theirs)?;
        let rings = memory.clone().filter(|_| self.rings).map(Rings::of_parent);
        let link = link.with_rings(rings);
        let caller = self.greet(&link, along)?;
        let launched = self.launch(theirs, streams.theirs)?;
        let pid = launched.process.as_ref().map(|own| own.pid());
        let child = self.child_id(pid);
        let (named, mut on_error) = (Arc::clone(&child), handlers.on_error);
        handlers.on_error = Box::new(move |error| on_error(error.about(&named)));
        let delivery = Delivery::new(sink, self.events, handlers.on_destroy.is_some());
        let core = self.core(caller, child, memory, delivery);
        let carries = link.carries_descriptors() && !self.plain;
        let process = (launched.process, launched.starter);
        let driver = connect((link, carries), process, streams.outputs, core, handlers)?;
        driver.change(|_| ());
        Ok((driver, streams.pipes))
    }

    /// Gathers the descriptors that go along with hello: streams that nothing
    /// else gives to the child, and the memory that is shared with it.
    fn gather(
        &mut self,
        link: &Link,
        streams: &mut Streams,
    ) -> Result<(Vec<Along>, Option<Arc<LinkMemory>>), Error> {
        let mut along = std::mem::take(&mut self.along);
        let forks = self.launcher.forks();
        let by_hello = if forks { 3 } else { 1 };
        let streams = NAMES.into_iter().zip(streams).take(by_hello);
        along.extend(streams.filter_map(|(name, stream)| Some((name, stream.take()?))));
        if forks {
            let directory = self.environment.open_directory()?;
            along.extend(directory.map(|fd| ("directory", fd)));
        }
        // Without memory files, or room for one, all goes over the socket.
        // Over a socket that leads anywhere, only for rings: what has started is not known of a child without hello.
        let shares = self.is_told() || self.rings && link.carries_descriptors() && !self.plain;
        let memory = shares.then(LinkMemory::create);
        let (memory, fd) = memory.and_then(Result::ok).unzip();
        along.extend(fd.map(|fd| ("memory", fd)));
        Ok((along, memory.map(Arc::new)))
    }

    /// Writes what the link takes of the hello. The driver writes the rest.
    fn greet(&self, link: &Link, along: Vec<Along>) -> Result<Caller, Error> {
        let init = self.init.as_ref().map_err(Error::clone)?;
        let init = init.try_clone().map_err(no_descriptor)?;
        let along = along.into_iter();
        let along = along.chain(init.descriptors.into_iter().map(|own| ("init", own)));
        let (names, descriptors): (Vec<_>, Vec<_>) = along.unzip();
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
        // If that has failed the driver sees it, too.
        let written = sent.ok().flatten().unwrap_or(0);
        outbox.consume(written);
        caller.wrote(written, outbox);
        Ok(caller)
    }

    fn hello(&self, link: &Link, descriptors: &str, init: &[u8]) -> Result<Hello, Error> {
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
        if !self.spin {
            hello = hello.with("spin", "no");
        }
        if self.exit_with_parent {
            hello = hello.with("parent-death", "exit");
        }
        if link.is_socket() {
            hello = hello.with("link", "socket");
        }
        if link.offers_rings() {
            hello = hello.with("rings", "offered");
        }
        if link.carries_descriptors() {
            hello = hello.with("carries", "descriptors");
        }
        Ok(self.confinement.add_to(hello))
    }

    /// The state of the child, as it is now.
    fn core(
        &self,
        caller: Caller,
        child: Arc<ChildId>,
        memory: Option<Arc<LinkMemory>>,
        delivery: Delivery,
    ) -> Core {
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
        // Behind a prefix it may run on when that has ended, and start more calls.
        let life = Life::new(expected, time, memory.filter(|_| is_first), direct);
        let mut reader = Reader::new(form, self.limits.frame);
        reader.set_most_descriptors(self.limits.descriptors);
        let reading = Reading {
            reader,
            spin: Spins::new(self.spin),
        };
        Core::new(caller, reading, life, delivery)
    }
}

/// The arguments of `init` fit into the hello, with all else that is there.
fn check_length(init: &Parcel) -> Result<(), Error> {
    let length = init.frame.len().saturating_sub(HEADER);
    let most = LONGEST_PARENT_HELLO as usize - OTHERS;
    if length <= most {
        return Ok(());
    }
    Err(Error::too_long(format_args!(
        "the arguments of `init` have {length} bytes, the limit is {most}: send the rest with calls"
    )))
}

fn connect(
    (link, carries): (Link, bool),
    (process, starter): (Option<Fresh>, Option<Arc<Starter>>),
    outputs: Outputs,
    core: Core,
    handlers: Handlers,
) -> Result<Arc<Driver<Connection>>, Error> {
    let charge = Helper::attach(|helper, key| {
        let connection =
            Connection::new(helper, key, (link, carries), (process, starter), outputs)?;
        let driver = Driver::new(core, connection, Courier::new(handlers));
        Ok(Arc::new(Charge(driver)))
    });
    let charge =
        charge.map_err(|error| Error::start("there is no helper for it").caused_by(error))?;
    Ok(Arc::clone(&charge.0))
}

/// A start has failed for this reason, in these words.
fn failed(text: impl std::fmt::Display, error: io::Error) -> Error {
    let failed = Error::start(text);
    let failed = match sys::is_lasting(&error) {
        true => failed.lasting(),
        false => failed,
    };
    failed.caused_by(error)
}

fn no_descriptor(error: io::Error) -> Error {
    Error::start("there is no descriptor for it").caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_of_init_beyond_a_hello_are_refused() {
        let most = LONGEST_PARENT_HELLO as usize - OTHERS;
        let init = |length| Parcel {
            frame: vec![0; HEADER + length],
            ..Parcel::default()
        };
        assert!(check_length(&Parcel::default()).is_ok());
        assert!(check_length(&init(most)).is_ok());
        let error = check_length(&init(most + 1)).unwrap_err();
        assert!(error.is_too_long());
        assert!(error.to_string().contains(&most.to_string()), "{error}");
    }
}
