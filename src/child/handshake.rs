//! The handshake: all that a child does before the worker's code runs.

use std::ffi::OsStr;
use std::io::{self, IsTerminal};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use super::exit_code::{EarlyExit, FAILED, exit_code_at_end, exit_code_of};
use super::reply_writer::{ReplyWriter, SendError};
use crate::base::registry::WorkerEntry;
use crate::base::spin::Spins;
use crate::message::{FrameReader, Message};
use crate::protocol::{
    DESCRIPTORS, Failure, Form, Hello, MAX_PARENT_HELLO, MOST, ReplyFrames, Request, RequestReader,
    Role, VERSION,
};
use crate::startup;
use crate::sys::{self, ChildLink, ForkedChild, LinkMemory, ReadMode, Rings, SingleThreaded};

/// The longest message in bytes. Default, if the parent's hello has none.
const MAX_MESSAGE: u32 = 1 << 30;

/// A link, with the parent's hello if there was one.
#[derive(Debug)]
pub(crate) struct Handshake {
    link: Arc<ChildLink>,
    /// A thread of the parent's process serves it.
    in_thread: bool,
    pub(super) reader: FrameReader,
    pub(super) requests: RequestReader,
    /// The parent's hello. Empty in the plain form.
    pub(super) hello: Hello,
    /// The file descriptors of hello, with their names.
    descriptors: Vec<(String, OwnedFd)>,
}

/// The kind of a child's server.
#[derive(Debug)]
pub struct Backend {
    /// The name in the child's hello. `None` if the backend was not built in.
    pub(super) name: Option<&'static str>,
    /// Starts the threads and descriptors of the backend, before hello is answered. An error names the resource that the
    /// process lacks.
    pub(super) start: fn() -> io::Result<()>,
}

/// A link after the handshake.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) link: Arc<ChildLink>,
    pub(super) reply_writer: Arc<ReplyWriter>,
    pub(super) reader: FrameReader,
    pub(super) requests: RequestReader,
    spin: Spins,
    /// The error of the link that ended the input.
    link_error: Option<io::Error>,
    /// The child's hello said `ready`, or the form has no such message.
    is_ready: bool,
    /// This process leads a process group that it kills when the parent exits.
    pub(super) kills_group: bool,
    /// It is served by a thread of the parent's process.
    pub(super) in_thread: bool,
}

/// How many bytes of requests are read before their calls can run.
const AHEAD: usize = 64 << 10;
/// The same for file descriptors.
const DESCRIPTORS_AHEAD: usize = 64;

impl Conn {
    /// Returns whether enough requests wait in the buffer; more stay in the link.
    pub(super) fn has_read_ahead(&self) -> bool {
        self.reader.rest().len() >= AHEAD || self.reader.unclaimed() >= DESCRIPTORS_AHEAD
    }

    /// Reads what the buffer has room for: `None` if there is nothing and `mode` does not block. An error counts as the
    /// end of input.
    pub(super) fn recv(&mut self, mode: ReadMode) -> Option<usize> {
        let room = self.reader.room();
        recv(
            &self.link,
            mode,
            &mut self.reader,
            room,
            &mut self.link_error,
        )
    }

    /// Returns the exit code at the end of input.
    pub(super) fn exit_code(&self) -> i32 {
        let of_link = self.link_error.as_ref().map_or(0, exit_code_of);
        match of_link {
            0 => exit_code_at_end(&self.reader),
            code => code,
        }
    }

    /// Spins for as long as the measured waits suggest, and returns what [`recv`](Self::recv) finds meanwhile.
    pub(super) fn spin(&mut self) -> Option<usize> {
        let spin = self.spin.at(self.reader.is_empty());
        let room = self.reader.room();
        let (reader, error) = (&mut self.reader, &mut self.link_error);
        spin.wait_for(|| recv(&self.link, ReadMode::Look, reader, room, error))
    }

    /// Tells the parent that `init` is done, unless the hello did.
    pub(super) fn ready(&self) -> Result<(), SendError> {
        match self.is_ready {
            true => Ok(()),
            false => self.reply_writer.ready(),
        }
    }
}

fn recv(
    link: &ChildLink,
    mode: ReadMode,
    reader: &mut FrameReader,
    room: usize,
    link_error: &mut Option<io::Error>,
) -> Option<usize> {
    let mut batches = Vec::new();
    let count = link.recv(mode, reader.buffer(), room, &mut batches);
    reader.arrived(batches);
    count.unwrap_or_else(|error| {
        *link_error = Some(error);
        Some(0)
    })
}

/// The encoded arguments of `init`, and their file descriptors.
pub(super) type InitArgs = (Vec<u8>, Vec<OwnedFd>);

