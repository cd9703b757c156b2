//! The leftovers of a round, and the watch over rounds that do not end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::faults::children;
use crate::ledger::Ledger;
use crate::leftovers::memory_files;
use crate::plan::Plan;
use crate::processes::{descriptors, dump};

/// A description of something that runs, its ledger if it is a scene, and when it takes too long.
type Running = (String, Option<Arc<Ledger>>, Instant);

/// The rounds and scenes that are running.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    running: Arc<Mutex<BTreeMap<u64, Running>>>,
    longest: Duration,
}

/// A scene that is watched until this is dropped.
pub(crate) struct Watched<'a>(&'a Watch, u64);

impl Watch {
    /// Ends the process, with all that is known, once something takes longer than this.
    pub(crate) fn start(longest: Duration) -> Self {
        let watch = Self {
            running: Arc::default(),
            longest,
        };
        let running = Arc::clone(&watch.running);
        thread::spawn(move || {
            loop {
                thread::sleep(Duration::from_millis(500));
                let running = running.lock().unwrap();
                let late = running.values().find(|(.., end)| *end < Instant::now());
                if let Some((what, ledger, _)) = late {
                    give_up(what, ledger.as_deref());
                }
            }
        });
        watch
    }

    fn watch(&self, what: String, ledger: Option<Arc<Ledger>>, longest: Duration) -> Watched<'_> {
        let mut running = self.running.lock().unwrap();
        let number = running.last_key_value().map_or(0, |(last, _)| last + 1);
        running.insert(number, (what, ledger, Instant::now() + longest));
        Watched(self, number)
    }

    /// A round may take twice as long as one of its scenes.
    pub(crate) fn round(&self, seed: u64) -> Watched<'_> {
        self.watch(format!("round {seed}"), None, self.longest * 2)
    }

    pub(crate) fn scene(&self, plan: &Plan, ledger: &Arc<Ledger>) -> Watched<'_> {
        let ledger = Some(Arc::clone(ledger));
        self.watch(format!("{plan:?}"), ledger, self.longest)
    }

    /// Waits until nothing is left but what was there before.
    pub(crate) fn until_nothing_is_left(&self, before: &Left) {
        let _watched = self.watch(
            format!("what is left, beyond {before:?}"),
            None,
            self.longest,
        );
        while Left::now().is_more_than(before) {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Says what is known, and ends the process.
fn give_up(what: &str, ledger: Option<&Ledger>) -> ! {
    let open = ledger.map(Ledger::open).unwrap_or_default();
    eprintln!("it takes too long: {what}\nopen: {open:?}");
    // What there is to say is read from files.
    crate::faults::allow_more_descriptors();
    eprintln!("now: {:?}\n{}", Left::now(), dump());
    crate::end_everything(1)
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.0.running.lock().unwrap().remove(&self.1);
    }
}

/// The children, threads, descriptors and files that a process has.
#[derive(Debug, Clone)]
pub(crate) struct Left {
    children: Vec<u32>,
    /// How many threads there are of each name. Some take their name after their start, so only their sum is compared.
    threads: BTreeMap<String, usize>,
    /// How many descriptors there are of each kind, or of each file.
    descriptors: BTreeMap<String, usize>,
    /// Mapped memory files.
    files: usize,
}

/// Counts the threads of this process by name: that of a child in a thread is the worker's.
fn threads() -> BTreeMap<String, usize> {
    let mut names = BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        // A thread that has ended has no name.
        if let Ok(name) = std::fs::read_to_string(task.path().join("comm")) {
            *names.entry(name.trim().to_owned()).or_default() += 1;
        }
    }
    names
}

impl Left {
    pub(crate) fn now() -> Self {
        let mut kinds = BTreeMap::new();
        for target in descriptors().into_values() {
            let kind = match target.split_once(":[") {
                // A number tells sockets and pipes apart, a name the other kinds.
                Some((kind, number))
                    if number.starts_with(|first: char| first.is_ascii_digit()) =>
                {
                    kind.to_owned()
                }
                _ => target,
            };
            *kinds.entry(kind).or_default() += 1;
        }
        Self {
            children: children(),
            threads: threads(),
            descriptors: kinds,
            files: memory_files(),
        }
    }

    fn is_more_than(&self, before: &Self) -> bool {
        !self.children.is_empty()
            || self.threads.values().sum::<usize>() != before.threads.values().sum::<usize>()
            || self.descriptors != before.descriptors
            || self.files != before.files
    }
}
