//! The standard streams of a child: each kind, for each way to start it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write, read_to_string};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Command;

use offspring::Stdio;

use crate::support::*;

/// What the streams of a child of this builder are open to.
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

/// Whatever has a descriptor is one.
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

/// What was not said to be piped cannot be taken, and what is not taken is closed
/// with the handle.
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

/// Its stdin and stdout are the link.
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

/// The later of the two counts.
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

/// A descriptor is each child's; a pipe would be nobody's.
#[test]
fn streams_of_a_pool() {
    let _guard = guard();
    let piped = WORK.builder().stderr(Stdio::piped()).pool().spawn();
    let error = piped.unwrap_err();
    assert!(error.is_start(), "{error}");
    assert!(error.to_string().contains("stderr"), "{error}");
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