impl Handshake {
    /// Begins in this program, started again by exec: the link is a socket on stdin, or behind a prefix an inherited one.
    pub(crate) fn from_exec() -> Result<Self, EarlyExit> {
        let stdin = sys::take_stdin()?;
        let link = match startup::link() {
            Some(told) => sys::take_inherited_socket(&told)?,
            None => stdin,
        };
        Self::accept(ChildLink::from_socket(link)?, None)
    }

    /// Begins in a worker's program: the link is stdin and stdout, or a socket on stdin.
    pub(crate) fn from_program() -> Result<Self, EarlyExit> {
        if io::stdin().is_terminal() {
            let text = "this program is a worker: it is to be started by another program, which talks to it over stdin and stdout";
            return Err(io::Error::other(text).into());
        }
        let input = sys::take_stdin()?;
        let Ok(socket) = ChildLink::from_socket(input.try_clone()?) else {
            return Self::accept(ChildLink::from_pair(input, sys::take_stdout()?)?, None);
        };
        let mut handshake = Self::accept(socket, None)?;
        if handshake.hello.field("link") != Some(b"socket") {
            handshake.link = ChildLink::from_pair(input, sys::take_stdout()?)?.into();
        } else if sys::is_stdout(&input)? {
            // Printed text would be written into the link.
            drop(sys::take_stdout()?);
        }
        Ok(handshake)
    }

    /// Begins in a child that a template has just forked.
    pub(super) fn from_fork((link, alone): ForkedChild) -> Result<Self, EarlyExit> {
        Self::accept(ChildLink::from_pair_end(link), Some(&alone))
    }

    /// Begins in a thread of the parent's process.
    pub(crate) fn from_thread(link: OwnedFd) -> Result<Self, EarlyExit> {
        let mut handshake = Self::accept(ChildLink::from_pair_end(link), None)?;
        handshake.in_thread = true;
        Ok(handshake)
    }

    /// Sets the standard streams and the directory, and in a single-threaded process the environment, as hello says.
    fn set_up_process(&mut self, alone: Option<&SingleThreaded>) -> io::Result<()> {
        let changes = self.hello.field("environment").unwrap_or_default();
        for change in changes.split(|byte| *byte == 0) {
            if let Some(alone) = alone {
                set_variable(alone, change);
            }
        }
        for (number, name) in ["stdin", "stdout", "stderr"].iter().enumerate() {
            for stream in self.take(name) {
                sys::set_stdio(number, &stream)?;
            }
        }
        self.take("directory")
            .into_iter()
            .try_for_each(sys::enter)?;
        Ok(())
    }

    /// Takes the file descriptors of hello with this name.
    pub(super) fn take(&mut self, name: &str) -> Vec<OwnedFd> {
        let taken = self.descriptors.extract_if(.., |(own, _)| own == name);
        taken.map(|(_, descriptor)| descriptor).collect()
    }

    /// Reads until the form is known, and all of hello.
    fn accept(link: ChildLink, alone: Option<&SingleThreaded>) -> Result<Self, EarlyExit> {
        let mut reader = FrameReader::new(Form::Plain, MAX_MESSAGE);
        reader.hello_limit = MAX_PARENT_HELLO;
        let mut handshake = Self {
            link: Arc::new(link),
            in_thread: false,
            reader,
            requests: RequestReader::default(),
            hello: Hello::new(Role::Parent),
            descriptors: Vec::new(),
        };
        while !handshake.requests.has_begun(&mut handshake.reader) {
            if !handshake.read()? {
                return Err(EarlyExit::Reported(exit_code_at_end(&handshake.reader)));
            }
        }
        if handshake.reader.form == Form::Full {
            handshake.hello = handshake.read_hello()?;
        }
        if let Err(error) = handshake.set_up_process(alone) {
            let text = format!("what was asked for cannot be set: {error}");
            return Err(EarlyExit::Reported(handshake.refuse(&text)));
        }
        Ok(handshake)
    }

    fn read(&mut self) -> io::Result<bool> {
        let room = self.reader.room();
        let mut arrivals = Vec::new();
        let buffer = self.reader.buffer();
        let count = self
            .link
            .recv(ReadMode::Block, buffer, room, &mut arrivals)?;
        self.reader.arrived(arrivals);
        Ok(count != Some(0))
    }

