//! A call for each item of an iterator.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_lite::StreamExt;
use futures_lite::future::{block_on, poll_once};
use offspring::{Map, Rpc, Template, worker};

use crate::support::pooled::{Do, POOLED, both};
use crate::support::*;

type Handle = Rpc<fn(Do) -> String, Json, u32>;

/// Every kind of handle, one after the other.
fn each_handle(test: impl Fn(&Handle)) {
    let work = |children| POOLED.init(false).pool().quiet().max(children).begin();
    test(&POOLED.init(false).begin());
    test(&POOLED.init(false).rings(false).begin());
    test(&POOLED.init(false).program(serving("pooled")).begin());
    test(&POOLED.init(false).command(serving("pooled")).begin());
    test(work(1).rpc());
    test(work(3).rpc());
    let template = Template::builder().start().unwrap();
    test(&POOLED.init(false).template(&template).begin());
    let pool = POOLED.init(false).template(&template).pool().quiet();
    test(pool.begin().rpc());
}

fn echo(n: usize) -> Do {
    Do::Echo(n.to_string())
}

/// Every seventh item panics, and some are slow.
fn mixed(n: usize) -> Do {
    match n % 7 {
        3 => Do::Panic,
        5 => both(Do::Sleep(1), echo(n)),
        _ => echo(n),
    }
}

/// The results of `mixed`, in order.
fn expected(count: usize) -> Vec<Option<String>> {
    let result = |n: usize| (n % 7 != 3).then(|| n.to_string());
    (0..count).map(result).collect()
}

