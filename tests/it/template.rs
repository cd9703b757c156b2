//! Children that a template forks.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::unistd::Pid;
use offspring::{Descriptor, Error, Limits, Template, TemplateBuilder, preload, worker};

use crate::support::*;

fn template() -> Template {
    Template::builder().start().unwrap()
}

/// Checks the error of a template that cannot start a child, at the first start and at the next.
#[track_caller]
fn fails(builder: TemplateBuilder, words: &[&str]) -> Error {
    let template = builder.start().unwrap();
    let check = |error: Error| {
        for word in words {
            assert!(error.to_string().contains(word), "{error}");
        }
        error
    };
    check(TEXT.template(&template).spawn().unwrap_err());
    // The next start tries again.
    check(TEXT.template(&template).spawn().unwrap_err())
}

// --- preloaded values ---

preload!(WORDS(String, String) -> Vec<String> = |one: String, two: String| Ok::<_, String>(vec![one, two]));
preload!(LENGTH() -> usize = || WORDS.get().map(Vec::len).ok_or("the words are not there"));

worker!(LOADED: fn(String) -> String = |prefix: &mut String, text: String| format!("{prefix}{text}"),
    init() = || WORDS.get().map(|words| format!("{} {} ", words.join(" "), LENGTH.get().unwrap_or(&0))).ok_or("no words"));

#[test]
fn what_is_preloaded_is_there() {
    let _guard = guard();
    let template = Template::builder()
        .preload(WORDS.with("so", "far"))
        .preload(&LENGTH)
        .start()
        .unwrap();
    template.ready().wait().unwrap();
    for _ in 0..3 {
        let rpc = LOADED.template(&template).begin();
        assert_eq!(rpc.call("good").wait().unwrap(), "so far 2 good");
        assert!(rpc.join().wait().unwrap().success());
    }
    assert!(WORDS.get().is_none());
    let rpc = LOADED.builder().quiet().begin();
    assert!(rpc.call("good").wait().unwrap_err().is_init());
}

const LARGE: usize = 32 << 20;
preload!(TABLE() -> Vec<u8> = || Ok::<_, String>(vec![7; LARGE]));

/// The sum of a line of `smaps_rollup` for a process, in bytes.
fn memory(process: &str, line: &str) -> usize {
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap();
    let line = text.lines().find_map(|found| found.strip_prefix(line));
    let number = line.unwrap().split_whitespace().next().unwrap();
    number.parse::<usize>().unwrap() << 10
}

worker!(SUM: fn() -> String = || {
    let table = TABLE.get().unwrap();
    let sum: usize = table.iter().map(|octet| usize::from(*octet)).sum();
    let shared = memory("self", "Shared_Clean:") + memory("self", "Shared_Dirty:");
    format!("{sum} {shared} {}", memory("self", "Private_Dirty:"))
});

/// F3: children of a template share the memory of preloaded values.
#[test]
fn what_is_preloaded_is_shared() {
    let _guard = guard();
    let template = Template::builder().preload(&TABLE).start().unwrap();
    let all: Vec<_> = (0..3).map(|_| SUM.template(&template).begin()).collect();
    for rpc in &all {
        let answer = rpc.call().wait().unwrap();
        let numbers: Vec<usize> = answer
            .split(' ')
            .map(|word| word.parse().unwrap())
            .collect();
        assert_eq!(numbers[0], 7 * LARGE);
        assert!(numbers[1] >= LARGE, "{answer}");
        assert!(numbers[2] < LARGE / 8, "{answer}");
    }
}

preload!(HELD(Descriptor<File>, Descriptor<File>) -> [File; 2] =
    |one: Descriptor<File>, two: Descriptor<File>| Ok::<_, String>([one.into_inner(), two.into_inner()]));

worker!(READ_HELD: fn() -> String = || {
    let mut text = String::new();
    for mut file in HELD.get().unwrap() {
        file.read_to_string(&mut text).unwrap();
    }
    text
});

