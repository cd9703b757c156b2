//! Inheritance of children from the thread that starts them, and that this thread stays.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;

use futures_lite::future::block_on;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Pid, Uid, setuid};
use offspring::{Pool, Template, worker};

use crate::support::*;

/// The values that a child inherits from a thread: CPUs, blocked signals, priority.
fn like(task: &str) -> String {
    let status = fs::read_to_string(format!("{task}/status")).unwrap();
    let lines = status.lines();
    let lines = lines.filter(|line| {
        ["Cpus_allowed:", "SigBlk:"]
            .iter()
            .any(|of| line.starts_with(of))
    });
    let stat = fs::read_to_string(format!("{task}/stat")).unwrap();
    let nice = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(16);
    format!(
        "{} nice {}",
        lines.collect::<Vec<_>>().join(" "),
        nice.unwrap()
    )
}

fn own() -> String {
    like("/proc/thread-self")
}

fn die_with_parent_thread() -> std::io::Result<()> {
    Ok(nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?)
}

worker!(pub(crate) LIKE: fn(String) -> String = |job: String| {
    if job == "die with the thread" {
        die_with_parent_thread().unwrap();
    }
    like("/proc/self")
}, serialiser = Json);

type Own = Pool<fn(String) -> String, Json>;

/// A process that is killed when the thread ends that started it.
fn tied() -> Command {
    let mut command = serving("like");
    // SAFETY: the hook makes one system call.
    unsafe { command.pre_exec(die_with_parent_thread) };
    command
}

/// X68: a child outlives the thread that called `spawn`.
#[test]
fn a_child_does_not_go_with_the_thread_that_called_spawn() {
    let _guard = guard();
    for builder in [LIKE.program(tied()), LIKE.command(tied())] {
        let start = thread::spawn(|| {
            let rpc = builder.begin();
            rpc.ready().wait().unwrap();
            rpc
        });
        let rpc = start.join().unwrap();
        for _ in 0..rounds(20) {
            rpc.call("").wait().unwrap();
        }
        assert!(rpc.join().wait().unwrap().success());
    }
}

/// X68, X69: a child that a starter starts outlives the thread that called `spawn`, and inherits from it.
#[test]
fn a_child_that_another_thread_starts() {
    alone(|| {
        let kinds = || [LIKE.builder(), LIKE.program(tied()), LIKE.command(tied())];
        for builder in kinds() {
            let start = thread::spawn(|| {
                be_different();
                (block_on(builder.spawn_async()).unwrap(), own())
            });
            let (rpc, asked) = start.join().unwrap();
            for _ in 0..rounds(20) {
                assert_eq!(rpc.call("").wait().unwrap(), asked);
            }
            assert!(rpc.join().wait().unwrap().success());
        }
    });
}

/// X68: a child of a pool outlives every thread that calls the pool.
#[test]
fn children_of_a_pool_do_not_go_with_a_thread() {
    let _guard = guard();
    let build = || {
        let children = LIKE.command(tied()).pool().max(2);
        children.also(2, LIKE.program(tied())).idle(4).spawn()
    };
    let pool = thread::spawn(build).join().unwrap().unwrap();
    until(|| pool.status().idle == 4);
    thread::scope(|scope| {
        let calls = || (0..rounds(20)).for_each(|_| drop(pool.call("").wait().unwrap()));
        (0..3).for_each(|_| drop(scope.spawn(calls)));
    });
    assert_eq!((pool.status().died, pool.status().started), (0, 4));
}

/// X68: a child of a template outlives every thread that uses the template.
#[test]
fn children_of_a_template_do_not_go_with_a_thread() {
    let _guard = guard();
    let start = || {
        let template = Template::builder().start().unwrap();
        let rpc = LIKE.template(&template).begin();
        rpc.call("die with the thread").wait().unwrap();
        rpc
    };
    let rpc = thread::spawn(start).join().unwrap();
    // The template has ended, but its starter must stay.
    for _ in 0..rounds(20) {
        rpc.call("").wait().unwrap();
    }
    assert!(rpc.join().wait().unwrap().success());
}

/// Restricts the calling thread to one CPU, makes it nice, and has it block a signal.
fn be_different() {
    let this = Pid::from_raw(0);
    let all = sched_getaffinity(this).unwrap();
    let mut one = CpuSet::new();
    let first = (0..CpuSet::count()).find(|cpu| all.is_set(*cpu).unwrap());
    one.set(first.unwrap()).unwrap();
    sched_setaffinity(this, &one).unwrap();
    // SAFETY: the call takes numbers.
    assert_eq!(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 7) }, 0);
    let mut set = SigSet::empty();
    set.add(Signal::SIGUSR2);
    set.thread_block().unwrap();
}

