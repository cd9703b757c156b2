//! Calls: every way to wait for one, and every failure.

use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::thread::{self};
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use offspring::{CallError, FlattenErrors, Started, worker};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::support::*;

#[test]
fn wait_and_wait_again() {
    let _guard = guard();
    let gate = Gate::new();
    let rpc = WORK.spawn().unwrap();
    let mut call = rpc.call(Job::Gate(gate.name()));
    for time in [Duration::ZERO, Duration::from_millis(5)] {
        assert!(call.wait_timeout(time).unwrap_err().is_timeout());
    }
    assert!(call.wait_deadline(Instant::now()).unwrap_err().is_timeout());
    assert!(block_on(futures_lite::future::poll_once(&mut call)).is_none());
    drop(gate.reached());
    assert_eq!(call.wait_timeout(Duration::MAX).unwrap(), Ok("done".into()));
}

/// X17: a late answer is not taken for that of another call.
#[test]
fn a_late_answer_is_dropped() {
    let _guard = guard();
    let gate = Gate::new();
    let rpc = WORK.spawn().unwrap();
    for n in 0..20 {
        let mut late = rpc.call(both(Job::Gate(gate.name()), echo("late")));
        let open = gate.reached();
        assert!(late.wait_timeout(Duration::ZERO).unwrap_err().is_timeout());
        drop(late);
        let next = rpc.call(echo(n));
        drop(open);
        assert_eq!(next.wait().unwrap(), Ok(n.to_string()));
    }
}

/// A cancelled call that has not started does not run.
#[test]
fn dropped_calls_are_cancelled() {
    let _guard = guard();
    let temp = Temp::new();
    let (gate, file) = (temp.gate("gate"), temp.path("file"));
    let rpc = WORK.spawn().unwrap();
    let first = rpc.call(Job::Gate(gate.name()));
    let open = gate.reached();
    let kept = rpc.call(Job::Append(file.clone(), "kept".into()));
    let dropped: Vec<_> = (0..10)
        .map(|n| rpc.call(Job::Append(file.clone(), n.to_string())))
        .collect();
    drop(dropped);
    drop(open);
    first.wait().unwrap().unwrap();
    kept.wait().unwrap().unwrap();
    rpc.join().wait().unwrap();
    assert_eq!(temp.lines("file"), ["kept"]);
}

/// A call that is cancelled while it waits in the child's buffer, behind one that runs, does not run.
#[test]
fn calls_that_the_child_has_read_are_cancelled() {
    let _guard = guard();
    for rings in [true, false] {
        let temp = Temp::new();
        let (early, late, file) = (temp.gate("early"), temp.gate("late"), temp.path("file"));
        let rpc = WORK.builder().rings(rings).begin();
        let first = rpc.call(Job::Gate(early.name()));
        let open = early.reached();
        // The child reads all other calls while the first one runs. The second lasts longer than a tick.
        let second = rpc.call(both(Job::Gate(late.name()), Job::Sleep(50)));
        let dropped: Vec<_> = (0..10)
            .map(|n| rpc.call(Job::Append(file.clone(), n.to_string())))
            .collect();
        let mut kept = rpc.call(Job::Append(file.clone(), "kept".into()));
        // A thread that waits first sends the queued calls.
        assert!(kept.wait_timeout(Duration::ZERO).unwrap_err().is_timeout());
        drop(open);
        let open = late.reached();
        drop(dropped);
        assert!(kept.wait_timeout(Duration::ZERO).unwrap_err().is_timeout());
        drop(open);
        first.wait().unwrap().unwrap();
        second.wait().unwrap().unwrap();
        kept.wait().unwrap().unwrap();
        rpc.join().wait().unwrap();
        assert_eq!(temp.lines("file"), ["kept"], "rings: {rings}");
    }
}

/// X18: calls that timed out leave nothing behind.
#[test]
fn timed_out_calls_leave_nothing() {
    let _guard = guard();
    let rpc = TEXT.builder().max_outstanding(10, 1 << 20).begin();
    for _ in 0..rounds(5000) {
        let mut call = rpc.call("x");
        match call.wait_timeout(Duration::ZERO) {
            Ok(text) => assert_eq!(text, "x"),
            Err(error) => assert!(error.is_timeout(), "{error}"),
        }
    }
    // If they still counted against the limits, this call would never be sent.
    assert_eq!(rpc.call("y").wait().unwrap(), "y");
}

