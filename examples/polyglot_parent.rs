//! A parent for a worker in any language: see `docs/protocol.md`.
//!
//! ```text
//! polyglot_parent [--plain] -- COMMAND [ARG …]
//! ```
//!
//! Each line of stdin is a call, its words the strings. Answers and events are
//! printed as they arrive.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, Write};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use offspring::worker;

type Strings = Vec<Vec<u8>>;

// The function is at the other end.
worker!(POLYGLOT: fn(..Strings) -> Strings = |_: Strings| Strings::new(), name = "polyglot", events = Strings);

/// Sends all calls, and has what comes back printed; whether all succeeded.
fn run(command: Command, plain: bool) -> Result<bool, Box<dyn std::error::Error>> {
    let mut builder = POLYGLOT
        .command(command)
        .on_event(|event| print("event", &event.join(&b' ')));
    if plain {
        builder = builder.plain();
    }
    let rpc = builder.spawn()?;
    let failed = Arc::new(AtomicBool::new(false));
    for (index, line) in io::stdin().lock().split(b'\n').enumerate() {
        let failed = Arc::clone(&failed);
        rpc.call(words(&line?)).on_done(move |answer| match answer {
            Ok(strings) => print(index + 1, &strings.join(&b' ')),
            Err(error) => {
                failed.store(true, Ordering::Relaxed);
                let text = error.to_string();
                let first = text.lines().next().unwrap_or_default();
                print(index + 1, format!("error: {first}").as_bytes());
            }
        });
    }
    let status = rpc.join().wait()?;
    if status.code().is_none_or(|code| code != 0) {
        eprintln!("polyglot_parent: the worker {status}");
    }
    Ok(!failed.load(Ordering::Relaxed))
}

fn words(line: &[u8]) -> Strings {
    let words = line.split(|octet| b" \t".contains(octet));
    let words = words.filter(|word| !word.is_empty());
    words.map(<[u8]>::to_vec).collect()
}

/// A line on stdout, whatever octets are in it.
fn print(what: impl std::fmt::Display, octets: &[u8]) {
    let line = [format!("{what}: ").as_bytes(), octets, b"\n"].concat();
    // If nobody reads stdout there is nobody to tell.
    let _ = io::stdout().write_all(&line);
}

fn main() -> ExitCode {
    offspring::init();
    let mut arguments = std::env::args_os().skip(1).peekable();
    let plain = arguments
        .next_if(|argument| argument == "--plain")
        .is_some();
    if arguments.next().as_deref() != Some(OsStr::new("--")) {
        return usage();
    }
    let Some(program) = arguments.next() else {
        return usage();
    };
    let mut command = Command::new(program);
    command.args(arguments.collect::<Vec<OsString>>());
    match run(command, plain) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("polyglot_parent: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: polyglot_parent [--plain] -- COMMAND [ARG …]");
    ExitCode::from(2)
}
