//! A worker on another machine, or wherever a command leads: the example of the manual of `AnyEvent::Fork::Remote`.
//! `docs/remote.md` has more commands.
//!
//! ```text
//! remote [COMMAND [ARG …]]
//! remote --serve
//! ```
//!
//! COMMAND starts this program with `--serve` and connects stdin and stdout to it: `remote ssh HOST remote --serve`. Without
//! COMMAND the program starts itself.

use std::process::Command;

use lexopt::{Parser, prelude::*};
use offspring::worker;

fn whoami(passed: String) -> String {
    format!(
        "this is process {}, and you passed <{passed}>",
        std::process::id()
    )
}

// A name that does not depend on this program, because the other program may be another build.
worker!(WHOAMI: fn(String) -> String = whoami, name = "remote");

/// Makes ten calls, all in flight at once.
fn call(command: Option<Command>) -> anyhow::Result<()> {
    let builder = match command {
        Some(command) => WHOAMI.command(command),
        None => WHOAMI.builder(),
    };
    let rpc = builder.spawn()?;
    let calls: Vec<_> = (1..=10).map(|n| rpc.call(n.to_string())).collect();
    for call in calls {
        println!("remote function returned: {}", call.wait()?);
    }
    rpc.join().wait()?;
    Ok(())
}

fn main() -> anyhow::Result<()> {
    offspring::init();
    let command = command().unwrap_or_else(|error| {
        eprintln!("remote: {error}\nusage: remote [COMMAND [ARG …]]\n       remote --serve");
        std::process::exit(2)
    });
    call(command)
}

/// Reads the arguments: the command, or `None` to start this program. Serves instead if that is asked for.
fn command() -> Result<Option<Command>, lexopt::Error> {
    let mut parser = Parser::from_env();
    let command = match parser.next()? {
        None => None,
        Some(Long("serve")) => match parser.next()? {
            None => WHOAMI.serve(),
            Some(argument) => return Err(argument.unexpected()),
        },
        Some(Value(program)) => {
            let mut command = Command::new(program);
            command.args(parser.raw_args()?);
            Some(command)
        }
        Some(argument) => return Err(argument.unexpected()),
    };
    Ok(command)
}
