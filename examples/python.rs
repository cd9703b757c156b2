//! Calls a worker in Python, `examples/python_worker.py`, as a service.
//!
//! ```text
//! cargo run --example python --features json
//! ```

use std::process::Command;

use offspring::{Json, service, worker};

service! {
    /// Statistics of numbers.
    trait Statistics => StatisticsClient, serialiser = Json {
        /// Returns the mean. Fails without numbers.
        fn mean(&self, numbers: Vec<f64>) -> f64;
        /// Returns the numbers that divide the sorted numbers into equal parts.
        fn quantiles(&self, numbers: Vec<f64>, parts: u64) -> Vec<f64>;
    }
}

// Nothing behind the type: Python has the methods. Both sides know the name.
worker!(STATISTICS: dyn Statistics, name = "statistics");

fn main() -> anyhow::Result<()> {
    let mut python = Command::new("python3");
    python.arg(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/examples/python_worker.py"
    ));
    let statistics = STATISTICS.command(python).spawn()?;
    println!("mean: {}", statistics.mean([1.0, 2.0, 4.5]).wait()?);
    let quartiles = statistics.quantiles([1.0, 2.0, 3.0, 4.0, 5.0], 4_u64);
    println!("quartiles: {:?}", quartiles.wait()?);
    // An exception is an error of its call, and the worker goes on.
    let error = statistics.mean([]).wait().unwrap_err();
    println!(
        "{}",
        error
            .panic()
            .map_or("no exception", |panic| panic.message())
    );
    println!("mean: {}", statistics.mean([7.0]).wait()?);
    statistics.join().wait()?;
    Ok(())
}