#[test]
fn any_executor() {
    let _guard = guard();
    let rpc = TEXT.spawn().unwrap();
    block_on(rpc.ready()).unwrap();
    assert_eq!(block_on(rpc.call("a")).unwrap(), "a");
    assert_eq!(run(rpc.call("b")).unwrap(), "b");
    let both = futures_lite::future::zip(rpc.call("d"), rpc.call("e"));
    let (d, e) = run(both);
    assert_eq!((d.unwrap().as_str(), e.unwrap().as_str()), ("d", "e"));
    assert!(block_on(rpc.join()).unwrap().success());
}

/// Without a guard, because smol never ends its thread and descriptors.
#[test]
fn smol_too() {
    alone(|| {
        let rpc = TEXT.spawn().unwrap();
        let other = rpc.clone();
        let task = smol::spawn(async move { other.call("c").await });
        assert_eq!(smol::block_on(task).unwrap(), "c");
        assert!(smol::block_on(rpc.join()).unwrap().success());
    });
}

/// X55: the runtime is dropped with calls in flight.
#[test]
fn a_runtime_that_is_dropped() {
    let _guard = guard();
    let gate = Gate::new();
    let rpc = WORK.spawn().unwrap();
    {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .build()
            .unwrap();
        let other = rpc.clone();
        let echo = runtime.spawn(async move { other.call(echo("tokio")).await });
        assert_eq!(runtime.block_on(echo).unwrap().unwrap(), Ok("tokio".into()));
        for _ in 0..10 {
            runtime.spawn(rpc.call(Job::Gate(gate.name())));
        }
        drop(gate.reached());
    }
    // Calls that had started, or were in the socket, still wait at the gate.
    let after = rpc.call(echo("after"));
    let done = Arc::new(AtomicUsize::new(0));
    let opener = {
        let (done, name) = (Arc::clone(&done), gate.name());
        thread::spawn(move || {
            while done.load(Ordering::Relaxed) == 0 {
                use std::os::unix::fs::OpenOptionsExt;
                let nonblocking = std::fs::File::options()
                    .write(true)
                    .custom_flags(libc::O_NONBLOCK)
                    .open(&name);
                drop(nonblocking);
                thread::yield_now();
            }
        })
    };
    assert_eq!(after.wait().unwrap(), Ok("after".into()));
    done.store(1, Ordering::Relaxed);
    opener.join().unwrap();
}

/// A call is polled, then a thread waits for it, then another waker does.
#[test]
fn a_call_changes_hands() {
    let _guard = guard();
    let gate = Gate::new();
    let rpc = WORK.spawn().unwrap();
    let mut call = rpc.call(Job::Gate(gate.name()));
    assert!(poll(&mut call, &Parker::new()).is_pending());
    let elsewhere = thread::spawn(move || {
        let error = call.wait_timeout(Duration::from_millis(1)).unwrap_err();
        assert!(error.is_timeout());
        call
    });
    let mut call = elsewhere.join().unwrap();
    let second = Parker::new();
    assert!(poll(&mut call, &second).is_pending());
    drop(gate.reached());
    until(|| second.woken() > 0);
    assert_eq!(run(call).unwrap(), Ok("done".into()));
}

#[test]
fn detached_calls_are_done() {
    let _guard = guard();
    let temp = Temp::new();
    let rpc = WORK.spawn().unwrap();
    for n in 0..100 {
        rpc.call(Job::Append(temp.path("file"), n.to_string()))
            .detach()
            .unwrap();
    }
    rpc.join().wait().unwrap();
    let all: Vec<_> = (0..100).map(|n| n.to_string()).collect();
    assert_eq!(temp.lines("file"), all);
}

#[test]
fn on_done_gets_every_outcome_in_order() {
    let _guard = guard();
    let rpc = WORK.builder().stderr(offspring::Stdio::null()).begin();
    let (seen, outcomes) = channel();
    for n in 0..100 {
        let seen = seen.clone();
        let job = match n % 10 {
            3 => Job::Panic(n.to_string()),
            4 => Job::Fail(n.to_string()),
            _ => echo(n),
        };
        rpc.call(job)
            .on_done(move |outcome| seen.send((n, outcome)).unwrap());
    }
    drop(seen);
    rpc.join().wait().unwrap();
    for n in 0..100 {
        let (number, outcome) = outcomes.recv().unwrap();
        assert_eq!(number, n);
        match n % 10 {
            3 => assert_eq!(
                outcome.unwrap_err().panic().unwrap().message(),
                n.to_string()
            ),
            4 => assert_eq!(outcome.unwrap(), Err(n.to_string())),
            _ => assert_eq!(outcome.unwrap(), Ok(n.to_string())),
        }
    }
    assert!(outcomes.recv().is_err());
}

