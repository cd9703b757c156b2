//! Workers that close every file descriptor, as daemons do, and so the link.

use std::fs;

use offspring::{Events, worker};

use crate::support::*;

/// The jobs of the workers here.
fn act(jobs: &str, events: &Events<String>) -> String {
    for job in jobs.split(' ') {
        match job.split_once('=').unwrap_or((job, "")) {
            // SAFETY: the copy only calls async-signal-safe functions.
            ("fork", _) => unsafe {
                if libc::fork() == 0 {
                    libc::sleep(2);
                    libc::_exit(0);
                }
            },
            ("close", _) => {
                // SAFETY: the owners of these descriptors must tolerate it, which is the purpose of the test.
                let closed = unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
                assert_eq!(closed, 0);
            }
            // Reuses the closed numbers.
            ("open", _) => std::mem::forget(std::array::from_fn::<_, 30, _>(|_| {
                fs::File::open("/dev/null").unwrap()
            })),
            ("say", file) => {
                for n in 0..5 {
                    if events.send(n.to_string()).is_ok() {
                        append(file, &n.to_string());
                    }
                }
            }
            ("exit", _) => std::process::exit(7),
            _ => {}
        }
    }
    jobs.into()
}

worker!(BLOCKING: fn(String) -> String = |jobs: String, events: &Events<String>| act(&jobs, events), events = String);

#[cfg(feature = "concurrent")]
async fn act_at_once(jobs: String, events: &Events<String>) -> String {
    act(&jobs, events)
}

#[cfg(feature = "concurrent")]
worker!(AT_ONCE: fn(String) -> String = act_at_once, events = String);

macro_rules! both {
    ($check:ident) => {
        $check(|| BLOCKING.builder());
        #[cfg(feature = "concurrent")]
        $check(|| AT_ONCE.builder());
    };
}

type Builder = offspring::Builder<fn(String) -> String, offspring::Octets, String>;

/// X82: results that were finished before arrive, in order. No later result arrives after a lost one.
#[test]
fn finished_results_survive_the_closing_of_the_link() {
    let _guard = guard();
    fn check(builder: fn() -> Builder) {
        for closing in [
            "close",
            "fork close",
            "close open",
            "fork close open",
            "close exit",
        ] {
            for round in 0..rounds(20) {
                let rpc = builder().quiet().on_event(|_| ()).begin();
                rpc.ready().wait().unwrap();
                let jobs = ["a", "b", "c", closing, "d", "e"];
                let calls: Vec<_> = jobs.map(|jobs| rpc.call(jobs)).into();
                let answers: Vec<_> = calls
                    .into_iter()
                    .map(|call| quickly(|| call.wait().is_ok()))
                    .collect();
                let arrived = answers.iter().take_while(|arrived| **arrived).count();
                assert!(arrived >= 3, "{closing} {round}: {answers:?}");
                assert!(
                    !answers[arrived..].contains(&true),
                    "{closing} {round}: {answers:?}"
                );
                rpc.join().wait().unwrap();
            }
        }
    }
    both!(check);
}

/// X82: an event whose `send` succeeded arrives, and no other.
#[test]
fn events_around_the_closing_of_the_link() {
    let _guard = guard();
    fn check(builder: fn() -> Builder) {
        let temp = Temp::new();
        for closing in ["close", "fork close", "close open"] {
            for round in 0..rounds(10) {
                let (sender, receiver) = sink();
                let rpc = builder().quiet().on_event(sender).begin();
                rpc.ready().wait().unwrap();
                let name = format!("{closing} {round}").replace(' ', "-");
                let (before, after) = (
                    temp.path(&format!("{name}-before")),
                    temp.path(&format!("{name}-after")),
                );
                let jobs = format!("say={before} {closing} say={after}");
                let _ = quickly(|| rpc.call(&jobs).wait());
                rpc.join().wait().unwrap();
                let mut sent = temp.lines(&format!("{name}-before"));
                assert_eq!(sent.len(), 5);
                sent.extend(temp.lines(&format!("{name}-after")));
                let came: Vec<String> = receiver.into_iter().collect();
                // Events that were sent after the closing may be lost with the child.
                assert!(came.len() >= 5, "{closing} {round}: {came:?} of {sent:?}");
                assert!(
                    sent.starts_with(&came),
                    "{closing} {round}: {came:?} of {sent:?}"
                );
            }
        }
    }
    both!(check);
}
