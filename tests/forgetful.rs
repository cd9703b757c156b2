//! A program that does not call `init`: it cannot start itself as a child, so its `main` does not run a second time. It can
//! start other programs.
//!
//! It has no test harness, because it tests `main`.

use std::fs;
use std::process::Command;

use offspring::{Error, Template};

offspring::worker!(ECHO: fn(String) -> String = |text: String| text);

#[track_caller]
fn refused<T>(outcome: Result<T, Error>) {
    let Err(error) = outcome else {
        panic!("it was started")
    };
    assert!(error.is_start(), "{error}");
    assert!(error.to_string().ends_with(&text()), "{error}");
}

/// Returns the error behind the name of the worker.
fn text() -> String {
    let advice = match is_elsewhere() {
        true => "call it first in `main`",
        false => {
            "with the test harness, write `offspring::init_in_tests!();` once, anywhere in this crate; with a `main` of yours (`harness = false`), call `init` first in it"
        }
    };
    format!(
        " could not be started: this program has not called `offspring::init()`, and a child made from it would run its `main` once more: {advice}, or start another program that is a worker, by `program` or `command`"
    )
}

/// The argument of this program when it runs from a path that is not a test's.
const ELSEWHERE: &str = "elsewhere";

fn is_elsewhere() -> bool {
    std::env::args().nth(1).as_deref() == Some(ELSEWHERE)
}

/// Returns the process ids of all children of this process.
fn children() -> String {
    let tasks = fs::read_dir("/proc/self/task").expect("/proc").flatten();
    let read = |task: fs::DirEntry| fs::read_to_string(task.path().join("children"));
    tasks.filter_map(|task| read(task).ok()).collect()
}

/// Answers a test runner that asks for the tests of this program. Returns whether one did.
fn is_listed() -> bool {
    let asked = |option: &str| std::env::args().any(|own| own == option);
    if asked("--list") && !asked("--ignored") {
        println!("main: test");
    }
    asked("--list")
}

fn main() {
    if is_listed() {
        return;
    }
    if std::env::args()
        .nth(1)
        .is_some_and(|own| own.starts_with("--offspring"))
    {
        eprintln!("`main` runs in a child");
        std::process::abort();
    }
    refused(ECHO.spawn());
    refused(ECHO.builder().capture_stderr(10).spawn());
    refused(ECHO.pool().spawn());
    refused(ECHO.pool().max(2).idle(2).spawn());
    refused(Template::builder().start());
    assert_eq!(children(), "");
    let rpc = ECHO
        .command(Command::new("cat"))
        .plain()
        .spawn()
        .expect("`cat`");
    assert_eq!(rpc.call("x").wait().expect("an answer"), "x");
    rpc.join().wait().expect("an end");
    if !is_elsewhere() {
        runs_elsewhere();
        println!("test result: ok");
    }
}

/// The same program at a path that is not a test's: the error advises `init` in place of `init_in_tests!`.
fn runs_elsewhere() {
    let own = std::env::current_exe().expect("a program");
    let folder = std::env::temp_dir().join("offspring-forgetful-XXXXXX");
    let folder = nix::unistd::mkdtemp(&folder).expect("a folder");
    let copy = folder.join("forgetful");
    fs::copy(own, &copy).expect("a copy");
    let status = Command::new(&copy).arg(ELSEWHERE).status();
    fs::remove_dir_all(&folder).expect("no folder");
    assert!(status.expect("it runs").success());
}
