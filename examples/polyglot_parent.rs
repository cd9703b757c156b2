//! A parent for a worker in any language: see `docs/protocol.md`.
//!
//! ```text
//! polyglot_parent [--plain] COMMAND [ARG …]
//! ```
//!
//! Each line of stdin is a call, and its words are the strings. Results and events are printed as they arrive.

use std::io::{self, BufRead, Write};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lexopt::{Parser, prelude::*};
use offspring::worker;

type Strings = Vec<Vec<u8>>;

// Without a function: it is in the other program.
worker!(POLYGLOT: fn(..Strings) -> Strings, name = "polyglot", events = Strings);

/// Sends all calls and prints what comes back. Returns whether all succeeded.
fn run(command: Command, plain: bool) -> anyhow::Result<bool> {
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
    let words = line.split(|byte| b" \t".contains(byte));
    let words = words.filter(|word| !word.is_empty());
    words.map(<[u8]>::to_vec).collect()
}

/// Prints a line, which need not be UTF-8.
fn print(what: impl std::fmt::Display, bytes: &[u8]) {
    let line = [format!("{what}: ").as_bytes(), bytes, b"\n"].concat();
    // An error means that stdout is closed.
    let _ = io::stdout().write_all(&line);
}

fn main() -> anyhow::Result<ExitCode> {
    offspring::init();
    let (command, plain) = match arguments() {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("polyglot_parent: {error}");
            eprintln!("usage: polyglot_parent [--plain] COMMAND [ARG …]");
            return Ok(ExitCode::from(2));
        }
    };
    let succeeded = run(command, plain)?;
    Ok(ExitCode::from(u8::from(!succeeded)))
}

/// Reads the arguments: the command, and whether to use the plain form.
fn arguments() -> Result<(Command, bool), lexopt::Error> {
    let mut parser = Parser::from_env();
    let mut plain = false;
    while let Some(argument) = parser.next()? {
        match argument {
            Long("plain") => plain = true,
            Value(program) => {
                let mut command = Command::new(program);
                command.args(parser.raw_args()?);
                return Ok((command, plain));
            }
            _ => return Err(argument.unexpected()),
        }
    }
    Err("the command is missing".into())
}
