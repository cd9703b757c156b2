//! Limits of a child's process, its rights that need no root, and its group and session.

use std::fs::File;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{Pid, getpgid, getpgrp, getsid};
use offspring::{Builder, Limit, Limits, Rights, Started, Template, worker};
use serde::{Deserialize, Serialize};

use crate::support::*;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Task {
    /// The soft and the hard limit of this name.
    Limit(String),
    Nice,
    /// The line with this name in `/proc/self/status`.
    Status(String),
    Spin {
        deaf: bool,
    },
    Fill(usize),
    Write(String, usize),
    Open(usize),
    Nothing,
}

worker!(CONFINED: fn(Task) -> Result<String, String> = run, serialiser = Json);

pub(crate) fn serve() {
    CONFINED.serve()
}

fn run(task: Task) -> Result<String, String> {
    match task {
        Task::Limit(name) => return Ok(limit_of("self", &name)),
        Task::Nice => return Ok(nice_of("self").to_string()),
        Task::Status(name) => {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix(&name));
            return Ok(line.unwrap().trim().into());
        }
        Task::Spin { deaf } => {
            if deaf {
                // SAFETY: no handler runs for an ignored signal.
                unsafe { signal(Signal::SIGXCPU, SigHandler::SigIgn) }.unwrap();
            }
            loop {
                std::hint::spin_loop();
            }
        }
        Task::Fill(bytes) => drop(std::hint::black_box(vec![1_u8; bytes])),
        Task::Write(path, bytes) => {
            let mut file = File::create(path).map_err(|error| error.to_string())?;
            file.write_all(&vec![b'x'; bytes])
                .map_err(|error| error.to_string())?;
        }
        Task::Open(count) => {
            let files: Result<Vec<_>, _> = (0..count).map(|_| File::open("/dev/null")).collect();
            files.map_err(|error| error.to_string())?;
        }
        Task::Nothing => {}
    }
    Ok("done".into())
}

/// The soft and hard limit, as `/proc` shows them.
fn limit_of(process: &str, name: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let words: Vec<_> = line.unwrap().split_whitespace().take(2).collect();
    words.join(" ")
}

fn nice_of(process: &str) -> i32 {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let words = text.rsplit_once(')').unwrap().1.split_whitespace();
    words
        .skip(16)
        .map(|word| word.parse().unwrap())
        .next()
        .unwrap()
}

/// All limits, with the names and values that `/proc` shows.
fn all() -> (Limits, [(&'static str, &'static str); 5]) {
    let limits = Limits::new()
        .memory(8 << 30)
        .cpu_time(Duration::from_millis(6500))
        .open_files(123)
        .file_size(4567)
        .core_size(0)
        .nice(3);
    let shown = [
        ("Max address space", "8589934592 8589934592"),
        ("Max cpu time", "7 8"),
        ("Max open files", "123 123"),
        ("Max file size", "4567 4567"),
        ("Max core file size", "0 0"),
    ];
    (limits, shown)
}

#[test]
fn limits_are_set_in_the_child_and_only_there() {
    let _guard = guard();
    let (limits, shown) = all();
    let before = std::fs::read_to_string("/proc/self/limits").unwrap();
    let (own_nice, rpc) = (nice_of("self"), CONFINED.builder().limits(limits).begin());
    for (name, value) in shown {
        let told = rpc.call(Task::Limit(name.into())).wait().unwrap();
        assert_eq!(told, Ok(value.into()), "{name}");
    }
    let nice = (own_nice + 3).min(19).to_string();
    assert_eq!(rpc.call(Task::Nice).wait().unwrap(), Ok(nice));
    rpc.join().wait().unwrap();
    let after = std::fs::read_to_string("/proc/self/limits").unwrap();
    assert_eq!(after, before);
    assert_eq!(nice_of("self"), own_nice);
}

