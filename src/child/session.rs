//! The conversation until the worker's own code runs.

use std::ffi::OsStr;
use std::io::{self, IsTerminal};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use super::outgoing::{Outgoing, Unsent};
use crate::base::registry::Registered;
use crate::base::spin::Spins;
use crate::parcel::{Parcel, Reader};
use crate::protocol::{
    DESCRIPTORS, Failure, Form, Hello, MOST, Replies, Request, Requests, Role, VERSION,
};
use crate::startup;
use crate::sys::{self, Alone, Birth, LinkMemory, Port, ReadMode, Rings};

/// The longest message unless the parent says otherwise.
const MAX_MESSAGE: u32 = 1 << 30;

/// How a child ends that could not do its work.
pub(super) const FAILED: i32 = 101;

/// Why a child ends before it serves.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The link does not work.
    Link(io::Error),
    /// All has been said; the code to exit with.
    Said(i32),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Link(error)
    }
}

impl Stop {
    /// Says why, in front of which stands `text`. Gives the code to exit with.
    pub(crate) fn code(self, text: &str, code: i32) -> i32 {
        match self {
            Self::Said(code) => code,
            Self::Link(error) => {
                eprintln!("offspring: {text}{error}");
                code
            }
        }
    }
}

/// A link on which a parent may have said hello.
#[derive(Debug)]
pub(crate) struct Session {
    port: Arc<Port>,
    /// It is served by a thread of the parent's own process.
    in_thread: bool,
    pub(super) reader: Reader,
    pub(super) requests: Requests,
    /// What the parent has said: nothing, in the plain form.
    pub(super) hello: Hello,
    /// Those that came with hello, with what they are.
    descriptors: Vec<(String, OwnedFd)>,
}

/// How calls run in a child.
#[derive(Debug)]
pub struct Backend {
    /// What the parent is told; without a name it was not built in.
    pub(super) name: Option<&'static str>,
    /// Starts what it needs besides the link, before hello is answered; or says
    /// what the process has too little of.
    pub(super) start: fn() -> Result<(), String>,
}

/// A session that is under way.
pub(super) struct Conversation {
    pub(super) outgoing: Arc<Outgoing>,
    pub(super) reader: Reader,
    pub(super) requests: Requests,
    pub(super) spin: Spins,
    /// The parent was told with hello that this child is ready, or cannot be told.
    is_ready: bool,
    /// This process leads a group that goes with the parent.
    pub(super) takes_group: bool,
    /// It is a thread of the parent's own process.
    pub(super) in_thread: bool,
}

impl Conversation {
    /// Says that `init` is done, if that was not said with hello.
    pub(super) fn ready(&self) -> Result<(), Unsent> {
        match self.is_ready {
            true => Ok(()),
            false => self.outgoing.ready(),
        }
    }
}

/// The arguments of `init`, and the descriptors in them.
pub(super) type Init = (Vec<u8>, Vec<OwnedFd>);

impl Session {
    /// For a program that was started again: the link is a socket on stdin, unless
    /// something stands between that has a stdin itself.
    pub(crate) fn of_init() -> Result<Self, Stop> {
        let stdin = sys::take_stdin()?;
        let link = match startup::link() {
            Some(told) => sys::take_inherited_socket(&told)?,
            None => stdin,
        };
        Self::begin(Port::from_socket(link)?, None)
    }

    /// For a program of its own: stdin and stdout, or a socket on stdin.
    pub(crate) fn of_program() -> Result<Self, Stop> {
        if io::stdin().is_terminal() {
            let text = "this program is a worker: it is to be started by another program, which talks to it over stdin and stdout";
            return Err(io::Error::other(text).into());
        }
        let input = sys::take_stdin()?;
        let Ok(socket) = Port::from_socket(input.try_clone()?) else {
            return Self::begin(Port::from_pair(input, sys::take_stdout()?)?, None);
        };
        let mut session = Self::begin(socket, None)?;
        if session.hello.field("link") != Some(b"socket") {
            session.port = Port::from_pair(input, sys::take_stdout()?)?.into();
        } else if sys::is_stdout(&input)? {
            // What is printed there would come into the conversation.
            drop(sys::take_stdout()?);
        }
        Ok(session)
    }

    /// For a child that a template has just forked: over this link.
    pub(super) fn of_fork((link, alone): Birth) -> Result<Self, Stop> {
        Self::begin(Port::from_pair_end(link), Some(&alone))
    }

    /// For a thread of the parent's own process: over this link.
    pub(crate) fn of_thread(link: OwnedFd) -> Result<Self, Stop> {
        let mut session = Self::begin(Port::from_pair_end(link), None)?;
        session.in_thread = true;
        Ok(session)
    }

