//! A worker in a fresh child, for one call.

use std::time::Duration;

use futures_lite::future::{block_on, poll_once};
use offspring::{Builder, Template, worker};

use crate::support::*;

type Work = Builder<fn(Job) -> Result<String, String>, Json, u32>;

/// Every launcher.
fn each_builder(test: impl Fn(&dyn Fn() -> Work)) {
    test(&|| WORK.builder());
    test(&|| WORK.builder().rings(false));
    test(&|| WORK.program(serving("work")));
    test(&|| WORK.command(serving("work")));
    let template = Template::builder().start().unwrap();
    test(&|| WORK.template(&template));
}

#[test]
fn the_result_comes_and_the_child_is_gone() {
    let _guard = guard();
    each_builder(|builder| {
        let before = children();
        let result = builder().once(echo("so")).wait().unwrap();
        assert_eq!(result.unwrap(), "so");
        assert_eq!(children(), before);
        let result = block_on(builder().once(echo("so"))).unwrap();
        assert_eq!(result.unwrap(), "so");
        assert_eq!(children(), before);
    });
    assert_eq!(
        WORK.once(Job::Fail("no".into())).wait().unwrap(),
        Err("no".into())
    );
}

#[test]
fn dropping_it_takes_the_child_along() {
    let _guard = guard();
    each_builder(|builder| {
        let before = children();
        let (temp, gate) = Temp::with_gate();
        let line = |line: &str| Job::Append(temp.path("lines"), line.into());
        let job = Job::Both(Job::Gate(gate.name()).into(), line("x").into());
        let mut once = builder().once(job);
        assert!(block_on(poll_once(&mut once)).is_none());
        let open = gate.reached();
        drop(once);
        quickly(|| until(|| children() == before));
        drop(open);
        assert_eq!(temp.lines("lines"), [""; 0]);
        // A future that was never polled.
        drop(builder().once(Job::Gate(gate.name())));
        quickly(|| until(|| children() == before));
    });
}

#[test]
fn whatever_goes_wrong_is_the_result() {
    let _guard = guard();
    each_builder(|builder| {
        let before = children();
        let failed = |job: Job| {
            let error = builder().quiet().once(job).wait().unwrap_err();
            assert_eq!(children(), before);
            error
        };
        assert_error!(failed(Job::Panic("so".into())), is_panic, "so");
        let crash = failed(Job::Exit(3));
        assert_eq!(crash.crash().unwrap().status().code(), Some(3));
        let late = builder()
            .once(Job::Spin)
            .timeout(Duration::from_millis(300));
        assert_error!(quickly(|| late.wait()).unwrap_err(), is_timeout);
        assert_eq!(children(), before);
        let late = builder().call_timeout(Duration::from_millis(300));
        assert_error!(
            quickly(|| block_on(late.once(Job::Spin))).unwrap_err(),
            is_timeout
        );
        assert_eq!(children(), before);
    });
    let nothing = std::process::Command::new("/nowhere/at/all");
    let error = WORK.program(nothing).once(echo("so")).wait().unwrap_err();
    assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
}

/// Writes a line when it is dropped.
struct Last(String);

impl Drop for Last {
    fn drop(&mut self) {
        append(&self.0, "dropped");
    }
}

fn open(path: String) -> Result<Last, String> {
    Ok(Last(path))
}

fn path(last: &mut Last) -> String {
    last.0.clone()
}

fn joined(left: String, right: String) -> String {
    left + &right
}

worker!(ENDS: fn() -> String = path, init(String) = open);
worker!(BOTH: fn(String, String) -> String = joined);
worker!(WHOLE: fn(..Vec<String>) -> String = |words: Vec<String>| words.concat());

#[test]
fn the_child_ends_by_itself_after_a_result() {
    let _guard = guard();
    let temp = Temp::new();
    let file = temp.path("lines");
    assert_eq!(ENDS.init(&file).once().wait().unwrap(), file);
    assert_eq!(temp.lines("lines"), ["dropped"]);
    assert_eq!(BOTH.once("a", "b").wait().unwrap(), "ab");
    let words = vec!["a".to_owned(), "b".into()];
    assert_eq!(WHOLE.once(words).wait().unwrap(), "ab");
}

#[test]
fn events_come_to_the_handler_before_it_ends() {
    let _guard = guard();
    let (sink, came) = sink();
    let once = WORK.on_event(sink).once(Job::Events(0, 3));
    once.wait().unwrap().unwrap();
    assert_eq!(came.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
}
