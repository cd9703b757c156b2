//! The driver under every schedule that loom finds (`RUSTFLAGS="--cfg loom"`). Without loom, a few
//! hundred schedules are tried that happen.
//!
//! If the reactor runs no timers, only the rules can wake a thread. A lost wake-up is then a
//! deadlock, which loom reports.

use std::sync::Arc;
use std::task::{Wake, Waker};

use super::super::driver::Driver;
use super::super::interface::WaitMode;
use super::super::state::waiters::WaitFor;
use super::{FakeIo, call, driver, run_reactor, wait};
use crate::base::sync::testing::{explore, spawn};
use crate::base::sync::{Thread, current, park_until};
use crate::error::Error;
use crate::message::Payload;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Awaits the result of a call, as a task that is alone on this thread.
fn wait_as_task(driver: &Driver<FakeIo>, id: u32) -> Result<Payload, Error> {
    let waker = Waker::from(Arc::new(Unpark(current())));
    loop {
        let polled = driver.wait(WaitFor::Call(id), WaitMode::Task(&waker), |state| {
            state.collect(id)
        });
        if let Some(outcome) = polled {
            return outcome;
        }
        park_until(None);
    }
}

fn ask(driver: &Driver<FakeIo>, text: &str) {
    let id = call(driver, text).unwrap();
    assert_eq!(*wait(driver, id).unwrap(), *text.as_bytes());
}

fn ask_as_task(driver: &Driver<FakeIo>, text: &str) {
    let id = call(driver, text).unwrap();
    assert_eq!(*wait_as_task(driver, id).unwrap(), *text.as_bytes());
}

type Shared = Arc<Driver<FakeIo>>;

/// Runs `one` and `two` at once, beside a reactor that stays until both are done: over a socket and
/// over rings, under each schedule. Each run has a new driver with room for `room` calls, which
/// `prepare` has prepared.
fn with_reactor(
    room: usize,
    prepare: fn(&Shared),
    one: fn(&Driver<FakeIo>),
    two: fn(&Driver<FakeIo>),
) {
    for rings in [false, true] {
        with_reactor_over(rings, room, prepare, one, two);
    }
}

fn with_reactor_over(
    rings: bool,
    room: usize,
    prepare: fn(&Shared),
    one: fn(&Driver<FakeIo>),
    two: fn(&Driver<FakeIo>),
) {
    explore(3, move || {
        let driver = driver(room);
        if rings {
            driver.io.use_rings();
        }
        prepare(&driver);
        let (first, reactor) = (Arc::clone(&driver), Arc::clone(&driver));
        let reactor = spawn(move || run_reactor(&reactor));
        let first = spawn(move || one(&first));
        two(&driver);
        first.join().unwrap();
        driver.io.set(|fake| fake.over = true);
        reactor.join().unwrap();
    });
}

/// Says whether the socket is full.
fn set_full(driver: &Driver<FakeIo>, full: bool) {
    driver.io.set(|fake| fake.full = full);
}

#[test]
fn loom_two_threads_need_no_reactor() {
    explore(5, || {
        let driver = driver(10);
        let other = Arc::clone(&driver);
        let other = spawn(move || ask(&other, "other"));
        ask(&driver, "this");
        other.join().unwrap();
    });
}

#[test]
fn loom_two_threads_beside_a_reactor_that_watches() {
    let watch = |driver: &Shared| {
        drop(driver.lock());
        // No thread has led for the time of a tick.
        let at = driver.io.set(|fake| fake.ticks.pop()).unwrap();
        driver.timer_fired(at);
        assert!(driver.io.set(|fake| fake.watches.read));
    };
    with_reactor(10, watch, |own| ask(own, "other"), |own| ask(own, "this"));
}

#[test]
fn loom_a_thread_and_a_task() {
    let task = |own: &Driver<FakeIo>| ask_as_task(own, "task");
    with_reactor(10, |_| (), |own| ask(own, "thread"), task);
}

#[test]
fn loom_two_tasks() {
    let other = |own: &Driver<FakeIo>| ask_as_task(own, "two");
    with_reactor(10, |_| (), |own| ask_as_task(own, "one"), other);
}

#[test]
fn loom_a_call_is_dropped_beside_a_wait() {
    explore(5, || {
        let driver = driver(10);
        let other = Arc::clone(&driver);
        let other = spawn(move || {
            let id = call(&other, "dropped").unwrap();
            other.change(|state| state.cancel(id));
        });
        ask(&driver, "this");
        other.join().unwrap();
    });
}

#[test]
fn loom_the_end_comes_in_between() {
    explore(5, || {
        let driver = driver(10);
        let other = Arc::clone(&driver);
        let other = spawn(move || {
            if let Ok(id) = call(&other, "other") {
                // A result and an error are both right, as long as the wait ends.
                let _ = wait(&other, id);
            }
            other.io.set(|fake| fake.ended = true);
        });
        if let Ok(id) = call(&driver, "this") {
            let _ = wait(&driver, id);
        }
        other.join().unwrap();
        assert_eq!(driver.lock().caller.entries(), (0, 0));
    });
}

#[test]
fn loom_a_full_socket_has_room_again() {
    let fill = |own: &Shared| set_full(own, true);
    with_reactor(
        10,
        fill,
        |own| ask(own, "other"),
        |own| set_full(own, false),
    );
}

#[test]
fn loom_a_full_socket_and_two_threads() {
    let fill = |own: &Shared| set_full(own, true);
    with_reactor(
        10,
        fill,
        |own| ask(own, "other"),
        |own| {
            let id = call(own, "this").unwrap();
            set_full(own, false);
            assert_eq!(*wait(own, id).unwrap(), *b"this");
        },
    );
}

#[test]
fn loom_a_call_waits_for_room_behind_a_discarded_one() {
    let take_room = |own: &Shared| {
        let first = call(own, "discarded").unwrap();
        own.change(|state| {
            state.set_completion(first, super::super::interface::Completion::Discard)
        });
    };
    let task = |own: &Driver<FakeIo>| ask_as_task(own, "task");
    with_reactor(1, take_room, task, |own| ask(own, "thread"));
}
