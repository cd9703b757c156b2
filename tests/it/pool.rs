//! Pools: how calls are distributed, and that no call is lost or run twice.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use futures_lite::StreamExt;
use futures_lite::future::block_on;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use offspring::{Call, Error, Pool, PoolBuilder, Rpc, Started, Template};

use crate::support::pooled::{Do, POOLED, both};
use crate::support::*;

type Handle = Rpc<fn(Do) -> String, Json, u32>;

fn setup() -> PoolBuilder<fn(Do) -> String, Json, u32> {
    POOLED.init(false).pool().quiet()
}

fn pool(max: usize) -> Pool<fn(Do) -> String, Json, u32> {
    setup().max(max).eager().begin()
}

type Held = (Vec<Gate>, Vec<Call<String, u32>>);

/// Makes `count` calls, each held at a separate gate.
fn held(pool: &Handle, temp: &Temp, count: usize) -> Held {
    let gates: Vec<_> = (0..count)
        .map(|n| temp.gate(&format!("{n} of {count}")))
        .collect();
    let calls = gates
        .iter()
        .map(|gate| pool.call(both(Do::Gate(gate.name()), Do::Pid)));
    let calls = calls.collect();
    (gates, calls)
}

/// How often each of `count` calls has written its number to `file`.
fn runs(temp: &Temp, file: &str, count: usize) -> Vec<usize> {
    let mut runs = vec![0; count];
    let lines = temp.lines(file).into_iter();
    lines.for_each(|line| runs[line.parse::<usize>().unwrap()] += 1);
    runs
}

/// Code that works with a single child and with a pool.
fn for_one(rpc: &Handle) {
    assert_eq!(rpc.call(Do::Echo("a".into())).wait().unwrap(), "a");
    assert_eq!(block_on(rpc.call(Do::Echo("b".into()))).unwrap(), "b");
    let (sender, receiver) = channel();
    rpc.call(Do::Echo("c".into()))
        .on_done(move |answer| sender.send(answer.unwrap()).unwrap());
    assert_eq!(receiver.recv().unwrap(), "c");
    rpc.call(Do::Pid).detach().unwrap();
    assert!(rpc.call(Do::Panic).wait().unwrap_err().is_panic());
    let mut call = rpc.call(Do::Progress(3));
    let events: Vec<_> = call.events().into_iter().map(Result::unwrap).collect();
    assert_eq!(events, [0, 1, 2]);
    assert_eq!(call.wait().unwrap(), "done");
    let mut call = rpc.call(Do::Progress(3));
    let events: Vec<_> = block_on(call.events().map(Result::unwrap).collect());
    assert_eq!(events, [0, 1, 2]);
    assert_eq!(block_on(call).unwrap(), "done");
    let late = rpc.call(Do::Sleep(50)).timeout(Duration::from_millis(1));
    assert!(late.wait().unwrap_err().is_timeout());
    let mut call = rpc.call(Do::Sleep(20));
    let error = call.wait_timeout(Duration::from_millis(1)).unwrap_err();
    assert!(error.is_timeout());
    assert_eq!(call.wait().unwrap(), "done");
    let call = rpc.call_with(&(Do::Echo("d".into()),));
    assert_eq!(call.wait().unwrap(), "d");
    let tried = rpc.try_call(Do::Pid).unwrap();
    assert!(tried.wait().unwrap().parse::<u32>().is_ok());
}

#[test]
fn a_pool_is_used_like_a_child() {
    let _guard = guard();
    for_one(&POOLED.init(false).begin());
    let pool = pool(2);
    for_one(&pool);
    let rpc = pool.rpc().clone();
    until(|| pool.status().answered >= 11);
    assert_eq!(pool.status().died, 0);
    assert!(pool.join().wait().unwrap().success());
    assert!(rpc.call(Do::Pid).wait().unwrap_err().is_closed());
}

