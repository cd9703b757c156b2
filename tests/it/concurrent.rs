//! The concurrent backend: many calls at once in one child.

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::sync::mpsc::channel;
use std::task::Poll;
use std::time::Duration;

use offspring::{Events, worker};
use serde::{Deserialize, Serialize};
use smol::Timer;

use crate::common::{Json, append, guard, wait_at};

/// What the worker of most tests here can be asked to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Job {
    Echo(String),
    /// Takes so many milliseconds.
    Sleep(u64),
    /// Is pending so many times, and ready at once each time.
    Yield(u32),
    Never,
    Panic(String),
    PanicLater(String),
    /// Never ends; its destructor writes a line into this file, and may panic.
    Held(String, bool),
    /// Waits at a gate, on the only thread.
    Gate(String),
    Exit(i32),
    Events(u32),
    Progress(u32),
    /// Starts a task and a timer that outlive the call.
    Leave,
    ThreadName,
}

worker!(MANY: fn(Job) -> String = many, events = u32, serialiser = Json);

async fn many(job: Job, events: &Events<u32>) -> String {
    match job {
        Job::Echo(text) => return text,
        Job::Sleep(time) => {
            Timer::after(Duration::from_millis(time)).await;
        }
        Job::Yield(times) => yield_now(times).await,
        Job::Never => pending().await,
        Job::Panic(text) => panic!("{text}"),
        Job::PanicLater(text) => {
            yield_now(1).await;
            panic!("{text}")
        }
        Job::Held(file, panics) => {
            let _held = Held(file, panics);
            pending().await
        }
        Job::Gate(gate) => wait_at(gate),
        Job::Exit(code) => std::process::exit(code),
        Job::Events(count) => {
            for n in 0..count {
                events.send(n).unwrap();
                yield_now(1).await;
            }
        }
        Job::Progress(count) => (0..count).for_each(|n| events.progress(n).unwrap()),
        Job::Leave => {
            smol::spawn(pending::<()>()).detach();
            smol::spawn(Timer::after(Duration::from_secs(1000))).detach();
        }
        Job::ThreadName => {
            return std::thread::current().name().unwrap_or("?").to_owned();
        }
    }
    "done".into()
}

struct Held(String, bool);

impl Drop for Held {
    fn drop(&mut self) {
        append(&self.0, "dropped");
        assert!(!self.1, "a destructor panics");
    }
}

async fn yield_now(times: u32) {
    let left = Cell::new(times);
    poll_fn(|context| {
        if left.get() == 0 {
            return Poll::Ready(());
        }
        left.set(left.get() - 1);
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[test]
fn answers_come_as_they_are_made() {
    let _guard = guard();
    let rpc = MANY.spawn().unwrap();
    let never = rpc.call(Job::Never);
    let (sender, answers) = channel();
    for time in [300, 200, 100] {
        let sender = sender.clone();
        rpc.call(Job::Sleep(time))
            .on_done(move |result| sender.send((time, result.unwrap())).unwrap());
    }
    assert_eq!(rpc.call(Job::Echo("so".into())).wait().unwrap(), "so");
    for time in [100, 200, 300] {
        assert_eq!(answers.recv().unwrap(), (time, "done".into()));
    }
    drop(never);
    assert!(rpc.join().wait().unwrap().success());
}
