//! The standard streams of a child: each kind, with each way to start it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write, read_to_string};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Command;

use offspring::{Stdio, worker};

use crate::support::*;

/// The files that stdin, stdout and stderr of a child of `builder` are open to.
fn streams(builder: Children) -> [String; 3] {
    let rpc = builder.begin();
    let list = rpc.call(Job::Descriptors).wait().unwrap().unwrap();
    let mut list: BTreeMap<u32, String> = serde_json::from_str(&list).unwrap();
    rpc.join().wait().unwrap();
    [0, 1, 2].map(|number| list.remove(&number).unwrap())
}

#[test]
fn null_and_inherited() {
    let _guard = guard();
    let own = [0, 1, 2].map(|number| descriptors()[&number].clone());
    in_each_way(|way, builder| {
        let all = |stdio: fn() -> Stdio| {
            let builder = builder().stdin(stdio()).stdout(stdio());
            streams(builder.stderr(stdio()))
        };
        assert_eq!(all(Stdio::null), ["/dev/null"; 3], "{way}");
        assert_eq!(all(Stdio::inherit), own, "{way}");
        let [stdin, stdout, stderr] = streams(builder());
        assert_eq!(stdin, "/dev/null", "{way}");
        assert_eq!([&stdout, &stderr], [&own[1], &own[2]], "{way}");
    });
}

/// Every type that owns a descriptor converts into a `Stdio`.
#[test]
fn descriptors_of_each_type() {
    let _guard = guard();
    let place = Temp::new();
    let path = place.path("file");
    let file = || File::options().append(true).create(true).open(&path);
    let mut other = Command::new("true");
    let other = other.stdin(std::process::Stdio::piped());
    let mut other = other.stdout(std::process::Stdio::piped()).begin();
    let kinds = |number: usize| -> Stdio {
        let (read, write) = std::io::pipe().unwrap();
        let (one, _) = UnixStream::pair().unwrap();
        [
            read.into(),
            write.into(),
            one.into(),
            OwnedFd::from(file().unwrap()).into(),
        ]
        .into_iter()
        .nth(number)
        .unwrap()
    };
    let _: [Stdio; 2] = [
        other.stdin.take().unwrap().into(),
        other.stdout.take().unwrap().into(),
    ];
    other.wait().unwrap();
    in_each_way(|way, builder| {
        let [stdin, stdout, stderr] =
            streams(builder().stdin(kinds(0)).stdout(kinds(1)).stderr(kinds(2)));
        assert!(stdin.starts_with("pipe:"), "{way}: {stdin}");
        assert!(stdout.starts_with("pipe:"), "{way}: {stdout}");
        assert!(stderr.starts_with("socket:"), "{way}: {stderr}");
        let all = builder().stdin(kinds(3)).stdout(file().unwrap());
        assert_eq!(streams(all.stderr(file().unwrap())), [&*path; 3], "{way}");
    });
}

#[test]
fn pipes_are_handed_out() {
    let _guard = guard();
    in_each_way(|way, builder| {
        let builder = builder().stdin(Stdio::piped()).stdout(Stdio::piped());
        let rpc = builder.stderr(Stdio::piped()).begin();
        let copy = rpc.clone();
        let stdin = copy.take_stdin();
        stdin.unwrap().write_all(b"for the worker").unwrap();
        let (mut stdout, stderr) = (rpc.take_stdout().unwrap(), rpc.take_stderr().unwrap());
        assert!(copy.take_stdin().is_none() && copy.take_stdout().is_none());
        assert!(copy.take_stderr().is_none());
        let text = rpc.call(Job::ReadStdin).wait().unwrap();
        assert_eq!(text, Ok("for the worker".into()), "{way}");
        for job in [Job::Print("so".into()), Job::Complain("alas".into())] {
            rpc.call(job).wait().unwrap().unwrap();
        }
        let mut line = [0; 3];
        stdout.read_exact(&mut line).unwrap();
        assert_eq!(&line, b"so\n", "{way}");
        drop(copy);
        rpc.join().wait().unwrap();
        assert_eq!(read_to_string(stdout).unwrap(), "", "{way}");
        assert_eq!(read_to_string(stderr).unwrap(), "alas\n", "{way}");
    });
}

