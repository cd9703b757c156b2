//! Children behind what confines them, where this machine permits it.

use std::process::{Command, Stdio};

use crate::common::*;
use crate::site::skip;
use crate::work::{Job, WORK};

/// This command in front of a worker, unless it does not work here at all.
fn before(words: &[&str]) -> Option<Command> {
    let own = std::env::current_exe().unwrap();
    let with = |worker| {
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .arg(&own)
            .args(["--serve", worker]);
        command
    };
    match with("leave").stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => return Some(with("work")),
        Ok(output) => {
            let errors = String::from_utf8_lossy(&output.stderr);
            skip(words[0], errors.trim());
        }
        Err(error) => skip(words[0], &error.to_string()),
    }
    None
}

/// As a command, and as a program that is given a socket and more.
fn works_behind(words: &[&str]) {
    for as_command in [true, false] {
        let Some(command) = before(words) else {
            return;
        };
        let builder = if as_command {
            WORK.command(command)
        } else {
            WORK.program(command)
        };
        let rpc = builder.spawn().unwrap();
        let big = "x".repeat(1 << 20);
        assert_eq!(
            rpc.call(Job::Len(big)).wait().unwrap(),
            Ok("1048576".into())
        );
        assert_eq!(rpc.call(Job::ReadStdin).wait().unwrap(), Ok(String::new()));
        assert!(rpc.join().wait().unwrap().success());
    }
}

#[test]
fn bubblewrap() {
    let _guard = guard();
    works_behind(&[
        "bwrap",
        "--ro-bind",
        "/",
        "/",
        "--dev",
        "/dev",
        "--unshare-all",
        "--die-with-parent",
    ]);
}

/// A bare sandbox has no devices that could be opened.
#[test]
fn bubblewrap_without_devices() {
    let _guard = guard();
    works_behind(&["bwrap", "--ro-bind", "/", "/", "--unshare-all"]);
}

#[test]
fn unshare() {
    let _guard = guard();
    works_behind(&[
        "unshare",
        "--user",
        "--map-root-user",
        "--net",
        "--pid",
        "--fork",
        "--kill-child",
    ]);
}

#[test]
fn setpriv() {
    let _guard = guard();
    works_behind(&[
        "setpriv",
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
        "--no-new-privs",
    ]);
}

#[test]
fn sudo() {
    let _guard = guard();
    works_behind(&["sudo", "-n", "-u", "nobody"]);
}
