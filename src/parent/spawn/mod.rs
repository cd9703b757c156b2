//! Starting a child: the link, the process, the hello, the driver.

pub(crate) mod changes;
pub(crate) mod demands;
mod launch;
pub(crate) mod starter;

use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use self::changes::{Change, Outlet};
use self::demands::Demands;
use self::starter::Starter;
use super::child::connection::{Charge, Connection};
use super::child::courier::{Courier, Handlers};
use super::child::driver::Driver;
use super::child::state::delivery::{Delivery, EventLimits, EventSink};
use super::child::state::life::{Expected, Life};
use super::child::state::{Caller, Core, Reading};
use super::helper::Helper;
use crate::base::spin::{Spin, Spins};
use crate::error::Error;
use crate::parcel::{Parcel, Reader};
use crate::protocol::{
    DESCRIPTORS, Form, HEADER, Hello, LONGEST_PARENT_HELLO, Limits, MOST, PartAt, Role,
};
use crate::startup;
use crate::sys::Page;

use self::launch::Started;
pub(crate) use self::launch::{Forked, Forks, Launch};

/// How much of a hello is kept for all but the arguments of `init`, in bytes: the environment may be long.
const OTHERS: usize = 16 << 20;

/// What a user may set.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) plain: bool,
    pub(crate) hello_timeout: Duration,
    pub(crate) limits: Limits,
    pub(crate) events: EventLimits,
    pub(crate) exit_with_parent: bool,
    pub(crate) spin: bool,
    pub(crate) spin_in_poll: bool,
    /// Where long results are parted.
    pub(crate) part_at: PartAt,
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) capture: Option<usize>,
    /// Memory is shared with the child: what it has finished, and started.
    pub(crate) ring: bool,
    pub(crate) demands: Demands,
}

