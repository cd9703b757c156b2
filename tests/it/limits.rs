//! G7: what is in flight stays within its limits, whichever side is slow.

use std::sync::mpsc::channel;

use offspring::{Events, worker};

use crate::support::*;

/// With room for three calls, calls are sent in order and none is lost.
#[test]
fn calls_over_the_limit_wait_their_turn() {
    let _guard = guard();
    let (temp, gate) = Temp::with_gate();
    let rpc = WORK.builder().max_outstanding(3, 1 << 20).begin();
    let first = rpc.call(Job::Gate(gate.name()));
    let calls: Vec<_> = (0..200)
        .map(|n| rpc.call(Job::Append(temp.path("file"), n.to_string())))
        .collect();
    drop(gate.reached());
    first.wait().unwrap().unwrap();
    // In reverse order, so most are awaited before they are sent.
    for call in calls.into_iter().rev() {
        call.wait().unwrap().unwrap();
    }
    rpc.join().wait().unwrap();
    let all: Vec<_> = (0..200).map(|n: u32| n.to_string()).collect();
    assert_eq!(temp.lines("file"), all);
}

/// A call that is larger than the limit is sent alone.
#[test]
fn a_call_larger_than_the_limit() {
    let _guard = guard();
    let rpc = WORK.builder().max_outstanding(10, 100).begin();
    let calls: Vec<_> = (0..20)
        .map(|n| rpc.call(Job::Len("x".repeat(n * 1000))))
        .collect();
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(call.wait().unwrap(), Ok((n * 1000).to_string()));
    }
}

/// Calls that are cancelled while they wait for room let the next ones pass.
#[test]
fn a_queued_call_is_withdrawn() {
    let _guard = guard();
    let (temp, gate) = Temp::with_gate();
    let rpc = WORK.builder().max_outstanding(1, 1 << 20).begin();
    let first = rpc.call(Job::Gate(gate.name()));
    let dropped: Vec<_> = (0..100)
        .map(|n| rpc.call(Job::Append(temp.path("file"), n.to_string())))
        .collect();
    let last = rpc.call(Job::Append(temp.path("file"), "last".into()));
    drop(dropped);
    drop(gate.reached());
    last.wait().unwrap().unwrap();
    first.wait().unwrap().unwrap();
    rpc.join().wait().unwrap();
    assert_eq!(temp.lines("file"), ["last"]);
}

/// X8: the child is closed while everything is full.
#[test]
fn closed_while_full() {
    let _guard = guard();
    let gate = Gate::new();
    let rpc = WORK.builder().max_outstanding(2, 1 << 20).begin();
    let first = rpc.call(Job::Gate(gate.name()));
    let calls: Vec<_> = (0..50)
        .map(|_| rpc.call(Job::Len("x".repeat(100_000))))
        .collect();
    let join = rpc.join();
    drop(gate.reached());
    assert!(join.wait().unwrap().success());
    first.wait().unwrap().unwrap();
    for call in calls {
        assert_eq!(call.wait().unwrap(), Ok("100000".into()));
    }
}

/// The child is killed while everything is full. Queued calls had not started.
#[test]
fn killed_while_full() {
    let _guard = guard();
    let gate = Gate::new();
    let rpc = WORK.builder().max_outstanding(2, 1 << 20).quiet().begin();
    let first = rpc.call(Job::Gate(gate.name()));
    let calls: Vec<_> = (0..50)
        .map(|_| rpc.call(Job::Len("x".repeat(100_000))))
        .collect();
    let _open = gate.reached();
    rpc.kill();
    quickly(|| {
        assert_eq!(first.wait().unwrap_err().started(), offspring::Started::Yes);
        for call in calls {
            assert_eq!(call.wait().unwrap_err().started(), offspring::Started::No);
        }
    });
}

worker!(FLOOD: fn(String) -> String = flood, events = String);

fn flood(count: String, events: &Events<String>) -> String {
    let event = "x".repeat(10_000);
    for _ in 0..count.parse().unwrap() {
        events.send(event.clone()).unwrap();
    }
    "done".into()
}

/// X43: a child that sends 200 MB of events to a callback that sleeps is slowed down.
#[test]
fn a_flood_of_events() {
    alone(|| {
        let _guard = guard();
        let (open, gate) = channel::<()>();
        let mut seen = 0;
        let handler = move |_| {
            if seen == 0 {
                let _ = gate.recv();
            }
            seen += 1;
        };
        let rpc = FLOOD.builder().max_events(1000, 1 << 20).on_event(handler);
        let rpc = rpc.begin();
        rpc.ready().wait().unwrap();
        let before = own_memory();
        let mut call = rpc.call("20000");
        // Until the child makes no progress any more, or is done.
        until_stuck(rpc.pid().unwrap());
        assert!(
            call.wait_timeout(std::time::Duration::ZERO)
                .unwrap_err()
                .is_timeout()
        );
        let grown = own_memory().saturating_sub(before);
        assert!(grown < 32 << 20, "{grown}");
        drop(open);
        assert_eq!(call.wait().unwrap(), "done");
        rpc.join().wait().unwrap();
        let grown = own_memory().saturating_sub(before);
        assert!(grown < 32 << 20, "{grown}");
    });
}

/// The same with a stream that is not read for a while.
#[test]
fn a_stream_that_is_read_late() {
    let _guard = guard();
    let (rpc, events) = FLOOD
        .builder()
        .max_events(10, 1 << 20)
        .spawn_with_events()
        .unwrap();
    let call = rpc.call("500");
    let waiting = std::thread::spawn(move || call.wait());
    let all = events.into_iter().take(500).map(Result::unwrap).count();
    assert_eq!(all, 500);
    assert_eq!(waiting.join().unwrap().unwrap(), "done");
}

/// G2: a child dies after it has filled a stream of events. What it had written is bounded, and is read.
#[test]
fn killed_behind_a_stream_that_is_not_read() {
    let _guard = guard();
    for waits in [false, true] {
        let (rpc, events) = FLOOD
            .builder()
            .max_events(10, 1 << 20)
            .quiet()
            .spawn_with_events()
            .unwrap();
        rpc.ready().wait().unwrap();
        let (one, two) = (rpc.call("20000"), rpc.call("1"));
        if waits {
            // Until the queue and the socket are full.
            until_stuck(rpc.pid().unwrap());
        }
        kill_process(rpc.pid().unwrap());
        quickly(|| {
            assert!(one.wait().unwrap_err().is_child_dead());
            assert!(two.wait().unwrap_err().is_child_dead());
            assert_eq!(rpc.join().wait().unwrap().signal(), Some(libc::SIGKILL));
        });
        assert!(events.into_iter().all(|event| event.is_ok()));
    }
}
