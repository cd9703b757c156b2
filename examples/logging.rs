//! A child's log, in the parent's: three records, each on a line of stderr.
//!
//! ```text
//! cargo run --example logging
//! ```

use log::{LevelFilter, Log, Metadata, Record};
use offspring::logging::{self, LogEvent};
use offspring::{Events, worker};

/// The worker's `init`: from here on records can be sent.
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

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // In a child, and there only: what is logged before `init` is kept.
    logging::keep_in_child(LevelFilter::Info);
    log::info!("the child has started");
    offspring::init();
    log::set_logger(&Stderr)?;
    log::set_max_level(LevelFilter::Info);
    let rpc = WORK.on_event(|record: LogEvent| record.log()).spawn()?;
    rpc.call("do that").wait()?;
    rpc.join().wait()?;
    Ok(())
}
