//! Three countdowns at once in one child: example 2 of the manual of `AnyEvent::Fork::RPC`. The last to start is the first
//! to finish.
//!
//! ```text
//! cargo run --example countdown --features concurrent              # three seconds
//! cargo run --example countdown --features concurrent -- --fast    # 150 ms
//! ```

use std::io::{self, Write};
use std::time::Duration;

use futures_lite::StreamExt;
use lexopt::{Parser, prelude::*};
use offspring::{Events, worker};
use smol::Timer;

worker!(COUNT: fn(u64, u64) = count, events = String);

/// Counts to `to`, one step each `milliseconds`, beside the other calls of the child.
async fn count(to: u64, milliseconds: u64, events: &Events<String>) {
    let say = |text| events.send(text).expect("the parent takes events");
    say(format!("starting to count up to {to}"));
    let mut timer = Timer::interval(Duration::from_millis(milliseconds));
    for n in 1..=to {
        timer.next().await;
        say(format!("count {n} of {to}"));
    }
}

fn main() -> anyhow::Result<()> {
    offspring::init();
    let milliseconds = milliseconds().unwrap_or_else(|error| {
        eprintln!("countdown: {error}\nusage: countdown [--fast]");
        std::process::exit(2)
    });
    let rpc = COUNT.on_event(|text| print(&text)).spawn()?;
    for to in [3, 2, 1] {
        let call = rpc.call(to, milliseconds);
        call.on_done(move |result| match result {
            Ok(()) => print(&format!("job {to} finished")),
            Err(error) => print(&format!("job {to} failed: {error}")),
        });
    }
    rpc.join().wait()?;
    Ok(())
}

/// Reads the arguments: the time of one step.
fn milliseconds() -> Result<u64, lexopt::Error> {
    match Parser::from_env().next()? {
        None => Ok(1000),
        Some(Long("fast")) => Ok(50),
        Some(argument) => Err(argument.unexpected()),
    }
}

/// Prints a line at once, also where stdout is no terminal.
fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    let printed = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    printed.expect("stdout is open");
}