/// A descriptor that goes along with hello, and what it is for.
pub(crate) type Along = (&'static str, OwnedFd);

/// All that is known before a child is started.
pub(crate) struct Plan {
    pub(crate) launch: Launch,
    pub(crate) settings: Settings,
    name: &'static str,
    origin: String,
    serialiser: &'static str,
    init: Result<Parcel, Error>,
    pub(crate) changes: Vec<Change>,
    /// The changes of the environment that the child is to make itself.
    environment: Vec<u8>,
    pub(crate) stdout: Option<Outlet>,
    pub(crate) stderr: Option<Outlet>,
    pub(crate) along: Vec<Along>,
    /// What processes are started from, if not from the calling thread.
    pub(crate) starter: Option<Arc<Starter>>,
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan")
            .field("launch", &self.launch)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Plan {
    pub(crate) fn new(
        name: &'static str,
        origin: String,
        serialiser: &'static str,
        init: Result<Parcel, Error>,
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
                    descriptors: DESCRIPTORS,
                },
                events: EventLimits {
                    events: 1 << 16,
                    bytes: 16 << 20,
                    descriptors: DESCRIPTORS,
                },
                exit_with_parent: false,
                spin: true,
                spin_in_poll: false,
                part_at: |_, _| None,
                stdin: None,
                capture: None,
                ring: true,
                demands: Demands::default(),
            },
            name,
            origin,
            serialiser,
            init,
            changes: Vec::new(),
            environment: Vec::new(),
            stdout: None,
            stderr: None,
            along: Vec::new(),
            starter: None,
        }
    }

    /// What keeps every child from being started, if that is known.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if let Err(error) = &self.init {
            return Err(error.clone());
        }
        let own = matches!(self.launch, Launch::Own | Launch::Template(_));
        let is_child = startup::role() != startup::Role::Program;
        if (own || is_child) && !startup::can_be_child() {
            return Err(Error::start(
                "this program has not called `offspring::init()`, so a child made from it would run its `main` once more: call it first in `main` (in a test binary write `offspring::init_in_tests!();` once), or start another program that is a worker, by `program` or `command`",
            ));
        }
        if self.settings.plain && own {
            return Err(Error::start(
                "the plain form cannot say which worker of this program is meant: name a `program` or a `command`",
            ));
        }
        if matches!(self.launch, Launch::Again(..)) {
            return Ok(());
        }
        self.launch
            .fits(&self.settings.demands, self.settings.plain)?;
        if let Ok(init) = &self.init {
            check_length(init)?;
            let is_ours = self.is_socket() && !self.settings.plain;
            self.check_descriptors(init, self.may_carry(), is_ours)?;
        }
        Ok(())
    }

    /// The link will be a socket, given to a process that is started.
    fn is_socket(&self) -> bool {
        match &self.launch {
            Launch::Own | Launch::Program(_) | Launch::Template(_) => true,
            Launch::Again(_, way) => way.socket,
            Launch::Command(_) | Launch::Socket(_) | Launch::Pair(..) | Launch::Spent => false,
        }
    }

    /// Starts a child and all that belongs to it. What was not given away with
    /// it can be started again.
    pub(crate) fn start(
        &mut self,
        sink: EventSink,
        handlers: Handlers,
    ) -> Result<Arc<Driver<Connection>>, Error> {
        self.check()?;
        let copied = |error: io::Error| Error::start(format!("no descriptor for a child: {error}"));
        let init = match &self.init {
            Ok(init) => init.try_clone().map_err(copied)?,
            Err(error) => return Err(error.clone()),
        };
        let socket = self.is_socket();
        let both_ways = socket || matches!(self.launch, Launch::Socket(_));
        let is_ours = socket && !self.settings.plain;
        let carries = self.may_carry();
        let mut started = self.launch()?;
        let carries = carries && started.link.carries_descriptors();
        let mut page = if is_ours {
            self.go_along().map_err(copied)?
        } else {
            None
        };
        let along = self.along.drain(..);
        let along = along.chain(init.descriptors.into_iter().map(|own| ("init", own)));
        let (names, descriptors): (Vec<_>, Vec<_>) = along.unzip();
        let hello = (!self.settings.plain).then(|| {
            let octets = init.frame.get(HEADER..).unwrap_or_default();
            let mut hello = self.hello(octets, &names.join(","));
            if both_ways {
                hello = hello.with("link", "socket");
            }
            if carries {
                hello = hello.with("carries", "descriptors");
            }
            hello
        });
        let mut caller = Caller::new(hello.as_ref(), descriptors, self.settings.limits);
        started.greet(&mut caller);
        if let Some((template, theirs)) = started.unborn.take() {
            let (process, own) = template.fork(&theirs, self.settings.hello_timeout)?;
            (started.process, page) = (Some(process), own);
        }
        let pid = started.process.as_ref().map(|own| own.pid());
        let expected = Expected {
            worker: self.name.into(),
            serialiser: self.serialiser,
            demands: self.settings.demands,
        };
        let mut life = Life::new(
            expected,
            pid,
            hello.is_some().then_some(self.settings.hello_timeout),
            page,
        );
        life.set_direct(socket);
        let delivery = Delivery::new(sink, self.settings.events, handlers.on_destroy.is_some());
        let form = if hello.is_some() {
            Form::Full
        } else {
            Form::Plain
        };
        let mut reader = Reader::new(form, self.settings.limits.frame);
        reader.set_part_at(self.settings.part_at);
        reader.set_most_descriptors(self.settings.limits.descriptors);
        let core = Core::new(
            caller,
            Reading {
                reader,
                spin: Spins::new(self.settings.spin),
                spin_in_poll: Spin::in_poll(self.settings.spin && self.settings.spin_in_poll),
            },
            life,
            delivery,
        );
        let driver = connect(started, carries, core, handlers)
            .map_err(|error| Error::start(format!("no helper for the child: {error}")))?;
        driver.change(|_| ());
        Ok(driver)
    }

    /// Gathers the descriptors that go along with hello. Gives the page, unless a
    /// template will.
    fn go_along(&mut self) -> io::Result<Option<Page>> {
        let stdin = self.settings.stdin.as_ref().map(OwnedFd::try_clone);
        self.along
            .extend(stdin.transpose()?.map(|fd| ("stdin", fd)));
        let own_page = self.settings.ring && !matches!(self.launch, Launch::Template(_));
        let (page, fd) = if own_page {
            Page::create().ok().unzip()
        } else {
            (None, None)
        };
        self.along.extend(fd.map(|fd| ("page", fd)));
        Ok(page)
    }

    /// Descriptors may go along: it is for no command's stdin and stdout, which
    /// may lead anywhere.
    pub(crate) fn may_carry(&self) -> bool {
        let link = match &self.launch {
            Launch::Own | Launch::Program(_) | Launch::Socket(_) | Launch::Template(_) => true,
            Launch::Again(_, way) => way.socket,
            Launch::Command(_) | Launch::Pair(..) | Launch::Spent => false,
        };
        link && !self.settings.plain
    }

    fn check_descriptors(&self, init: &Parcel, carries: bool, is_ours: bool) -> Result<(), Error> {
        let count = init.descriptors.len();
        if count > 0 && !carries {
            return Err(Error::start(
                "the arguments of `init` hold descriptors, which cannot travel over the stdin and stdout of a command, nor in the plain form",
            ));
        }
        if self.settings.stdin.is_some() && !is_ours {
            return Err(Error::start(
                "the worker's stdin is the link here, and no other can be passed over it",
            ));
        }
        // Stdin may go along, with the page or, to a fork, with the other streams and the directory.
        let others = match self.launch {
            Launch::Template(_) => 4,
            _ => 2,
        };
        let most = MOST - others;
        if count > most {
            return Err(Error::start(format!(
                "the arguments of `init` hold {count} descriptors, the most is {most}: send the others with calls"
            )));
        }
        Ok(())
    }

    fn hello(&self, init: &[u8], descriptors: &str) -> Hello {
        let mut hello = Hello::new(Role::Parent)
            .with("worker", self.name)
            .with("serialiser", self.serialiser)
            .with("origin", self.origin.as_str())
            .with("max-message", self.settings.limits.frame.to_string())
            .with(
                "max-descriptors",
                self.settings.limits.descriptors.to_string(),
            )
            .with("descriptors", descriptors)
            .with("init", init);
        if !self.environment.is_empty() {
            hello = hello.with("environment", self.environment.as_slice());
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

impl Started {
    /// Writes what the link takes of the hello for a child that is not born yet: it need not wait for it then.
    fn greet(&self, caller: &mut Caller) {
        if self.unborn.is_none() {
            return;
        }
        let mut outbox = caller.take_outbox();
        let mut slices = [IoSlice::new(&[])];
        let count = outbox.slices(&mut slices);
        let sent = self.link.try_send(&slices[..count], outbox.descriptors());
        // What is not written now is written like everything else, or fails so.
        let written = sent.ok().flatten().unwrap_or(0);
        outbox.consume(written);
        caller.wrote(written, outbox);
    }
}

/// The arguments of `init` fit into the hello, with all else that is there.
fn check_length(init: &Parcel) -> Result<(), Error> {
    let length = init.frame.len().saturating_sub(HEADER);
    let most = LONGEST_PARENT_HELLO as usize - OTHERS;
    if length <= most {
        return Ok(());
    }
    Err(Error::too_long(format!(
        "the arguments of `init` have {length} bytes, the limit is {most}: send the rest with calls"
    )))
}

fn connect(
    started: Started,
    carries: bool,
    core: Core,
    handlers: Handlers,
) -> io::Result<Arc<Driver<Connection>>> {
    let Started {
        link,
        process,
        starter,
        capture,
        ..
    } = started;
    let charge = Helper::attach(|helper, key| {
        let connection =
            Connection::new(helper, key, (link, carries), (process, starter), capture)?;
        let driver = Driver::new(core, connection, Courier::new(handlers));
        Ok(Arc::new(Charge(driver)))
    })?;
    Ok(Arc::clone(&charge.0))
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
