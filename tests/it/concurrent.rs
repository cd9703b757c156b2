//! The concurrent backend: many calls at once in one child.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use offspring::{Call, Error, Events, Responder, Started, worker};
use serde::{Deserialize, Serialize};
use smol::Timer;

use crate::support::*;

const MOMENT: Duration = Duration::from_millis(100);

/// The jobs of the worker of most tests here.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Job {
    Echo(String),
    /// Takes this many milliseconds.
    Sleep(u64),
    /// Is pending this many times, and is woken at once each time.
    Yield(u32),
    Never,
    Panic(String),
    PanicLater(String),
    /// Never ends; its destructor appends a line to this file, and may panic.
    Held(String, bool),
    /// Waits at a gate, on the only thread.
    Gate(String),
    Exit(i32),
    Events(u32),
    Progress(u32),
    /// Starts a task and a timer that outlive the call.
    Leave,
    /// Returns the thread that it continues on after a pause.
    Thread,
}

worker!(pub(crate) MANY: fn(Job) -> String = many, events = u32, serialiser = Json);

worker!(FEW: fn(Job) -> String = many, events = u32, serialiser = Json, max_running = 2);

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
        Job::Thread => {
            Timer::after(Duration::from_millis(1)).await;
            return format!("{:?}", thread::current().id());
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

/// A call without a waiting thread is sent, also while another thread sleeps until its answer comes.
#[test]
fn a_call_without_a_waiter_is_sent_at_once() {
    let _guard = guard();
    for rings in [true, false] {
        let rpc = MANY.builder().rings(rings).spawn().unwrap();
        rpc.call(Job::Echo("awake".into())).wait().unwrap();
        thread::scope(|scope| {
            let waiter =
                scope.spawn(|| rpc.call(Job::Never).timeout(Duration::from_secs(20)).wait());
            thread::sleep(MOMENT);
            let _exit = rpc.call(Job::Exit(7));
            let error = waiter.join().unwrap().unwrap_err();
            assert!(error.to_string().contains("code 7"), "{error}");
        });
    }
}

#[test]
fn ten_thousand_sleep_at_once() {
    let _guard = guard();
    let rpc = MANY.spawn().unwrap();
    rpc.ready().wait().unwrap();
    let start = Instant::now();
    let calls: Vec<_> = (0..10_000).map(|_| rpc.call(Job::Sleep(100))).collect();
    answers(calls);
    let took = start.elapsed();
    assert!(
        took >= MOMENT && took < limit(Duration::from_secs(5)),
        "{took:?}"
    );
    assert!(rpc.join().wait().unwrap().success());
}

#[test]
fn a_panic_is_the_affair_of_its_call() {
    let _guard = guard();
    let rpc = MANY.spawn().unwrap();
    let sleeps = rpc.call(Job::Sleep(200));
    for job in [
        Job::Panic("at once".into()),
        Job::PanicLater("later".into()),
    ] {
        let (Job::Panic(text) | Job::PanicLater(text)) = job.clone() else {
            unreachable!()
        };
        let error = rpc.call(job).wait().unwrap_err();
        let panic = error.panic().expect("it is one");
        assert_eq!(panic.message(), text);
        assert!(
            panic.place().contains("concurrent.rs:"),
            "{}",
            panic.place()
        );
        assert!(panic.backtrace().contains("many"), "{}", panic.backtrace());
        assert_eq!(error.started(), Started::Yes);
    }
    assert_eq!(sleeps.wait().unwrap(), "done");
    assert!(rpc.join().wait().unwrap().success());
}

#[test]
fn a_cancelled_call_is_dropped_where_it_stands() {
    let _guard = guard();
    let temp = Temp::new();
    let rpc = MANY.spawn().unwrap();
    for (n, panics) in [false, true, false].into_iter().enumerate() {
        let held = rpc.call(Job::Held(temp.path("dropped"), panics));
        // It has started, because answers come in the order of the calls here.
        rpc.call(Job::Echo("so".into())).wait().unwrap();
        assert_eq!(temp.lines("dropped").len(), n);
        drop(held);
        until(|| temp.lines("dropped").len() == n + 1);
    }
    let late = rpc.call(Job::Held(temp.path("late"), false));
    assert!(late.wait_timed(MOMENT).is_timeout());
    until(|| temp.lines("late").len() == 1);
    let timed = rpc.call(Job::Held(temp.path("timed"), false));
    assert!(timed.timeout(MOMENT).wait().unwrap_err().is_timeout());
    until(|| temp.lines("timed").len() == 1);
    assert!(quickly(|| rpc.join().wait()).unwrap().success());
}

trait WaitTimed {
    fn wait_timed(self, time: Duration) -> Error;
}

impl<E> WaitTimed for Call<String, E> {
    /// Gives up after this, and drops the call.
    fn wait_timed(mut self, time: Duration) -> Error {
        self.wait_timeout(time).unwrap_err()
    }
}

#[test]
fn no_more_calls_run_than_may() {
    let _guard = guard();
    let temp = Temp::new();
    let rpc = FEW.spawn().unwrap();
    let file = || Job::Held(temp.path("held"), false);
    let (one, two) = (rpc.call(file()), rpc.call(file()));
    // More bytes follow than the child reads ahead.
    let mut third = rpc.call(Job::Echo("third".into()));
    let text = "x".repeat(100);
    let more: Vec<_> = (0..100)
        .map(|_| rpc.call(Job::Echo(text.clone())))
        .collect();
    assert!(third.wait_timeout(MOMENT).is_err(), "a third runs");
    // The cancel comes behind waiting calls, and is still noticed.
    drop(two);
    assert_eq!(quickly(|| third.wait()).unwrap(), "third");
    assert_eq!(temp.lines("held").len(), 1);
    for call in more {
        assert_eq!(call.wait().unwrap(), text);
    }
    drop(one);
    assert!(quickly(|| rpc.join().wait()).unwrap().success());
}

#[test]
fn one_that_waits_for_its_turn_can_be_cancelled() {
    let _guard = guard();
    let temp = Temp::new();
    let rpc = FEW.spawn().unwrap();
    let running = [rpc.call(Job::Sleep(300)), rpc.call(Job::Sleep(300))];
    let waiting = rpc.call(Job::Held(temp.path("started"), false));
    let last = rpc.call(Job::Echo("last".into()));
    assert!(waiting.wait_timed(MOMENT).is_timeout());
    assert_eq!(last.wait().unwrap(), "last");
    answers(running);
    assert!(rpc.join().wait().unwrap().success());
    assert!(temp.lines("started").is_empty(), "it never ran");
}

worker!(ORDERED: fn(u32, u32) -> u32 = ordered, init() = || Ok::<_, Error>(Line::default()), events = u32, serialiser = Json);

/// The next number, and the lines of a starter.
#[derive(Default)]
struct Line {
    next: Cell<u32>,
    /// Rounds below this number may continue.
    started: Cell<u32>,
    waiting: RefCell<Vec<Waker>>,
}

impl Line {
    fn number(&self) -> u32 {
        self.next.replace(self.next.get() + 1)
    }

    async fn wait(&self, round: u32) {
        poll_fn(|context| {
            if round < self.started.get() {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn start(&self, round: u32) {
        self.started.set(round + 1);
        self.waiting.take().into_iter().for_each(Waker::wake);
    }
}

/// Events and results carry consecutive numbers of the child. The seed 0 starts the round: a callback that is registered
/// after the answer runs later.
async fn ordered(line: &Line, round: u32, seed: u32, events: &Events<u32>) -> u32 {
    if seed == 0 {
        line.start(round);
        return line.number();
    }
    line.wait(round).await;
    for step in 0..seed % 4 {
        yield_now((seed >> step) % 3).await;
        if seed.is_multiple_of(5) {
            Timer::after(Duration::from_micros(u64::from(seed % 700))).await;
        }
        events.send(line.number()).unwrap();
    }
    yield_now(seed % 2).await;
    line.number()
}

#[test]
fn events_and_results_come_in_the_order_in_which_they_were_made() {
    let _guard = guard();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = |seen: &Arc<Mutex<Vec<u32>>>| {
        let seen = Arc::clone(seen);
        move |number| seen.lock().unwrap().push(number)
    };
    let rpc = ORDERED.on_event(note(&seen)).begin();
    let mut seed = 1_u32;
    for round in 0..rounds(20) {
        for _ in 0..200 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let note = note(&seen);
            rpc.call(round, 1 + (seed >> 8))
                .on_done(move |number| note(number.unwrap()));
        }
        // The result of this one is not compared, because its callback may come late.
        rpc.call(round, 0).detach().unwrap();
        thread::sleep(Duration::from_micros(u64::from(seed % 3000)));
    }
    assert!(rpc.join().wait().unwrap().success());
    let seen = seen.lock().unwrap();
    assert!(seen.len() > rounds(20) as usize * 200);
    let late = seen.windows(2).find(|pair| pair[0] > pair[1]);
    assert_eq!(late, None);
}

#[test]
fn at_the_end_of_input_what_runs_is_finished() {
    let _guard = guard();
    for form in ["full", "plain"] {
        let builder = MANY.program(serving("many"));
        let builder = builder.when(form == "plain", |own| own.plain());
        let rpc = builder.begin();
        let leave = rpc.call(Job::Leave);
        let calls = [150, 100, 50].map(|time| rpc.call(Job::Sleep(time)));
        let status = quickly(|| rpc.join().wait()).unwrap();
        assert!(status.success(), "{form}: {status:?}");
        for call in calls.into_iter().chain([leave]) {
            assert_eq!(call.wait().unwrap(), "done");
        }
    }
}

pub(crate) fn serve() {
    MANY.serve()
}

static DONE: OnceLock<String> = OnceLock::new();

worker!(DONE_LATER: fn(Job) -> String = with_state, init(String) = keep, done = done, serialiser = Json);

struct State;

impl Drop for State {
    fn drop(&mut self) {
        append(DONE.get().unwrap(), "state dropped");
    }
}

fn keep(file: String) -> Result<State, Error> {
    DONE.set(file).unwrap();
    Ok(State)
}

async fn with_state(_: &State, job: Job) -> String {
    if let Job::Sleep(time) = job {
        Timer::after(Duration::from_millis(time)).await;
    }
    append(DONE.get().unwrap(), "finished");
    "done".into()
}

fn done() {
    append(DONE.get().unwrap(), "done");
}

#[test]
fn done_comes_last() {
    let _guard = guard();
    let temp = Temp::new();
    let rpc = DONE_LATER.init(temp.path("log")).begin();
    rpc.call(Job::Sleep(50))
        .on_done(|result| assert_eq!(result.unwrap(), "done"));
    rpc.call(Job::Sleep(0)).detach().unwrap();
    assert!(rpc.join().wait().unwrap().success());
    let log = ["finished", "finished", "state dropped", "done"];
    assert_eq!(temp.lines("log"), log);
}

#[test]
fn after_a_crash_each_call_knows_whether_it_had_started() {
    let _guard = guard();
    let rpc = MANY.spawn().unwrap();
    let job = |n: u32| match n {
        70 => Job::Exit(3),
        n if n % 3 == 0 => Job::Echo(n.to_string()),
        _ => Job::Never,
    };
    let calls: Vec<_> = (0..200).map(|n| rpc.call(job(n))).collect();
    for (n, call) in (0..).zip(calls) {
        match call.wait() {
            Ok(text) => {
                assert!(n < 70 && n % 3 == 0, "{n}");
                assert_eq!(text, n.to_string());
            }
            Err(error) => {
                assert!(n >= 70 || n % 3 != 0, "{n}: {error}");
                let started = if n <= 70 { Started::Yes } else { Started::No };
                assert_eq!(error.started(), started, "{n}");
                assert_eq!(error.crash().unwrap().status().code(), Some(3));
            }
        }
    }
}

#[test]
fn one_thread_runs_all() {
    let _guard = guard();
    let rpc = MANY.spawn().unwrap();
    let calls = [0, 1, 2].map(|_| rpc.call(Job::Thread));
    let [one, two, three] = calls.map(|call| call.wait().unwrap());
    assert!(one == two && two == three);
}

/// The treatment of a responder.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Reply {
    AtOnce,
    FromThread,
    FromTask,
    Drop,
    DropInThread,
    PanicWithIt,
    PanicWithout,
    TooLong,
    /// Never answers, but reports when the call is cancelled.
    Keep,
}

worker!(RESPOND: fn(Reply, String) -> String = respond, serialiser = Json);

fn respond(responder: Responder<String>, reply: Reply, text: String) {
    match reply {
        Reply::AtOnce => responder.reply(text),
        Reply::FromThread => drop(thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            responder.reply(text);
        })),
        Reply::FromTask => smol::spawn(async move {
            Timer::after(Duration::from_millis(20)).await;
            responder.reply(text);
        })
        .detach(),
        Reply::Drop => {}
        Reply::DropInThread => drop(thread::spawn(move || drop(responder))),
        Reply::PanicWithIt => panic!("{text}"),
        Reply::PanicWithout => {
            thread::spawn(move || {
                // The panic ends the call, although the backtrace takes long.
                until(|| responder.is_cancelled());
                responder.reply("too late".into());
            });
            panic!("{text}")
        }
        Reply::TooLong => responder.reply("x".repeat(100_000)),
        Reply::Keep => drop(thread::spawn(move || {
            until(|| responder.is_cancelled());
            append(text, "cancelled");
            responder.reply("discarded".into());
        })),
    }
}

#[test]
fn a_responder_answers_from_wherever() {
    let _guard = guard();
    let rpc = RESPOND.builder().max_message(50_000).begin();
    for reply in [Reply::AtOnce, Reply::FromThread, Reply::FromTask] {
        assert_eq!(rpc.call(reply, "so").wait().unwrap(), "so", "{reply:?}");
    }
    for reply in [Reply::Drop, Reply::DropInThread] {
        let error = quickly(|| rpc.call(reply, "").wait()).unwrap_err();
        assert_error!(error, is_refused, "without a reply");
    }
    for reply in [Reply::PanicWithIt, Reply::PanicWithout] {
        let error = rpc.call(reply, "no luck").wait().unwrap_err();
        assert_eq!(error.panic().unwrap().message(), "no luck");
    }
    assert!(
        rpc.call(Reply::TooLong, "")
            .wait()
            .unwrap_err()
            .is_too_long()
    );
    let temp = Temp::new();
    let kept = rpc.call(Reply::Keep, temp.path("kept"));
    assert!(kept.wait_timed(MOMENT).is_timeout());
    until(|| temp.lines("kept").len() == 1);
    assert_eq!(rpc.call(Reply::AtOnce, "so").wait().unwrap(), "so");
    assert!(rpc.join().wait().unwrap().success());
}

type Answers = Mutex<Vec<Responder<String>>>;

worker!(GATHER: fn(String) -> String = gather, init() = || Ok::<_, Error>(Answers::default()), events = String, serialiser = Json);

/// Answers three calls together, the last first.
fn gather(kept: &Answers, responder: Responder<String>, text: String, events: &Events<String>) {
    let mut kept = kept.lock().unwrap();
    events.send(text).unwrap();
    kept.push(responder);
    if kept.len() == 3 {
        for responder in kept.drain(..).rev() {
            events.send("answering".into()).unwrap();
            responder.reply("gathered".into());
        }
    }
}

#[test]
fn responders_can_be_kept_in_the_state() {
    let _guard = guard();
    let (sender, seen) = channel();
    let send = |sender: &Sender<String>| {
        let sender = sender.clone();
        move |text| sender.send(text).unwrap()
    };
    let rpc = GATHER.on_event(send(&sender)).begin();
    for text in ["a", "b", "c"] {
        let sender = sender.clone();
        let text_of = move |result: Result<String, Error>| format!("{text} {}", result.unwrap());
        rpc.call(text)
            .on_done(move |result| sender.send(text_of(result)).unwrap());
    }
    assert!(rpc.join().wait().unwrap().success());
    drop(sender);
    let expected = "a b c answering c_gathered answering b_gathered answering a_gathered";
    let seen: Vec<_> = seen.iter().map(|text| text.replace(' ', "_")).collect();
    assert_eq!(seen.join(" "), expected);
}

worker!(LATE: fn() -> Vec<String> = late, init() = early, events = u32, serialiser = Json);

/// The events of the call before, and the error of `progress` in `init`.
type Before = (Mutex<Option<Events<u32>>>, String);

fn early(events: &Events<u32>) -> Result<Before, Error> {
    let error = events.progress(1).unwrap_err();
    Ok((Mutex::new(None), error.to_string()))
}

async fn late(before: &Before, events: &Events<u32>) -> Vec<String> {
    let kept = before.0.lock().unwrap().replace(events.clone());
    let late = kept.map(|kept| kept.progress(1).unwrap_err().to_string());
    late.into_iter().chain([before.1.clone()]).collect()
}

#[test]
fn progress_needs_a_call() {
    let _guard = guard();
    let rpc = LATE.on_event(|_| ()).begin();
    let first = rpc.call().wait().unwrap();
    assert!(first[0].contains("no call"), "{first:?}");
    let second = rpc.call().wait().unwrap();
    assert!(second[0].contains("was answered"), "{second:?}");
}

#[test]
fn a_slow_call_holds_up_no_answer_that_is_finished() {
    let _guard = guard();
    let gate = Gate::new();
    let rpc = MANY.spawn().unwrap();
    let echoes: Vec<_> = (0..100)
        .map(|n| rpc.call(Job::Echo(n.to_string())))
        .collect();
    let blocks = rpc.call(Job::Gate(gate.name()));
    for (n, echo) in echoes.into_iter().enumerate() {
        assert_eq!(echo.wait().unwrap(), n.to_string());
    }
    drop(gate.reached());
    assert_eq!(blocks.wait().unwrap(), "done");
}

#[test]
fn events_of_many_calls_and_large_answers() {
    let _guard = guard();
    let rpc = MANY.on_event(|_| ()).begin();
    let events: Vec<_> = (0..50).map(|_| rpc.call(Job::Events(200))).collect();
    for size in [10, 40_000, 70_000, 3_000_000] {
        let text = "x".repeat(size);
        assert_eq!(rpc.call(Job::Echo(text.clone())).wait().unwrap(), text);
    }
    for call in events {
        assert_eq!(call.wait().unwrap(), "done");
    }
}
