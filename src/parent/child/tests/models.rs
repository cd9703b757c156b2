//! The driver under every schedule that loom finds (`RUSTFLAGS="--cfg loom"`),
//! else under a few hundred that happen.
//!
//! Where the helper does not heed the time, nothing but the rules themselves
//! can wake anybody: a wake-up that is lost is a deadlock, and loom says so.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use super::super::driver::Driver;
use super::super::state::waiting::Want;
use super::{FakeWire, call, driver, help, wait};
use crate::base::sync::testing::{explore, spawn};
use crate::base::sync::{Thread, current, park_until};
use crate::error::Error;
use crate::parcel::Payload;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Awaits the result of a call, as a task that has this thread for itself.
fn wait_as_task(driver: &Driver<FakeWire>, id: u32) -> Result<Payload, Error> {
    let waker = Waker::from(Arc::new(Unpark(current())));
    let mut context = Context::from_waker(&waker);
    loop {
        let polled = driver.poll(Want::Call(id), &mut context, |core| core.collect(id));
        if let Poll::Ready(outcome) = polled {
            return outcome;
        }
        park_until(None);
    }
}

fn ask(driver: &Driver<FakeWire>, text: &str) {
    let id = call(driver, text).unwrap();
    assert_eq!(*wait(driver, id).unwrap(), *text.as_bytes());
}

fn ask_as_task(driver: &Driver<FakeWire>, text: &str) {
    let id = call(driver, text).unwrap();
    assert_eq!(*wait_as_task(driver, id).unwrap(), *text.as_bytes());
}

type Shared = Arc<Driver<FakeWire>>;

/// Over a socket and over rings, under each schedule, with a new driver with so much room and prepared so: runs `one` and `two` at once, beside a
/// helper that stays until both are done.
fn with_helper(
    room: usize,
    prepare: fn(&Shared),
    one: fn(&Driver<FakeWire>),
    two: fn(&Driver<FakeWire>),
) {
    for rings in [false, true] {
        with_helper_over(rings, room, prepare, one, two);
    }
}

fn with_helper_over(
    rings: bool,
    room: usize,
    prepare: fn(&Shared),
    one: fn(&Driver<FakeWire>),
    two: fn(&Driver<FakeWire>),
) {
    explore(3, move || {
        let driver = driver(room);
        if rings {
            driver.wire.use_rings();
        }
        prepare(&driver);
        let (first, helper) = (Arc::clone(&driver), Arc::clone(&driver));
        let helper = spawn(move || help(&helper));
        let first = spawn(move || one(&first));
        two(&driver);
        first.join().unwrap();
        driver.wire.set(|state| state.over = true);
        helper.join().unwrap();
    });
}

/// The socket takes nothing, or something again.
fn set_full(driver: &Driver<FakeWire>, full: bool) {
    driver.wire.set(|state| state.full = full);
}

#[test]
fn loom_two_threads_need_no_helper() {
    explore(5, || {
        let driver = driver(10);
        let other = Arc::clone(&driver);
        let other = spawn(move || ask(&other, "other"));
        ask(&driver, "this");
        other.join().unwrap();
    });
}

#[test]
fn loom_two_threads_beside_a_helper_that_watches() {
    let watch = |driver: &Shared| {
        drop(driver.lock());
        // Nobody has come for so long.
        let at = driver.wire.set(|state| state.ticks.pop()).unwrap();
        driver.tick(at);
        assert!(driver.wire.set(|state| state.watches.read));
    };
    with_helper(10, watch, |own| ask(own, "other"), |own| ask(own, "this"));
}

#[test]
fn loom_a_thread_and_a_task() {
    let task = |own: &Driver<FakeWire>| ask_as_task(own, "task");
    with_helper(10, |_| (), |own| ask(own, "thread"), task);
}

#[test]
fn loom_two_tasks() {
    let other = |own: &Driver<FakeWire>| ask_as_task(own, "two");
    with_helper(10, |_| (), |own| ask_as_task(own, "one"), other);
}

#[test]
fn loom_a_call_is_dropped_beside_a_wait() {
    explore(5, || {
        let driver = driver(10);
        let other = Arc::clone(&driver);
        let other = spawn(move || {
            let id = call(&other, "dropped").unwrap();
            other.change(|core| core.cancel(id));
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
                // Either is right; what counts is that it comes.
                let _ = wait(&other, id);
            }
            other.wire.set(|state| state.ended = true);
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
    with_helper(
        10,
        fill,
        |own| ask(own, "other"),
        |own| set_full(own, false),
    );
}

#[test]
fn loom_a_full_socket_and_two_threads() {
    let fill = |own: &Shared| set_full(own, true);
    with_helper(
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
fn loom_a_call_waits_for_room_behind_one_that_nobody_waits_for() {
    let take_room = |own: &Shared| {
        let nobodys = call(own, "nobody's").unwrap();
        own.change(|core| core.entrust(nobodys, super::super::terms::Completion::Discard));
    };
    let task = |own: &Driver<FakeWire>| ask_as_task(own, "task");
    with_helper(1, take_room, task, |own| ask(own, "thread"));
}