/// A stream that is not piped cannot be taken. A pipe that is not taken is closed with the handle.
#[test]
fn pipes_that_are_not_taken() {
    let _guard = guard();
    let rpc = WORK.builder().stdout(Stdio::null()).begin();
    assert!(rpc.take_stdin().is_none() && rpc.take_stdout().is_none());
    assert!(rpc.take_stderr().is_none());
    rpc.join().wait().unwrap();
    let rpc = WORK.builder().stdin(Stdio::piped()).begin();
    let call = rpc.call(Job::ReadStdin);
    rpc.join().wait().unwrap();
    assert_eq!(call.wait().unwrap(), Ok(String::new()));
}

/// Stdin and stdout of a command are the link; stderr is free.
#[test]
fn the_stderr_of_a_command() {
    let _guard = guard();
    let command = || WORK.command(serving("work"));
    let rpc = command().stderr(Stdio::piped()).begin();
    let stderr = rpc.take_stderr().unwrap();
    for job in [Job::Complain("alas".into()), Job::Print("oh".into())] {
        rpc.call(job).wait().unwrap().unwrap();
    }
    rpc.join().wait().unwrap();
    assert_eq!(read_to_string(stderr).unwrap(), "alas\noh\n");
    let [_, _, stderr] = streams(command().stderr(Stdio::null()));
    assert_eq!(stderr, "/dev/null");
}

/// Of `capture_stderr` and `stderr`, the later call has effect.
#[test]
fn captured_or_piped() {
    let _guard = guard();
    let builder = WORK.builder().quiet();
    let rpc = builder.capture_stderr(100).stderr(Stdio::piped()).spawn();
    let rpc = rpc.unwrap();
    let stderr = rpc.take_stderr().unwrap();
    let job = |text: &str| {
        let complain = Box::new(Job::Complain(text.into()));
        Job::Both(complain, Box::new(Job::Exit(3)))
    };
    let error = rpc.call(job("one")).wait().unwrap_err();
    assert_eq!(error.crash().unwrap().stderr_tail(), b"");
    assert_eq!(read_to_string(stderr).unwrap(), "one\n");
    let builder = WORK.builder().quiet();
    let rpc = builder.stderr(Stdio::piped()).capture_stderr(100).spawn();
    let rpc = rpc.unwrap();
    assert!(rpc.take_stderr().is_none());
    let error = rpc.call(job("two")).wait().unwrap_err();
    assert_eq!(error.crash().unwrap().stderr_tail(), b"two\n");
}

/// Each child of a pool gets a copy of a descriptor. A pipe is an error: no handle belongs to a single child.
#[test]
fn streams_of_a_pool() {
    let _guard = guard();
    let piped = WORK.builder().stderr(Stdio::piped()).pool().spawn();
    let error = piped.unwrap_err();
    assert!(error.is_start(), "{error}");
    assert!(error.to_string().contains("stderr"), "{error}");
    let once = WORK.builder().stdout(Stdio::piped()).once(Job::Dir);
    assert_error!(once.wait().unwrap_err(), is_start, "stdout");
    let (read, write) = std::io::pipe().unwrap();
    let pool = WORK.builder().stdout(write).pool().max_calls(1).max(1);
    let pool = pool.begin();
    for text in ["one", "two"] {
        let job = Job::Print(text.into());
        pool.call(job).wait().unwrap().unwrap();
    }
    pool.join().wait().unwrap();
    assert_eq!(read_to_string(read).unwrap(), "one\ntwo\n");
}