/// F4: descriptors are sent to the template, and again to the template that replaces it.
#[test]
fn descriptors_that_were_given_are_there() {
    let _guard = guard();
    let temp = Temp::new();
    let open = |text: &str| {
        fs::write(temp.path(text), text).unwrap();
        File::open(temp.path(text)).unwrap()
    };
    let held = HELD.with(open("so"), open("far"));
    let template = Template::builder().preload(held).start().unwrap();
    let rpc = READ_HELD.template(&template).begin();
    assert_eq!(rpc.call().wait().unwrap(), "sofar");
    drop(rpc);
    kill_process(template.pid().unwrap());
    let rpc = READ_HELD.template(&template).begin();
    // Both children share the file's offset; the first child has read to the end.
    assert_eq!(rpc.call().wait().unwrap(), "");
}

/// The arguments of `preload` are limited to as many descriptors as are sent with one hello.
#[test]
fn too_many_descriptors_to_preload() {
    let _guard = guard();
    let null = || File::open("/dev/null").unwrap();
    let with = |pairs: usize| {
        let held = (0..pairs).map(|_| HELD.with(null(), null()));
        held.fold(Template::builder(), TemplateBuilder::preload)
            .start()
    };
    drop(with(124).unwrap());
    let error = with(125).unwrap_err();
    assert!(error.is_start(), "{error}");
    assert!(error.to_string().contains("the most is 249"), "{error}");
}

fn chatter() -> Result<(), String> {
    print!(".");
    Ok(())
}
preload!(CHATTER() -> () = chatter);

/// Output that is buffered when the template forks is not written by each child.
#[test]
fn nothing_is_printed_twice() {
    let _guard = guard();
    let template = Template::builder().preload(&CHATTER).start().unwrap();
    let (mut ours, theirs) = std::io::pipe().unwrap();
    let rpc = WORK.template(&template).stdout(theirs).begin();
    rpc.call(Job::Print("once".into())).wait().unwrap().unwrap();
    rpc.join().wait().unwrap();
    let mut text = String::new();
    ours.read_to_string(&mut text).unwrap();
    assert_eq!(text, "once\n");
}

// --- failures in the template ---

preload!(FAILS() -> () = || Err::<(), _>("no disk"));
preload!(PANICS() -> () = || -> Result<(), String> { panic!("no luck") });
preload!(EXITS() -> () = || -> Result<(), String> { std::process::exit(3) });
preload!(ENDLESS() -> () = || -> Result<(), String> { loop { thread::park() } });
preload!(THREADS() -> () = || { thread::spawn(|| loop { thread::park() }); Ok::<_, String>(()) });
preload!(JOINED() -> () = || thread::spawn(|| ()).join().map_err(|_| "it panicked"));

#[test]
fn preloading_fails() {
    let _guard = guard();
    let with = |preload| Template::builder().preload(preload);
    let error = fails(with(&FAILS), &["FAILS` could not be preloaded: no disk"]);
    assert!(error.is_init());
    let error = fails(with(&PANICS), &["PANICS`", "it panicked: no luck"]);
    assert!(error.is_init());
    let error = fails(with(&EXITS), &["not ready", "exited with code 3"]);
    assert!(error.is_start());
    let slow = with(&ENDLESS).preload_timeout(Duration::from_millis(20));
    assert!(fails(slow, &["not ready within 20ms"]).is_start());

    let template = with(&FAILS).start().unwrap();
    assert!(template.ready().wait().unwrap_err().is_init());
    let template = with(&EXITS).start().unwrap();
    assert!(template.ready().wait().unwrap_err().is_child_dead());
}

/// G10, X24: a template with a second thread refuses to fork.
#[test]
fn with_threads_it_does_not_fork() {
    let _guard = guard();
    let template = Template::builder().preload(&THREADS);
    let error = fails(template, &["2 threads"]);
    assert!(error.is_start());
    // Threads that have exited do no harm.
    let template = Template::builder().preload(&JOINED).start().unwrap();
    let rpc = TEXT.template(&template).begin();
    assert_eq!(rpc.call("so").wait().unwrap(), "so");
}

fn no_more_processes() -> Result<(), Box<dyn std::error::Error>> {
    // Root has no limits of processes. For other users `setuid` fails, and is not needed.
    // SAFETY: the call takes a number.
    unsafe { libc::setuid(65_534) };
    Ok(setrlimit(Resource::RLIMIT_NPROC, 0, 0)?)
}
preload!(NO_PROCESSES() -> () = no_more_processes);

