//! Events of one call, read from its handle as a stream or an iterator.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use futures_lite::StreamExt;
use futures_lite::future::block_on;
use offspring::{Events, worker};
use proptest::prelude::*;

use crate::support::*;

/// `text` is `mark count`. Sends `count` events of the call, each with the mark and its number. With the mark `both` it
/// sends as many events of the child.
fn steps(text: String, events: &Events<String>) -> String {
    let (mark, count) = text.split_once(' ').unwrap();
    for n in 0..count.parse().unwrap() {
        events.progress(format!("{mark}{n}")).unwrap();
        if mark == "both" {
            events.send(format!("child {n}")).unwrap();
        }
    }
    format!("{mark} done")
}

worker!(STEPS: fn(String) -> String = steps, events = String);

fn expected(mark: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{mark}{n}")).collect()
}

/// Events are read by blocking and by async code, some before and some after they have arrived.
#[test]
fn they_come_in_order_and_before_the_result() {
    let _guard = guard();
    let rpc = STEPS.spawn().unwrap();
    for round in 0..rounds(50) {
        let count = round as usize % 7;
        let mut calls = ["a", "b", "c"].map(|mark| rpc.call(format!("{mark} {count}")));
        if round % 2 == 0 {
            rpc.call("last 0").wait().unwrap();
        }
        for (n, call) in [1, 0, 2].into_iter().enumerate() {
            let mark = ["a", "b", "c"][call];
            let call = &mut calls[call];
            let events: Vec<_> = if (n + round as usize).is_multiple_of(2) {
                call.events().into_iter().collect()
            } else {
                block_on(call.events().collect())
            };
            let events: Vec<_> = events.into_iter().map(Result::unwrap).collect();
            assert_eq!(events, expected(mark, count));
            assert_eq!(call.events().into_iter().count(), 0);
        }
        for (call, mark) in calls.into_iter().zip(["a", "b", "c"]) {
            assert_eq!(call.wait().unwrap(), format!("{mark} done"));
        }
    }
}

/// G4, with a slow handler of the child's events: an event of a call is returned after all earlier events of the child,
/// and the result after all events.
#[test]
fn they_keep_their_place_among_the_events_of_the_child() {
    let _guard = guard();
    let log = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&log);
    let handler = move |event: String| {
        thread::sleep(Duration::from_micros(200));
        seen.lock().unwrap().push(event);
    };
    let rpc = STEPS.on_event(handler).begin();
    for asynchronous in [false, true] {
        let mut call = rpc.call("both 50");
        let mut note = |event: Result<String, _>| log.lock().unwrap().push(event.unwrap());
        if asynchronous {
            block_on(call.events().for_each(&mut note));
            log.lock().unwrap().push(block_on(call).unwrap());
        } else {
            call.events().into_iter().for_each(&mut note);
            log.lock().unwrap().push(call.wait().unwrap());
        }
        let seen = std::mem::take(&mut *log.lock().unwrap());
        assert_eq!(seen.last().map(String::as_str), Some("both done"));
        let place = |text: String| seen.iter().position(|seen| *seen == text).unwrap();
        for n in 1..50 {
            assert!(place(format!("child {}", n - 1)) < place(format!("both{n}")));
            assert!(place(format!("both{}", n - 1)) < place(format!("both{n}")));
        }
    }
}

/// Events of a call whose handle never reads them, for each way to use a handle: nothing waits for them.
#[test]
fn events_that_are_not_read_hold_up_nothing() {
    let _guard = guard();
    let rpc = STEPS.builder().max_events(10, 1000).begin();
    let held = rpc.call("held 1000");
    rpc.call("a 1000").detach().unwrap();
    rpc.call("b 1000").on_done(|done| drop(done.unwrap()));
    drop(rpc.call("c 1000"));
    assert_eq!(rpc.call("d 1000").wait().unwrap(), "d done");
    assert_eq!(block_on(rpc.call("e 1000")).unwrap(), "e done");
    assert_eq!(held.wait().unwrap(), "held done");
}

/// A call's unread events are dropped with the call, also if its result arrived before the wait.
#[test]
fn what_was_not_read_makes_room() {
    let _guard = guard();
    let rpc = STEPS.builder().max_events(10, 1000).begin();
    for _ in 0..5 {
        let call = rpc.call("a 8");
        rpc.call("last 0").wait().unwrap();
        assert_eq!(call.wait().unwrap(), "a done");
    }
    let mut call = rpc.call("b 8");
    rpc.call("last 0").wait().unwrap();
    let events: Result<Vec<_>, _> = call.events().into_iter().collect();
    assert_eq!(events.unwrap(), expected("b", 8));
}

/// Unread events over the limits are dropped. A later read returns the error once, then the events that are left.
#[test]
fn a_reader_that_is_late_is_told() {
    let _guard = guard();
    let rpc = STEPS.builder().max_events(100, 1 << 20).begin();
    let mut late = rpc.call("late 10000");
    assert_eq!(rpc.call("next 10").wait().unwrap(), "next done");
    let mut events = late.events().into_iter();
    assert!(events.next().unwrap().unwrap_err().is_full());
    assert!(events.all(|event| event.is_ok()));
    assert_eq!(late.wait().unwrap(), "late done");
}