worker!(NONE: fn() -> String = || "none".to_owned());
worker!(EIGHT: fn(String, String, String, String, String, String, String, String) -> Vec<String> =
    |a, b, c, d, e, f, g, h| vec![a, b, c, d, e, f, g, h]);
worker!(WHOLE: fn(..Vec<String>) -> Vec<String> = |mut all: Vec<String>| { all.reverse(); all });
worker!(MIXED: fn(Vec<u8>, std::path::PathBuf) -> String = |bytes: Vec<u8>, path: std::path::PathBuf| format!("{bytes:?} {}", path.display()));

worker!(ADD: fn(i32, i32) -> i32 = |a: i32, b: i32| a + b);
worker!(SUM: fn(..Vec<f64>) -> f64 = |numbers: Vec<f64>| numbers.iter().sum());

#[test]
fn numbers_need_no_feature() {
    let _guard = guard();
    fn add(add: &ADD) -> Result<i32, offspring::Error> {
        add.call(3, -4).wait()
    }
    assert_eq!(add(&ADD.builder().begin()).unwrap(), -1);
    let pool = ADD.pool().begin();
    assert_eq!(add(&pool).unwrap(), -1);
    assert_eq!(
        SUM.builder()
            .begin()
            .call([0.5, 1e300, f64::INFINITY])
            .wait()
            .unwrap(),
        f64::INFINITY
    );
    pool.join().wait().unwrap();
}

#[test]
fn arguments_of_every_number() {
    let _guard = guard();
    let rpc = NONE.spawn().unwrap();
    assert_eq!(rpc.call().wait().unwrap(), "none");
    assert_eq!(rpc.call_with(&()).wait().unwrap(), "none");
    rpc.join().wait().unwrap();
    let rpc = EIGHT.spawn().unwrap();
    let owned = String::from("a");
    let all = rpc
        .call(&owned, "b", String::from("c"), "d", &owned, "f", "", "h")
        .wait()
        .unwrap();
    assert_eq!(all, ["a", "b", "c", "d", "a", "f", "", "h"]);
    rpc.join().wait().unwrap();
    let rpc = WHOLE.spawn().unwrap();
    for count in [0, 1, 9, 1000] {
        let all: Vec<_> = (0..count).map(|n| n.to_string()).collect();
        let back: Vec<_> = all.iter().rev().cloned().collect();
        assert_eq!(rpc.call(&all).wait().unwrap(), back);
    }
    rpc.join().wait().unwrap();
    let rpc = MIXED.spawn().unwrap();
    let path = std::path::Path::new("/tmp");
    assert_eq!(
        rpc.call(&[1, 2, 3][..], path).wait().unwrap(),
        "[1, 2, 3] /tmp"
    );
    assert_eq!(rpc.call(b"\x01\x02", path).wait().unwrap(), "[1, 2] /tmp");
}

/// R2, R19.
#[test]
fn the_workers_own_error_is_its_result() {
    let _guard = guard();
    let rpc = WORK.spawn().unwrap();
    assert_eq!(
        rpc.call(Job::Fail("no".into())).wait().unwrap(),
        Err("no".into())
    );
    let folded = rpc.call(Job::Fail("no".into())).wait().flatten_errors();
    assert!(matches!(folded, Err(CallError::Worker(text)) if text == "no"));
    rpc.kill();
    let folded = rpc.call(Job::Arguments).wait().flatten_errors();
    assert!(matches!(folded, Err(CallError::Call(error)) if error.is_child_dead()));
}

/// Every fault of one value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Fault {
    None,
    /// Encoding fails or panics.
    WriteError,
    WritePanic,
    /// Decoding fails, panics, aborts or exits.
    ReadError,
    ReadPanic,
    ReadAbort,
    ReadExit,
    WriteAbort,
    WriteExit,
    DropPanic,
}

