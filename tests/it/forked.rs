//! X73: a program that has children calls `fork`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use futures_lite::future::block_on;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use offspring::{Error, Started, Template};

use crate::support::*;

/// Runs `body` in a copy of this process, made by `fork`.
#[track_caller]
fn in_a_copy(body: impl FnOnce()) {
    // SAFETY: the copy allocates, which the C library allows, and ends by `_exit`.
    let ForkResult::Parent { child } = unsafe { fork() }.unwrap() else {
        let outcome = catch_unwind(AssertUnwindSafe(body));
        // SAFETY: the call ends this process.
        unsafe { libc::_exit(i32::from(outcome.is_err())) }
    };
    assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0)));
}

#[track_caller]
fn is_forked<T>(outcome: Result<T, Error>, started: Started) {
    let error = outcome.err().expect("the handle belongs to the original");
    assert_error!(error, is_closed, "fork");
    assert_eq!(error.started(), started);
}

/// Uses a child that this process started in every way.
fn new_children_work() {
    let rpc = WORK.spawn().unwrap();
    echoes(&rpc, "wait");
    assert_eq!(
        block_on(rpc.call(echo("await"))).unwrap(),
        Ok("await".into())
    );
    let (sender, outcomes) = sink();
    rpc.call(echo("done")).on_done(sender);
    assert_eq!(outcomes.recv().unwrap().unwrap(), Ok("done".into()));
    let late = rpc.call(Job::Spin).timeout(Duration::from_millis(1));
    assert!(block_on(late).unwrap_err().is_timeout());
    rpc.kill();
    rpc.join().wait().unwrap();
    let pool = WORK.pool().on_event(|_| ()).begin();
    echoes(&pool, "pool");
    pool.join().wait().unwrap();
}

#[test]
fn handles_of_the_original_are_errors_and_others_work() {
    alone(|| {
        let temp = Temp::new();
        let (gate, pool_gate) = (temp.gate("gate"), temp.gate("pool"));
        let (rpc, events) = WORK.builder().spawn_with_events().unwrap();
        let template = Template::builder().start().unwrap();
        let forked = WORK.template(&template).begin();
        let pool = WORK.pool().max(1).load(1).on_event(|_| ()).begin();
        let mut running = rpc.call(Job::Gate(gate.name()));
        let behind = rpc.call(echo("behind"));
        let in_pool = pool.call(Job::Gate(pool_gate.name()));
        let queued = pool.call(echo("queued"));
        let open = (gate.reached(), pool_gate.reached());
        let mut taken = Some((rpc, events, template, forked, pool, behind, in_pool, queued));

        in_a_copy(|| {
            quickly(|| {
                let (rpc, events, template, forked, pool, behind, in_pool, queued) =
                    taken.take().unwrap();
                for rpc in [&rpc, &forked, pool.rpc()] {
                    is_forked(rpc.call(echo("new")).wait(), Started::No);
                    is_forked(block_on(rpc.call(echo("new"))), Started::No);
                    is_forked(rpc.ready().wait(), Started::No);
                    let error = rpc.ready().wait().unwrap_err();
                    assert!(error.to_string().starts_with("worker `"), "{error}");
                    let (sender, outcomes) = channel();
                    rpc.call(echo("new"))
                        .on_done(move |outcome| sender.send(outcome).unwrap());
                    is_forked(outcomes.recv().unwrap(), Started::No);
                    is_forked(rpc.clone().join().wait(), Started::No);
                    rpc.kill();
                }
                is_forked(
                    running.wait_timeout(Duration::from_secs(1)),
                    Started::Unknown,
                );
                is_forked(block_on(in_pool), Started::Unknown);
                let (sender, outcomes) = channel();
                behind.on_done(move |outcome| sender.send(outcome).unwrap());
                is_forked(outcomes.recv().unwrap(), Started::Unknown);
                drop(queued);
                let events: Vec<_> = events.into_iter().collect();
                assert_eq!(events.len(), 1);
                is_forked(template.ready().wait(), Started::No);
                is_forked(WORK.template(&template).spawn(), Started::No);
                assert_eq!(pool.status().running, 0);
                drop((rpc, template, forked, pool));
            });
            new_children_work();
        });

        drop(open);
        let (rpc, events, template, forked, pool, behind, in_pool, queued) = taken.unwrap();
        assert_eq!(running.wait().unwrap(), Ok("done".into()));
        assert_eq!(behind.wait().unwrap(), Ok("behind".into()));
        assert_eq!(in_pool.wait().unwrap(), Ok("done".into()));
        assert_eq!(queued.wait().unwrap(), Ok("queued".into()));
        drop(events);
        let second = WORK.template(&template).begin();
        for rpc in [rpc, forked, second, pool.rpc().clone()] {
            echoes(&rpc, "so");
            assert!(rpc.join().wait().unwrap().success());
        }
    });
}

/// The fork may happen while any thread holds any lock.
#[test]
fn at_any_moment() {
    alone(|| {
        let stop = AtomicBool::new(false);
        let rpc = WORK.spawn().unwrap();
        let pool = WORK.pool().max(2).on_event(|_| ()).begin();
        thread::scope(|scope| {
            for rpc in [&rpc, &rpc, pool.rpc()] {
                let stop = &stop;
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        rpc.call(echo("so")).wait().unwrap().unwrap();
                        WORK.spawn().unwrap();
                    }
                });
            }
            for _ in 0..rounds(20) {
                in_a_copy(|| {
                    for rpc in [rpc.clone(), pool.rpc().clone()] {
                        is_forked(rpc.call(echo("new")).wait(), Started::No);
                    }
                    let own = WORK.spawn().unwrap();
                    echoes(&own, "own");
                    own.join().wait().unwrap();
                });
            }
            stop.store(true, Ordering::Relaxed);
        });
        rpc.join().wait().unwrap();
        pool.join().wait().unwrap();
    });
}
