//! A host of plugins, each a separate program. A plugin that crashes fails its
//! call, and is started again for the next.
//!
//! ```text
//! plugin_host [ARGUMENT …]
//! ```
//!
//! The plugin is the program `plugin` beside this one; it is given the arguments.

use std::process::{Command, ExitCode};

use log::{LevelFilter, Log, Metadata, Record};
use offspring::logging::LogEvent;
use offspring::{Error, worker};

mod api;

use api::{Filter, FilterClient};

// The host contains no plugin, so there is nothing behind the type.
worker!(FILTER: dyn Filter, init(), name = api::INTERFACE);

/// The logger of the host.
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

fn use_plugin(mut plugin: Command) -> Result<(), Error> {
    plugin.args(std::env::args_os().skip(1));
    // A pool of one child: it starts the plugin again when that has died. With `max(1)` a plugin that has had no call for
    // ten seconds would be ended, too, and its state with it.
    let filter = FILTER
        .program(plugin)
        .pool()
        .single()
        .on_event(|record: LogEvent| record.log())
        .on_error(|_| ())
        .spawn()?;
    println!("the plugin is called {}", filter.title().wait()?);
    for text in ["one", "two", "", "three"] {
        match filter.filter(text).wait() {
            Ok(text) => println!("{text}"),
            Err(error) if error.is_child_dead() => {
                println!("it died, started: {:?}", error.started());
            }
            Err(error) => return Err(error),
        }
    }
    println!("texts of this process: {}", filter.count().wait()?);
    filter.join().wait().map(drop)
}

fn main() -> ExitCode {
    log::set_logger(&Stderr).expect("there is no other logger");
    log::set_max_level(LevelFilter::Info);
    let own = std::env::current_exe().expect("a program has a path");
    match use_plugin(Command::new(own.with_file_name("plugin"))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}
