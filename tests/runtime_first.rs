//! A program that calls `init` in an async `main`, after the runtime has started its threads. A template of it cannot fork,
//! and a child cannot give up rights, and both errors say why. Other children work, also those of a worker with its own
//! runtime.
//!
//! Started again, the runtime of `main` has one thread. There an async worker cannot start, and all others work.
//!
//! It has no test harness, because it tests `main`.

use offspring::Template;
use tokio::runtime::{Builder, Runtime};

offspring::worker!(ECHO: fn(String) -> String = |text: String| text);

offspring::worker!(OWN: fn() = || many().block_on(async {}));

#[cfg(feature = "concurrent")]
offspring::worker!(NAP: fn() = nap, runtime = |server| many().block_on(server));

#[cfg(feature = "concurrent")]
offspring::worker!(WAIT: fn() = nap);

#[cfg(feature = "concurrent")]
async fn nap() {
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
}

fn many() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    let builder = builder.worker_threads(2).enable_time();
    builder.build().expect("a runtime")
}

/// The variable that asks for a runtime of one thread.
const ONE: &str = "OFFSPRING_TEST_ONE_THREAD";

/// The runtime of `#[tokio::main(flavor = "current_thread")]`.
fn one() -> Runtime {
    let built = Builder::new_current_thread().enable_all().build();
    built.expect("a runtime")
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
    if std::env::var_os(ONE).is_some() {
        return one().block_on(async { work_in_one() });
    }
    many().block_on(async { work() });
    let own = std::env::current_exe().expect("a path");
    let again = std::process::Command::new(own).env(ONE, "").status();
    assert!(again.expect("a program").success());
    println!("test result: ok");
}

fn work_in_one() {
    offspring::init();
    let rpc = ECHO.spawn().expect("a child");
    assert_eq!(rpc.call("x").wait().expect("an answer"), "x");
    let template = Template::builder().start().expect("a template");
    let forked = ECHO.template(&template).spawn().expect("it forks");
    assert_eq!(forked.call("x").wait().expect("an answer"), "x");
    #[cfg(feature = "concurrent")]
    for builder in [WAIT.builder(), WAIT.template(&template), NAP.builder()] {
        // Without that error the call would wait for ever.
        let builder = builder.call_timeout(std::time::Duration::from_secs(20));
        let rpc = builder.on_error(|_| ()).spawn().expect("a child");
        let text = rpc.call().wait().expect_err("it refuses").to_string();
        let (_, said) = text.split_once(')').expect("its process");
        assert_eq!(
            format!("CHILD{said}").replace("a fork of the template", "this program"),
            r#"CHILD: the handshake with this program failed: the worker cannot start: `init` was called inside a tokio runtime of one thread (`#[tokio::main(flavor = "current_thread")]`), whose timers and sockets do not work while the thread serves: call `offspring::init()` first in a `main` that is not async"#
        );
        let _ = rpc.join().wait();
    }
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
    #[cfg(feature = "concurrent")]
    WAIT.once().wait().expect("threads of the runtime wake it");
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
