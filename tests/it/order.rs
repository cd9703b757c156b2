//! G4, X42: the parent sees events and results in the order in which the child made them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_lite::StreamExt;
use futures_lite::future::{block_on, poll_once};
use offspring::{Events, worker};
use proptest::prelude::*;

use crate::support::*;

/// Numbers what it makes: `count` events, then the result.
fn number(count: u32, events: &Events<u32>) -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = || NEXT.fetch_add(1, Ordering::Relaxed);
    (0..count).for_each(|_| events.send(next()).unwrap());
    next()
}

worker!(NUMBER: fn(u32) -> u32 = number, events = u32, serialiser = Json);

/// How the result of a call is awaited.
#[derive(Debug, Clone, Copy)]
enum Way {
    Wait,
    Await,
    Timeout,
    Polled,
    Callback,
}

fn way() -> impl Strategy<Value = Way> {
    prop_oneof![
        Just(Way::Wait),
        Just(Way::Await),
        Just(Way::Timeout),
        Just(Way::Polled),
        Just(Way::Callback)
    ]
}

/// The calls of one child: how many events each has, how it is awaited, and how many calls are made
/// before the first is awaited.
fn script() -> impl Strategy<Value = (Vec<(u32, Way)>, usize)> {
    (prop::collection::vec((0_u32..6, way()), 1..40), 1_usize..40)
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: rounds(60),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn with_callbacks((script, ahead) in script(), room in 1_usize..50) {
        let _guard = guard();
        callbacks(&script, ahead, room);
    }

    #[test]
    fn with_a_stream((script, ahead) in script()) {
        let _guard = guard();
        stream(&script, ahead);
    }
}

fn collect(mut call: offspring::Call<u32, u32>, way: Way) -> u32 {
    match way {
        Way::Wait => call.wait(),
        Way::Await => block_on(call),
        Way::Polled => match block_on(poll_once(&mut call)) {
            Some(outcome) => outcome,
            None => call.wait(),
        },
        _ => loop {
            match call.wait_timeout(Duration::from_micros(20)) {
                Err(error) if error.is_timeout() => {}
                outcome => break outcome,
            }
        },
    }
    .unwrap()
}

/// Callbacks see everything in order. A thread or task that waits for a result does not see it before
/// the callbacks have seen what was made before it.
fn callbacks(script: &[(u32, Way)], ahead: usize, room: usize) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let on_event = Arc::clone(&seen);
    let rpc = NUMBER
        .builder()
        .max_events(room, 1 << 20)
        .on_event(move |n| on_event.lock().unwrap().push(n))
        .begin();
    let mut results = Vec::new();
    for part in script.chunks(ahead) {
        let mut calls = Vec::new();
        for (count, way) in part {
            let call = rpc.call(count);
            if matches!(way, Way::Callback) {
                let seen = Arc::clone(&seen);
                call.on_done(move |outcome| seen.lock().unwrap().push(outcome.unwrap()));
            } else {
                calls.push((call, *way));
            }
        }
        for (call, way) in calls {
            let result = collect(call, way);
            let seen = seen.lock().unwrap();
            let before = seen.iter().chain(&results).filter(|n| **n < result);
            assert_eq!(
                before.count(),
                result as usize,
                "{seen:?} when {result} came"
            );
            results.push(result);
        }
    }
    rpc.join().wait().unwrap();
    let mut seen = seen.lock().unwrap().clone();
    assert!(seen.is_sorted(), "{seen:?}");
    let events: u32 = script.iter().map(|(count, _)| *count).sum();
    seen.extend(results);
    seen.sort_unstable();
    let all: Vec<_> = (0..events + script.len() as u32).collect();
    assert_eq!(seen, all);
}

fn stream(script: &[(u32, Way)], ahead: usize) {
    let (rpc, mut events) = NUMBER.builder().spawn_with_events().unwrap();
    let reader = std::thread::spawn(move || {
        block_on(async {
            let mut all = Vec::new();
            while let Some(event) = events.next().await {
                all.push(event.unwrap());
            }
            all
        })
    });
    let mut results = Vec::new();
    for part in script.chunks(ahead) {
        let calls: Vec<_> = part
            .iter()
            .map(|(count, way)| (rpc.call(count), *way))
            .collect();
        results.extend(calls.into_iter().map(|(call, way)| collect(call, way)));
    }
    rpc.join().wait().unwrap();
    let mut seen = reader.join().unwrap();
    assert!(seen.is_sorted() && results.is_sorted());
    seen.extend(results);
    seen.sort_unstable();
    assert_eq!(seen, (0..seen.len() as u32).collect::<Vec<_>>());
}

/// The same in a child that runs many calls at once.
#[cfg(feature = "concurrent")]
mod concurrent {
    use super::*;

    /// Numbers what it makes, and yields now and then.
    async fn number_in_turns(count: u32, turns: u32, events: &Events<u32>) -> u32 {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        for step in 0..count {
            for _ in 0..(turns >> step) % 3 {
                futures_lite::future::yield_now().await;
            }
            events.send(NEXT.fetch_add(1, Ordering::Relaxed)).unwrap();
        }
        NEXT.fetch_add(1, Ordering::Relaxed)
    }

    worker!(TURNS: fn(u32, u32) -> u32 = number_in_turns, events = u32, serialiser = Json);

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn with_callbacks((script, ahead) in script(), turns in any::<u32>(), room in 1_usize..50) {
            let _guard = guard();
            check(&script, ahead, turns, room);
        }
    }

    /// Events are seen in order. A task that waits for a result does not see it before the handler has
    /// seen all events that were made before it.
    fn check(script: &[(u32, Way)], ahead: usize, turns: u32, room: usize) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let on_event = Arc::clone(&seen);
        let rpc = TURNS
            .builder()
            .max_events(room, 1 << 20)
            .on_event(move |n| on_event.lock().unwrap().push(n))
            .begin();
        let mut results = Vec::new();
        for part in script.chunks(ahead) {
            let start = |(n, (count, way)): (usize, &(u32, Way))| {
                (rpc.call(count, turns.rotate_left(n as u32)), *way)
            };
            let calls: Vec<_> = part.iter().enumerate().map(start).collect();
            for (call, way) in calls {
                let result = collect(call, way);
                results.push((result, seen.lock().unwrap().len()));
            }
        }
        rpc.join().wait().unwrap();
        let seen = seen.lock().unwrap().clone();
        assert!(seen.is_sorted(), "{seen:?}");
        for (result, known) in &results {
            let before = seen.iter().filter(|n| *n < result).count();
            assert!(before <= *known, "{known} of {before} when {result} came");
        }
        let mut all = seen;
        all.extend(results.iter().map(|(result, _)| *result));
        all.sort_unstable();
        assert_eq!(all, (0..all.len() as u32).collect::<Vec<_>>());
    }
}
