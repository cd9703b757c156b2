//! A call that takes too long is given up, and its child is free again.
//!
//! ```text
//! cargo run --example cancel --features concurrent
//! ```

use std::time::Duration;

use offspring::{Error, worker};
use smol::Timer;

// One call at a time, so that the second would have to wait for the first.
worker!(REST: fn(String) -> String = rest, max_running = 1);

async fn rest(milliseconds: String) -> String {
    let milliseconds = milliseconds.parse().expect("a number");
    Timer::after(Duration::from_millis(milliseconds)).await;
    "still here".into()
}

fn main() -> Result<(), Error> {
    offspring::init();
    let rpc = REST.spawn()?;
    let mut call = rpc.call("10000");
    match call.wait_timeout(Duration::from_millis(100)) {
        Err(error) if error.is_timeout() => println!("timed out"),
        other => println!("{other:?}"),
    }
    // One could go on waiting. Whoever drops a call does not want its answer:
    // the child drops the future where it stands.
    drop(call);
    println!("{}", rpc.call("1").wait()?);
    rpc.join().wait()?;
    Ok(())
}
