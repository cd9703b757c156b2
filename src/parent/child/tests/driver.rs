//! The driver, step by step.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use super::super::driver::Driver;
use super::super::driver::lock::Lock;
use super::super::handlers::ChildHandlers;
use super::super::interface::{
    CallSetup, Completion, EventSink, OnEvent, Reached, Requeue, WaitMode,
};
use super::super::pool_child::Snapshot;
use super::super::state::leadership::ReaderRole;
use super::super::state::waiters::{WaitFor, Waiter};
use super::{FakeIo, call, driver, handlers, new_driver, wait};
use crate::base::spin::Spins;
use crate::base::sync::Mutex;
use crate::error::{Error, Started};

fn discard(driver: &Driver<FakeIo>, text: &str) {
    let id = call(driver, text).unwrap();
    driver.change(|state| state.set_completion(id, Completion::Discard));
}

fn poll(driver: &Driver<FakeIo>, id: u32) {
    let polled = driver.wait(WaitFor::Call(id), WaitMode::Task(Waker::noop()), |state| {
        state.collect(id)
    });
    assert!(polled.is_none());
}

/// A driver whose events go to `on_event`.
fn driver_handling(on_event: OnEvent) -> Arc<Driver<FakeIo>> {
    let handlers = ChildHandlers::new(handlers(on_event));
    new_driver(10, EventSink::Handler, None, handlers)
}

/// Ends the child, and with it the thread for callbacks.
fn end(driver: &Driver<FakeIo>) {
    driver.io.set(|fake| fake.ended = true);
    driver.readable();
}

fn ticks(driver: &Driver<FakeIo>) -> usize {
    driver.io.set(|fake| fake.ticks.len())
}

#[test]
fn the_reactor_writes_what_its_reading_made_room_for() {
    let driver = driver(1);
    (0..5).for_each(|_| discard(&driver, "not waited for"));
    // `epoll` reports the link as long as there is something to read.
    while driver.io.set(|fake| fake.is_readable()) {
        driver.readable();
    }
    assert_eq!(driver.lock().caller.entries(), (0, 0));
}

#[test]
fn a_leader_that_has_its_answer_writes_what_got_room() {
    let driver = driver(1);
    let first = call(&driver, "first").unwrap();
    discard(&driver, "second");
    wait(&driver, first).unwrap();
    driver.readable();
    assert_eq!(driver.lock().caller.entries(), (0, 0));
}

#[test]
fn calls_behind_another_are_written_soon() {
    let driver = driver(10);
    drop(driver.lock());
    driver.io.set(|fake| {
        fake.silent = true;
        fake.ticks.clear();
    });
    let ids: Vec<_> = ["one", "two", "three"]
        .map(|text| call(&driver, text).unwrap())
        .into();
    assert_eq!(driver.io.set(|fake| fake.due.len()), 1);
    assert_eq!(ticks(&driver), 1, "one timer for both");
    let at = driver.io.set(|fake| fake.ticks.remove(0));
    driver.timer_fired(at);
    assert_eq!(driver.io.set(|fake| fake.due.len()), 3);
    driver.io.set(|fake| fake.silent = false);
    ids.into_iter()
        .for_each(|id| drop(wait(&driver, id).unwrap()));
}

#[test]
fn a_tick_for_writing_leaves_no_timer() {
    let driver = driver(10);
    let id = call(&driver, "a leader").unwrap();
    wait(&driver, id).unwrap();
    driver.timer_fired(Instant::now());
    drop(driver.lock());
    for _ in 0..100 {
        let ids = ["one", "two"].map(|text| call(&driver, text).unwrap());
        let at = driver.io.set(|fake| fake.ticks.pop()).unwrap();
        // On a slow machine the tick of the leadership may be due as well.
        driver.io.set(|fake| fake.ticks.retain(|other| *other > at));
        driver.timer_fired(at);
        for id in ids {
            wait(&driver, id).unwrap();
        }
    }
    // There is one timer, and one more for each tick's time that this has taken.
    assert!(ticks(&driver) < 50, "{} timers", ticks(&driver));
}

#[test]
fn a_task_whose_call_has_another_completion_is_no_longer_counted() {
    let driver = driver(10);
    driver.io.set(|fake| fake.silent = true);
    for then_call in [true, false] {
        let id = call(&driver, "given away").unwrap();
        poll(&driver, id);
        driver.change(|state| match then_call {
            true => state.set_completion(id, Completion::Callback(Box::new(drop))),
            false => state.set_completion(id, Completion::Discard),
        });
    }
    driver.io.set(|fake| fake.silent = false);
    driver.readable();
    // The leader waits for the callback as well.
    let id = call(&driver, "a leader").unwrap();
    wait(&driver, id).unwrap();
    let watches = driver.io.set(|fake| fake.watches.read);
    assert!(!watches, "the reactor reads at once, though nothing waits");
    end(&driver);
}

