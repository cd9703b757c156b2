//! The conversation until the worker's own code runs.

use std::ffi::OsStr;
use std::io::{self, IsTerminal};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::process::exit;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use super::outgoing::{Abilities, Outgoing, Unsent};
use crate::base::spin::Spins;
use crate::parcel::Reader;
use crate::protocol::{
    DESCRIPTORS, Failure, Form, Hello, MOST, Replies, Request, Requests, Role, VERSION,
};
use crate::registry::Registered;
use crate::sys::{self, Alone, Birth, Page, Port};

/// The longest message unless the parent says otherwise.
const MAX_MESSAGE: u32 = 1 << 30;

/// How a child ends that could not do its work.
pub(super) const FAILED: i32 = 101;

/// A link on which a parent may have said hello.
#[derive(Debug)]
pub struct Session {
    port: Port,
    pub(super) reader: Reader,
    pub(super) requests: Requests,
    pub(super) hello: Option<Hello>,
    /// Those that came with hello, with what they are.
    descriptors: Vec<(String, OwnedFd)>,
    /// The one that a template has given.
    page: Option<Page>,
}

/// How calls run in a child.
#[derive(Debug)]
pub struct Backend {
    /// What the parent is told; without a name it was not built in.
    pub(super) name: Option<&'static str>,
    /// It goes on while the link is full: see [`Outgoing::new`].
    pub(super) holds: bool,
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
    /// The parent was told with hello that this child is ready.
    is_ready: bool,
    /// This process leads a group that goes with the parent.
    pub(super) takes_group: bool,
}

/// Whether there is something to be done between hello and the first call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Preparation {
    Some,
    None,
}

impl Conversation {
    /// Says that `init` is done, if that was not said with hello.
    pub(super) fn ready(&self) -> Result<(), Unsent> {
        if self.is_ready || self.outgoing.form() == Form::Plain {
            return Ok(());
        }
        self.outgoing.ready()
    }
}

/// The arguments of `init`, and the descriptors in them.
pub(super) type Init = (Vec<u8>, Vec<OwnedFd>);

impl Session {
    /// For a program that was started again: the link is a socket on stdin.
    pub(crate) fn of_init() -> io::Result<Self> {
        Self::begin(Port::from_socket(sys::take_stdin()?)?)
    }

    /// For a program of its own: stdin and stdout, or a socket on stdin.
    pub(crate) fn of_program() -> io::Result<Self> {
        if io::stdin().is_terminal() {
            let text = "this program is a worker: it is to be started by another program, which talks to it over stdin and stdout";
            return Err(io::Error::other(text));
        }
        let input = sys::take_stdin()?;
        let Ok(socket) = Port::from_socket(input.try_clone()?) else {
            return Self::begin(Port::from_pair(input, sys::take_stdout()?)?);
        };
        let mut session = Self::begin(socket)?;
        let both_ways = session
            .hello
            .as_ref()
            .is_some_and(|hello| hello.field("link") == Some(b"socket"));
        if !both_ways {
            session.port = Port::from_pair(input, sys::take_stdout()?)?;
        } else if sys::is_stdout(&input)? {
            // What is printed there would come into the conversation.
            drop(sys::take_stdout()?);
        }
        Ok(session)
    }

    /// For a child that a template has just forked: over this link.
    pub(super) fn of_fork(birth: Birth) -> io::Result<Self> {
        let mut session = Self::begin(Port::from_pair_end(birth.link))?;
        session.page = birth.page;
        if let Err(error) = session.settle(&birth.alone) {
            session.refuse(&format!("what was asked for cannot be set: {error}"));
        }
        Ok(session)
    }

    /// Does what `exec` would have done: environment, directory, streams.
    fn settle(&mut self, alone: &Alone) -> io::Result<()> {
        let changes = self
            .hello
            .as_ref()
            .and_then(|hello| hello.field("environment"));
        for change in changes
            .into_iter()
            .flat_map(|all| all.split(|octet| *octet == 0))
        {
            set_variable(alone, change);
        }
        for stream in self.take("stdout") {
            sys::put_stdout(stream)?;
        }
        for stream in self.take("stderr") {
            sys::put_stderr(stream)?;
        }
        for directory in self.take("directory") {
            sys::enter(directory)?;
        }
        Ok(())
    }

    /// The descriptors of this name, which are the caller's then.
    pub(super) fn take(&mut self, name: &str) -> Vec<OwnedFd> {
        let taken = self.descriptors.extract_if(.., |(own, _)| own == name);
        taken.map(|(_, descriptor)| descriptor).collect()
    }

