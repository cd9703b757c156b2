//! What all tests here share: the guard and its watchdog, workers, gates.
//!
//! Tests of one binary run in parallel threads, but what the guard looks at
//! belongs to the whole process. So whoever has the guard has the process: the
//! tests run one after the other.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio, abort};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use offspring::{Format, Input, Output, Serialiser, SerialiserError};
use serde::{Serialize, de::DeserializeOwned};

/// How much longer everything may take here; `OFFSPRING_TEST_SCALE`.
fn patience() -> f64 {
    let set = std::env::var("OFFSPRING_TEST_SCALE").ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(1.0)
}

/// A time limit for this machine.
pub(crate) fn limit(time: Duration) -> Duration {
    time.mul_f64(patience().max(1.0))
}

/// How often something is repeated that is to be repeated so often.
pub(crate) fn rounds(count: u32) -> u32 {
    ((f64::from(count) * patience()) as u32).max(10)
}

/// "At once" with tenfold slack: what is promised within a second.
pub(crate) fn soon() -> Duration {
    limit(Duration::from_secs(10))
}

/// How long a test may take; `OFFSPRING_TEST_WATCHDOG` says how many seconds.
fn longest() -> Duration {
    let set = std::env::var("OFFSPRING_TEST_WATCHDOG").ok();
    let set = set.and_then(|text| text.parse().ok());
    limit(Duration::from_secs(set.unwrap_or(60)))
}

static PROCESS: Mutex<()> = Mutex::new(());

/// The process as it was when a test began, and the watchdog.
pub(crate) struct Guard {
    descriptors: BTreeMap<u32, String>,
    watchdog: Sender<()>,
    _process: MutexGuard<'static, ()>,
}

/// To be taken first by every test: waits for its turn, and in the end asserts
/// that nothing is left of it.
pub(crate) fn guard() -> Guard {
    let process = PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
    let name = std::thread::current().name().unwrap_or("?").to_owned();
    let (watchdog, alive) = channel();
    let before = descriptors();
    let descriptors = before.clone();
    spawn(move || {
        if alive.recv_timeout(longest()) == Err(RecvTimeoutError::Timeout) {
            let text = format!(
                "{name}: it takes too long; the process is ended\n{}before: {before:?}\n",
                dump()
            );
            // Not `eprintln!`, which the test's harness keeps to itself.
            let _ = std::io::stderr().write_all(text.as_bytes());
            kill_children();
            abort();
        }
    });
    Guard {
        descriptors,
        watchdog,
        _process: process,
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The next test is not to suffer for it.
            kill_children();
        }
        // No deadline but the watchdog's.
        until(|| self.left().is_none());
        let _ = self.watchdog.send(());
    }
}

impl Guard {
    /// What is still there of this test, in words.
    fn left(&self) -> Option<String> {
        let children = children();
        if !children.is_empty() {
            return Some(format!("children: {children:?}"));
        }
        let threads = own_threads();
        if !threads.is_empty() {
            return Some(format!("threads: {threads:?}"));
        }
        let now = descriptors();
        (now != self.descriptors).then(|| format!("{now:?} instead of {:?}", self.descriptors))
    }
}

/// The processes whose parent this one is, zombies too.
pub(crate) fn children() -> Vec<u32> {
    children_of(std::process::id())
}

fn kill_children() {
    for child in children() {
        let _ = kill(Pid::from_raw(child as i32), Signal::SIGKILL);
    }
}

pub(crate) fn children_of(parent: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|(_, of)| of == parent))
        .collect()
}

/// State and parent of a process.
pub(crate) fn stat(pid: u32) -> Option<(char, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut words = text.rsplit_once(')')?.1.split_whitespace();
    Some((words.next()?.chars().next()?, words.next()?.parse().ok()?))
}

/// Is there a process that runs, and not only its number?
pub(crate) fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != 'Z' && state != 'X')
}

/// Waits until a process sleeps, and none of its threads has had a CPU for 100 ms.
pub(crate) fn until_stuck(pid: u32) {
    let used = || {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
        let times = tasks.map(|task| fs::read_to_string(task.path().join("schedstat")));
        times.map(Result::unwrap_or_default).collect::<Vec<_>>()
    };
    let mut last = used();
    until(|| {
        sleep(Duration::from_millis(100));
        let before = std::mem::replace(&mut last, used());
        before == last && stat(pid).is_some_and(|(state, _)| state == 'S')
    });
}

/// The threads of the crate, by name.
fn own_threads() -> Vec<String> {
    let names = fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = names.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names
        .filter(|name| name.starts_with("offspring-"))
        .collect()
}

/// Open descriptors and what they lead to, without the one that looks.
pub(crate) fn descriptors() -> BTreeMap<u32, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc/self/fd").unwrap().flatten() {
        if let Ok(target) = fs::read_link(entry.path()) {
            let number = entry.file_name().to_str().unwrap().parse().unwrap();
            let target = target.to_string_lossy().into_owned();
            if !target.ends_with("/fd") {
                found.insert(number, target);
            }
        }
    }
    found
}