/// A program between parent and worker, such as `ssh`, is not limited; the worker is.
#[test]
fn limits_travel_to_a_worker_behind_a_command() {
    let _guard = guard();
    let (limits, shown) = all();
    let mut shell = Command::new("sh");
    let own = std::env::current_exe().unwrap();
    shell
        .args(["-c", "cat | \"$0\" --serve confined | cat"])
        .arg(own);
    let rpc = CONFINED.command(shell).limits(limits).begin();
    for (name, value) in shown {
        let told = rpc.call(Task::Limit(name.into())).wait().unwrap();
        assert_eq!(told, Ok(value.into()), "{name}");
        let between = limit_of(&rpc.pid().unwrap().to_string(), name);
        assert_eq!(between, limit_of("self", name));
    }
}

/// A child without a hello is limited by its parent.
#[test]
fn limits_of_a_plain_child() {
    let _guard = guard();
    let (limits, shown) = all();
    let own_nice = nice_of("self");
    let cat = Command::new("cat");
    let rpc = CONFINED.command(cat).plain().limits(limits).begin();
    let process = rpc.pid().unwrap().to_string();
    for (name, value) in shown {
        assert_eq!(limit_of(&process, name), value, "{name}");
    }
    assert_eq!(nice_of(&process), (own_nice + 3).min(19));
}

#[test]
fn limits_hold_before_init() {
    let _guard = guard();
    worker!(EARLY: fn() -> String = |seen: &mut String| seen.clone(), init() = || {
        Ok::<_, std::convert::Infallible>(limit_of("self", "Max open files"))
    });
    let limits = Limits::new().open_files(55);
    let rpc = EARLY.builder().limits(limits).begin();
    assert_eq!(rpc.call().wait().unwrap(), "55 55");
}

/// No limit is raised above the hard limit of this process.
#[test]
fn a_limit_above_the_hard_one() {
    alone(|| {
        let _guard = guard();
        setrlimit(Resource::RLIMIT_NOFILE, 90, 100).unwrap();
        setrlimit(Resource::RLIMIT_CPU, 1000, 1000).unwrap();
        let limits = Limits::new()
            .open_files(u64::MAX)
            .cpu_time(Duration::from_secs(1000));
        let rpc = CONFINED.builder().limits(limits).begin();
        let told = |name: &str| rpc.call(Task::Limit(name.into())).wait().unwrap().unwrap();
        assert_eq!(told("Max open files"), "100 100");
        assert_eq!(told("Max cpu time"), "1000 1000");
        rpc.join().wait().unwrap();
    });
}

/// Checks the error of a child that exceeds a limit.
#[track_caller]
fn goes_over(limits: Limits, task: Task, signal: i32, limit: Option<Limit>, words: &[&str]) {
    let rpc = CONFINED.builder().limits(limits).quiet();
    let rpc = rpc.capture_stderr(100_000).begin();
    assert_eq!(rpc.call(Task::Nothing).wait().unwrap(), Ok("done".into()));
    let (over, later) = (rpc.call(task), rpc.call(Task::Nothing));
    let error = over.wait().unwrap_err();
    let text = error.to_string();
    assert!(error.is_child_dead(), "{text}");
    let crash = error.crash().unwrap();
    assert_eq!(crash.status().signal(), Some(signal), "{text}");
    assert_eq!(crash.over_limit(), limit, "{text}");
    assert_eq!(error.started(), Started::Yes);
    for word in words {
        assert!(text.contains(word), "no {word:?} in: {text}");
    }
    assert_eq!(later.wait().unwrap_err().started(), Started::No);
    rpc.join().wait().unwrap();
}

#[test]
fn over_the_cpu_time() {
    let _guard = guard();
    let limits = Limits::new().cpu_time(Duration::from_secs(1)).core_size(0);
    goes_over(
        limits,
        Task::Spin { deaf: false },
        libc::SIGXCPU,
        Some(Limit::CpuTime),
        &["CPU time", "1 s", "Limits::cpu_time", "SIGXCPU"],
    );
    // A child that ignores `SIGXCPU` is killed by `SIGKILL`, which looks like any other kill.
    goes_over(
        limits,
        Task::Spin { deaf: true },
        libc::SIGKILL,
        None,
        &["CPU time", "1 s", "SIGXCPU", "another process"],
    );
}

