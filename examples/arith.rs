//! Two functions that are chosen by their name, and run beside each other: example
//! 3 of the manual of `AnyEvent::Fork::RPC`. A service does that by itself.
//!
//! ```text
//! cargo run --example arith --features concurrent
//! ```

use offspring::{service, worker};

service! {
    /// What is done with two numbers.
    trait Arith => ArithClient {
        async fn add(&self, a: i64, b: i64) -> i64;
        async fn mul(&self, a: i64, b: i64) -> i64;
    }
}

struct Calculator;

/// What panics here, as on overflow, is the failure of that call.
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