/// Many calls and few children: waited for in order, in reverse, by tasks and with callbacks.
#[test]
fn every_call_is_answered() {
    let _guard = guard();
    let count = rounds(2000);
    let pool = pool(3);
    let make = || (0..count).map(|n| pool.call(Do::Echo(n.to_string())));
    for (n, call) in make().enumerate() {
        assert_eq!(call.wait().unwrap(), n.to_string());
    }
    let calls: Vec<_> = make().collect();
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(call.wait().unwrap(), n.to_string());
    }
    let calls: Vec<_> = make().collect();
    for (n, call) in calls.into_iter().enumerate().rev() {
        assert_eq!(call.wait().unwrap(), n.to_string());
    }
    let calls: Vec<_> = make().collect();
    for (n, call) in calls.into_iter().enumerate().rev() {
        assert_eq!(block_on(call).unwrap(), n.to_string());
    }
    let (sender, receiver) = channel();
    for call in make() {
        let sender = sender.clone();
        call.on_done(move |answer| sender.send(answer.unwrap()).unwrap());
    }
    drop(sender);
    let answers: BTreeSet<_> = receiver.iter().collect();
    assert_eq!(answers.len(), count as usize);
    thread::scope(|scope| {
        for t in 0..8 {
            let pool = &pool;
            scope.spawn(move || {
                for n in 0..count / 8 {
                    let text = format!("{t} {n}");
                    assert_eq!(pool.call(Do::Echo(text.clone())).wait().unwrap(), text);
                }
            });
        }
    });
    let all = u64::from(count) * 5 + u64::from(count / 8) * 8;
    until(|| pool.status().answered == all);
    let status = pool.status();
    assert_eq!((status.queued, status.running, status.moved), (0, 0, 0));
}

/// The least loaded child gets a call. While all children are full, calls stay queued, and no child beyond `max` is
/// started.
#[test]
fn calls_are_shared_out() {
    let _guard = guard();
    let temp = Temp::new();
    let pool = setup().max(2).idle(2).start(Duration::ZERO).begin();
    until(|| pool.status().idle == 2);
    let (gates, held) = held(&pool, &temp, 2);
    let open: Vec<_> = gates.iter().map(Gate::reached).collect();
    let behind: Vec<_> = (0..5).map(|_| pool.call(Do::Pid)).collect();
    until(|| pool.status().running == 4);
    let status = pool.status();
    assert_eq!((status.busy, status.queued), (2, 3), "{status:?}");
    drop(open);
    let pids: BTreeSet<_> = answers(held).into_iter().collect();
    assert_eq!(pids.len(), 2);
    assert!(answers(behind).iter().all(|pid| pids.contains(pid)));
    assert_eq!(pool.status().started, 2);
}

/// The pool grows only while calls are queued, and shrinks to `idle`.
#[test]
fn it_grows_and_shrinks() {
    let _guard = guard();
    let temp = Temp::new();
    let pool = setup().max(3).load(1).start(Duration::from_millis(1));
    let pool = pool.stop(Duration::from_millis(1)).idle(1).begin();
    until(|| pool.status().idle == 1);
    let (gates, calls) = held(&pool, &temp, 4);
    until(|| pool.status().busy == 3);
    assert_eq!(pool.status().queued, 1);
    for gate in &gates {
        drop(gate.reached());
    }
    answers(calls);
    until(|| pool.status().children() == 1 && children().len() == 1);
    assert_eq!((pool.status().idle, pool.status().died), (1, 0));
}

/// X14: an idle child is killed; the next call runs in another child.
#[test]
fn a_call_for_a_dead_child_moves() {
    let _guard = guard();
    let pool = pool(2);
    for _ in 0..rounds(100) {
        let pid = pool.call(Do::Pid).wait().unwrap();
        kill_process(pid.parse().unwrap());
        assert_ne!(pool.call(Do::Pid).wait().unwrap(), pid);
    }
}

