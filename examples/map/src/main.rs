//! Counts the lines of files, in as many processes as there are CPUs, with a progress bar.
//!
//! ```text
//! cargo run -p map -- FILE...
//! ```

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::ExitCode;

use indicatif::ProgressBar;
use lexopt::{Parser, prelude::*};
use offspring::{FlattenErrors, WorkerError, worker};

const USAGE: &str = "Usage: map <FILE>...";

worker!(LINES: fn(PathBuf) -> Result<u64, WorkerError> = count);

fn count(path: PathBuf) -> Result<u64, WorkerError> {
    let mut count = 0;
    for line in BufReader::new(File::open(path)?).split(b'\n') {
        line?;
        count += 1;
    }
    Ok(count)
}

/// The files to count, or `None` if the user wants help.
fn arguments() -> Result<Option<Vec<PathBuf>>, lexopt::Error> {
    let mut files = Vec::new();
    let mut parser = Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(None),
            Value(file) => files.push(PathBuf::from(file)),
            _ => return Err(argument.unexpected()),
        }
    }
    if files.is_empty() {
        return Err("no files are given".into());
    }
    Ok(Some(files))
}

fn main() -> anyhow::Result<ExitCode> {
    offspring::init();
    let files = match arguments() {
        Ok(Some(files)) => files,
        Ok(None) => {
            println!(
                "Counts the lines of files, in as many processes as there are CPUs.\n\n{USAGE}"
            );
            return Ok(ExitCode::SUCCESS);
        }
        Err(error) => {
            eprintln!("map: {error}\n{USAGE}");
            return Ok(ExitCode::from(2));
        }
    };
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let pool = LINES.pool().max(cpus).spawn()?;
    let bar = ProgressBar::new(files.len() as u64);
    // Results come in the order of the files. A file that crashes its child has an error in its place.
    for (file, lines) in files.iter().zip(pool.map(&files)) {
        let text = match lines.flatten_errors() {
            Ok(count) => format!("{count} lines"),
            Err(error) => error.to_string(),
        };
        bar.suspend(|| println!("{}: {text}", file.display()));
        bar.inc(1);
    }
    bar.finish_and_clear();
    pool.join().wait()?;
    Ok(ExitCode::SUCCESS)
}
