//! Panics of a worker's function that are caught, resumed, or come from another thread.

use std::panic::{catch_unwind, panic_any, resume_unwind};
use std::thread;

use offspring::{Error, Stdio, worker};

use crate::support::*;

/// Panics when it is dropped, and catches that.
struct Careful;

impl Drop for Careful {
    fn drop(&mut self) {
        let _ = catch_unwind(|| panic!("caught in a drop"));
    }
}

/// The payload of a panic of another thread.
fn of_another(text: &'static str) -> Box<dyn std::any::Any + Send> {
    thread::spawn(move || panic!("{text}")).join().unwrap_err()
}

pub(crate) fn misbehave(how: &str) {
    match how {
        "catch" => drop(catch_unwind(|| panic!("one"))),
        "catch text" => drop(catch_unwind(|| panic!("{}", "one".to_owned()))),
        "catch the same text" => drop(catch_unwind(|| panic!("t{}", "wo"))),
        "catch many" => (0..100).for_each(|_| misbehave("catch")),
        "resume" => resume_unwind(of_another("two")),
        "resume a literal" => resume_unwind(Box::new("two")),
        "resume text" => resume_unwind(Box::new("two".to_owned())),
        "resume a number" => resume_unwind(Box::new(2)),
        "panic" => panic!("two"),
        "panic text" => panic!("t{}", "wo"),
        "panic with a number" => panic_any(2_u32),
        "panic with care" => {
            let _careful = Careful;
            panic!("two");
        }
        "panic again" => {
            let payload = catch_unwind(|| panic!("t{}", "wo")).unwrap_err();
            misbehave("catch");
            resume_unwind(payload);
        }
        "panic with a heavy text" => panic!("{}", "x".repeat(8 << 20)),
        both => {
            let (one, two) = both.split_once(" and ").unwrap();
            misbehave(one);
            misbehave(two);
        }
    }
}

worker!(pub(crate) MISBEHAVE: fn(String) = |how: String| misbehave(&how));

/// The way to panic, the expected message, and whether the panic has a location and a backtrace.
pub(crate) const OTHERS: &[(&str, &str, bool)] = &[
    ("resume", "two", false),
    ("resume a literal", "two", false),
    ("resume text", "two", false),
    ("resume a number", "Box<dyn Any>", false),
    ("panic", "two", true),
    ("panic text", "two", true),
    ("panic with a number", "Box<dyn Any>", true),
    ("panic with care", "two", true),
    ("panic again", "two", true),
];

pub(crate) fn check(how: &str, error: &Error, (_, text, has_place): (&str, &str, bool)) {
    let panic = error.panic().unwrap_or_else(|| panic!("{how}: {error}"));
    assert_eq!(panic.message(), text, "{how}");
    assert_eq!(
        panic.place().contains("panics.rs:"),
        has_place,
        "{how}: {}",
        panic.place()
    );
    assert_eq!(panic.place().is_empty(), !has_place, "{how}");
    assert_eq!(panic.backtrace().contains("misbehave"), has_place, "{how}");
}

/// X63: after each way to catch a panic, in the same call and in the call before, the error has nothing of the caught
/// panic.
#[test]
fn a_caught_panic_is_not_told() {
    let _guard = guard();
    let rpc = MISBEHAVE.builder().stderr(Stdio::null()).begin();
    for caught in ["catch", "catch text", "catch many"] {
        for other in OTHERS {
            rpc.call(caught).wait().unwrap();
            let error = rpc.call(other.0).wait().unwrap_err();
            check(other.0, &error, *other);
            let both = format!("{caught} and {}", other.0);
            let error = rpc.call(&both).wait().unwrap_err();
            check(&both, &error, *other);
        }
    }
    assert!(rpc.join().wait().unwrap().success());
}

/// The location is that of the panic which ends the call, exact to the line.
#[test]
fn of_two_panics_with_a_text_the_place_is_of_the_last() {
    let _guard = guard();
    let rpc = MISBEHAVE.builder().stderr(Stdio::null()).begin();
    let place = |how: &str| {
        let error = rpc.call(how).wait().unwrap_err();
        error.panic().unwrap().place().to_owned()
    };
    let alone = place("panic text");
    assert_eq!(place("catch text and panic text"), alone);
    assert_eq!(place("catch the same text and panic text"), alone);
    assert_ne!(place("catch and panic"), alone);
    assert!(rpc.join().wait().unwrap().success());
}

/// The payload of a panic is dropped, so its memory is free after the call.
#[test]
fn payloads_of_panics_are_dropped() {
    let _guard = guard();
    let rpc = MISBEHAVE.builder().stderr(Stdio::null()).begin();
    let memory = || memory(rpc.pid().unwrap());
    rpc.call("panic with a heavy text").wait().unwrap_err();
    let before = memory();
    for _ in 0..20 {
        rpc.call("panic with a heavy text").wait().unwrap_err();
    }
    let grown = memory().saturating_sub(before);
    assert!(grown < 80 << 20, "the child grew by {grown} bytes");
    assert!(rpc.join().wait().unwrap().success());
}

/// Yields between the parts, so that calls take turns.
#[cfg(feature = "concurrent")]
async fn misbehave_in_turns(how: String) {
    for part in how.split(" and ") {
        futures_lite::future::yield_now().await;
        misbehave(part);
    }
}

#[cfg(feature = "concurrent")]
worker!(IN_TURNS: fn(String) = misbehave_in_turns);

/// X63: the same with calls that run concurrently.
#[cfg(feature = "concurrent")]
#[test]
fn a_panic_caught_in_another_call_is_not_told() {
    let _guard = guard();
    let rpc = IN_TURNS.builder().stderr(Stdio::null()).begin();
    let catches = || rpc.call("catch and catch text and catch and catch");
    for other in OTHERS {
        let (before, call, after) = (catches(), rpc.call(other.0), catches());
        check(other.0, &call.wait().unwrap_err(), *other);
        before.wait().unwrap();
        after.wait().unwrap();
        let both = format!("catch and {}", other.0);
        check(&both, &rpc.call(&both).wait().unwrap_err(), *other);
    }
    assert!(rpc.join().wait().unwrap().success());
}
