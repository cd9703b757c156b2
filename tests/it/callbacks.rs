//! Callbacks and streams of events: their order, and waits and panics inside them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use futures_lite::StreamExt;
use futures_lite::future::block_on;
use nix::sys::resource::{Resource, setrlimit};
use offspring::{Error, ErrorKind, Started, worker};

use crate::support::*;

/// The values that the callbacks of one child received, in order.
#[derive(Clone)]
struct Log(Sender<String>);

impl Log {
    fn new() -> (Self, impl FnOnce() -> Vec<String>) {
        let (seen, all) = channel();
        (Self(seen), move || all.iter().collect())
    }

    fn note(&self, text: impl ToString) {
        self.0.send(text.to_string()).unwrap();
    }
}

/// G4.
#[test]
fn events_come_before_the_results_behind_them() {
    let _guard = guard();
    let seen = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&seen);
    let slow = move |n| {
        std::thread::yield_now();
        assert_eq!(counter.fetch_add(1, Ordering::Relaxed), n);
    };
    let rpc = WORK.on_event(slow).on_error(|error| panic!("{error}"));
    let rpc = rpc.begin();
    for round in 0..rounds(200) {
        let call = rpc.call(Job::Events(round * 10, round * 10 + 10));
        let outcome = match round % 3 {
            0 => call.wait(),
            1 => block_on(call),
            _ => {
                let mut call = call;
                call.wait_timeout(limit(std::time::Duration::from_secs(50)))
            }
        };
        outcome.unwrap().unwrap();
        assert_eq!(seen.load(Ordering::Relaxed), round * 10 + 10);
    }
}

#[test]
fn all_callbacks_in_the_order_of_the_stream() {
    let _guard = guard();
    let (log, all) = Log::new();
    let (on_event, on_error, on_destroy) = (log.clone(), log.clone(), log.clone());
    let rpc = WORK
        .on_event(move |n| on_event.note(n))
        .on_error(move |error| on_error.note(error.is_child_dead()))
        .on_destroy(move || on_destroy.note("destroy"))
        .begin();
    for n in 0..50 {
        let log = log.clone();
        rpc.call(Job::Events(n, n + 1))
            .on_done(move |outcome| log.note(format!("{n} done {}", outcome.is_ok())));
    }
    let last = log.clone();
    rpc.call(Job::Exit(0))
        .on_done(move |outcome| last.note(format!("exit {}", outcome.is_err())));
    drop((rpc, log));
    let mut expected: Vec<_> = (0..50)
        .flat_map(|n| [n.to_string(), format!("{n} done true")])
        .collect();
    expected.extend(["exit true", "true", "destroy"].map(str::to_owned));
    assert_eq!(all(), expected);
}

/// A slot for a handle that a callback uses. The test empties it in the end.
type Slot = Arc<Mutex<Option<Work>>>;

fn borrowed(slot: &Slot) -> Work {
    slot.lock().unwrap().clone().unwrap()
}

/// X44: a wait inside a callback, in each way, with and without a thread that waits outside.
#[test]
fn calls_inside_callbacks() {
    let _guard = guard();
    for waits in [false, true] {
        let (log, all) = Log::new();
        let slot = Slot::default();
        let inside = Arc::clone(&slot);
        let on_event = log.clone();
        let rpc = WORK
            .on_event(move |n: u32| {
                let rpc = borrowed(&inside);
                assert_eq!(rpc.call(echo(n)).wait().unwrap(), Ok(n.to_string()));
                assert_eq!(block_on(rpc.call(echo("x"))).unwrap(), Ok("x".into()));
                let log = on_event.clone();
                rpc.call(echo(n)).on_done(move |_| log.note("inner"));
                on_event.note(n);
            })
            .on_error(|error| panic!("{error}"))
            .begin();
        *slot.lock().unwrap() = Some(rpc.clone());
        let other = Arc::clone(&slot);
        let on_done = log.clone();
        let call = rpc.call(Job::Events(0, 20));
        rpc.call(echo("last")).on_done(move |_| {
            let rpc = borrowed(&other);
            echoes(&rpc, "in done");
            on_done.note("done");
        });
        if waits {
            call.wait().unwrap().unwrap();
        } else {
            call.detach().unwrap();
        }
        drop(log);
        let (told, done) = channel();
        rpc.call(echo("behind"))
            .on_done(move |_| told.send(()).unwrap());
        done.recv().unwrap();
        *slot.lock().unwrap() = None;
        rpc.join().wait().unwrap();
        let mut all = all();
        all.retain(|text| text != "inner");
        let mut expected: Vec<_> = (0..20).map(|n| n.to_string()).collect();
        expected.push("done".into());
        assert_eq!(all, expected);
    }
}