    /// Does what `exec` would have done, as far as hello says something of it:
    /// streams, directory, and in a process that is `alone` the environment.
    fn settle(&mut self, alone: Option<&Alone>) -> io::Result<()> {
        let changes = self.hello.field("environment").unwrap_or_default();
        for change in changes.split(|byte| *byte == 0) {
            if let Some(alone) = alone {
                set_variable(alone, change);
            }
        }
        for (number, name) in ["stdin", "stdout", "stderr"].iter().enumerate() {
            for stream in self.take(name) {
                sys::put_stream(number, &stream)?;
            }
        }
        self.take("directory")
            .into_iter()
            .try_for_each(sys::enter)?;
        Ok(())
    }

    /// The descriptors of this name, which are the caller's then.
    pub(super) fn take(&mut self, name: &str) -> Vec<OwnedFd> {
        let taken = self.descriptors.extract_if(.., |(own, _)| own == name);
        taken.map(|(_, descriptor)| descriptor).collect()
    }

    /// Reads until it is known which form is spoken, and all of hello.
    fn begin(port: Port, alone: Option<&Alone>) -> Result<Self, Stop> {
        let mut reader = Reader::new(Form::Plain, MAX_MESSAGE);
        reader.await_parent();
        let mut session = Self {
            port: Arc::new(port),
            in_thread: false,
            reader,
            requests: Requests::default(),
            hello: Hello::new(Role::Parent),
            descriptors: Vec::new(),
        };
        while !session.requests.has_begun(&mut session.reader) {
            if !session.read()? {
                return Err(Stop::Said(end(&session.reader)));
            }
        }
        if session.reader.form() == Form::Full {
            session.hello = session.read_hello()?;
        }
        if let Err(error) = session.settle(alone) {
            let text = format!("what was asked for cannot be set: {error}");
            return Err(Stop::Said(session.refuse(&text)));
        }
        Ok(session)
    }

    fn read(&mut self) -> io::Result<bool> {
        let room = self.reader.room();
        let mut arrivals = Vec::new();
        let buffer = self.reader.buffer();
        let count = self
            .port
            .recv(ReadMode::Block, buffer, room, &mut arrivals)?;
        self.reader.arrived(arrivals);
        Ok(count != Some(0))
    }

    fn read_hello(&mut self) -> io::Result<Hello> {
        loop {
            match self.requests.next(&mut self.reader) {
                Ok(Some(Request::Hello(hello))) => {
                    self.claim(&hello)?;
                    return Ok(hello);
                }
                Ok(Some(other)) => {
                    return Err(io::Error::other(format!("{other:?} came before hello")));
                }
                Err(violation) => return Err(io::Error::other(violation.0)),
                Ok(None) => {}
            }
            if !self.read()? {
                return Err(io::Error::other("the input ended in the middle of hello"));
            }
        }
    }

    /// Takes the descriptors that came with hello.
    fn claim(&mut self, hello: &Hello) -> io::Result<()> {
        let names = hello.text("descriptors");
        let names = names.split(',').filter(|name| !name.is_empty());
        // Of more than can come, none is kept.
        let names: Vec<_> = names.take(MOST + 1).collect();
        if names.is_empty() {
            return Ok(());
        }
        self.reader.claim(names.len());
        let descriptors = match self.reader.take_ancillary().into_descriptors() {
            // It is a socket of which a part is none: all that was to come over rings comes over it.
            Err(_) if names == ["memory"] => return Ok(()),
            descriptors => descriptors,
        };
        let descriptors = descriptors.map_err(|loss| io::Error::other(format!("hello: {loss}")))?;
        let names = names.into_iter().map(str::to_owned);
        self.descriptors = names.zip(descriptors).collect();
        Ok(())
    }

    /// Finds the worker that the parent asks for, and serves. Gives the code to exit with.
    pub(crate) fn dispatch(self, workers: impl Iterator<Item = &'static dyn Registered>) -> i32 {
        if self.reader.form() == Form::Plain {
            return self.refuse(
                "the parent speaks the plain form, which cannot say which worker it wants",
            );
        }
        let (name, origin) = (self.hello.text("worker"), self.hello.text("origin"));
        match crate::base::registry::find("worker", workers, &name, &origin) {
            Ok(worker) => worker.run(Box::new(self)),
            Err(text) => self.refuse(&text),
        }
    }

    /// Says why this cannot be. Gives the code to exit with.
    #[must_use]
    pub(crate) fn refuse(&self, text: &str) -> i32 {
        if self.reader.form() == Form::Full {
            let hello = Replies::hello(&Hello::refusal(text));
            // It fails if the parent is gone.
            let _ = self.port.send_all(&hello);
        }
        if !self.in_thread {
            eprintln!("offspring: {text}");
        }
        FAILED
    }