/// A value with a fault.
#[derive(Debug, PartialEq)]
struct Value(Fault);

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Fault::WriteError => Err(serde::ser::Error::custom("cannot be written")),
            Fault::WritePanic => panic!("while it was written"),
            Fault::WriteAbort => std::process::abort(),
            Fault::WriteExit => std::process::exit(5),
            fault => fault.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Fault::deserialize(deserializer)? {
            Fault::ReadError => Err(serde::de::Error::custom("cannot be read")),
            Fault::ReadPanic => panic!("while it was read"),
            Fault::ReadAbort => std::process::abort(),
            Fault::ReadExit => std::process::exit(6),
            fault => Ok(Self(fault)),
        }
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        if self.0 == Fault::DropPanic && !thread::panicking() {
            panic!("while it was dropped");
        }
    }
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Act {
    None,
    Error,
    Panic,
    Abort,
    Exit,
}

worker!(
    FAULTY: fn(Value, Act, Fault) -> Result<Value, String> = |_value: Value, act: Act, fault: Fault| match act {
        Act::None => Ok(Value(fault)),
        Act::Error => Err("no".to_owned()),
        Act::Panic => panic!("in the call"),
        Act::Abort => std::process::abort(),
        Act::Exit => std::process::exit(4),
    },
    serialiser = Json
);

/// Returns a value with this fault. It is not dropped here, because its destructor may be the fault.
fn faulty(fault: Fault) -> ManuallyDrop<Value> {
    ManuallyDrop::new(Value(fault))
}

/// X5: faults that the child survives, and X53, X6: faults that the parent survives.
#[test]
fn faults_that_fail_one_call() {
    let _guard = guard();
    let rpc = FAULTY.builder().stderr(offspring::Stdio::null()).begin();
    let call = |value, act, fault| rpc.call(&*faulty(value), act, fault).wait();
    let (none, nothing) = (Fault::None, Act::None);
    // {error, panic} x {encode, decode, drop} x {argument, result}, with `started`.
    for (fault, words, started) in [
        (Fault::WriteError, "cannot be written", Started::No),
        (Fault::WritePanic, "while it was written", Started::No),
        (Fault::ReadError, "cannot be read", Started::No),
        (Fault::ReadPanic, "while it was read", Started::No),
        (Fault::DropPanic, "while it was dropped", Started::Yes),
    ] {
        for (value, result, started) in [(fault, none, started), (none, fault, Started::Yes)] {
            let error = call(value, nothing, result).unwrap_err();
            match fault {
                Fault::WriteError | Fault::WritePanic => assert_error!(error, is_encode, words),
                Fault::ReadError | Fault::ReadPanic => assert_error!(error, is_decode, words),
                _ => assert_error!(error, is_panic, words),
            }
            assert_eq!(error.started(), started, "{error}");
            assert_eq!(call(none, nothing, none).unwrap().unwrap(), Value(none));
        }
    }
    let error = call(none, Act::Panic, none).unwrap_err();
    assert_error!(error, is_panic, started = Yes, "in the call");
    assert_eq!(call(none, Act::Error, none).unwrap().unwrap_err(), "no");
}

/// X5: {abort, exit} x {argument decode, call, result encode}: the child has exited, and the next call says so.
#[test]
fn faults_that_end_the_child() {
    let _guard = guard();
    let (none, nothing) = (Fault::None, Act::None);
    let cases = [
        (Fault::ReadAbort, nothing, none, None),
        (Fault::ReadExit, nothing, none, Some(6)),
        (none, Act::Abort, none, None),
        (none, Act::Exit, none, Some(4)),
        (none, nothing, Fault::WriteAbort, None),
        (none, nothing, Fault::WriteExit, Some(5)),
    ];
    for (value, act, fault, code) in cases {
        let builder = FAULTY.builder().stderr(offspring::Stdio::null());
        let rpc = builder.quiet().begin();
        let fine = || rpc.call(Value(none), nothing, none);
        let (before, fatal) = (fine(), rpc.call(Value(value), act, fault));
        let behind = fine();
        assert!(before.wait().is_ok());
        let error = fatal.wait().unwrap_err();
        assert_error!(error, is_child_dead, started = Yes);
        let status = error.crash().unwrap().status();
        let signal = code.is_none().then_some(libc::SIGABRT);
        assert_eq!((status.code(), status.signal()), (code, signal), "{error}");
        for call in [behind, fine()] {
            assert_error!(call.wait().unwrap_err(), is_child_dead, started = No);
        }
        rpc.join().wait().unwrap();
    }
}