fn no_more_descriptors() -> Result<Vec<File>, nix::Error> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, 64, hard)?;
    Ok(std::iter::from_fn(|| File::open("/dev/null").ok()).collect())
}
preload!(NO_DESCRIPTORS() -> Vec<File> = no_more_descriptors);

#[test]
fn the_system_refuses() {
    let _guard = guard();
    let template = Template::builder().preload(&NO_PROCESSES);
    let error = fails(
        template,
        &["cannot fork", "RLIMIT_NPROC", "temporarily unavailable"],
    );
    assert!(error.is_start());
    let template = Template::builder().preload(&NO_DESCRIPTORS);
    let error = fails(
        template,
        &[
            "a descriptor has not arrived",
            "Too many open files",
            "RLIMIT_NOFILE",
        ],
    );
    assert!(error.is_start());
}

// --- the children ---

#[test]
fn a_child_is_like_others() {
    let _guard = guard();
    let template = template();
    let rpc = WORK.template(&template).begin();
    echoes(&rpc, "so");
    let name = rpc.call(Job::ThreadName).wait().unwrap().unwrap();
    assert_eq!(name, "WORK");
    assert!(children().contains(&rpc.pid().unwrap()));
    assert!(rpc.join().wait().unwrap().success());
    let error = WORK.template(&template).plain().spawn().unwrap_err();
    assert!(error.to_string().contains("plain form"), "{error}");
}

#[test]
fn all_that_can_be_set() {
    let _guard = guard();
    let temp = Temp::new();
    let directory = fs::canonicalize(temp.path(".")).unwrap();
    let template = Template::builder()
        .env("FROM_TEMPLATE", "1")
        .env("BOTH", "template")
        .env_remove("HOME")
        .current_dir("/")
        .start()
        .unwrap();
    let (mut stdin, theirs) = UnixStream::pair().unwrap();
    stdin.write_all(b"for the worker").unwrap();
    drop(stdin);
    let (mut stdout, out) = std::io::pipe().unwrap();
    let rpc = WORK
        .template(&template)
        .env("BOTH", "child")
        .env("GONE", "1")
        .env_remove("GONE")
        .env_remove("PATH")
        .current_dir(&directory)
        .stdin(theirs)
        .stdout(out)
        .capture_stderr(100)
        .exit_with_parent()
        .begin();
    let env = |name: &str| rpc.call(Job::Env(name.into())).wait().unwrap();
    assert_eq!(env("FROM_TEMPLATE"), Ok("1".into()));
    assert_eq!(env("BOTH"), Ok("child".into()));
    assert!(env("GONE").is_err() && env("PATH").is_err() && env("HOME").is_err());
    let dir = rpc.call(Job::Dir).wait().unwrap();
    assert_eq!(dir, Ok(directory.display().to_string()));
    let text = rpc.call(Job::ReadStdin).wait().unwrap();
    assert_eq!(text, Ok("for the worker".into()));
    let print = Job::Print("so".into());
    let complain = both(Job::Complain("alas".into()), Job::Exit(3));
    rpc.call(print).wait().unwrap().unwrap();
    let error = rpc.call(complain).wait().unwrap_err();
    assert_eq!(error.crash().unwrap().stderr_tail(), b"alas\n");
    rpc.join().wait().unwrap();
    let mut printed = String::new();
    stdout.read_to_string(&mut printed).unwrap();
    assert_eq!(printed, "so\n");

    // The next child has none of these settings.
    let rpc = WORK.template(&template).begin();
    let env = |name: &str| rpc.call(Job::Env(name.into())).wait().unwrap();
    assert_eq!(env("BOTH"), Ok("template".into()));
    assert!(env("PATH").is_ok());
    assert_eq!(rpc.call(Job::Dir).wait().unwrap(), Ok("/".into()));
    assert_eq!(rpc.call(Job::ReadStdin).wait().unwrap(), Ok(String::new()));

    let rpc = WORK.template(&template).env_clear().env("ONLY", "x");
    let rpc = rpc.begin();
    assert!(rpc.call(Job::Env("BOTH".into())).wait().unwrap().is_err());
    let only = rpc.call(Job::Env("ONLY".into())).wait().unwrap();
    assert_eq!(only, Ok("x".into()));
}

