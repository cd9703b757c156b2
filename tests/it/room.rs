//! Back-pressure: calls and events in flight stay within their limits, whichever side is slow.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use futures_lite::future::block_on;
use offspring::{Error, Events, worker};

use crate::support::*;

/// A sleeping child has freed the memory of a large result.
#[test]
fn what_a_large_result_took_is_given_back() {
    let _guard = guard();
    let rpc = WORK.spawn().unwrap();
    let result = rpc.call(Job::Make(200 << 20)).wait().unwrap();
    assert_eq!(result.unwrap().len(), 200 << 20);
    let pid = rpc.pid().unwrap();
    until(|| memory(pid) < 100 << 20);
}

/// If there is no room, `try_call` returns the arguments unchanged.
#[test]
fn try_call_gives_back_what_there_is_no_room_for() {
    let _guard = guard();
    let gate = Gate::new();
    let rpc = WORK.builder().max_outstanding(2, 1 << 20).begin();
    let running = rpc.try_call(Job::Gate(gate.name())).unwrap();
    let open = gate.reached();
    let long = "long".repeat(1 << 18);
    let refused = rpc.try_call(echo(&long)).unwrap_err();
    assert!(matches!(refused.into_inner().0, Job::Echo(text) if text == long));
    let second = rpc.try_call(echo("second")).unwrap();
    for _ in 0..100 {
        let refused = rpc.try_call(echo("third")).unwrap_err();
        assert!(matches!(refused.into_inner().0, Job::Echo(text) if text == "third"));
    }
    // Room that becomes free belongs to queued calls.
    let queued = rpc.call(echo("queued"));
    drop(open);
    running.wait().unwrap().unwrap();
    for call in [second, queued] {
        call.wait().unwrap().unwrap();
    }
    let last = rpc.try_call(echo("last")).unwrap();
    assert_eq!(last.wait().unwrap(), Ok("last".into()));
    // A closed handle has room; the call itself fails.
    let other = rpc.clone();
    rpc.join().wait().unwrap();
    let closed = other.try_call(echo("closed")).unwrap();
    assert!(closed.wait().unwrap_err().is_closed());
}

/// Many threads call `try_call` at once: the limit is never exceeded, and no room is lost.
#[test]
fn try_call_is_exact_under_many_threads() {
    let _guard = guard();
    let rpc = WORK.builder().max_outstanding(3, 1 << 20).begin();
    let (under_way, refused) = (AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..rounds(500) {
                    match rpc.try_call(echo("so")) {
                        Ok(call) => {
                            let now = under_way.fetch_add(1, Ordering::SeqCst);
                            assert!(now < 3, "{now}");
                            under_way.fetch_sub(1, Ordering::SeqCst);
                            call.wait().unwrap().unwrap();
                        }
                        Err(_) => drop(refused.fetch_add(1, Ordering::Relaxed)),
                    }
                }
            });
        }
    });
    let all: Vec<_> = (0..3).map(|_| rpc.try_call(echo("so"))).collect();
    assert!(all.iter().all(Result::is_ok));
    drop(all);
}

/// A call that cannot be encoded gives its room back.
#[test]
fn a_call_that_cannot_be_made_keeps_no_room() {
    let _guard = guard();
    worker!(SHORT: fn(String) -> String = |text: String| text);
    let rpc = SHORT.builder().max_outstanding(1, 1000).max_message(1000);
    let rpc = rpc.begin();
    for _ in 0..3 {
        let long = rpc.try_call("long".repeat(1000)).unwrap();
        assert!(long.wait().unwrap_err().is_too_long());
    }
    assert_eq!(rpc.try_call("so").unwrap().wait().unwrap(), "so");
}

