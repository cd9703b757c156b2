//! The end of a child in every stage, and the errors of its callers.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::time::Duration;

use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::unistd::Pid;
use offspring::{Error, ExitStatus, Started, Template, preload, worker};

use crate::start::STATEFUL;
use crate::support::*;

#[track_caller]
fn is_dead(error: &Error, signal: Option<i32>, started: Started) {
    let crash = error.crash().unwrap_or_else(|| panic!("{error}"));
    assert_eq!(crash.status().signal(), signal, "{error}");
    assert_eq!(error.started(), started, "{error}");
}

const KILLED: Option<i32> = Some(libc::SIGKILL);

fn line(temp: &Temp, text: impl ToString) -> Job {
    Job::Append(temp.path("file"), text.to_string())
}

/// X1, G2, G3, G5: the finished calls keep their answers, the running one had
/// started, those behind had not.
#[test]
fn killed_in_the_middle_of_a_call() {
    let _guard = guard();
    let (temp, gate) = Temp::with_gate();
    let (told, errors) = sink();
    let rpc = WORK.builder().on_error(told).begin();
    let calls: Vec<_> = (0..100)
        .map(|n| match n {
            30 => rpc.call(both(line(&temp, n), Job::Gate(gate.name()))),
            _ => rpc.call(line(&temp, n)),
        })
        .collect();
    let _open = gate.reached();
    kill_process(rpc.pid().unwrap());
    quickly(|| {
        for (n, call) in calls.into_iter().enumerate() {
            let outcome = call.wait();
            match n {
                0..30 => assert_eq!(outcome.unwrap(), Ok("done".into())),
                30 => is_dead(&outcome.unwrap_err(), KILLED, Started::Yes),
                _ => is_dead(&outcome.unwrap_err(), KILLED, Started::No),
            }
        }
    });
    let all: Vec<_> = (0..=30).map(|n: u32| n.to_string()).collect();
    assert_eq!(temp.lines("file"), all);
    is_dead(
        &rpc.call(Job::Arguments).wait().unwrap_err(),
        KILLED,
        Started::No,
    );
    assert_eq!(rpc.join().wait().unwrap().signal(), KILLED);
    let errors: Vec<_> = errors.iter().collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].is_child_dead());
}

/// Over stdin and stdout `started` is unknown for the first call. The next call, which runs only after it, had not started.
#[test]
fn killed_over_stdin_and_stdout() {
    let _guard = guard();
    let (temp, gate) = Temp::with_gate();
    let rpc = WORK.command(serving("work")).quiet().begin();
    let before = rpc.call(line(&temp, "before"));
    let fatal = rpc.call(Job::Gate(gate.name()));
    let behind = rpc.call(line(&temp, "behind"));
    let _open = gate.reached();
    kill_process(rpc.pid().unwrap());
    assert_eq!(before.wait().unwrap(), Ok("done".into()));
    is_dead(&fatal.wait().unwrap_err(), KILLED, Started::Unknown);
    let error = behind.wait().unwrap_err();
    assert!(error.is_child_dead() && error.started() != Started::Yes);
    assert_eq!(temp.lines("file"), ["before"]);
}

/// The plain form has no word for a failed call: the child goes.
#[test]
fn a_panic_in_the_plain_form() {
    let _guard = guard();
    let rpc = TEXT_PANICS.command(serving("panics")).plain();
    let rpc = rpc.stderr(offspring::Stdio::null()).quiet().begin();
    assert_eq!(rpc.call("fine").wait().unwrap(), ["fine"]);
    let (one, two) = (rpc.call("panic"), rpc.call("two"));
    let error = one.wait().unwrap_err();
    assert_eq!(error.crash().unwrap().status().code(), Some(101), "{error}");
    assert_eq!(error.started(), Started::Unknown);
    assert_eq!(
        two.wait().unwrap_err().crash().unwrap().status().code(),
        Some(101)
    );
    assert_eq!(rpc.join().wait().unwrap().code(), Some(101));
}

worker!(pub(crate) TEXT_PANICS: fn(String) -> Vec<String> = |text: String| {
    assert!(text != "panic", "as asked");
    vec![text]
});

