//! The operations of a parent with children, step by step, in a process that is watched: in `tests/hostile`, and in
//! `tests/tools` where the place needs rights.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{PipeReader, Read, Write, pipe};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, Uid};
use offspring::{
    Descriptor, Events, Limits, PoolBuilder, Postcard, Rights, SharedBytes, SharedMemory, Template,
    service, worker,
};

use crate::support::*;

type Parts = (Descriptor<PipeReader>, SharedBytes, SharedMemory);

fn look((reader, bytes, memory): Parts) -> (String, SharedMemory) {
    let mut text = String::new();
    reader.into_inner().read_to_string(&mut text).unwrap();
    text.push_str(&bytes.len().to_string());
    (text, memory)
}

fn say(text: String, events: &Events<String>) -> String {
    events.send(text.clone()).unwrap();
    eprintln!("text");
    text
}

worker!(PARTS: fn(Parts) -> (String, SharedMemory) = look, serialiser = Postcard);
worker!(SAY: fn(String) -> String = say, events = String);
worker!(AT_ONCE: fn(String) -> String = async |text: String| text);
worker!(FOREVER: fn(String) -> String = async |_: String| std::future::pending().await);
worker!(COUNTER: dyn Counter = Count::default);

service! {
    trait Counter => CounterClient {
        fn add(&mut self, text: String) -> String;
    }
}

#[derive(Default)]
struct Count(usize);

impl Counter for Count {
    fn add(&mut self, text: String) -> String {
        self.0 += text.len();
        self.0.to_string()
    }
}

/// The words of an error.
type Outcome = Result<(), String>;

fn told_of(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Calls, and waits for the end.
macro_rules! converse {
    ($builder:expr) => {{
        let rpc = $builder.quiet().spawn().map_err(told_of)?;
        let answer = rpc.call("so".to_owned()).wait().map_err(told_of);
        let joined = rpc.join().wait().map(drop).map_err(told_of);
        let answer = answer?;
        assert_eq!(answer, "so");
        joined
    }};
}

fn parts() -> Outcome {
    let (reader, mut writer) = pipe().map_err(told_of)?;
    writer.write_all(b"so").map_err(told_of)?;
    drop(writer);
    let bytes = SharedBytes::copy_from_slice(&[1; 100_000]).map_err(told_of)?;
    let memory = SharedMemory::new(100_000).map_err(told_of)?;
    let rpc = PARTS.builder().quiet().spawn().map_err(told_of)?;
    let answer = rpc.call((reader.into(), bytes, memory)).wait();
    let joined = rpc.join().wait().map(drop).map_err(told_of);
    let (text, memory) = answer.map_err(told_of)?;
    assert_eq!((&text[..], memory.len()), ("so100000", 100_000));
    joined
}

fn events() -> Outcome {
    let builder = SAY.builder().capture_stderr(1000).quiet();
    let (rpc, events) = builder.spawn_with_events().map_err(told_of)?;
    let answer = rpc.call("so").wait().map_err(told_of);
    let joined = rpc.join().wait().map(drop).map_err(told_of);
    let came: Vec<_> = events.into_iter().filter_map(Result::ok).collect();
    assert_eq!(answer?, "so");
    joined?;
    assert_eq!(came, ["so"]);
    Ok(())
}

fn pool() -> Outcome {
    call_a_pool(TEXT.pool().max(2))
}

fn call_a_pool(pool: PoolBuilder<fn(String) -> String>) -> Outcome {
    let pool = pool.quiet().spawn().map_err(told_of)?;
    let calls: Vec<_> = (0..4).map(|n| pool.call(n.to_string())).collect();
    let answers: Vec<_> = calls.into_iter().map(|call| call.wait()).collect();
    let joined = pool.join().wait().map(drop).map_err(told_of);
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.map_err(told_of)?, n.to_string());
    }
    joined
}

fn killed() -> Outcome {
    let rpc = TEXT.builder().quiet().spawn().map_err(told_of)?;
    rpc.ready().wait().map_err(told_of)?;
    rpc.kill();
    let error = rpc.call("so").wait().unwrap_err();
    assert!(error.is_child_dead(), "{error}");
    let _ = rpc.join().wait();
    Ok(())
}

fn from_template() -> Outcome {
    let template = Template::builder().start().map_err(told_of)?;
    converse!(TEXT.template(&template))
}

