//! Children under debuggers and profilers, by `prefix`.

use std::ffi::OsStr;
use std::io::Write;
use std::process::Stdio;

use offspring::worker;

use crate::support::*;

worker!(DOUBLE: fn(u32) -> u32 = double);

/// The line of a breakpoint. A name would need more than a table of lines.
const BREAK: u32 = line!() + 3;

fn double(number: u32) -> u32 {
    2 * number
}

pub(crate) const STRACE: &[&str] = &["strace", "-f", "-o", "/dev/null"];
pub(crate) const GDB: &[&str] = &["gdb", "-q", "-nx", "-batch", "-ex", "run", "--args"];
pub(crate) const VALGRIND: &[&str] = &["valgrind", "-q", "--log-file=/dev/null"];
pub(crate) const PERF: &[&str] = &["perf", "record", "-q", "-o", "/dev/null", "--"];

/// Calls a worker behind this prefix, also from a pool, and waits for its exit.
fn works_behind(words: &[&str]) {
    let builder = || WORK.builder().prefix(words.iter().copied());
    let (sink, events) = sink();
    let rpc = builder().on_event(sink).quiet().begin();
    for n in 0..20 {
        echoes(&rpc, n);
    }
    rpc.call(Job::Events(0, 2)).wait().unwrap().unwrap();
    assert_eq!(events.try_iter().collect::<Vec<_>>(), [0, 1]);
    assert!(rpc.join().wait().unwrap().success());
    let pool = builder().pool().max(1).begin();
    let calls: Vec<_> = (0..10).map(|n| pool.call(echo(n))).collect();
    assert!(answers(calls).iter().all(Result::is_ok));
    pool.join().wait().unwrap();
}

pub(crate) fn strace() {
    let _guard = guard();
    let temp = Temp::new();
    let log = temp.path("log");
    works_behind(&["strace", "-f", "-o", &log, "-e", "trace=execve,exit_group"]);
    let text = temp.lines("log").join("\n");
    assert!(text.contains("--offspring-worker"), "{text}");
    assert!(text.contains("exit_group(0)"), "{text}");
}

/// Memcheck finds no error in any of the children, and no memory that is definitely lost.
pub(crate) fn valgrind() {
    let _guard = guard();
    let temp = Temp::new();
    let log = format!("--log-file={}", temp.path("log.%p"));
    let leaks = "--errors-for-leak-kinds=definite";
    works_behind(&["valgrind", "--leak-check=full", leaks, &log]);
    let logs: Vec<_> = std::fs::read_dir(temp.path(""))
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    assert!(logs.len() >= 2, "{logs:?}");
    for text in logs {
        assert!(text.contains("ERROR SUMMARY: 0 errors"), "{text}");
    }
}

pub(crate) fn perf() {
    let _guard = guard();
    let temp = Temp::new();
    let data = temp.path("data");
    works_behind(&["perf", "record", "-q", "-o", &data, "--"]);
    assert!(std::fs::metadata(&data).unwrap().len() > 1000);
}

/// In batch mode the debugger prints where the worker died.
pub(crate) fn gdb_says_where() {
    let _guard = guard();
    works_behind(GDB);
    let words = [
        "gdb", "-q", "-nx", "-batch", "-ex", "run", "-ex", "bt", "--args",
    ];
    let (sink, lines) = sink();
    let stdout = offspring::Stdio::lines(move |line| sink(line.to_owned()));
    let builder = WORK.builder().prefix(words).stdout(stdout);
    let rpc = builder.stderr(offspring::Stdio::null()).quiet().begin();
    let error = rpc.call(Job::Abort).wait().unwrap_err();
    assert!(error.is_child_dead(), "{error}");
    let _ = rpc.join().wait();
    let text = lines.try_iter().collect::<Vec<_>>().join("\n");
    assert!(text.contains("SIGABRT"), "{text}");
    assert!(text.contains("std::process::abort"), "{text}");
}

/// In batch mode the debugger stops at a breakpoint in a child, prints how it got there, and goes on.
pub(crate) fn gdb_stops_in_a_child() {
    let _guard = guard();
    let at = format!("break debuggers.rs:{BREAK}");
    let gdb = ["gdb", "-q", "-nx", "-batch", "-ex", &at];
    let then = ["-ex", "run", "-ex", "bt", "-ex", "continue", "--args"];
    let (sink, lines) = sink();
    let stdout = offspring::Stdio::lines(move |line| sink(line.to_owned()));
    let builder = DOUBLE.builder().prefix(gdb.into_iter().chain(then));
    let builder = builder.stdout(stdout).stderr(offspring::Stdio::null());
    let rpc = builder.begin();
    assert_eq!(rpc.call(21).wait().unwrap(), 42);
    assert!(rpc.join().wait().unwrap().success());
    let text = lines.try_iter().collect::<Vec<_>>().join("\n");
    for word in ["Breakpoint 1, ", "offspring::child::blocking::serve"] {
        assert!(text.contains(word), "no {word:?} in: {text}");
    }
}

/// At a pseudo-terminal the debugger has stdin, and the worker its link.
pub(crate) fn gdb_is_talked_to() {
    if told().is_some() {
        let rpc = WORK
            .builder()
            .prefix(["gdb", "-q", "-nx", "--args"])
            .quiet()
            .begin();
        let call = rpc.call(Job::Abort);
        println!("it says {:?}", call.wait().unwrap_err().to_string());
        return;
    }
    let _guard = guard();
    let mut process = again(&gdb_is_talked_to, "");
    let process = process.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = process.stderr(Stdio::piped()).spawn().unwrap();
    let commands = b"set confirm off\nrun\necho stopped\\n\nbt\nkill\nquit\n";
    process.stdin.take().unwrap().write_all(commands).unwrap();
    let output = process.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    for word in ["SIGABRT", "stopped", "std::process::abort", "it says"] {
        assert!(text.contains(word), "no {word:?} in: {text}");
    }
    assert!(output.status.success(), "{text}");
}

/// A breakpoint in the function of a worker in this process stops the program.
pub(crate) fn gdb_stops_in_this_process() {
    if told().is_some() {
        let rpc = DOUBLE.builder().in_process().begin();
        assert_eq!(rpc.call(21).wait().unwrap(), 42);
        return;
    }
    let _guard = guard();
    let inner = again(&gdb_stops_in_this_process, "");
    let at = format!("break debuggers.rs:{BREAK}");
    let gdb = ["gdb", "-q", "-nx", "-batch", "-ex", &at];
    let then = ["-ex", "run", "-ex", "bt", "-ex", "continue", "--args"];
    let words = gdb.into_iter().chain(then).map(OsStr::new);
    let words: Vec<_> = words.chain([inner.get_program()]).collect();
    let mut outer = with_words(&words, &inner);
    let output = outer.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    for word in [
        "Breakpoint 1, ",
        "offspring::child::blocking::serve",
        "1 passed",
    ] {
        assert!(text.contains(word), "no {word:?} in: {text}");
    }
}