/// Calls that had started fail; all others run in another child, in order.
#[test]
fn what_had_not_started_moves() {
    let _guard = guard();
    let (temp, gate) = Temp::with_gate();
    // Some calls wait in the pool, behind those of the child.
    let pool = setup().max(1).load(20);
    let pool = pool.backoff(Duration::ZERO, Duration::ZERO).begin();
    let pid = pool.call(Do::Pid).wait().unwrap();
    let path = temp.path("file");
    let line = |n: u32| Do::Append(path.clone(), n.to_string());
    let first = pool.call(line(0));
    let held = pool.call(both(line(1), Do::Gate(gate.name())));
    let behind: Vec<_> = (2..50).map(|n| pool.call(line(n))).collect();
    let open = gate.reached();
    kill_process(pid.parse().unwrap());
    assert_eq!(first.wait().unwrap(), "done");
    assert_error!(held.wait().unwrap_err(), is_child_dead, started = Yes);
    for call in behind {
        assert_eq!(call.wait().unwrap(), "done");
    }
    drop(open);
    let all: Vec<_> = (0..50).map(|n: u32| n.to_string()).collect();
    assert_eq!(temp.lines("file"), all);
    // The answer to the first call may have made room for another.
    let moved = pool.status().moved;
    assert!((18..20).contains(&moved), "{moved}");
}

/// A call with `repeat` is repeated up to that many times.
#[test]
fn what_may_be_repeated_is() {
    let _guard = guard();
    let temp = Temp::new();
    let pool = pool(1);
    let job = |name| both(Do::Append(temp.path(name), "x".into()), Do::Abort);
    for (times, name) in [(0, "a"), (1, "b"), (3, "c")] {
        // A pool that does not count would repeat it for ever.
        let call = pool.call(job(name)).repeat(times);
        let error = call.timeout(Duration::from_secs(20)).wait().unwrap_err();
        assert!(error.is_child_dead(), "{error}");
        assert_eq!(temp.lines(name).len(), times as usize + 1);
    }
}

/// G5: a call that ran, and waits for another child to run it again, fails with `Started::Yes`.
#[test]
fn what_was_to_be_repeated_had_started() {
    let _guard = guard();
    let (temp, gate) = Temp::with_gate();
    let link = temp.path("program");
    symlink(std::env::current_exe().unwrap(), &link).unwrap();
    let mut program = Command::new(&link);
    program.args(["--serve", "pooled"]);
    let pool = POOLED.init(false).program(program).pool().quiet();
    let pool = pool.max(1).eager().begin();
    let call = pool.call(Do::Gate(gate.name())).repeat(1);
    let open = gate.reached();
    // No other child can be started.
    std::fs::remove_file(&link).unwrap();
    children().into_iter().for_each(kill_process);
    let error = call.wait().unwrap_err();
    assert_error!(error, is_start, started = Yes, "another child had started");
    drop(open);
}

/// X15: with a child for each call, no call is left over.
#[test]
fn children_that_leave_strand_nothing() {
    let _guard = guard();
    let pool = setup().max(1).max_calls(1).begin();
    let count = rounds(200);
    let calls: Vec<_> = (0..count).map(|_| pool.call(Do::Pid)).collect();
    let pids = answers(calls);
    assert!(pids.windows(2).all(|two| two[0] != two[1]));
    let status = pool.status();
    assert_eq!((status.retired, status.died), (u64::from(count), 0));
}

/// A child retires by itself.
#[test]
fn a_child_retires() {
    let _guard = guard();
    let template = Template::builder().start().unwrap();
    let ways = [
        POOLED.init(false),
        POOLED.init(false).template(&template),
        POOLED.init(false).command(serving("pooled")),
    ];
    for builder in ways {
        let pool = builder.pool().max(1).begin();
        for _ in 0..rounds(20) {
            let retires = pool.call(both(Do::Retire, both(Do::Retire, Do::Pid)));
            let pid = retires.wait().unwrap();
            assert_ne!(pool.call(Do::Pid).wait().unwrap(), pid);
        }
        assert_eq!(pool.status().died, 0);
        pool.join().wait().unwrap();
    }
    // For a single child `retire` has no effect.
    let rpc = POOLED.init(false).begin();
    let pid = rpc.call(both(Do::Retire, Do::Pid)).wait().unwrap();
    assert_eq!(rpc.call(Do::Pid).wait().unwrap(), pid);
    // Outside a child `retire` is an error.
    assert!(offspring::retire().unwrap_err().is_refused());
}

