//! The driver, one step after the other.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use super::super::courier::Courier;
use super::super::driver::Driver;
use super::super::driver::lock::Lock;
use super::super::member::Snapshot;
use super::super::state::Core;
use super::super::state::waiting::{Waking, Want};
use super::super::terms::{Completion, EventSink, OnEvent, Requeue, Wishes};
use super::{FakeWire, call, driver, handlers, new_driver, wait};
use crate::base::spin::Spins;
use crate::base::sync::Mutex;
use crate::error::{Error, Started};

fn forget(driver: &Driver<FakeWire>, text: &str) {
    let id = call(driver, text).unwrap();
    driver.change(|core| core.entrust(id, Completion::Discard));
}

fn poll(driver: &Driver<FakeWire>, id: u32) {
    let mut context = Context::from_waker(Waker::noop());
    let polled = driver.poll(Want::Call(id), &mut context, |core| core.collect(id));
    assert!(polled.is_pending());
}

/// A driver whose events go to `on_event`.
fn driver_handling(on_event: OnEvent) -> Arc<Driver<FakeWire>> {
    let courier = Courier::new(handlers(on_event));
    new_driver(10, EventSink::Handler, None, courier)
}

/// The child ends, and with it the thread for callbacks.
fn end(driver: &Driver<FakeWire>) {
    driver.wire.set(|state| state.ended = true);
    driver.readable();
}

fn ticks(driver: &Driver<FakeWire>) -> usize {
    driver.wire.set(|state| state.ticks.len())
}

#[test]
fn the_helper_writes_what_its_reading_made_room_for() {
    let driver = driver(1);
    (0..5).for_each(|_| forget(&driver, "nobody waits"));
    // The helper is told as long as there is something.
    while driver.wire.set(|state| state.is_readable()) {
        driver.readable();
    }
    assert_eq!(driver.lock().caller.entries(), (0, 0));
}

#[test]
fn a_leader_that_has_its_answer_writes_what_got_room() {
    let driver = driver(1);
    let first = call(&driver, "first").unwrap();
    forget(&driver, "second");
    wait(&driver, first).unwrap();
    driver.readable();
    assert_eq!(driver.lock().caller.entries(), (0, 0));
}

#[test]
fn calls_behind_another_are_written_soon() {
    let driver = driver(10);
    drop(driver.lock());
    driver.wire.set(|state| {
        state.silent = true;
        state.ticks.clear();
    });
    let ids: Vec<_> = ["one", "two", "three"]
        .map(|text| call(&driver, text).unwrap())
        .into();
    assert_eq!(driver.wire.set(|state| state.due.len()), 1);
    assert_eq!(ticks(&driver), 1, "one timer for both");
    let at = driver.wire.set(|state| state.ticks.remove(0));
    driver.tick(at);
    assert_eq!(driver.wire.set(|state| state.due.len()), 3);
    driver.wire.set(|state| state.silent = false);
    ids.into_iter()
        .for_each(|id| drop(wait(&driver, id).unwrap()));
}

#[test]
fn a_tick_for_flushing_leaves_no_timer_behind() {
    let driver = driver(10);
    let id = call(&driver, "a leader").unwrap();
    wait(&driver, id).unwrap();
    driver.tick(Instant::now());
    drop(driver.lock());
    for _ in 0..100 {
        let ids = ["one", "two"].map(|text| call(&driver, text).unwrap());
        let at = driver.wire.set(|state| state.ticks.pop()).unwrap();
        // On a slow machine a look may be due, too.
        driver
            .wire
            .set(|state| state.ticks.retain(|other| *other > at));
        driver.tick(at);
        for id in ids {
            wait(&driver, id).unwrap();
        }
    }
    // One, and one more for every tick's time that this has taken.
    assert!(ticks(&driver) < 50, "{} timers", ticks(&driver));
}

#[test]
fn a_task_that_gives_its_call_away_is_no_longer_counted() {
    let driver = driver(10);
    driver.wire.set(|state| state.silent = true);
    for then_call in [true, false] {
        let id = call(&driver, "given away").unwrap();
        poll(&driver, id);
        driver.change(|core| match then_call {
            true => core.entrust(id, Completion::Callback(Box::new(drop))),
            false => core.entrust(id, Completion::Discard),
        });
    }
    driver.wire.set(|state| state.silent = false);
    driver.readable();
    // It waits for the callback, too.
    let id = call(&driver, "a leader").unwrap();
    wait(&driver, id).unwrap();
    let watches = driver.wire.set(|state| state.watches.read);
    assert!(
        !watches,
        "the helper was called for at once, though nobody waits"
    );
    end(&driver);
}

