//! The worker of the tests of pools.

use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use offspring::{Events, worker};
use serde::{Deserialize, Serialize};

use super::{Json, append, children_of, wait_here_at};

/// The variable with the name of the kind of a child.
pub(crate) const PLACE: &str = "OFFSPRING_TEST_PLACE";

/// The jobs of a child of these pools.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Do {
    /// Returns its process id.
    Pid,
    Echo(String),
    Append(String, String),
    /// Appends a line with the kind and process id of the child.
    Visit(String, String),
    Gate(String),
    Sleep(u64),
    Panic,
    Abort,
    Exit(i32),
    Retire,
    /// Kills another child of the parent, if there is one. The number selects it.
    KillAnother(usize),
    /// Keeps this many bytes.
    Keep(usize),
    /// Sends this many events of the child, or of the call.
    Events(u32),
    Progress(u32),
    Both(Box<Self>, Box<Self>),
    /// Starts and uses another pool; returns the ids of its children.
    Nested,
}

pub(crate) fn run(kept: &mut Vec<Vec<u8>>, job: Do, events: &Events<u32>) -> String {
    match job {
        Do::Pid => return std::process::id().to_string(),
        Do::Echo(text) => return text,
        Do::Append(path, line) => append(path, &line),
        Do::Visit(path, line) => {
            let place = std::env::var(PLACE).unwrap_or_default();
            append(path, &format!("{line} {place} {}", std::process::id()));
        }
        Do::Gate(gate) => wait_here_at(gate),
        Do::Sleep(ms) => thread::sleep(Duration::from_millis(ms)),
        Do::Panic => panic!("as asked"),
        Do::Abort => std::process::abort(),
        Do::Exit(code) => std::process::exit(code),
        Do::Retire => offspring::retire().unwrap(),
        Do::KillAnother(which) => {
            let own = std::process::id();
            let mut others = children_of(std::os::unix::process::parent_id());
            others.retain(|pid| *pid != own);
            if !others.is_empty() {
                let pid = others[which % others.len()] as i32;
                // It may have exited.
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        Do::Keep(bytes) => kept.push(vec![1; bytes]),
        Do::Events(count) => (0..count).for_each(|n| events.send(n).unwrap()),
        Do::Progress(count) => (0..count).for_each(|n| events.progress(n).unwrap()),
        Do::Both(one, two) => {
            run(kept, *one, events);
            return run(kept, *two, events);
        }
        Do::Nested => {
            let pool = POOLED.init(false).pool().max(2).idle(2).spawn().unwrap();
            let pids: Vec<_> = (0..2).map(|_| pool.call(Do::Pid).wait().unwrap()).collect();
            // It stays until this process exits.
            std::mem::forget(pool);
            return pids.join(" ");
        }
    }
    "done".into()
}

fn start(fails: bool) -> Result<Vec<Vec<u8>>, &'static str> {
    if fails {
        Err("no disk")
    } else {
        Ok(Vec::new())
    }
}

worker!(pub(crate) POOLED: fn(Do) -> String = run, events = u32, init(bool) = start, serialiser = Json);

pub(crate) fn both(one: Do, two: Do) -> Do {
    Do::Both(one.into(), two.into())
}