/// Runs `jobs` and returns all lines that the child wrote to stdout and stderr.
fn lines_of(builder: Children, jobs: impl IntoIterator<Item = Job>) -> Vec<String> {
    let (sink, lines) = sink();
    let (out, err) = (sink.clone(), sink);
    let builder = builder.stdout(Stdio::lines(move |line| out(format!("out {line}"))));
    let builder = builder.stderr(Stdio::lines(move |line| err(format!("err {line}"))));
    let rpc = builder.quiet().begin();
    for job in jobs {
        let _ = rpc.call(job).wait();
    }
    let _ = rpc.join().wait();
    // All lines have arrived when `join` returns, and none can follow.
    lines.try_iter().collect()
}

#[test]
fn lines_come_to_their_handler() {
    let _guard = guard();
    in_each_way(|way, builder| {
        let jobs = || {
            let many = (0..1000)
                .map(|n| n.to_string())
                .collect::<Vec<_>>()
                .join("\n");
            [Job::Print(many), Job::Complain("alas\n\nso".into())]
        };
        let (mut out, mut err) = (vec![], vec![]);
        for line in lines_of(builder(), jobs()) {
            match line.split_once(' ').unwrap() {
                ("out", line) => out.push(line.to_owned()),
                (_, line) => err.push(line.to_owned()),
            }
        }
        assert_eq!(
            out,
            (0..1000).map(|n| n.to_string()).collect::<Vec<_>>(),
            "{way}"
        );
        assert_eq!(err, ["alas", "", "so"], "{way}");
    });
    let (sink, lines) = sink();
    let stderr = Stdio::lines(move |line| sink(line.to_owned()));
    let rpc = WORK.command(serving("work")).stderr(stderr).begin();
    rpc.call(Job::Print("from there".into()))
        .wait()
        .unwrap()
        .unwrap();
    rpc.join().wait().unwrap();
    assert_eq!(lines.try_iter().collect::<Vec<_>>(), ["from there"]);
}

/// Writes to stdout without a newline at the end, then returns or dies.
fn leave(how: String) {
    let mut stdout = std::io::stdout();
    stdout.write_all(&vec![b'x'; 70_000]).unwrap();
    stdout.write_all(b"\nthe last").unwrap();
    stdout.flush().unwrap();
    match how.as_str() {
        "kill" => nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL).unwrap(),
        // A process that goes on keeps the pipe open.
        "stay" => drop(Command::new("sleep").arg("1000").spawn().unwrap()),
        _ => {}
    }
}

worker!(LEAVE: fn(String) = leave);

#[test]
fn the_last_line_is_not_lost() {
    let _guard = guard();
    for how in ["end", "kill", "stay"] {
        let (sink, lines) = sink();
        let stdout = Stdio::lines(move |line| sink(line.to_owned()));
        let rpc = LEAVE.builder().stdout(stdout).own_group().quiet().begin();
        let pid = rpc.pid().unwrap() as i32;
        let _ = rpc.call(how).wait();
        let _ = quickly(|| rpc.join().wait());
        let lines: Vec<String> = lines.try_iter().collect();
        let lengths: Vec<_> = lines.iter().map(String::len).collect();
        assert_eq!(lengths, [65536, 70_000 - 65536, 8], "{how}");
        assert_eq!(lines[2], "the last");
        if how == "stay" {
            let group = nix::unistd::Pid::from_raw(pid);
            nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL).unwrap();
        }
    }
}

/// Prints lines of 1000 bytes, and writes the number of the last one to `file`.
fn pour(count: String, file: String) {
    for n in 0..count.parse().unwrap() {
        println!("{n:0999}");
        std::fs::write(&file, n.to_string()).unwrap();
    }
}

worker!(POUR: fn(String, String) = pour);