#[test]
fn a_new_child_is_left_to_whoever_started_it_unless_somebody_keeps_it() {
    let hello = Some(Duration::from_secs(10));
    let courier = Courier::new(handlers(Box::new(|_| Ok(()))));
    let driver = new_driver(10, EventSink::Nobody, hello, courier);
    let watches = || driver.wire.set(|state| state.watches.read);
    drop(driver.lock());
    assert!(!watches());
    assert_eq!(
        ticks(&driver),
        2,
        "the helper will look, and see to the hello"
    );
    driver.change(|core| core.watch(Some(Waker::noop().clone())));
    assert!(watches(), "it is to be ready soon");
}

#[test]
fn the_helper_reads_alone_for_a_busy_pool() {
    let driver = driver(10);
    let watches = || driver.wire.set(|state| state.watches.read);
    for eagerly in [true, false] {
        driver.change(|core| core.attend(eagerly));
        assert!(watches() || !eagerly, "though none waits");
        driver.wire.set(|state| state.silent = true);
        let id = call(&driver, "waited for").unwrap();
        let (looks, looked) = channel();
        let waits = std::thread::spawn({
            let driver = Arc::clone(&driver);
            move || {
                driver.wait(Want::Call(id), None, |core| {
                    looks.send(()).unwrap();
                    core.collect(id)
                })
            }
        });
        looked.recv().unwrap();
        // Once it lets the lock go it sleeps, or reads and the helper does not.
        drop(driver.lock());
        assert_eq!(watches(), eagerly);
        driver.wire.set(|state| state.silent = false);
        driver.readable();
        assert!(waits.join().unwrap().unwrap().is_ok());
    }
}

#[test]
fn the_helper_looks_for_what_is_owed_where_it_watches_and_may() {
    let driver = driver(10);
    let looks = || driver.lock().helper_may_look();
    let allow = |spin: Spins| {
        driver.change(|core| {
            let mut reading = core.help().expect("nobody reads");
            reading.spin = spin.clone();
            core.stop_reading(reading);
        });
    };
    let spin = Spins::new(true);
    allow(spin.clone());
    driver.change(|core| core.attend(true));
    assert!(!looks(), "nothing is owed");
    driver.wire.set(|state| state.silent = true);
    let id = call(&driver, "owed").unwrap();
    assert_eq!(looks(), spin.is_on());
    allow(Spins::new(false));
    assert!(!looks(), "it may not");
    allow(spin);
    driver.change(|core| core.cancel(id));
}

#[test]
fn a_wait_for_callbacks_sleeps() {
    let (proceed, may_proceed) = channel();
    let driver = driver_handling(Box::new(move |_| {
        may_proceed.recv().unwrap();
        Ok(())
    }));
    driver.wire.set(|state| state.send(0, b"an event"));
    let id = call(&driver, "behind it").unwrap();
    let looks = Arc::new(AtomicUsize::new(0));
    let waits = std::thread::spawn({
        let (driver, looks) = (Arc::clone(&driver), Arc::clone(&looks));
        move || {
            driver.wait(Want::Call(id), None, |core| {
                looks.fetch_add(1, Ordering::Relaxed);
                core.collect(id)
            })
        }
    });
    std::thread::sleep(Duration::from_millis(100));
    proceed.send(()).unwrap();
    waits.join().unwrap().unwrap().unwrap();
    let looks = looks.load(Ordering::Relaxed);
    assert!(looks < 10, "it looked {looks} times");
    end(&driver);
}

#[test]
fn a_call_that_a_callback_polled_can_be_waited_for_elsewhere() {
    let (polled, has_polled) = channel();
    let (proceed, may_proceed) = channel();
    let slot = Arc::new(OnceLock::<(Arc<Driver<FakeWire>>, u32)>::new());
    let calls = Mutex::new(0);
    let on_event = {
        let slot = Arc::clone(&slot);
        move |_| {
            let mut calls = calls.lock();
            *calls += 1;
            if *calls == 1 {
                let (driver, id) = slot.get().unwrap();
                poll(driver, *id);
                polled.send(()).unwrap();
                may_proceed.recv().unwrap();
            }
            Ok(())
        }
    };
    let driver = driver_handling(Box::new(on_event));
    driver.wire.set(|state| state.silent = true);
    let id = call(&driver, "answer").unwrap();
    let _ = slot.set((Arc::clone(&driver), id));

    driver.wire.set(|state| state.send(0, b"first"));
    driver.readable();
    has_polled.recv().unwrap();
    driver.wire.set(|state| state.send(0, b"second"));
    driver.wire.set(|state| state.silent = false);
    driver.readable();
    let later = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        proceed.send(()).unwrap();
    });
    let start = Instant::now();
    let outcome = driver.wait(
        Want::Call(id),
        Some(start + Duration::from_secs(5)),
        |core| core.collect(id),
    );
    outcome.unwrap().unwrap();
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "it was never woken"
    );
    later.join().unwrap();
    end(&driver);
}

