//! Chaos: the promises, kept while everything goes wrong.
//!
//! ```text
//! cargo test --all-features --test chaos                          a minute
//! OFFSPRING_TEST_SCALE=60 cargo test --all-features --test chaos  an hour
//! cargo test --all-features --test chaos -- --seed 17             the choices of another run
//! cargo test --all-features --test chaos -- --profile plain --round 4711   one round, again and again
//! ```
//!
//! # States and rules
//!
//! A **run** starts *hosts*: processes of this program, each with a profile that says what goes wrong in it. A host goes
//! through *rounds*. A round has a template, up to three *scenes* at once, and, in three of four, a thread that shoots at
//! all children and templates of the process. A scene has children of one kind, up to four threads that call them, each in
//! one style, and an end. Some children are in a sandbox: they have given up system calls, and check that these fail. Some
//! jobs call a child of their child, some long calls have a kill aimed at them, and some callbacks call the child that they
//! belong to. All is chosen by the seed of the round, which is printed when something is wrong; the moments are the system's.
//!
//! A **job** is one call. It is *accepted* when `call` or `try_call` has returned a handle. From then on it goes through
//! these states, and the parent and the child both keep books on them:
//!
//! ```text
//! accepted -> began -> ended -> done (a reply, or an error)
//!        \______\________\____-> done (an error), withdrawn (the handle is dropped), detached
//! ```
//!
//! A job leaves two **marks** in a file, one when it begins and one when it has made its reply. Each is one write to a
//! file that was opened to append, so no end of a process can undo or divide it. Others tell that the job ends its child,
//! or closes its descriptors. At the end of a scene the ledger of the parent is held against the marks:
//!
//! 1. Each accepted job is done exactly once, or was withdrawn or detached. No callback is dropped without being called.
//! 2. A job with a reply has both marks, and the reply is its own, byte for byte.
//! 3. A job whose error says `Started::No` has no mark. One whose error says `Started::Yes` has a mark, except the last that
//!    a child counted: it may have died before the mark, but not if a job that it ran had begun. Where parent and child share
//!    memory, with or without rings, it is known of each job whether it started.
//! 4. What was finished has arrived: if the child of a job made any mark behind the job's second one, the job's error is
//!    a time-out, or says that the reply could not be written or read; and all events that were sent before a mark came. A
//!    child in a thread or at a socket goes on when its link is cut: what it makes then is lost.
//! 5. No job began more often than once, and once more for each time that it may be repeated.
//! 6. The events of a child, and of a call, come in their order; a reply is seen after all events before it, except by a
//!    callback that waits for it; callbacks come in the order of the replies.
//! 7. An error is of a kind that what was done can cause. In the plain form a job that fails ends its child. A crash
//!    report names a signal or exit code that the child was sent, or gave itself. A panic is that of a job that panics, and
//!    such a job has no reply. A map gives one result for each item that is asked for: if they come as they are made, each
//!    error is held against an item without a reply that it fits best.
//! 8. `on_destroy` is called once.
//! 9. After a round nothing is left: no child, no zombie, no thread, no descriptor of any kind beyond those that the host
//!    has from its start, no mapped memory file; after a host's warm-up its memory grows by less than [`MOST_GROWTH`]. When
//!    a host is killed, its children and templates go. Children of children go with their parents.
//! 10. Nothing takes longer than the watch allows, from the first moment of a round on, and no refusal of the system lasts:
//!     then the process says what is open, and ends. A death report takes at most ten times the promised second, from the
//!     first signal or exit that was sure to end the child, whether it was sent or its own, to the outcome of a call. The
//!     slowest is among the figures. They count what hit: signals to processes and threads that ran.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

mod accounts;
mod calls;
mod crew;
mod faults;
mod figures;
#[path = "../it/support/gates.rs"]
#[expect(dead_code, reason = "the other tests share more")]
mod gates;
mod inside;
mod job;
mod ledger;
#[path = "../it/support/leftovers.rs"]
#[expect(dead_code, reason = "the other tests share more")]
mod leftovers;
mod marks;
mod plan;
#[path = "../it/support/processes.rs"]
#[expect(dead_code, reason = "the other tests share more")]
mod processes;
mod random;
mod round;
#[path = "../hostile/seccomp.rs"]
#[expect(dead_code, reason = "other tests refuse all newer calls")]
mod seccomp;
mod starts;
mod watch;

use figures::Figures;
use processes::own_memory;
use random::Random;
use watch::{Left, Watch};

/// After this many rounds a host's memory is looked at for the first time.
const WARM: u64 = 5;

/// How much more memory a host may have after a round than after round [`WARM`], in bytes. Each thread may keep 80 MiB in
/// buffers, so memory grows for some 70 rounds: in hosts of 40 to 150 rounds by 157 to 211 MiB at the most. A host that runs
/// for an hour's share of two minutes finds a leak of 10 MiB a round; one of a minute's run, with some 14 rounds, one of 40.
const MOST_GROWTH: usize = 400 << 20;

/// How long something may be refused by a system that refuses it for milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// The text of panics on purpose.
pub(crate) const ON_PURPOSE: &str = "on purpose";

