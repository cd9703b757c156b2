//! The trait that each peer implements, the workloads, and how they are measured.
//!
//! `PEER VARIANT WORKLOAD quick|full` runs one repetition of one workload, and writes each result as a line
//! `workload,metric,value` to stdout. The runner (`main.rs`) repeats and interleaves.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

pub mod sys;

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Record {
    pub id: u64,
    pub name: String,
    pub score: f64,
    pub tags: Vec<String>,
    pub active: bool,
    #[serde(with = "serde_bytes")]
    pub blob: Vec<u8>,
}

pub fn make_records() -> Vec<Record> {
    (0..64u64)
        .map(|i| Record {
            id: 1_000_000_007 * (i + 1),
            name: format!("record-name-{i:04}"),
            score: i as f64 * 1.618_033_988_7 + 0.25,
            tags: vec![format!("tag{i:02}"), "alpha".into(), "beta".into()],
            active: i % 2 == 0,
            blob: (0..64u64).map(|j| (i * 7 + j * 13) as u8).collect(),
        })
        .collect()
}

/// Returns whether the records are equal. Floats may differ in the last digit: serde_json's default parsing is not
/// exact. Callers assert the `bool`, as the values are too long for a message.
pub fn same(a: &[Record], b: &[Record]) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|(x, y)| {
            (x.score - y.score).abs() < 1e-9
                && (x.id, &x.name, &x.tags, x.active, &x.blob)
                    == (y.id, &y.name, &y.tags, y.active, &y.blob)
        })
}

pub const UNLIMITED: usize = usize::MAX;

/// A way to call a child process. A method that returns `false` is not supported by the peer.
pub trait Peer: Sized {
    /// Starts the child process and connects to it.
    fn start(variant: &str) -> Self;
    /// Returns the child's process id.
    fn pid(&mut self) -> i32;
    /// Makes `n` sequential echo calls, each after the answer to the one before.
    fn rtt(&mut self, payload: &[u8], n: usize);
    /// Makes `n` echo calls with up to `window` in flight.
    fn pipe(&mut self, _payload: &[u8], _n: usize, _window: usize) -> bool {
        false
    }
    /// Makes `n` sequential echo calls with the records.
    fn records(&mut self, _records: &[Record], _n: usize) -> bool {
        false
    }
    /// Starts the child for `sleepers`. Default: the same child.
    fn for_sleepers(variant: &str) -> Self {
        Self::start(variant)
    }
    /// Runs `n` concurrent jobs, each of which sleeps in the child, then answers.
    fn sleepers(&mut self, _n: usize, _milliseconds: u64) -> bool {
        false
    }
    /// Runs `n` jobs that each burn CPU time. The variant gives the number of processes; the peer keeps them as busy as
    /// it can.
    fn burn(&mut self, _n: usize, _microseconds: u64) -> bool {
        false
    }
    /// Ends the child cleanly and reaps it.
    fn stop(self);
}

/// CPU time of this process and of the child, in µs.
struct Cpu(f64, f64);

impl Cpu {
    fn now(pid: i32) -> Self {
        Self(sys::cpu_self_us(), sys::cpu_of_us(pid))
    }

    fn put_per_call(&self, workload: &str, pid: i32, n: usize) {
        let end = Self::now(pid);
        let (parent, child) = ((end.0 - self.0) / n as f64, (end.1 - self.1) / n as f64);
        put(workload, "cpu_us", parent + child);
        put(workload, "cpu_parent_us", parent);
        put(workload, "cpu_child_us", child);
    }
}

fn put(workload: &str, metric: &str, value: f64) {
    println!("{workload},{metric},{value:.4}");
}

fn count(key: &str, default: usize) -> usize {
    let given = std::env::var(key).ok();
    given.map_or(default, |given| given.parse().expect("a count"))
}

fn small() -> Vec<u8> {
    (0..32).collect()
}

fn round_trips<P: Peer>(workload: &str, variant: &str, full: bool) {
    let mut peer = P::start(variant);
    let n = count("RTT_N", if full { 20_000 } else { 5_000 });
    peer.rtt(&small(), n / 10);
    let pid = peer.pid();
    let (cpu, start) = (Cpu::now(pid), Instant::now());
    peer.rtt(&small(), n);
    put(
        workload,
        "us",
        start.elapsed().as_secs_f64() * 1e6 / n as f64,
    );
    cpu.put_per_call(workload, pid, n);
    peer.stop();
}

fn pipelined<P: Peer>(workload: &str, variant: &str, full: bool, window: usize) {
    let mut peer = P::start(variant);
    let n = count("PIPE_N", if full { 200_000 } else { 50_000 });
    if peer.pipe(&small(), n.min(5_000), 1024) {
        let pid = peer.pid();
        let (cpu, start) = (Cpu::now(pid), Instant::now());
        if peer.pipe(&small(), n, window) {
            put(
                workload,
                "calls_s",
                n as f64 / start.elapsed().as_secs_f64(),
            );
            cpu.put_per_call(workload, pid, n);
        }
    }
    peer.stop();
}

