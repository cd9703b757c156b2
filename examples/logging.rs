//! Records that a child logs come out in the log of its parent: three of them, each on a line of stderr.
//!
//! ```text
//! cargo run --example logging
//! ```

use log::{LevelFilter, Log, Metadata, Record};
use offspring::logging::{self, LogEvent};
use offspring::{Events, worker};

/// The worker's `init`. Sends records from here on.
fn set_up(events: &Events<LogEvent>) -> Result<(), log::SetLoggerError> {
    logging::forward(events, LevelFilter::Info)?;
    log::warn!("the worker is being set up");
    Ok(())
}

fn work(_: &mut (), text: String) {
    log::error!("the worker cannot {text}");
}

worker!(WORK: fn(String) = work, init() = set_up, events = LogEvent);

/// The logger of the parent.
struct Stderr;

impl Log for Stderr {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &Record<'_>) {
        eprintln!("{} {}: {}", record.level(), record.target(), record.args());
    }
    fn flush(&self) {}
}

fn main() -> anyhow::Result<()> {
    // Has an effect in a child only: records from before its `init` are kept and sent later.
    logging::keep_in_child(LevelFilter::Info);
    log::info!("the child has started");
    offspring::init();
    log::set_logger(&Stderr).map_err(anyhow::Error::msg)?;
    log::set_max_level(LevelFilter::Info);
    let rpc = WORK.on_event(|record: LogEvent| record.log()).spawn()?;
    rpc.call("do that").wait()?;
    rpc.join().wait()?;
    Ok(())
}