/// X53, X59.
#[test]
fn panics_of_callbacks_poison_nothing() {
    let _guard = guard();
    let (log, all) = Log::new();
    let (on_event, on_error) = (log.clone(), log.clone());
    let rpc = WORK
        .on_event(move |n| {
            on_event.note(n);
            panic!("in on_event {n}");
        })
        .on_error(move |error: Error| {
            assert!(error.is_callback_panic(), "{error}");
            let text = error.to_string();
            on_error.note(text.split("): ").nth(1).unwrap());
            panic!("in on_error");
        })
        .on_destroy(|| panic!("in on_destroy"))
        .begin();
    rpc.call(Job::Events(0, 3)).wait().unwrap().unwrap();
    let done = log.clone();
    rpc.call(echo("x")).on_done(move |_| {
        done.note("done");
        panic!("in on_done");
    });
    echoes(&rpc, "y");
    assert!(rpc.join().wait().unwrap().success());
    drop(log);
    let expected = [
        "0",
        "a callback panicked: in on_event 0",
        "1",
        "a callback panicked: in on_event 1",
        "2",
        "a callback panicked: in on_event 2",
        "done",
        "a callback panicked: in on_done",
        "a callback panicked: in on_destroy",
    ];
    assert_eq!(all(), expected);
}

/// X54.
#[test]
fn handles_are_dropped_inside_callbacks() {
    let _guard = guard();
    for way in 0..4 {
        let (log, all) = Log::new();
        let slot = Slot::default();
        let inside = Arc::clone(&slot);
        let (on_event, on_destroy) = (log.clone(), log);
        let rpc = WORK
            .on_event(move |n: u32| {
                // The test may not have filled the slot yet.
                until(|| inside.lock().unwrap().is_some());
                let rpc = inside.lock().unwrap().take().unwrap();
                match way {
                    0 => drop(rpc),
                    1 => on_event.note(rpc.join().wait().unwrap()),
                    2 => rpc.call(echo("x")).on_done({
                        let rpc = rpc.clone();
                        move |_| drop(rpc)
                    }),
                    _ => {
                        rpc.kill();
                        on_event.note(block_on(rpc.join()).unwrap());
                    }
                }
                on_event.note(n);
            })
            .on_error(|error| panic!("{error}"))
            .on_destroy(move || on_destroy.note("destroy"))
            .begin();
        rpc.call(Job::Events(7, 8)).detach().unwrap();
        *slot.lock().unwrap() = Some(rpc);
        let expected: &[&str] = match way {
            1 => &["exited with code 0", "7", "destroy"],
            3 => &["was ended by signal 9 (SIGKILL)", "7", "destroy"],
            _ => &["7", "destroy"],
        };
        assert_eq!(all(), expected);
    }
}

#[test]
fn events_without_a_handler() {
    let _guard = guard();
    let (told, errors) = sink();
    let rpc = WORK.builder().on_error(told).begin();
    rpc.call(Job::Events(0, 3)).wait().unwrap().unwrap();
    echoes(&rpc, "on");
    rpc.join().wait().unwrap();
    let errors: Vec<_> = errors.iter().collect();
    assert_eq!(errors.len(), 3);
    assert!(errors.iter().all(Error::is_unhandled_event));
}

