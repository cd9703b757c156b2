//! Errors, by exact text.
//!
//! In the texts, CHILD is the worker and its process, and PROGRAM is the program that was run. The headings of
//! `docs/troubleshooting.md` are texts of this file, or of one that [`what_can_be_looked_up`] names.

use std::error::Error as _;
use std::io;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use offspring::{
    Builder, CallError, Error, ErrorKind, FlattenErrors, Limits, Rights, Started, Stdio, Template,
    WorkerError, preload, worker,
};
use serde::{Deserialize, Serialize, Serializer};

use crate::support::pooled::{Do, POOLED};
use crate::support::*;

const MOMENT: Duration = Duration::from_millis(1);

/// The worker in most errors of this file.
const NAME: &str = "it::support::workers::WORK";

worker!(SHORT: fn(Job) -> Result<String, String> = work, events = u32, serialiser = Json, name = "short");

#[cfg(feature = "concurrent")]
async fn at_once(job: Job, events: &offspring::Events<u32>) -> Result<String, String> {
    work(job, events)
}
#[cfg(feature = "concurrent")]
worker!(AT_ONCE: fn(Job) -> Result<String, String> = at_once, events = u32, serialiser = Json, name = "at once");

/// Fails unless `Display` and `Debug` of the error say this.
#[track_caller]
pub(crate) fn says(error: &Error, worker: &str, pid: Option<u32>, text: &str) {
    let process = pid.map(|pid| format!(" (process {pid})"));
    let child = format!("worker `{worker}`{}", process.unwrap_or_default());
    let said = error.to_string().replace(", core dumped", "");
    assert_eq!(said, text.replace("CHILD", &child), "{error}");
    if error.panic().is_none() {
        assert_eq!(format!("{error:?}"), error.to_string());
    }
}

/// Checks the error of a call with `job`, which fails.
#[track_caller]
fn dies(rpc: &Work, job: Job, text: &str) {
    dies_of(NAME, rpc, job, text);
}

#[track_caller]
fn dies_of(worker: &str, rpc: &Work, job: Job, text: &str) {
    let error = rpc.call(job).wait().unwrap_err();
    says(&error, worker, rpc.pid(), text);
}

/// The error of a call whose child ends, with every way to start the child.
#[test]
fn what_is_said_of_the_end_of_a_child() {
    let _guard = guard();
    let ends = [
        (
            Job::Exit(3),
            "CHILD exited with code 3 while it ran this call",
        ),
        (
            Job::KillSelf,
            "CHILD was ended by signal 9 (SIGKILL) while it ran this call",
        ),
        (
            Job::Abort,
            "CHILD was ended by signal 6 (SIGABRT) while it ran this call",
        ),
        (
            both(Job::Complain("no\nluck".into()), Job::Exit(3)),
            "CHILD exited with code 3 while it ran this call; the end of its stderr:\nno\nluck",
        ),
    ];
    let test = |worker: &str, builder: &dyn Fn() -> Children| {
        for (job, text) in &ends {
            let builder = builder().capture_stderr(1000).quiet();
            let rpc = builder.limits(Limits::new().core_size(0)).begin();
            dies_of(worker, &rpc, job.clone(), text);
            // The next call fails because the child has ended.
            let before = text.replace("while it ran", "before it started");
            dies_of(worker, &rpc, Job::Arguments, &before);
        }
    };
    in_each_way(|_, builder| test(NAME, builder));
    #[cfg(feature = "concurrent")]
    test("at once", &|| AT_ONCE.builder());
    let over_pipes = WORK.command(serving("work")).quiet().begin();
    dies(
        &over_pipes,
        Job::Exit(3),
        "CHILD exited with code 3, and may have started this call",
    );
    let prefix = ["sh", "-c", "\"$@\"; exit 0", "sh"];
    let prefixed = WORK.builder().prefix(prefix).quiet().begin();
    dies(
        &prefixed,
        Job::Exit(3),
        r#"CHILD: the prefix `sh -c "$@"; exit 0 sh` exited with code 0, and may have started this call"#,
    );
}

#[test]
fn what_is_said_of_a_panic() {
    let _guard = guard();
    let says_where = |error: &Error, worker: &str, pid| {
        let panic = error.panic().unwrap();
        let text = format!("CHILD panicked at {}: no luck", panic.place());
        says(error, worker, pid, &text);
        let wants_backtrace = std::env::var_os("RUST_BACKTRACE").is_some_and(|is| is != "0");
        let backtrace = if wants_backtrace {
            format!("\n{}", panic.backtrace())
        } else {
            String::new()
        };
        assert_eq!(format!("{error:?}"), format!("{error}{backtrace}"));
    };
    let test = |worker: &str, builder: Children| {
        let rpc = builder.stderr(Stdio::null()).begin();
        let error = rpc.call(Job::Panic("no luck".into())).wait();
        says_where(&error.unwrap_err(), worker, rpc.pid());
    };
    in_each_way(|_, builder| test(NAME, builder()));
    test(NAME, WORK.command(serving("work")));
    #[cfg(feature = "concurrent")]
    test("at once", AT_ONCE.builder());
}