    /// Reads until it is known which form is spoken.
    fn begin(port: Port) -> io::Result<Self> {
        let mut reader = Reader::new(Form::Plain, MAX_MESSAGE);
        reader.await_parent();
        let mut session = Self {
            port,
            reader,
            requests: Requests::default(),
            hello: None,
            descriptors: Vec::new(),
            page: None,
        };
        while !session.requests.has_begun(&mut session.reader) {
            if !session.read()? {
                session.end_before_the_start();
            }
        }
        if session.reader.form() == Form::Full {
            session.hello = Some(session.read_hello()?);
        }
        Ok(session)
    }

    /// A parent that asks for nothing is no error; half a header is.
    fn end_before_the_start(&self) -> ! {
        if self.reader.is_empty() {
            exit(0);
        }
        eprintln!("offspring: the input ended in the middle of a frame");
        exit(FAILED)
    }

    fn read(&mut self) -> io::Result<bool> {
        let room = self.reader.room();
        let mut arrival = None;
        let count = self.port.recv(self.reader.buffer(), room, &mut arrival)?;
        self.reader.arrived(arrival);
        Ok(count > 0)
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
        let descriptors = self.reader.take_ancillary().into_descriptors();
        let descriptors = descriptors.map_err(|loss| io::Error::other(format!("hello: {loss}")))?;
        let names = names.into_iter().map(str::to_owned);
        self.descriptors = names.zip(descriptors).collect();
        Ok(())
    }

    /// Finds the worker that the parent asks for, and serves.
    pub(crate) fn dispatch(self, workers: impl Iterator<Item = &'static dyn Registered>) -> ! {
        let Some(hello) = &self.hello else {
            self.refuse("the parent speaks the plain form, which cannot say which worker it wants");
        };
        let (name, origin) = (hello.text("worker"), hello.text("origin"));
        match crate::registry::find("worker", workers, &name, &origin) {
            Ok(worker) => worker.run(self),
            Err(text) => self.refuse(&text),
        }
    }

    /// Says why this cannot be, and ends.
    pub(super) fn refuse(&self, text: &str) -> ! {
        if self.hello.is_some() {
            let hello = Replies::hello(&Hello::refusal(text));
            // If the parent is gone there is nobody to tell.
            let _ = self.port.send_all(&hello);
        }
        eprintln!("offspring: {text}");
        exit(FAILED)
    }

    /// Checks the parent's hello against this worker, and answers it.
    /// Without a preparation it is ready at once, and says so in the same breath.
    pub(super) fn greet(
        mut self,
        worker: &str,
        serialiser: &str,
        backend: &Backend,
        preparation: Preparation,
    ) -> (Conversation, Init) {
        let Some(name) = backend.name else {
            self.refuse("this program was built without the backend for a function that is not async: it wants the feature `blocking`")
        };
        if let Err(text) = self.check(worker, serialiser) {
            self.refuse(&text);
        }
        let demand = |name| hello_text(self.hello.as_ref(), name);
        let (limits, group) = (demand("limits"), demand("group"));
        let at_once = demand("parent-death") == "exit";
        let takes_group = at_once && !group.is_empty();
        let watcher = obey(&limits, &group).and_then(|()| {
            let started = (backend.start)()
                .and_then(|()| at_once.then(|| go_with_parent(takes_group)).transpose());
            started.map_err(|text| too_little(&text, &limits))
        });
        let watcher = watcher.unwrap_or_else(|text| self.refuse(&text));
        // A name is for people; a thread that cannot have one works as well.
        let _ = sys::set_thread_name(worker.rsplit("::").next().unwrap_or(worker));
        let hello = self.hello.as_ref();
        let limit = hello
            .and_then(|hello| hello.number("max-message"))
            .unwrap_or(MAX_MESSAGE);
        let most = hello.and_then(|hello| hello.number("max-descriptors"));
        let most = most.map_or(DESCRIPTORS, |most| most as usize);
        self.reader.set_most_descriptors(most);
        // Whoever takes more may send more.
        self.reader.set_limit(limit.max(MAX_MESSAGE));
        let (page, descriptors) = put_in_place(self.descriptors);
        let page = page.or(self.page);
        let mut place = 0;
        if hello.is_some() {
            let mut own = Hello::new(Role::Child)
                .with("worker", worker)
                .with("serialiser", serialiser)
                .with("backend", name)
                .with("max-message", self.reader.limit().to_string())
                .with("pid", std::process::id().to_string());
            if page.is_some() {
                own = own.with("page", "used");
            }
            for (name, value) in [("limits", limits), ("group", group.clone())] {
                if !value.is_empty() {
                    own = own.with(name, value);
                }
            }
            let mut frame = Replies::hello(&own);
            if preparation == Preparation::None {
                frame.extend_from_slice(&Replies::ready());
            }
            if self.port.send_all(&frame).is_err() {
                exit(0);
            }
            place = frame.len() as u64;
        }
        let init = hello
            .and_then(|hello| hello.field("init"))
            .unwrap_or_default()
            .to_vec();
        let spins = hello.is_some_and(|hello| hello.field("spin") != Some(b"no"));
        let form = self.reader.form();
        let carries = hello.is_some_and(|hello| hello.field("carries") == Some(b"descriptors"));
        let abilities = Abilities {
            carries: if carries && self.port.carries_descriptors() {
                most
            } else {
                0
            },
            holds: backend.holds,
        };
        let outgoing = Outgoing::new(self.port, form, limit, (page, place), abilities);
        let outgoing = Arc::new(outgoing);
        super::retire::remember(&outgoing);
        if let Some(watcher) = watcher {
            // It waits for that.
            let _ = watcher.send(Arc::clone(&outgoing));
        }
        let conversation = Conversation {
            outgoing,
            reader: self.reader,
            requests: self.requests,
            spin: Spins::of_child(spins),
            is_ready: preparation == Preparation::None,
            takes_group,
        };
        (conversation, (init, descriptors))
    }

