//! Deadlines, cancelled calls, and children that are killed for them.

use std::fs::File;
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use offspring::Started;

use crate::support::*;

type Call = offspring::Call<Result<String, String>, u32>;
type Rpc = offspring::Rpc<fn(Job) -> Result<String, String>, Json, u32>;

const SHORT: Duration = Duration::from_millis(20);

/// A deadline holds for every way of waiting, and the child works on.
#[test]
fn a_late_call_is_done_with_an_error() {
    let _guard = guard();
    let gate = Gate::new();
    let rpc = WORK.spawn().unwrap();
    let blocked = rpc.call(Job::Gate(gate.name()));
    let open = gate.reached();
    quickly(|| {
        let late = || rpc.call(echo("late")).timeout(SHORT);
        assert!(late().wait().unwrap_err().is_timeout());
        assert!(block_on(late()).unwrap_err().is_timeout());
        let mut call = late();
        assert!(call.wait_timeout(Duration::MAX).unwrap_err().is_timeout());
        let (sender, receiver) = sink();
        late().on_done(sender);
        assert!(receiver.recv().unwrap().unwrap_err().is_timeout());
        late().detach().unwrap();
        // The deadline is over at once.
        let past = rpc.call(echo("past")).deadline(Instant::now());
        assert!(past.wait().unwrap_err().is_timeout());
    });
    // A wait that ends before the deadline leaves the call open, and so does a distant deadline.
    let mut call = rpc.call(echo("so")).timeout(limit(Duration::from_secs(50)));
    assert!(call.wait_timeout(SHORT).unwrap_err().is_timeout());
    drop(open);
    assert_eq!(call.wait().unwrap(), Ok("so".into()));
    assert_eq!(blocked.wait().unwrap(), Ok("done".into()));
    let far = rpc.call(echo("far")).timeout(Duration::MAX);
    assert_eq!(far.wait().unwrap(), Ok("far".into()));
}

/// A call that expires before the child has started it does not run (N1).
#[test]
fn a_late_call_does_not_run_afterwards() {
    let _guard = guard();
    let temp = Temp::new();
    let (gate, file) = (temp.gate("gate"), temp.path("file"));
    let rpc = WORK.spawn().unwrap();
    let blocked = rpc.call(Job::Gate(gate.name()));
    let open = gate.reached();
    let late: Vec<_> = (0..10)
        .map(|n| {
            rpc.call(Job::Append(file.clone(), n.to_string()))
                .timeout(SHORT)
        })
        .collect();
    for call in late {
        assert!(call.wait().unwrap_err().is_timeout());
    }
    drop(open);
    blocked.wait().unwrap().unwrap();
    rpc.call(echo("so")).wait().unwrap().unwrap();
    assert_eq!(temp.lines("file"), [""; 0]);
}

/// The child is killed because one call was cancelled. The errors of the other calls say so, and whether
/// they had started.
#[test]
fn a_call_that_cannot_be_stopped_takes_the_child_with_it() {
    let _guard = guard();
    for dropped in [false, true] {
        let temp = Temp::new();
        let (gate, file) = (temp.gate("gate"), temp.path("file"));
        let rpc = WORK.spawn().unwrap();
        let running = rpc.call(Job::Gate(gate.name())).kill_on_cancel(true);
        let other = rpc.call(Job::Append(file, "ran".into()));
        let other = other.timeout(Duration::from_secs(20));
        let open = gate.reached();
        quickly(|| {
            if dropped {
                drop(running);
            } else {
                let error = running.timeout(SHORT).wait().unwrap_err();
                assert_error!(error, is_timeout, started = Yes);
            }
            let error = other.wait().unwrap_err();
            assert_error!(error, is_child_dead, started = No);
            let reason = error.crash().unwrap().reason().unwrap();
            assert!(reason.contains("a call was cancelled or late"), "{reason}");
        });
        assert_eq!(rpc.join().wait().unwrap().signal(), Some(9));
        assert_eq!(temp.lines("file"), [""; 0]);
        drop(open);
    }
}

/// A call that has not started is only cancelled, and the child lives.
#[test]
fn a_call_that_does_not_run_takes_no_child_with_it() {
    let _guard = guard();
    let gate = Gate::new();
    let rpc = WORK.builder().max_outstanding(2, 1 << 20).begin();
    let running = rpc.call(Job::Gate(gate.name()));
    let open = gate.reached();
    // The first call is sent, the second is not.
    for _ in 0..2 {
        drop(rpc.call(echo("sent")).kill_on_cancel(true));
    }
    // The reactor looks every 10 ms whether the first call has started.
    until(|| naps().is_some());
    let before = naps().unwrap();
    until(|| naps() > Some(before + 2));
    drop(open);
    assert_eq!(running.wait().unwrap(), Ok("done".into()));
    // A call that is done is not killed for.
    let done = rpc.call(echo("so")).kill_on_cancel(true);
    rpc.call(echo("next")).wait().unwrap().unwrap();
    drop(done);
    assert!(rpc.join().wait().unwrap().success());
}

