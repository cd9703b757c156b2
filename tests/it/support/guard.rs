//! The guard of a test and its watchdog, time limits, tests in a process of their own.
//!
//! Tests of one binary run in parallel threads, but what the guard looks at
//! belongs to the whole process. So whoever has the guard has the process: the
//! tests run one after the other.

use std::collections::BTreeMap;
use std::fs::{self};
use std::io::Write;
use std::process::abort;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use super::{children, descriptors, own_threads, stat};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

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

fn kill_children() {
    for child in children() {
        let _ = kill(Pid::from_raw(child as i32), Signal::SIGKILL);
    }
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