/// Rights that only root can give up, as root; and the directory.
fn rights() -> Outcome {
    let rights = Rights::new().umask(0o077).no_new_privileges();
    // In a namespace of users root may not set groups, nor become a user who is unknown there.
    let groups = std::fs::read_to_string("/proc/self/setgroups");
    let is_free = groups.map_or(true, |text| text.trim() == "allow");
    let rights = if Uid::effective().is_root() && is_free {
        rights.user("nobody").group(65_534).no_groups()
    } else {
        rights
    };
    converse!(TEXT.builder().rights(rights).current_dir("/"))
}

fn of_a_template_elsewhere() -> Outcome {
    let template = Template::builder().start().map_err(told_of)?;
    let builder = TEXT.template(&template).current_dir("/").env("NAME", "so");
    converse!(builder.own_session())
}

/// An error where `close` is refused: the end of a link is not seen there.
fn closing_works() -> Outcome {
    let other = REPORT.as_fd().try_clone_to_owned();
    nix::unistd::close(other.map_err(told_of)?).map_err(told_of)
}

fn thread() -> Outcome {
    closing_works()?;
    converse!(TEXT.builder().in_process())
}

fn over_a_socket() -> Outcome {
    closing_works()?;
    let (ours, theirs) = UnixStream::pair().map_err(told_of)?;
    let mut command = Command::new(PROGRAM.as_os_str());
    command
        .args(["--serve", "texts"])
        .stdin(OwnedFd::from(theirs));
    let mut process = command.spawn().map_err(told_of)?;
    drop(command);
    let outcome = (|| converse!(TEXTS.builder().socket(ours)))();
    // Where `SIGCHLD` is ignored there is nothing to wait for.
    let _ = process.wait();
    outcome
}

fn over_descriptors() -> Outcome {
    closing_works()?;
    let mut command = Command::new(PROGRAM.as_os_str());
    command.args(["--serve", "texts"]);
    let mut process = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(told_of)?;
    let (write, read) = (
        process.stdin.take().unwrap(),
        process.stdout.take().unwrap(),
    );
    let (read, write) = (OwnedFd::from(read), OwnedFd::from(write));
    let outcome = (|| converse!(TEXTS.builder().descriptors(read, write)))();
    // Where `SIGCHLD` is ignored there is nothing to wait for.
    let _ = process.wait();
    outcome
}

fn once() -> Outcome {
    let answer = TEXT.builder().quiet().once("so").wait().map_err(told_of)?;
    assert_eq!(answer, "so");
    Ok(())
}

fn of_a_service() -> Outcome {
    let counter = COUNTER.builder().quiet().spawn().map_err(told_of)?;
    let answer = counter.add("so").wait().map_err(told_of);
    let joined = counter.join().wait().map(drop).map_err(told_of);
    assert_eq!(answer?, "2");
    joined
}

/// A call that is late, one that is cancelled, and their children, which go on.
fn late_and_cancelled() -> Outcome {
    for kills in [false, true] {
        let rpc = FOREVER.builder().quiet().spawn().map_err(told_of)?;
        rpc.ready().wait().map_err(told_of)?;
        let time = Duration::from_millis(1);
        let error = rpc.call("so").timeout(time).wait().unwrap_err();
        assert!(error.is_timeout() || error.is_child_dead(), "{error}");
        drop(rpc.call("so").kill_on_cancel(kills));
        let joined = rpc.join().wait().map(drop).map_err(told_of);
        // Where killing is refused, the link is cut.
        if !kills {
            joined?;
        }
    }
    Ok(())
}

fn mixed_pool() -> Outcome {
    let template = Template::builder().start().map_err(told_of)?;
    let pool = TEXT.pool().max(1).also(1, TEXT.template(&template));
    call_a_pool(pool.load(1))
}

/// The path of this program, also where there is no `/proc`: the steps are begun with it.
pub(crate) static PROGRAM: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::args_os().next().unwrap().into());

/// Where the outcomes are printed: stdout as it was before the place was prepared.
static REPORT: LazyLock<File> = LazyLock::new(|| {
    let copy = fcntl(std::io::stdout().as_fd(), FcntlArg::F_DUPFD_CLOEXEC(10)).unwrap();
    // SAFETY: the descriptor was made this moment, and belongs to nothing else.
    File::from(unsafe { OwnedFd::from_raw_fd(copy) })
});

/// Makes what the steps need from a place that is still whole.
pub(crate) fn be_ready() {
    LazyLock::force(&PROGRAM);
    LazyLock::force(&REPORT);
}

