//! A test binary without `init_in_tests!`: it cannot start itself as a child.

offspring::worker!(ECHO: fn(String) -> String = |text: String| text);

#[test]
fn a_test_binary_that_cannot_work() {
    let spawned = ECHO.builder().capture_stderr(1000).spawn();
    let error = spawned.expect_err("it is refused");
    assert!(error.is_start(), "{error}");
    assert_eq!(
        error.to_string(),
        "worker `forgetful_tests::ECHO` could not be started: this program has not called `offspring::init()`, and a child made from it would run its `main` once more: with the test harness, write `offspring::init_in_tests!();` once, anywhere in this crate; with a `main` of yours (`harness = false`), call `init` first in it, or start another program that is a worker, by `program` or `command`"
    );
    assert!(offspring::Template::builder().start().is_err());
}

/// A worker in a thread of this process needs no `init`.
#[test]
fn a_worker_in_this_process() {
    let rpc = ECHO.builder().in_process().spawn().unwrap();
    assert_eq!(rpc.call("so").wait().unwrap(), "so");
    rpc.join().wait().unwrap();
}

/// The reactor of `async-io`, which serves the worker, has a thread that stays.
#[cfg(feature = "concurrent")]
mod at_once {
    async fn swap(text: String) -> String {
        smol::Timer::after(std::time::Duration::from_millis(1)).await;
        text.chars().rev().collect()
    }
    offspring::worker!(SWAP: fn(String) -> String = swap);

    #[test]
    fn an_async_worker_in_this_process() {
        let rpc = SWAP.builder().in_process().spawn().unwrap();
        let calls: Vec<_> = (10..90).map(|n| rpc.call(n.to_string())).collect();
        let answers: Result<Vec<_>, _> = calls.into_iter().map(|call| call.wait()).collect();
        assert_eq!(answers.unwrap()[5], "51");
        assert!(rpc.call("x").wait().is_ok());
        rpc.join().wait().unwrap();
    }
}