/// `unwrap` shows a backtrace only if `RUST_BACKTRACE` asks for it.
#[test]
fn a_backtrace_is_shown_on_demand() {
    if told().is_some() {
        return what_is_said_of_a_panic();
    }
    let _guard = guard();
    for value in ["0", "1"] {
        let test = a_backtrace_is_shown_on_demand;
        succeeds(again(&test, "").env("RUST_BACKTRACE", value));
    }
}

#[test]
fn what_is_said_of_calls_that_are_ended() {
    let _guard = guard();
    let gate = Gate::new();
    let start_with = |kills| {
        let rpc = WORK.builder().kill_on_drop(kills).quiet().begin();
        let calls = [Job::Gate(gate.name()), Job::Arguments].map(|job| rpc.call(job));
        let open = gate.reached();
        (rpc, calls, open)
    };
    let (rpc, [running, behind], _open) = start_with(false);
    rpc.kill();
    for (call, text) in [
        (
            running,
            "CHILD was ended by signal 9 (SIGKILL) while it ran this call: `kill` was called",
        ),
        (
            behind,
            "CHILD was ended by signal 9 (SIGKILL) before it started this call: `kill` was called",
        ),
    ] {
        says(&call.wait().unwrap_err(), NAME, rpc.pid(), text);
    }
    let (rpc, [_, behind], _open) = start_with(true);
    let pid = rpc.pid();
    drop(rpc);
    says(
        &behind.wait().unwrap_err(),
        NAME,
        pid,
        "CHILD was ended by signal 9 (SIGKILL) before it started this call: its last handle was dropped (`kill_on_drop`)",
    );
    // A thread has no process that could be killed.
    let rpc = WORK.builder().in_process().quiet().begin();
    let own_gate = Gate::new();
    let running = rpc.call(Job::Gate(own_gate.name()));
    let open = own_gate.reached();
    rpc.kill();
    says(
        &running.wait().unwrap_err(),
        NAME,
        None,
        "CHILD was given up while it ran this call: `kill` was called; a thread cannot be killed, and runs until its function returns",
    );
    drop(open);
    let _ = rpc.join().wait();
    let (rpc, [running, behind], _open) = start_with(false);
    drop(running.kill_on_cancel(true));
    says(
        &behind.wait().unwrap_err(),
        NAME,
        rpc.pid(),
        "CHILD was ended by signal 9 (SIGKILL) before it started this call: a call was cancelled or late, and its caller had asked that the child be killed for it",
    );
    let other = rpc.clone();
    rpc.join().wait().unwrap();
    let rpc = SHORT.spawn().unwrap();
    let pid = rpc.pid();
    let clone = rpc.clone();
    rpc.join().wait().unwrap();
    says(
        &clone.call(Job::Arguments).wait().unwrap_err(),
        "short",
        pid,
        "CHILD takes no more calls: its handle was closed",
    );
    drop(other);
}

/// `once` kills its child after an error.
#[test]
fn what_is_said_of_one_late_call() {
    let _guard = guard();
    let once = WORK.builder().quiet().once(Job::Spin);
    let error = once.timeout(Duration::from_millis(300)).wait().unwrap_err();
    let said = error.to_string();
    let (_, said) = said.split_once(')').unwrap();
    assert_eq!(
        said,
        " did not finish this call within 300ms: it was cancelled while it ran; its child was killed",
    );
}

