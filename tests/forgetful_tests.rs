//! A test binary without `init_in_tests!`: its children are test binaries that
//! are asked for something they do not know, and run no test.

offspring::worker!(ECHO: fn(String) -> String = |text: String| text);

#[test]
fn a_test_binary_that_cannot_work() {
    let rpc = ECHO.builder().capture_stderr(1000).spawn().unwrap();
    let error = rpc.call("x").wait().unwrap_err();
    assert!(error.is_handshake(), "{error}");
    let text = error.to_string();
    assert!(text.contains("offspring::init()"), "{text}");
    assert!(
        text.contains("--offspring-worker") || text.contains("offspring-worker"),
        "{text}"
    );
    assert!(rpc.join().wait().is_err());
}