/// R8: message, place and backtrace of a panic.
#[test]
fn a_panic_is_told_with_place_and_backtrace() {
    let _guard = guard();
    let rpc = WORK.builder().stderr(offspring::Stdio::null()).begin();
    let call = rpc.call(Job::Panic("out of luck".into()));
    let error = call.wait().unwrap_err();
    assert_error!(error, is_panic, "out of luck");
    let panic = error.panic().unwrap();
    assert_eq!(panic.message(), "out of luck");
    assert!(panic.place().contains("workers.rs:"), "{panic:?}");
    assert!(
        panic.backtrace().contains("workers.rs"),
        "{}",
        panic.backtrace()
    );
}

/// R15.
#[test]
fn too_long_fails_one_call() {
    let _guard = guard();
    let rpc = WORK.builder().max_message(10_000).begin();
    let fine = || assert_eq!(rpc.call(echo("a")).wait().unwrap(), Ok("a".into()));
    fine();
    let error = rpc.call(Job::Len("x".repeat(20_000))).wait().unwrap_err();
    assert_error!(error, is_too_long, started = No, "10000");
    fine();
    let error = rpc.call(Job::Make(20_000)).wait().unwrap_err();
    assert_error!(error, is_too_long, "max_message");
    fine();
}

/// X34.
#[test]
fn large_values_both_ways() {
    let _guard = guard();
    let rpc = TEXT.spawn().unwrap();
    let big = "z".repeat(64 << 20);
    assert!(rpc.call(&big).wait().unwrap() == big);
    let some = &big[..8 << 20];
    let calls: Vec<_> = (0..8).map(|_| rpc.call(some)).collect();
    for call in calls {
        assert!(call.wait().unwrap() == some);
    }
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert!(rpc.call(some).wait().unwrap() == some));
        }
    });
}

/// X35: sixteen times the bytes cost about sixteen times as much, and not the square of that.
#[test]
fn the_cost_of_a_payload_is_linear() {
    let _guard = guard();
    let rpc = TEXT.spawn().unwrap();
    // Allocators keep buffers of this length, and map larger ones anew, page by page.
    let big = "z".repeat(28 << 20);
    let quickest = |text: &str| {
        let times = (0..3).map(|_| {
            let start = Instant::now();
            assert_eq!(rpc.call(text).wait().unwrap().len(), text.len());
            start.elapsed()
        });
        times.min().unwrap()
    };
    let small = quickest(&big[..big.len() / 16]);
    let large = quickest(&big);
    assert!(large < limit(small * 16 * 10), "{small:?}, {large:?}");
}

/// X37: a message above a gigabyte, if both sides permit it.
#[test]
fn more_than_the_usual_limit() {
    let _guard = guard();
    let rpc = LENGTH.builder().max_message(u32::MAX).begin();
    let length = (1 << 30) + 1000;
    let zeros = vec![0; length];
    assert_eq!(rpc.call(&zeros[..]).wait().unwrap(), length.to_string());
    drop(rpc);
    let rpc = LENGTH.spawn().unwrap();
    let error = rpc.call(&zeros[..]).wait().unwrap_err();
    assert!(error.is_too_long(), "{error}");
    assert_eq!(rpc.call(&zeros[..5]).wait().unwrap(), "5");
}
worker!(LENGTH: fn(Vec<u8>) -> String = |bytes: Vec<u8>| bytes.len().to_string());

#[test]
fn a_closed_handle_takes_no_calls() {
    let _guard = guard();
    let rpc = TEXT.spawn().unwrap();
    let clone = rpc.clone();
    let before = rpc.call("before");
    let join = rpc.join();
    let error = clone.call("after").wait().unwrap_err();
    assert_error!(error, is_closed, started = No);
    assert_eq!(before.wait().unwrap(), "before");
    assert!(join.wait().unwrap().success());
    assert!(clone.call("later").wait().is_err());
    assert!(clone.join().wait().unwrap().success());
}