/// A call that the child had read before the cancel starts all the same, and the child is killed for it.
#[test]
fn a_call_that_starts_in_spite_of_it_takes_the_child_with_it() {
    let _guard = guard();
    let temp = Temp::new();
    let (first, second) = (temp.gate("first"), temp.gate("second"));
    let rpc = WORK.spawn().unwrap();
    rpc.ready().wait().unwrap();
    // Both are sent in one write, so the child has read the second when the first runs.
    let running = rpc.call(Job::Gate(first.name()));
    let doomed = rpc.call(Job::Gate(second.name())).kill_on_cancel(true);
    let open = first.reached();
    drop(doomed);
    drop(open);
    let outcome = running.wait();
    assert_eq!(outcome.unwrap(), Ok("done".into()));
    quickly(|| {
        let status = rpc.join().wait().unwrap();
        // The call was skipped if the child read the cancel in time.
        assert!(status.success() || status.signal() == Some(9), "{status}");
    });
}

/// X18, with a real child: many calls expire, and their answers arrive all the same.
#[test]
fn many_late_calls_are_forgotten() {
    let _guard = guard();
    let rpc = WORK.spawn().unwrap();
    for n in 0..rounds(10_000) {
        let late = rpc.call(echo("late")).deadline(Instant::now());
        let outcome = if n % 2 == 0 {
            late.wait()
        } else {
            block_on(late)
        };
        // The reactor may have read the answer before the deadline.
        match outcome {
            Ok(text) => assert_eq!(text, Ok("late".into())),
            Err(error) => assert!(error.is_timeout(), "{error}"),
        }
        if n % 100 == 0 {
            let text = n.to_string();
            assert_eq!(rpc.call(Job::Echo(text.clone())).wait().unwrap(), Ok(text));
        }
    }
    assert!(rpc.join().wait().unwrap().success());
}

/// How many calls expire, or are cancelled, at once.
const CROWD: usize = 50_000;

/// A child that runs one call, after which [`CROWD`] others were sent.
fn crowded(gate: &Gate, with: impl Fn(Call) -> Call) -> (Rpc, Vec<Call>, Call, File) {
    let rpc = WORK.builder().max_outstanding(2 * CROWD, 1 << 30).quiet();
    let rpc = rpc.begin();
    let running = rpc.call(Job::Gate(gate.name()));
    let open = gate.reached();
    let calls = (0..CROWD).map(|_| with(rpc.call(echo("late")))).collect();
    (rpc, calls, running, open)
}

/// X79: many calls expire in linear time, in turns with other children.
#[test]
fn a_crowd_is_late_at_once_and_others_do_not_notice() {
    let _guard = guard();
    let (temp, gate) = Temp::with_gate();
    let other = WORK.builder().quiet().begin();
    other.ready().wait().unwrap();
    let at = Instant::now() + limit(Duration::from_secs(3));
    let (rpc, calls, running, open) = crowded(&gate, |call| call.deadline(at).kill_on_cancel(true));
    let dead = other.call(Job::LonelyGate(temp.gate("other").name()));
    until(|| Instant::now() >= at);
    quickly(|| {
        kill_process(other.pid().unwrap());
        assert!(dead.wait().unwrap_err().is_child_dead());
        for call in calls {
            let error = call.wait().unwrap_err();
            assert!(error.is_timeout() && error.started() != Started::Yes);
        }
    });
    drop(open);
    drop((running, rpc));
}

/// X79: many calls are dropped in linear time, also those for which the child is killed.
#[test]
fn a_crowd_is_given_up() {
    let _guard = guard();
    let temp = Temp::new();
    for (name, kills) in [("plain", false), ("kills", true)] {
        let gate = temp.gate(name);
        let with = |call: Call| call.kill_on_cancel(kills);
        let (rpc, calls, running, open) = crowded(&gate, with);
        quickly(|| drop(calls));
        drop(open);
        // The child may be killed for a call that it had read.
        let outcome = running.wait();
        assert!(kills || outcome.is_ok(), "{outcome:?}");
        drop(rpc);
    }
}