#[test]
fn limits_and_groups() {
    let _guard = guard();
    let template = template();
    let limits = Limits::new().open_files(77);
    let own = TEXT.template(&template).limits(limits).own_group().begin();
    let session = TEXT.template(&template).own_session().begin();
    let usual = TEXT.template(&template).begin();
    let group = |rpc: &offspring::Rpc<_, _>| {
        rpc.ready().wait().unwrap();
        let pid = rpc.pid().unwrap() as i32;
        // SAFETY: the calls take a number.
        let (group, session) = unsafe { (libc::getpgid(pid), libc::getsid(pid)) };
        (group == pid, session == pid)
    };
    assert_eq!(
        (group(&own), group(&session), group(&usual)),
        ((true, false), (true, true), (false, false))
    );
    let limits = |rpc: &offspring::Rpc<_, _>| {
        fs::read_to_string(format!("/proc/{}/limits", rpc.pid().unwrap())).unwrap()
    };
    assert!(
        limits(&own)
            .lines()
            .any(|line| line.starts_with("Max open files") && line.contains(" 77 "))
    );
    assert_eq!(limits(&usual), limits(&session));
}

#[test]
fn what_cannot_be_set() {
    let _guard = guard();
    let template = template();
    let error = WORK
        .template(&template)
        .current_dir("/nowhere")
        .spawn()
        .unwrap_err();
    assert_error!(error, is_start, "No such file");
    let error = WORK
        .template(&template)
        .env("A=B", "c")
        .spawn()
        .unwrap_err();
    assert_error!(error, is_start, "name");
    let rpc = TEXT.template(&template).begin();
    assert_eq!(rpc.call("still").wait().unwrap(), "still");
}

/// A panic ends the call, but not the child.
#[test]
fn a_panic() {
    let _guard = guard();
    let template = template();
    let rpc = WORK.template(&template).begin();
    let error = rpc.call(Job::Panic("no luck".into())).wait().unwrap_err();
    assert_eq!(error.panic().unwrap().message(), "no luck");
    echoes(&rpc, "on");
}

// Checks what libc keeps about the main thread: its id, to which other threads send signals, and which marks the owner
// of a mutex.
worker!(HEALTH: fn() -> String = || {
    static RAISED: AtomicBool = AtomicBool::new(false);
    extern "C" fn note(_: i32) {
        RAISED.store(true, Ordering::Relaxed);
    }
    // SAFETY: the handler only stores. The mutex is on this stack until it was unlocked as often as it was locked.
    let recursive = unsafe {
        signal(Signal::SIGUSR1, SigHandler::Handler(note)).unwrap();
        let main = libc::pthread_self();
        let told = thread::spawn(move || libc::pthread_kill(main, libc::SIGUSR1));
        assert_eq!(told.join().unwrap(), 0);
        let mut attributes = std::mem::zeroed();
        libc::pthread_mutexattr_init(&raw mut attributes);
        libc::pthread_mutexattr_settype(&raw mut attributes, libc::PTHREAD_MUTEX_RECURSIVE);
        libc::pthread_mutexattr_setrobust(&raw mut attributes, libc::PTHREAD_MUTEX_ROBUST);
        let mut mutex = std::mem::zeroed();
        libc::pthread_mutex_init(&raw mut mutex, &raw const attributes);
        (0..2).all(|_| libc::pthread_mutex_lock(&raw mut mutex) == 0)
            && (0..2).all(|_| libc::pthread_mutex_unlock(&raw mut mutex) == 0)
    };
    assert!(RAISED.load(Ordering::Relaxed) && recursive);
    let own = thread::current().id();
    let others: Vec<_> = (0..4).map(|n| thread::spawn(move || {
        (thread::current().id(), vec![n; 100_000].len())
    })).collect();
    for other in others {
        let (id, length) = other.join().unwrap();
        assert!(id != own && length == 100_000);
    }
    println!("from {own:?}");
    String::from("well")
});