#[test]
fn events_as_iterator_and_stream() {
    let _guard = guard();
    let (rpc, events) = WORK.builder().spawn_with_events().unwrap();
    let call = rpc.call(Job::Events(0, 1000));
    let some: Vec<_> = events.into_iter().take(1000).map(Result::unwrap).collect();
    assert_eq!(some, (0..1000).collect::<Vec<_>>());
    call.wait().unwrap().unwrap();
    rpc.join().wait().unwrap();

    let (rpc, mut events) = WORK.builder().spawn_with_events().unwrap();
    block_on(async {
        let call = rpc.call(Job::Events(0, 1000));
        for n in 0..1000 {
            assert_eq!(events.next().await.unwrap().unwrap(), n);
        }
        call.await.unwrap().unwrap();
        rpc.join().await.unwrap();
        assert!(events.next().await.is_none());
        assert!(events.next().await.is_none());
    });
}

/// One thread waits for events, others for answers.
#[test]
fn a_thread_for_events() {
    let _guard = guard();
    let (rpc, events) = WORK.builder().spawn_with_events().unwrap();
    let reader = std::thread::spawn(|| events.into_iter().map(Result::unwrap).collect::<Vec<_>>());
    for n in 0..rounds(500) {
        rpc.call(Job::Events(n, n + 1)).wait().unwrap().unwrap();
    }
    rpc.join().wait().unwrap();
    assert_eq!(reader.join().unwrap(), (0..rounds(500)).collect::<Vec<_>>());
}

/// After the stream is dropped, events are discarded.
#[test]
fn a_stream_that_is_dropped() {
    let _guard = guard();
    let (told, errors) = sink();
    let (rpc, events) = WORK
        .builder()
        .max_events(10, 1 << 20)
        .on_error(told)
        .spawn_with_events()
        .unwrap();
    let call = rpc.call(Job::Events(0, 1000));
    let mut events = events.into_iter();
    assert_eq!(events.next().unwrap().unwrap(), 0);
    drop(events);
    call.wait().unwrap().unwrap();
    rpc.join().wait().unwrap();
    assert!(errors.iter().all(|error| error.is_unhandled_event()));
}

worker!(
    NUMBERS: fn(u32) = |n: u32, events: &offspring::Events<u32>| (0..n).for_each(|n| events.send(n).unwrap()),
    events = u32, serialiser = Json, name = "it::numbers"
);

mod as_texts {
    use super::*;
    worker!(pub(crate) TEXTS: fn(u32) = |_: u32, _: &offspring::Events<String>| (), events = String, serialiser = Json, name = "it::numbers");
}

pub(crate) fn serve_numbers() -> ! {
    NUMBERS.serve()
}

/// An event that cannot be decoded is an error, and the next one arrives.
#[test]
fn events_of_another_type() {
    let _guard = guard();
    let (told, errors) = sink();
    let rpc = as_texts::TEXTS.program(serving("numbers"));
    let rpc = rpc.on_event(|text| panic!("{text}")).on_error(told).begin();
    rpc.call(3).wait().unwrap();
    rpc.join().wait().unwrap();
    let errors: Vec<_> = errors.iter().collect();
    assert_eq!(errors.len(), 3);
    assert!(errors.iter().all(Error::is_decode));

    let (rpc, events) = as_texts::TEXTS
        .program(serving("numbers"))
        .spawn_with_events()
        .unwrap();
    rpc.call(2).wait().unwrap();
    rpc.join().wait().unwrap();
    assert!(
        events
            .into_iter()
            .all(|event| event.unwrap_err().is_decode())
    );
}

