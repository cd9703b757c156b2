//! A minimal program: a function that runs in a child process.
//!
//! ```text
//! cargo run --example hello
//! ```

use offspring::worker;

fn greet(name: String) -> String {
    format!("Hello, {name}! This is process {}.", std::process::id())
}

worker!(GREET: fn(String) -> String = greet);

fn main() -> Result<(), offspring::Error> {
    offspring::init();
    let rpc = GREET.spawn()?;
    println!("{}", rpc.call("world").wait()?);
    rpc.join().wait()?;
    Ok(())
}
