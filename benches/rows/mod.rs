//! The rows that are measured. A row is one way to do something many times; a group has rows that do the same, and first of
//! all the bare socketpair: blocking, spinning, and with both sides on one CPU.
//!
//! Workers, and the rows that call them, are in one file. A new kind of child is a few more rows.

pub mod bare;
pub mod calls;
pub mod formats;
pub mod pairs;

use std::sync::Barrier;
use std::time::{Duration, Instant};

/// Does something this many times, and returns how long it took.
pub type Run = Box<dyn FnMut(u64) -> Duration>;

enum State {
    Idle(Option<Box<dyn FnOnce() -> Run>>),
    Started(Run),
}

/// One way to do it. Its child is started when it is first needed.
pub struct Row {
    pub name: String,
    state: State,
}

impl Row {
    pub fn new<R>(name: impl Into<String>, start: impl FnOnce() -> R + 'static) -> Self
    where
        R: FnMut(u64) -> Duration + 'static,
    {
        let start = Box::new(|| Box::new(start()) as Run);
        Self {
            name: name.into(),
            state: State::Idle(Some(start)),
        }
    }

    /// Does it this many times.
    pub fn run(&mut self, times: u64) -> Duration {
        if let State::Idle(start) = &mut self.state {
            let mut run = start.take().expect("started once")();
            run(1);
            self.state = State::Started(run);
        }
        let State::Started(run) = &mut self.state else {
            unreachable!("it was started")
        };
        run(times)
    }

    /// How many times take about so long.
    pub fn times_in(&mut self, time: Duration) -> u64 {
        let mut times = 1;
        loop {
            let taken = self.run(times);
            if taken * 4 >= time || times > 1 << 30 {
                let each = taken.as_secs_f64() / times as f64;
                return ((time.as_secs_f64() / each) as u64).max(1);
            }
            times *= 2;
        }
    }
}

/// How many of the first rows are bare.
pub const BARE: usize = 3;

/// Rows that do the same.
pub struct Group {
    pub name: &'static str,
    pub rows: Vec<Row>,
}

impl Group {
    /// With the bare socketpair carrying this many bytes there and back.
    fn new(name: &'static str, bytes: usize) -> Self {
        Self::beside(name, move |spins| bare::echoes(bytes, spins))
    }

    /// With a bare program that does the same: blocking, looking without sleeping, and blocking on one CPU.
    fn beside<R>(name: &'static str, bare: impl Fn(bool) -> R + Copy + 'static) -> Self
    where
        R: FnMut(u64) -> Duration + 'static,
    {
        let rows = vec![
            Row::new("bare, blocking", move || bare(false)),
            Row::new("bare, spinning", move || bare(true)),
            Row::new("bare, one CPU", move || pinned(move || bare(false))),
        ];
        debug_assert_eq!(rows.len(), BARE);
        Self { name, rows }
    }

    fn row<R>(mut self, name: &str, start: impl FnOnce() -> R + 'static) -> Self
    where
        R: FnMut(u64) -> Duration + 'static,
    {
        self.rows.push(Row::new(name, start));
        self
    }
}

/// All of them.
pub fn groups() -> Vec<Group> {
    calls::groups()
        .into_iter()
        .chain(formats::groups())
        .collect()
}

/// Times a loop.
pub fn timed(times: u64, mut once: impl FnMut()) -> Duration {
    let start = Instant::now();
    (0..times).for_each(|_| once());
    start.elapsed()
}

/// This many threads, each with its turn of the calls, one after the other; a call is told which thread makes it.
pub fn in_threads(threads: u64, times: u64, call: impl Fn(u64) + Sync) -> Duration {
    let each = times.div_ceil(threads);
    let (ready, done) = (
        Barrier::new(threads as usize + 1),
        Barrier::new(threads as usize + 1),
    );
    let taken = std::thread::scope(|scope| {
        for thread in 0..threads {
            let (call, ready, done) = (&call, &ready, &done);
            scope.spawn(move || {
                ready.wait();
                (0..each).for_each(|_| call(thread));
                done.wait();
            });
        }
        ready.wait();
        let start = Instant::now();
        done.wait();
        start.elapsed()
    });
    taken.mul_f64(times as f64 / (each * threads) as f64)
}

/// Both sides on one CPU: what is started here, and each run.
pub fn pinned<R>(start: impl FnOnce() -> R) -> impl FnMut(u64) -> Duration
where
    R: FnMut(u64) -> Duration,
{
    let mut run = on_one_cpu(start);
    move |times| on_one_cpu(|| run(times))
}

fn on_one_cpu<T>(run: impl FnOnce() -> T) -> T {
    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
    let this_thread = nix::unistd::Pid::from_raw(0);
    let before = sched_getaffinity(this_thread).expect("the CPUs");
    let first = (0..CpuSet::count()).find(|cpu| before.is_set(*cpu) == Ok(true));
    let mut one = CpuSet::new();
    one.set(first.expect("a CPU")).expect("a CPU");
    sched_setaffinity(this_thread, &one).expect("a CPU of one's own");
    let value = run();
    sched_setaffinity(this_thread, &before).expect("the CPUs as before");
    value
}
