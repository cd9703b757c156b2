//! Idle children, pools and the reactor use no CPU.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use offspring::{Builder, Octets, Template, worker};

use crate::support::*;

worker!(ECHO: fn(String) -> String = |text: String| text);

#[cfg(feature = "concurrent")]
async fn later(text: String) -> String {
    text
}

#[cfg(feature = "concurrent")]
worker!(LATER: fn(String) -> String = later);

/// The CPU time of each thread of these processes, except the calling thread.
fn cpu_times(pids: &[u32]) -> BTreeMap<PathBuf, Duration> {
    let own = format!("/{}/task/{}", std::process::id(), nix::unistd::gettid());
    let tasks = pids
        .iter()
        .flat_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).unwrap());
    let tasks = tasks.map(|task| task.unwrap().path());
    let others = tasks.filter(|task| !task.ends_with(own.trim_start_matches('/')));
    let times = others.map(|task| {
        // The thread may have ended.
        let text = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
        let time = text.split(' ').next().and_then(|time| time.parse().ok());
        (task, Duration::from_nanos(time.unwrap_or(0)))
    });
    times.collect()
}

/// The CPU time that was used meanwhile, and the threads that used it.
fn used_in(time: Duration, pids: &[u32]) -> (Duration, Vec<(String, Duration)>) {
    let before = cpu_times(pids);
    thread::sleep(time);
    let mut used = Vec::new();
    for (task, after) in cpu_times(pids) {
        let more = after.saturating_sub(before.get(&task).copied().unwrap_or_default());
        if !more.is_zero() {
            let name = fs::read_to_string(task.join("comm")).unwrap_or_default();
            used.push((format!("{} {}", task.display(), name.trim()), more));
        }
    }
    (used.iter().map(|(_, time)| *time).sum(), used)
}

/// The reactor does not wake up for the timeout of a hello that has arrived.
#[test]
fn the_reactor_does_not_wake_for_a_hello_that_has_arrived() {
    let _guard = guard();
    let time = Duration::from_secs(2);
    let rpc = ECHO.builder().hello_timeout(time).begin();
    assert_eq!(rpc.call("so").wait().unwrap(), "so");
    // The reactor looks once after a call.
    let mut before = naps();
    until(|| {
        thread::sleep(Duration::from_millis(100));
        let last = std::mem::replace(&mut before, naps());
        before == last
    });
    assert!(before.is_some());
    thread::sleep(time);
    assert_eq!(naps(), before);
}

type Children = Builder<fn(String) -> String, Octets>;

/// A pool that was called in tight loops is idle at once, and stays so. So are single children, with
/// handlers and without.
#[test]
fn an_idle_pool_uses_no_cpu() {
    // Threads of other tests would count.
    alone(|| {
        let template = Template::builder().start().unwrap();
        idle(|| ECHO.builder(), &template);
        #[cfg(feature = "concurrent")]
        idle(|| LATER.builder(), &template);
    });
}

fn idle(kind: fn() -> Children, template: &Template) {
    const EACH: usize = 3;
    let pools = [
        kind().pool().max(EACH).idle(EACH).start(Duration::ZERO),
        kind()
            .template(template)
            .pool()
            .max(EACH)
            .idle(EACH)
            .start(Duration::ZERO),
    ];
    let pools = pools.map(|pool| pool.begin());
    let alone = [kind(), kind().on_event(|_| ()), kind().rings(false)];
    let alone = alone.map(|child| child.begin());
    let handles: Vec<_> = pools.iter().map(|pool| pool.rpc()).chain(&alone).collect();
    let start = Instant::now();
    thread::scope(|scope| {
        for handle in &handles {
            scope.spawn(move || {
                while start.elapsed() < Duration::from_millis(300) {
                    let calls = [(); 2].map(|()| handle.call("so"));
                    let _ = calls.map(|call| call.wait().unwrap());
                    futures_lite::future::block_on(handle.call("so")).unwrap();
                }
            });
        }
    });
    until(|| pools.iter().all(|pool| pool.status().idle == EACH));
    let mut pids = children();
    assert!(
        pids.len() > 2 * EACH + alone.len(),
        "the template counts as well"
    );
    pids.push(std::process::id());
    // The threads stop spinning after a moment, which is longer on a busy machine. A thread that wakes up again and again
    // does so in each window.
    let start = Instant::now();
    loop {
        let time = Duration::from_millis(100) * rounds(20);
        let (used, by) = used_in(time, &pids);
        if used < Duration::from_millis(1) {
            break;
        }
        assert!(start.elapsed() < soon(), "{used:?} in {time:?}: {by:?}");
    }
    for rpc in alone {
        rpc.join().wait().unwrap();
    }
    for pool in pools {
        pool.join().wait().unwrap();
    }
}