/// X1, X14: killed while idle; the next call did not run.
#[test]
fn killed_while_idle() {
    let _guard = guard();
    for waits in [false, true] {
        let (told, errors) = channel();
        let rpc = TEXT.builder();
        let rpc = rpc.on_error(move |error| told.send(error).unwrap()).begin();
        assert_eq!(rpc.call("a").wait().unwrap(), "a");
        let pid = rpc.pid().unwrap();
        kill_process(pid);
        if waits {
            // No thread waits, and still the child is reaped and reported.
            until(|| !is_alive(pid));
            assert!(errors.recv().unwrap().is_child_dead());
            assert!(children().is_empty());
        }
        let error = quickly(|| rpc.call("b").wait().unwrap_err());
        is_dead(&error, KILLED, Started::No);
        rpc.join().wait().unwrap();
    }
}

/// X1: in `init`, and before hello.
#[test]
fn killed_before_it_is_ready() {
    let _guard = guard();
    let gate = Gate::new();
    let rpc = STATEFUL.init("wait", gate.name().as_str()).on_event(|_| ());
    let rpc = rpc.quiet().begin();
    let calls: Vec<_> = (0..10).map(|_| rpc.call("x")).collect();
    let _open = gate.reached();
    kill_process(rpc.pid().unwrap());
    quickly(|| {
        for call in calls {
            is_dead(&call.wait().unwrap_err(), KILLED, Started::No);
        }
    });
    rpc.join().wait().unwrap();

    let rpc = WORK.program(serving("silence")).begin();
    let calls: Vec<_> = (0..10).map(|_| rpc.call(Job::Arguments)).collect();
    kill_process(rpc.pid().unwrap());
    quickly(|| {
        for call in calls {
            let error = call.wait().unwrap_err();
            assert_error!(error, is_handshake, started = No, "SIGKILL");
        }
    });
    assert!(rpc.join().wait().is_err());
}

/// X1: killed when half of a request is written, or half of an answer is read.
#[test]
fn killed_in_the_middle_of_bytes() {
    let _guard = guard();
    let (temp, gate) = Temp::with_gate();
    let rpc = WORK.builder().quiet().begin();
    let running = rpc.call(Job::Gate(gate.name()));
    let _open = gate.reached();
    let large = rpc.call(Job::Len("x".repeat(8 << 20)));
    kill_process(rpc.pid().unwrap());
    quickly(|| {
        is_dead(&running.wait().unwrap_err(), KILLED, Started::Yes);
        is_dead(&large.wait().unwrap_err(), KILLED, Started::No);
    });
    rpc.join().wait().unwrap();

    // An answer that does not fit into the link, while no thread reads.
    let two = temp.gate("two");
    let rpc = WORK.builder().quiet().begin();
    let large = rpc.call(both(Job::Gate(two.name()), Job::Make(8 << 20)));
    drop(two.reached());
    kill_process(rpc.pid().unwrap());
    if let Err(error) = quickly(|| large.wait()) {
        is_dead(&error, KILLED, Started::Yes);
    }
}

/// X2, X56: an exit with code 0 inside a call is no clean end, also without unwinding.
#[test]
fn exit_in_a_call() {
    let _guard = guard();
    let signal = |number| Err([number; 2]);
    let ends = [
        (Job::Exit(0), Ok(0)),
        (Job::Exit(1), Ok(1)),
        (Job::Exit(77), Ok(77)),
        (Job::Abort, signal(libc::SIGABRT)),
        (Job::DoublePanic, signal(libc::SIGABRT)),
        (Job::NoMemory, signal(libc::SIGABRT)),
        (Job::KillSelf, signal(libc::SIGKILL)),
        // Before `main` the standard library does not explain it.
        (Job::Overflow, Err([libc::SIGABRT, libc::SIGSEGV])),
    ];
    in_each_way(|way, children| {
        for (job, end) in &ends {
            let (tell, errors) = sink();
            let children = children().capture_stderr(10_000);
            let rpc = children.on_error(tell);
            let rpc = rpc.begin();
            let (fatal, behind) = (rpc.call(job), rpc.call(Job::Arguments));
            let error = quickly(|| fatal.wait().unwrap_err());
            assert_error!(error, is_child_dead, started = Yes);
            let status = error.crash().unwrap().status();
            match end {
                Ok(code) => {
                    assert_eq!(status, ExitStatus::Code(*code), "{way}: {error}");
                    let words = format!("exited with code {code}");
                    assert!(error.to_string().contains(&words), "{way}: {error}");
                }
                Err(signals) => {
                    let signal = status.signal().unwrap();
                    assert!(signals.contains(&signal), "{way}: {error}");
                }
            }
            assert_error!(behind.wait().unwrap_err(), is_child_dead, started = No);
            assert!(errors.recv().unwrap().is_child_dead());
            assert_eq!(rpc.join().wait().unwrap(), status, "{way}");
        }
    });
}

