//! A task for each request, and the function chosen by its name: example 3 of the
//! manual of `AnyEvent::Fork::RPC`.
//!
//! ```text
//! cargo run --example arith --features concurrent
//! ```

use offspring::{Responder, worker};

worker!(ARITH: fn(String, String, String) -> String = run);

fn add(a: i64, b: i64) -> i64 {
    a + b
}

fn mul(a: i64, b: i64) -> i64 {
    a * b
}

/// Starts a task and returns; the task answers. What panics here, or drops the
/// responder there, is the failure of that call.
fn run(responder: Responder<String>, function: String, a: String, b: String) {
    let function = match function.as_str() {
        "add" => add,
        "mul" => mul,
        unknown => panic!("there is no function `{unknown}`"),
    };
    let number = |text: String| text.parse().expect("a number");
    let (a, b) = (number(a), number(b));
    smol::spawn(async move { responder.reply(function(a, b).to_string()) }).detach();
}

fn main() -> Result<(), offspring::Error> {
    offspring::init();
    let rpc = ARITH.spawn()?;
    println!("{}", rpc.call("add", "1", "3").wait()?);
    println!("{}", rpc.call("mul", "3", "2").wait()?);
    rpc.join().wait()?;
    Ok(())
}