#[test]
fn over_the_memory() {
    let _guard = guard();
    let limits = Limits::new().memory(1 << 30).core_size(0);
    goes_over(
        limits,
        Task::Fill(1 << 31),
        libc::SIGABRT,
        Some(Limit::Memory),
        &[
            "1073741824 bytes",
            "Limits::memory",
            "SIGABRT",
            "memory allocation of 2147483648 bytes failed",
        ],
    );
}

#[test]
fn over_the_file_size() {
    let _guard = guard();
    let temp = Temp::new();
    let limits = Limits::new().file_size(1000).core_size(0);
    let write = |bytes| Task::Write(temp.path("file"), bytes);
    goes_over(
        limits,
        write(1001),
        libc::SIGXFSZ,
        Some(Limit::FileSize),
        &["1000 bytes", "Limits::file_size"],
    );
    let rpc = CONFINED.builder().limits(limits).begin();
    rpc.call(write(1000)).wait().unwrap().unwrap();
}

#[test]
fn over_the_open_files() {
    let _guard = guard();
    let limits = Limits::new().open_files(20);
    let rpc = CONFINED.builder().limits(limits).begin();
    let error = rpc.call(Task::Open(20)).wait().unwrap().unwrap_err();
    assert!(error.contains("Too many open files"), "{error}");
    rpc.call(Task::Open(1)).wait().unwrap().unwrap();
}

/// Every kind of child works with a limit of 16 open files.
#[test]
fn few_open_files_are_enough() {
    let _guard = guard();
    let limits = Limits::new().open_files(16);
    let builder = || CONFINED.builder().limits(limits).exit_with_parent();
    let rpc = builder().stdin(File::open("/dev/null").unwrap()).spawn();
    let rpc = rpc.unwrap();
    rpc.call(Task::Open(1)).wait().unwrap().unwrap();
    rpc.join().wait().unwrap();
    #[cfg(feature = "concurrent")]
    {
        let rpc = NAP.builder().limits(limits).exit_with_parent();
        let rpc = rpc.begin();
        rpc.call().wait().unwrap();
        rpc.join().wait().unwrap();
    }
}

#[cfg(feature = "concurrent")]
async fn nap() {
    smol::Timer::after(Duration::from_millis(1)).await;
}

#[cfg(feature = "concurrent")]
worker!(NAP: fn() = nap);

/// The same exits without a limit do not mention limits.
#[test]
fn without_limits_nothing_is_said_of_them() {
    let _guard = guard();
    let rpc = WORK.builder().quiet().begin();
    let error = rpc.call(Job::Abort).wait().unwrap_err();
    assert_eq!(error.crash().unwrap().over_limit(), None);
    assert!(!error.to_string().contains("limit"), "{error}");
    let limits = Limits::new()
        .memory(8 << 30)
        .cpu_time(Duration::from_secs(50));
    let rpc = WORK.builder().limits(limits).quiet().begin();
    rpc.ready().wait().unwrap();
    rpc.kill();
    let error = rpc.call(Job::Dir).wait().unwrap_err();
    assert!(!error.to_string().contains("limit"), "{error}");
    let _ = rpc.join().wait();
}

// --- rights ---

