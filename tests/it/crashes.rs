//! Calls that crash their child: each costs one start, no pause, and does not affect others.
//!
//! The pauses of the default `backoff` add up to more than the limit of `quickly`, so that these tests would find them.

use std::process::Command;
use std::time::Duration;

use offspring::{Bytes, Limits, Pool, PoolBuilder, Started, Template, worker};

use crate::support::pooled::{Do, POOLED};
use crate::support::*;

type Set = PoolBuilder<fn(Do) -> String, Json, u32>;

fn setup() -> Set {
    POOLED.init(false).pool().quiet()
}

fn echo(pool: &Pool<fn(Do) -> String, Json, u32>) {
    assert_eq!(pool.call(Do::Echo("a".into())).wait().unwrap(), "a");
}

/// X61: some good calls, then 14 bad ones, and a good one.
fn survives(set: Set, children: u64) {
    let pool = set.begin();
    (0..20).for_each(|_| echo(&pool));
    quickly(|| {
        for _ in 0..14 {
            assert!(pool.call(Do::Abort).wait().unwrap_err().is_child_dead());
        }
        echo(&pool);
    });
    let status = pool.status();
    assert!(status.started <= children + 14, "{status:?}");
    assert_eq!((status.died, status.failed), (14, 0), "{status:?}");
    pool.join().wait().unwrap();
}

#[test]
fn calls_that_end_their_child_delay_nothing() {
    let _guard = guard();
    survives(setup().max(4).idle(4).load(1), 4);
    survives(setup().single(), 1);
    survives(setup().max(1), 1);
    survives(setup().max(2).also(2, POOLED.init(false)).idle(1), 4);
    let command = || POOLED.init(false).command(serving("pooled"));
    survives(command().pool().quiet().max(2), 2);
    let template = Template::builder().start().unwrap();
    let children = POOLED.init(false).template(&template).pool();
    survives(children.quiet().max(2).load(1), 2);
}

/// X61: the first of many calls are bad.
#[test]
fn bad_calls_among_others_cost_a_start_each() {
    let _guard = guard();
    for set in [
        setup().load(1),
        setup().single(),
        setup().max_calls(1).max(4),
    ] {
        let pool = set.start(Duration::ZERO).begin();
        let job = |n| {
            if n < 10 {
                Do::Abort
            } else {
                Do::Echo("a".into())
            }
        };
        let count = rounds(100);
        quickly(|| {
            let calls: Vec<_> = (0..count).map(|n| pool.call(job(n))).collect();
            for (n, call) in calls.into_iter().enumerate() {
                assert_eq!(call.wait().is_err(), n < 10, "{n}");
            }
        });
        assert_eq!((pool.status().died, pool.status().failed), (10, 0));
        pool.join().wait().unwrap();
    }
}

/// X61: the plain form has no `ready`, and a bad call ends the child.
#[test]
fn bad_calls_in_the_plain_form_delay_nothing() {
    let _guard = guard();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "dd bs=1 count=8 >/dev/null 2>&1; exit 101"]);
    let pool = POOLED.init(false).command(command).plain().pool();
    let pool = pool.quiet().max(2).load(1).begin();
    quickly(|| {
        for _ in 0..14 {
            let error = pool.call(Do::Pid).wait().unwrap_err();
            assert_eq!(error.crash().unwrap().status().code(), Some(101));
        }
    });
}

worker!(LENGTH: fn(Bytes) -> u64 = |bytes: Bytes| bytes.len() as u64);

/// A call that no child can receive goes to five, and then fails. Calls beside it, and behind it in the same child, do not.
#[test]
fn arguments_that_end_each_child_that_receives_them() {
    let _guard = guard();
    let limits = Limits::new().memory(200 << 20).core_size(0);
    let children = || LENGTH.builder().limits(limits).pool().quiet();
    let millisecond = Duration::from_millis(1);
    for set in [children().max(2), children().single()] {
        let pool = set.backoff(millisecond, millisecond).begin();
        let large = Bytes::from(vec![7; 250 << 20]);
        let large = pool.call(large);
        let others = [(); 4].map(|()| pool.call(Bytes::from(vec![7; 10])));
        let error = large.wait().unwrap_err();
        assert_eq!(error.started(), Started::No);
        let text = error.to_string();
        let said = "SIGABRT) before it started this call, like four children before it; its memory was limited";
        assert!(text.contains(said), "{text}");
        for other in others {
            assert_eq!(other.wait().unwrap(), 10);
        }
        assert_eq!(pool.status().died, 5);
        pool.join().wait().unwrap();
    }
}

/// A child that exits when it is ready, without any call, is not restarted without pause.
#[test]
fn children_that_end_by_themselves_are_not_started_without_end() {
    let _guard = guard();
    let pool = setup().idle(1).begin();
    let mut ended = 0;
    while ended < 5 {
        pool.ready().wait().unwrap();
        children().into_iter().for_each(kill_process);
        until(|| pool.status().died > ended);
        ended = pool.status().died;
    }
    // The next start for `idle` comes 1.6 s later, or more; a call does not wait.
    quickly(|| echo(&pool));
    assert!(pool.status().started <= 7, "{:?}", pool.status());
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    command
}

/// X76: an error that another attempt cannot cure is reported after the first. The test counts attempts, because `backoff`
/// would take 1.5 s until the fifth.
#[test]
fn a_wrong_program_is_told_at_once() {
    let _guard = guard();
    let program = |command| POOLED.init(false).program(command);
    let command = |command| POOLED.init(false).command(command);
    let temp = Temp::new();
    std::fs::write(temp.path("text"), "no program").unwrap();
    let wrong = [
        program(Command::new("/nowhere/worker")),
        command(Command::new("/nowhere/worker")),
        program(Command::new(temp.path("text"))),
        program(serving("work")),
        command(serving("later")),
        command(Command::new("cat")),
        command(shell("echo ready")),
        command(shell("/nowhere/worker 2>/dev/null")),
        program(Command::new("true")),
    ];
    for (n, children) in wrong.into_iter().enumerate() {
        let pool = children.pool().max(1).quiet().begin();
        let error = pool.call(Do::Pid).wait().unwrap_err();
        assert!(error.is_start() || error.is_handshake(), "{n}: {error}");
        assert_eq!(pool.status().failed, 1, "{n}: {error}");
        let again = pool.call(Do::Pid).wait().unwrap_err();
        assert!(again.is_start() || again.is_handshake(), "{n}: {again}");
        assert!(pool.ready().wait().is_err());
        pool.join().wait().unwrap();
    }
}

/// An error that may pass is tried five times.
#[test]
fn what_may_pass_is_tried_again() {
    let _guard = guard();
    for script in ["exit 255", "exit 1", "kill -9 $$"] {
        let children = POOLED.init(false).command(shell(script)).pool();
        let pool = children
            .backoff(Duration::from_millis(1), Duration::from_millis(1))
            .quiet()
            .begin();
        let error = pool.call(Do::Pid).wait().unwrap_err();
        assert!(error.is_handshake(), "{error}");
        assert_eq!(pool.status().failed, 5, "{script}: {error}");
        pool.join().wait().unwrap();
    }
}

/// X76: another kind of children takes the calls.
#[test]
fn a_wrong_program_beside_a_right_one() {
    let _guard = guard();
    let wrong = POOLED.init(false).program(Command::new("/nowhere/worker"));
    let pool = wrong.pool().also(1, POOLED.init(false)).quiet();
    let pool = pool.begin();
    (0..20).for_each(|_| echo(&pool));
}