    /// Checks the parent's hello against this worker, and answers it. A worker that
    /// `prepares` nothing before the first call is ready at once, and says so with it.
    pub(super) fn greet(
        mut self,
        worker: &str,
        serialiser: &str,
        backend: &Backend,
        prepares: bool,
    ) -> Result<(Conversation, Init), i32> {
        let checked = self.check(worker, serialiser, backend);
        let confined = checked.and_then(|()| match self.in_thread {
            true => Ok(()),
            false => self.confine(backend),
        });
        if let Err(text) = confined {
            return Err(self.refuse(&text));
        }
        // A name is for people; a thread that cannot have one works as well.
        let _ = sys::set_thread_name(worker.rsplit("::").next().unwrap_or(worker));
        // A parent that takes more may send more.
        self.reader.set_limit(self.longest().max(MAX_MESSAGE));
        let memory = self.take("memory").pop();
        let memory = memory
            .and_then(|fd| LinkMemory::open(fd).ok())
            .map(Arc::new);
        // A parent that wants the stream sends memory for what has started, and no more.
        let offered = memory.clone().filter(|_| self.has("rings", "offered"));
        let rings = offered.map(Rings::of_child);
        if self.reader.form() == Form::Full {
            let uses = (memory.is_some(), rings.as_ref());
            self.answer(worker, serialiser, backend, prepares, uses)?;
        }
        if let Some(rings) = rings {
            self.reader.leave_socket();
            self.port.use_rings(rings);
        }
        Ok(self.converse(memory, prepares))
    }

    /// Returns how long a message the parent takes, in bytes.
    fn longest(&self) -> u32 {
        self.hello.number("max-message").unwrap_or(MAX_MESSAGE)
    }

    /// Goes over to calls, within the limits that the parent has told.
    fn converse(mut self, memory: Option<Arc<LinkMemory>>, prepares: bool) -> (Conversation, Init) {
        let most = self.hello.number("max-descriptors");
        let most = most.map_or(DESCRIPTORS, |most| most as usize);
        self.reader.set_most_descriptors(most);
        let carries = self.has("carries", "descriptors") && self.port.carries_descriptors();
        let init = self.hello.field("init").unwrap_or_default().to_vec();
        let init = (init, self.take("init"));
        let form = self.reader.form();
        let spins = form == Form::Full && !self.has("spin", "no");
        let (takes_group, limit) = (self.takes_group(), self.longest());
        let carries = if carries { most } else { 0 };
        let outgoing = Outgoing::new(self.port, form, limit, memory, carries);
        let outgoing = Arc::new(outgoing);
        if !self.in_thread {
            super::retire::remember(&outgoing);
        }
        let conversation = Conversation {
            outgoing,
            reader: self.reader,
            requests: self.requests,
            spin: Spins::of_child(spins),
            is_ready: !prepares || form == Form::Plain,
            takes_group,
            in_thread: self.in_thread,
        };
        (conversation, init)
    }

    /// Says hello, with what is used of what the parent has offered.
    fn answer(
        &self,
        worker: &str,
        serialiser: &str,
        backend: &Backend,
        prepares: bool,
        (memory, rings): (bool, Option<&Rings>),
    ) -> Result<(), i32> {
        let mut own = Hello::new(Role::Child)
            .with("worker", worker)
            .with("serialiser", serialiser)
            .with("backend", backend.name.unwrap_or_default())
            .with("max-message", self.reader.limit().to_string())
            .with("pid", std::process::id().to_string());
        for (name, used) in [("memory", memory), ("rings", rings.is_some())] {
            if used {
                own = own.with(name, "used");
            }
        }
        for name in ["limits", "rights", "group"] {
            if let Some(done) = self.hello.field(name) {
                own = own.with(name, done);
            }
        }
        let mut frame = Replies::hello(&own);
        match rings {
            _ if prepares => {}
            // It is there when the parent comes to look.
            Some(rings) => rings.begin_with(&Replies::ready()),
            None => frame.extend_from_slice(&Replies::ready()),
        }
        self.port.send_all(&frame).map_err(|_| 0)
    }

    /// Returns whether the parent has said this.
    fn has(&self, name: &str, value: &str) -> bool {
        self.hello.field(name) == Some(value.as_bytes())
    }

    /// Returns whether this process leads a group that goes with the parent.
    fn takes_group(&self) -> bool {
        self.has("parent-death", "exit") && self.hello.field("group").is_some()
    }

