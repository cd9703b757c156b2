//! Calls whose deadline is over: nothing is left of them.

use std::time::{Duration, Instant};

use super::super::driver::Driver;
use super::super::interface::WaitMode;
use super::super::state::waiters::WaitFor;
use super::{FakeIo, call, driver, wait};

/// Runs the timers that the driver asks for, as the reactor would.
fn expire_all(driver: &Driver<FakeIo>, at: Instant) {
    let now = at + Duration::from_secs(1);
    driver.io.set(|fake| fake.ticks.push(now));
    while driver.io.set(|fake| take_due(&mut fake.ticks, now)) {
        driver.timer_fired(now);
    }
}

fn take_due(ticks: &mut Vec<Instant>, now: Instant) -> bool {
    let before = ticks.len();
    ticks.retain(|tick| *tick > now);
    ticks.len() < before
}

/// X18. The child is silent until the deadline of all calls is over, and then answers (X17).
#[test]
fn a_hundred_thousand_late_calls_leave_nothing_behind() {
    let driver = driver(1000);
    let at = Instant::now() + Duration::from_secs(3600);
    for round in 0..100 {
        driver.io.set(|fake| fake.silent = true);
        let ids: Vec<_> = (0..1000).map(|_| call(&driver, "late").unwrap()).collect();
        for id in &ids {
            driver.change(|state| state.update(*id, |options| options.deadline = Some(at)));
        }
        expire_all(&driver, at);
        for id in &ids {
            let outcome = driver.change(|state| state.collect(*id)).unwrap();
            assert!(outcome.unwrap_err().is_timeout());
        }
        // An id is not free before its answer has arrived.
        assert_eq!(driver.lock().caller.entries(), (1000, 0));
        driver.io.set(|fake| fake.silent = false);
        let text = round.to_string();
        let next = call(&driver, &text).unwrap();
        assert!(!ids.contains(&next));
        assert_eq!(*wait(&driver, next).unwrap(), *text.as_bytes());
        assert_eq!(driver.lock().caller.entries(), (0, 0));
        assert!(driver.lock().has_no_deadlines());
    }
}

/// Calls that are done in time leave one timer in the reactor, and not one each.
#[test]
fn calls_that_are_done_in_time_leave_no_timers() {
    let driver = driver(1000);
    let at = Instant::now() + Duration::from_secs(3600);
    for n in 0..1000 {
        let id = call(&driver, "soon").unwrap();
        driver.change(|state| {
            state.update(id, |options| {
                options.deadline = Some(at + Duration::from_secs(n))
            })
        });
        wait(&driver, id).unwrap();
        assert!(driver.lock().has_no_deadlines());
    }
    let far = driver.io.set(|fake| {
        let far = fake.ticks.iter().filter(|tick| **tick >= at);
        far.count()
    });
    assert_eq!(far, 1);
}

/// The deadline of a call that waits for room can be over as well. The call was not started.
#[test]
fn a_call_that_was_not_sent_expires_without_having_started() {
    let driver = driver(1);
    driver.io.set(|fake| fake.silent = true);
    let ids = [(); 2].map(|()| call(&driver, "one").unwrap());
    let at = Instant::now();
    ids.iter().for_each(|id| {
        driver.change(|state| state.update(*id, |options| options.deadline = Some(at)))
    });
    expire_all(&driver, at);
    let errors = ids.map(|id| {
        let outcome = driver.wait(WaitFor::Call(id), WaitMode::Thread(None), |state| {
            state.collect(id)
        });
        outcome.unwrap().unwrap_err()
    });
    assert_eq!(errors[0].started(), crate::Started::Unknown);
    assert_eq!(errors[1].started(), crate::Started::No);
    assert_eq!(driver.lock().caller.entries(), (1, 0));
}

#[test]
fn a_task_is_woken_when_its_call_expires() {
    let driver = driver(10);
    driver.io.set(|fake| fake.silent = true);
    let id = call(&driver, "late").unwrap();
    let at = Instant::now();
    driver.change(|state| state.update(id, |options| options.deadline = Some(at)));
    let waker = std::task::Waker::noop();
    let polled = driver.wait(WaitFor::Call(id), WaitMode::Task(waker), |state| {
        state.collect(id)
    });
    assert!(polled.is_none());
    expire_all(&driver, at);
    let polled = driver.wait(WaitFor::Call(id), WaitMode::Task(waker), |state| {
        state.collect(id)
    });
    assert!(polled.is_some());
}

/// X72: the deadline is over, but the answer has arrived and no thread has read it.
#[test]
fn an_answer_that_has_arrived_counts_before_a_deadline() {
    let driver = driver(10);
    for way in 0..3 {
        driver.io.set(|fake| fake.silent = true);
        let id = call(&driver, "in time").unwrap();
        let at = Instant::now();
        driver.change(|state| state.update(id, |options| options.deadline = Some(at)));
        driver.io.set(|fake| fake.silent = false);
        match way {
            0 => driver.timer_fired(at),
            1 => driver.expire(id),
            _ => drop(driver.wait(
                WaitFor::Call(id),
                WaitMode::Thread(Some(at)),
                |_| None::<()>,
            )),
        }
        let outcome = driver.change(|state| state.collect(id)).unwrap();
        assert_eq!(*outcome.unwrap(), *b"in time");
    }
}