/// G7, X9: a million calls at once, which the child reads slowly. Sent calls stay within the limits; the rest stays in
/// the handles and is dropped with them.
#[test]
fn a_million_calls_at_once() {
    alone(|| {
        let gate = Gate::new();
        let rpc = WORK.builder().max_outstanding(1000, 1 << 20).begin();
        let blocked = rpc.call(Job::Gate(gate.name()));
        let open = gate.reached();
        let child = memory(rpc.pid().unwrap());
        let before = own_memory();
        let count = rounds(1_000_000);
        let calls: Vec<_> = (0..count).map(|n| rpc.call(echo(n))).collect();
        let each = (own_memory() - before) / count as usize;
        assert!(each < 1000, "{each} bytes a call");
        drop(open);
        blocked.wait().unwrap().unwrap();
        for (n, call) in calls.into_iter().enumerate() {
            match n % 3 {
                0 if n < 3000 => assert_eq!(call.wait().unwrap(), Ok(n.to_string())),
                1 if n < 3000 => assert_eq!(block_on(call).unwrap(), Ok(n.to_string())),
                _ => drop(call),
            }
        }
        let text = "after all";
        let after = rpc.call(Job::Echo(text.into())).wait();
        assert_eq!(after.unwrap(), Ok(text.into()));
        let grown = memory(rpc.pid().unwrap()).saturating_sub(child);
        assert!(grown < 8 << 20, "the child grew by {grown} bytes");
        // An allocator may keep freed memory for small allocations. That it is free shows in this: the same calls again
        // need no more.
        let most = own_memory();
        let calls: Vec<_> = (0..count / 2).map(|n| rpc.call(echo(n))).collect();
        drop(calls);
        let grown = own_memory().saturating_sub(most.max(before + each * count as usize));
        assert!(grown < 32 << 20, "the second time it grew by {grown} bytes");
        rpc.join().wait().unwrap();
    });
}

fn flood(text: String, events: &Events<String>) -> String {
    let (count, own) = text.split_once(' ').unwrap();
    for n in 0..count.parse().unwrap() {
        let event = format!("{n} {}", "x".repeat(100));
        match own {
            "own" => events.progress(event).unwrap(),
            _ => events.send(event).unwrap(),
        }
    }
    "x".repeat(1000)
}

worker!(FLOOD: fn(String) -> String = flood, events = String);

/// X43: a child floods the parent with events, of the child or of a call, while the parent sleeps. Each way to receive
/// events is tested.
#[test]
fn a_flood_of_events_while_the_parent_sleeps() {
    alone(|| {
        let count = rounds(300_000);
        let stays_small = |what: &str, pid: Option<u32>| {
            let before = own_memory();
            until_stuck(pid.unwrap());
            let grown = own_memory().saturating_sub(before);
            assert!(grown < 24 << 20, "{what}: it grew by {grown} bytes");
        };
        let builder = || FLOOD.builder().max_events(10_000, 1 << 20);

        // This case is first: memory that the later ones free is not returned to the system.
        let rpc = builder().on_event(|_| ()).begin();
        let mut call = rpc.call(format!("{count} own"));
        let first = call.events().into_iter().next().unwrap();
        stays_small("a reader of one call", rpc.pid());
        let rest = call.events().into_iter().count();
        assert!(rest == count as usize - 1 || first.is_err());
        call.wait().unwrap();
        rpc.join().wait().unwrap();

        let (rpc, events) = builder().spawn_with_events().unwrap();
        rpc.call(format!("{count} child")).detach().unwrap();
        stays_small("a stream", rpc.pid());
        drop(rpc);
        assert_eq!(events.into_iter().count(), count as usize);

        static OPEN: AtomicBool = AtomicBool::new(false);
        let closed = |_| until(|| OPEN.load(Ordering::Relaxed));
        let rpc = builder().on_event(closed).begin();
        let call = rpc.call(format!("{count} child"));
        stays_small("a handler", rpc.pid());
        OPEN.store(true, Ordering::Relaxed);
        call.wait().unwrap();

        rpc.join().wait().unwrap();
    });
}