/// G5: at the other end of a socket is a process that this one cannot end. What is said not to have started does not run
/// when that process goes on.
#[test]
fn what_a_socket_has_does_not_run_after_the_link_is_cut() {
    let _guard = guard();
    let temp = Temp::new();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let theirs = OwnedFd::from(theirs);
    let mut child = serving("work")
        .stdin(theirs.try_clone().unwrap())
        .stdout(theirs)
        .stderr(Stdio::null())
        .begin();
    // With rings always: without them a worker at a socket counts nothing.
    let rpc = WORK.builder().socket(ours).quiet().spawn().unwrap();
    rpc.ready().wait().unwrap();
    stop(child.id());
    let mut call = rpc.call(Job::Append(temp.path("file"), "ran".into()));
    // A thread that waits sends first.
    let error = call.wait_timeout(Duration::from_millis(10)).unwrap_err();
    assert_error!(error, is_timeout, started = No);
    rpc.kill();
    assert_error!(call.wait().unwrap_err(), is_child_dead, started = No);
    kill(Pid::from_raw(child.id() as i32), Signal::SIGCONT).unwrap();
    child.wait().unwrap();
    assert!(temp.lines("file").is_empty());
}

/// X3: a grandchild holds the link open, so its end never comes. Only the exit tells.
#[test]
fn a_grandchild_holds_the_link() {
    let _guard = guard();
    for waits in [false, true] {
        let gate = Gate::new();
        let rpc = WORK.builder().quiet().begin();
        let grandchild: u32 = rpc
            .call(Job::Grandchild)
            .wait()
            .unwrap()
            .unwrap()
            .parse()
            .unwrap();
        let echo = rpc.call(echo("finished"));
        let call = rpc.call(Job::Gate(gate.name()));
        let behind = rpc.call(Job::Arguments);
        let _open = gate.reached();
        let pid = rpc.pid().unwrap();
        let (call, behind) = quickly(|| {
            if waits {
                // A thread blocks in a read at that moment.
                let waiting = std::thread::spawn(move || call.wait());
                kill_process(pid);
                (waiting.join().unwrap(), behind.wait())
            } else {
                kill_process(pid);
                (call.wait(), behind.wait())
            }
        });
        assert!(is_alive(grandchild));
        is_dead(&call.unwrap_err(), KILLED, Started::Yes);
        is_dead(&behind.unwrap_err(), KILLED, Started::No);
        assert_eq!(echo.wait().unwrap(), Ok("finished".into()));
        quickly(|| rpc.join().wait().unwrap());
        kill_process(grandchild);
    }
}

/// X3: the same behind a command, whose link is two pipes, which cannot be shut. A thread waits, or the reactor reads.
#[test]
fn a_grandchild_holds_the_pipes_of_a_command() {
    let _guard = guard();
    for waits in [true, false] {
        let gate = Gate::new();
        let rpc = WORK.command(serving("work")).quiet().begin();
        let grandchild = rpc.call(Job::Grandchild).wait().unwrap().unwrap();
        let grandchild: u32 = grandchild.parse().unwrap();
        let call = rpc.call(Job::Gate(gate.name()));
        let _open = gate.reached();
        let (sender, receiver) = std::sync::mpsc::channel();
        let waiting = if waits {
            let wait = move || sender.send(call.wait()).unwrap();
            Some(std::thread::spawn(wait))
        } else {
            call.on_done(move |outcome| sender.send(outcome).unwrap());
            None
        };
        kill_process(rpc.pid().unwrap());
        let error = quickly(|| receiver.recv().unwrap().unwrap_err());
        is_dead(&error, KILLED, Started::Unknown);
        assert!(is_alive(grandchild));
        waiting
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        quickly(|| rpc.join().wait().unwrap());
        kill_process(grandchild);
    }
}

