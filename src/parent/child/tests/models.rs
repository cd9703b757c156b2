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

/// Runs `one` and `two` at once, beside a helper that stays until both are done.
fn with_helper(driver: &Shared, one: fn(&Shared), two: fn(&Shared)) {
    let (first, helper) = (Arc::clone(driver), Arc::clone(driver));
    let helper = spawn(move || help(&helper));
    let first = spawn(move || one(&first));
    two(driver);
    first.join().unwrap();
    driver.wire.set(|state| state.over = true);
    helper.join().unwrap();
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
    explore(3, || {
        let driver = driver(10);
        drop(driver.lock());
        // Nobody has come for so long.
        let at = driver.wire.set(|state| state.ticks.pop()).unwrap();
        driver.tick(at);
        assert!(driver.wire.set(|state| state.watches.read));
        with_helper(
            &driver,
            |driver| ask(driver, "other"),
            |driver| ask(driver, "this"),
        );
    });
}

#[test]
fn loom_a_thread_and_a_task() {
    explore(3, || {
        let driver = driver(10);
        with_helper(
            &driver,
            |driver| ask(driver, "thread"),
            |driver| ask_as_task(driver, "task"),
        );
    });
}

#[test]
fn loom_two_tasks() {
    explore(3, || {
        let driver = driver(10);
        with_helper(
            &driver,
            |driver| ask_as_task(driver, "one"),
            |driver| ask_as_task(driver, "two"),
        );
    });
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
    explore(3, || {
        let driver = driver(10);
        driver.wire.set(|state| state.full = true);
        with_helper(
            &driver,
            |driver| ask(driver, "other"),
            |driver| driver.wire.set(|state| state.full = false),
        );
    });
}

#[test]
fn loom_a_full_socket_and_two_threads() {
    explore(3, || {
        let driver = driver(10);
        driver.wire.set(|state| state.full = true);
        with_helper(
            &driver,
            |driver| ask(driver, "other"),
            |driver| {
                let id = call(driver, "this").unwrap();
                driver.wire.set(|state| state.full = false);
                assert_eq!(*wait(driver, id).unwrap(), *b"this");
            },
        );
    });
}

#[test]
fn loom_a_call_waits_for_room_behind_one_that_nobody_waits_for() {
    explore(3, || {
        let driver = driver(1);
        let nobodys = call(&driver, "nobody's").unwrap();
        driver.change(|core| core.entrust(nobodys, super::super::terms::Completion::Discard));
        with_helper(
            &driver,
            |driver| ask_as_task(driver, "task"),
            |driver| ask(driver, "thread"),
        );
    });
}
