//! A program that calls `init` in an async `main`, after the runtime has started its threads. A template of it cannot fork,
//! and a child cannot give up rights, and both errors say why. Other children work, also those of a worker with its own
//! runtime.
//!
//! It has no test harness, because it tests `main`.

use offspring::Template;
use tokio::runtime::Runtime;

offspring::worker!(ECHO: fn(String) -> String = |text: String| text);

offspring::worker!(OWN: fn() = || many().block_on(async {}));

#[cfg(feature = "concurrent")]
offspring::worker!(NAP: fn() = nap, runtime = |server| many().block_on(server));

#[cfg(feature = "concurrent")]
async fn nap() {
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
}

fn many() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let builder = builder.worker_threads(2).enable_time();
    builder.build().expect("a runtime")
}

/// Answers a test runner that asks for the tests of this program. Returns whether one did.
fn is_listed() -> bool {
    let asked = |option: &str| std::env::args().any(|own| own == option);
    if asked("--list") && !asked("--ignored") {
        println!("work: test");
    }
    asked("--list")
}

fn main() {
    if is_listed() {
        return;
    }
    many().block_on(async { work() });
    println!("test result: ok");
}

fn work() {
    offspring::init();
    let rpc = ECHO.spawn().expect("a child");
    assert_eq!(rpc.call("x").wait().expect("an answer"), "x");
    rpc.join().wait().expect("an end");
    let template = Template::builder().start().expect("a template");
    template.ready().wait().expect("it is ready");
    let forked = ECHO.template(&template).spawn();
    let text = forked.expect_err("it cannot fork").to_string();
    contains(
        &text,
        &[
            "3 threads",
            "2 of them",
            "#[tokio::main]",
            "offspring::init()",
        ],
    );
    assert!(!text.contains("preload"), "{text}");
    let rights = offspring::Rights::new().no_new_privileges();
    let rpc = ECHO.builder().rights(rights).on_error(|_| ());
    let rpc = rpc.spawn().expect("a child");
    let text = rpc.ready().wait().expect_err("it refuses").to_string();
    let pid = rpc.pid().expect("a process");
    let child = format!("worker `runtime_first::ECHO` (process {pid})");
    assert_eq!(
        text.replace(&child, "CHILD"),
        "CHILD: the handshake with this program failed: cannot set rights: the process has 3 threads, and the kernel changes some rights of one thread only, so it must have one: call `offspring::init()` or `serve` first in a `main` that is not async (`#[tokio::main]` starts threads before it)"
    );
    let _ = rpc.join().wait();
    let rpc = OWN
        .builder()
        .capture_stderr(10_000)
        .spawn()
        .expect("a child");
    let text = rpc.call().wait().expect_err("it panics").to_string();
    contains(&text, &["async", "offspring::init()"]);
    rpc.join().wait().expect("an end");
    #[cfg(feature = "concurrent")]
    {
        let rpc = NAP.builder().on_error(|_| ()).capture_stderr(10_000);
        let rpc = rpc.spawn().expect("a child");
        let text = rpc.call().wait().expect_err("it panics").to_string();
        contains(&text, &["#[tokio::main]", "offspring::init()"]);
        let _ = rpc.join().wait();
    }
}

fn contains(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "no {word:?} in: {text}");
    }
}
