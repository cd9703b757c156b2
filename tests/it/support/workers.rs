//! The workers of most tests.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::sys::signal::{SigHandler, Signal, raise, signal};
use nix::sys::socket::{Shutdown, shutdown};
use offspring::format::{Error as SerialiserError, Format, Input, Output, Serialiser};
use offspring::{Builder, Events, Rpc, Template, worker};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{append, descriptors, serving, wait_at, wait_here_at};

/// The jobs of the worker of most tests.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Job {
    Echo(String),
    /// Returns this many bytes.
    Make(usize),
    Len(String),
    Fail(String),
    Panic(String),
    Exit(i32),
    Abort,
    KillSelf,
    Overflow,
    DoublePanic,
    NoMemory,
    Append(String, String),
    Gate(String),
    /// Waits at a gate, also without a parent.
    LonelyGate(String),
    /// Does one job after the other.
    Both(Box<Self>, Box<Self>),
    /// Sends these events.
    Events(u32, u32),
    Print(String),
    Complain(String),
    ReadStdin,
    Env(String),
    Dir,
    Arguments,
    ThreadName,
    Descriptors,
    /// Returns the descriptors that a process of the worker's inherits, except the standard streams.
    Inherited,
    /// Starts a process that holds the link open; returns its id.
    Grandchild,
    CloseLink,
    /// Writes these bytes to the link, between frames or inside one, and exits or crashes.
    Garbage(Vec<u8>, bool),
    IgnoreTerm,
    Stop,
    Spin,
    /// Takes this many milliseconds.
    Sleep(u64),
    /// Starts another child that does this job.
    Nested(Box<Self>),
    /// Starts another child and keeps it; returns its id.
    NestedPid,
    /// Exits in a destructor of this thread, after the answer.
    ExitSoon(i32),
}

worker!(pub(crate) TEXT: fn(String) -> String = |text: String| text);

worker!(pub(crate) WORK: fn(Job) -> Result<String, String> = work, events = u32, serialiser = Json);

pub(crate) fn work(job: Job, events: &Events<u32>) -> Result<String, String> {
    match job {
        Job::Echo(text) => return Ok(text),
        Job::Make(bytes) => return Ok("x".repeat(bytes)),
        Job::Len(text) => return Ok(text.len().to_string()),
        Job::Fail(text) => return Err(text),
        Job::Panic(text) => panic!("{text}"),
        Job::Exit(code) => std::process::exit(code),
        Job::Abort => std::process::abort(),
        Job::KillSelf => raise(Signal::SIGKILL).unwrap(),
        Job::Overflow => return Ok(overflow(&[0; 1024]).to_string()),
        Job::DoublePanic => {
            struct Bomb;
            impl Drop for Bomb {
                fn drop(&mut self) {
                    panic!("the second");
                }
            }
            let _bomb = Bomb;
            panic!("the first");
        }
        Job::NoMemory => std::alloc::handle_alloc_error(std::alloc::Layout::new::<[u8; 1 << 20]>()),
        Job::Append(path, line) => append(path, &line),
        Job::Gate(gate) => wait_here_at(gate),
        Job::LonelyGate(gate) => wait_at(gate),
        Job::Both(one, two) => {
            work(*one, events)?;
            return work(*two, events);
        }
        Job::Events(from, to) => (from..to).for_each(|n| events.send(n).unwrap()),
        Job::Print(text) => println!("{text}"),
        Job::Complain(text) => eprintln!("{text}"),
        Job::ReadStdin => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).unwrap();
            return Ok(text);
        }
        Job::Env(name) => return std::env::var(name).map_err(|error| error.to_string()),
        Job::Dir => return Ok(std::env::current_dir().unwrap().display().to_string()),
        Job::Arguments => return Ok(std::env::args().collect::<Vec<_>>().join(" ")),
        Job::ThreadName => {
            let name = fs::read_to_string("/proc/thread-self/comm").unwrap();
            return Ok(name.trim().to_owned());
        }
        Job::Descriptors => return Ok(serde_json::to_string(&descriptors()).unwrap()),
        Job::Inherited => return Ok(inherited_by_another()),
        Job::Grandchild => return Ok(grandchild().to_string()),
        Job::CloseLink => {
            for (number, target) in descriptors() {
                if target.starts_with("socket:") {
                    shutdown(number as i32, Shutdown::Both).unwrap();
                }
            }
            loop {
                std::thread::park();
            }
        }
        Job::Garbage(bytes, crashes) => {
            for (number, target) in descriptors() {
                if target.starts_with("socket:") {
                    // SAFETY: the link is open until this process exits.
                    let link = unsafe { BorrowedFd::borrow_raw(number as i32) };
                    nix::unistd::write(link, &bytes).unwrap();
                }
            }
            if crashes {
                std::process::abort();
            }
            std::process::exit(0);
        }
        Job::IgnoreTerm => {
            // SAFETY: no handler runs for an ignored signal.
            unsafe { signal(Signal::SIGTERM, SigHandler::SigIgn) }.unwrap();
        }
        Job::Stop => raise(Signal::SIGSTOP).unwrap(),
        Job::Spin => loop {
            std::hint::spin_loop();
        },
        Job::Sleep(milliseconds) => {
            std::thread::sleep(std::time::Duration::from_millis(milliseconds))
        }
        Job::Nested(job) => {
            let rpc = WORK
                .on_event(|_| ())
                .spawn()
                .map_err(|error| error.to_string())?;
            return rpc.call(*job).wait().map_err(|error| error.to_string())?;
        }
        Job::NestedPid => {
            let rpc = WORK
                .on_event(|_| ())
                .spawn()
                .map_err(|error| error.to_string())?;
            let pid = rpc.pid().unwrap().to_string();
            rpc.ready().wait().map_err(|error| error.to_string())?;
            std::mem::forget(rpc);
            return Ok(pid);
        }
        Job::ExitSoon(code) => {
            std::thread::spawn(move || std::process::exit(code));
        }
    }
    Ok("done".into())
}

