//! Everything that a builder and a handle offer, for each way to start a child, alone and in a pool, awaited under tokio,
//! smol and no runtime.

use std::pin::Pin;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use futures_lite::StreamExt;
use futures_lite::future::poll_once;
use offspring::{Call, Pool, Rights, Stdio, Template};

use crate::support::*;

const SHORT: Duration = Duration::from_millis(300);

type Task<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;
type New<'a> = &'a dyn Fn() -> Children;
type Runtime = fn(Task<'_>);
type Workers = Pool<fn(Job) -> Result<String, String>, Json, u32>;

fn under_tokio(job: Task<'_>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().build().unwrap().block_on(job);
}

/// Runs a test under each runtime, with each way to start a child. In a separate process, because a thread of smol stays.
fn everywhere(test: impl for<'a> Fn(&'a str, New<'a>) -> Task<'a>) {
    let runtimes: [(&str, Runtime); 3] = [
        ("none", |job| run(job)),
        ("smol", |job| smol::block_on(job)),
        ("tokio", under_tokio),
    ];
    let template = Template::builder().start().unwrap();
    let ways: [(&str, New<'_>); 4] = [
        ("own", &|| WORK.builder()),
        ("program", &|| WORK.program(serving("work"))),
        ("command", &|| WORK.command(serving("work"))),
        ("template", &|| WORK.template(&template)),
    ];
    for (runtime, enter) in runtimes {
        for (way, builder) in ways {
            println!("{way} under {runtime}");
            enter(test(way, builder));
        }
    }
}

/// A pool of at most one child, which has one call at a time.
fn pool(builder: Children) -> Workers {
    builder.pool().max(1).load(1).quiet().begin()
}

async fn is_echoed(call: Call<Result<String, String>, u32>, text: &str) {
    assert_eq!(call.await.unwrap(), Ok(text.to_owned()));
}

#[test]
fn one_call_and_calls_of_many_items() {
    alone(|| {
        everywhere(|_, new| {
            Box::pin(async move {
                let once = new().once(echo("once")).await;
                assert_eq!(once.unwrap(), Ok("once".to_owned()));
                let words = ["a", "b", "c"];
                let rpc = new().begin();
                let all: Vec<_> = rpc.map(words.map(echo)).collect().await;
                assert!(all.into_iter().map(|one| one.unwrap().unwrap()).eq(words));
                assert!(rpc.join().await.unwrap().success());
                let pool = new().pool().max(2).begin();
                let all: Vec<_> = pool.map(words.map(echo)).collect().await;
                assert!(all.into_iter().map(|one| one.unwrap().unwrap()).eq(words));
                let all = pool.map_unordered(words.map(echo));
                let mut all: Vec<_> = all.map(|one| one.unwrap().unwrap()).collect().await;
                all.sort();
                assert_eq!(all, words);
                pool.join().await.unwrap();
            })
        });
    });
}

#[test]
fn defaults_of_calls() {
    alone(|| {
        everywhere(|_, new| {
            Box::pin(async move {
                let limited = || new().call_timeout(SHORT).kill_on_cancel(true);
                let rpc = limited().quiet().begin();
                rpc.ready().await.unwrap();
                assert_error!(rpc.call(Job::Spin).await.unwrap_err(), is_timeout);
                assert!(!rpc.join().await.unwrap().success());
                // The child of the pool is replaced.
                let pool = pool(limited());
                pool.ready().await.unwrap();
                let late = pool.call(Job::Spin);
                assert_error!(late.await.unwrap_err(), is_timeout);
                is_echoed(pool.call(echo("so")).timeout(None), "so").await;
                assert_eq!(pool.status().died, 1);
                pool.join().await.unwrap();
            })
        });
    });
}

#[test]
fn a_dropped_handle_kills() {
    alone(|| {
        everywhere(|_, new| {
            Box::pin(async move {
                let rpc = new().quiet().kill_on_drop(true).begin();
                rpc.ready().await.unwrap();
                let mut call = rpc.call(Job::Spin);
                assert!(poll_once(&mut call).await.is_none());
                drop(rpc);
                assert_error!(call.await.unwrap_err(), is_child_dead);
                let pool = pool(new().kill_on_drop(true));
                pool.ready().await.unwrap();
                let mut call = pool.call(Job::Spin);
                assert!(poll_once(&mut call).await.is_none());
                drop(pool);
                assert!(call.await.is_err());
            })
        });
    });
}

/// Returns a builder whose child prints to the receiver.
fn printing(builder: Children) -> (Children, Receiver<String>) {
    let (sink, lines) = sink();
    let lines_of = Stdio::lines(move |line| sink(line.to_owned()));
    (builder.stdout(lines_of), lines)
}

#[test]
fn lines_and_rights() {
    alone(|| {
        everywhere(|way, new| {
            Box::pin(async move {
                // The stdout of a command is the link.
                if way != "command" {
                    let (builder, lines) = printing(new());
                    let rpc = builder.begin();
                    let print = || Job::Print("so".into());
                    rpc.call(print()).await.unwrap().unwrap();
                    rpc.join().await.unwrap();
                    let (builder, more) = printing(new());
                    let pool = pool(builder);
                    pool.call(print()).await.unwrap().unwrap();
                    pool.join().await.unwrap();
                    for lines in [lines, more] {
                        assert!(lines.iter().any(|line| line.contains("so")));
                    }
                }
                let rights = || Rights::new().umask(0o051).no_new_privileges();
                let before = children();
                let rpc = new().rights(rights()).begin();
                let pool = pool(new().rights(rights()));
                for ready in [rpc.ready(), pool.ready()] {
                    ready.await.unwrap();
                }
                let mut new = children();
                new.retain(|pid| !before.contains(pid));
                assert!(way == "template" || new.len() == 2, "{new:?}");
                for pid in new.into_iter().chain(rpc.pid()) {
                    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
                    assert!(status.contains("Umask:\t0051\n"), "{status}");
                    assert!(status.contains("NoNewPrivs:\t1\n"), "{status}");
                }
                rpc.join().await.unwrap();
                pool.join().await.unwrap();
            })
        });
    });
}

#[cfg(feature = "concurrent")]
mod on_tokio {
    use std::time::Duration;

    use offspring::{Server, Template, worker};

    use crate::support::*;

    fn runtime(server: Server<'_>) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().build().unwrap().block_on(server);
    }

    async fn nap(milliseconds: u64) -> u64 {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        milliseconds
    }

    worker!(pub(crate) NAP: fn(u64) -> u64 = nap, runtime = runtime, name = "it::nap");

    #[test]
    fn the_runtime_of_a_child() {
        alone(|| {
            let template = Template::builder().start().unwrap();
            let ways = [
                || NAP.builder(),
                || NAP.program(serving("nap")),
                || NAP.command(serving("nap")),
            ];
            let ways = ways.into_iter().map(|way| way());
            for builder in ways.chain([NAP.template(&template), NAP.builder().in_process()]) {
                let rpc = builder.begin();
                let calls: Vec<_> = (1..4).map(|n| rpc.call(n)).collect();
                for (call, n) in calls.into_iter().zip(1..) {
                    assert_eq!(call.wait().unwrap(), n);
                }
                rpc.join().wait().unwrap();
            }
            let pool = NAP
                .template(&template)
                .pool()
                .max(2)
                .also(1, NAP.command(serving("nap")));
            let pool = pool.begin();
            let sum: u64 = pool.map(1..20).into_iter().map(Result::unwrap).sum();
            assert_eq!(sum, 190);
            pool.join().wait().unwrap();
        });
    }
}

#[cfg(feature = "concurrent")]
pub(crate) use on_tokio::NAP;