#[test]
fn a_new_child_is_left_to_its_caller_unless_a_pool_has_it() {
    let hello = Some(Duration::from_secs(10));
    let handlers = ChildHandlers::new(handlers(Box::new(|_| Ok(()))));
    let driver = new_driver(10, EventSink::Unhandled, hello, handlers);
    let watches = || driver.io.set(|fake| fake.watches.read);
    drop(driver.lock());
    assert!(!watches());
    assert_eq!(
        ticks(&driver),
        2,
        "the tick of the leadership, and the hello timeout"
    );
    driver.change(|state| state.waiters.set_pool(Some(Waker::noop().clone())));
    assert!(watches(), "the pool waits for it to be ready");
}

/// Calls are sent once hello has come, so the reactor reads it though nothing waits.
#[test]
fn a_call_that_waits_for_hello_is_not_left_waiting() {
    let hello = Some(Duration::from_secs(10));
    let handlers = ChildHandlers::new(handlers(Box::new(|_| Ok(()))));
    let driver = new_driver(10, EventSink::Unhandled, hello, handlers);
    let watches = || driver.io.set(|fake| fake.watches.read);
    driver.io.set(|fake| fake.full = true);
    assert!(!watches());
    call(&driver, "detached").unwrap();
    assert!(watches());
}

/// With rings, the poll of a task reads. It does not while the reactor reads alone.
#[test]
fn a_task_leaves_the_children_of_a_busy_pool_to_the_reactor() {
    let driver = driver(10);
    driver.io.use_rings();
    for eagerly in [true, false] {
        driver.change(|state| state.eager = eagerly);
        let id = call(&driver, "so").unwrap();
        let poll = || {
            let mode = WaitMode::Task(Waker::noop());
            driver.wait(WaitFor::Call(id), mode, |state| state.collect(id))
        };
        if eagerly {
            assert!(poll().is_none());
            driver.readable();
        }
        assert!(poll().unwrap().is_ok());
    }
}

#[test]
fn the_reactor_reads_alone_for_a_busy_pool() {
    let driver = driver(10);
    let watches = || driver.io.set(|fake| fake.watches.read);
    for eagerly in [true, false] {
        driver.change(|state| state.eager = eagerly);
        assert!(watches() || !eagerly, "though nothing waits");
        driver.io.set(|fake| fake.silent = true);
        let id = call(&driver, "waited for").unwrap();
        let (looks, looked) = channel();
        let waits = std::thread::spawn({
            let driver = Arc::clone(&driver);
            move || {
                driver.wait(WaitFor::Call(id), WaitMode::Thread(None), |state| {
                    looks.send(()).unwrap();
                    state.collect(id)
                })
            }
        });
        looked.recv().unwrap();
        // Once it releases the lock, it sleeps, or it reads and the reactor does not.
        drop(driver.lock());
        assert_eq!(watches(), eagerly);
        driver.io.set(|fake| fake.silent = false);
        driver.readable();
        assert!(waits.join().unwrap().unwrap().is_ok());
    }
}

#[test]
fn the_reactor_spins_for_answers_if_it_watches_and_may() {
    let driver = driver(10);
    let looks = || driver.lock().reactor_may_spin();
    let allow = |spin: Spins| {
        driver.change(|state| {
            let mut reader = state
                .take_reader(ReaderRole::Reactor)
                .expect("no thread reads");
            reader.spin = spin.clone();
            state.stop_reading(reader);
        });
    };
    let spin = Spins::new(true);
    allow(spin.clone());
    driver.change(|state| state.eager = true);
    assert!(!looks(), "no answer is owed");
    driver.io.set(|fake| fake.silent = true);
    let id = call(&driver, "owed").unwrap();
    assert_eq!(looks(), spin.is_on());
    allow(Spins::new(false));
    assert!(!looks(), "it must not spin");
    allow(spin);
    driver.change(|state| state.cancel(id));
}