/// While the parent sleeps, answers arrive and make room for the next calls. They take no more memory than their bytes.
#[test]
fn answers_come_while_the_parent_sleeps() {
    alone(|| {
        let temp = Temp::new();
        let rpc = WORK.builder().max_outstanding(100, 1 << 20);
        let rpc = rpc.begin();
        let (length, count) = (10_000, rounds(2000) as usize);
        let line = || Job::Append(temp.path("file"), "x".into());
        let before = own_memory();
        let calls: Vec<_> = (0..count)
            .map(|_| rpc.call(Job::Both(line().into(), Job::Make(length).into())))
            .collect();
        until(|| temp.lines("file").len() == count);
        let grown = own_memory().saturating_sub(before);
        assert!(grown < length * count * 5 / 4 + (2 << 20), "{grown}");
        for call in calls {
            assert_eq!(call.wait().unwrap().unwrap().len(), length);
        }
        rpc.join().wait().unwrap();
    });
}

/// X83: detached calls take no memory beyond the limits. `detach` succeeds if there is room, and returns the handle
/// otherwise.
#[test]
fn detached_calls_need_room() {
    alone(|| {
        let (temp, gate) = Temp::with_gate();
        let file = temp.path("file");
        let rpc = WORK.builder().max_outstanding(1000, 1 << 20).begin();
        let blocked = rpc.call(Job::Gate(gate.name()));
        let open = gate.reached();
        let (before, count) = (own_memory(), rounds(200_000));
        let text = "x".repeat(1000);
        let (mut detached, mut refused) = (0, None);
        for _ in 0..count {
            match rpc.call(Job::Echo(text.clone())).detach() {
                Ok(()) => detached += 1,
                Err(no_room) => refused = Some(no_room),
            }
        }
        assert!((500..1000).contains(&detached), "{detached}");
        let grown = own_memory().saturating_sub(before);
        assert!(grown < 16 << 20, "it grew by {grown} bytes");
        let error = Error::from(refused.unwrap());
        assert_error!(error, is_full, "max_outstanding");
        // Calls that `detach` returned are still done if waited for; so are detached ones.
        let no_room = rpc
            .call(Job::Append(file.clone(), "waited".into()))
            .detach();
        let waits = no_room.unwrap_err().into_inner();
        drop(open);
        blocked.wait().unwrap().unwrap();
        waits.wait().unwrap().unwrap();
        rpc.call(Job::Append(file.clone(), "detached".into()))
            .detach()
            .unwrap();
        rpc.try_call(Job::Append(file, "tried".into()))
            .unwrap()
            .detach()
            .unwrap();
        assert!(rpc.join().wait().unwrap().success());
        assert_eq!(temp.lines("file"), ["waited", "detached", "tried"]);
    });
}

/// X83: detaching a call that failed, or is done, needs no room.
#[test]
fn a_call_that_is_over_is_detached() {
    let _guard = guard();
    let rpc = WORK.builder().max_outstanding(1, 1 << 20).max_message(1000);
    let rpc = rpc.begin();
    rpc.call(Job::Echo("x".repeat(2000))).detach().unwrap();
    let (one, two) = (rpc.call(echo("one")), rpc.call(echo("two")));
    two.wait().unwrap().unwrap();
    one.detach().unwrap();
    let other = rpc.clone();
    rpc.join().wait().unwrap();
    other.call(echo("closed")).detach().unwrap();
}

/// X83: the same with a pool and the limit of its queue.
#[test]
fn detached_calls_of_a_pool_need_room() {
    let _guard = guard();
    let (temp, gate) = Temp::with_gate();
    let file = temp.path("file");
    let pool = WORK.pool().max(1).load(2).max_queue(3, 1 << 20).begin();
    let blocked = pool.call(Job::Gate(gate.name()));
    let open = gate.reached();
    let append = |n: u32| pool.call(Job::Append(file.clone(), n.to_string()));
    // One call at the child, three in the queue.
    (0..4).for_each(|n| append(n).detach().unwrap());
    let waits = append(4).detach().unwrap_err().into_inner();
    assert!(append(5).detach().is_err());
    drop(open);
    blocked.wait().unwrap().unwrap();
    waits.wait().unwrap().unwrap();
    append(6).detach().unwrap();
    pool.join().wait().unwrap();
    assert_eq!(temp.lines("file"), ["0", "1", "2", "3", "4", "6"]);
}