fn bulk<P: Peer>(workload: &str, variant: &str, size: usize, n: usize) {
    let payload: Vec<u8> = (0..size).map(|i| ((i * 31) >> 3) as u8).collect();
    let mut peer = P::start(variant);
    peer.rtt(&payload, 2);
    let pid = peer.pid();
    let (cpu, start) = (Cpu::now(pid), Instant::now());
    peer.rtt(&payload, n);
    let seconds = start.elapsed().as_secs_f64();
    put(
        workload,
        "gib_s",
        (n * size) as f64 / (1u64 << 30) as f64 / seconds,
    );
    cpu.put_per_call(workload, pid, n);
    peer.stop();
}

/// Measures starts while `heap` bytes of this process are in use.
fn spawns<P: Peer>(workload: &str, variant: &str, full: bool, heap: usize) {
    let mut heap = vec![0u8; heap];
    heap.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    let one = || {
        let start = Instant::now();
        let mut peer = P::start(variant);
        peer.rtt(&small(), 1);
        peer.stop();
        start.elapsed().as_secs_f64() * 1e3
    };
    for _ in 0..3 {
        one();
    }
    let n = if full { 100 } else { 15 };
    let mut times: Vec<f64> = (0..n).map(|_| one()).collect();
    times.sort_by(f64::total_cmp);
    put(workload, "ms", times.iter().sum::<f64>() / n as f64);
    put(workload, "median_ms", times[n / 2]);
    std::hint::black_box(&heap);
}

fn idle<P: Peer>(variant: &str) {
    let mut peer = P::start(variant);
    peer.rtt(&small(), 1000);
    std::thread::sleep(Duration::from_millis(50));
    let pid = peer.pid();
    let (rss, pss, private) = sys::smaps(pid);
    put("idle", "private_dirty_kib", private);
    put("idle", "rss_kib", rss);
    put("idle", "pss_kib", pss);
    put("idle", "threads", sys::threads(pid) as f64);
    peer.stop();
}

fn structs<P: Peer>(variant: &str, full: bool) {
    let records = make_records();
    let mut peer = P::start(variant);
    let n = if full { 3_000 } else { 300 };
    if peer.records(&records, n / 10) {
        let start = Instant::now();
        peer.records(&records, n);
        put(
            "struct",
            "calls_s",
            n as f64 / start.elapsed().as_secs_f64(),
        );
    }
    peer.stop();
}

fn sleepers<P: Peer>(variant: &str, full: bool) {
    let n = if full { 10_000 } else { 1_000 };
    let mut peer = P::for_sleepers(variant);
    peer.sleepers(10, 1);
    let start = Instant::now();
    if peer.sleepers(n, 100) {
        put("sleepers", "s", start.elapsed().as_secs_f64());
        put("sleepers", "peak_rss_kib", sys::peak_rss(peer.pid()));
    }
    peer.stop();
}

fn pool<P: Peer>(variant: &str, full: bool) {
    let n = if full { 20_000 } else { 2_000 };
    let mut peer = P::start(variant);
    if peer.burn(n / 40, 50) {
        let start = Instant::now();
        peer.burn(n, 50);
        put("pool", "s", start.elapsed().as_secs_f64());
    }
    peer.stop();
}

/// Runs the workload that the arguments name: the `main` of a peer.
pub fn run<P: Peer>() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [variant, workload, mode] = &arguments[..] else {
        eprintln!("usage: PEER VARIANT WORKLOAD quick|full; usually the runner does this");
        std::process::exit(2);
    };
    // The alarm ends a peer that hangs for 120 s.
    unsafe { libc::alarm(120) };
    let full = mode == "full";
    match workload.as_str() {
        "rtt32" | "rtt32pin" | "rtt32await" => round_trips::<P>(workload, variant, full),
        "pipe32" | "pipe32await" => pipelined::<P>(workload, variant, full, 1024),
        "pipe32u" => pipelined::<P>(workload, variant, full, UNLIMITED),
        "bulk1m" => bulk::<P>(workload, variant, 1 << 20, if full { 200 } else { 30 }),
        "bulk16m" => bulk::<P>(workload, variant, 16 << 20, if full { 16 } else { 4 }),
        "spawn" | "fork" => spawns::<P>(workload, variant, full, 0),
        "spawn_big" | "fork_big" => spawns::<P>(workload, variant, full, 2 << 30),
        "idle" => idle::<P>(variant),
        "struct" => structs::<P>(variant, full),
        "sleepers" => sleepers::<P>(variant, full),
        "pool" => pool::<P>(variant, full),
        other => panic!("no workload {other}"),
    }
}