fn told(result: Result<String, offspring::Error>) -> Option<String> {
    match result {
        Ok(text) => Some(text),
        Err(error) if error.is_panic() => None,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn results_and_errors_are_in_their_places() {
    let _guard = guard();
    each_handle(|rpc| {
        let count = rounds(200) as usize;
        let expected = expected(count);
        for window in [1, 2, 7, count] {
            let results = rpc.map((0..count).map(mixed)).window(window);
            let results: Vec<_> = results.into_iter().map(told).collect();
            assert_eq!(results, expected, "{window}");
        }
        let stream = rpc.map((0..count).map(mixed));
        assert_eq!(block_on(stream.map(told).collect::<Vec<_>>()), expected);
    });
}

#[test]
fn unordered_results_are_the_same() {
    let _guard = guard();
    each_handle(|rpc| {
        let count = rounds(200) as usize;
        let mut expected = expected(count);
        expected.sort();
        for window in [1, 2, 7, count] {
            let results = rpc.map_unordered((0..count).map(mixed)).window(window);
            let mut results: Vec<_> = results.into_iter().map(told).collect();
            results.sort();
            assert_eq!(results, expected, "{window}");
        }
        let stream = rpc.map_unordered((0..count).map(mixed));
        let mut results: Vec<_> = block_on(stream.map(told).collect());
        results.sort();
        assert_eq!(results, expected);
    });
}

#[test]
fn what_is_done_first_comes_first() {
    let _guard = guard();
    let gate = Gate::new();
    let pool = POOLED.init(false).pool().quiet().max(2).load(1).idle(2);
    let pool = pool.begin();
    until(|| pool.status().idle == 2);
    let items = || [Do::Gate(gate.name()), echo(1), echo(2), echo(3)];
    let mut results = pool.map_unordered(items()).into_iter().map(Result::unwrap);
    let first: Vec<_> = results.by_ref().take(3).collect();
    assert_eq!(first, ["1", "2", "3"]);
    drop(gate.reached());
    assert_eq!(results.next().unwrap(), "done");
    assert_eq!(results.next(), None);
    // In order, the later results wait for it.
    let mut results = pool.map(items());
    assert!(block_on(poll_once(results.next())).is_none());
    drop(gate.reached());
    let results: Vec<_> = results.into_iter().map(Result::unwrap).collect();
    assert_eq!(results, ["done", "1", "2", "3"]);
}

/// How many items a map takes that is asked for its first result.
#[track_caller]
fn assert_window<E>(rpc: &Rpc<fn(String) -> String, offspring::Octets, E>, window: usize) {
    let taken = AtomicUsize::new(0);
    let items = (0..).map(|n: usize| {
        taken.fetch_add(1, Ordering::Relaxed);
        n.to_string()
    });
    let results = rpc.map(items);
    assert_eq!(taken.load(Ordering::Relaxed), 0);
    for (n, result) in results.into_iter().take(50).enumerate() {
        assert_eq!(result.unwrap(), n.to_string());
        assert_eq!(taken.load(Ordering::Relaxed), n + window);
    }
}

#[test]
fn no_more_is_taken_than_the_window() {
    let _guard = guard();
    assert_window(&TEXT.builder().begin(), 16);
    assert_window(&TEXT.pool().max(2).load(3).begin(), 6);
    let more = TEXT.builder();
    assert_window(&TEXT.pool().max(1).load(2).also(3, more).begin(), 8);
    assert_window(&TEXT.pool().single().begin(), 1024);
}

/// Items and results of an endless input take no more memory than the window.
#[test]
fn an_endless_input_takes_no_memory() {
    alone(|| {
        let count = rounds(20_000) as usize;
        let long = || std::iter::repeat_with(|| "x".repeat(10_000));
        let pool = TEXT.pool().max(2).begin();
        let single = TEXT.builder().begin();
        for rpc in [&single, pool.rpc()] {
            let run = |count: usize| {
                let results = rpc.map(long()).into_iter().take(count);
                assert_eq!(results.map(Result::unwrap).count(), count);
                let results = rpc.map_unordered(long()).into_iter().take(count);
                assert_eq!(results.map(Result::unwrap).count(), count);
            };
            run(100);
            let before = own_memory();
            run(count);
            let grown = own_memory().saturating_sub(before);
            assert!(grown < 8 << 20, "it grew by {grown}");
        }
        drop(single);
        drop(pool);
    });
}

/// Calls that wait in a pool are withdrawn. Calls that its children have read may run.
#[test]
fn dropping_it_withdraws_what_waits() {
    let _guard = guard();
    let template = Template::builder().start().unwrap();
    let from_template = POOLED.init(false).template(&template).pool();
    for pool in [POOLED.init(false).pool(), from_template] {
        let pool = pool.quiet().max(2).load(2).eager().begin();
        for ordered in [true, false] {
            let temp = Temp::new();
            let gate = temp.gate("gate");
            let line = |n: usize| Do::Append(temp.path("lines"), n.to_string());
            let items = (0..40).map(|n| both(line(n), Do::Gate(gate.name())));
            let mut results = match ordered {
                true => pool.map(items).window(40),
                false => pool.map_unordered(items).window(40),
            };
            assert!(block_on(poll_once(results.next())).is_none());
            until(|| !temp.lines("lines").is_empty());
            drop(results);
            // The running calls are released one by one.
            until(|| {
                gate.open();
                let status = pool.status();
                status.running + status.queued == 0
            });
            let ran = temp.lines("lines").len();
            assert!(ran <= 4, "{ran}");
        }
    }
}

/// A child that runs one call at a time skips what it had not read.
#[test]
fn dropping_it_cancels_what_was_sent() {
    let _guard = guard();
    let rpc = POOLED.init(false).begin();
    for ordered in [true, false] {
        let (temp, gate) = Temp::with_gate();
        let mut open = None;
        let line = |n: usize| Do::Append(temp.path("lines"), n.to_string());
        let items = (0..20).map(|n| match n {
            0 => Do::Gate(gate.name()),
            _ => {
                open.get_or_insert_with(|| gate.reached());
                line(n)
            }
        });
        let mut results = match ordered {
            true => rpc.map(items),
            false => rpc.map_unordered(items),
        };
        assert!(block_on(poll_once(results.next())).is_none());
        drop(results);
        drop(open);
        rpc.call(Do::Echo("so".into())).wait().unwrap();
        assert_eq!(temp.lines("lines"), [""; 0], "ordered: {ordered}");
    }
}

/// A child that runs many calls at once drops them at once.
#[cfg(feature = "concurrent")]
#[test]
fn dropping_it_drops_what_runs() {
    let _guard = guard();
    let temp = Temp::new();
    for pooled in [true, false] {
        let (rpc, path) = (
            crate::concurrent::MANY.builder().begin(),
            temp.path("lines"),
        );
        let pool = crate::concurrent::MANY.pool().max(1).load(50).begin();
        let rpc = if pooled { pool.rpc() } else { &rpc };
        let held = (0..).map(|_| crate::concurrent::Job::Held(path.clone(), false));
        let mut results = rpc.map_unordered(held).window(30);
        assert!(block_on(poll_once(results.next())).is_none());
        // Once another call is answered, all run.
        rpc.call(crate::concurrent::Job::Echo("so".into()))
            .wait()
            .unwrap();
        assert_eq!(temp.lines("lines"), [""; 0]);
        drop(results);
        until(|| temp.lines("lines").len() == 30);
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn an_input_that_panics() {
    let _guard = guard();
    let rpc = TEXT.builder().begin();
    let items = || {
        (0..).map(|n: usize| {
            assert!(n < 5, "no more");
            n.to_string()
        })
    };
    for ordered in [true, false] {
        let results = match ordered {
            true => rpc.map(items()),
            false => rpc.map_unordered(items()),
        };
        let mut results = results.window(3).into_iter();
        let mut ask = || catch_unwind(AssertUnwindSafe(|| results.next()));
        let mut all = Vec::new();
        for _ in 0..3 {
            all.push(ask().unwrap().unwrap().unwrap());
        }
        let panic = ask().unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"no more"));
        // The input is not polled again, and no call is lost.
        for _ in 3..5 {
            all.push(ask().unwrap().unwrap().unwrap());
        }
        assert!(ask().unwrap().is_none());
        if !ordered {
            // Results that arrive together come in any order.
            all.sort();
        }
        assert_eq!(all, ["0", "1", "2", "3", "4"]);
    }
}

/// The type of a map of these jobs.
type Results = Map<std::array::IntoIter<Do, 3>, Handle, String, u32>;

#[test]
fn options_are_those_of_each_call() {
    let _guard = guard();
    let moment = Duration::from_millis(20);
    let late = |results: Results| {
        let results: Vec<_> = results.into_iter().collect();
        assert_eq!(results.len(), 3);
        assert_error!(results[1].as_ref().unwrap_err(), is_timeout);
        assert_eq!(results[0].as_ref().unwrap(), "0");
        assert_eq!(results[2].as_ref().unwrap(), "2");
    };
    let items = || [echo(0), Do::Sleep(1_000_000), echo(2)];
    let pool = POOLED.init(false).pool().quiet().max(1).eager().begin();
    pool.ready().wait().unwrap();
    late(
        pool.map(items())
            .window(1)
            .timeout(limit(Duration::from_secs(1)))
            .kill_on_cancel(true),
    );
    assert_eq!(pool.status().died, 1);
    let soon = Instant::now() + moment;
    let results = pool.map([Do::Sleep(50), Do::Sleep(50)]).deadline(soon);
    let results: Vec<_> = results.into_iter().collect();
    assert!(
        results
            .iter()
            .all(|result| result.as_ref().is_err_and(offspring::Error::is_timeout))
    );
    let temp = Temp::new();
    let died = || {
        let append = |line: &str| Do::Append(temp.path("lines"), line.into());
        [both(append("x"), Do::Abort), append("y")]
    };
    for (repeats, runs) in [(0, 1), (2, 3)] {
        let results = pool.map(died()).window(1).repeat(repeats);
        let results: Vec<_> = results.into_iter().collect();
        assert_error!(results[0].as_ref().unwrap_err(), is_child_dead);
        assert_eq!(results[1].as_ref().unwrap(), "done");
        let lines = temp.lines("lines");
        let ran = lines.iter().filter(|line| *line == "x").count();
        assert_eq!(ran, runs);
        std::fs::remove_file(temp.path("lines")).unwrap();
    }
}

/// The function that makes the calls is given a handle with the options of the map, and has the last word.
#[test]
fn calls_with_options_of_their_own() {
    let _guard = guard();
    let pool = POOLED.init(false).pool().quiet().max(1).eager().begin();
    pool.ready().wait().unwrap();
    let sleeps = [None, Some(limit(Duration::from_secs(60)))];
    let results = pool.map_calls(sleeps, |pool, time| match time {
        Some(time) => pool.call(Do::Sleep(50)).timeout(time),
        None => pool.call(Do::Sleep(1_000_000)),
    });
    let results = results
        .timeout(Duration::from_millis(20))
        .kill_on_cancel(true);
    let results: Vec<_> = results.window(1).into_iter().collect();
    assert_error!(results[0].as_ref().unwrap_err(), is_timeout);
    assert_eq!(results[1].as_ref().unwrap(), "done");
    assert_eq!(pool.status().died, 1);
}

/// The item is lost, and what was called before is not.
#[test]
fn a_call_that_panics_while_it_is_made() {
    let _guard = guard();
    let rpc = TEXT.builder().begin();
    let results = rpc.map_calls_unordered(0.., |rpc, n: u32| {
        assert!(n < 2, "no more");
        rpc.call(n.to_string())
    });
    let mut results = results.window(3).into_iter();
    let mut ask = || catch_unwind(AssertUnwindSafe(|| results.next()));
    let panic = ask().unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"no more"));
    for n in 0..2 {
        assert_eq!(ask().unwrap().unwrap().unwrap(), n.to_string());
    }
    assert!(ask().unwrap().is_none());
}

