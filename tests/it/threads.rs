//! Many threads and tasks that use one child.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use futures_lite::future::block_on;

use crate::support::*;

#[test]
fn eight_threads_at_once() {
    let _guard = guard();
    let rpc = TEXT.spawn().unwrap();
    thread::scope(|scope| {
        for number in 0..8 {
            let rpc = rpc.clone();
            scope.spawn(move || {
                for n in 0..rounds(2000) {
                    let text = format!("{number} {n}");
                    let call = rpc.call(&text);
                    let answer = match n % 4 {
                        0 => block_on(call),
                        1 => {
                            let mut call = call;
                            loop {
                                match call.wait_timeout(Duration::from_micros(50)) {
                                    Err(error) if error.is_timeout() => {}
                                    outcome => break outcome,
                                }
                            }
                        }
                        _ => call.wait(),
                    };
                    assert_eq!(answer.unwrap(), text);
                }
            });
        }
    });
    assert!(rpc.join().wait().unwrap().success());
}

/// Threads wait, poll and time out, while long and short messages fill the link in both directions. Each thread reads
/// and writes where another does so in the next moment.
#[test]
fn a_full_link_in_every_way() {
    let _guard = guard();
    for rings in [true, false] {
        let rpc = TEXT.builder().rings(rings).begin();
        thread::scope(|scope| {
            for number in 0..6_usize {
                let rpc = rpc.clone();
                scope.spawn(move || {
                    for n in 0..rounds(600) as usize {
                        let long = (n + number).is_multiple_of(5);
                        let text = "x".repeat(if long { 40_000 * (n % 4 + 1) } else { n % 50 });
                        let mut call = rpc.call(&text).timeout(Duration::from_secs(60));
                        let answer = match (n + number) % 4 {
                            0 => block_on(call),
                            1 => loop {
                                match call.wait_timeout(Duration::ZERO) {
                                    Err(error) if error.is_timeout() => thread::yield_now(),
                                    outcome => break outcome,
                                }
                            },
                            2 => {
                                drop(block_on(futures_lite::future::poll_once(&mut call)));
                                rpc.call("beside").wait().unwrap();
                                continue;
                            }
                            _ => call.wait(),
                        };
                        assert!(answer.unwrap() == text, "{number} {n}");
                    }
                });
            }
        });
        assert!(rpc.join().wait().unwrap().success());
    }
}

#[test]
fn pipelined_from_many_threads() {
    let _guard = guard();
    let rpc = TEXT.builder().max_outstanding(100, 10_000).begin();
    thread::scope(|scope| {
        for number in 0..8 {
            let rpc = &rpc;
            scope.spawn(move || {
                for round in 0..rounds(20) {
                    let texts: Vec<_> = (0..100).map(|n| format!("{number} {round} {n}")).collect();
                    let calls: Vec<_> = texts.iter().map(|text| rpc.call(text)).collect();
                    for (call, text) in calls.into_iter().zip(&texts) {
                        assert_eq!(&call.wait().unwrap(), text);
                    }
                }
            });
        }
    });
}

/// Some threads time out and some tasks are dropped; all others get their answers.
#[test]
fn waiters_that_give_up_harm_no_other() {
    let _guard = guard();
    let rpc = TEXT.spawn().unwrap();
    let answered = AtomicU32::new(0);
    thread::scope(|scope| {
        for number in 0..6 {
            let (rpc, answered) = (rpc.clone(), &answered);
            scope.spawn(move || {
                for n in 0..rounds(1000) {
                    let text = n.to_string();
                    let mut call = rpc.call(&text);
                    match number {
                        0 => drop(call),
                        1 => drop(call.wait_timeout(Duration::from_micros(u64::from(n % 60)))),
                        2 => drop(block_on(futures_lite::future::poll_once(call))),
                        _ => {
                            assert_eq!(call.wait().unwrap(), text);
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    assert_eq!(answered.into_inner(), 3 * rounds(1000));
}

/// X29: a child outlives the short-lived thread that started it.
#[test]
fn a_child_outlives_the_thread_that_started_it() {
    let _guard = guard();
    for at_once in [false, true] {
        let builder = move || {
            let builder = WORK.builder();
            if at_once {
                builder.exit_with_parent()
            } else {
                builder
            }
        };
        let rpc = thread::spawn(move || builder().begin()).join().unwrap();
        echoes(&rpc, "here");
        rpc.join().wait().unwrap();
    }
}

/// Many children at once. Two threads use half of them each.
#[test]
fn many_children_at_once() {
    let _guard = guard();
    let all: Vec<_> = (0..16).map(|_| TEXT.spawn().unwrap()).collect();
    thread::scope(|scope| {
        for half in all.chunks(8) {
            scope.spawn(move || {
                for n in 0..50 {
                    let calls: Vec<_> = half.iter().map(|rpc| rpc.call(n.to_string())).collect();
                    for call in calls {
                        assert_eq!(call.wait().unwrap(), n.to_string());
                    }
                }
            });
        }
    });
    for rpc in all {
        rpc.join().wait().unwrap();
    }
}

/// X24: between `fork` and `exec` the crate runs no code that could wait for a lock of another thread, such as the
/// allocator's or that of stdout.
#[test]
fn children_of_a_parent_that_holds_locks() {
    let _guard = guard();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    drop(std::hint::black_box(vec![0_u8; 100_000]));
                    drop(std::hint::black_box(Box::new(7)));
                }
            });
        }
        let (_stdout, _stderr) = (std::io::stdout().lock(), std::io::stderr().lock());
        let spawning = scope.spawn(|| {
            for n in 0..rounds(30) {
                let limits = offspring::Limits::new().core_size(0).nice(1);
                let builder = WORK.builder().limits(limits).env("N", n.to_string());
                let builder = builder.own_group().current_dir("/").capture_stderr(100);
                let rpc = builder.begin();
                let here = rpc.call(echo("here"));
                assert_eq!(here.wait().unwrap(), Ok("here".into()));
                rpc.join().wait().unwrap();
            }
        });
        let outcome = spawning.join();
        over.store(true, Ordering::Relaxed);
        outcome.unwrap();
    });
}
