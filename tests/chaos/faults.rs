//! Faults from outside: signals, interruptions, and refusals of the system.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use crate::figures::Figures;
use crate::marks::now;
use crate::random::Random;

extern "C" fn nothing(_: i32) {}

/// Has `SIGALRM` interrupt system calls, which are not started again.
pub(crate) fn take_alarms() {
    let handler = SigHandler::Handler(nothing);
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing.
    unsafe { sigaction(Signal::SIGALRM, &action) }.unwrap();
}

/// Interrupts the main thread of this process from now on, all the time.
pub(crate) fn interrupt_this_process() {
    take_alarms();
    let time = libc::timeval {
        tv_sec: 0,
        tv_usec: 300,
    };
    let timer = libc::itimerval {
        it_interval: time,
        it_value: time,
    };
    // SAFETY: the pointer is to a live value, and the old timer is not asked for.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
}

/// Interrupts all threads of this process, one after the other, until `over`. Returns how many signals were sent.
pub(crate) fn interrupt_all_threads(over: &AtomicBool) -> u64 {
    let (own, mut times) = (std::process::id() as i32, 0);
    while !over.load(Ordering::Relaxed) {
        for task in fs::read_dir("/proc/self/task")
            .into_iter()
            .flatten()
            .flatten()
        {
            let id: i32 = task.file_name().to_str().unwrap().parse().unwrap();
            // SAFETY: it has no memory effects; the thread may be gone.
            let sent = unsafe { libc::syscall(libc::SYS_tgkill, own, id, libc::SIGALRM) };
            times += u64::from(sent == 0);
            thread::sleep(Duration::from_micros(20));
        }
    }
    times
}

/// Raises the limit of descriptors of this process as far as it may.
pub(crate) fn allow_more_descriptors() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}

/// Opens files until there are this many, or the system refuses more.
pub(crate) fn all_descriptors(most: usize) -> Vec<File> {
    let files = (0..most).map_while(|_| File::open("/dev/null").ok());
    files.collect()
}

/// Leaves this process without free descriptors for moments, until `over`.
pub(crate) fn take_descriptors(random: &mut Random, over: &AtomicBool) -> u64 {
    let mut times = 0;
    while !over.load(Ordering::Relaxed) {
        let mut all = all_descriptors(usize::MAX);
        times += 1;
        all.truncate(all.len() - random.below(5).min(all.len() as u64) as usize);
        thread::sleep(Duration::from_micros(random.below(1500)));
        drop(all);
        thread::sleep(Duration::from_micros(500 + random.below(4000)));
    }
    times
}

/// Refuses new threads and processes for moments, until `over`.
pub(crate) fn refuse_processes(random: &mut Random, over: &AtomicBool) -> u64 {
    let (_, hard) = getrlimit(Resource::RLIMIT_NPROC).unwrap();
    let mut times = 0;
    while !over.load(Ordering::Relaxed) {
        setrlimit(Resource::RLIMIT_NPROC, 1.min(hard), hard).unwrap();
        times += 1;
        thread::sleep(Duration::from_micros(random.below(2000)));
        setrlimit(Resource::RLIMIT_NPROC, hard, hard).unwrap();
        thread::sleep(Duration::from_micros(500 + random.below(4000)));
    }
    times
}

/// A signal that was sent to a child.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shot {
    pub(crate) pid: u32,
    pub(crate) signal: i32,
    pub(crate) at: u64,
}

/// All signals of a round that end a child.
#[derive(Debug, Default)]
pub(crate) struct Shots {
    all: Mutex<BTreeMap<u64, Shot>>,
    /// How many hit their child while a long call was made.
    pub(crate) aimed: AtomicU64,
}

impl Shots {
    pub(crate) fn all(&self) -> Vec<Shot> {
        self.all.lock().unwrap().values().copied().collect()
    }

    fn add(&self, shot: Shot) -> u64 {
        let mut all = self.all.lock().unwrap();
        let number = all.last_key_value().map_or(0, |(last, _)| last + 1);
        all.insert(number, shot);
        number
    }

    fn remove(&self, number: u64) {
        self.all.lock().unwrap().remove(&number);
    }
}

