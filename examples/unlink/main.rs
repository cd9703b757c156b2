//! Removes files and folders in a child process: example 1 of the manual of `AnyEvent::Fork::RPC`.
//!
//! ```text
//! cargo run --example unlink                    # makes a tree and removes it
//! cargo run --example unlink -- FILE FOLDER …
//! cargo run --example unlink --features cbor -- --serialiser cbor FILE …
//! cargo run --example unlink --features concurrent -- --concurrent FILE …
//! ```
//!
//! `--concurrent` is example 1a, the same on the other backend. It shows what has to be changed for that.

mod worker;

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lexopt::{Parser, prelude::*};
use offspring::format::Serialiser;
use offspring::{Bytes, Worker};

const USAGE: &str = "usage: unlink [--concurrent] [--serialiser NAME] [PATH …]";

struct Options {
    run: worker::Run,
    concurrent: bool,
    paths: Vec<OsString>,
}

impl Options {
    fn parse() -> Result<Self, lexopt::Error> {
        let mut options = Self {
            run: worker::in_format("octets").expect("the format that needs no feature"),
            concurrent: false,
            paths: Vec::new(),
        };
        let mut parser = Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("serialiser") => {
                    let name = parser.value()?.string()?;
                    let found = worker::in_format(&name);
                    let missing =
                        || format!("no serialiser `{name}`: is it a feature that is enabled?");
                    options.run = found.ok_or_else(missing)?;
                }
                Long("concurrent") if cfg!(feature = "concurrent") => options.concurrent = true,
                Long("concurrent") => {
                    return Err("`--concurrent` needs the feature `concurrent`".into());
                }
                Value(path) => options.paths.push(path),
                _ => return Err(argument.unexpected()),
            }
        }
        Ok(options)
    }
}

fn main() -> anyhow::Result<ExitCode> {
    offspring::init();
    let options = match Options::parse() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("unlink: {error}\n{USAGE}");
            return Ok(ExitCode::from(2));
        }
    };
    let gone = match options.paths.is_empty() {
        true => demonstrate(&options)?,
        false => (options.run)(options.concurrent, options.paths)?,
    };
    Ok(if gone {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Makes files and folders and has them removed: what is inside a folder before the folder.
fn demonstrate(options: &Options) -> anyhow::Result<bool> {
    let root = std::env::temp_dir().join(format!("offspring-unlink-{}", std::process::id()));
    fs::create_dir(&root)?;
    fs::create_dir(root.join("folder"))?;
    fs::write(root.join("file"), "a file")?;
    fs::write(root.join("folder/file"), "a file in a folder")?;
    std::os::unix::fs::symlink("folder", root.join("link"))?;
    let names = ["file", "link", "folder/file", "folder"].map(|name| root.join(name));
    let paths: Vec<OsString> = names
        .into_iter()
        .chain([root])
        .map(OsString::from)
        .collect();
    let gone = (options.run)(options.concurrent, paths.clone())?;
    println!("A child process removed, in this order:");
    for path in paths {
        println!("  {}", path.display());
    }
    Ok(gone)
}

/// Has the child remove all of the paths. Returns whether it could.
///
/// Callbacks run one after the other, in the order in which the child made the results and events.
fn remove_all<S>(
    worker: &'static Worker<fn(Bytes) -> String, S, String>,
    paths: Vec<OsString>,
) -> anyhow::Result<bool>
where
    S: Serialiser<(Bytes,)> + Serialiser<String>,
{
    let on_event = |count: String| say(count.as_bytes(), " requests handled");
    let rpc = worker.on_event(on_event).spawn()?;
    let failed = Arc::new(AtomicBool::new(false));
    for path in paths {
        let call = rpc.call_with(&(path.as_bytes().into(),));
        let failed = Arc::clone(&failed);
        call.on_done(move |answer| {
            let complaint = answer.unwrap_or_else(|error| error.to_string());
            if !complaint.is_empty() {
                failed.store(true, Ordering::Relaxed);
                say(path.as_bytes(), &format!(": {complaint}"));
            }
        });
    }
    rpc.join().wait()?;
    Ok(!failed.load(Ordering::Relaxed))
}

/// Writes a line to stderr. A path need not be UTF-8, so it is written as it is.
fn say(what: &[u8], text: &str) {
    let line = [what, text.as_bytes(), b"\n"].concat();
    // An error cannot be reported anywhere else.
    let _ = io::stderr().write_all(&line);
}
