//! Runtimes that run the child's server, or that a worker creates itself.

use std::convert::Infallible;
use std::future::pending;
use std::io::Write;
use std::net::TcpListener;
use std::time::Duration;

use offspring::{Builder, Events, Server, Template, Worker, worker};
use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder as Tokio, Handle, Runtime};

use crate::support::*;

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Job {
    Echo(String),
    /// Waits at a gate in another thread, and then sleeps for a moment.
    Sleep,
    /// Reads from this port to the end.
    Read(u16),
    /// Does the job in a task.
    Spawn(String),
    /// Sends events, with a pause after each.
    Events(u32),
    Panic,
    /// Never ends; its destructor appends a line to this file.
    Held(String),
}

/// Writes a line when it is dropped.
struct Held(String);

impl Drop for Held {
    fn drop(&mut self) {
        append(&self.0, "dropped");
    }
}

async fn on_tokio(job: Job, events: &Events<u32>) -> String {
    let moment = || tokio::time::sleep(Duration::from_millis(50));
    match job {
        Job::Echo(text) => return text,
        Job::Sleep => moment().await,
        Job::Read(port) => return read_all(port).await,
        Job::Spawn(text) => {
            let task = async move {
                moment().await;
                text
            };
            return tokio::spawn(task).await.unwrap();
        }
        Job::Events(count) => {
            for n in 0..count {
                events.send(n).unwrap();
                moment().await;
            }
        }
        Job::Panic => panic!("on purpose"),
        Job::Held(file) => {
            let _held = Held(file);
            moment().await;
            pending().await
        }
    }
    "done".into()
}

async fn read_all(port: u16) -> String {
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .unwrap();
    let (mut text, mut some) = (Vec::new(), [0; 100]);
    loop {
        stream.readable().await.unwrap();
        match stream.try_read(&mut some) {
            Ok(0) => return String::from_utf8(text).unwrap(),
            Ok(count) => text.extend_from_slice(&some[..count]),
            Err(_) => {}
        }
    }
}

fn current() -> Runtime {
    Tokio::new_current_thread().enable_all().build().unwrap()
}

fn in_many_threads(server: Server<'_>) {
    let mut tokio = Tokio::new_multi_thread();
    let tokio = tokio.worker_threads(2).enable_all().build().unwrap();
    tokio.block_on(server);
}

worker!(CURRENT: fn(Job) -> String = on_tokio, events = u32, serialiser = Json,
    runtime = |server| current().block_on(server));
worker!(MANY: fn(Job) -> String = on_tokio, events = u32, serialiser = Json, runtime = in_many_threads);
worker!(LOCAL: fn(Job) -> String = on_tokio, events = u32, serialiser = Json,
    runtime = |server| tokio::task::LocalSet::new().block_on(&current(), server));

type Declared = &'static Worker<fn(Job) -> String, Json, u32>;
type Way = Builder<fn(Job) -> String, Json, u32>;

/// Runs a block for each runtime, and for each way to start a child.
fn in_each(test: impl Fn(Way)) {
    let template = Template::builder().start().unwrap();
    let workers: [Declared; 3] = [&CURRENT, &MANY, &LOCAL];
    for worker in workers {
        for way in [
            worker.builder(),
            worker.template(&template),
            worker.builder().rings(false),
        ] {
            test(way);
        }
    }
}