/// X44: callbacks of two children wait for each other's child. Neither waits for the other callback.
#[test]
fn callbacks_that_wait_for_each_others_children() {
    let _guard = guard();
    let both = Arc::new(Barrier::new(2));
    let slots = [Slot::default(), Slot::default()];
    let children = [0, 1].map(|own| {
        let (both, other) = (Arc::clone(&both), Arc::clone(&slots[1 - own]));
        let on_event = move |_: u32| {
            // Each child has an event whose handler has not returned, when it is called from the other handler.
            both.wait();
            let rpc = borrowed(&other);
            assert_eq!(rpc.call(echo("one")).wait().unwrap(), Ok("one".into()));
            assert_eq!(block_on(rpc.call(echo("two"))).unwrap(), Ok("two".into()));
            both.wait();
        };
        WORK.on_event(on_event)
            .on_error(|error| panic!("{error}"))
            .begin()
    });
    for (slot, rpc) in slots.iter().zip(&children) {
        *slot.lock().unwrap() = Some(rpc.clone());
    }
    let calls = children.each_ref().map(|rpc| rpc.call(Job::Events(0, 3)));
    for call in calls {
        call.wait().unwrap().unwrap();
    }
    for (slot, rpc) in slots.iter().zip(children) {
        *slot.lock().unwrap() = None;
        rpc.join().wait().unwrap();
    }
}

/// The queue of events is full, and a callback waits for an answer behind it: an error, and no deadlock.
#[test]
fn a_wait_behind_a_full_queue() {
    let _guard = guard();
    let (log, all) = Log::new();
    let slot = Slot::default();
    let inside = Arc::clone(&slot);
    let mut seen = 0;
    let on_event = log.clone();
    let rpc = WORK
        .builder()
        .max_events(5, 1 << 20)
        .on_event(move |n: u32| {
            assert_eq!(n, seen);
            seen += 1;
            until(|| inside.lock().unwrap().is_some());
            let rpc = borrowed(&inside);
            match rpc.call(echo("nested")).wait() {
                Ok(text) => assert_eq!(text, Ok("nested".into())),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldDeadlock, "{error}");
                    // It was sent, and the child may start it before it reads the cancel.
                    assert_eq!(error.started(), Started::Unknown, "{error}");
                    on_event.note("full");
                }
            }
        })
        .on_error(|error| panic!("{error}"))
        .begin();
    let call = rpc.call(Job::Events(0, 500));
    *slot.lock().unwrap() = Some(rpc.clone());
    call.wait().unwrap().unwrap();
    echoes(&rpc, "on");
    *slot.lock().unwrap() = None;
    rpc.join().wait().unwrap();
    drop(log);
    assert!(!all().is_empty());
}

/// The same for a callback that waits until the child has exited.
#[test]
fn a_join_behind_a_full_queue() {
    let _guard = guard();
    let (log, all) = Log::new();
    let slot = Slot::default();
    let inside = Arc::clone(&slot);
    let on_event = log.clone();
    let rpc = WORK
        .builder()
        .max_events(5, 1 << 20)
        .on_event(move |_: u32| {
            until(|| inside.lock().unwrap().is_some());
            match borrowed(&inside).join().wait() {
                Ok(status) => assert!(status.success()),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldDeadlock, "{error}");
                    on_event.note("full");
                }
            }
        })
        .on_error(|error| panic!("{error}"))
        .begin();
    // More than the link holds, so the child does not exit before the queue is full.
    let call = rpc.call(Job::Events(0, 60_000));
    *slot.lock().unwrap() = Some(rpc.clone());
    call.wait().unwrap().unwrap();
    *slot.lock().unwrap() = None;
    rpc.join().wait().unwrap();
    drop(log);
    assert!(!all().is_empty());
}

/// `on_destroy` is called once, for every exit.
#[test]
fn on_destroy_in_every_case() {
    let _guard = guard();
    for way in 0..5 {
        let (log, all) = Log::new();
        let (on_error, on_destroy) = (log.clone(), log);
        let builder = if way == 4 {
            WORK.program(std::process::Command::new("true"))
        } else {
            WORK.builder()
        };
        let rpc = builder.on_error(move |_| on_error.note("error"));
        let rpc = rpc.on_destroy(move || on_destroy.note("destroy")).begin();
        match way {
            0 => drop(rpc),
            1 => drop(rpc.join().wait().unwrap()),
            2 => rpc.kill(),
            3 => rpc.call(Job::Exit(0)).detach().unwrap(),
            _ => drop(rpc.ready().wait().unwrap_err()),
        }
        let expected: &[&str] = if way < 3 {
            &["destroy"]
        } else {
            &["error", "destroy"]
        };
        assert_eq!(all(), expected, "{way}");
    }
}

