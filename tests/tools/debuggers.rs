//! Children under debuggers and profilers, by `prefix`.

use std::io::Write;
use std::process::Stdio;

use crate::support::*;

pub(crate) const STRACE: &[&str] = &["strace", "-f", "-o", "/dev/null"];
pub(crate) const GDB: &[&str] = &["gdb", "-q", "-nx", "-batch", "-ex", "run", "--args"];
pub(crate) const VALGRIND: &[&str] = &["valgrind", "-q", "--log-file=/dev/null"];
pub(crate) const PERF: &[&str] = &["perf", "record", "-q", "-o", "/dev/null", "--"];

/// Calls a worker behind these words, also from a pool, until it is done.
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

pub(crate) fn valgrind() {
    let _guard = guard();
    let temp = Temp::new();
    let log = temp.path("log");
    works_behind(&["valgrind", &format!("--log-file={log}")]);
    let text = temp.lines("log").join("\n");
    assert!(text.contains("ERROR SUMMARY"), "{text}");
}

pub(crate) fn perf() {
    let _guard = guard();
    let temp = Temp::new();
    let data = temp.path("data");
    works_behind(&["perf", "record", "-q", "-o", &data, "--"]);
    assert!(std::fs::metadata(&data).unwrap().len() > 1000);
}

/// In batch mode: where it died.
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

/// At a terminal, or what stands for one: the debugger has stdin, and the worker its link.
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