/// X3: the same at the end of a child without calls: `join` waits for its exit, too.
#[test]
fn a_grandchild_holds_the_link_of_a_child_that_ends() {
    let _guard = guard();
    let rpc = WORK.spawn().unwrap();
    let grandchild = rpc.call(Job::Grandchild).wait().unwrap().unwrap();
    let grandchild: u32 = grandchild.parse().unwrap();
    assert!(quickly(|| rpc.join().wait().unwrap()).success());
    assert!(is_alive(grandchild));
    kill_process(grandchild);
}

/// The thread in `join` watches the exit, and the reactor does so again after the thread gave up.
#[test]
fn an_end_that_no_thread_waits_for_any_more() {
    let _guard = guard();
    let rpc = WORK.spawn().unwrap();
    rpc.call(Job::Arguments).wait().unwrap().unwrap();
    let pid = Pid::from_raw(rpc.pid().unwrap() as i32);
    kill(pid, Signal::SIGSTOP).unwrap();
    let mut join = rpc.join();
    let error = join.wait_timeout(Duration::from_millis(50)).unwrap_err();
    assert!(error.is_timeout(), "{error}");
    kill(pid, Signal::SIGCONT).unwrap();
    until(|| children().is_empty());
    assert!(join.wait().unwrap().success());
}

/// X3: the child closes its link but lives on. Only the end of input tells, and the child must exit.
#[test]
fn a_child_that_closes_its_link() {
    let _guard = guard();
    let rpc = WORK.builder().quiet().begin();
    let call = rpc.call(Job::CloseLink);
    let behind = rpc.call(Job::Arguments);
    let error = quickly(|| call.wait().unwrap_err());
    is_dead(&error, KILLED, Started::Yes);
    assert!(error.to_string().contains("closed the link"), "{error}");
    is_dead(&behind.wait().unwrap_err(), KILLED, Started::No);
}

/// X81: exit, end of stream and violation come in any order, and the child ends once: the guard checks that no descriptor
/// and no thread is left. The grandchild holds the link open, so the waiting thread reads the end of the stream only after
/// the reactor has seen the exit.
#[test]
fn garbage_behind_the_last_frame() {
    let _guard = guard();
    let garbage: [&[u8]; 5] = [
        // A kind that does not exist; an answer to a call that was never made.
        b"\x70\0\0\x01\0\0\0\0",
        b"\0\0\xff\xff\0\0\0\0",
        // Parts of a frame, behind which the bytes of the last answers come from the ring.
        b"\x70",
        b"\x70\0\0\x01",
        b"\0\0\0\x09\0\0\0\x01",
    ];
    for round in 0..20 {
        let gate = Gate::new();
        let rpc = WORK.builder().quiet().begin();
        let grandchild = rpc.call(Job::Grandchild).wait().unwrap().unwrap();
        let first = rpc.call(Job::Gate(gate.name()));
        let open = gate.reached();
        // The child reads these at once, so the answers stay in the ring.
        let answered: Vec<_> = (0..round % 3).map(|_| rpc.call(echo("so"))).collect();
        let bytes = garbage[round % garbage.len()].to_vec();
        let crashes = round % 4 == 0;
        let mut last = rpc.call(Job::Garbage(bytes, crashes));
        let behind = rpc.call(echo("not run"));
        assert!(last.wait_timeout(Duration::from_millis(1)).is_err());
        drop(open);
        quickly(|| {
            let error = last.wait().unwrap_err();
            // The crash is reported, unless the child was killed for the garbage before.
            let aborted = error.crash().and_then(|crash| crash.status().signal());
            assert!(
                error.is_protocol() || !crashes || aborted == Some(libc::SIGABRT),
                "{error}"
            );
            assert!(behind.wait().is_err());
            assert_eq!(first.wait().unwrap(), Ok("done".into()));
            // Bytes behind garbage are no answer.
            answered.into_iter().for_each(|call| drop(call.wait()));
            let _ = rpc.join().wait();
        });
        kill_process(grandchild.parse().unwrap());
    }
}

