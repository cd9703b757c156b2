//! A worker on another machine, or wherever else a command leads: the example of
//! the manual of `AnyEvent::Fork::Remote`. `docs/remote.md` has more commands.
//!
//! ```text
//! remote [-- COMMAND [ARG …]]
//! remote --serve
//! ```
//!
//! COMMAND starts this program with `--serve`, and its stdin and stdout lead to
//! it: `remote -- ssh HOST remote --serve`. Without it the program starts itself.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use offspring::{Error, worker};

fn whoami(passed: String) -> String {
    format!(
        "this is process {}, and you passed <{passed}>",
        std::process::id()
    )
}

// Its name says nothing of this program: the other one may be of another build.
worker!(WHOAMI: fn(String) -> String = whoami, name = "remote");

/// Ten calls, all under way at once.
fn call(command: Option<Command>) -> Result<(), Error> {
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

fn main() -> ExitCode {
    offspring::init();
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(OsString::as_os_str).collect();
    let command = match words[..] {
        [] => None,
        [option] if option == "--serve" => WHOAMI.serve(),
        [dashes, program, ref rest @ ..] if dashes == "--" => {
            let mut command = Command::new(program);
            command.args(rest);
            Some(command)
        }
        _ => {
            eprintln!("usage: remote [-- COMMAND [ARG …]]\n       remote --serve");
            return ExitCode::from(2);
        }
    };
    match call(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("remote: {error}");
            ExitCode::FAILURE
        }
    }
}