#[test]
fn what_is_said_of_time_that_is_up() {
    let _guard = guard();
    let gate = Gate::new();
    let rpc = WORK.builder().quiet().begin();
    let [mut running, mut behind] =
        [Job::Gate(gate.name()), Job::Arguments].map(|job| rpc.call(job));
    let open = gate.reached();
    let says = |error: Result<_, Error>, started, text| {
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert_eq!(error.started(), started);
        says(&error, NAME, rpc.pid(), text);
    };
    says(
        running.wait_timeout(MOMENT),
        Started::Yes,
        "CHILD has not answered this call within 1ms: it is running, and goes on",
    );
    says(
        behind.wait_timeout(MOMENT),
        Started::No,
        "CHILD has not answered this call within 1ms: it has not started, and goes on waiting",
    );
    says(
        running.timeout(MOMENT).wait(),
        Started::Yes,
        "CHILD did not finish this call within 1ms: it was cancelled while it ran; its child runs it to its end",
    );
    says(
        futures_lite::future::block_on(behind.timeout(MOMENT)),
        Started::Unknown,
        "CHILD did not finish this call within 1ms: it was cancelled, and may have started",
    );
    let (told, errors) = sink();
    rpc.call(Job::Arguments).timeout(MOMENT).on_done(told);
    says(
        errors.recv().unwrap(),
        Started::Unknown,
        "CHILD did not finish this call within 1ms: it was cancelled, and may have started",
    );
    let thread = WORK.builder().in_process().quiet().begin();
    let own_gate = Gate::new();
    let running = thread.call(Job::Gate(own_gate.name())).kill_on_cancel(true);
    let own_open = own_gate.reached();
    super::messages::says(
        &running.timeout(MOMENT).wait().unwrap_err(),
        NAME,
        None,
        "CHILD did not finish this call within 1ms: it was cancelled while it ran; its child runs it to its end",
    );
    drop(own_open);
    let killed = WORK.builder().quiet().begin();
    let own_gate = Gate::new();
    let running = killed.call(Job::Gate(own_gate.name())).kill_on_cancel(true);
    let _own_open = own_gate.reached();
    super::messages::says(
        &running.timeout(MOMENT).wait().unwrap_err(),
        NAME,
        killed.pid(),
        "CHILD did not finish this call within 1ms: it was cancelled while it ran; its child was killed",
    );
    let pid = rpc.pid();
    let mut join = rpc.join();
    let error = join.wait_timeout(MOMENT).unwrap_err();
    super::messages::says(
        &error,
        NAME,
        pid,
        "CHILD did not end, or one of its callbacks did not return, within 1ms",
    );
    drop(open);
    join.wait().unwrap();
    let silent = TEXTS.program(serving("silence")).quiet().begin();
    let error = silent.ready().wait_timeout(MOMENT).unwrap_err();
    super::messages::says(
        &error,
        "it::peer",
        silent.pid(),
        "CHILD was not ready within 1ms",
    );
    silent.kill();
}

/// The error of a pool's call names the process that has the call, or the pool's worker if no process has it.
#[test]
fn what_is_said_of_calls_of_a_pool() {
    let _guard = guard();
    let gate = Gate::new();
    let pool = POOLED.init(false).pool().load(1).quiet().begin();
    let name = "it::support::pooled::POOLED";
    let pid: u32 = pool.call(Do::Pid).wait().unwrap().parse().unwrap();
    let mut running = pool.call(Do::Gate(gate.name()));
    let open = gate.reached();
    let mut queued = pool.call(Do::Pid);
    for (call, pid, text) in [
        (
            &mut running,
            Some(pid),
            "CHILD has not answered this call within 1ms: it is running, and goes on",
        ),
        (
            &mut queued,
            None,
            "CHILD has not answered this call within 1ms: it has not started, and goes on waiting",
        ),
    ] {
        says(&call.wait_timeout(MOMENT).unwrap_err(), name, pid, text);
    }
    says(
        &queued.timeout(MOMENT).wait().unwrap_err(),
        name,
        None,
        "CHILD did not finish this call within 1ms: it was cancelled before it started",
    );
    says(
        &running.timeout(MOMENT).wait().unwrap_err(),
        name,
        Some(pid),
        "CHILD did not finish this call within 1ms: it was cancelled while it ran; its child runs it to its end",
    );
    drop(open);
    says(
        &pool.call(Do::Exit(3)).wait().unwrap_err(),
        name,
        Some(pid),
        "CHILD exited with code 3 while it ran this call",
    );
    let rpc = pool.rpc().clone();
    pool.join().wait().unwrap();
    says(
        &rpc.call(Do::Pid).wait().unwrap_err(),
        name,
        None,
        "CHILD takes no more calls: its handle was closed",
    );
    let nowhere = TEXT.program(Command::new("/nowhere/worker"));
    let pool = nowhere.pool().quiet().begin();
    says(
        &pool.call("x").wait().unwrap_err(),
        "it::support::workers::TEXT",
        None,
        "CHILD could not be started: there is no program `/nowhere/worker`: No such file or directory (os error 2)",
    );
    pool.join().wait().unwrap();
    says(
        &TEXT.pool().max(0).spawn().unwrap_err(),
        "it::support::workers::TEXT",
        None,
        "CHILD could not be started: a pool with a `max` of 0 would never run anything",
    );
}

