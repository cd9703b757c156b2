//! The same tests under every runtime, and under none. A runtime offers two functions here: one runs a future to its
//! end, the other spawns one.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::thread::{self};
use std::time::{Duration, Instant};

use futures_lite::StreamExt;
use offspring::{Events, Rpc, worker};

use crate::support::*;

fn steps(count: String, events: &Events<String>) -> String {
    for n in 0..count.parse().unwrap() {
        events.progress(n.to_string()).unwrap();
    }
    count
}

worker!(STEPS: fn(String) -> String = steps, events = String);
worker!(SLEEP: fn(String) = |ms: String| thread::sleep(Duration::from_millis(ms.parse().unwrap())));

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;
type Steps = Rpc<fn(String) -> String, offspring::Octets, String>;

/// Runs a future to its end, or concurrently with others.
trait Runtime {
    fn block_on(&self, job: Job);
    fn spawn(&self, job: Job);
}

/// Threads that do nothing but poll and park: no reactor, no timers.
struct Bare;

impl Runtime for Bare {
    fn block_on(&self, job: Job) {
        run(job);
    }
    fn spawn(&self, job: Job) {
        thread::spawn(|| Self.block_on(job));
    }
}

struct Smol;

impl Runtime for Smol {
    fn block_on(&self, job: Job) {
        smol::block_on(job);
    }
    fn spawn(&self, job: Job) {
        smol::spawn(job).detach();
    }
}

impl Runtime for tokio::runtime::Runtime {
    fn block_on(&self, job: Job) {
        self.block_on(job);
    }
    fn spawn(&self, job: Job) {
        drop(self.spawn(job));
    }
}

fn tokio_current() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().build().unwrap()
}

fn tokio_multi() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_time().build().unwrap()
}

/// Runs every test of this file that takes a runtime.
fn all(runtime: &dyn Runtime) {
    let rpc = STEPS.spawn().unwrap();
    for test in [
        calls_and_events,
        mapped,
        in_a_fresh_child,
        dripped,
        moved,
        rewoken,
        late,
    ] {
        let rpc = rpc.clone();
        let runtime: &dyn Runtime = runtime;
        test(runtime, rpc);
    }
    joined(runtime, rpc);
}

#[test]
fn under_a_bare_block_on() {
    let _guard = guard();
    all(&Bare);
}

#[test]
fn under_tokio_in_one_thread() {
    let _guard = guard();
    all(&tokio_current());
}

#[test]
fn under_tokio_in_many_threads() {
    let _guard = guard();
    all(&tokio_multi());
}

#[test]
fn under_smol() {
    // Smol's threads and descriptors stay open.
    alone(|| all(&Smol));
}

fn calls_and_events(runtime: &dyn Runtime, rpc: Steps) {
    runtime.block_on(Box::pin(async move {
        rpc.ready().await.unwrap();
        for n in 0..rounds(50) {
            let mut call = rpc.call((n % 5).to_string());
            let other = rpc.call("0");
            let events: Vec<_> = call.events().map(Result::unwrap).collect().await;
            assert_eq!(
                events,
                (0..n % 5).map(|n| n.to_string()).collect::<Vec<_>>()
            );
            assert_eq!(other.await.unwrap(), "0");
            assert_eq!(call.await.unwrap(), (n % 5).to_string());
        }
    }));
}

/// `map` returns results in order, `map_unordered` as they are done; some are never read.
fn mapped(runtime: &dyn Runtime, rpc: Steps) {
    runtime.block_on(Box::pin(async move {
        let count = rounds(100);
        let items = || (0..count).map(|n| (n % 5).to_string());
        let results = rpc.map(items()).window(7);
        let in_order: Vec<_> = results.map(Result::unwrap).collect().await;
        assert_eq!(in_order, items().collect::<Vec<_>>());
        let results = rpc.map_unordered(items());
        let mut crowd: Vec<_> = results.map(Result::unwrap).collect().await;
        crowd.sort();
        let mut sorted: Vec<_> = items().collect();
        sorted.sort();
        assert_eq!(crowd, sorted);
        let mut endless = rpc.map_unordered((0..).map(|n: u32| (n % 5).to_string()));
        for _ in 0..count {
            endless.next().await.unwrap().unwrap();
        }
    }));
}

fn in_a_fresh_child(runtime: &dyn Runtime, _: Steps) {
    runtime.block_on(Box::pin(async {
        let (one, two) = (STEPS.once("1"), STEPS.once("2"));
        assert_eq!(two.await.unwrap(), "2");
        assert_eq!(one.await.unwrap(), "1");
    }));
}

/// Futures are dropped after any number of polls.
fn dripped(runtime: &dyn Runtime, rpc: Steps) {
    runtime.block_on(Box::pin(async move {
        for polls in 0..rounds(100) {
            let mut call = rpc.call("3");
            for _ in 0..polls % 4 {
                if polls % 2 == 0 {
                    let mut events = call.events();
                    drop(futures_lite::future::poll_once(events.next()).await);
                } else if futures_lite::future::poll_once(&mut call).await.is_some() {
                    break;
                }
                futures_lite::future::yield_now().await;
            }
            drop(call);
            assert_eq!(rpc.call("1").await.unwrap(), "1");
        }
    }));
}