/// The faults in a host, beside those that its children make and suffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    Plain,
    /// Signals interrupt all threads, and all children.
    Storm,
    /// For moments there are no free descriptors.
    Descriptors,
    /// For moments the system refuses threads and processes.
    Processes,
}

const PROFILES: [(&str, Profile); 4] = [
    ("plain", Profile::Plain),
    ("storm", Profile::Storm),
    ("descriptors", Profile::Descriptors),
    ("processes", Profile::Processes),
];

impl Profile {
    /// The system refuses what calls, children and threads need.
    pub(crate) fn is_short(self) -> bool {
        matches!(self, Self::Descriptors | Self::Processes)
    }
}

/// Repeats what the system refuses for a moment. A moment has at most [`PATIENCE`].
pub(crate) fn patiently<T>(mut attempt: impl FnMut() -> io::Result<T>) -> T {
    let start = Instant::now();
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(error) => match error.raw_os_error() {
                Some(libc::EMFILE | libc::ENFILE | libc::EAGAIN | libc::ENOMEM)
                    if start.elapsed() < PATIENCE =>
                {
                    std::thread::sleep(Duration::from_micros(200));
                }
                _ => panic!("{error}"),
            },
        }
    }
}

/// Waits until this is so.
pub(crate) fn until(mut reached: impl FnMut() -> bool) {
    while !reached() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Ends this process, and its children.
pub(crate) fn end_everything(code: i32) -> ! {
    faults::children()
        .into_iter()
        .for_each(processes::kill_process);
    std::process::exit(code)
}

fn scale() -> f64 {
    let set = std::env::var("OFFSPRING_TEST_SCALE").ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(1.0)
}

/// The arguments of this program.
struct Arguments(Vec<String>);

impl Arguments {
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|own| own == name)
    }

    fn value(&self, name: &str) -> Option<&str> {
        let at = self.0.iter().position(|own| own == name)?;
        self.0.get(at + 1).map(String::as_str)
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.value(name).map(|text| text.parse().unwrap())
    }

    /// A harness asks for tests of other names.
    fn excludes_this(&self) -> bool {
        let is_filter = |own: &&String| !own.starts_with('-');
        let first = self.0.first().filter(is_filter);
        self.has("--ignored") || first.is_some_and(|first| !"chaos".contains(first.as_str()))
    }
}

fn main() -> ExitCode {
    offspring::init();
    let arguments = Arguments(std::env::args().skip(1).collect());
    if let Some(worker) = arguments.value("--serve") {
        job::serve(worker);
    }
    if arguments.has("--list") {
        if !arguments.has("--ignored") {
            println!("chaos: test");
        }
        return ExitCode::SUCCESS;
    }
    if let Some(name) = arguments.value("--profile") {
        let (_, profile) = PROFILES
            .into_iter()
            .find(|(own, _)| *own == name)
            .expect("a profile");
        return host(profile, &arguments);
    }
    if arguments.excludes_this() {
        return ExitCode::SUCCESS;
    }
    run(&arguments)
}

/// Goes through the rounds of one host.
fn host(profile: Profile, arguments: &Arguments) -> ExitCode {
    judge_panics();
    prepare(profile);
    let temp = gates::Temp::new();
    let folder = temp.path("");
    let watch = Watch::start(Duration::from_secs(60).mul_f64(scale().clamp(1.0, 5.0)));
    let ground = round::Ground {
        profile,
        folder: Path::new(&folder),
        watch: &watch,
    };
    let seconds = arguments.number("--seconds").unwrap_or(10);
    let (start, before) = (Instant::now(), Left::now());
    let (mut number, mut warm) = (0, 0);
    while start.elapsed() < Duration::from_secs(seconds) {
        let seed = match arguments.number("--round") {
            Some(seed) => seed,
            None => Random::part(arguments.number("--seed").unwrap_or(1), number).next() >> 16,
        };
        let (mut figures, mut wrong) = ground.round(seed);
        watch.until_nothing_is_left(&before);
        number += 1;
        if number == WARM {
            warm = leftovers::trimmed_memory();
        }
        let grown = match number > WARM {
            true => leftovers::trimmed_memory().saturating_sub(warm),
            false => 0,
        };
        figures.add(
            "largest growth of a host's memory (KiB)",
            (grown >> 10) as u64,
        );
        println!("figures\t{}", figures.line());
        if grown > MOST_GROWTH {
            wrong.push(format!("the memory has grown by {} KiB", grown >> 10));
        }
        if !wrong.is_empty() {
            println!(
                "wrong: `--profile {}` `--round {seed}`",
                arguments.value("--profile").unwrap()
            );
            let few = wrong.iter().take(5);
            few.for_each(|what| println!("wrong: {what}"));
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Panics on purpose say nothing; others end all.
fn judge_panics() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let text = info.payload().downcast_ref::<String>();
        if text.map(String::as_str) != Some(ON_PURPOSE) {
            hook(info);
            end_everything(101);
        }
    }));
}