/// A line is one write, or nothing where writing is refused.
fn report(line: std::fmt::Arguments<'_>) {
    let _ = (&*REPORT).write_all(format!("{line}\n").as_bytes());
}

/// A name, and what is done.
type Step = (&'static str, fn() -> Outcome);

const STEPS: &[Step] = &[
    ("child", || converse!(TEXT.builder())),
    ("concurrent", || converse!(AT_ONCE.builder())),
    ("events", events),
    ("parts", parts),
    ("pool", pool),
    ("template", from_template),
    ("command", || {
        // By its path, as it was found when nothing was refused.
        let mut command = Command::new(PROGRAM.as_os_str());
        command.args(["--serve", "texts"]);
        converse!(TEXTS.command(command))
    }),
    ("confined", || {
        let limits = Limits::new().open_files(100).nice(1);
        converse!(TEXT.builder().limits(limits).own_group().exit_with_parent())
    }),
    ("limited", || {
        let limits = Limits::new()
            .memory(1 << 30)
            .core_size(0)
            .file_size(1 << 30);
        let limits = limits.cpu_time(Duration::from_secs(100));
        converse!(TEXT.builder().limits(limits))
    }),
    ("rights", rights),
    ("session", || converse!(TEXT.builder().own_session())),
    ("elsewhere", of_a_template_elsewhere),
    ("thread", thread),
    ("socket", over_a_socket),
    ("descriptors", over_descriptors),
    ("once", once),
    ("service", of_a_service),
    ("late", late_and_cancelled),
    ("mixed pool", mixed_pool),
    ("killed", killed),
];

/// Does all, and prints what came of it.
pub(crate) fn go_through() {
    go_through_all();
    report(format_args!("all is done"));
}

/// The same, and nothing may be left of it.
pub(crate) fn go_through_and_leave_nothing() {
    go_through_all();
    // Looking needs descriptors.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    until(|| children().is_empty() && own_threads().is_empty());
    report(format_args!("all is done"));
}

fn go_through_all() {
    be_ready();
    std::panic::set_hook(Box::new(|panic| report(format_args!("a panic: {panic}"))));
    for (name, step) in STEPS {
        report(format_args!("begun {name}"));
        let outcome = catch_unwind(AssertUnwindSafe(step));
        match outcome {
            Ok(Ok(())) => report(format_args!("fine {name}")),
            Ok(Err(text)) => report(format_args!("error {name}: {}", text.replace('\n', " / "))),
            Err(_) => report(format_args!("panicked {name}")),
        }
    }
}

/// The result of a step.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Works,
    /// The errors of some steps.
    Errors(BTreeMap<String, String>),
    /// The process has ended before that, in this way.
    Gone(String),
    Hangs(String),
    Panics(String),
}

/// Runs a process that goes through all, for as long as it may take.
#[track_caller]
pub(crate) fn watch(command: &mut Command) -> Seen {
    let mut process = command
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .begin();
    let (mut out, mut err) = (
        process.stdout.take().unwrap(),
        process.stderr.take().unwrap(),
    );
    let read = |from: &mut dyn Read| {
        let mut text = Vec::new();
        from.read_to_end(&mut text).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    };
    std::thread::scope(|scope| {
        let out = scope.spawn(move || read(&mut out));
        let err = scope.spawn(move || read(&mut err));
        let start = Instant::now();
        let status = loop {
            if let Some(status) = process.try_wait().unwrap() {
                break Some(status);
            }
            if start.elapsed() > limit(Duration::from_secs(30)) {
                // What it has started would hold the pipes.
                let _ = killpg(Pid::from_raw(process.id() as i32), Signal::SIGKILL);
                process.wait().unwrap();
                break None;
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let (out, err) = (out.join().unwrap(), err.join().unwrap());
        let Some(status) = status else {
            return Seen::Hangs(format!("{out}\n{err}"));
        };
        if out.lines().any(|line| line.starts_with("panicked ")) {
            return Seen::Panics(format!("{out}\n{err}"));
        }
        if !out.contains("all is done") {
            return Seen::Gone(format!("{status}\n{out}\n{err}"));
        }
        let errors = out.lines().filter_map(|line| line.strip_prefix("error "));
        let errors: BTreeMap<_, _> = errors
            .filter_map(|line| line.split_once(": "))
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .collect();
        if errors.is_empty() {
            Seen::Works
        } else {
            Seen::Errors(errors)
        }
    })
}