/// The error of a start says what failed, and its source is the system's error.
#[test]
fn what_is_said_of_a_start() {
    let _guard = guard();
    let temp = Temp::new();
    append(temp.path("script"), "#!/nowhere/shell");
    let script = temp.path("script");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&script, mode).unwrap();
    let rows = [
        (
            "/nowhere/worker",
            io::ErrorKind::NotFound,
            "CHILD could not be started: there is no program `/nowhere/worker`: No such file or directory (os error 2)",
        ),
        (
            "no-such-worker",
            io::ErrorKind::NotFound,
            "CHILD could not be started: there is no program `no-such-worker` in `PATH`: No such file or directory (os error 2)",
        ),
        (
            "/dev/null",
            io::ErrorKind::PermissionDenied,
            "CHILD could not be started: `/dev/null` may not be executed: Permission denied (os error 13)",
        ),
        (
            &script,
            io::ErrorKind::NotFound,
            "CHILD could not be started: `SCRIPT` exists, but the program that runs it does not: its loader, or the interpreter behind `#!`: No such file or directory (os error 2)",
        ),
    ];
    for (program, kind, text) in rows {
        for error in [
            SHORT.program(Command::new(program)).spawn(),
            SHORT.command(Command::new(program)).spawn(),
        ] {
            let error = error.unwrap_err();
            says(&error, "short", None, &text.replace("SCRIPT", &script));
            let cause = error.source().unwrap().downcast_ref::<io::Error>();
            assert_eq!(cause.unwrap().kind(), kind);
        }
    }
    let template = Template::builder().start().unwrap();
    for builder in [SHORT.builder(), SHORT.template(&template)] {
        let error = builder.current_dir("/nowhere").spawn().unwrap_err();
        says(
            &error,
            "short",
            None,
            "CHILD could not be started: the directory `/nowhere` cannot be entered: No such file or directory (os error 2)",
        );
    }
    let plain = "CHILD could not be started: the plain form cannot say which worker of this program is meant: name a `program` or a `command`";
    let piped = "CHILD could not be started: there is no handle of one child here that the pipe of its stdout could be taken from: give it a descriptor, `Stdio::lines` or `Stdio::null`";
    let pipes = || SHORT.builder().stdout(Stdio::piped());
    for (error, text) in [
        (SHORT.builder().plain().spawn().err(), plain),
        (SHORT.builder().plain().once(echo("x")).wait().err(), plain),
        (pipes().once(echo("x")).wait().err(), piped),
        (pipes().pool().spawn().err(), piped),
    ] {
        says(&error.unwrap(), "short", None, text);
    }
}

mod elsewhere {
    use super::*;
    worker!(pub(super) TEXTS: fn(String) -> String, name = "it::peer");
}

preload!(GATED(String) -> () = |gate: String| { wait_at(gate); Ok::<_, String>(()) });
preload!(THREADED() -> std::thread::JoinHandle<()> = || {
    Ok::<_, String>(std::thread::spawn(|| loop { std::thread::park() }))
});

/// Starts that must fail because of what their builder or template says.
#[test]
fn what_is_said_of_options() {
    let _guard = guard();
    let gate = Gate::new();
    let slow = Template::builder().preload(GATED.with(gate.name()));
    let slow = slow.preload_timeout(MOMENT).start().unwrap();
    let threaded = Template::builder().preload(&THREADED).start().unwrap();
    let limits = Limits::new().open_files(100);
    let rows = [
        (
            TEXTS.template(&slow),
            "CHILD could not be started: its template: it was not ready within 1ms, and was killed; what it preloads takes too long",
        ),
        (
            TEXTS.template(&threaded),
            "CHILD could not be started: its template: it cannot fork: it has 2 threads, and only with one it can fork; what it preloads must end the threads that it starts",
        ),
        (
            TEXTS.program(serving("texts")).prefix(["env"]),
            "CHILD could not be started: a `prefix` is for this program: put its words in front of those of the `program` or `command`",
        ),
        (
            TEXTS.builder().in_process().limits(limits),
            "CHILD could not be started: a thread has the limits of its process: leave `limits` or `in_process` out",
        ),
        (
            elsewhere::TEXTS.builder(),
            "CHILD could not be started: it is declared without a function here: start the program that has it, by `program` or `command`",
        ),
    ];
    for (builder, text) in rows {
        says(&builder.spawn().unwrap_err(), "it::peer", None, text);
    }
}

/// A limit that the system refuses more for is named.
#[test]
fn what_is_said_of_a_limit() {
    alone(|| {
        let _guard = guard();
        let template = Template::builder().start().unwrap();
        template.ready().wait().unwrap();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        for builder in [SHORT.builder(), SHORT.template(&template)] {
            setrlimit(Resource::RLIMIT_NOFILE, 0, hard).unwrap();
            let error = builder.spawn().unwrap_err();
            setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
            says(
                &error,
                "short",
                None,
                "CHILD could not be started: there is no descriptor for it (raise the limit of open files: `RLIMIT_NOFILE`, `ulimit -n`): Too many open files (os error 24)",
            );
        }
    });
}

#[cfg(feature = "concurrent")]
worker!(RUNS: fn(String) -> String = |text: String| text, runtime = |_| (), name = "it::peer");