/// A call is polled in one place, then awaited or waited for in another.
fn moved(runtime: &dyn Runtime, rpc: Steps) {
    let (sender, receiver) = std::sync::mpsc::channel();
    for n in 0..rounds(30) {
        let mut call = rpc.call("2");
        if n % 2 == 0 {
            let mut context = Context::from_waker(Waker::noop());
            if Pin::new(&mut call).poll(&mut context).is_ready() {
                continue;
            }
        }
        if n % 3 == 0 {
            thread::spawn(move || assert_eq!(call.wait().unwrap(), "2"))
                .join()
                .unwrap();
        } else {
            let sender = sender.clone();
            let job: Job = Box::pin(async move { sender.send(call.await.unwrap()).unwrap() });
            runtime.spawn(job);
        }
    }
    drop(sender);
    // Tokio's current-thread runtime runs spawned tasks only inside `block_on`.
    runtime.block_on(Box::pin(async move {
        for answer in poll_all(receiver).await {
            assert_eq!(answer, "2");
        }
    }));
}

async fn poll_all(receiver: std::sync::mpsc::Receiver<String>) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        match receiver.try_recv() {
            Ok(text) => all.push(text),
            Err(std::sync::mpsc::TryRecvError::Empty) => futures_lite::future::yield_now().await,
            Err(std::sync::mpsc::TryRecvError::Disconnected) => return all,
        }
    }
}

/// Of several wakers the last one is woken.
fn rewoken(runtime: &dyn Runtime, rpc: Steps) {
    let first = Parker::new();
    runtime.block_on(Box::pin(async move {
        for _ in 0..rounds(20) {
            let mut call = pin!(rpc.call("1"));
            let mut ready = poll(&mut call, &first);
            let outcome = poll_fn(
                |context| match std::mem::replace(&mut ready, Poll::Pending) {
                    Poll::Ready(outcome) => Poll::Ready(outcome),
                    Poll::Pending => call.as_mut().poll(context),
                },
            );
            assert_eq!(outcome.await.unwrap(), "1");
        }
    }));
}

/// Deadlines need no timer of the runtime.
fn late(runtime: &dyn Runtime, _: Steps) {
    let rpc = SLEEP.spawn().unwrap();
    runtime.block_on(Box::pin(async move {
        let start = Instant::now();
        let call = rpc.call("1000000").timeout(Duration::from_millis(20));
        let call = call.kill_on_cancel(true);
        assert!(call.await.unwrap_err().is_timeout());
        assert!(start.elapsed() < soon());
        rpc.join().await.unwrap();
    }));
}

fn joined(runtime: &dyn Runtime, rpc: Steps) {
    runtime.block_on(Box::pin(async move {
        assert!(rpc.join().await.unwrap().success());
    }));
}

/// X55: a runtime is dropped with calls in flight; the child serves other calls.
#[test]
fn a_runtime_that_goes_takes_nothing_with_it() {
    let _guard = guard();
    let rpc = SLEEP.spawn().unwrap();
    for runtime in [tokio_current(), tokio_multi()] {
        let mut kept = rpc.call("20");
        for n in 0..20 {
            let rpc = rpc.clone();
            drop(runtime.spawn(async move {
                let _ = rpc.call((n % 3).to_string()).await;
            }));
        }
        runtime.block_on(async {
            // The waker belongs to this runtime.
            assert!(futures_lite::future::poll_once(&mut kept).await.is_none());
            tokio::time::sleep(Duration::from_millis(2)).await;
        });
        runtime.shutdown_background();
        quickly(|| {
            kept.wait().unwrap();
            rpc.call("1").wait().unwrap();
        });
        futures_lite::future::block_on(rpc.call("1")).unwrap();
    }
    assert!(rpc.join().wait().unwrap().success());
}

/// A task may find its answer already in the first poll.
#[test]
fn looking_in_polls() {
    let _guard = guard();
    let rpc = STEPS.builder().begin();
    futures_lite::future::block_on(async {
        for n in 0..rounds(300) {
            let text = (n % 7).to_string();
            let mut call = rpc.call(&text);
            // One call is dropped after a poll, another waits at the same time.
            drop(futures_lite::future::poll_once(rpc.call("3")).await);
            let other = rpc.call("2");
            let events = call.events().map(Result::unwrap).collect::<Vec<_>>().await;
            assert_eq!(events.len(), n as usize % 7);
            assert_eq!(call.await.unwrap(), text);
            assert_eq!(other.await.unwrap(), "2");
        }
    });
    // A call whose answer takes long makes the task sleep.
    let slow = SLEEP.builder().begin();
    futures_lite::future::block_on(slow.call("20")).unwrap();
    slow.join().wait().unwrap();
}
