//! The jobs of the children, and the workers that run them.

use std::fs::{self, File};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, raise};
use offspring::{
    Bytes, Call, Descriptor, Error, Events, Postcard, SharedBytes, SharedMemory, Stdio as Stream,
    service, worker,
};
use serde::{Deserialize, Serialize};

use crate::marks::{Mark, What, now};
use crate::seccomp::{self, Refused};

/// One thing that a job does between its two marks. Times are in microseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Step {
    Sleep(u64),
    Spin(u64),
    /// Sends this many events of the child.
    Events(u32),
    /// Sends the events of the call from this number on, up to that.
    Progress(u32, u32),
    Panic,
    Raise(i32),
    Exit(i32),
    /// Has a thread raise the signal after this time, whatever the child does then.
    Bomb(u64, i32),
    Retire,
    /// Starts a process that holds the link and outlives the child.
    Grandchild,
    /// Closes all descriptors, as daemons do.
    CloseAll,
    /// Takes this many bytes of memory, or aborts.
    Fill(usize),
    /// Opens files until the system refuses more, and closes them all.
    OpenMany,
    Print(usize),
    /// Sends this many bytes to a child of this child, and waits until they are back.
    Nested(u32),
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) number: u32,
    pub(crate) steps: Vec<Step>,
    /// The length of the data in the reply.
    pub(crate) wanted: u32,
    pub(crate) data: Bytes,
    pub(crate) file: Option<Descriptor>,
    pub(crate) shared: Option<SharedBytes>,
    pub(crate) memory: Option<SharedMemory>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Reply {
    pub(crate) number: u32,
    pub(crate) life: u64,
    /// How many events the child had sent when it made this reply.
    pub(crate) events: u32,
    /// How many replies the child has made, with this one.
    pub(crate) order: u32,
    /// The arguments arrived as they were sent.
    pub(crate) is_right: bool,
    pub(crate) data: Bytes,
    pub(crate) file: Option<Descriptor>,
    pub(crate) memory: Option<SharedMemory>,
}

/// An event: the `sequence`-th of its child, or of its call.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Tick {
    pub(crate) life: u64,
    pub(crate) sequence: u32,
}

/// The facts of its scene that a child is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Orders {
    /// The path of the file of marks.
    pub(crate) marks: String,
    /// Signals interrupt the child all the time.
    pub(crate) is_stormy: bool,
    /// The child gives up system calls that its jobs do not need.
    pub(crate) is_sandboxed: bool,
    /// The child speaks the plain form, in which a job that fails ends it.
    pub(crate) is_plain: bool,
    /// Nothing keeps the child from calling another child.
    pub(crate) may_nest: bool,
}

/// The variable that holds the orders of a child in the plain form, which has no arguments of `init`.
pub(crate) const ORDERS: &str = "OFFSPRING_CHAOS_ORDERS";
/// The variable of processes that children start. Its value is the path of the scene's marks.
pub(crate) const SCENE: &str = "OFFSPRING_CHAOS_SCENE";

/// The exit code of a child in the plain form in which a job has failed.
pub(crate) const PLAIN_FAILURE: u32 = 101;

/// System calls that a sandboxed child gives up: those that open files, start programs and reach the network.
const GIVEN_UP: [&str; 6] = [
    "openat",
    "openat2",
    "execve",
    "connect",
    "bind",
    "pidfd_open",
];

/// The state of one child.
#[derive(Debug)]
pub(crate) struct State {
    orders: Orders,
    marks: File,
    life: u64,
    events: AtomicU32,
    replies: AtomicU32,
    /// A job has closed all descriptors.
    has_closed: AtomicBool,
    /// The child of this child, from the first job that needs it.
    inner: Mutex<Option<INNER>>,
}

