//! Children on other machines: a real `ssh` to a real `sshd`.

use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use offspring::{Limits, Started};

use crate::site::{Site, serve};
use crate::support::*;

/// The startup files of the user's shell are not read: they may take a lock in the home folder, which a cut connection
/// leaves behind.
pub(crate) fn no_file_of_the_users_is_read() {
    let _guard = guard();
    let site = Site::new();
    let host = site.host();
    let output = host.ssh("echo \"$HOME\"").output().unwrap();
    let home = String::from_utf8(output.stdout).unwrap();
    assert_eq!(home.trim_end(), host.home());
}

pub(crate) fn calls_and_events() {
    let _guard = guard();
    let site = Site::new();
    let host = site.host();
    let (sender, events) = sink();
    let rpc = WORK.command(host.worker("work")).on_event(sender).begin();
    rpc.ready().wait().unwrap();
    let calls: Vec<_> = (0..200).map(|n| (n, rpc.call(echo(n)))).collect();
    for (n, call) in calls.into_iter().rev() {
        assert_eq!(call.wait().unwrap(), Ok(n.to_string()));
    }
    rpc.call(Job::Events(0, 1000)).wait().unwrap().unwrap();
    assert_eq!(
        events.try_iter().collect::<Vec<_>>(),
        Vec::from_iter(0..1000)
    );
    // Its output goes to stderr, and its stdin is empty.
    rpc.call(Job::Print("noise".into()))
        .wait()
        .unwrap()
        .unwrap();
    assert_eq!(rpc.call(Job::ReadStdin).wait().unwrap(), Ok(String::new()));
    let panic = rpc.call(Job::Panic("far away".into())).wait().unwrap_err();
    assert_eq!(panic.panic().unwrap().message(), "far away");
    echoes(&rpc, "still");
    assert!(rpc.join().wait().unwrap().success());
}

pub(crate) fn large_payloads() {
    let _guard = guard();
    let site = Site::new();
    let host = site.host();
    let rpc = TEXTS.command(host.worker("texts")).begin();
    let large = "0123456789abcdef".repeat(64 << 16);
    assert_eq!(large.len(), 64 << 20);
    assert!(rpc.call(&large).wait().unwrap() == large);
    assert!(rpc.join().wait().unwrap().success());
}

/// The exit status of the worker is seen here, as far as `ssh` reports it.
pub(crate) fn a_worker_that_ends() {
    let _guard = guard();
    let site = Site::new();
    let host = site.host();
    for (job, code) in [(Job::Exit(7), 7), (Job::KillSelf, 255)] {
        let rpc = WORK.command(host.worker("work")).quiet().spawn();
        let rpc = rpc.unwrap();
        rpc.ready().wait().unwrap();
        let (first, second) = (rpc.call(job), rpc.call(echo("never")));
        let error = quickly(|| first.wait().unwrap_err());
        assert!(error.is_child_dead(), "{error}");
        assert_eq!(error.crash().unwrap().status().code(), Some(code));
        // An answer may be lost with the connection, so the second call may have begun.
        assert_eq!(error.started(), Started::Unknown);
        assert_eq!(second.wait().unwrap_err().started(), Started::Unknown);
        rpc.join().wait().unwrap();
    }
}

pub(crate) fn a_banner_on_stderr_does_no_harm() {
    let _guard = guard();
    let site = Site::new();
    let host = site.host();
    let banner = host.write("banner", "Welcome, and mind the step.\n");
    host.configure(&format!("Banner {banner}"));
    let worker = format!("echo 'Today is a good day.' >&2; {}", serve("work"));
    let rpc = WORK.command(host.ssh(&worker)).capture_stderr(10_000);
    let rpc = rpc.quiet().begin();
    echoes(&rpc, "so");
    let error = rpc.call(Job::Exit(1)).wait().unwrap_err().to_string();
    for words in ["Welcome, and mind the step.", "Today is a good day."] {
        assert!(error.contains(words), "{error}");
    }
}

pub(crate) fn a_banner_on_stdout_is_shown() {
    let _guard = guard();
    let site = Site::new();
    let host = site.host();
    let worker = format!("echo 'Welcome, and mind the step.'; {}", serve("work"));
    let rpc = WORK.command(host.ssh(&worker)).quiet().spawn();
    let rpc = rpc.unwrap();
    let error = quickly(|| rpc.call(echo("x")).wait().unwrap_err());
    assert_error!(error, is_handshake, started = Unknown);
    let text = error.to_string();
    assert!(text.contains("instead of a hello came"), "{text}");
    assert!(text.contains("Welcome, and mind"), "{text}");
    let _ = rpc.join().wait();
}

pub(crate) fn a_connection_cut_in_the_middle_of_a_call() {
    let _guard = guard();
    let site = Site::new();
    let host = site.host();
    let gate = Gate::new();
    let rpc = WORK.command(host.worker("work")).quiet().spawn();
    let rpc = rpc.unwrap();
    let (first, second) = (rpc.call(Job::Gate(gate.name())), rpc.call(echo("never")));
    let _running = gate.reached();
    // Wait for its hello, which must not be lost with the connection.
    rpc.ready().wait().unwrap();
    host.cut();
    let error = quickly(|| first.wait().unwrap_err());
    assert_error!(error, is_child_dead, started = Unknown);
    assert_eq!(second.wait().unwrap_err().started(), Started::Unknown);
    assert!(rpc.call(echo("late")).wait().is_err());
    assert_eq!(rpc.join().wait().unwrap().code(), Some(255));
}