#[test]
fn a_wait_for_callbacks_sleeps() {
    let (proceed, may_proceed) = channel();
    let driver = driver_handling(Box::new(move |_| {
        may_proceed.recv().unwrap();
        Ok(())
    }));
    driver.io.set(|fake| fake.send(0, b"an event"));
    let id = call(&driver, "behind it").unwrap();
    let looks = Arc::new(AtomicUsize::new(0));
    let waits = std::thread::spawn({
        let (driver, looks) = (Arc::clone(&driver), Arc::clone(&looks));
        move || {
            driver.wait(WaitFor::Call(id), WaitMode::Thread(None), |state| {
                looks.fetch_add(1, Ordering::Relaxed);
                state.collect(id)
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
    let slot = Arc::new(OnceLock::<(Arc<Driver<FakeIo>>, u32)>::new());
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
    driver.io.set(|fake| fake.silent = true);
    let id = call(&driver, "answer").unwrap();
    let _ = slot.set((Arc::clone(&driver), id));

    driver.io.set(|fake| fake.send(0, b"first"));
    driver.readable();
    has_polled.recv().unwrap();
    driver.io.set(|fake| fake.send(0, b"second"));
    driver.io.set(|fake| fake.silent = false);
    driver.readable();
    let later = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        proceed.send(()).unwrap();
    });
    let start = Instant::now();
    let outcome = driver.wait(
        WaitFor::Call(id),
        WaitMode::Thread(Some(start + Duration::from_secs(5))),
        |state| state.collect(id),
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
fn a_leader_that_stops_leaves_the_writing_to_the_reactor() {
    let driver = driver(10);
    driver.io.set(|fake| fake.full = true);
    let id = call(&driver, "waits for room").unwrap();
    let soon = Instant::now() + Duration::from_millis(20);
    let outcome = driver.wait(WaitFor::Call(id), WaitMode::Thread(Some(soon)), |state| {
        state.collect(id)
    });
    assert!(outcome.is_none());
    assert!(driver.io.set(|fake| fake.watches.write));
}

#[test]
fn what_a_writer_could_not_write_is_dropped_at_the_end() {
    let driver = driver(10);
    driver.io.set(|fake| fake.full = true);
    let id = call(&driver, "in hand").unwrap();
    let mut state = driver.lock();
    state.leadership.blocked = false;
    assert!(state.leadership.write());
    let batch = state.caller.take_outbox();
    drop(state);
    driver.io.set(|fake| fake.ended = true);
    let error = wait(&driver, id).unwrap_err();
    assert_eq!(error.started(), Started::Unknown);
    driver.change(|state| state.wrote(0, batch, &Ok(None)));
    assert_eq!(driver.lock().caller.unwritten(), 0);
    assert!(!driver.io.set(|fake| fake.watches.write));
}

#[test]
fn what_is_unwritten_is_dropped_at_the_end() {
    let driver = driver(10);
    driver.io.set(|fake| fake.full = true);
    let id = call(&driver, "never written").unwrap();
    driver.io.set(|fake| fake.ended = true);
    let error = wait(&driver, id).unwrap_err();
    assert_eq!(error.started(), Started::No);
    assert_eq!(driver.lock().caller.unwritten(), 0);
    assert!(!driver.io.set(|fake| fake.watches.write));
}

/// An owner that takes a snapshot of the child while its call is requeued.
struct Looker {
    driver: OnceLock<Arc<Driver<FakeIo>>>,
    proceed: Mutex<Option<std::sync::mpsc::Sender<()>>>,
    gone: Mutex<Option<bool>>,
}

impl Requeue for Looker {
    fn lost(self: Arc<Self>, _: Error, _: Reached) {
        let driver = self.driver.get().unwrap();
        drop(self.proceed.lock().take());
        while !driver.lock().callbacks.is_over() {
            std::thread::yield_now();
        }
        *self.gone.lock() = Some(driver.inspect(Snapshot::of).gone);
    }
    fn finished(&self) {}
}

/// The last callback returns while calls are being requeued. The child is gone only after that,
/// or a pool would end without them.
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
    driver.io.set(|fake| fake.send(0, b"an event"));
    driver.readable();
    driver.io.set(|fake| fake.full = true);
    let mut message = crate::message::Message::new();
    let own = Arc::clone(&owner) as Arc<dyn Requeue>;
    let sent =
        driver.change(|state| state.call_for_pool(&mut message, own, |_| CallSetup::default()));
    assert!(sent);
    end(&driver);
    assert_eq!(*owner.gone.lock(), Some(false));
    assert!(driver.inspect(Snapshot::of).gone);
}

/// Reports, when it is woken, whether the rules were applied and the lock released.
struct Witness {
    driver: Arc<Driver<FakeIo>>,
    seen: Sender<(bool, bool)>,
}

impl Wake for Witness {
    fn wake(self: Arc<Self>) {
        let applied = self.driver.io.set(|fake| fake.watches.read);
        let (sender, looked) = channel();
        let driver = Arc::clone(&self.driver);
        std::thread::spawn(move || sender.send(driver.inspect(|state| state.received)));
        let unlocked = looked.recv_timeout(Duration::from_secs(5)).is_ok();
        self.seen.send((applied, unlocked)).unwrap();
    }
}

/// Every release of the lock applies the rules first, and then wakes the wakers without the lock.
#[test]
fn a_release_of_the_lock_applies_the_rules_and_then_wakes() {
    fn returns(mut state: Lock<'_, FakeIo>) -> Option<u32> {
        state.waiters.wake_changes();
        let none = state.callbacks.is_full().then_some(1)?;
        Some(none)
    }
    fn panics(mut state: Lock<'_, FakeIo>) -> Option<u32> {
        state.waiters.wake_changes();
        panic!("with the lock");
    }
    for leaves in [returns, panics] {
        let driver = driver(10);
        let (seen, came) = channel();
        let waker = Waker::from(Arc::new(Witness {
            driver: Arc::clone(&driver),
            seen,
        }));
        let mut state = driver.lock();
        state.eager = true;
        state.add_waiter(WaitFor::Change, Waiter::Task(waker));
        let _ = crate::base::panics::catch_panic(|| leaves(state));
        assert_eq!(came.try_recv(), Ok((true, true)));
    }
}
