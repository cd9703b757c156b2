//! A test binary without `init_in_tests!`: no child is made from it.

offspring::worker!(ECHO: fn(String) -> String = |text: String| text);

#[test]
fn a_test_binary_that_cannot_work() {
    let spawned = ECHO.builder().capture_stderr(1000).spawn();
    let error = spawned.expect_err("it is refused");
    assert!(error.is_start(), "{error}");
    assert_eq!(
        error.to_string(),
        "worker `forgetful_tests::ECHO` could not be started: this program has not called `offspring::init()`, and a child made from it would run its `main` once more: write `offspring::init_in_tests!();` once, anywhere in this test's crate (or, if its `main` is yours, call `init` first in it), or start another program that is a worker, by `program` or `command`"
    );
    assert!(offspring::Template::builder().start().is_err());
}