/// A handler that does not return makes the child wait, so few lines are buffered.
#[test]
fn a_slow_handler_holds_up_the_child() {
    let _guard = guard();
    let temp = Temp::new();
    let file = temp.path("printed");
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let (hold, held) = (hold, std::sync::Mutex::new(held));
    let (sink, lines) = sink();
    let stdout = Stdio::lines(move |line| {
        let _ = held.lock().unwrap().recv();
        sink(line.to_owned());
    });
    let rpc = POUR.builder().stdout(stdout).begin();
    let call = rpc.call("1000", file.as_str());
    rpc.ready().wait().unwrap();
    until_stuck(rpc.pid().unwrap());
    let printed: u32 = std::fs::read_to_string(&file).unwrap().parse().unwrap();
    assert!((60..400).contains(&printed), "{printed}");
    drop(hold);
    call.wait().unwrap();
    rpc.join().wait().unwrap();
    let all: Vec<u32> = lines.try_iter().map(|line| line.parse().unwrap()).collect();
    assert!(all.into_iter().eq(0..1000));
}

#[test]
fn a_handler_that_panics() {
    let _guard = guard();
    let (sink, errors) = sink();
    let (lines_sink, lines) = self::sink();
    let stdout = Stdio::lines(move |line| {
        lines_sink(line.to_owned());
        assert_ne!(line, "two", "I do not like it");
    });
    let rpc = WORK.builder().stdout(stdout).on_error(sink).begin();
    rpc.call(Job::Print("one\ntwo\nthree".into()))
        .wait()
        .unwrap()
        .unwrap();
    rpc.join().wait().unwrap();
    assert_eq!(
        lines.try_iter().collect::<Vec<_>>(),
        ["one", "two", "three"]
    );
    let errors: Vec<_> = errors.try_iter().collect();
    assert_eq!(errors.len(), 1);
    assert_error!(errors[0], is_callback_panic, "I do not like it");
}

/// A handler of lines is a callback: it may make calls and wait, and runs on the thread of the child's callbacks.
#[test]
fn a_handler_that_calls() {
    let _guard = guard();
    let (sink, came) = sink();
    let own: std::sync::Arc<std::sync::OnceLock<Work>> = std::sync::Arc::default();
    let rpc = std::sync::Arc::clone(&own);
    let lines = sink.clone();
    let stdout = Stdio::lines(move |line| {
        let answer = rpc.get().unwrap().call(echo(line)).wait().unwrap();
        lines((answer.unwrap(), std::thread::current().id()));
    });
    let event = move |n: u32| sink((n.to_string(), std::thread::current().id()));
    let rpc = WORK.builder().stdout(stdout).on_event(event).begin();
    own.set(rpc.clone()).unwrap();
    let both = both(Job::Print("line".into()), Job::Events(7, 8));
    rpc.call(both).wait().unwrap().unwrap();
    let [one, two] = [came.recv().unwrap(), came.recv().unwrap()];
    assert_eq!(one.1, two.1);
    let mut texts = [one.0, two.0];
    texts.sort();
    assert_eq!(texts, ["7", "line"]);
    // The handler holds a handle, so the last handle is never dropped.
    rpc.kill();
    drop(rpc);
}

#[test]
fn lines_of_a_pool() {
    let _guard = guard();
    let (sink, lines) = sink();
    let stdout = Stdio::lines(move |line| sink(line.to_owned()));
    let pool = WORK
        .builder()
        .stdout(stdout)
        .pool()
        .max_calls(1)
        .max(2)
        .begin();
    let job = |n: u32| pool.call(Job::Print(n.to_string()));
    answers((0..10).map(job));
    pool.join().wait().unwrap();
    let mut all: Vec<u32> = lines.try_iter().map(|line| line.parse().unwrap()).collect();
    all.sort();
    assert!(all.into_iter().eq(0..10));
}

#[test]
fn no_lines_of_stdin() {
    let _guard = guard();
    let rpc = WORK.builder().stdin(Stdio::lines(|_| ())).spawn();
    assert_error!(rpc.unwrap_err(), is_start, "stdin");
}
