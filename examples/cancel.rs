//! Gives up a call that takes too long, and calls its child again.
//!
//! ```text
//! cargo run --example cancel --features concurrent
//! ```

use std::time::Duration;

use offspring::worker;
use smol::Timer;

// One call at a time: a call that went on would hold up the next.
worker!(REST: fn(u64) -> String = rest, max_running = 1);

async fn rest(milliseconds: u64) -> String {
    Timer::after(Duration::from_millis(milliseconds)).await;
    "still here".into()
}

fn main() -> Result<(), offspring::Error> {
    offspring::init();
    let rpc = REST.spawn()?;
    let mut call = rpc.call(10_000);
    match call.wait_timeout(Duration::from_millis(100)) {
        Err(error) if error.is_timeout() => println!("timed out"),
        other => println!("{other:?}"),
    }
    // The call could be waited for again. Dropping it cancels it, and the child drops the future.
    drop(call);
    println!("{}", rpc.call(1).wait()?);
    rpc.join().wait()?;
    Ok(())
}