/// A child that refuses to serve, and limits that end one.
#[test]
fn what_is_said_of_limits_and_rights() {
    let _guard = guard();
    let nobody = Rights::new().user("no such user");
    let refuses = |builder: Builder<fn(String) -> String>, text: &str| {
        let rpc = builder.quiet().stderr(Stdio::null()).begin();
        let error = rpc.call("x").wait().unwrap_err();
        says(&error, "it::peer", rpc.pid(), text);
    };
    refuses(
        TEXTS.builder().rights(nobody),
        "CHILD: the handshake with this program failed: there is no user `no such user` here",
    );
    #[cfg(feature = "concurrent")]
    refuses(
        RUNS.builder(),
        "CHILD: the handshake with this program failed: a `runtime` is for an `async fn`, or a function that takes a `Responder`: any other runs without one, and may make its own in `init`",
    );
    // The limits are not reached: these signals are taken for a sign of it.
    let gate = Gate::new();
    let hour = Limits::new().cpu_time(Duration::from_secs(1000));
    for (limits, signal, text) in [
        (
            Limits::new().memory(1 << 40),
            Signal::SIGABRT,
            "CHILD was ended by signal 6 (SIGABRT) while it ran this call; its memory was limited to 1099511627776 bytes, and a failed allocation ends a process like this (if the work needs more, raise `Limits::memory`)",
        ),
        (
            Limits::new().memory(1 << 40),
            Signal::SIGSEGV,
            "CHILD was ended by signal 11 (SIGSEGV) while it ran this call; a bad pointer ends a process like this, or a stack that cannot grow: its memory was limited to 1099511627776 bytes (`Limits::memory`)",
        ),
        (
            hour,
            Signal::SIGXCPU,
            "CHILD was ended by signal 24 (SIGXCPU) while it ran this call; its CPU time was limited to 1000 s in all (if the work needs more, raise `Limits::cpu_time`, or start a new child more often)",
        ),
    ] {
        let rpc = WORK.builder().limits(limits.core_size(0)).quiet().begin();
        let mut running = rpc.call(Job::Gate(gate.name()));
        let _open = gate.reached();
        let pid = rpc.pid();
        // The handler that Rust's runtime has for `SIGSEGV` returns from the first.
        let error = loop {
            let _ = kill(Pid::from_raw(pid.unwrap().cast_signed()), signal);
            match running.wait_timeout(MOMENT).unwrap_err() {
                error if error.is_timeout() => {}
                error => break error,
            }
        };
        says(&error, NAME, pid, text);
    }
}

preload!(MISSING() -> u8 = || Err::<u8, _>("no disk"));

worker!(UNFIT: fn(bool) -> String = |_: &mut u8, _: bool| String::new(), init(bool) = |panics| match panics {
    true => panic!("no luck"),
    false => Err::<u8, _>(WorkerError::new("no disk").context("loading")),
}, serialiser = Json, name = "unfit");

/// The program that was started is not the expected worker, or never gets ready.
#[test]
fn what_is_said_of_a_hello() {
    let _guard = guard();
    let own = std::env::current_exe().unwrap().display().to_string();
    let sh = |script| {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    };
    let rows = [
        (
            serving("silence"),
            "CHILD: no hello came from PROGRAM within 50ms; does the worker's program call `serve` in `main`, as in `WORKER.serve()`?",
        ),
        (
            serving("leave"),
            "CHILD: PROGRAM exited with code 0 without a hello; does the worker's program call `serve` in `main`, as in `WORKER.serve()`?",
        ),
        (
            serving("json"),
            "CHILD: the handshake with PROGRAM failed: this program serves the serialiser `test-json`, not `octets`",
        ),
        (
            serving("other"),
            "CHILD: the handshake with PROGRAM failed: this program serves the worker `it::other`, not `it::peer`: give both declarations the same `name = …`",
        ),
        (
            sh("echo Welcome; exec sleep 1000"),
            "CHILD: the handshake with `sh -c echo Welcome; exec sleep 1000` failed: instead of a hello came 8 bytes: \"Welcome\\n\"",
        ),
        (
            sh("kill -9 $$"),
            "CHILD: `sh -c kill -9 $$` was ended by signal 9 (SIGKILL) without a hello",
        ),
        (
            sh("exit 2"),
            "CHILD: `sh -c exit 2` exited with code 2 without a hello; its stderr may say why (a worker that knows no hello needs `plain`)",
        ),
        (
            sh("echo no file >&2; exit 2"),
            "CHILD: `sh -c echo no file >&2; exit 2` exited with code 2 without a hello (a worker that knows no hello needs `plain`); the end of its stderr:\nno file",
        ),
        (
            sh("exit 101"),
            "CHILD: `sh -c exit 101` exited with code 101 without a hello; its stderr may say why",
        ),
        (
            sh("echo Permission denied >&2; exit 255"),
            "CHILD: `sh -c echo Permission denied >&2; exit 255` exited with code 255 without a hello; the end of its stderr:\nPermission denied",
        ),
        // In the plain form this is the answer "3" to the parent's hello.
        (
            sh(r"printf '\360\377YB\000\000\000\0013'; exec sleep 1000"),
            r"CHILD: the handshake with `sh -c printf '\360\377YB\000\000\000\0013'; exec sleep 1000` failed: a hello of 1 bytes (a worker that knows no hello needs `plain`)",
        ),
        (
            Command::new("cat"),
            "CHILD: the handshake with `cat` failed: the program sends back what it is sent (is it `cat`, or a worker that needs `plain`?)",
        ),
    ];
    for (command, text) in rows {
        let arguments = command.get_args().map(|one| one.to_str().unwrap());
        let program = format!("`{own} {}`", arguments.collect::<Vec<_>>().join(" "));
        let builder = TEXTS.command(command).quiet().capture_stderr(1000);
        let moment = Duration::from_millis(50);
        let is_silent = text.contains("no hello came");
        let builder = builder.when(is_silent, |builder| builder.hello_timeout(moment));
        let rpc = builder.begin();
        let error = rpc.call("x").wait().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Handshake);
        says(
            &error,
            "it::peer",
            rpc.pid(),
            &text.replace("PROGRAM", &program),
        );
    }
    let (ours, theirs) = UnixStream::pair().unwrap();
    let rpc = TEXTS.builder().socket(ours).quiet().begin();
    drop(theirs);
    says(
        &rpc.call("x").wait().unwrap_err(),
        "it::peer",
        None,
        "CHILD: what is at the other end closed the link without a hello; does the worker's program call `serve` in `main`, as in `WORKER.serve()`?",
    );
    own_program_without_a_hello();
    for (panics, text) in [
        (false, "CHILD: its init failed: loading: no disk"),
        (true, "CHILD: its init failed: no luck (panicked at PLACE)"),
    ] {
        let rpc = UNFIT.init(panics).stderr(Stdio::null()).quiet().begin();
        let error = rpc.call(true).wait().unwrap_err();
        let place = error.to_string();
        let place = place.split("panicked at ").nth(1).unwrap_or(")");
        let text = text.replace("PLACE)", place);
        says(&error, "unfit", rpc.pid(), &text);
    }
    let template = Template::builder().preload(&MISSING).start().unwrap();
    let pid = template.pid().unwrap();
    let error = template.ready().wait().unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the template (process {pid}) failed to get ready: `it::messages::MISSING` could not be preloaded: no disk"
        ),
    );
}