/// The callback of a child's exit starts a new child.
#[test]
fn a_new_child_inside_a_callback() {
    let _guard = guard();
    let (told, next) = channel();
    let on_error = move |_| told.send(WORK.spawn().unwrap()).unwrap();
    let rpc = WORK.builder().on_error(on_error).begin();
    assert!(rpc.call(Job::KillSelf).wait().is_err());
    let rpc = next.recv().unwrap();
    echoes(&rpc, "again");
}

/// The callback of a refused call runs, too.
#[test]
fn on_done_of_a_refused_call() {
    let _guard = guard();
    let rpc = WORK.builder().quiet().begin();
    let clone = rpc.clone();
    rpc.join().wait().unwrap();
    let (told, outcomes) = sink();
    clone.call(echo("x")).on_done(told);
    assert!(outcomes.recv().unwrap().is_err());
}

/// A value whose destructor panics.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("a bomb was dropped");
        }
    }
}

/// X53: the payload of a panic panics when it is dropped.
#[test]
fn a_panic_with_a_bomb() {
    let _guard = guard();
    let (told, errors) = sink();
    let rpc = WORK.on_event(|_| std::panic::panic_any(Bomb));
    let rpc = rpc.on_error(told).begin();
    rpc.call(Job::Events(0, 2)).wait().unwrap().unwrap();
    rpc.call(echo("x")).on_done(|_| std::panic::panic_any(Bomb));
    echoes(&rpc, "on");
    rpc.join().wait().unwrap();
    let errors: Vec<_> = errors.iter().collect();
    assert_eq!(errors.len(), 3);
    assert!(errors.iter().all(Error::is_callback_panic));
}

/// X59: handlers that panic when they are dropped, used and unused, do not affect other children.
#[test]
fn handlers_that_are_bombs() {
    let _guard = guard();
    let other = WORK.spawn().unwrap();
    for used in [false, true] {
        for joined in [false, true] {
            let (one, two, three) = (Bomb, Bomb, Bomb);
            let builder = WORK.on_event(move |_| _ = &one).on_error(move |_| _ = &two);
            let builder = if used {
                builder.on_destroy(move || drop(three))
            } else {
                std::mem::forget(three);
                builder
            };
            let rpc = builder.begin();
            if used {
                rpc.call(Job::Events(0, 1)).wait().unwrap().unwrap();
            }
            if joined {
                rpc.join().wait().unwrap();
            } else {
                drop(rpc);
                until(|| children().len() == 1);
            }
            echoes(&other, "on");
        }
    }
}

/// X59: a waker that panics does not affect other waiters.
#[test]
fn a_waker_that_panics() {
    struct Angry;
    impl std::task::Wake for Angry {
        fn wake(self: Arc<Self>) {
            panic!("do not wake me");
        }
    }
    let _guard = guard();
    let gate = Gate::new();
    let rpc = WORK.spawn().unwrap();
    let mut call = rpc.call(Job::Gate(gate.name()));
    let waker = std::task::Waker::from(Arc::new(Angry));
    let polled = Future::poll(
        std::pin::Pin::new(&mut call),
        &mut std::task::Context::from_waker(&waker),
    );
    assert!(polled.is_pending());
    let mut other = std::pin::pin!(rpc.call(echo("beside")));
    let beside = std::thread::scope(|scope| {
        let beside = scope.spawn(|| block_on(&mut other));
        drop(gate.reached());
        beside.join().unwrap()
    });
    assert_eq!(beside.unwrap(), Ok("beside".into()));
    assert_eq!(call.wait().unwrap(), Ok("done".into()));
    let more = WORK.spawn().unwrap();
    assert_eq!(
        block_on(more.call(echo("more"))).unwrap(),
        Ok("more".into())
    );
    more.join().wait().unwrap();
}

