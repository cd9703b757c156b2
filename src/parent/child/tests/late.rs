//! Calls that are late: nothing is left of them.

use std::time::{Duration, Instant};

use super::super::driver::Driver;
use super::super::state::waiting::Want;
use super::{FakeWire, call, driver, wait};

/// Ticks as often as the driver asks for it, as the helper would.
fn expire_all(driver: &Driver<FakeWire>, at: Instant) {
    let now = at + Duration::from_secs(1);
    driver.wire.set(|state| state.ticks.push(now));
    while driver.wire.set(|state| take_due(&mut state.ticks, now)) {
        driver.tick(now);
    }
}

fn take_due(ticks: &mut Vec<Instant>, now: Instant) -> bool {
    let before = ticks.len();
    ticks.retain(|tick| *tick > now);
    ticks.len() < before
}

/// X18. The child is silent until all are late, and answers then (X17).
#[test]
fn a_hundred_thousand_late_calls_leave_nothing_behind() {
    let driver = driver(1000);
    let at = Instant::now() + Duration::from_secs(3600);
    for round in 0..100 {
        driver.wire.set(|state| state.silent = true);
        let ids: Vec<_> = (0..1000).map(|_| call(&driver, "late").unwrap()).collect();
        for id in &ids {
            driver.change(|core| core.update(*id, |own| own.deadline = Some(at)));
        }
        expire_all(&driver, at);
        for id in &ids {
            let outcome = driver.change(|core| core.collect(*id)).unwrap();
            assert!(outcome.unwrap_err().is_timeout());
        }
        // No id is free before its answer came.
        assert_eq!(driver.lock().caller.entries(), (1000, 0));
        driver.wire.set(|state| state.silent = false);
        let text = round.to_string();
        let next = call(&driver, &text).unwrap();
        assert!(!ids.contains(&next));
        assert_eq!(*wait(&driver, next).unwrap(), *text.as_bytes());
        assert_eq!(driver.lock().caller.entries(), (0, 0));
        assert!(driver.lock().has_no_deadlines());
    }
}

/// Calls that are done in time leave no timers: the helper is told once.
#[test]
fn calls_that_are_done_in_time_leave_no_timers_behind() {
    let driver = driver(1000);
    let at = Instant::now() + Duration::from_secs(3600);
    for n in 0..1000 {
        let id = call(&driver, "soon").unwrap();
        driver
            .change(|core| core.update(id, |own| own.deadline = Some(at + Duration::from_secs(n))));
        wait(&driver, id).unwrap();
        assert!(driver.lock().has_no_deadlines());
    }
    let far = driver.wire.set(|state| {
        let far = state.ticks.iter().filter(|tick| **tick >= at);
        far.count()
    });
    assert_eq!(far, 1);
}

/// A call that waits for room is late, too, and was not started.
#[test]
fn a_call_that_was_not_sent_is_late_without_having_started() {
    let driver = driver(1);
    driver.wire.set(|state| state.silent = true);
    let ids = [(); 2].map(|()| call(&driver, "one").unwrap());
    let at = Instant::now();
    ids.iter()
        .for_each(|id| driver.change(|core| core.update(*id, |own| own.deadline = Some(at))));
    expire_all(&driver, at);
    let errors = ids.map(|id| {
        let outcome = driver.wait(Want::Call(id), None, |core| core.collect(id));
        outcome.unwrap().unwrap_err()
    });
    assert_eq!(errors[0].started(), crate::Started::Unknown);
    assert_eq!(errors[1].started(), crate::Started::No);
    assert_eq!(driver.lock().caller.entries(), (1, 0));
}

/// Whoever waits in another thread, or as a task, is woken.
#[test]
fn who_follows_is_woken_when_it_is_late() {
    let driver = driver(10);
    driver.wire.set(|state| state.silent = true);
    let id = call(&driver, "late").unwrap();
    let at = Instant::now();
    driver.change(|core| core.update(id, |own| own.deadline = Some(at)));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let polled = driver.poll(Want::Call(id), &mut context, |core| core.collect(id));
    assert!(polled.is_pending());
    expire_all(&driver, at);
    let polled = driver.poll(Want::Call(id), &mut context, |core| core.collect(id));
    assert!(polled.is_ready());
}

/// X72: the time is up, but the answer is here, and only nobody has read it.
#[test]
fn an_answer_that_has_come_counts_whoever_judges() {
    let driver = driver(10);
    for judge in 0..3 {
        driver.wire.set(|state| state.silent = true);
        let id = call(&driver, "in time").unwrap();
        let at = Instant::now();
        driver.change(|core| core.update(id, |own| own.deadline = Some(at)));
        driver.wire.set(|state| state.silent = false);
        match judge {
            0 => driver.tick(at),
            1 => driver.expire(id),
            _ => drop(driver.wait(Want::Call(id), Some(at), |_| None::<()>)),
        }
        let outcome = driver.change(|core| core.collect(id)).unwrap();
        assert_eq!(*outcome.unwrap(), *b"in time");
    }
}