/// Kills a child after this time, if it is one of this process and runs then.
pub(crate) fn shoot_at(pid: u32, after: Duration, shots: &Shots) -> bool {
    thread::sleep(after);
    Victim::of(pid).is_some_and(|victim| victim.shoot(libc::SIGKILL, shots))
}

/// A child of this process, which keeps its number as long as this is held.
struct Victim {
    pid: u32,
    file: OwnedFd,
}

impl Victim {
    fn of(pid: u32) -> Option<Self> {
        // SAFETY: it takes two numbers, and returns a descriptor or -1.
        let file = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        let file = i32::try_from(file).ok().filter(|file| *file >= 0)?;
        // SAFETY: it was opened here, and nothing else has it.
        let file = unsafe { OwnedFd::from_raw_fd(file) };
        // Behind the opening, so that this is the process that was opened.
        let own = std::process::id();
        let is_ours = crate::processes::stat(pid).is_some_and(|(_, parent)| parent == own);
        is_ours.then_some(Self { pid, file })
    }

    /// Sends a signal, unless the child has ended, or there is no descriptor to look. Returns whether it was sent.
    fn send(&self, signal: i32) -> bool {
        crate::processes::is_alive(self.pid) && self.signal(signal)
    }

    /// Sends a signal. Returns whether it was sent.
    fn signal(&self, signal: i32) -> bool {
        use std::os::fd::AsRawFd;
        let info = std::ptr::null_mut::<libc::siginfo_t>();
        let file = self.file.as_raw_fd();
        // SAFETY: the descriptor is open; no information goes with the signal.
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, file, signal, info, 0) == 0 }
    }

    /// Sends a signal that ends the child, and notes it. Returns whether it was sent.
    fn shoot(&self, signal: i32, shots: &Shots) -> bool {
        // First, so that the end of the child is not seen before.
        let number = shots.add(Shot {
            pid: self.pid,
            signal,
            at: now(),
        });
        let has_hit = self.send(signal);
        if !has_hit {
            shots.remove(number);
        }
        has_hit
    }
}

/// Returns the children of this process, of all its threads.
pub(crate) fn children() -> Vec<u32> {
    let tasks = fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten();
    let lists = tasks.map(|task| fs::read_to_string(task.path().join("children")));
    let lists: Vec<_> = lists.filter_map(Result::ok).collect();
    let all = lists.iter().flat_map(|list| list.split_whitespace());
    all.filter_map(|pid| pid.parse().ok()).collect()
}

const DEADLY: [i32; 8] = [
    libc::SIGKILL,
    libc::SIGKILL,
    libc::SIGKILL,
    libc::SIGKILL,
    libc::SIGTERM,
    libc::SIGABRT,
    libc::SIGILL,
    libc::SIGSEGV,
];

/// Shoots at children and templates of this process until `over`.
pub(crate) fn shoot(random: &mut Random, shots: &Shots, over: &AtomicBool) -> Figures {
    let mut figures = Figures::default();
    let pause = 1 << (8 + random.below(7));
    while !over.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_micros(random.below(pause)));
        let all = children();
        if all.is_empty() {
            continue;
        }
        let Some(victim) = Victim::of(random.pick(&all)) else {
            continue;
        };
        if let Some(name) = one_fault(random, &victim, shots) {
            figures.add(name, 1);
        }
    }
    figures
}

/// Returns what has hit the child. `None` if it had ended already.
fn one_fault(random: &mut Random, victim: &Victim, shots: &Shots) -> Option<&'static str> {
    let stops = random.below(4);
    if stops == 0 || stops == 1 {
        let has_stopped = victim.send(libc::SIGSTOP);
        thread::sleep(Duration::from_micros(random.up_to_bits(14)));
        if stops == 1 || !has_stopped {
            victim.signal(libc::SIGCONT);
            return has_stopped.then_some("stops");
        }
    }
    let signal = if stops == 0 {
        // Only this ends a process that stands.
        libc::SIGKILL
    } else {
        random.pick(&DEADLY)
    };
    let has_hit = victim.shoot(signal, shots);
    if !has_hit && stops == 0 {
        // A child that was not killed must not stay stopped.
        victim.signal(libc::SIGCONT);
    }
    has_hit.then_some("kills")
}