/// The reactor wakes a call of a pool that is late in the queue. It goes on for all others.
#[test]
fn a_waker_that_panics_in_a_pool() {
    #[derive(Default)]
    struct Angry(std::sync::atomic::AtomicBool);
    impl std::task::Wake for Angry {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
            panic!("do not wake me");
        }
    }
    let _guard = guard();
    let gate = Gate::new();
    let pool = WORK.pool().max(1).load(1).begin();
    let busy = pool.call(Job::Gate(gate.name()));
    let open = gate.reached();
    let mut late = pool.call(echo("late")).timeout(Duration::from_millis(1));
    let angry = Arc::new(Angry::default());
    let waker = std::task::Waker::from(Arc::clone(&angry));
    let context = &mut std::task::Context::from_waker(&waker);
    if Future::poll(std::pin::Pin::new(&mut late), context).is_pending() {
        until(|| angry.0.load(Ordering::SeqCst));
    }
    let (sink, answers) = sink();
    WORK.spawn().unwrap().call(echo("beside")).on_done(sink);
    let answer = answers.recv().unwrap();
    assert_eq!(answer.unwrap(), Ok("beside".into()));
    drop(open);
    assert_eq!(busy.wait().unwrap(), Ok("done".into()));
    assert_eq!(pool.call(echo("more")).wait().unwrap(), Ok("more".into()));
    pool.join().wait().unwrap();
}

/// X62: after a child's exit its callback thread has ended. A callback that is registered then still runs, and a panic of
/// it has no effect.
#[test]
fn registered_after_the_end() {
    let _guard = guard();
    for pooled in [false, true] {
        let (told, ended) = channel();
        let end = move || told.send(()).unwrap();
        let (rpc, pool) = if pooled {
            let pool = WORK.pool().on_event(|_| ()).quiet();
            let pool = pool.on_destroy(end).begin();
            (pool.rpc().clone(), Some(pool))
        } else {
            let rpc = WORK.builder().quiet().on_destroy(end);
            (rpc.begin(), None)
        };
        let done = rpc.call(echo("done"));
        rpc.call(echo("behind it")).wait().unwrap().unwrap();
        let lost = rpc.call(Job::Stop);
        let panics = rpc.call(Job::Stop);
        rpc.kill();
        drop(pool);
        // No thread is left then.
        ended.recv().unwrap();
        rpc.clone().join().wait().unwrap();
        let is_of_callbacks = |name: &String| name.starts_with("offspring-callb");
        until(|| !own_threads().iter().any(is_of_callbacks));
        panics.on_done(|_| panic!("it is discarded"));
        let (sender, outcomes) = channel();
        let too = sender.clone();
        done.on_done(move |outcome| sender.send(outcome).unwrap());
        assert_eq!(outcomes.recv().unwrap().unwrap(), Ok("done".into()));
        lost.on_done(move |outcome| too.send(outcome).unwrap());
        assert!(outcomes.recv().unwrap().is_err());
        // A call that is refused at once.
        let (sender, outcomes) = channel();
        rpc.call(echo("refused"))
            .on_done(move |outcome| sender.send(outcome).unwrap());
        assert!(outcomes.recv().unwrap().is_err());
    }
}

/// X85: the callback of a call that was refused at once runs on the callback thread, and its panic is handled as that of
/// any callback.
#[test]
fn a_refused_call_panics_in_its_callback() {
    let _guard = guard();
    for pooled in [false, true] {
        let (told, errors) = channel();
        let on_error = move |error: Error| told.send(error.to_string()).unwrap();
        let rpc = if pooled {
            let pool = WORK.pool().on_event(|_| ()).on_error(on_error);
            pool.begin().rpc().clone()
        } else {
            WORK.builder().on_error(on_error).begin()
        };
        let open = rpc.clone();
        let joined = rpc.join();
        let here = std::thread::current().id();
        let (sender, threads) = channel();
        open.call(echo("refused")).on_done(move |outcome| {
            sender.send(std::thread::current().id()).unwrap();
            panic!("{}", outcome.unwrap_err());
        });
        assert_ne!(threads.recv().unwrap(), here);
        drop(open);
        joined.wait().unwrap();
        let errors: Vec<_> = errors.iter().collect();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].contains(": a callback panicked: "), "{errors:?}");
    }
}