/// This program, alone and behind a prefix. The loader exits with 0 instead of running it, as does a `main` before `init`.
fn own_program_without_a_hello() {
    let own = || TEXTS.builder().quiet().stdout(Stdio::null());
    let rows = [
        (
            own().env("LD_TRACE_LOADED_OBJECTS", "1"),
            "CHILD: this program exited with code 0 without a hello; does the program call `offspring::init()` first in `main`?",
        ),
        (
            own().prefix(["sh", "-c", "exit 3"]),
            "CHILD: the prefix `sh -c exit 3` exited with code 3 without a hello; its stderr may say why",
        ),
        (
            own()
                .prefix(["sh", "-c", "echo no tool >&2; exit 3"])
                .capture_stderr(100),
            "CHILD: the prefix `sh -c echo no tool >&2; exit 3` exited with code 3 without a hello; the end of its stderr:\nno tool",
        ),
        (
            own()
                .prefix(["sh", "-c", "exec sleep 1000"])
                .hello_timeout(MOMENT),
            "CHILD: no hello came from the prefix `sh -c exec sleep 1000` within 1ms; its stderr may say why",
        ),
    ];
    for (builder, text) in rows {
        let rpc = builder.begin();
        let error = rpc.call("x").wait().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Handshake);
        says(&error, "it::peer", rpc.pid(), text);
    }
}

#[cfg(feature = "concurrent")]
async fn sleep() {
    tokio::time::sleep(MOMENT).await;
}
#[cfg(feature = "concurrent")]
worker!(SLEEPS: fn() = sleep, name = "sleeps");

#[cfg(feature = "concurrent")]
#[test]
fn what_is_said_of_a_runtime() {
    let _guard = guard();
    let rpc = SLEEPS.builder().stderr(Stdio::null()).begin();
    let error = rpc.call().wait().unwrap_err();
    let text = "CHILD panicked at PLACE: there is no reactor running, must be called from the context of a Tokio 1.x runtime (an async worker that uses tokio says so in its declaration: `runtime = function`)";
    let text = text.replace("PLACE", error.panic().unwrap().place());
    says(&error, "sleeps", rpc.pid(), &text);
}

/// Messages that take a machine of another kind, or an accident. The code has their parts.
#[test]
fn what_only_the_code_says() {
    let rows = [
        (
            "CHILD could not be started: its template died, and so did the one that took its place",
            include_str!("../../src/parent/template/mod.rs"),
            vec!["its template died, and so did the one that took its place"],
        ),
        (
            "CHILD: the handshake with PROGRAM failed: this worker does not know the limit `memory=1000`",
            include_str!("../../src/limits.rs"),
            vec!["this worker does not know the limit `"],
        ),
        (
            "CHILD: the handshake with this program failed: cannot set supplementary groups: Operation not permitted (os error 1) (it has to start as root, or with the capabilities for that)",
            include_str!("../../src/rights.rs"),
            vec![
                "cannot set ",
                "supplementary groups",
                " (it has to start as root, or with the capabilities for that)",
            ],
        ),
    ];
    for (message, code, parts) in rows {
        for part in parts {
            assert!(message.contains(part), "{message}");
            assert!(code.contains(part), "{message}");
        }
    }
}