#[inline(never)]
fn overflow(above: &[u8; 1024]) -> u8 {
    let mine = std::hint::black_box([above[0].wrapping_add(1); 1024]);
    if std::hint::black_box(false) {
        return 0;
    }
    overflow(&mine).wrapping_add(mine[7])
}

fn inherited_by_another() -> String {
    let mut other = Command::new("cat");
    other.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut other = other.spawn().unwrap();
    // Once it answers, it has only its own descriptors; and if this
    // process goes, so does it.
    let mut input = other.stdin.take().unwrap();
    input.write_all(b"x").unwrap();
    let mut output = other.stdout.take().unwrap();
    output.read_exact(&mut [0]).unwrap();
    let open = fs::read_dir(format!("/proc/{}/fd", other.id())).unwrap();
    let open = open.map(|entry| {
        let entry = entry.unwrap();
        let number = entry.file_name().into_string().unwrap();
        (
            number.parse().unwrap(),
            fs::read_link(entry.path()).unwrap(),
        )
    });
    let open: BTreeMap<u32, PathBuf> = open.collect();
    drop(input);
    other.wait().unwrap();
    serde_json::to_string(&open).unwrap()
}

/// Starts `sleep` with a copy of the link that is not closed by `exec`.
#[expect(clippy::zombie_processes, reason = "it is to outlive this process")]
fn grandchild() -> u32 {
    let held: Vec<_> = descriptors()
        .into_iter()
        // The link is put aside, and the streams belong to other programs.
        .filter(|(number, _)| *number > 2)
        .filter(|(_, target)| target.starts_with("socket:") || target.starts_with("pipe:"))
        .map(|(number, _)| {
            // SAFETY: it stays open during the call.
            let link = unsafe { BorrowedFd::borrow_raw(number as i32) };
            nix::unistd::dup(link).unwrap()
        })
        .collect();
    assert!(!held.is_empty());
    let child = Command::new("sleep")
        .arg("10000")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.id()
}

pub(crate) fn echo(text: impl ToString) -> Job {
    Job::Echo(text.to_string())
}

pub(crate) fn both(one: Job, two: Job) -> Job {
    Job::Both(one.into(), two.into())
}

pub(crate) type Children = Builder<fn(Job) -> Result<String, String>, Json, u32>;

/// Runs a block for a child by exec, and for a child of a template.
pub(crate) fn in_each_way(mut test: impl FnMut(&str, &dyn Fn() -> Children)) {
    let template = Template::builder().start().unwrap();
    test("own", &|| WORK.builder());
    test("program", &|| WORK.program(serving("work")));
    test("template", &|| WORK.template(&template));
}

pub(crate) type Work = Rpc<fn(Job) -> Result<String, String>, Json, u32>;

/// Fails unless the child answers a call.
#[track_caller]
pub(crate) fn echoes(rpc: &Work, text: impl ToString) {
    let text = text.to_string();
    assert_eq!(rpc.call(echo(&text)).wait().unwrap(), Ok(text));
}

/// JSON through serde, without the feature `json`.
pub(crate) struct Json;

impl Format for Json {
    const NAME: &'static str = "test-json";

    fn method(arguments: &[u8]) -> Result<Cow<'_, str>, SerialiserError> {
        let list: Vec<serde_json::Value> =
            serde_json::from_slice(arguments).map_err(SerialiserError::other)?;
        match list.into_iter().next() {
            Some(serde_json::Value::String(name)) => Ok(name.into()),
            _ => Err(SerialiserError::new("no name of a method")),
        }
    }
}

impl<T: DeserializeOwned, Sent: Serialize + ?Sized> Serialiser<T, Sent> for Json {
    fn encode(value: &Sent, output: &mut Output<'_>) -> Result<(), SerialiserError> {
        serde_json::to_writer(output, value).map_err(SerialiserError::other)
    }
    fn decode(input: &mut Input<'_>) -> Result<T, SerialiserError> {
        serde_json::from_slice(input.bytes()).map_err(SerialiserError::other)
    }
}