/// No item is lost with a child that had not started it.
#[test]
fn children_that_die_lose_one_item_each() {
    let _guard = guard();
    let count = rounds(100) as usize;
    let item = |n: usize| if n % 10 == 3 { Do::Abort } else { echo(n) };
    let pool = POOLED.init(false).pool().quiet().max(3).eager().begin();
    let results = pool.map((0..count).map(item));
    for (n, result) in results.into_iter().enumerate() {
        match result {
            Ok(text) => assert_eq!(text, n.to_string()),
            Err(error) => {
                assert_error!(error, is_child_dead);
                assert_eq!(n % 10, 3);
            }
        }
    }
    let results = pool.map_unordered((0..count).map(item)).into_iter();
    let answers: BTreeSet<_> = results.filter_map(Result::ok).collect();
    assert_eq!(answers.len(), count - (count + 6) / 10);
}

fn joined(left: String, right: String) -> String {
    left + &right
}

worker!(NONE: fn() -> String = || "none".to_owned());
worker!(BOTH: fn(String, String) -> String = joined);
worker!(WHOLE: fn(..Vec<String>) -> String = |words: Vec<String>| words.concat());

#[test]
fn items_are_what_call_takes() {
    let _guard = guard();
    let none: Vec<_> = NONE.builder().begin().map([(), ()]).into_iter().collect();
    assert_eq!(
        none.into_iter().map(Result::unwrap).collect::<Vec<_>>(),
        ["none", "none"]
    );
    let both = BOTH.builder().begin().map([("a", "b".to_owned())]);
    assert_eq!(both.into_iter().next().unwrap().unwrap(), "ab");
    let whole = WHOLE
        .builder()
        .begin()
        .map([vec!["a".to_owned(), "b".into(), "c".into()]]);
    assert_eq!(whole.into_iter().next().unwrap().unwrap(), "abc");
}

/// A map ends with its input, and keeps its handle until then.
#[test]
fn it_holds_a_handle() {
    let _guard = guard();
    let results = TEXT.builder().begin().map(["a", "b", "c"]);
    let mut results = results.into_iter();
    assert_eq!(results.len(), 3);
    assert_eq!(results.next().unwrap().unwrap(), "a");
    assert_eq!(results.len(), 2);
    assert_eq!(results.map(Result::unwrap).collect::<Vec<_>>(), ["b", "c"]);
    // If the child is closed, each item is an error.
    let rpc = TEXT.builder().begin();
    let results = rpc.map(["a", "b"]);
    rpc.join().wait().unwrap();
    let errors: Vec<_> = results.into_iter().map(Result::unwrap_err).collect();
    assert_eq!(errors.len(), 2);
    assert_error!(errors[1], is_closed);
}
