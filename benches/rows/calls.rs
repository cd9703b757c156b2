//! Whole calls: the two backends, and the ways to wait.

use std::collections::VecDeque;
use std::future::Future;
use std::time::Duration;

use offspring::{Builder, Call, Octets, Rpc, Template, service, worker};

use super::{Group, bare, pinned, timed};

type Echo = fn(Vec<u8>) -> Vec<u8>;

fn echo(bytes: Vec<u8>) -> Vec<u8> {
    bytes
}

async fn echo_later(bytes: Vec<u8>) -> Vec<u8> {
    bytes
}

worker!(BLOCKING: fn(Vec<u8>) -> Vec<u8> = echo);
worker!(CONCURRENT: fn(Vec<u8>) -> Vec<u8> = echo_later);

service! {
    trait Echoes => EchoesClient {
        fn echo(&mut self, bytes: Vec<u8>) -> Vec<u8>;
    }
}

struct Server;

impl Echoes for Server {
    fn echo(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        bytes
    }
}

worker!(SERVICE: dyn Echoes = || Server);

pub const SMALL: &[u8] = &[7; 32];
/// How many calls are in flight in the pipelined rows.
pub const WINDOW: u32 = 1024;

pub fn blocking() -> Builder<Echo, Octets> {
    BLOCKING.builder()
}

pub fn concurrent() -> Builder<Echo, Octets> {
    CONCURRENT.builder()
}

/// Calls of this many bytes, each waited for.
fn round_trips(builder: Builder<Echo, Octets>, bytes: usize) -> impl FnMut(u64) -> Duration {
    let rpc = builder.spawn().expect("a child");
    let payload = vec![7; bytes];
    move |times| {
        timed(times, || {
            let answer = rpc.call(&payload).wait().expect("an answer");
            assert_eq!(answer.len(), payload.len());
        })
    }
}

/// Calls that are awaited, within one future.
fn awaited(block_on: impl Fn(Job)) -> impl FnMut(u64) -> Duration {
    let rpc = blocking().spawn().expect("a child");
    move |times| {
        let start = std::time::Instant::now();
        let rpc = rpc.clone();
        block_on(Box::pin(async move {
            for _ in 0..times {
                assert_eq!(rpc.call(SMALL).await.expect("an answer"), SMALL);
            }
        }));
        start.elapsed()
    }
}

type Job = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

fn tokio_current() -> impl Fn(Job) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    move |job| runtime.block_on(job)
}

/// On one of its threads, not beside them.
fn tokio_multi() -> impl Fn(Job) {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).build().expect("a runtime");
    move |job| runtime.block_on(runtime.spawn(job)).expect("no panic")
}

/// Calls of 32 bytes with this many in flight, waited for in order.
pub fn pipelined(rpc: Rpc<Echo, Octets>, window: usize) -> impl FnMut(u64) -> Duration {
    in_flight(window, move || rpc.call(SMALL))
}

fn in_flight(window: usize, make: impl Fn() -> Call<Vec<u8>>) -> impl FnMut(u64) -> Duration {
    let came = |call: Option<Call<Vec<u8>>>| {
        let answer = call.expect("one is in flight").wait().expect("an answer");
        assert_eq!(answer, SMALL);
    };
    move |times| {
        let mut open = VecDeque::with_capacity(window);
        let start = std::time::Instant::now();
        for _ in 0..times {
            if open.len() == window {
                came(open.pop_front());
            }
            open.push_back(make());
        }
        while !open.is_empty() {
            came(open.pop_front());
        }
        start.elapsed()
    }
}

fn many(builder: Builder<Echo, Octets>) -> impl FnMut(u64) -> Duration {
    pipelined(builder.spawn().expect("a child"), WINDOW as usize)
}

fn of_service() -> impl FnMut(u64) -> Duration {
    let rpc = SERVICE.spawn().expect("a child");
    in_flight(WINDOW as usize, move || EchoesClient::echo(&rpc, SMALL))
}

