//! Default timeouts of calls, and children that are killed with their handle.

use std::time::Duration;

use futures_lite::future::block_on;
use futures_lite::{StreamExt, future::poll_once};
use offspring::{Builder, Call, Template};

use crate::support::pooled::{Do, POOLED, both};
use crate::support::*;

const SHORT: Duration = Duration::from_millis(300);

type Work = Builder<fn(Do) -> String, Json, u32>;
type Made = Call<String, u32>;

fn each_builder(test: impl Fn(&dyn Fn() -> Work)) {
    let new = || POOLED.init(false).quiet();
    test(&new);
    test(&|| new().rings(false));
    test(&|| new().command(serving("pooled")));
    let template = Template::builder().start().unwrap();
    test(&|| new().template(&template));
}

/// The timeout of the builder holds for every way of waiting, and stops the work.
#[test]
fn a_timeout_of_the_builder_stops_the_work() {
    let _guard = guard();
    let waits: [fn(Made); 4] = [
        |call| assert_error!(call.wait().unwrap_err(), is_timeout),
        |call| assert_error!(block_on(call).unwrap_err(), is_timeout),
        |call| {
            let (sink, came) = sink();
            call.on_done(sink);
            assert_error!(came.recv().unwrap().unwrap_err(), is_timeout);
        },
        |call| call.detach().unwrap(),
    ];
    each_builder(|builder| {
        for wait in waits {
            let gate = Gate::new();
            let stops = builder().call_timeout(SHORT).kill_on_cancel(true);
            let rpc = stops.begin();
            rpc.ready().wait().unwrap();
            let call = rpc.call(Do::Gate(gate.name()));
            quickly(|| {
                wait(call);
                let status = rpc.join().wait().unwrap();
                assert!(!status.success(), "{status:?}");
            });
        }
    });
}

#[test]
fn a_pool_goes_on_without_the_child_that_was_killed() {
    let _guard = guard();
    let kinds = [
        POOLED
            .init(false)
            .call_timeout(SHORT)
            .kill_on_cancel(true)
            .pool(),
        POOLED
            .init(false)
            .pool()
            .call_timeout(SHORT)
            .kill_on_cancel(true),
    ];
    for pool in kinds {
        let pool = pool.quiet().max(1).eager().begin();
        pool.ready().wait().unwrap();
        let gate = Gate::new();
        let late = pool.call(Do::Gate(gate.name()));
        quickly(|| assert_error!(late.wait().unwrap_err(), is_timeout));
        // The call moves to the next child if it was sent, and has a timeout of its choice.
        let next = pool.call(Do::Echo("so".into())).timeout(None);
        assert_eq!(next.wait().unwrap(), "so");
        until(|| pool.status().died == 1);
    }
}

#[test]
fn options_of_a_call_come_before_defaults() {
    let _guard = guard();
    let gate = Gate::new();
    let builder = || POOLED.init(false).call_timeout(SHORT).kill_on_cancel(true);
    let single = builder().quiet().begin();
    let pool = builder().pool().quiet().max(1).begin();
    for rpc in [&single, pool.rpc()] {
        let pid = rpc.call(Do::Pid).timeout(None).wait().unwrap();
        // Without a timeout, or with a longer one, the call is done.
        for time in [None, Some(soon())] {
            let call = rpc.call(Do::Sleep(600)).timeout(time);
            assert_eq!(call.wait().unwrap(), "done");
        }
        let kept = rpc.call(Do::Gate(gate.name())).kill_on_cancel(false);
        let open = gate.reached();
        assert_error!(kept.wait().unwrap_err(), is_timeout);
        drop(open);
        assert_eq!(rpc.call(Do::Pid).timeout(None).wait().unwrap(), pid);
        let map = rpc.map([Do::Sleep(600)]).timeout(None);
        assert_eq!(map.into_iter().next().unwrap().unwrap(), "done");
        // The timeout of a handle holds for its clones.
        let late = rpc.clone().call(Do::Gate(gate.name()));
        assert_error!(late.wait().unwrap_err(), is_timeout);
    }
    let further = POOLED.init(false).kill_on_drop(true);
    let error = POOLED.init(false).pool().also(1, further).spawn();
    assert!(error.unwrap_err().to_string().contains("further kind"));
}

#[test]
fn a_child_is_killed_with_its_last_handle() {
    let _guard = guard();
    each_builder(|builder| {
        let before = children();
        let (temp, gate) = Temp::with_gate();
        let line = |text: &str| Do::Append(temp.path("lines"), text.into());
        let (rpc, mut events) = builder().kill_on_drop(true).spawn_with_events().unwrap();
        let running = rpc.call(Do::Gate(gate.name()));
        let open = gate.reached();
        let (sink, came) = sink();
        rpc.call(line("callback")).on_done(sink);
        rpc.call(line("detached")).detach().unwrap();
        let mut polled = rpc.call(line("polled"));
        assert!(block_on(poll_once(&mut polled)).is_none());
        // Another handle keeps the child.
        drop(rpc.clone());
        assert_eq!(children().len(), before.len() + 1);
        drop(rpc);
        quickly(|| {
            assert_error!(running.wait().unwrap_err(), is_child_dead);
            assert_error!(block_on(polled).unwrap_err(), is_child_dead);
            let reason = came.recv().unwrap().unwrap_err();
            assert_error!(reason, is_child_dead, "kill_on_drop");
            assert!(block_on(events.next()).is_none());
            until(|| children() == before);
        });
        drop(open);
        assert_eq!(temp.lines("lines"), [""; 0]);
    });
}

#[test]
fn a_pool_is_killed_with_its_last_handle() {
    let _guard = guard();
    let gate = Gate::new();
    let pool = POOLED.init(false).pool().quiet().kill_on_drop(true);
    let pool = pool.max(2).idle(2).begin();
    let calls: Vec<_> = (0..10).map(|_| pool.call(Do::Gate(gate.name()))).collect();
    let open = gate.reached();
    let map = pool.map([Do::Pid]);
    drop(pool);
    assert!(!children().is_empty(), "the map keeps the pool");
    drop(map);
    quickly(|| {
        for call in calls {
            let error = call.wait().unwrap_err();
            assert!(error.is_child_dead() || error.is_closed(), "{error}");
        }
        until(|| children().is_empty());
    });
    drop(open);
}

/// A child finishes its calls while a `join` waits for its end. It is killed if the `join` is dropped.
#[test]
fn a_wait_for_the_end_is_a_handle() {
    let _guard = guard();
    each_builder(|builder| {
        let before = children();
        let gate = Gate::new();
        let rpc = builder().kill_on_drop(true).begin();
        let call = rpc.call(both(Do::Sleep(50), Do::Pid));
        assert!(rpc.join().wait().unwrap().success());
        call.wait().unwrap();
        let rpc = builder().kill_on_drop(true).begin();
        let call = rpc.call(Do::Gate(gate.name()));
        let open = gate.reached();
        let mut join = rpc.join();
        assert_error!(
            join.wait_timeout(Duration::from_millis(1)).unwrap_err(),
            is_timeout
        );
        assert!(children().len() > before.len());
        drop(join);
        quickly(|| assert_error!(call.wait().unwrap_err(), is_child_dead));
        quickly(|| until(|| children() == before));
        drop(open);
    });
}
