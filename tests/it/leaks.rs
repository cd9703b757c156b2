//! Children, descriptors and threads that would be left, or inherited by the wrong process.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::thread;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use offspring::Template;

use crate::support::*;

/// G6: children that end in every way leave nothing.
#[test]
fn many_children_one_after_the_other() {
    let _guard = guard();
    let template = Template::builder().start().unwrap();
    let ways: [&dyn Fn() -> Children; 2] = [&|| WORK.builder(), &|| WORK.template(&template)];
    for children in ways {
        let before = descriptors();
        for n in 0..rounds(500) {
            let rpc = children().quiet().on_destroy(|| ()).begin();
            match n % 5 {
                0 => drop(rpc),
                1 => drop(rpc.call(echo("x")).wait().unwrap()),
                2 => rpc.kill(),
                3 => drop(rpc.call(Job::KillSelf).wait()),
                _ => drop(rpc.join().wait().unwrap()),
            }
            // Limits how many run at once.
            until(|| descriptors().len() < before.len() + 100);
        }
    }
    until(|| self::children() == [template.pid().unwrap()]);
}

/// A handle whose child has ended keeps no process.
#[test]
fn a_handle_of_a_child_that_is_gone() {
    let _guard = guard();
    let rpc = TEXT.spawn().unwrap();
    let kept = rpc.clone();
    rpc.join().wait().unwrap();
    assert!(children().is_empty());
    drop(kept);
}

/// The file descriptors of this process that `exec` does not close.
fn inherited() -> Vec<u32> {
    let keeps = |number: &u32| {
        let info =
            std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:\t"));
        flags.is_some_and(|flags| i32::from_str_radix(flags, 8).unwrap() & libc::O_CLOEXEC == 0)
    };
    descriptors().into_keys().filter(keeps).collect()
}

/// X20: 32 threads start children. Each child has its three streams and its link, and no file descriptor
/// of another child.
#[test]
fn children_inherit_nothing() {
    let _guard = guard();
    let mut expected = inherited();
    expected.retain(|number| *number > 2);
    thread::scope(|scope| {
        for number in 0..32 {
            let expected = &expected;
            scope.spawn(move || {
                for _ in 0..3 {
                    let builder = match number % 3 {
                        0 => WORK.builder(),
                        1 => WORK.builder().capture_stderr(100).exit_with_parent(),
                        _ => WORK.program(serving("work")),
                    };
                    let rpc = builder.begin();
                    let list = rpc.call(Job::Descriptors).wait().unwrap().unwrap();
                    let mut list: BTreeMap<u32, String> = serde_json::from_str(&list).unwrap();
                    for standard in 0..3 {
                        assert!(list.remove(&standard).is_some());
                    }
                    list.retain(|number, _| !expected.contains(number));
                    let links = list
                        .values()
                        .filter(|target| target.starts_with("socket:"))
                        .count();
                    assert!(links == 1 && list.len() == 1, "{list:?}");
                    rpc.join().wait().unwrap();
                }
            });
        }
    });
}

/// X22: a process that a worker starts has no file descriptor of the crate, whatever launched the worker.
#[test]
fn grandchildren_inherit_nothing() {
    let _guard = guard();
    let mut expected = inherited();
    expected.retain(|number| *number > 2);
    expected.splice(0..0, 0..3);
    let template = Template::builder().start().unwrap();
    let builders = [
        WORK.builder(),
        WORK.builder().capture_stderr(100).exit_with_parent(),
        WORK.program(serving("work")),
        WORK.command(serving("work")),
        WORK.template(&template),
    ];
    for builder in builders {
        let rpc = builder.begin();
        // Another child of the same template runs.
        let other = WORK.template(&template).begin();
        other.ready().wait().unwrap();
        let list = rpc.call(Job::Inherited).wait().unwrap().unwrap();
        let list: BTreeMap<u32, String> = serde_json::from_str(&list).unwrap();
        let numbers: Vec<_> = list.keys().copied().collect();
        assert_eq!(numbers, expected, "{list:?}");
        rpc.join().wait().unwrap();
        other.join().wait().unwrap();
    }
}

/// X32: too many open files are an error, and nothing worse.
#[test]
fn descriptors_run_out() {
    alone(|| {
        let _guard = guard();
        let template = Template::builder().start().unwrap();
        template.ready().wait().unwrap();
        let ways: [&dyn Fn() -> Children; 2] = [&|| WORK.builder(), &|| WORK.template(&template)];
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        for children in ways.into_iter().cycle().take(6) {
            let before = descriptors();
            let highest = u64::from(*before.keys().max().unwrap());
            setrlimit(Resource::RLIMIT_NOFILE, 64.max(highest), hard).unwrap();
            let mut all = Vec::new();
            let error = loop {
                match children().spawn() {
                    Ok(rpc) => all.push(rpc),
                    Err(error) => break error,
                }
            };
            assert_error!(error, is_start, "Too many open files");
            assert!(all.len() > 3);
            for rpc in &all {
                echoes(rpc, "still");
            }
            all.clear();
            setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
            // A child ends a little before the parent has closed its file descriptors for it.
            until(|| descriptors().len() == before.len());
            echoes(&children().begin(), "again");
            until(|| descriptors().len() == before.len());
        }
    });
}

/// X25: the program can be started after its file was deleted.
#[test]
fn the_programs_file_is_replaced() {
    let _guard = guard();
    if let Some(file) = told() {
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, "another program").unwrap();
        let rpc = TEXT.spawn().unwrap();
        return assert_eq!(rpc.call("still").wait().unwrap(), "still");
    }
    let temp = Temp::new();
    let copy = temp.path("program");
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let again = again(&the_programs_file_is_replaced, &copy);
    let mut command = with_words(&[OsStr::new(&copy)], &again);
    succeeds(&mut command);
}