#[test]
fn timers_sockets_and_tasks() {
    let _guard = guard();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    in_each(|way| {
        let (sink, events) = sink();
        let rpc = way.on_event(sink).begin();
        let mut calls: Vec<_> = (0..100).map(|_| rpc.call(Job::Sleep)).collect();
        calls.push(rpc.call(Job::Events(3)));
        let (task, reads) = (rpc.call(Job::Spawn("so".into())), rpc.call(Job::Read(port)));
        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(b"a text").unwrap();
        assert_eq!(task.wait().unwrap(), "so");
        drop(peer);
        assert_eq!(reads.wait().unwrap(), "a text");
        assert!(answers(calls).iter().all(|answer| answer == "done"));
        assert_eq!(events.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
        // A sleeping one, and then one after the other.
        for n in 0..20 {
            assert_eq!(
                rpc.call(Job::Echo(n.to_string())).wait().unwrap(),
                n.to_string()
            );
        }
        assert!(rpc.join().wait().unwrap().success());
    });
}

#[test]
fn calls_fail_and_are_dropped_by_themselves() {
    let _guard = guard();
    let temp = Temp::new();
    in_each(|way| {
        let rpc = way.quiet().capture_stderr(10_000).begin();
        let held = rpc.call(Job::Held(temp.path("held")));
        let error = rpc.call(Job::Panic).wait().unwrap_err();
        assert_eq!(error.panic().unwrap().message(), "on purpose");
        let before = temp.lines("held").len();
        drop(held);
        until(|| temp.lines("held").len() > before);
        assert_eq!(rpc.call(Job::Sleep).wait().unwrap(), "done");
        assert!(rpc.join().wait().unwrap().success());
    });
}

#[test]
fn in_a_pool() {
    let _guard = guard();
    let pool = CURRENT.pool().max(2).quiet().begin();
    let calls: Vec<_> = (0..100).map(|_| pool.call(Job::Sleep)).collect();
    assert_eq!(answers(calls).len(), 100);
    pool.join().wait().unwrap();
}

/// Under executors without timers, those of `async-io` work.
#[test]
fn in_other_runtimes() {
    async fn nap(text: String) -> String {
        smol::Timer::after(Duration::from_millis(10)).await;
        text
    }
    worker!(SMOL: fn(String) -> String = nap, runtime = |server| smol::block_on(server));
    worker!(BARE: fn(String) -> String = nap, runtime = |server| futures_lite::future::block_on(server));
    worker!(NONE: fn(String) -> String = nap);
    let _guard = guard();
    each_of!(
        worker,
        {
            let rpc = worker.spawn().unwrap();
            let calls: Vec<_> = (0..100).map(|n| rpc.call(n.to_string())).collect();
            assert_eq!(answers(calls)[99], "99");
            assert!(rpc.join().wait().unwrap().success());
        },
        SMOL,
        BARE,
        NONE,
    );
}

/// The runtime is called once, after `init`, and `done` runs last, outside of it.
#[test]
fn in_which_order() {
    static LINES: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(Vec::new());
    fn line(text: &str) {
        let is_inside = Handle::try_current().is_ok();
        LINES.lock().unwrap().push(format!("{text} {is_inside}"));
    }
    fn make(text: String) -> Result<[String; 1], Infallible> {
        line("init");
        Ok([text])
    }
    async fn work(state: &[String; 1]) -> String {
        line("call");
        state[0].clone()
    }
    fn run(server: Server<'_>) {
        line("runtime");
        current().block_on(server);
        line("over");
    }
    fn done() {
        line("done");
        println!("{}", LINES.lock().unwrap().join(", "));
    }
    worker!(ORDER: fn() -> String = work, init(String) = make, runtime = run, done = done);
    let _guard = guard();
    let (read, write) = std::io::pipe().unwrap();
    let rpc = ORDER.init("state").stdout(write).begin();
    assert_eq!(rpc.call().wait().unwrap(), "state");
    assert!(rpc.join().wait().unwrap().success());
    assert_eq!(
        std::io::read_to_string(read).unwrap(),
        "init false, runtime false, call true, over false, done false\n"
    );
}

async fn never() {
    pending().await
}

worker!(PANICS: fn() = never, runtime = |_| panic!("no runtime today"));
worker!(FORGETS: fn() = never, runtime = |server| drop(server));
worker!(LEAVES: fn() = never, runtime = |server| {
    let moment = Duration::from_millis(100);
    current().block_on(async { drop(tokio::time::timeout(moment, server).await) });
});
worker!(IN_A_RUNTIME: fn() = never, runtime = |server| {
    current().block_on(async { current().block_on(server) });
});

#[test]
fn a_runtime_that_does_not_run_it() {
    let _guard = guard();
    for (worker, words) in [
        (&PANICS, "no runtime today"),
        (&FORGETS, "returned before the server"),
        (&IN_A_RUNTIME, "`offspring::init()`"),
    ] {
        let rpc = worker.builder().quiet().capture_stderr(10_000).begin();
        assert!(rpc.ready().wait().unwrap_err().is_init());
        let error = rpc.call().wait().unwrap_err();
        assert_error!(error, is_init, started = No, "`runtime`", words);
        assert!(rpc.join().wait().unwrap_err().is_init());
    }
    let rpc = LEAVES.builder().quiet().capture_stderr(10_000).begin();
    let error = quickly(|| rpc.call().wait().unwrap_err());
    assert_error!(
        error,
        is_child_dead,
        started = Yes,
        "101",
        "returned before the server"
    );
    let _ = rpc.join().wait();
}

#[test]
fn a_blocking_worker_needs_none() {
    worker!(BLOCKS: fn() = || (), runtime = |server| current().block_on(server));
    let _guard = guard();
    let rpc = BLOCKS.builder().quiet().capture_stderr(10_000).begin();
    let error = rpc.call().wait().unwrap_err();
    assert_error!(error, is_handshake, started = No, "`async fn`", "`init`");
    let _ = rpc.join().wait();
}

#[test]
fn tokio_without_its_runtime() {
    async fn nap() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    worker!(BARE: fn() = nap);
    let _guard = guard();
    let rpc = BARE.builder().quiet().capture_stderr(10_000).begin();
    let error = rpc.call().wait().unwrap_err();
    assert_error!(error, is_panic, "`runtime = function`");
}

/// The worker creates a runtime, per call or as its state.
#[test]
fn a_blocking_worker_that_makes_one() {
    async fn nap(text: String) -> String {
        tokio::time::sleep(Duration::from_millis(1)).await;
        text
    }
    worker!(EACH: fn(String) -> String = |text| current().block_on(nap(text)));
    worker!(STATE: fn(String) -> String = |tokio: &mut Runtime, text| tokio.block_on(nap(text)),
        init() = Runtime::new);
    let _guard = guard();
    let template = Template::builder().start().unwrap();
    let works = |way: Builder<fn(String) -> String, offspring::Octets>| {
        let rpc = way.begin();
        let calls: Vec<_> = (0..10).map(|n| rpc.call(n.to_string())).collect();
        assert_eq!(answers(calls)[9], "9");
        assert!(rpc.join().wait().unwrap().success());
    };
    for way in [
        EACH.builder(),
        EACH.template(&template),
        STATE.builder(),
        STATE.builder().template(&template),
    ] {
        works(way);
    }
}