#[test]
fn libc_knows_its_thread() {
    let _guard = guard();
    let template = template();
    for _ in 0..3 {
        let rpc = HEALTH.template(&template).stdout(null()).begin();
        assert_eq!(rpc.call().wait().unwrap(), "well");
    }
}

fn null() -> File {
    File::options().write(true).open("/dev/null").unwrap()
}

/// X21: children are started by many threads at once. Each has its three streams and its link, and no descriptor of
/// another child or of the template.
#[test]
fn children_have_nothing_of_each_other() {
    let _guard = guard();
    let template = template();
    let rpc = WORK.spawn().unwrap();
    let expected = rpc.call(Job::Descriptors).wait().unwrap().unwrap();
    let expected: BTreeMap<u32, String> = serde_json::from_str(&expected).unwrap();
    thread::scope(|scope| {
        for number in 0..16 {
            let (template, expected) = (&template, &expected);
            scope.spawn(move || {
                for _ in 0..3 {
                    let builder = WORK.template(template);
                    let builder = match number % 3 {
                        0 => builder,
                        1 => builder.capture_stderr(100).exit_with_parent(),
                        _ => builder
                            .stdin(File::open("/dev/null").unwrap())
                            .stdout(null())
                            .current_dir("/"),
                    };
                    let rpc = builder.begin();
                    let list = rpc.call(Job::Descriptors).wait().unwrap().unwrap();
                    let list: BTreeMap<u32, String> = serde_json::from_str(&list).unwrap();
                    assert_eq!(list.len(), expected.len(), "{list:?}");
                    let links = list.values().filter(|target| target.starts_with("socket:"));
                    let usual = expected
                        .values()
                        .filter(|target| target.starts_with("socket:"));
                    assert_eq!(links.count(), usual.count(), "{list:?}");
                    // The only shared memory is that of the child's own link.
                    let maps = fs::read_to_string(format!("/proc/{}/maps", rpc.pid().unwrap()));
                    let maps = maps.unwrap();
                    let shared: Vec<_> =
                        maps.lines().filter(|map| map.contains("memfd:")).collect();
                    let [page] = shared[..] else { panic!("{maps}") };
                    let (range, _) = page.split_once(' ').unwrap();
                    let (start, end) = range.split_once('-').unwrap();
                    let [start, end] =
                        [start, end].map(|at| usize::from_str_radix(at, 16).unwrap());
                    assert!(end - start < 512 << 10, "{page}");
                    rpc.join().wait().unwrap();
                }
            });
        }
    });
}

/// X24: threads of this process, and locks that they hold, do not disturb a template.
#[test]
fn the_parent_may_have_threads() {
    let _guard = guard();
    let template = template();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let _held = std::io::stderr().lock();
                    drop(vec![1; 10_000]);
                }
            });
        }
        for n in 0..rounds(100) {
            let rpc = TEXT.template(&template).begin();
            assert_eq!(rpc.call(n.to_string()).wait().unwrap(), n.to_string());
        }
        stop.store(true, Ordering::Relaxed);
    });
}

worker!(NESTED: fn() -> String = || {
    let template = Template::builder().preload(WORDS.with("in", "side")).start().unwrap();
    let rpc = LOADED.template(&template).begin();
    let inner = rpc.call("so").wait().unwrap();
    let rpc = TEXT.spawn().unwrap();
    inner + &rpc.call(" far").wait().unwrap()
});

/// X57: a child of a template starts a template and a child.
#[test]
fn a_child_has_children() {
    let _guard = guard();
    let template = template();
    let rpc = NESTED.template(&template).begin();
    assert_eq!(rpc.call().wait().unwrap(), "in side 0 so far");
    rpc.join().wait().unwrap();
}

#[test]
fn awaited() {
    let _guard = guard();
    futures_lite::future::block_on(async {
        let template = template();
        template.ready().await.unwrap();
        let rpc = TEXT.template(&template).begin();
        assert_eq!(rpc.call("so").await.unwrap(), "so");
        rpc.join().await.unwrap();
    });
}

// --- the template dies ---

