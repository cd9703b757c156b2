//! Three countdowns at once in one child: example 2 of the manual of
//! `AnyEvent::Fork::RPC`. The one that was started last is finished first.
//!
//! ```text
//! cargo run --example countdown --features concurrent              # three seconds
//! cargo run --example countdown --features concurrent -- --fast    # 150 ms
//! ```

use std::io::{self, Write};
use std::time::Duration;

use futures_lite::StreamExt;
use offspring::{Events, worker};
use smol::Timer;

worker!(COUNT: fn(String, String) = count, events = String);

/// In the child. Whatever is being counted there, nobody waits for anybody.
async fn count(to: String, milliseconds: String, events: &Events<String>) {
    let say = |text| events.send(text).expect("the parent is there");
    let number = |text: &str| text.parse().expect("the parent sends numbers");
    say(format!("starting to count up to {to}"));
    let mut timer = Timer::interval(Duration::from_millis(number(&milliseconds)));
    for n in 1..=number(&to) {
        timer.next().await;
        say(format!("count {n} of {to}"));
    }
}

fn main() -> Result<(), offspring::Error> {
    offspring::init();
    let milliseconds = match std::env::args().nth(1).as_deref() {
        None => "1000",
        Some("--fast") => "50",
        Some(_) => {
            eprintln!("usage: countdown [--fast]");
            std::process::exit(2)
        }
    };
    let rpc = COUNT.on_event(|text| print(&text)).spawn()?;
    for to in ["3", "2", "1"] {
        rpc.call(to, milliseconds)
            .on_done(move |result| match result {
                Ok(()) => print(&format!("job {to} finished")),
                Err(error) => print(&format!("job {to} failed: {error}")),
            });
    }
    rpc.join().wait()?;
    Ok(())
}

/// A line, at once, also where stdout is no terminal.
fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    let printed = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    printed.expect("somebody reads stdout");
}
