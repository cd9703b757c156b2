//! Ctrl-C at a terminal (X50).

use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::pty::openpty;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::unistd::setsid;

use crate::support::*;

static HEARD: AtomicBool = AtomicBool::new(false);

extern "C" fn hear(_: i32) {
    HEARD.store(true, Ordering::Relaxed);
}

/// A program that finishes its call after Ctrl-C. The terminal on its stdin becomes its controlling terminal, and it
/// calls a child that waits at the gate.
fn program(policy: &str, gate: &str) {
    setsid().unwrap();
    // SAFETY: the call takes numbers, and stdin is the terminal.
    assert_eq!(unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) }, 0);
    let action = SigAction::new(
        SigHandler::Handler(hear),
        SaFlags::SA_RESTART,
        SigSet::empty(),
    );
    // SAFETY: the handler only stores to an atomic.
    unsafe { sigaction(Signal::SIGINT, &action) }.unwrap();
    let builder = WORK.builder().quiet();
    let rpc = match policy {
        "shared" => builder,
        "group" => builder.own_group(),
        "session" => builder.own_session(),
        other => unreachable!("{other}"),
    };
    let rpc = rpc.begin();
    let call = rpc.call(Job::Gate(gate.to_owned()));
    until(|| HEARD.load(Ordering::Relaxed));
    println!("it was heard");
    match call.wait() {
        Ok(answer) => println!("answer: {}", answer.unwrap()),
        Err(error) => {
            let signal = error.crash().unwrap().status().signal();
            println!("answer: signal {}", signal.unwrap());
        }
    }
    let _ = rpc.join().wait();
}

/// X50: Ctrl-C sends `SIGINT` to the foreground process group. The parent handles it and finishes; its child can finish
/// only if it is in another group.
#[test]
fn ctrl_c() {
    if let Some(told) = told() {
        let (policy, gate) = told.split_once(' ').unwrap();
        return program(policy, gate);
    }
    let _guard = guard();
    for (policy, answer) in [
        ("shared", "answer: signal 2"),
        ("group", "answer: done"),
        ("session", "answer: done"),
    ] {
        let gate = Gate::new();
        let pty = openpty(None, None).unwrap();
        let mut master = std::fs::File::from(pty.master);
        // `openpty` does not set close-on-exec.
        let inherited = nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC);
        nix::fcntl::fcntl(master.as_fd(), inherited).unwrap();
        let mut program = again(&ctrl_c, &format!("{policy} {}", gate.name()))
            .stdin(pty.slave)
            .stdout(Stdio::piped())
            .begin();
        let running = gate.reached();
        master.write_all(b"\x03").unwrap();
        let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
        let mut line = |start: &str| {
            let mut found = lines.by_ref().map_while(Result::ok);
            found.find_map(|line| line.find(start).map(|at| line[at..].to_owned()))
        };
        line("it was heard").unwrap();
        drop(running);
        assert_eq!(line("answer: ").as_deref(), Some(answer), "{policy}");
        assert!(program.wait().unwrap().success(), "{policy}");
    }
}