pub(crate) fn start(orders: Orders) -> io::Result<State> {
    if orders.is_stormy {
        crate::faults::interrupt_this_process();
    }
    let marks = File::options().append(true).open(&orders.marks)?;
    if orders.is_sandboxed {
        let number = |name| seccomp::find(name).expect("it has a number");
        let given_up = GIVEN_UP.map(|name| Refused::One(number(name), libc::EPERM));
        seccomp::refuse(&given_up)?;
    }
    Ok(State {
        orders,
        marks,
        life: now() << 16 | u64::from(std::process::id() & 0xffff),
        events: AtomicU32::new(0),
        replies: AtomicU32::new(0),
        has_closed: AtomicBool::new(false),
        inner: Mutex::new(None),
    })
}

fn start_plain() -> io::Result<State> {
    let orders = std::env::var(ORDERS).map_err(io::Error::other)?;
    start(serde_json::from_str(&orders)?)
}

/// The length of the blocks of a [`pattern`], which are made in less time than single words.
const BLOCK: usize = 4096;

/// The bytes that a job of this number sends or wants.
pub(crate) fn pattern(number: u32, length: usize) -> Vec<u8> {
    let mut word = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut block = Vec::with_capacity(BLOCK);
    while block.len() < BLOCK.min(length) {
        word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        block.extend_from_slice(&word.to_ne_bytes());
    }
    let mut bytes = Vec::with_capacity(length + BLOCK);
    for index in 0..length.div_ceil(BLOCK) as u64 {
        // So each block is another one.
        block[..8].copy_from_slice(&(word ^ index).to_ne_bytes());
        bytes.extend_from_slice(&block);
    }
    bytes.truncate(length);
    bytes
}

impl State {
    fn mark(&self, what: What, job: u32, detail: u32) {
        self.mark_at(what, job, detail, now());
    }

    fn mark_at(&self, what: What, job: u32, detail: u32, at: u64) {
        let mark = Mark {
            what,
            pid: std::process::id(),
            life: self.life,
            job,
            detail,
            at,
        };
        // Once all descriptors were closed there is no file.
        let _ = mark.leave(&self.marks);
    }

    fn step(&self, job: u32, step: &Step, events: &Events<Tick>) {
        match step {
            Step::Sleep(micros) => thread::sleep(Duration::from_micros(*micros)),
            Step::Spin(micros) => spin(Duration::from_micros(*micros)),
            Step::Events(count) => (0..*count).for_each(|_| self.event(events)),
            Step::Progress(from, to) => (*from..*to).for_each(|sequence| {
                let life = self.life;
                let _ = events.progress(Tick { life, sequence });
            }),
            Step::Panic => {
                if self.orders.is_plain {
                    self.mark(What::Dying, job, 1000 + PLAIN_FAILURE);
                }
                panic!("{}", crate::ON_PURPOSE)
            }
            Step::Raise(signal) => {
                self.mark(What::Dying, job, *signal as u32);
                raise(Signal::try_from(*signal).unwrap()).unwrap();
            }
            Step::Exit(code) => {
                self.mark(What::Dying, job, 1000 + *code as u32);
                std::process::exit(*code)
            }
            Step::Bomb(micros, signal) => self.bomb(job, *micros, *signal),
            Step::Retire => _ = offspring::retire(),
            Step::Grandchild => self.grandchild(job),
            Step::CloseAll => {
                self.mark(What::Closing, job, 0);
                self.has_closed.store(true, Ordering::SeqCst);
                close_all();
            }
            Step::Fill(bytes) => self.fill(job, *bytes),
            Step::OpenMany => drop(crate::faults::all_descriptors(1000)),
            Step::Print(bytes) => println!("{}", "#".repeat(*bytes)),
            Step::Nested(_) => unreachable!("the functions of the workers do this"),
        }
    }

    /// Calls the child of this child, which is started for the first of these calls.
    fn call_inner(&self, job: u32, length: u32) -> Result<Call<Vec<u8>>, Error> {
        let mut inner = self.inner.lock().unwrap();
        if inner.is_none() {
            let builder = INNER.builder().env(SCENE, &self.orders.marks);
            let rpc = builder
                .stderr(Stream::null())
                .stdout(Stream::null())
                .spawn()?;
            self.mark(What::Inner, job, 0);
            *inner = Some(rpc);
        }
        let rpc = inner.as_ref().expect("it was just started");
        Ok(rpc.call(pattern(job, length as usize)))
    }

