//! The cost of a scene, and its leftovers.

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};

use crate::leftovers::{mappings, memory_files, trimmed_memory};
use crate::support::*;

/// How much more memory a process may have after a scene than before, in bytes. A thread keeps buffers of up to 80 MiB.
pub(crate) const MOST_KEPT: usize = 100 << 20;

/// How many more mappings a process may have after a scene than before: arenas of the allocator, buffers of threads, and
/// stacks of threads that have ended.
pub(crate) const MOST_MAPPINGS: usize = 100;

/// Rows of the table, as the processes of the scenes have printed them.
static ROWS: Mutex<Vec<String>> = Mutex::new(Vec::new());

const ROW: &str = "row\t";

/// Runs a scene in a separate process for each of these kinds. There the guard is taken, and `body` is called.
pub(crate) fn in_each_kind<F>(scene: &F, kinds: &[&str], body: impl FnOnce(&str)) {
    if let Some(kind) = told() {
        let _guard = guard();
        // More descriptors than a shell has by default, if this user may have them.
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
        return body(&kind);
    }
    for kind in kinds {
        let mut command = again(scene, kind);
        let output = command.stderr(Stdio::inherit()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let is_well = output.status.success() && text.contains("1 passed");
        assert!(is_well, "{kind}: {}\n{text}", output.status);
        let rows = text.lines().filter_map(|line| line.split_once(ROW));
        let mut all = ROWS.lock().unwrap();
        all.extend(rows.map(|(_, row)| row.to_owned()));
    }
}

/// Prints the rows of all scenes.
pub(crate) fn print_table() {
    let rows = ROWS.lock().unwrap();
    if rows.is_empty() {
        return;
    }
    println!(
        "| scene | children | wall time | of each | CPU of the parent | CPU of the children | memory before, at most, after \
         | a child: PSS, private | descriptors | threads |\n|---|---|--:|--:|--:|--:|--:|--:|--:|--:|"
    );
    rows.iter().for_each(|row| println!("{row}"));
}

/// The most that was seen.
#[derive(Debug, Default)]
struct Most {
    descriptors: AtomicUsize,
    threads: AtomicUsize,
    is_over: AtomicBool,
}

impl Most {
    fn look(&self) {
        let descriptors = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        self.descriptors.fetch_max(descriptors, Ordering::Relaxed);
        self.threads
            .fetch_max(own_threads().len(), Ordering::Relaxed);
    }
}

/// Measures from its creation on.
pub(crate) struct Meter {
    name: String,
    start: Instant,
    most: Arc<Most>,
    looking: JoinHandle<()>,
    descriptors: usize,
    mappings: usize,
    memory: usize,
    /// PSS and private memory of a child, in KiB.
    child: Option<(usize, usize)>,
}

impl Meter {
    /// `name`: what the row is called, and its children.
    pub(crate) fn start(name: &str, children: &str) -> Self {
        let most = Arc::new(Most::default());
        let shared = Arc::clone(&most);
        let looking = thread::spawn(move || {
            while !shared.is_over.load(Ordering::Relaxed) {
                shared.look();
                sleep(Duration::from_millis(20));
            }
        });
        Self {
            name: format!("{name} | {children}"),
            descriptors: descriptors().len(),
            mappings: mappings(),
            memory: trimmed_memory(),
            start: Instant::now(),
            most,
            looking,
            child: None,
        }
    }

    /// Measures these children: the mean of up to 50.
    pub(crate) fn look_at(&mut self, pids: &[u32]) {
        self.most.look();
        let chosen: Vec<_> = pids.iter().step_by(pids.len().div_ceil(50)).collect();
        let (mut pss, mut private) = (0, 0);
        for pid in &chosen {
            let parts = kib_of(&format!("/proc/{pid}/smaps_rollup"));
            pss += parts["Pss"];
            private += parts["Private_Clean"] + parts["Private_Dirty"];
        }
        self.child = Some((pss / chosen.len(), private / chosen.len()));
    }

    /// Waits until nothing is left, and prints the row. `count`: the number of things that the wall time is divided by.
    pub(crate) fn finish(self, count: usize) {
        let took = self.start.elapsed();
        until(|| children().is_empty() && own_threads().is_empty());
        self.most.is_over.store(true, Ordering::Relaxed);
        self.looking.join().unwrap();
        let [parent, offspring] = [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN].map(cpu_time);
        let (peak, after) = (kib_of("/proc/self/status")["VmHWM"] << 10, trimmed_memory());
        let [before, most, last] = [self.memory, peak, after].map(|bytes| bytes >> 20);
        let child = self.child.map_or(String::new(), |(pss, private)| {
            format!("{pss}, {private} KiB")
        });
        let descriptors = self.most.descriptors.load(Ordering::Relaxed);
        println!(
            "\n{ROW}| {} | {:.2} s | {} | {parent:.2} s | {offspring:.2} s | {before}, {most}, {last} MiB | {child} | {} | {} |",
            self.name,
            took.as_secs_f64(),
            each(took, count),
            descriptors.saturating_sub(self.descriptors),
            self.most.threads.load(Ordering::Relaxed),
        );
        assert_eq!(memory_files(), 0, "memory files are mapped");
        let grown = after.saturating_sub(self.memory);
        assert!(grown < MOST_KEPT, "{} KiB are kept", grown >> 10);
        let grown = mappings().saturating_sub(self.mappings);
        assert!(grown < MOST_MAPPINGS, "{grown} mappings are left");
    }
}

fn each(took: Duration, count: usize) -> String {
    let micros = took.as_secs_f64() * 1e6 / count as f64;
    match micros {
        0.0..100.0 => format!("{micros:.2} µs"),
        100.0..100_000.0 => format!("{:.2} ms", micros / 1e3),
        _ => format!("{:.2} s", micros / 1e6),
    }
}

/// Returns the CPU time of this process, or of its children that were waited for, in seconds.
fn cpu_time(of: UsageWho) -> f64 {
    let usage = getrusage(of).unwrap();
    let times = [usage.user_time(), usage.system_time()];
    times
        .iter()
        .map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6)
        .sum()
}

/// Returns the lines `name: number kB` of a file of `/proc`.
fn kib_of(path: &str) -> BTreeMap<String, usize> {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines
        .filter_map(|(name, rest)| {
            let number = rest.strip_suffix("kB")?.trim().parse().ok()?;
            Some((name.to_owned(), number))
        })
        .collect()
}