/// R10, R9: after the last handle is dropped, the queue is finished, and `on_destroy` runs last.
#[test]
fn the_last_handle_finishes_the_queue() {
    let _guard = guard();
    let temp = Temp::new();
    let (seen, events) = channel();
    let last = seen.clone();
    let rpc = WORK
        .on_event(move |n| seen.send(format!("event {n}")).unwrap())
        .on_destroy(move || last.send("destroy".into()).unwrap())
        .begin();
    let clone = rpc.clone();
    for n in 0..50 {
        clone
            .call(Job::Append(temp.path("file"), n.to_string()))
            .detach()
            .unwrap();
        clone.call(Job::Events(n, n + 1)).detach().unwrap();
    }
    drop(rpc);
    drop(clone);
    let all: Vec<String> = events.iter().collect();
    let mut expected: Vec<_> = (0..50).map(|n| format!("event {n}")).collect();
    expected.push("destroy".into());
    assert_eq!(all, expected);
    assert_eq!(temp.lines("file").len(), 50);
}

/// An open call gets its answer after the handle was dropped.
#[test]
fn a_call_outlives_the_handle() {
    let _guard = guard();
    let rpc = TEXT.spawn().unwrap();
    let call = rpc.call("orphan");
    drop(rpc);
    assert_eq!(call.wait().unwrap(), "orphan");
}

#[test]
fn kill_ends_it_now() {
    let _guard = guard();
    let gate = Gate::new();
    let rpc = WORK.spawn().unwrap();
    let call = rpc.call(Job::Gate(gate.name()));
    let _open = gate.reached();
    let pid = rpc.pid().unwrap();
    rpc.kill();
    let error = call.wait().unwrap_err();
    assert_error!(error, is_child_dead, "kill");
    let crash = error.crash().unwrap();
    assert_eq!(crash.status().signal(), Some(libc::SIGKILL), "{error}");
    assert_eq!(crash.pid(), Some(pid));
    assert_eq!(rpc.join().wait().unwrap().signal(), Some(libc::SIGKILL));
    assert!(!is_alive(pid));
}

/// A waker may hold the last reference to a task, and with it calls of the same child. It must be dropped without the lock
/// that dropping a call takes.
#[test]
fn a_waker_that_holds_a_call_may_be_dropped_at_any_time() {
    #[expect(dead_code, reason = "it is only dropped")]
    struct Holder(Mutex<Option<offspring::Call<Result<String, String>, u32>>>);
    impl Wake for Holder {
        fn wake(self: Arc<Self>) {}
    }
    let _guard = guard();
    let gate = Gate::new();
    let rpc = WORK.spawn().unwrap();
    let mut call = pin!(rpc.call(Job::Gate(gate.name())));
    for _ in 0..3 {
        for held in [Some(rpc.call(Job::Len("held".into()))), None] {
            let waker = Waker::from(Arc::new(Holder(Mutex::new(held))));
            let polled = call.as_mut().poll(&mut Context::from_waker(&waker));
            assert!(polled.is_pending());
        }
    }
    drop(gate.reached());
    assert_eq!(block_on(call).unwrap(), Ok("done".into()));
}

/// Long byte strings arrive unchanged, with any values before and between them, and in every way to wait.
#[test]
fn long_bytes_are_the_same_on_either_side() {
    let _guard = guard();
    let bytes = |length: usize| -> Vec<u8> { (0..length).map(|at| (at * 7) as u8).collect() };
    let lengths = [0, 5, 65_535, 65_536, 65_537, 131_072, 1 << 20, 5_000_000];
    let (pairs, later) = (PAIRS.spawn().unwrap(), LATER.spawn().unwrap());
    for length in lengths {
        let want = bytes(length);
        // By reference, by value, and as another type with the same encoding.
        let names = [String::new(), "n".repeat(70_000), "name".into()];
        for name in &names {
            let (back, same) = (format!("{name}!"), &want);
            let call = pairs.call(name, &want);
            assert!(call.wait().unwrap() == (back.clone(), same.clone()));
            let call = pairs.call(name.clone(), want.clone());
            assert!(block_on(call).unwrap() == (back.clone(), same.clone()));
        }
        let calls: Vec<_> = (0..5).map(|_| later.call(want.clone())).collect();
        for call in calls {
            assert!(call.wait().unwrap() == want);
        }
    }
    pairs.join().wait().unwrap();
}

worker!(PAIRS: fn(String, Vec<u8>) -> (String, Vec<u8>) = |name: String, bytes: Vec<u8>| {
    (format!("{name}!"), bytes)
});
worker!(LATER: fn(Vec<u8>) -> Vec<u8> = |bytes: Vec<u8>| bytes);