    /// Returns whether a call of the child of this child has ended as it must.
    fn is_nested_right(&self, job: u32, length: u32, outcome: Result<Vec<u8>, Error>) -> bool {
        match outcome {
            Ok(bytes) => {
                self.mark(What::Nested, job, length);
                bytes == pattern(job, length as usize)
            }
            Err(_) => !self.orders.may_nest || self.has_closed.load(Ordering::SeqCst),
        }
    }

    /// Returns whether the sandbox, if there is one, keeps what it must.
    fn is_confined(&self) -> bool {
        let opened = || File::open("/dev/null").map(drop);
        let is_refused = || opened().is_err_and(|error| error.raw_os_error() == Some(libc::EPERM));
        !self.orders.is_sandboxed || is_refused()
    }

    fn event(&self, events: &Events<Tick>) {
        let sequence = self.events.load(Ordering::Relaxed) + 1;
        let life = self.life;
        if events.send(Tick { life, sequence }).is_ok() {
            self.events.store(sequence, Ordering::Relaxed);
        }
    }

    fn bomb(&self, job: u32, micros: u64, signal: i32) {
        let end = now() + micros * 1000;
        self.mark_at(What::Dying, job, signal as u32, end);
        let explode = move || {
            spin(Duration::from_micros(micros));
            // To the process: the fault is its end, not this thread's.
            let _ =
                nix::sys::signal::kill(nix::unistd::getpid(), Signal::try_from(signal).unwrap());
        };
        // The system may refuse it now.
        drop(thread::Builder::new().spawn(explode));
    }

    fn grandchild(&self, job: u32) {
        let links = fs::read_dir("/proc/self/fd")
            .into_iter()
            .flatten()
            .flatten();
        let links = links.filter(|entry| {
            let target = fs::read_link(entry.path()).unwrap_or_default();
            let target = target.to_string_lossy();
            let number = entry.file_name().to_string_lossy().parse();
            // The link of a command is a pair of pipes. It is put aside, so the streams are others.
            let is_link = target.starts_with("socket:") || target.starts_with("pipe:");
            is_link && number.is_ok_and(|number: i32| number > 2)
        });
        // These copies are not closed by `exec`.
        let held: Vec<OwnedFd> = links
            .filter_map(|entry| {
                let number = entry.file_name().to_str()?.parse().ok()?;
                // SAFETY: the link is open as long as this process runs a job.
                nix::unistd::dup(unsafe { BorrowedFd::borrow_raw(number) }).ok()
            })
            .collect();
        let mut command = Command::new("sleep");
        // It may hold the link of this child's child. If this process is killed before the mark, the variable tells.
        command
            .arg("100")
            .env(SCENE, &self.orders.marks)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        if let Ok(child) = command.stderr(Stdio::null()).spawn() {
            self.mark(What::Grandchild, job, child.id());
        }
        drop(held);
    }

    /// The end of a child that goes over its memory is an abort, or the system's kill.
    fn fill(&self, job: u32, bytes: usize) {
        self.mark(What::Dying, job, Signal::SIGABRT as u32);
        self.mark(What::Dying, job, Signal::SIGKILL as u32);
        let mut all = Vec::new();
        for _ in 0..bytes >> 20 {
            all.push(vec![1_u8; 1 << 20]);
        }
        std::hint::black_box(&all);
    }

    fn reply(&self, job: Job, is_right: bool) -> Reply {
        let order = self.replies.load(Ordering::Relaxed) + 1;
        self.replies.store(order, Ordering::Relaxed);
        let events = self.events.load(Ordering::Relaxed);
        let reply = Reply {
            number: job.number,
            life: self.life,
            events,
            order,
            is_right,
            data: pattern(job.number, job.wanted as usize).into(),
            file: job.file,
            memory: job.memory,
        };
        self.mark(What::Ended, job.number, events);
        reply
    }
}

