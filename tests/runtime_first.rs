//! A program that calls `init` in an async `main`, when the runtime has started
//! its threads: a template of it cannot fork, and a child cannot give up rights, and
//! each says why. Other children work.
//!
//! So with a worker that has its own runtime.
//!
//! Without the harness of tests, since `main` is what this is about.

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

fn main() {
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
    contains(&text, &["3 threads", "#[tokio::main]", "offspring::init()"]);
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