#[test]
fn a_leader_that_goes_leaves_the_writing_to_the_helper() {
    let driver = driver(10);
    driver.wire.set(|state| state.full = true);
    let id = call(&driver, "waits for room").unwrap();
    let soon = Instant::now() + Duration::from_millis(20);
    let outcome = driver.wait(Want::Call(id), Some(soon), |core| core.collect(id));
    assert!(outcome.is_none());
    assert!(driver.wire.set(|state| state.watches.write));
}

#[test]
fn what_a_writer_brings_back_after_the_end_is_not_kept() {
    let driver = driver(10);
    driver.wire.set(|state| state.full = true);
    let id = call(&driver, "in hand").unwrap();
    let mut core = driver.lock();
    core.roles.unblock();
    assert!(core.roles.write());
    let batch = core.caller.take_outbox();
    drop(core);
    driver.wire.set(|state| state.ended = true);
    let error = wait(&driver, id).unwrap_err();
    assert_eq!(error.started(), Started::Unknown);
    driver.change(|core| core.wrote(0, batch, &Ok(None)));
    assert_eq!(driver.lock().caller.unwritten(), 0);
    assert!(!driver.wire.set(|state| state.watches.write));
}

#[test]
fn what_is_unwritten_at_the_end_is_not_kept() {
    let driver = driver(10);
    driver.wire.set(|state| state.full = true);
    let id = call(&driver, "never written").unwrap();
    driver.wire.set(|state| state.ended = true);
    let error = wait(&driver, id).unwrap_err();
    assert_eq!(error.started(), Started::No);
    assert_eq!(driver.lock().caller.unwritten(), 0);
    assert!(!driver.wire.set(|state| state.watches.write));
}

/// An owner that looks at the child while its call comes back.
struct Looker {
    driver: OnceLock<Arc<Driver<FakeWire>>>,
    proceed: Mutex<Option<std::sync::mpsc::Sender<()>>>,
    gone: Mutex<Option<bool>>,
}

impl Requeue for Looker {
    fn lost(self: Arc<Self>, _: Error, _: bool) {
        let driver = self.driver.get().unwrap();
        drop(self.proceed.lock().take());
        while !driver.lock().delivery.is_over() {
            std::thread::yield_now();
        }
        *self.gone.lock() = Some(driver.look(Snapshot::of).gone);
    }
    fn finished(&self) {}
}

/// The last callback returns while calls are on their way back: the child is gone
/// only when they have come back, or a pool would end without them.
#[test]
fn a_child_is_not_gone_before_its_calls_are_back() {
    let (proceed, may_proceed) = channel::<()>();
    let driver = driver_handling(Box::new(move |_| {
        let _ = may_proceed.recv();
        Ok(())
    }));
    let owner = Arc::new(Looker {
        driver: OnceLock::new(),
        proceed: Mutex::new(Some(proceed)),
        gone: Mutex::new(None),
    });
    let _ = owner.driver.set(Arc::clone(&driver));
    driver.wire.set(|state| state.send(0, b"an event"));
    driver.readable();
    driver.wire.set(|state| state.full = true);
    let mut parcel = crate::parcel::Parcel::new();
    let own = Arc::clone(&owner) as Arc<dyn Requeue>;
    let sent = driver.change(|core| core.call_of(&mut parcel, own, |_| Wishes::default()));
    assert!(sent);
    end(&driver);
    assert_eq!(*owner.gone.lock(), Some(false));
    assert!(driver.look(Snapshot::of).gone);
}

/// Says when it is woken whether the rules had been applied, and the lock let go.
struct Witness {
    driver: Arc<Driver<FakeWire>>,
    seen: Sender<(bool, bool)>,
}

impl Wake for Witness {
    fn wake(self: Arc<Self>) {
        let settled = self.driver.wire.set(|state| state.watches.read);
        let (sender, looked) = channel();
        let driver = Arc::clone(&self.driver);
        std::thread::spawn(move || sender.send(driver.look(Core::received)));
        let unlocked = looked.recv_timeout(Duration::from_secs(5)).is_ok();
        self.seen.send((settled, unlocked)).unwrap();
    }
}

/// However the lock is let go, rules come first, and wakers once it is unlocked.
#[test]
fn whoever_lets_the_lock_go_does_what_follows() {
    fn returns(mut core: Lock<'_, FakeWire>) -> Option<u32> {
        core.wake_changes();
        let none = core.delivery.is_full().then_some(1)?;
        Some(none)
    }
    fn panics(mut core: Lock<'_, FakeWire>) -> Option<u32> {
        core.wake_changes();
        panic!("with the lock");
    }
    for leaves in [returns, panics] {
        let driver = driver(10);
        let (seen, came) = channel();
        let waker = Waker::from(Arc::new(Witness {
            driver: Arc::clone(&driver),
            seen,
        }));
        let mut core = driver.lock();
        core.attend(true);
        core.enlist(Want::Change, Waking::Task(waker));
        let _ = crate::base::panics::shielded(|| leaves(core));
        assert_eq!(came.try_recv(), Ok((true, true)));
    }
}
