//! A test binary without `init_in_tests!`: no child is made from it.

offspring::worker!(ECHO: fn(String) -> String = |text: String| text);

#[test]
fn a_test_binary_that_cannot_work() {
    let spawned = ECHO.builder().capture_stderr(1000).spawn();
    let error = spawned.expect_err("it is refused");
    assert!(error.is_start(), "{error}");
    let text = error.to_string();
    assert!(text.contains("offspring::init_in_tests!"), "{text}");
    assert!(offspring::Template::builder().start().is_err());
}