/// All threads and children, for whoever must find out why nothing moves.
fn dump() -> String {
    let mut text = String::new();
    for task in fs::read_dir("/proc/self/task").unwrap().flatten() {
        let read = |file| fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let (name, place, call) = (read("comm"), read("wchan"), read("syscall"));
        text += &format!("thread {} in {place}: {}\n", name.trim(), call.trim());
    }
    for child in children() {
        let command = fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap_or_default();
        let state = stat(child).map_or('?', |(state, _)| state);
        text += &format!("child {child} ({state}): {}\n", command.replace('\0', " "));
    }
    for (number, target) in descriptors() {
        text += &format!("descriptor {number}: {target}\n");
    }
    text
}

/// Waits until this is so; only the watchdog ends it.
#[track_caller]
pub(crate) fn until(mut reached: impl FnMut() -> bool) {
    while !reached() {
        sleep(Duration::from_millis(1));
    }
}

/// Fails unless this took less time than "at once" may take.
#[track_caller]
pub(crate) fn quickly<T>(act: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let value = act();
    let took = start.elapsed();
    assert!(took < soon(), "it took {took:?}");
    value
}

const ALONE: &str = "OFFSPRING_TEST_ALONE";

/// Runs the body in a process of its own: for what changes a whole process. It
/// is this test binary with only this test, whose name with its module is given.
pub(crate) fn alone(test: &str, body: impl FnOnce()) {
    if std::env::var(ALONE).as_deref() == Ok(test) {
        return body();
    }
    let _guard = guard();
    let output = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(ALONE, test)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}\n{text}\n{errors}",
        output.status
    );
    assert!(
        text.contains("1 passed"),
        "no test is called {test}: {text}"
    );
}

/// This test binary as a program that serves one worker: see `main.rs`.
pub(crate) fn serving(worker: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--serve", worker]);
    command
}

static TEMPS: AtomicU32 = AtomicU32::new(0);

/// A directory that goes with its owner.
pub(crate) struct Temp(PathBuf);

impl Temp {
    pub(crate) fn new() -> Self {
        let number = TEMPS.fetch_add(1, Ordering::Relaxed);
        let name = format!("offspring-it-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// The lines of a file; none if there is no file.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.0.join(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// A gate for a child to wait at.
    pub(crate) fn gate(&self, name: &str) -> Gate {
        let path = self.0.join(name);
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        Gate(path)
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A named pipe: the child waits at it, the test knows that it does.
pub(crate) struct Gate(PathBuf);

impl Gate {
    pub(crate) fn name(&self) -> String {
        self.0.to_str().unwrap().to_owned()
    }

    /// Returns once a child waits here; it goes on when the result is dropped.
    pub(crate) fn reached(&self) -> File {
        File::options().write(true).open(&self.0).unwrap()
    }
}

/// In the child: waits until the gate is opened, or the parent is gone.
pub(crate) fn wait_here_at(gate: impl AsRef<Path>) {
    let own = std::os::unix::process::parent_id();
    let fifo = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(gate)
        .unwrap();
    // With no writer yet there is nothing; after the last there is a hang-up.
    let mut ready = [PollFd::new(fifo.as_fd(), PollFlags::POLLIN)];
    while !matches!(poll(&mut ready, PollTimeout::from(100_u16)), Ok(1)) {
        if std::os::unix::process::parent_id() != own {
            std::process::exit(9);
        }
    }
}

/// In the child: waits until the gate is opened, whatever becomes of the parent.
pub(crate) fn wait_at(gate: impl AsRef<Path>) {
    let mut pipe = File::open(gate).unwrap();
    let _ = pipe.read(&mut [0]);
}

/// In the child: a side effect that can be counted.
pub(crate) fn append(path: impl AsRef<Path>, line: &str) {
    let mut file = File::options()
        .append(true)
        .create(true)
        .open(path)
        .unwrap();
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}

pub(crate) fn kill_process(pid: u32) {
    kill(Pid::from_raw(pid as i32), Signal::SIGKILL).unwrap();
}

/// JSON through serde, whatever features there are.
pub(crate) struct Json;

impl Format for Json {
    const NAME: &'static str = "test-json";
}

impl<T: DeserializeOwned, Sent: Serialize + ?Sized> Serialiser<T, Sent> for Json {
    fn encode(value: &Sent, output: &mut Output<'_>) -> Result<(), SerialiserError> {
        serde_json::to_writer(output, value).map_err(SerialiserError::other)
    }
    fn decode(input: &mut Input<'_>) -> Result<T, SerialiserError> {
        serde_json::from_slice(input.octets()).map_err(SerialiserError::other)
    }
}