/// X4, X48: a finished answer is not lost with the process.
#[test]
fn answer_and_exit() {
    let _guard = guard();
    for n in 0..rounds(200) {
        let rpc = WORK.builder().quiet().begin();
        let calls: Vec<_> = (0..5).map(|_| rpc.call(echo("finished"))).collect();
        let last = match n % 4 {
            0 => rpc.call(Job::Exit(0)),
            1 => rpc.call(Job::KillSelf),
            2 => rpc.call(Job::ExitSoon(3)),
            _ => rpc.call(Job::Abort),
        };
        if n % 3 == 0 {
            // No thread reads before the child has exited.
            until(|| !is_alive(rpc.pid().unwrap()));
        }
        for call in calls {
            assert_eq!(call.wait().unwrap(), Ok("finished".into()));
        }
        let outcome = last.wait();
        assert!(n % 4 == 2 || outcome.unwrap_err().is_child_dead());
        rpc.join().wait().unwrap();
    }
}

worker!(MAKE: fn(String) -> String = |bytes: String| match bytes.parse() {
    Ok(bytes) => "x".repeat(bytes),
    Err(_) => std::process::exit(0),
});

/// X48.
#[test]
fn a_large_answer_and_exit() {
    let _guard = guard();
    for _ in 0..rounds(10) {
        let rpc = MAKE.builder().quiet().begin();
        let (large, exit) = (rpc.call("10000000"), rpc.call("exit"));
        assert_eq!(large.wait().unwrap().len(), 10_000_000);
        assert!(exit.wait().unwrap_err().is_child_dead());
        rpc.join().wait().unwrap();
    }
}

/// G3 for events.
#[test]
fn events_and_exit() {
    let _guard = guard();
    for n in 0..rounds(40) {
        let (rpc, events) = WORK.builder().quiet().spawn_with_events().unwrap();
        let end = if n % 2 == 0 {
            Job::KillSelf
        } else {
            Job::Exit(1)
        };
        let call = rpc.call(both(Job::Events(0, 100), end));
        assert!(call.wait().unwrap_err().is_child_dead());
        let events: Vec<_> = events.into_iter().map(Result::unwrap).collect();
        assert_eq!(events, (0..100).collect::<Vec<_>>());
        rpc.join().wait().unwrap();
    }
}

/// X16: each call has a separate error.
#[test]
fn errors_are_per_call() {
    let _guard = guard();
    let rpc = WORK.builder().quiet().begin();
    let (one, two, three) = (
        rpc.call(Job::KillSelf),
        rpc.call(Job::Arguments),
        rpc.call(Job::Arguments),
    );
    let errors = [one, two, three].map(|call| call.wait().unwrap_err());
    assert_eq!(errors[0].started(), Started::Yes);
    assert_eq!(errors[1].started(), Started::No);
    assert_eq!(errors[2].started(), Started::No);
}

/// X26: with `SIGCHLD` ignored the exit status is unknown, and no call hangs.
#[test]
fn sigchld_is_ignored() {
    alone(|| {
        // SAFETY: no handler runs for an ignored signal.
        unsafe { signal(Signal::SIGCHLD, SigHandler::SigIgn) }.unwrap();
        let _guard = guard();
        foreign_reaper();
    });
}

/// X27: the same with other code that reaps every child.
#[test]
fn another_thread_reaps() {
    alone(|| {
        std::thread::spawn(|| {
            loop {
                let _ = nix::sys::wait::waitpid(None::<nix::unistd::Pid>, None);
                std::thread::yield_now();
            }
        });
        let _guard = guard();
        for _ in 0..20 {
            foreign_reaper();
        }
    });
}