/// The same calls, with the results of `map` or `map_unordered`.
fn mapped(is_ordered: bool) -> impl FnMut(u64) -> Duration {
    let rpc = blocking().spawn().expect("a child");
    move |times| {
        let start = std::time::Instant::now();
        let items = (0..times).map(|_| SMALL);
        let came = |answer: Result<Vec<u8>, _>| assert_eq!(answer.expect("an answer"), SMALL);
        match is_ordered {
            true => rpc
                .map(items)
                .window(WINDOW as usize)
                .into_iter()
                .for_each(came),
            false => rpc
                .map_unordered(items)
                .window(WINDOW as usize)
                .into_iter()
                .for_each(came),
        }
        start.elapsed()
    }
}

/// A child started, one call, its end.
fn starts(builder: impl Fn() -> Builder<Echo, Octets>) -> impl FnMut(u64) -> Duration {
    move |times| {
        timed(times, || {
            let rpc = builder().spawn().expect("a child");
            assert_eq!(rpc.call(SMALL).wait().expect("an answer"), SMALL);
            assert!(rpc.join().wait().expect("an end").success());
        })
    }
}

fn small() -> Group {
    Group::new("echo of 32 bytes", 32)
        .row("blocking", || round_trips(blocking(), 32))
        .row("blocking, no spinning", || {
            round_trips(blocking().spin(false), 32)
        })
        .row("blocking, one CPU", || {
            pinned(|| round_trips(blocking(), 32))
        })
        .row("concurrent", || round_trips(concurrent(), 32))
        .row("concurrent, no spinning", || {
            round_trips(concurrent().spin(false), 32)
        })
        .row("concurrent, one CPU", || {
            pinned(|| round_trips(concurrent(), 32))
        })
        .row("awaited, smol", || awaited(smol::block_on))
        .row(
            "awaited, tokio, current thread",
            || awaited(tokio_current()),
        )
        .row("awaited, tokio, multi-thread", || awaited(tokio_multi()))
}

fn large() -> Group {
    const MIB: usize = 1 << 20;
    Group::new("echo of 1 MiB", MIB)
        .row("blocking", || round_trips(blocking(), MIB))
        .row("blocking, one CPU", || {
            pinned(|| round_trips(blocking(), MIB))
        })
        .row("blocking, rings off", || {
            round_trips(blocking().rings(false), MIB)
        })
        .row("concurrent", || round_trips(concurrent(), MIB))
}

fn huge() -> Group {
    const LENGTH: usize = 16 << 20;
    Group::new("echo of 16 MiB", LENGTH)
        .row("blocking", || round_trips(blocking(), LENGTH))
        .row("blocking, rings off", || {
            round_trips(blocking().rings(false), LENGTH)
        })
}

/// Beside bytes that go there and back in batches.
fn pipeline() -> Group {
    Group::beside("1024 echoes of 32 bytes in flight, each", |spins| {
        bare::batches(32, WINDOW, spins)
    })
    .row("blocking", || many(blocking()))
    .row("blocking, no spinning", || many(blocking().spin(false)))
    .row("blocking, one CPU", || pinned(|| many(blocking())))
    .row("blocking, rings off", || many(blocking().rings(false)))
    .row("concurrent", || many(concurrent()))
    .row("`map`", || mapped(true))
    .row("`map_unordered`", || mapped(false))
    .row("a method of a service", of_service)
}

fn start() -> Group {
    Group::beside("start, one echo, end", |spins| bare::starts(32, spins))
        .row("blocking", || starts(blocking))
        .row("blocking, one CPU", || pinned(|| starts(blocking)))
        .row("concurrent", || starts(concurrent))
}

/// Beside a bare server that forks.
fn fork() -> Group {
    Group::beside("start from a template, one echo, end", |spins| {
        bare::forks(32, spins)
    })
    .row("blocking", || from_template(blocking))
    .row("blocking, one CPU", || pinned(|| from_template(blocking)))
    .row("concurrent", || from_template(concurrent))
}

fn from_template(builder: fn() -> Builder<Echo, Octets>) -> impl FnMut(u64) -> Duration {
    let template = Template::builder().start().expect("a template");
    template.ready().wait().expect("a template");
    starts(move || builder().template(&template))
}

pub fn groups() -> Vec<Group> {
    vec![small(), pipeline(), large(), huge(), start(), fork()]
}
