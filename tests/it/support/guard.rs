//! The guard of a test and its watchdog, and time limits.
//!
//! Tests of one binary run in parallel threads, but the threads, children and descriptors that the guard counts belong to
//! the process. So a test with the guard has the process alone: such tests run one after the other.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::abort;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use super::{children, descriptors, dump, own_threads};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

/// The factor for time limits and repetitions: `OFFSPRING_TEST_SCALE`.
fn patience() -> f64 {
    let set = std::env::var("OFFSPRING_TEST_SCALE").ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(1.0)
}

/// Scales a time limit for this machine.
pub(crate) fn limit(time: Duration) -> Duration {
    time.mul_f64(patience().max(1.0))
}

/// Scales a number of repetitions.
pub(crate) fn rounds(count: u32) -> u32 {
    ((f64::from(count) * patience()) as u32).max(10)
}

/// The limit for "at once", with tenfold slack over the promised second.
pub(crate) fn soon() -> Duration {
    limit(Duration::from_secs(10))
}

/// The time limit of a test: `OFFSPRING_TEST_WATCHDOG`, in seconds.
fn longest() -> Duration {
    let set = std::env::var("OFFSPRING_TEST_WATCHDOG").ok();
    let set = set.and_then(|text| text.parse().ok());
    limit(Duration::from_secs(set.unwrap_or(60)))
}

static PROCESS: Mutex<()> = Mutex::new(());

/// The state of the process when a test began, and the watchdog.
pub(crate) struct Guard {
    descriptors: BTreeMap<u32, String>,
    watchdog: Sender<()>,
    _process: MutexGuard<'static, ()>,
}

/// Every test takes it first. Waits for the turn of the test; when it is dropped, asserts that no thread, child or
/// descriptor of the test is left.
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
            // The test harness captures `eprintln!`.
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
            // The next test must not fail because of this one. A child that only this test would have waited for is reaped.
            kill_children();
            until(|| waitpid(None, Some(WaitPidFlag::WNOHANG)) == Err(Errno::ECHILD));
        }
        // Only the watchdog limits this.
        until(|| self.left().is_none());
        let _ = self.watchdog.send(());
    }
}

impl Guard {
    /// Returns what is left of this test, as text.
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

/// Waits until `condition` holds. Only the watchdog limits this.
#[track_caller]
pub(crate) fn until(mut reached: impl FnMut() -> bool) {
    while !reached() {
        sleep(Duration::from_millis(1));
    }
}

/// Runs `body`, and fails if it takes longer than the limit for "at once".
#[track_caller]
pub(crate) fn quickly<T>(act: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let value = act();
    let took = start.elapsed();
    assert!(took < soon(), "it took {took:?}");
    value
}