    fn read_hello(&mut self) -> io::Result<Hello> {
        loop {
            match self.requests.next(&mut self.reader) {
                Ok(Some(Request::Hello(hello))) => {
                    self.take_hello_fds(&hello)?;
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

    /// Takes the file descriptors that came with hello.
    fn take_hello_fds(&mut self, hello: &Hello) -> io::Result<()> {
        let names = hello.text("descriptors");
        let names = names.split(',').filter(|name| !name.is_empty());
        // More names than one message carries are an error of the next step.
        let names: Vec<_> = names.take(MOST + 1).collect();
        if names.is_empty() {
            return Ok(());
        }
        self.reader.claim(names.len());
        let descriptors = match self.reader.take_ancillary().into_descriptors() {
            // A relay between has lost the memory file: without rings the socket carries everything.
            Err(_) if names == ["memory"] => return Ok(()),
            descriptors => descriptors,
        };
        let descriptors = descriptors.map_err(|loss| io::Error::other(format!("hello: {loss}")))?;
        let names = names.into_iter().map(str::to_owned);
        self.descriptors = names.zip(descriptors).collect();
        Ok(())
    }

    /// Finds the worker that the parent asks for, and serves. Returns the exit code.
    pub(crate) fn dispatch(self, workers: impl Iterator<Item = &'static dyn WorkerEntry>) -> i32 {
        if self.reader.form == Form::Plain {
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

    /// Refuses the parent's hello for this reason, which the plain form cannot carry. Returns the exit code.
    #[must_use]
    pub(crate) fn refuse(&self, text: &str) -> i32 {
        match self.reader.form {
            // It fails if the parent has exited.
            Form::Full => drop(
                self.link
                    .send_all(&ReplyFrames::hello(&Hello::refusal(text)), &[]),
            ),
            Form::Plain => eprintln!("offspring: {text}"),
        }
        FAILED
    }

    /// Checks the parent's hello, and answers it. A worker that does not `prepare` anything before the first call sends
    /// `ready` in the same write.
    pub(super) fn answer_hello(
        mut self,
        worker: &str,
        serialiser: &str,
        backend: &Backend,
        prepares: bool,
    ) -> Result<(Conn, InitArgs), i32> {
        let checked = self.check(worker, serialiser, backend);
        let confined = checked.and_then(|()| match self.in_thread {
            true => Ok(()),
            false => self.confine(backend),
        });
        if let Err(text) = confined {
            return Err(self.refuse(&text));
        }
        // The name is for `ps` only, so an error does not matter.
        let _ = sys::set_thread_name(startup::thread_name(worker));
        // A parent that accepts longer messages may send longer ones.
        self.reader.limit = self.longest().max(MAX_MESSAGE);
        let memory = self.take("memory").pop();
        let memory = memory.and_then(|fd| LinkMemory::open(fd).ok().map(Arc::new));
        // A parent that does not offer rings sends the memory for the count of started calls.
        let offered = memory.clone().filter(|_| self.has("rings", "offered"));
        let rings = offered.map(Rings::of_child);
        if self.reader.form == Form::Full {
            let uses = (memory.is_some(), rings.as_ref());
            self.write_hello(worker, serialiser, backend, prepares, uses)?;
        }
        if let Some(rings) = rings {
            self.reader.leave_socket();
            self.link.use_rings(rings);
        }
        Ok(self.into_conn(memory, prepares))
    }

    /// Returns the longest message that the parent accepts, in bytes.
    fn longest(&self) -> u32 {
        self.hello.number("max-message").unwrap_or(MAX_MESSAGE)
    }

    /// Ends the handshake, with the limits of the parent's hello.
    fn into_conn(mut self, memory: Option<Arc<LinkMemory>>, prepares: bool) -> (Conn, InitArgs) {
        let most = self.hello.number("max-descriptors");
        let most = most.map_or(DESCRIPTORS, |most| most as usize);
        self.reader.set_most_descriptors(most);
        let carries = self.has("carries", "descriptors") && self.link.carries_descriptors();
        let init = self.hello.field("init").unwrap_or_default().to_vec();
        let init = (init, self.take("init"));
        let form = self.reader.form;
        let spins = form == Form::Full && !self.has("spin", "no");
        let (kills_group, limit) = (self.kills_group(), self.longest());
        let carries = if carries { most } else { 0 };
        let reply_writer = ReplyWriter::new(Arc::clone(&self.link), form, limit, memory, carries);
        let conn = Conn {
            link: self.link,
            reply_writer: Arc::new(reply_writer),
            reader: self.reader,
            requests: self.requests,
            spin: Spins::of_child(spins),
            link_error: None,
            is_ready: !prepares || form == Form::Plain,
            kills_group,
            in_thread: self.in_thread,
        };
        (conn, init)
    }

    /// Writes the child's hello, which names the offers of the parent that it uses.
    fn write_hello(
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
            .with("max-message", self.reader.limit.to_string())
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
        let mut frame = ReplyFrames::hello(&own);
        match rings {
            _ if prepares => {}
            // The parent reads the ring after the hello.
            Some(rings) => rings.write_first(&ReplyFrames::ready()),
            None => frame.extend_from_slice(&ReplyFrames::ready()),
        }
        let sent = self.link.send_all(&frame, &[]);
        sent.map_err(|error| exit_code_of(&error))
    }

    /// Returns whether the parent's hello has this field with this value.
    fn has(&self, name: &str, value: &str) -> bool {
        self.hello.field(name) == Some(value.as_bytes())
    }

    /// Returns whether this process leads a process group that it kills when the parent exits.
    fn kills_group(&self) -> bool {
        self.has("parent-death", "exit") && self.hello.field("group").is_some()
    }

    /// Applies the limits and rights of the parent's hello, and starts the backend.
    fn confine(&self, backend: &Backend) -> Result<(), String> {
        let (limits, group) = (self.hello.text("limits"), self.hello.text("group"));
        let done = match group.as_str() {
            "own" => sys::become_group_leader(),
            "session" => sys::become_session_leader(),
            _ => Ok(()),
        };
        done.map_err(|error| format!("cannot make a {group} group: {error}"))?;
        // A higher priority needs rights that are dropped afterwards.
        crate::limits::apply(&limits)?;
        crate::rights::apply(&self.hello.text("rights"))?;
        let started = (backend.start)().and_then(|()| match self.has("parent-death", "exit") {
            true => self.exit_with_parent(),
            false => Ok(()),
        });
        started.map_err(|error| explain_shortage(&error, &limits))
    }

    /// Starts a thread that kills this process, or its process group, as soon as the parent has exited.
    fn exit_with_parent(&self) -> io::Result<()> {
        let group = self.kills_group();
        let link = Arc::clone(&self.link);
        let watch = move || match (link.wait_hang_up(), group) {
            (Ok(()), true) => sys::exit_with_group(FAILED),
            (Ok(()), false) => sys::exit_now(FAILED),
            (Err(_), _) => {}
        };
        match sys::spawn_small_thread("offspring-parent", watch) {
            Ok(_) => Ok(()),
            Err(error) => {
                let text = format!("no thread to watch the parent: {error}");
                Err(io::Error::new(error.kind(), text))
            }
        }
    }

    fn check(&self, worker: &str, serialiser: &str, backend: &Backend) -> Result<(), String> {
        if backend.name.is_none() {
            return Err("this program was built without the backend for a function that is not async: it wants the feature `blocking`".into());
        }
        let hello = &self.hello;
        if self.reader.form == Form::Plain {
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
        let want = |name, have: &str, remedy| {
            let want = hello.text(name);
            let text = format!("this program serves the {name} `{have}`, not `{want}`{remedy}");
            (want == have).then_some(()).ok_or(text)
        };
        let remedy = ": give both declarations the same `name = …`";
        want("worker", worker, remedy)?;
        want("serialiser", serialiser, "")
    }
}

/// Answers a call with its result or failure. An error is the exit code.
pub(super) fn answer(
    reply_writer: &Arc<ReplyWriter>,
    id: u32,
    made: Result<&mut Message, Failure>,
) -> Result<(), i32> {
    let sent = made.and_then(|message| match reply_writer.message(id, message) {
        Ok(()) => Ok(Ok(())),
        Err(unsent) => unsent
            .failure()
            .map_or_else(|| Ok(Err(unsent.exit_code())), Err),
    });
    sent.unwrap_or_else(|failure| fail(reply_writer, id, &failure))
}

/// Answers a call with its failure. The plain form has no failures: there the message is printed to stderr, and the error
/// is the exit code.
pub(super) fn fail(reply_writer: &Arc<ReplyWriter>, id: u32, failure: &Failure) -> Result<(), i32> {
    if reply_writer.form == Form::Plain {
        eprintln!("offspring: a call failed: {}", failure.message);
        return Err(FAILED);
    }
    let sent = reply_writer.failed(id, failure);
    sent.map_err(|unsent| unsent.exit_code())
}

/// Applies one change of the environment: `+NAME=VALUE`, `-NAME`, or `*` to clear it.
fn set_variable(alone: &SingleThreaded, change: &[u8]) {
    let (name, value) = match change {
        [b'+', rest @ ..] => {
            let at = rest.iter().position(|byte| *byte == b'=');
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

/// Returns the text for what this process lacks, with a remedy if it is a resource.
fn explain_shortage(error: &io::Error, limits: &str) -> String {
    let under = match limits {
        "" => "",
        _ => " under the limits ",
    };
    let advice = match error.kind() {
        // A system call that a sandbox refuses.
        io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported => "",
        _ => {
            " (raise `Limits::open_files` or `Limits::memory`, or what the system allows, see `ulimit -a`)"
        }
    };
    format!("the worker cannot start{under}{limits}: {error}{advice}")
}