fn foreign_reaper() {
    in_each_way(|way, children| {
        let rpc = children().begin();
        echoes(&rpc, "a");
        let status = quickly(|| rpc.join().wait().unwrap());
        let known = [ExitStatus::Unknown, ExitStatus::Code(0)].contains(&status);
        assert!(known, "{way}: {status}");

        let rpc = children().quiet().begin();
        let (fatal, behind) = (rpc.call(Job::KillSelf), rpc.call(Job::Arguments));
        let error = quickly(|| fatal.wait().unwrap_err());
        let status = error.crash().unwrap().status();
        let known = status == ExitStatus::Unknown || status.signal() == KILLED;
        assert!(known, "{way}: {error}");
        assert_eq!(error.started(), Started::Yes);
        assert_eq!(behind.wait().unwrap_err().started(), Started::No);
        rpc.join().wait().unwrap();

        let rpc = children().quiet().begin();
        rpc.ready().wait().unwrap();
        rpc.kill();
        quickly(|| rpc.join().wait().unwrap());
    });
    // The exit status of a template is unknown, too.
    let template = Template::builder().start().unwrap();
    template.ready().wait().unwrap();
    kill_process(template.pid().unwrap());
    echoes(&WORK.template(&template).begin(), "so");
}

/// X28: a reaped child is not signalled, although another process may have its process id.
#[test]
fn kill_after_the_end() {
    let _guard = guard();
    let rpc = WORK.builder().quiet().begin();
    let clone = rpc.clone();
    assert!(rpc.call(Job::Exit(3)).wait().is_err());
    let join = rpc.join();
    assert_eq!(join.wait().unwrap().code(), Some(3));
    clone.kill();
    assert_eq!(clone.join().wait().unwrap().code(), Some(3));
}

/// X46: more than a pipe holds, in one line: the tail is kept.
#[test]
fn stderr_is_captured() {
    let _guard = guard();
    let rpc = WORK.builder().capture_stderr(100).quiet().begin();
    let text = "e".repeat(1 << 20);
    assert_eq!(
        rpc.call(Job::Complain(text)).wait().unwrap(),
        Ok("done".into())
    );
    for n in 0..1000 {
        rpc.call(Job::Complain(format!("line {n}")))
            .wait()
            .unwrap()
            .unwrap();
    }
    let error = rpc
        .call(both(Job::Complain("the last words".into()), Job::Abort))
        .wait()
        .unwrap_err();
    let tail = error.crash().unwrap().stderr_tail();
    assert_eq!(tail.len(), 100);
    assert!(tail.ends_with(b"line 999\nthe last words\n"), "{error}");
    assert!(error.to_string().contains("the last words"), "{error}");
}

/// X46: the reader of stderr has closed it.
#[test]
fn stderr_is_closed() {
    let _guard = guard();
    let (ours, theirs) = UnixStream::pair().unwrap();
    drop(ours);
    let rpc = WORK.builder().stderr(OwnedFd::from(theirs)).quiet().begin();
    let error = rpc.call(Job::Panic("unheard".into())).wait().unwrap_err();
    assert!(error.is_panic(), "{error}");
    echoes(&rpc, "on");
}

/// The text of a panic is in the error, the rest of stderr in the report.
#[test]
fn a_report_names_worker_and_process() {
    let _guard = guard();
    let rpc = WORK.builder().quiet().begin();
    let pid = rpc.pid().unwrap();
    let error = rpc.call(Job::KillSelf).wait().unwrap_err();
    let crash = error.crash().unwrap();
    assert!(crash.worker().ends_with("::WORK"));
    assert_eq!(crash.pid(), Some(pid));
    assert!(crash.stderr_tail().is_empty());
    let text = error.to_string();
    assert!(
        text.contains("SIGKILL") && text.contains(&pid.to_string()),
        "{text}"
    );
}

