//! Two methods of a service that run beside each other: example 3 of the manual of `AnyEvent::Fork::RPC`, which chooses
//! functions by their names.
//!
//! ```text
//! cargo run --example arith --features concurrent
//! ```

use offspring::{service, worker};

service! {
    /// Calculates with two numbers.
    trait Arith => ArithClient {
        async fn add(&self, a: i64, b: i64) -> i64;
        async fn mul(&self, a: i64, b: i64) -> i64;
    }
}

struct Calculator;

/// A panic, as on overflow, is an error of its call.
impl Arith for Calculator {
    async fn add(&self, a: i64, b: i64) -> i64 {
        a + b
    }

    async fn mul(&self, a: i64, b: i64) -> i64 {
        a * b
    }
}

worker!(ARITH: dyn Arith = || Calculator);

fn main() -> Result<(), offspring::Error> {
    offspring::init();
    let rpc = ARITH.spawn()?;
    println!("{}", rpc.add(1, 3).wait()?);
    println!("{}", rpc.mul(3, 2).wait()?);
    rpc.join().wait()?;
    Ok(())
}
