//! Workers in a thread of this process.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use offspring::{Builder, Events, Limits, Rights, Stdio, worker};

use crate::support::*;

/// How many states exist in this process.
static STATES: AtomicUsize = AtomicUsize::new(0);

static OPEN: AtomicBool = AtomicBool::new(false);

struct Counted(u32);

impl Counted {
    fn new(from: u32) -> Result<Self, String> {
        if from > 100 {
            return Err("too many".into());
        }
        STATES.fetch_add(1, Ordering::Relaxed);
        Ok(Self(from))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        STATES.fetch_sub(1, Ordering::Relaxed);
    }
}

fn count(state: &mut Counted, what: String, events: &Events<u32>) -> u32 {
    match what.as_str() {
        "panic" => panic!("on purpose"),
        "pid" => return std::process::id(),
        "named" => return (std::thread::current().name() == Some("IN_THREAD")).into(),
        "retire" => return offspring::retire().is_err().into(),
        "gate" => until(|| OPEN.load(Ordering::Relaxed)),
        _ => state.0 += 1,
    }
    // The calls fail once the link is cut.
    let _ = (events.progress(10 * state.0), events.send(state.0));
    state.0
}

worker!(IN_THREAD: fn(String) -> u32 = count, events = u32, init(u32) = Counted::new);

type Threaded = Builder<fn(String) -> u32, offspring::Octets, u32>;

fn threaded(from: u32) -> Threaded {
    IN_THREAD.init(from).in_process()
}

/// The threads that run the worker. They have its name.
fn threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.trim() == "IN_THREAD").count()
}

/// Fails if anything is left of the children.
fn gone() {
    until(|| threads() == 0);
    assert_eq!(STATES.load(Ordering::Relaxed), 0);
}

#[test]
fn it_is_called_as_a_child_is() {
    let _guard = guard();
    for rings in [true, false] {
        let (told, events) = sink();
        let rpc = threaded(5).rings(rings).on_event(told).spawn().unwrap();
        rpc.ready().wait().unwrap();
        assert_eq!((rpc.pid(), threads()), (None, 1));
        assert_eq!(rpc.call("pid").wait().unwrap(), std::process::id());
        assert_eq!(rpc.call("retire").wait().unwrap(), 1);
        assert_eq!(rpc.call("named").wait().unwrap(), 1);
        let mut call = rpc.call("");
        assert_eq!(
            call.events()
                .into_iter()
                .map(Result::unwrap)
                .collect::<Vec<_>>(),
            [60]
        );
        assert_eq!(call.wait().unwrap(), 6);
        let error = rpc.call("panic").wait().unwrap_err();
        let panic = error.panic().unwrap();
        assert_eq!(panic.message(), "on purpose");
        assert!(panic.place().contains("in_process.rs"), "{}", panic.place());
        // Calls that were sent are done, also without a handle.
        let calls: Vec<_> = (0..100).map(|_| rpc.call("")).collect();
        drop(rpc);
        assert_eq!(answers(calls), (7..107).collect::<Vec<_>>());
        gone();
        assert_eq!(
            events.iter().collect::<Vec<_>>(),
            (6..107).collect::<Vec<_>>()
        );
    }
}

#[test]
fn join_waits_for_its_end() {
    let _guard = guard();
    let rpc = threaded(0).on_event(|_| ()).spawn().unwrap();
    let call = rpc.call("");
    rpc.join().wait().unwrap();
    assert_eq!(call.wait().unwrap(), 1);
    gone();
    let rpc = threaded(0).quiet().spawn().unwrap();
    rpc.ready().wait().unwrap();
    // A function cannot be stopped, but the wait for it can.
    let mut call = rpc.call("gate");
    until(|| {
        let error = call.wait_timeout(Duration::ZERO).unwrap_err();
        error.started() == offspring::Started::Yes
    });
    rpc.kill();
    assert_error!(
        call.wait().unwrap_err(),
        is_child_dead,
        "was given up while it ran this call: `kill` was called",
        "a thread cannot be killed, and runs until its function returns"
    );
    assert_eq!(threads(), 1);
    OPEN.store(true, Ordering::Relaxed);
    let _ = rpc.join().wait();
    gone();
    let rpc = threaded(101).quiet().spawn().unwrap();
    assert_error!(
        rpc.call("").wait().unwrap_err(),
        is_init,
        started = No,
        "too many"
    );
    let _ = rpc.join().wait();
    gone();
}

#[test]
fn a_pool_of_threads() {
    let _guard = guard();
    let pool = threaded(0)
        .pool()
        .max(3)
        .load(1)
        .on_event(|_| ())
        .eager()
        .begin();
    let calls: Vec<_> = (0..30).map(|_| pool.call("")).collect();
    assert!(answers(calls).iter().sum::<u32>() > 30);
    pool.join().wait().unwrap();
    gone();
}

#[test]
fn what_a_thread_cannot_have() {
    let _guard = guard();
    let refused: [(&str, Threaded); 9] = [
        (
            "has the limits of its process",
            threaded(0).limits(Limits::new().open_files(100)),
        ),
        (
            "has the rights of its process",
            threaded(0).rights(Rights::new().no_new_privileges()),
        ),
        ("environment", threaded(0).env("A", "b")),
        ("directory", threaded(0).current_dir("/")),
        ("plain", threaded(0).plain()),
        ("stdin", threaded(0).stdin(Stdio::null())),
        ("stderr", threaded(0).capture_stderr(10)),
        ("group", threaded(0).own_group()),
        (
            "the lifetime of its process: leave `exit_with_parent`",
            threaded(0).exit_with_parent(),
        ),
    ];
    for (word, builder) in refused {
        let error = builder.spawn().unwrap_err();
        assert!(
            error.is_start() && error.to_string().contains(word),
            "{word}: {error}"
        );
    }
    for pool in [
        threaded(0).pool().max_memory(1 << 30),
        IN_THREAD.init(0).pool().also(1, threaded(0)).max_memory(1),
    ] {
        let error = pool.spawn().unwrap_err();
        assert_error!(error, is_start, "leave `max_memory` or `in_process` out");
    }
    gone();
}
