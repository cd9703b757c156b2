//! A program that does not call `init`: its children do the same as it, until
//! they want children of their own, which are refused. No loop of processes.
//!
//! Without the harness of tests, since `main` is what this is about.

use std::process::Stdio;

offspring::worker!(ECHO: fn(String) -> String = |text: String| text);

fn main() {
    println!("this is process {}", std::process::id());
    let rpc = match ECHO
        .builder()
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
    {
        Ok(rpc) => rpc,
        Err(error) => {
            assert!(error.is_start(), "{error}");
            assert!(error.to_string().contains("offspring::init()"), "{error}");
            std::process::exit(7);
        }
    };
    let error = rpc.call("x").wait().expect_err("nobody answers");
    assert!(error.is_handshake(), "{error}");
    assert_eq!(error.started(), offspring::Started::No);
    let text = error.to_string();
    assert!(text.contains("exited with code 7"), "{text}");
    assert!(text.contains("offspring::init()"), "{text}");
    assert!(rpc.join().wait().is_err());
    println!("test result: ok");
}