/// Rights that need root are tested in `tests/tools/rights.rs`.
#[test]
fn rights_that_need_no_root() {
    let _guard = guard();
    let template = Template::builder().start().unwrap();
    for builder in [
        CONFINED.builder(),
        CONFINED.program(serving("confined")),
        CONFINED.command(serving("confined")),
        CONFINED.template(&template),
    ] {
        let rights = Rights::new().umask(0o1057).no_new_privileges();
        let rpc = builder.rights(rights).begin();
        let told = |name: &str| rpc.call(Task::Status(name.into())).wait().unwrap().unwrap();
        assert_eq!(told("Umask:"), "0057");
        assert_eq!(told("NoNewPrivs:"), "1");
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    assert!(status.contains("NoNewPrivs:\t0"), "{status}");
}

#[test]
fn rights_of_an_unknown_user() {
    let _guard = guard();
    let template = Template::builder().start().unwrap();
    for builder in [CONFINED.builder(), CONFINED.template(&template)] {
        let rights = Rights::new().user("no such user");
        let rpc = builder.rights(rights).quiet().begin();
        let error = rpc.call(Task::Nothing).wait().unwrap_err();
        assert_error!(error, is_handshake, started = No, "no user `no such user`");
        let _ = rpc.join().wait();
    }
}

// --- combinations that are refused ---

type Builds = Builder<fn(Task) -> Result<String, String>, Json>;

#[test]
fn what_cannot_be_is_an_error_at_the_start() {
    let _guard = guard();
    let limits = Limits::new().core_size(0);
    let socket = || CONFINED.builder().socket(UnixStream::pair().unwrap().0);
    let cat = || CONFINED.command(Command::new("cat"));
    let program = || CONFINED.program(serving("confined"));
    let file = || File::open("/dev/null").unwrap();
    let rights = || Rights::new().user(1);
    let cases: [(Builds, &str); 15] = [
        (cat().stdin(file()), "stdin is the link"),
        (
            cat().stdout(offspring::Stdio::piped()),
            "stdout is the link",
        ),
        (program().plain().stdin(file()), "stdin is the link"),
        (program().plain().stdout(file()), "stdout is the link"),
        (socket().stdin(file()), "no process is started"),
        (socket().stdout(file()), "no process is started"),
        (
            socket().stderr(offspring::Stdio::piped()),
            "no process is started",
        ),
        (socket().capture_stderr(10), "no process is started"),
        (socket().plain().limits(limits), "limits"),
        (socket().plain().rights(rights()), "rights"),
        (cat().plain().rights(rights()), "`setpriv`"),
        (socket().own_group(), "no process is started"),
        (socket().own_session(), "in the full form"),
        (cat().own_session(), "`setsid`"),
        (program().plain().own_session(), "`setsid`"),
    ];
    for (builder, word) in cases {
        assert_error!(builder.spawn().unwrap_err(), is_start, word);
    }
}

/// A worker in another language, or of an older version, may not know limits and rights: the handshake fails.
#[test]
fn a_worker_that_knows_nothing_of_demands() {
    let _guard = guard();
    worker!(REMOTE: fn() = || (), name = "it::confined", serialiser = Json);
    for (limits, rights, demand) in [
        (
            Limits::new().memory(1 << 30),
            Rights::new(),
            "`memory=1073741824`",
        ),
        (Limits::new(), Rights::new().user(1), "`user=1`"),
    ] {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let fields = ["worker", "it::confined", "serialiser", "test-json"];
        theirs.write_all(&hello(b'C', 1, &fields)).unwrap();
        let rpc = REMOTE.builder().socket(ours).limits(limits).rights(rights);
        let rpc = rpc.quiet().begin();
        let error = rpc.call().wait().unwrap_err();
        assert_error!(error, is_handshake, demand);
        let _ = rpc.join().wait();
    }
}

/// The leader of a process group cannot start a session.
#[test]
fn a_child_that_cannot_do_it_says_so() {
    let _guard = guard();
    let mut program = serving("confined");
    program.process_group(0).stderr(Stdio::null());
    let rpc = CONFINED.program(program).own_session();
    let rpc = rpc.quiet().begin();
    let error = rpc.call(Task::Nothing).wait().unwrap_err();
    assert!(error.is_handshake(), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("session") && text.contains("Operation not permitted"),
        "{text}"
    );
    assert_eq!(error.started(), Started::No);
    let _ = rpc.join().wait();
}

// --- groups ---

#[test]
fn groups_and_sessions() {
    let _guard = guard();
    let own = (getpgrp(), getsid(None).unwrap());
    let ids = |builder: Builds| {
        let rpc = builder.begin();
        rpc.ready().wait().unwrap();
        let pid = Pid::from_raw(rpc.pid().unwrap() as i32);
        let ids = (getpgid(Some(pid)).unwrap(), getsid(Some(pid)).unwrap());
        rpc.join().wait().unwrap();
        (pid, ids)
    };
    assert_eq!(ids(CONFINED.builder()).1, own);
    let (pid, ids_of_group) = ids(CONFINED.builder().own_group());
    assert_eq!(ids_of_group, (pid, own.1));
    let (pid, ids_of_session) = ids(CONFINED.builder().own_session());
    assert_eq!(ids_of_session, (pid, pid));
    let (pid, ids_of_command) = ids(CONFINED.command(serving("confined")).own_group());
    assert_eq!(ids_of_command, (pid, own.1));
    // The group exists from the start.
    let cat = CONFINED.command(Command::new("cat")).plain();
    let (pid, ids_of_cat) = ids(cat.own_group());
    assert_eq!(ids_of_cat, (pid, own.1));
}

/// X49: when the parent dies, the whole process group of its child is killed.
fn middle(session: bool, busy: bool) -> ! {
    let builder = WORK.builder().exit_with_parent();
    let builder = if session {
        builder.own_session()
    } else {
        builder.own_group()
    };
    let rpc = builder.begin();
    let grandchild = rpc.call(Job::Grandchild).wait().unwrap().unwrap();
    // The parent dies during a call, or between calls.
    let call = busy.then(|| rpc.call(Job::Spin));
    println!("both {} {grandchild}", rpc.pid().unwrap());
    let _call = call.map(offspring::Call::wait);
    loop {
        std::thread::park();
    }
}

#[test]
fn the_group_goes_with_the_parent() {
    if let Some(way) = told() {
        middle(way.contains("session"), way.contains("busy"));
    }
    let _guard = guard();
    for way in ["busy group", "idle group", "busy session", "idle session"] {
        let mut middle = Middle::start(&the_group_goes_with_the_parent, way);
        let numbers = middle.says("both ");
        middle.kill();
        quickly(|| until(|| !numbers.iter().any(|pid| is_alive(*pid))));
    }
}

#[cfg(feature = "concurrent")]
worker!(CONFINED_AT_ONCE: fn(Task) -> Result<String, String> = async |task: Task| run(task), serialiser = Json);

/// X86: a child that lacks a resource at its start says so in its hello, and names the limit.
#[cfg(feature = "concurrent")]
#[test]
fn too_little_to_start_with() {
    let _guard = guard();
    let refused = |limits: Limits, exits: bool, words: &[&str]| {
        let builder = CONFINED_AT_ONCE.builder().limits(limits);
        let builder = builder.when(exits, |own| own.exit_with_parent());
        let builder = builder.quiet().capture_stderr(10_000);
        let rpc = builder.begin();
        let error = rpc.ready().wait().unwrap_err();
        assert!(error.is_handshake(), "{error}");
        let text = rpc.call(Task::Nothing).wait().unwrap_err().to_string();
        for word in words {
            assert!(text.contains(word), "no {word:?} in: {text}");
        }
        assert!(!text.contains("panicked"), "{text}");
        assert!(rpc.join().wait().is_err());
    };
    for files in 0..5 {
        let limits = Limits::new().open_files(files);
        let named = format!("files={files}");
        refused(limits, false, &[&named, "Limits::open_files"]);
        refused(limits, true, &[&named, "Limits::open_files"]);
    }
    // Enough memory for the child, but not for the stack of another thread.
    let limits = Limits::new().memory(1 << 20);
    refused(limits, false, &["memory=1048576", "Limits::memory"]);
    let rpc = CONFINED_AT_ONCE
        .builder()
        .limits(Limits::new().open_files(16));
    let rpc = rpc.begin();
    assert_eq!(rpc.call(Task::Nothing).wait().unwrap(), Ok("done".into()));
}

/// X86: the same for the thread that a blocking child may need.
#[test]
fn no_thread_to_watch_the_parent() {
    let _guard = guard();
    let limits = Limits::new().memory(1 << 20);
    let builder = CONFINED.builder().limits(limits).exit_with_parent();
    let rpc = builder.quiet().begin();
    let error = rpc.call(Task::Nothing).wait().unwrap_err();
    assert!(error.is_handshake(), "{error}");
    for word in ["thread", "memory=1048576", "Limits::memory"] {
        assert!(error.to_string().contains(word), "no {word:?} in: {error}");
    }
    assert!(rpc.join().wait().is_err());
}