/// X62: if the system refuses threads from some moment on, every callback still runs: those of children without a callback
/// thread, of pools, and of exits.
#[test]
fn the_system_refuses_threads() {
    alone(|| {
        if nix::unistd::geteuid().is_root() {
            nix::unistd::setuid(nix::unistd::Uid::from_raw(65534)).unwrap();
        }
        let (log, all) = Log::new();
        let first = started(&log, "first");
        let second = started(&log, "second");
        let pool = WORK.pool().max(1).idle(1).on_event(|_| ());
        let (event, destroy) = (log.clone(), log.clone());
        let pool = pool
            .on_error(move |error| event.note(format!("pool: {error}")))
            .on_destroy(move || destroy.note("pool destroyed"))
            .begin();
        pool.ready().wait().unwrap();
        let lone = WORK.builder().quiet().begin();
        let lost = lone.call(Job::Stop);
        lone.kill();
        lone.join().wait().unwrap();
        let one = 1;
        setrlimit(Resource::RLIMIT_NPROC, one, one).unwrap();
        std::thread::Builder::new().spawn(|| ()).unwrap_err();

        // All share the spare thread, which is not the reactor.
        let (sender, done) = channel();
        for (name, rpc) in [("first", &first), ("second", &second), ("pool", pool.rpc())] {
            let sender = sender.clone();
            rpc.call(echo(name)).on_done(move |outcome| {
                let thread = std::thread::current().name().map(str::to_owned);
                assert_eq!(thread.as_deref(), Some("offspring-callbacks"));
                sender.send(outcome.unwrap().unwrap()).unwrap();
            });
        }
        first.call(Job::Events(0, 3)).wait().unwrap().unwrap();
        let mut names: Vec<_> = (0..3).map(|_| done.recv().unwrap()).collect();
        names.sort_unstable();
        assert_eq!(names, ["first", "pool", "second"]);
        lost.on_done(move |outcome| sender.send(outcome.is_err().to_string()).unwrap());
        assert_eq!(done.recv().unwrap(), "true");
        for rpc in [first, second] {
            rpc.join().wait().unwrap();
        }
        pool.join().wait().unwrap();
        // The reactor has ended, and the spare thread with it.
        drop(log);
        let mut all = all();
        all.sort_unstable();
        let expected = [
            "first 0",
            "first 1",
            "first 2",
            "first destroyed",
            "pool destroyed",
            "second destroyed",
        ];
        assert_eq!(all, expected);
        until(|| std::fs::read_dir("/proc/self/task").unwrap().count() == 2);
    });
}

fn started(log: &Log, name: &'static str) -> Work {
    let (event, destroy) = (log.clone(), log.clone());
    let rpc = WORK
        .on_event(move |n| event.note(format!("{name} {n}")))
        .on_destroy(move || destroy.note(format!("{name} destroyed")))
        .begin();
    rpc.ready().wait().unwrap();
    rpc
}

/// X62: a callback that comes while the thread is about to end still runs.
#[test]
fn registered_while_the_last_callback_runs() {
    let _guard = guard();
    let (told, runs) = channel();
    let (proceed, may_end) = channel();
    let rpc = WORK
        .builder()
        .quiet()
        .on_destroy(move || {
            told.send(()).unwrap();
            may_end.recv().unwrap();
        })
        .begin();
    let lost = rpc.call(Job::Stop);
    rpc.kill();
    runs.recv().unwrap();
    let (sender, outcomes) = sink();
    lost.on_done(sender);
    proceed.send(()).unwrap();
    assert!(outcomes.recv().unwrap().is_err());
}