/// A connection is cut in the middle of large messages, in both directions.
pub(crate) fn a_connection_cut_in_the_middle_of_a_message() {
    let _guard = guard();
    let site = Site::new();
    let host = site.host();
    for job in [Job::Make(16 << 20), Job::Len("x".repeat(16 << 20))] {
        let rpc = WORK.command(host.worker("work")).quiet().spawn();
        let rpc = rpc.unwrap();
        rpc.ready().wait().unwrap();
        let mut call = rpc.call(job);
        // At any byte; the call may also be done before.
        let early = call.wait_timeout(Duration::from_millis(20));
        host.cut();
        if early.is_err() {
            let outcome = quickly(|| call.wait());
            assert!(outcome.is_ok() || outcome.unwrap_err().is_child_dead());
        }
        let error = quickly(|| rpc.call(echo("late")).wait().unwrap_err());
        assert!(error.is_child_dead(), "{error}");
        rpc.join().wait().unwrap();
    }
}

/// With `exit_with_parent` a worker exits at once when the connection is cut, also over `ssh`.
pub(crate) fn a_worker_goes_with_the_connection() {
    let _guard = guard();
    let site = Site::new();
    let host = site.host();
    let builder = WORK.command(host.worker("work")).exit_with_parent();
    let rpc = builder.quiet().begin();
    rpc.ready().wait().unwrap();
    let call = rpc.call(Job::Spin);
    host.cut();
    assert!(quickly(|| call.wait().unwrap_err()).is_child_dead());
    rpc.join().wait().unwrap();
    // The site waits until the worker has exited.
    quickly(|| drop(site));
}

/// A host stops responding: `ssh` has to detect it.
pub(crate) fn a_host_that_falls_silent() {
    let _guard = guard();
    let site = Site::new();
    let host = site.host();
    let options = ["ServerAliveInterval=1", "ServerAliveCountMax=1"];
    let ssh = host.ssh_with("user", &options, &serve("work"));
    let rpc = WORK.command(ssh).quiet().begin();
    echoes(&rpc, "so");
    host.signal(Signal::SIGSTOP);
    let error = rpc.call(echo("into the void")).wait().unwrap_err();
    assert!(error.is_child_dead(), "{error}");
    rpc.join().wait().unwrap();
    host.cut();
}

pub(crate) fn a_worker_of_another_version() {
    let _guard = guard();
    let site = Site::new();
    let host = site.host();
    let rpc = WORK.command(host.worker("later")).quiet().spawn();
    let rpc = rpc.unwrap();
    let error = quickly(|| rpc.call(echo("x")).wait().unwrap_err());
    assert_error!(error, is_handshake, started = Unknown, "version 2");
    let _ = rpc.join().wait();
}

pub(crate) fn a_key_that_is_refused() {
    let _guard = guard();
    let site = Site::new();
    let host = site.host();
    let ssh = host.ssh_with("stranger", &[], &serve("work"));
    let rpc = WORK.command(ssh).capture_stderr(10_000).quiet();
    let rpc = rpc.begin();
    let error = quickly(|| rpc.call(echo("x")).wait().unwrap_err());
    assert_error!(error, is_handshake, started = Unknown);
    let text = error.to_string();
    assert!(text.contains("exited with code 255"), "{text}");
    assert!(text.contains("Permission denied"), "{text}");
    let _ = rpc.join().wait();
}

pub(crate) fn limits_hold_there() {
    let _guard = guard();
    let site = Site::new();
    let host = site.host();
    let limits = Limits::new().memory(1 << 30).core_size(0);
    let builder = WORK.command(host.worker("work")).limits(limits);
    let rpc = builder.capture_stderr(100_000).quiet().spawn();
    let rpc = rpc.unwrap();
    echoes(&rpc, "so");
    let error = rpc.call(Job::Make(1 << 31)).wait().unwrap_err();
    assert_error!(error, is_child_dead, "memory allocation of");
}

/// A host of two is lost, and is reachable again.
pub(crate) fn hosts_come_and_go() {
    let _guard = guard();
    let site = Site::new();
    let (one, two) = (site.host(), site.host());
    let spawn = |host: &crate::site::Host| {
        let builder = WORK.command(host.worker("work")).capture_stderr(1000);
        builder.quiet().begin()
    };
    let (on_one, on_two) = (spawn(&one), spawn(&two));
    for rpc in [&on_one, &on_two] {
        echoes(rpc, "so");
    }
    one.down();
    assert!(quickly(|| on_one.call(echo("x")).wait().unwrap_err()).is_child_dead());
    echoes(&on_two, "so");
    let again = spawn(&one);
    let error = quickly(|| again.call(echo("x")).wait().unwrap_err());
    assert_error!(error, is_handshake, "this host is down");
    one.up();
    let back = spawn(&one);
    echoes(&back, "so");
    for rpc in [on_one, on_two, again, back] {
        let _ = rpc.join().wait();
    }
}

/// X74: a shell whose stdin is a socket reads the startup files of a remote login.
pub(crate) fn a_shell_reads_no_start_up_files() {
    let _guard = guard();
    let temp = Temp::new();
    append(temp.path(".bashrc"), "echo good morning");
    let mut bash = Command::new("bash");
    bash.args(["-c", &serve("texts")]);
    let rpc = TEXTS.command(bash).env("HOME", temp.path("."));
    let rpc = rpc.env_remove("SHLVL").begin();
    assert_eq!(rpc.call("x").wait().unwrap(), "x");
}
