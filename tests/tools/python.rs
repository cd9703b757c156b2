//! The example worker in Python, and the parent that calls it.

use std::process::Command;

use offspring::{Json, service, worker};

use crate::support::*;

service! {
    trait Statistics => StatisticsClient, serialiser = Json {
        fn mean(&self, numbers: Vec<f64>) -> f64;
        fn quantiles(&self, numbers: Vec<f64>, parts: u64) -> Vec<f64>;
    }
}

worker!(STATISTICS: dyn Statistics, name = "statistics");
worker!(OTHER: fn(String) -> String, serialiser = Json, name = "other");

fn python() -> Command {
    let mut python = Command::new("python3");
    python.arg(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/examples/python_worker.py"
    ));
    python
}

pub(crate) fn the_example_answers() {
    let _guard = guard();
    let rpc = STATISTICS.command(python()).spawn().unwrap();
    let many: Vec<_> = (0..100)
        .map(|n| rpc.mean(vec![f64::from(n); 1000]))
        .collect();
    for (n, mean) in (0..).zip(many) {
        assert_eq!(mean.wait().unwrap(), f64::from(n));
    }
    let quartiles = rpc.quantiles([1.0, 2.0, 3.0, 4.0, 5.0], 4_u64);
    assert_eq!(quartiles.wait().unwrap(), [1.5, 3.0, 4.5]);
    assert_eq!(rpc.join().wait().unwrap().code(), Some(0));
}

pub(crate) fn an_exception_fails_its_call() {
    let _guard = guard();
    let rpc = STATISTICS.command(python()).spawn().unwrap();
    let (bad, good) = (rpc.mean([]), rpc.mean([7.0]));
    let error = bad.wait().unwrap_err();
    let panic = error.panic().expect("a failure of the call");
    assert!(panic.message().starts_with("StatisticsError: "), "{error}");
    assert!(panic.backtrace().contains("python_worker.py"), "{error}");
    assert_eq!(good.wait().unwrap(), 7.0);
    rpc.join().wait().unwrap();
}

pub(crate) fn another_worker_is_refused() {
    let _guard = guard();
    let rpc = OTHER.command(python()).spawn().unwrap();
    let error = rpc.call("text").wait().unwrap_err();
    assert!(error.is_handshake(), "{error}");
    assert!(
        error
            .to_string()
            .contains("the worker `statistics` with JSON"),
        "{error}"
    );
}