/// X51: a child is terminated, then killed, in bounded time.
#[test]
fn join_within() {
    let _guard = guard();
    let temp = Temp::new();
    // A call that never ends, which `SIGTERM` ends.
    let gate = temp.gate("one");
    let rpc = WORK.builder().quiet().begin();
    let call = rpc.call(Job::Gate(gate.name()));
    let open = gate.reached();
    let status = quickly(|| rpc.join().within(Duration::from_millis(10)).wait().unwrap());
    assert_eq!(status.signal(), Some(libc::SIGTERM));
    is_dead(&call.wait().unwrap_err(), Some(libc::SIGTERM), Started::Yes);
    drop(open);

    // A child that ignores `SIGTERM`.
    let rpc = WORK.builder().quiet().begin();
    let call = rpc.call(both(Job::IgnoreTerm, Job::Spin));
    rpc.ready().wait().unwrap();
    let status = quickly(|| rpc.join().within(Duration::from_millis(10)).wait().unwrap());
    assert!(
        matches!(status.signal(), Some(libc::SIGTERM | libc::SIGKILL)),
        "{status}"
    );
    assert!(call.wait().unwrap_err().is_child_dead());

    // A stopped child, which only `SIGKILL` reaches.
    let rpc = WORK.builder().quiet().begin();
    let call = rpc.call(Job::Stop);
    until(|| stat(rpc.pid().unwrap()).is_some_and(|(state, _)| state == 'T'));
    let status = quickly(|| rpc.join().within(Duration::ZERO).wait().unwrap());
    assert_eq!(status.signal(), KILLED);
    assert!(call.wait().unwrap_err().is_child_dead());

    // A child that exits in time is not killed.
    let rpc = TEXT.spawn().unwrap();
    assert!(
        rpc.join()
            .within(limit(Duration::from_secs(30)))
            .wait()
            .unwrap()
            .success()
    );
    // A time limit beyond the range of the clock.
    let rpc = TEXT.builder().hello_timeout(Duration::MAX).begin();
    assert!(rpc.join().within(Duration::MAX).wait().unwrap().success());
}

// --- the parent dies ---

preload!(SLOW(String) -> () = |gate: String| { wait_at(gate); Ok::<_, String>(()) });

/// X49: the job of a process between, which the test kills. It prints the id of its child, or of its template.
fn middle(way: &str, gate: &str, file: &str) -> ! {
    if ["ready", "preloading"].contains(&way) {
        let builder = Template::builder();
        let builder = builder.when(way == "preloading", |own| own.preload(SLOW.with(gate)));
        let template = builder.start().unwrap();
        if way == "ready" {
            template.ready().wait().unwrap();
        }
        println!("child {}", template.pid().unwrap());
        loop {
            std::thread::park();
        }
    }
    let builder = WORK.on_event(|_| ());
    let builder = builder.when(way == "at-once", |own| own.exit_with_parent());
    let rpc = builder.begin();
    rpc.ready().wait().unwrap();
    println!("child {}", rpc.pid().unwrap());
    let last = Job::Append(file.into(), "finished".into());
    let busy = rpc.call(both(Job::LonelyGate(gate.into()), last));
    let _ = busy.wait();
    unreachable!("it is killed before");
}

/// G6: without its parent a child finishes its call, or exits at once with `exit_with_parent`, as a template always does.
#[test]
fn the_parent_is_killed() {
    if let Some(told) = told() {
        let told: Vec<_> = told.split(' ').collect();
        middle(told[0], told[1], told[2]);
    }
    let _guard = guard();
    for way in ["ready", "preloading", "at-once", "after-the-call"] {
        let (temp, gate) = Temp::with_gate();
        let told = format!("{way} {} {}", gate.name(), temp.path("file"));
        let mut middle = Middle::start(&the_parent_is_killed, &told);
        let child = middle.says("child ")[0];
        let open = (way != "ready").then(|| gate.reached());
        assert!(is_alive(child));
        middle.kill();
        let finishes = way == "after-the-call";
        if !finishes {
            quickly(|| until(|| !is_alive(child)));
        }
        drop(open);
        quickly(|| until(|| !is_alive(child)));
        assert_eq!(temp.lines("file").len(), usize::from(finishes), "{way}");
    }
}
