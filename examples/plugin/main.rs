//! A plugin of the example `plugin_host`: a program that serves one service.

use lexopt::{Parser, prelude::*};
use log::{LevelFilter, SetLoggerError};
use offspring::logging::{self, LogEvent};
use offspring::{Events, worker};

#[path = "../plugin_host/api.rs"]
mod api;

use api::Filter;

/// Writes in capitals.
struct Capitals(u64);

impl Capitals {
    /// From here on the log goes to the host.
    fn new(events: &Events<LogEvent>) -> Result<Self, SetLoggerError> {
        logging::forward(events, LevelFilter::Info)?;
        log::info!("ready");
        Ok(Self(0))
    }
}

impl Filter for Capitals {
    fn title(&self) -> String {
        "capitals".into()
    }

    fn filter(&mut self, text: String) -> String {
        if text.is_empty() {
            log::error!("there is no text, which was never thought of");
            std::process::abort()
        }
        self.0 += 1;
        text.to_uppercase()
    }

    fn count(&self) -> u64 {
        self.0
    }
}

worker!(CAPITALS: dyn Filter = Capitals::new, init(), name = api::INTERFACE);
worker!(OLD: dyn Filter = Capitals::new, init(), name = "plugin_host filter 1");

fn main() {
    match Parser::from_env().next() {
        Ok(None) => CAPITALS.serve(),
        // As a plugin would be that was built for the version before.
        Ok(Some(Long("old"))) => OLD.serve(),
        _ => {
            eprintln!("usage: plugin [--old], with a host of plugins as the parent");
            std::process::exit(2)
        }
    }
}