    fn check(&self, worker: &str, serialiser: &str) -> Result<(), String> {
        let Some(hello) = &self.hello else {
            return Ok(());
        };
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

/// Answers that a call failed. The plain form has no words for it: the message
/// goes to stderr, and the process ends with the code that this gives.
pub(super) fn fail(outgoing: &Arc<Outgoing>, id: u32, failure: &Failure) -> Result<(), i32> {
    if outgoing.form() == Form::Plain {
        eprintln!("offspring: a call failed: {}", failure.message);
        return Err(FAILED);
    }
    outgoing.failed(id, failure).map_err(|_| 0)
}

/// A field of the parent's hello, if there was one.
fn hello_text(hello: Option<&Hello>, name: &str) -> String {
    hello.map(|hello| hello.text(name)).unwrap_or_default()
}

/// Does what the parent demands of this process.
fn obey(limits: &str, group: &str) -> Result<(), String> {
    let done = match group {
        "own" => sys::lead_group(),
        "session" => sys::lead_session(),
        _ => Ok(()),
    };
    done.map_err(|error| format!("a {group} group cannot be had: {error}"))?;
    crate::limits::obey(limits)
}

/// Puts the descriptors that came with hello where they belong; those in the
/// arguments of `init` are left.
fn put_in_place(descriptors: Vec<(String, OwnedFd)>) -> (Option<Page>, Vec<OwnedFd>) {
    let mut page = None;
    let mut init = Vec::new();
    for (name, descriptor) in descriptors {
        match name.as_str() {
            "page" => page = Page::open(descriptor).ok(),
            "stdin" => drop(sys::put_stdin(descriptor)),
            "init" => init.push(descriptor),
            _ => {}
        }
    }
    (page, init)
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
    let of_limits = if limits.is_empty() {
        String::new()
    } else {
        format!(" under the limits `{limits}`")
    };
    format!(
        "the worker cannot start{of_limits}: {text} (raise `Limits::open_files` or `Limits::memory`, or what the system allows, see `ulimit -a`)"
    )
}

/// Ends this process, or its whole group, as soon as the parent is gone from the
/// link that is sent, whatever it is doing.
fn go_with_parent(group: bool) -> Result<Sender<Arc<Outgoing>>, String> {
    let (sender, link) = channel();
    let watch = move || {
        let link = link.recv();
        let gone = link.is_ok_and(|link: Arc<Outgoing>| link.wait_hang_up().is_ok());
        if gone && group {
            sys::exit_group_now(FAILED);
        }
        if gone {
            sys::exit_now(FAILED);
        }
    };
    match sys::spawn_small_thread("offspring-parent", watch) {
        Ok(_) => Ok(sender),
        Err(error) => Err(format!("no thread to watch the parent: {error}")),
    }
}
