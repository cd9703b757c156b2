//! The system's limits are reached: the error names the limit, and nothing is lost.

use std::collections::BTreeMap;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Uid, setuid};
use offspring::Error;

use crate::accounts::Accounts;
use crate::jobs::{Child, Children, Job, Start};
use crate::meter::in_each_kind;
use crate::support::*;

const KINDS: &[&str] = &["exec", "template"];

/// Returns a child that is ready.
fn begun(children: Children) -> Result<Child, Error> {
    let child = children.quiet().spawn()?;
    child.ready().wait()?;
    Ok(child)
}

/// Returns the descriptors of this process, also where it may open no more.
fn all_descriptors() -> BTreeMap<u32, String> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let all = descriptors();
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
    all
}

/// Starts children until that fails, calls all of them, and replaces some. Returns the text of the error.
fn until_it_fails(start: &Start) -> String {
    let mut running = Vec::new();
    let error = loop {
        let (before, alive) = (all_descriptors(), children());
        match begun(start.children()) {
            Ok(child) => running.push(child),
            Err(error) => {
                until(|| children() == alive && all_descriptors() == before);
                break error;
            }
        }
        assert!(running.len() < 1000);
    };
    assert!(running.len() > 5, "{} children: {error}", running.len());
    let accounts = Accounts::new(running.len());
    for (number, child) in running.iter().enumerate() {
        accounts.take(number, child.call(Job::Number(number as u64)).wait());
    }
    assert_eq!(accounts.check(), running.len());
    // Each child that ends makes room for another.
    for _ in 0..3 {
        assert!(running.remove(0).join().wait().unwrap().success());
        // The reactor closes its descriptors soon after.
        until(|| {
            begun(start.children())
                .map(|child| running.push(child))
                .is_ok()
        });
        begun(start.children()).unwrap_err();
    }
    for child in running {
        assert!(child.join().wait().unwrap().success());
    }
    error.to_string()
}

/// A pool that wants more children than it can have does all calls with those that it has.
fn with_a_pool(start: &Start) {
    let pool = start.children().pool().max(200).quiet().eager().begin();
    let count = 2000;
    let calls: Vec<_> = (0..count).map(|n| pool.call(Job::Number(n))).collect();
    let accounts = Accounts::new(calls.len());
    for (number, call) in calls.into_iter().enumerate() {
        accounts.take(number, call.wait());
    }
    let lives = accounts.check();
    assert!(lives < 200, "{lives} children");
    pool.join().wait().unwrap();
}

/// `RLIMIT_NOFILE` of the parent.
pub(crate) fn descriptors_run_out() {
    in_each_kind(&descriptors_run_out, KINDS, |kind| {
        let start = Start::new(kind);
        start.template();
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, 100.min(hard), hard).unwrap();
        let error = until_it_fails(&start);
        assert!(error.contains("Too many open files"), "{error}");
        assert!(error.contains("RLIMIT_NOFILE"), "{error}");
        with_a_pool(&start);
    });
}

/// Returns whether this process may become a user that has no other process.
pub(crate) fn another_user() -> Result<(), String> {
    match Uid::effective().is_root() {
        true => Ok(()),
        false => Err("this process is not root's".into()),
    }
}

/// `RLIMIT_NPROC` of the parent.
pub(crate) fn processes_run_out() {
    in_each_kind(&processes_run_out, KINDS, |kind| {
        // The limit counts what a user has, and does not hold for root.
        let lonely = 100_000 + std::process::id();
        setuid(Uid::from_raw(lonely)).unwrap();
        // A template has the limit from its start.
        setrlimit(Resource::RLIMIT_NPROC, 30, 30).unwrap();
        let start = Start::new(kind);
        start.template();
        let error = until_it_fails(&start);
        assert!(
            error.contains("Resource temporarily unavailable"),
            "{error}"
        );
        assert!(error.contains("RLIMIT_NPROC"), "{error}");
        with_a_pool(&start);
    });
}