/// Makes this process one that the profile can act on.
fn prepare(profile: Profile) {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    // The reactors of runtimes open their descriptors before the first count.
    smol::block_on(smol::Timer::after(Duration::from_millis(1)));
    match profile {
        Profile::Plain => {}
        Profile::Storm => faults::take_alarms(),
        Profile::Descriptors => {
            let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
            setrlimit(Resource::RLIMIT_NOFILE, 200.min(hard), hard).unwrap();
        }
        Profile::Processes => {
            // The limit is not for root.
            if nix::unistd::geteuid().is_root() {
                nix::unistd::setuid(nix::unistd::Uid::from_raw(65534)).unwrap();
            }
        }
    }
}

/// A host's output, while it runs.
struct Host {
    process: Child,
    name: &'static str,
}

const HOST: &str = "OFFSPRING_CHAOS_HOST";

impl Host {
    fn start((name, _): (&'static str, Profile), seed: u64, seconds: u64) -> Self {
        let mut command = Command::new("/proc/self/exe");
        command.args([
            "--profile",
            name,
            "--seed",
            &seed.to_string(),
            "--seconds",
            &seconds.to_string(),
        ]);
        command
            .env(HOST, std::process::id().to_string())
            .stdout(Stdio::piped());
        Self {
            process: command.spawn().unwrap(),
            name,
        }
    }

    /// Counts what it prints, until it ends or this returns true.
    fn read(&mut self, total: &mut Figures, mut enough: impl FnMut(&Figures) -> bool) {
        let mut own = Figures::default();
        let lines = BufReader::new(self.process.stdout.take().unwrap()).lines();
        for line in lines.map_while(Result::ok) {
            match line.strip_prefix("figures\t") {
                Some(figures) => own.merge(&Figures::parse(figures)),
                None => println!("{}: {line}", self.name),
            }
            if enough(&own) {
                break;
            }
        }
        total.merge(&own);
    }

    fn succeeds(mut self) -> bool {
        self.process.wait().unwrap().success()
    }

    /// Kills the host in the middle, and waits until all that it started is gone.
    fn kill(mut self) -> bool {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(30).mul_f64(scale().max(1.0)) {
            let left = survivors();
            if left.is_empty() {
                return true;
            }
            // A child that was stopped when the host was killed goes on.
            left.keys()
                .for_each(|pid| signal(*pid, nix::sys::signal::Signal::SIGCONT));
            std::thread::sleep(Duration::from_millis(5));
        }
        println!("wrong: these have survived their host: {:?}", survivors());
        survivors()
            .keys()
            .for_each(|pid| signal(*pid, nix::sys::signal::Signal::SIGKILL));
        false
    }
}

fn signal(pid: i32, signal: nix::sys::signal::Signal) {
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal);
}

/// Processes that a host of this run has started. Those that jobs started to outlive their child are ended.
fn survivors() -> BTreeMap<i32, String> {
    let mut left = with_variable(&format!("{HOST}={}", std::process::id()));
    left.retain(|pid, name| {
        let is_sleep = name == "sleep";
        if is_sleep {
            signal(*pid, nix::sys::signal::Signal::SIGKILL);
        }
        !is_sleep
    });
    left
}

/// Returns the processes whose environment has `variable`, as `NAME=VALUE`, with their names.
pub(crate) fn with_variable(variable: &str) -> BTreeMap<i32, String> {
    let mut found = BTreeMap::new();
    for entry in patiently(|| std::fs::read_dir("/proc")).flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let read = |file| std::fs::read(entry.path().join(file)).unwrap_or_default();
        if !read("environ")
            .split(|byte| *byte == 0)
            .any(|part| part == variable.as_bytes())
        {
            continue;
        }
        let name = String::from_utf8_lossy(&read("comm")).trim().to_owned();
        found.insert(pid, name);
    }
    found
}

/// Runs hosts of all profiles, one after the other, and prints the figures.
fn run(arguments: &Arguments) -> ExitCode {
    let seed = arguments
        .number("--seed")
        .unwrap_or_else(|| marks::now() >> 20 & 0xffff_ffff);
    let seconds = (60.0 * scale()) as u64;
    let each = (seconds / 12).clamp(3, 120);
    let (start, mut total) = (Instant::now(), Figures::default());
    let mut random = Random::new(seed);
    let mut is_well = true;
    println!("chaos: seed {seed}, {seconds} s");
    for number in 0.. {
        if start.elapsed() >= Duration::from_secs(seconds) || !is_well {
            break;
        }
        let [plain, storm, descriptors, processes] = PROFILES;
        let profile = [plain, storm, plain, descriptors, plain, processes][number % 6];
        let mut host = Host::start(profile, random.next() >> 16, each);
        if number % 6 == 2 {
            let rounds = 1 + random.below(20);
            host.read(&mut total, |own| own.get("rounds") >= rounds);
            is_well = host.kill();
            total.add("hosts killed", 1);
        } else {
            host.read(&mut total, |_| false);
            is_well = host.succeeds();
        }
        total.add("hosts", 1);
    }
    if is_well {
        // Otherwise the last lines are what went wrong.
        println!("| what | count |\n|---|---|\n{total}");
    }
    println!(
        "chaos: seed {seed}: {}",
        if is_well { "ok" } else { "FAILED" }
    );
    if is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
