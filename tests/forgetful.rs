//! A program that does not call `init`: no child is made from it, so its `main`
//! does not run once more. Other programs it can start.
//!
//! Without the harness of tests, since `main` is what this is about.

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
    assert!(error.to_string().contains("offspring::init()"), "{error}");
}

/// The numbers of all children of this process.
fn children() -> String {
    let tasks = fs::read_dir("/proc/self/task").expect("/proc").flatten();
    let read = |task: fs::DirEntry| fs::read_to_string(task.path().join("children"));
    tasks.filter_map(|task| read(task).ok()).collect()
}

fn main() {
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
    println!("test result: ok");
}