#[test]
fn a_child_leaves_for_its_age_or_memory() {
    let _guard = guard();
    let pool = setup().max(1).max_age(Duration::from_millis(1)).begin();
    let pid = pool.call(Do::Pid).wait().unwrap();
    until(|| pool.call(Do::Pid).wait().unwrap() != pid);
    pool.join().wait().unwrap();
    let pool = setup().max(1).max_memory(200 << 20).begin();
    let pid = pool.call(Do::Pid).wait().unwrap();
    // Memory is measured with an answer if the last measurement was at least 100 ms ago.
    let weighed = Instant::now() + Duration::from_millis(300);
    while Instant::now() < weighed {
        assert_eq!(pool.call(both(Do::Keep(1), Do::Pid)).wait().unwrap(), pid);
    }
    let heavy = pool.call(both(Do::Keep(300 << 20), Do::Pid));
    assert_eq!(heavy.wait().unwrap(), pid);
    until(|| pool.call(Do::Pid).wait().unwrap() != pid);
    assert_eq!(pool.status().died, 0);
}

/// X12: calls fail with the reason, and the pool does not start processes for ever.
#[test]
fn children_that_cannot_start() {
    let _guard = guard();
    let failures = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&failures);
    let pool = POOLED
        .init(true)
        .pool()
        .backoff(Duration::from_millis(1), Duration::from_millis(2))
        .on_error(move |error| {
            assert!(error.is_init(), "{error}");
            count.fetch_add(1, Ordering::SeqCst);
        })
        .begin();
    let calls: Vec<_> = (0..10).map(|_| pool.call(Do::Pid)).collect();
    let (sender, receiver) = channel();
    pool.call(Do::Pid)
        .on_done(move |answer| sender.send(answer.unwrap_err()).unwrap());
    for call in calls {
        assert_error!(call.wait().unwrap_err(), is_init, "no disk");
    }
    assert!(receiver.recv().unwrap().is_init());
    assert_eq!(pool.status().failed, 5);
    assert!(pool.call(Do::Pid).wait().unwrap_err().is_init());
    assert_eq!(pool.status().failed, 6);
    assert!(pool.ready().wait().unwrap_err().is_init());
    pool.join().wait().unwrap();
    assert_eq!(failures.load(Ordering::SeqCst), 6);

    let command = std::process::Command::new("/nowhere/at/all");
    let builder = POOLED.init(false).command(command);
    let pool = builder.pool().backoff(Duration::ZERO, Duration::ZERO);
    let pool = pool.quiet().begin();
    let error = pool.call(Do::Pid).wait().unwrap_err();
    assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
    assert!(pool.ready().wait().is_err());
}

/// A kind of children that cannot be started does no harm while another kind can. It is used again once it starts.
#[test]
fn a_lost_host_comes_back() {
    let _guard = guard();
    let temp = Temp::new();
    let there = temp.path("there");
    let mut command = std::process::Command::new("/bin/sh");
    let own = serving("pooled");
    command.args(["-c", "test -e \"$0\" && exec \"$@\"", &there]);
    command.arg(own.get_program()).args(own.get_args());
    let pool = setup()
        .max(1)
        .load(1)
        .also(2, POOLED.init(false).command(command))
        .start(Duration::ZERO)
        .backoff(Duration::from_millis(1), Duration::from_millis(5))
        .begin();
    let (gates, calls) = held(&pool, &temp, 2);
    let open = gates[0].reached();
    until(|| pool.status().failed > 6);
    assert_eq!(pool.status().busy, 1);
    // The host is back.
    std::fs::write(&there, "").unwrap();
    drop(gates[1].reached());
    drop(open);
    answers(calls);
    let (gates, calls) = held(&pool, &temp, 3);
    let open: Vec<_> = gates.iter().map(Gate::reached).collect();
    assert_eq!(pool.status().busy, 3);
    drop(open);
    answers(calls);
}