/// Values that cannot be serialised.
#[derive(Debug, Deserialize)]
struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("it cannot be written"))
    }
}

worker!(SENDS: fn(Unwritable) = |_: Unwritable| (), serialiser = Json, name = "sends");
worker!(GIVES: fn() -> Unwritable = || Unwritable, serialiser = Json, name = "gives");

// The types that the other side expects.
mod other {
    use super::*;
    worker!(pub(super) WORK: fn(u32) -> u32, serialiser = Json, name = "it::support::workers::WORK");
    worker!(pub(super) ARGUMENTS: fn(Job) -> u32, serialiser = Json, name = "it::support::workers::WORK");
}

#[test]
fn what_is_said_of_values() {
    let _guard = guard();
    let rpc = SENDS.spawn().unwrap();
    let error = rpc.call(Unwritable).wait().unwrap_err();
    says(
        &error,
        "sends",
        rpc.pid(),
        "CHILD: the arguments could not be encoded: it cannot be written",
    );
    assert!(error.source().unwrap().is::<offspring::format::Error>());
    let rpc = GIVES.spawn().unwrap();
    says(
        &rpc.call().wait().unwrap_err(),
        "gives",
        rpc.pid(),
        "CHILD could not encode the result: it cannot be written",
    );
    let rpc = other::WORK.program(serving("work")).begin();
    says(
        &rpc.call(7).wait().unwrap_err(),
        NAME,
        rpc.pid(),
        "CHILD could not decode the arguments: expected value at line 1 column 2; do both programs declare the same types?",
    );
    let rpc = other::ARGUMENTS.program(serving("work")).begin();
    let error = rpc.call(echo("x")).wait().unwrap_err();
    says(
        &error,
        NAME,
        rpc.pid(),
        "CHILD: the result could not be decoded: invalid type: map, expected u32 at line 1 column 0; do both programs declare the same types?",
    );
    use crate::services::octets::{LATER, LaterClient};
    let later = LATER.init("first");
    let later = later.program(serving("it::words::octets")).begin();
    says(
        &later.new().wait().unwrap_err(),
        "it::words::octets",
        later.pid(),
        "CHILD refused the call: this service has no method `new`; it has: add, all, tell, size, fail",
    );
    let (told, errors) = sink();
    rpc.call(echo("x")).on_done(told);
    let by_callback = errors.recv().unwrap().unwrap_err();
    assert_eq!(by_callback.to_string(), error.to_string());
    let rpc = WORK.builder().max_message(1000).begin();
    dies(
        &rpc,
        echo("x".repeat(2000)),
        "CHILD: the request has 2013 bytes, the limit is 1000; raise `max_message`",
    );
    dies(
        &rpc,
        Job::Make(2000),
        "CHILD: the result is longer than 1000 bytes, which is the limit; raise `max_message`",
    );
}

#[cfg(feature = "cbor")]
worker!(MAPS: fn(offspring::SharedMemory) -> u8 = |memory: offspring::SharedMemory| memory.to_vec()[0], serialiser = offspring::Cbor, name = "maps");

#[cfg(feature = "cbor")]
#[test]
fn what_is_said_of_memory_beyond_the_limit() {
    let _guard = guard();
    let limits = Limits::new().memory(256 << 20);
    let rpc = MAPS.builder().limits(limits).quiet().begin();
    let memory = offspring::SharedMemory::new(1 << 30).unwrap();
    says(
        &rpc.call(&memory).wait().unwrap_err(),
        "maps",
        rpc.pid(),
        "CHILD could not decode the arguments: cbor: the shared memory of 1073741824 bytes cannot be mapped (`Limits::memory` or `ulimit -v` may be too low): Cannot allocate memory (os error 12)",
    );
    let little = offspring::SharedMemory::copy_from_slice(b"x").unwrap();
    assert_eq!(rpc.call(&little).wait().unwrap(), b'x');
}