/// X13: a killed template is replaced.
#[test]
fn another_takes_its_place() {
    let _guard = guard();
    let template = template();
    let kept = TEXT.template(&template).begin();
    for n in 0..rounds(20) {
        let pid = template.pid().unwrap();
        kill_process(pid);
        if n % 2 == 0 {
            until(|| !is_alive(pid));
        }
        let rpc = TEXT.template(&template).begin();
        assert_eq!(rpc.call("new").wait().unwrap(), "new");
        assert_ne!(template.pid(), Some(pid));
    }
    // Children of a killed template go on.
    assert_eq!(kept.call("old").wait().unwrap(), "old");
}

/// X13: the template is killed while a start waits for its answer.
#[test]
fn it_dies_before_it_forks() {
    let _guard = guard();
    let template = template();
    template.ready().wait().unwrap();
    let pid = template.pid().unwrap();
    stop(pid);
    thread::scope(|scope| {
        let (tell, told) = std::sync::mpsc::channel();
        let template = &template;
        let start = scope.spawn(move || {
            tell.send(nix::unistd::gettid()).unwrap();
            TEXT.template(template).begin()
        });
        let tid = told.recv().unwrap();
        // The start waits for the answer.
        until(|| is_receiving(tid));
        kill_process(pid);
        let rpc = start.join().unwrap();
        assert_eq!(rpc.call("so").wait().unwrap(), "so");
    });
}

/// Returns whether thread `tid` sleeps in `recvmsg`.
fn is_receiving(tid: Pid) -> bool {
    let call = fs::read_to_string(format!("/proc/self/task/{tid}/syscall")).unwrap();
    call.starts_with(&format!("{} ", libc::SYS_recvmsg))
}

/// X13: the template is killed at random times. A child that it has forked by then is used, or exits and is reaped.
#[test]
fn it_is_killed_at_any_moment() {
    let _guard = guard();
    let template = template();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut wait = 0_u64;
            while !over.load(Ordering::Relaxed) {
                wait = (wait + 37) % 1500;
                thread::sleep(Duration::from_micros(wait));
                let pid = Pid::from_raw(template.pid().unwrap() as i32);
                if stat(pid.as_raw() as u32).is_some_and(|(_, parent)| parent == std::process::id())
                {
                    let _ = kill(pid, Signal::SIGKILL);
                }
            }
        });
        let all: Vec<_> = (0..rounds(200))
            .map(|_| {
                let rpc = TEXT.template(&template).spawn()?;
                rpc.call("so").wait()
            })
            .collect();
        over.store(true, Ordering::Relaxed);
        // A start fails once two templates have died during it.
        for outcome in &all {
            let text = outcome.as_deref();
            assert!(
                text.map_or_else(Error::is_start, |text| text == "so"),
                "{outcome:?}"
            );
        }
    });
    // The template works once it is no longer killed.
    let rpc = TEXT.template(&template).begin();
    assert_eq!(rpc.call("so").wait().unwrap(), "so");
}

/// A template that does not answer is killed.
#[test]
fn it_does_not_answer() {
    let _guard = guard();
    let template = template();
    template.ready().wait().unwrap();
    let pid = template.pid().unwrap();
    stop(pid);
    let builder = TEXT
        .template(&template)
        .hello_timeout(Duration::from_millis(20));
    let error = quickly(|| builder.spawn().unwrap_err());
    assert_error!(error, is_start, "did not answer");
    let rpc = TEXT.template(&template).begin();
    assert_eq!(rpc.call("so").wait().unwrap(), "so");
    assert_ne!(template.pid(), Some(pid));
}

#[test]
fn it_ends_with_its_last_handle() {
    let _guard = guard();
    let template = template();
    let (pid, other) = (template.pid().unwrap(), template.clone());
    let rpc = TEXT.template(&other).begin();
    drop(template);
    assert!(is_alive(pid));
    drop(other);
    quickly(|| until(|| !is_alive(pid)));
    assert_eq!(rpc.call("still").wait().unwrap(), "still");
    // The same while the template preloads.
    let endless = Template::builder().preload(&ENDLESS).start().unwrap();
    drop(endless);
}