/// N4: a single child is restarted after its death.
#[test]
fn a_single_child_comes_back() {
    let _guard = guard();
    let pool = setup().single().backoff(Duration::ZERO, Duration::ZERO);
    let pool = pool.begin();
    for _ in 0..rounds(50) {
        let pid: u32 = pool.call(Do::Pid).wait().unwrap().parse().unwrap();
        kill_process(pid);
        let calls: Vec<_> = (0..100)
            .map(|n: u32| pool.call(Do::Echo(n.to_string())))
            .collect();
        for (n, call) in calls.into_iter().enumerate() {
            match call.wait() {
                Ok(text) => assert_eq!(text, n.to_string()),
                Err(error) => assert!(n == 0 && error.started() == Started::Yes, "{n}: {error}"),
            }
        }
        assert!(children().len() <= 2);
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let _guard = guard();
    let refused = |builder: PoolBuilder<_, _, _>| builder.spawn().unwrap_err().to_string();
    assert!(refused(setup().max(0)).contains("`max`"));
    assert!(refused(setup().also(0, POOLED.init(false))).contains("`max`"));
    assert!(refused(setup().load(0)).contains("`load`"));
    assert!(refused(setup().max_calls(0)).contains("0 calls"));
    let with = POOLED.init(false).on_event(|_| ()).pool();
    assert!(refused(with).contains("handlers"));
}

/// Zero is a valid value of `idle`, `start` and `stop`.
#[test]
fn zeros_are_zeros() {
    let _guard = guard();
    let temp = Temp::new();
    let pool = setup().max(3).load(1).idle(0).start(Duration::ZERO);
    let pool = pool.stop(Duration::ZERO).begin();
    assert!(children().is_empty());
    let (gates, calls) = held(&pool, &temp, 3);
    let open: Vec<_> = gates.iter().map(Gate::reached).collect();
    assert_eq!(pool.status().busy, 3);
    drop(open);
    answers(calls);
    until(|| children().is_empty());
    assert_eq!(pool.status().children(), 0);
}

/// `try_call` refuses while the queue is full, and returns the arguments.
#[test]
fn a_full_queue() {
    let _guard = guard();
    let gate = Gate::new();
    let pool = setup().max(1).load(1).max_queue(2, 1 << 20).begin();
    let held = pool.call(Do::Gate(gate.name()));
    let open = gate.reached();
    let calls: Vec<_> = (0..2).map(|_| pool.try_call(Do::Pid).unwrap()).collect();
    let refused = pool.try_call(Do::Echo("so".into())).unwrap_err();
    assert!(matches!(refused.into_inner().0, Do::Echo(text) if text == "so"));
    // `call` takes it all the same; its bytes wait in the handle.
    let over = pool.call(Do::Pid);
    assert!(pool.try_call(Do::Pid).is_err());
    drop(calls);
    until(|| pool.status().queued == 1);
    let next = pool.try_call(Do::Pid).unwrap();
    drop(open);
    held.wait().unwrap();
    over.wait().unwrap();
    next.wait().unwrap();
}

/// Calls are given up in the queue, at a child, and together with the child.
#[test]
fn calls_are_given_up() {
    let _guard = guard();
    let (temp, gate) = Temp::with_gate();
    let pool = setup().max(1).load(2);
    let pool = pool.backoff(Duration::ZERO, Duration::ZERO).begin();
    let held = pool.call(Do::Gate(gate.name())).kill_on_cancel(true);
    let _open = gate.reached();
    let path = temp.path("file");
    let sent = pool.call(Do::Append(path.clone(), "sent".into()));
    let queued = pool.call(Do::Append(path.clone(), "queued".into()));
    let late = pool
        .call(Do::Append(path.clone(), "late".into()))
        .timeout(Duration::from_millis(5));
    let (sender, receiver) = sink();
    pool.call(Do::Append(path.clone(), "late".into()))
        .timeout(Duration::from_millis(5))
        .on_done(sender);
    let last = pool.call(Do::Append(path, "last".into()));
    drop(queued);
    drop(sent);
    assert_error!(late.wait().unwrap_err(), is_timeout, started = No);
    assert!(receiver.recv().unwrap().unwrap_err().is_timeout());
    drop(held);
    assert_eq!(last.wait().unwrap(), "done");
    assert_eq!(temp.lines("file"), ["last"]);
}

/// A call past its deadline keeps its child busy: the next calls run in other children.
#[test]
fn a_late_call_counts() {
    let _guard = guard();
    let gate = Gate::new();
    let pool = setup().max(2).idle(2).load(1).begin();
    until(|| pool.status().idle == 2);
    let late = pool
        .call(Do::Gate(gate.name()))
        .timeout(Duration::from_millis(200));
    let open = gate.reached();
    assert!(late.wait().unwrap_err().is_timeout());
    for _ in 0..10 {
        pool.call(Do::Pid).wait().unwrap();
    }
    until(|| pool.status().busy == 1);
    drop(open);
    until(|| pool.status().idle == 2);
}

/// Events of all children go to one handler, those of each child in order. Without a handler they are ignored.
#[test]
fn events_of_a_pool() {
    let _guard = guard();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let events = Arc::clone(&seen);
    let pool = setup()
        .max(2)
        .on_event(move |n| events.lock().unwrap().push((thread::current().id(), n)))
        .begin();
    let calls: Vec<_> = (0..20).map(|_| pool.call(Do::Events(10))).collect();
    answers(calls);
    pool.join().wait().unwrap();
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    assert_eq!(seen.len(), 200);
    for thread in seen.iter().map(|(thread, _)| *thread) {
        let of_one = seen.iter().filter(|(other, _)| *other == thread);
        assert!(of_one.enumerate().all(|(at, (_, n))| at as u32 % 10 == *n));
    }
    let (tell, errors) = sink();
    let pool = POOLED.init(false).pool().on_error(tell).begin();
    pool.call(Do::Events(1000)).wait().unwrap();
    pool.join().wait().unwrap();
    assert_eq!(errors.iter().count(), 0);
}

/// X54, X59: callbacks make calls, wait, panic, drop the pool and join it.
#[test]
fn callbacks_do_what_they_like() {
    let _guard = guard();
    for _ in 0..rounds(20) {
        let pool = pool(1);
        let (sender, receiver) = channel();
        for n in 0..20 {
            let (own, sender) = (pool.clone(), sender.clone());
            pool.call(Do::Pid).on_done(move |answer| {
                answer.unwrap();
                // More calls than this child can take.
                let calls: Vec<_> = (0..5).map(|_| own.call(Do::Pid)).collect();
                answers(calls);
                block_on(own.call(Do::Pid)).unwrap();
                if n == 19 {
                    own.join().wait().unwrap();
                }
                sender.send(n).unwrap();
                assert!(n % 2 == 0, "a callback may panic");
            });
        }
        drop(sender);
        let mut seen: Vec<_> = receiver.iter().collect();
        seen.sort_unstable();
        drop(pool);
        assert!(seen.len() >= 19, "{seen:?}");
    }
}

/// X54: the last handle is dropped in a callback of a call.
#[test]
fn dropped_in_a_callback() {
    let _guard = guard();
    let (sender, receiver) = channel();
    let done = sender.clone();
    let pool = setup()
        .on_destroy(move || done.send("destroyed").unwrap())
        .begin();
    let own = pool.clone();
    pool.call(Do::Sleep(10)).on_done(move |_| {
        drop(own);
        sender.send("dropped").unwrap();
    });
    drop(pool);
    let seen: Vec<_> = receiver.iter().collect();
    assert_eq!(seen, ["dropped", "destroyed"]);
}

/// P3: a dropped pool first finishes all calls, queued ones included.
#[test]
fn dropping_the_pool_finishes_everything() {
    let _guard = guard();
    let temp = Temp::new();
    let (sender, receiver) = channel();
    let pool = setup().max(2).on_destroy(move || sender.send(()).unwrap());
    let pool = pool.begin();
    for n in 0..100 {
        pool.call(Do::Append(temp.path("file"), n.to_string()))
            .detach()
            .unwrap();
    }
    let last = pool.call(Do::Echo("last".into()));
    drop(pool);
    receiver.recv().unwrap();
    assert!(children().is_empty());
    assert_eq!(temp.lines("file").len(), 100);
    assert_eq!(last.wait().unwrap(), "last");
}

/// A pool ends if it was never used, when the time of `within` is up, and when it is killed.
#[test]
fn it_ends_in_any_case() {
    let _guard = guard();
    drop(setup().begin());
    drop(setup().idle(3).begin());
    setup().idle(3).begin().join().wait().unwrap();
    let (temp, gate) = Temp::with_gate();
    let pool = setup().max(1).load(1).begin();
    let held = pool.call(Do::Gate(gate.name()));
    let queued = pool.call(Do::Pid);
    let open = gate.reached();
    let join = pool.join().within(Duration::from_millis(10));
    assert!(!quickly(|| join.wait().unwrap()).success());
    assert!(held.wait().unwrap_err().is_child_dead());
    assert!(queued.wait().is_err());
    drop(open);
    let pool = setup().max(1).load(1).begin();
    let gate = temp.gate("another");
    let held = pool.call(Do::Gate(gate.name()));
    let queued = pool.call(Do::Pid);
    let _open = gate.reached();
    pool.kill();
    assert!(held.wait().unwrap_err().is_child_dead());
    assert!(queued.wait().unwrap_err().is_closed());
}

/// X57: a child that has a pool is killed; the pool's children end.
#[test]
fn nested_pools() {
    let _guard = guard();
    let pool = pool(1);
    let pids = pool.call(Do::Nested).wait().unwrap();
    let own = pool.call(Do::Pid).wait().unwrap();
    let nested: Vec<u32> = pids.split(' ').map(|pid| pid.parse().unwrap()).collect();
    assert!(nested.iter().any(|pid| is_alive(*pid)));
    kill_process(own.parse().unwrap());
    until(|| !nested.iter().any(|pid| is_alive(*pid)));
}

/// X7, X58: children are killed and the pool is closed at random times. Each call is done exactly once, and each run is
/// counted.
#[test]
fn nothing_is_lost_or_run_twice() {
    let _guard = guard();
    let temp = Temp::new();
    let mut random = Random::new();
    for round in 0..rounds(15) {
        let seed = random.next();
        one_round(&temp, round, Random(seed | 1), seed);
    }
}

fn one_round(temp: &Temp, round: u32, mut random: Random, seed: u64) {
    let (begun, ended) = (format!("begun {round}"), format!("ended {round}"));
    let pool = setup()
        .max(1 + random.below(4) as usize)
        .load(1 + random.below(3) as usize)
        .idle(random.below(2) as usize)
        .start(Duration::from_micros(random.below(2) * 500))
        .stop(Duration::from_millis(random.below(3)))
        .max_calls(5 + random.below(100))
        .backoff(Duration::ZERO, Duration::ZERO)
        .begin();
    let over = AtomicBool::new(false);
    let count = 20 + random.below(80);
    let outcomes: Vec<_> = thread::scope(|scope| {
        scope.spawn(|| {
            // The number of kills is limited, or no child might live long enough to answer.
            let mut kills = random.below(40);
            while kills > 0 && !over.load(Ordering::SeqCst) {
                for pid in children() {
                    if random.below(3) == 0 {
                        kills = kills.saturating_sub(1);
                        let _ = kill(Pid::from_raw(pid as i32), Signal::SIGKILL);
                    }
                }
                thread::sleep(Duration::from_micros(random.below(3000)));
            }
        });
        let mut random = Random(seed | 3);
        let mut calls = Vec::new();
        for n in 0..count {
            let line = n.to_string();
            let mut job = both(
                Do::Append(temp.path(&begun), line.clone()),
                Do::Append(temp.path(&ended), line),
            );
            match random.below(20) {
                0 => job = both(job, Do::Abort),
                1 => job = both(job, Do::Exit(0)),
                2 => job = both(Do::Retire, job),
                _ => {}
            }
            calls.push(pool.call(job));
        }
        let join = (random.below(2) == 0).then(|| pool.clone().join());
        let outcomes = calls.into_iter().map(|call| call.wait()).collect();
        over.store(true, Ordering::SeqCst);
        if let Some(join) = join {
            join.wait().unwrap();
        }
        outcomes
    });
    let [begun, ended] = [begun, ended].map(|file| runs(temp, &file, count as usize));
    for (n, outcome) in outcomes.iter().enumerate() {
        let what = format!("seed {seed}: call {n} ran {} times: {outcome:?}", begun[n]);
        match outcome.as_ref().map_err(Error::started) {
            Ok(_) => assert!(begun[n] == 1 && ended[n] > 0, "{what}"),
            // Five starts in a row may have been killed.
            Err(Started::No) => assert_eq!(begun[n], 0, "{what}"),
            Err(Started::Yes) => assert!(begun[n] <= 1, "{what}"),
            Err(other) => panic!("{other:?}: {what}"),
        }
    }
    pool.join().wait().unwrap();
}

/// The same with many short calls, of which a few kill their child.
#[test]
fn nothing_is_lost_or_run_twice_in_a_rush() {
    let _guard = guard();
    let temp = Temp::new();
    let pool = setup().max(2).idle(2).load(100).eager();
    let pool = pool.begin();
    let count = rounds(5000) as usize;
    let calls: Vec<_> = (0..count)
        .map(|n| {
            let line = Do::Append(temp.path("ran"), n.to_string());
            pool.call(match n % 1000 {
                999 => both(line, Do::Abort),
                _ => line,
            })
        })
        .collect();
    let outcomes: Vec<_> = calls.into_iter().map(Call::wait).collect();
    let runs = runs(&temp, "ran", count);
    for (n, outcome) in outcomes.iter().enumerate() {
        let aborts = n % 1000 == 999;
        assert_eq!(outcome.is_err(), aborts, "{n}: {outcome:?}");
        assert_eq!(runs[n], 1, "{n}");
    }
}

/// A thread or task that waits for an answer while calls are queued is woken although no other answer arrives.
#[test]
fn a_waiter_is_woken_while_calls_wait() {
    let _guard = guard();
    let temp = Temp::new();
    let never = Duration::from_secs(3600);
    let pool = setup().max(1).idle(1).load(1).start(never).begin();
    for n in 0..rounds(50) {
        let gates = ["first", "slow"].map(|name| temp.gate(&format!("{name} {n}")));
        let [first, slow] = gates.each_ref().map(|gate| Do::Gate(gate.name()));
        let first = pool.call(first);
        let quick = ["one", "two", "three", "four"].map(|text| pool.call(Do::Echo(text.into())));
        let slow = pool.call(slow);
        let last = pool.call(Do::Pid);
        let [first_gate, slow_gate] = gates;
        thread::scope(|scope| {
            for (n, call) in quick.into_iter().enumerate() {
                scope.spawn(move || match n % 2 {
                    0 => call.wait().unwrap(),
                    _ => block_on(call).unwrap(),
                });
            }
            drop(first_gate.reached());
        });
        drop(slow_gate.reached());
        for call in [first, slow, last] {
            call.wait().unwrap();
        }
    }
}

/// X7: thirteen children kill each other. They share nothing that a killed child could break, and the others go on.
#[test]
fn children_that_kill_each_other() {
    let _guard = guard();
    let temp = Temp::new();
    let pool = setup().max(13).idle(13).eager();
    let pool = pool.begin();
    until(|| pool.status().idle == 13);
    let count = rounds(300) as usize;
    let calls: Vec<_> = (0..count)
        .map(|n| {
            let line = Do::Append(temp.path("ran"), n.to_string());
            pool.call(if n % 4 == 0 {
                both(line, Do::KillAnother(n))
            } else {
                line
            })
        })
        .collect();
    let outcomes: Vec<_> = calls.into_iter().map(Call::wait).collect();
    let runs = runs(&temp, "ran", count);
    for (n, outcome) in outcomes.iter().enumerate() {
        let exact = match outcome.as_ref().map_err(Error::started) {
            Ok(_) => runs[n] == 1,
            Err(Started::No) => runs[n] == 0,
            Err(started) => started == Started::Yes && runs[n] <= 1,
        };
        assert!(exact, "{n} ran {} times: {outcome:?}", runs[n]);
    }
    assert!(pool.status().died > 0);
    // The children that are left are not killed.
    until(|| pool.call(Do::Pid).wait().is_ok());
}

/// A pool's errors have the same details as those of a child.
#[test]
fn errors_of_a_pool_are_those_of_a_child() {
    let _guard = guard();
    let pool = pool(1);
    let error: Error = pool.call(Do::Exit(3)).wait().unwrap_err();
    assert_eq!(error.crash().unwrap().status().code(), Some(3));
    let error = pool.call(Do::Panic).wait().unwrap_err();
    assert_eq!(error.panic().unwrap().message(), "as asked");
}