/// Errors that do not belong to a call, and errors of calls for which there is no room.
#[test]
fn what_is_said_besides() {
    let _guard = guard();
    let (told, errors) = sink();
    let builder = WORK.builder().on_error(told).stderr(Stdio::null());
    let rpc = builder.max_outstanding(1, 1 << 20).rings(false).begin();
    rpc.call(Job::Events(0, 1)).wait().unwrap().unwrap();
    rpc.call(echo("x")).on_done(|_| panic!("no luck"));
    echoes(&rpc, "x");
    let gate = Gate::new();
    let running = rpc.call(Job::Gate(gate.name()));
    let open = gate.reached();
    let full = rpc.try_call(echo("x")).unwrap_err();
    assert_eq!(full.to_string(), "there is no room for a call now");
    assert_eq!(
        Error::from(full).to_string(),
        "there is no room for a call now: wait for a call that is in flight, or raise `max_outstanding`, or `max_queue` of a pool",
    );
    drop(open);
    running.wait().unwrap().unwrap();
    let pid = rpc.pid();
    let garbage = rpc.call(Job::Garbage(b"\xf0\xff\x59\x42\0\0\0\0".to_vec(), false));
    let text = "CHILD broke the protocol: a frame of kind Hello, which a child does not send here";
    says(&garbage.wait().unwrap_err(), NAME, pid, text);
    rpc.join().wait().unwrap_err();
    for text in [
        "CHILD sent an event, but there is no `on_event` and no stream of events",
        "CHILD: a callback panicked: no luck",
        text,
    ] {
        says(&errors.recv().unwrap(), NAME, pid, text);
    }
}

/// In the plain form, text on stdout is taken for a frame.
#[test]
fn what_is_said_of_a_plain_worker_that_prints() {
    let _guard = guard();
    let mut printer = Command::new("sh");
    printer.args(["-c", "echo debug; exec cat"]);
    let rpc = TEXTS.command(printer).plain().quiet().begin();
    let error = rpc.call("x").wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    says(
        &error,
        "it::peer",
        rpc.pid(),
        r#"CHILD broke the protocol: an answer to the call 1684365941, which is not open: it begins with "debug\n": does the worker print to stdout?"#,
    );
}

fn line_count(path: String) -> Result<String, WorkerError> {
    let text = std::fs::read_to_string(&path).map_err(|error| {
        let reading = WorkerError::from(error).context(format!("reading {path}"));
        reading.context("no count")
    })?;
    let first: u32 = text.lines().next().unwrap_or_default().trim().parse()?;
    Ok(first.to_string())
}

worker!(COUNT: fn(String) -> Result<String, WorkerError> = line_count);
#[cfg(feature = "serde")]
worker!(COUNT_JSON: fn(String) -> Result<String, WorkerError> = line_count, serialiser = Json);
#[cfg(feature = "cbor")]
worker!(COUNT_CBOR: fn(String) -> Result<String, WorkerError> = line_count, serialiser = offspring::Cbor);
#[cfg(feature = "messagepack")]
worker!(COUNT_MESSAGEPACK: fn(String) -> Result<String, WorkerError> = line_count, serialiser = offspring::MessagePack);
#[cfg(feature = "postcard")]
worker!(COUNT_POSTCARD: fn(String) -> Result<String, WorkerError> = line_count, serialiser = offspring::Postcard);

/// A worker's error arrives with its causes, in every format.
#[test]
fn what_a_worker_says_itself() {
    let _guard = guard();
    let temp = Temp::new();
    append(temp.path("7"), "7");
    append(temp.path("x"), "x");
    each_of!(
        worker,
        {
            let rpc = worker.spawn().unwrap();
            assert_eq!(rpc.call(temp.path("7")).wait().unwrap().unwrap(), "7");
            let error = rpc
                .call(temp.path("x"))
                .wait()
                .flatten_errors()
                .unwrap_err();
            assert_eq!(error.to_string(), "invalid digit found in string");
            let error = rpc.call("/nowhere").wait().unwrap().unwrap_err();
            let chain = [
                "no count",
                "reading /nowhere",
                "No such file or directory (os error 2)",
            ];
            assert_eq!(error.chain().collect::<Vec<_>>(), chain);
            assert_eq!(format!("{error:?}"), chain.join(": "));
            rpc.kill();
            let error = rpc.call("x").wait().flatten_errors().unwrap_err();
            assert!(matches!(error, CallError::Call(error) if error.is_child_dead()));
        },
        COUNT,
        #[cfg(feature = "serde")]
        COUNT_JSON,
        #[cfg(feature = "cbor")]
        COUNT_CBOR,
        #[cfg(feature = "messagepack")]
        COUNT_MESSAGEPACK,
        #[cfg(feature = "postcard")]
        COUNT_POSTCARD,
    );
}

/// Each heading of the document is a message of these files.
#[test]
fn what_can_be_looked_up() {
    let sources = [
        include_str!("messages.rs"),
        include_str!("descriptors.rs"),
        include_str!("../runtime_first.rs"),
        include_str!("../forgetful.rs"),
        include_str!("../forgetful_tests.rs"),
    ];
    let texts = sources
        .concat()
        .replace("{advice}", "call it first in `main`")
        .replace("\\\"", "\"");
    let document = include_str!("../../docs/troubleshooting.md");
    let headings = document
        .lines()
        .filter_map(|line| line.strip_prefix("### "));
    let mut count = 0;
    for heading in headings {
        assert!(texts.contains(heading), "no test has: {heading}");
        count += 1;
    }
    assert!(count > 50, "{count}");
}