/// Once a call's events are read, they are kept: within the limits other calls go on, beyond them the child waits, and
/// no event is lost.
#[test]
fn a_slow_reader_slows_the_child_down() {
    let _guard = guard();
    let rpc = STEPS.builder().max_events(100, 1 << 20).begin();
    let mut within = rpc.call("within 90");
    assert_eq!(
        within.events().into_iter().next().unwrap().unwrap(),
        "within0"
    );
    rpc.call("next 0").wait().unwrap();
    drop(within);
    // A call whose first event was read. More events than the limits allow may arrive before the first read.
    let asked = |mark: &str| loop {
        let mut call = rpc.call(format!("{mark} 100000"));
        if let Ok(first) = call.events().into_iter().next().unwrap() {
            assert_eq!(first, format!("{mark}0"));
            return call;
        }
    };
    let mut beyond = asked("beyond");
    let mut next = rpc.call("next 0");
    // Longer than reading all events takes if nothing slows the child down.
    let long = limit(Duration::from_millis(500));
    assert!(next.wait_timeout(long).unwrap_err().is_timeout());
    let rest: Vec<_> = beyond.events().into_iter().map(Result::unwrap).collect();
    assert_eq!(rest, expected("beyond", 100_000)[1..]);
    next.wait().unwrap();
    beyond.wait().unwrap();
    // Dropping the handle, or waiting for the result, lets other calls go on.
    for wait in [false, true] {
        let slow = asked("slow");
        if wait {
            assert_eq!(slow.wait().unwrap(), "slow done");
        } else {
            drop(slow);
        }
        rpc.call("next 0").wait().unwrap();
    }
}

/// The child is killed: the iterator returns the events that arrived, then ends; the call fails.
#[test]
fn they_end_with_the_child() {
    let _guard = guard();
    let rpc = STEPS.spawn().unwrap();
    let mut call = rpc.call("many 100000000");
    let mut events = call.events().into_iter();
    assert_eq!(events.next().unwrap().unwrap(), "many0");
    rpc.kill();
    let last = events.map(Result::unwrap).last();
    assert!(last.is_none_or(|last| last.starts_with("many")));
    assert!(call.wait().unwrap_err().is_child_dead());
}

/// A call's deadline ends its events.
#[test]
fn they_end_at_the_deadline_of_the_call() {
    let _guard = guard();
    let rpc = STEPS.spawn().unwrap();
    for asynchronous in [false, true] {
        let mut call = rpc.call("many 100000000").kill_on_cancel(true);
        call = call.timeout(Duration::from_millis(50));
        if asynchronous {
            block_on(call.events().for_each(|event| drop(event.unwrap())));
        } else {
            call.events()
                .into_iter()
                .for_each(|event| drop(event.unwrap()));
        }
        let error = call.wait().unwrap_err();
        assert!(asynchronous || error.is_timeout(), "{error}");
    }
}

/// `plan` lists the events to send: `true` is an event of the call, `false` of the child. Each carries its position;
/// the result is the length.
fn planned(plan: Vec<bool>, events: &Events<usize>) -> usize {
    for (number, of_call) in plan.iter().enumerate() {
        if *of_call {
            events.progress(number).unwrap();
        } else {
            events.send(number).unwrap();
        }
    }
    plan.len()
}

worker!(PLANNED: fn(Vec<bool>) -> usize = planned, events = usize, serialiser = Json);

/// Checks that events are seen in the order in which they were sent, from both sources.
fn in_order(plans: &[Vec<bool>], asynchronous: bool, ahead: usize) {
    let handled = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&handled);
    let rpc = PLANNED
        .on_event(move |_| {
            thread::yield_now();
            count.fetch_add(1, Ordering::SeqCst);
        })
        .begin();
    let mut before = 0;
    for plans in plans.chunks(ahead) {
        let calls: Vec<_> = plans.iter().map(|plan| rpc.call(plan)).collect();
        for (mut call, plan) in calls.into_iter().zip(plans) {
            let of_child = |until: usize| plan[..until].iter().filter(|own| !**own).count();
            let see = |number: usize| {
                let handled = handled.load(Ordering::SeqCst);
                assert!(handled >= before + of_child(number), "{number} of {plan:?}");
                number
            };
            let numbers: Vec<usize> = if asynchronous {
                block_on(call.events().map(|event| see(event.unwrap())).collect())
            } else {
                call.events()
                    .into_iter()
                    .map(|event| see(event.unwrap()))
                    .collect()
            };
            let own = plan.iter().enumerate().filter(|(_, own)| **own);
            assert_eq!(numbers, own.map(|(number, _)| number).collect::<Vec<_>>());
            assert_eq!(see(call.wait().unwrap()), plan.len());
            before += of_child(plan.len());
        }
    }
    rpc.join().wait().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: rounds(16), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_made_is_seen_in_order(
        plans in prop::collection::vec(prop::collection::vec(any::<bool>(), 0..30), 1..8),
        asynchronous: bool,
        ahead in 1..4_usize,
    ) {
        let _guard = guard();
        in_order(&plans, asynchronous, ahead);
    }
}