    /// Does what the parent demands of this process, and starts what it needs besides the link.
    fn confine(&self, backend: &Backend) -> Result<(), String> {
        let (limits, group) = (self.hello.text("limits"), self.hello.text("group"));
        let done = match group.as_str() {
            "own" => sys::lead_group(),
            "session" => sys::lead_session(),
            _ => Ok(()),
        };
        done.map_err(|error| format!("a {group} group cannot be had: {error}"))?;
        // A priority may be raised only with rights that are given up then.
        crate::limits::obey(&limits)?;
        crate::rights::obey(&self.hello.text("rights"))?;
        let started = (backend.start)().and_then(|()| match self.has("parent-death", "exit") {
            true => self.go_with_parent(),
            false => Ok(()),
        });
        started.map_err(|text| too_little(&text, &limits))
    }

    /// Ends this process, or its whole group, as soon as the parent is gone,
    /// whatever it is doing.
    fn go_with_parent(&self) -> Result<(), String> {
        let group = self.takes_group();
        let link = Arc::clone(&self.port);
        let watch = move || match (link.wait_hang_up(), group) {
            (Ok(()), true) => sys::exit_group_now(FAILED),
            (Ok(()), false) => sys::exit_now(FAILED),
            (Err(_), _) => {}
        };
        match sys::spawn_small_thread("offspring-parent", watch) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("no thread to watch the parent: {error}")),
        }
    }

    fn check(&self, worker: &str, serialiser: &str, backend: &Backend) -> Result<(), String> {
        if backend.name.is_none() {
            return Err("this program was built without the backend for a function that is not async: it wants the feature `blocking`".into());
        }
        let hello = &self.hello;
        if self.reader.form() == Form::Plain {
            return Ok(());
        }
        if hello.role == Role::Child {
            return Err("the other side is a child, too".into());
        }
        if hello.version != VERSION {
            return Err(format!(
                "the parent speaks version {} of the protocol, this worker {VERSION}",
                hello.version
            ));
        }
        let want = |name, have: &str| {
            let want = hello.text(name);
            if want == have {
                Ok(())
            } else {
                Err(format!(
                    "this program serves the {name} `{have}`, not `{want}`"
                ))
            }
        };
        want("worker", worker)?;
        want("serialiser", serialiser)
    }
}

/// The parent is done. Gives the code to exit with.
pub(super) fn end(reader: &Reader) -> i32 {
    if reader.is_empty() {
        return 0;
    }
    broken("the input ended in the middle of a frame")
}

/// Says what the parent did that it may not. Gives the code to exit with.
pub(super) fn broken(text: &str) -> i32 {
    eprintln!("offspring: the parent broke the protocol: {text}");
    FAILED
}

/// Answers a call with its result, or that it failed. The result may be written with those that follow if `more` calls
/// are there to be run now.
pub(super) fn answer(
    outgoing: &Arc<Outgoing>,
    id: u32,
    made: Result<&mut Parcel, Failure>,
) -> Result<(), i32> {
    let sent = made.and_then(|parcel| match outgoing.result(id, parcel) {
        Ok(()) => Ok(Ok(())),
        Err(unsent) => unsent.failure().map_or(Ok(Err(0)), Err),
    });
    sent.unwrap_or_else(|failure| fail(outgoing, id, &failure))
}

/// Answers that a call failed. The plain form has no words for it: the message
/// goes to stderr, and the process ends with the code that this gives.
pub(super) fn fail(outgoing: &Arc<Outgoing>, id: u32, failure: &Failure) -> Result<(), i32> {
    if outgoing.form() == Form::Plain {
        eprintln!("offspring: a call failed: {}", failure.message);
        return Err(FAILED);
    }
    outgoing.failed(id, failure).map_err(|_| 0)
}

/// One change of the environment: `+NAME=VALUE`, `-NAME`, or `*` for none left.
fn set_variable(alone: &Alone, change: &[u8]) {
    let (name, value) = match change {
        [b'+', rest @ ..] => {
            let at = rest.iter().position(|octet| *octet == b'=');
            let (name, value) = rest.split_at(at.unwrap_or(rest.len()));
            (name, value.get(1..))
        }
        [b'-', name @ ..] => (name, None),
        [b'*'] => return alone.clear_variables(),
        _ => return,
    };
    if !name.is_empty() {
        alone.set_variable(OsStr::from_bytes(name), value.map(OsStr::from_bytes));
    }
}

/// What is lacking in this process, and what to do about it.
fn too_little(text: &str, limits: &str) -> String {
    let under = if limits.is_empty() {
        ""
    } else {
        " under the limits "
    };
    format!(
        "the worker cannot start{under}{limits}: {text} (raise `Limits::open_files` or `Limits::memory`, or what the system allows, see `ulimit -a`)"
    )
}