/// All children of a pool inherit this, also those that are started later.
fn are_like(pool: &Own, count: usize, expected: &str) {
    for _ in 0..2 {
        until(|| pool.status().idle == count);
        let calls: Vec<_> = (0..count).map(|_| pool.call("")).collect();
        for call in calls {
            assert_eq!(call.wait().unwrap(), expected);
        }
        let died = pool.status().died;
        children().into_iter().for_each(kill_process);
        until(|| pool.status().died == died + count as u64);
    }
}

/// X69: another thread has used the crate first, and so started the threads of the crate.
#[test]
fn children_are_like_the_thread_that_built_their_pool() {
    alone(|| {
        let mut set = SigSet::empty();
        set.add(Signal::SIGUSR1);
        set.thread_block().unwrap();
        let first = thread::spawn(|| {
            be_different();
            let rpc = LIKE.spawn().unwrap();
            assert_eq!(rpc.call("").wait().unwrap(), own());
            (rpc, own())
        });
        let (first, theirs) = first.join().unwrap();
        assert_ne!(own(), theirs);
        first.join().wait().unwrap();
        let kinds = [
            LIKE.builder(),
            LIKE.program(serving("like")),
            LIKE.command(serving("like")),
        ];
        for children in kinds {
            let first = thread::spawn(|| {
                be_different();
                let rpc = LIKE.spawn().unwrap();
                rpc.call("").wait().unwrap();
                rpc
            });
            // That thread starts the reactor.
            first.join().unwrap().kill();
            let pool = children.pool().max(2).idle(2).quiet().load(1).begin();
            are_like(&pool, 2, &own());
            pool.join().wait().unwrap();
        }
    });
}

/// X69: a single child inherits from the thread that called `spawn`.
#[test]
fn a_child_is_like_the_thread_that_called_spawn() {
    alone(|| {
        for differs in [false, true, false] {
            let check = move || {
                if differs {
                    be_different();
                }
                for builder in [
                    LIKE.builder(),
                    LIKE.program(serving("like")),
                    LIKE.command(serving("like")),
                ] {
                    let rpc = builder.begin();
                    assert_eq!(rpc.call("").wait().unwrap(), own());
                    rpc.join().wait().unwrap();
                }
            };
            thread::spawn(check).join().unwrap();
        }
    });
}

/// X69: children of a template inherit from the thread that started the template, also after another
/// thread had to start it anew.
#[test]
fn children_of_a_template_are_like_the_thread_that_started_it() {
    alone(|| {
        let template = Template::builder().start().unwrap();
        let other = template.clone();
        let check = move || {
            be_different();
            for _ in 0..2 {
                let rpc = LIKE.template(&other).begin();
                let like = rpc.call("").wait().unwrap();
                rpc.join().wait().unwrap();
                kill_process(other.pid().unwrap());
                until(|| children().is_empty());
                assert_eq!(like, own_of_main());
            }
        };
        *MAIN.lock().unwrap() = own();
        thread::spawn(check).join().unwrap();
        let pool = LIKE.template(&template).pool().max(2).begin();
        assert_eq!(pool.call("").wait().unwrap(), own());
        pool.join().wait().unwrap();
    });
}

static MAIN: std::sync::Mutex<String> = std::sync::Mutex::new(String::new());

fn own_of_main() -> String {
    MAIN.lock().unwrap().clone()
}

/// X70: a starter takes no signals.
#[test]
fn the_starting_thread_takes_no_signals() {
    let _guard = guard();
    let pool = LIKE.pool().begin();
    pool.call("").wait().unwrap();
    let mut seen = 0;
    for task in fs::read_dir("/proc/self/task").unwrap().flatten() {
        let path = task.path();
        if fs::read_to_string(path.join("comm")).is_ok_and(|name| name == "offspring-start\n") {
            let like = like(path.to_str().unwrap());
            // All except SIGKILL, SIGSTOP, and two that libc uses itself.
            assert!(like.contains("SigBlk:\tfffffffe7ffbfeff"), "{like}");
            seen += 1;
        }
    }
    assert_eq!(seen, 1);
}

/// If no thread can be created, the error says so, and nothing is left.
#[test]
fn no_thread_to_start_from() {
    alone(|| {
        setrlimit(Resource::RLIMIT_NPROC, 1, 1).unwrap();
        if Uid::effective().is_root() {
            setuid(Uid::from_raw(65534)).unwrap();
        }
        let errors = [
            LIKE.pool().spawn().map(drop).unwrap_err(),
            LIKE.command(serving("like")).spawn().map(drop).unwrap_err(),
            Template::builder().start().map(drop).unwrap_err(),
        ];
        for error in errors {
            assert_error!(error, is_start, "RLIMIT_NPROC");
        }
    });
}