/// Whether a job's arguments are what was sent; and turns the memory over, once.
fn look(job: &Job) -> bool {
    let expected = pattern(job.number, job.data.len());
    let mut is_right = expected == *job.data;
    if let Some(shared) = &job.shared {
        is_right &= pattern(job.number, shared.len()) == **shared;
    }
    if let Some(memory) = &job.memory {
        // A job that is repeated finds it turned already.
        memory.update(.., |bytes| bytes.fill(job.number as u8));
    }
    if let Some(file) = &job.file {
        is_right &= nix::sys::stat::fstat(file).is_ok();
    }
    is_right
}

fn spin(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

fn close_all() {
    // SAFETY: what else has these descriptors is to bear it: that is what is tried.
    let _ = unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
}

fn one_by_one(state: &mut State, job: Job, events: &Events<Tick>) -> Reply {
    state.mark(What::Began, job.number, 0);
    let mut is_right = look(&job) && state.is_confined();
    for step in &job.steps {
        match step {
            Step::Nested(length) => {
                let call = state.call_inner(job.number, *length);
                let outcome = call.and_then(Call::wait);
                is_right &= state.is_nested_right(job.number, *length, outcome);
            }
            step => state.step(job.number, step, events),
        }
    }
    state.reply(job, is_right)
}

async fn at_once(state: &State, job: Job, events: &Events<Tick>) -> Reply {
    state.mark(What::Began, job.number, 0);
    let mut is_right = look(&job) && state.is_confined();
    for step in &job.steps {
        match step {
            Step::Nested(length) => {
                let outcome = match state.call_inner(job.number, *length) {
                    Ok(call) => call.await,
                    Err(error) => Err(error),
                };
                is_right &= state.is_nested_right(job.number, *length, outcome);
            }
            Step::Sleep(micros) => {
                smol::Timer::after(Duration::from_micros(*micros)).await;
            }
            step => state.step(job.number, step, events),
        }
    }
    state.reply(job, is_right)
}

worker!(pub(crate) BLOCKING: fn(Job) -> Reply = one_by_one, events = Tick, init(Orders) = start,
    serialiser = Postcard, name = "chaos");
worker!(pub(crate) CONCURRENT: fn(Job) -> Reply = at_once, events = Tick, init(Orders) = start,
    serialiser = Postcard, name = "chaos, concurrent");
worker!(pub(crate) PLAIN: fn(Job) -> Reply = one_by_one, events = Tick, init() = start_plain,
    serialiser = Postcard, name = "chaos, plain");
worker!(pub(crate) PLAIN_CONCURRENT: fn(Job) -> Reply = at_once, events = Tick, init() = start_plain,
    serialiser = Postcard, name = "chaos, plain, concurrent");
worker!(pub(crate) INNER: fn(Vec<u8>) -> Vec<u8> = |bytes: Vec<u8>| bytes, name = "chaos, inner");

service! {
    /// The same, as the method of a service.
    pub(crate) trait Jobs => JobsClient, serialiser = Postcard, events = Tick {
        fn run(&mut self, job: Job, events: &Events<Tick>) -> Reply;
    }
}

impl Jobs for State {
    fn run(&mut self, job: Job, events: &Events<Tick>) -> Reply {
        one_by_one(self, job, events)
    }
}

worker!(pub(crate) SERVICE: dyn Jobs = start, init(Orders), name = "chaos, service");

/// Serves as another program does.
pub(crate) fn serve(worker: &str) -> ! {
    match worker {
        "concurrent" => CONCURRENT.serve(),
        "plain" => PLAIN.serve(),
        "plain-concurrent" => PLAIN_CONCURRENT.serve(),
        _ => BLOCKING.serve(),
    }
}
