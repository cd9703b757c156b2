//! Counts the lines of files, in as many processes as there are CPUs, with a bar that shows how far it is.
//!
//! ```text
//! map FILE...
//! ```

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use indicatif::ProgressBar;
use offspring::worker;

worker!(LINES: fn(PathBuf) -> String = count);

fn count(path: PathBuf) -> String {
    match lines(&path) {
        Ok(count) => format!("{count} lines"),
        Err(error) => error.to_string(),
    }
}

fn lines(path: &Path) -> std::io::Result<usize> {
    let (mut file, mut count) = (BufReader::new(std::fs::File::open(path)?), 0);
    let mut line = Vec::new();
    while file.read_until(b'\n', &mut line)? > 0 {
        count += 1;
        line.clear();
    }
    Ok(count)
}

fn main() -> ExitCode {
    offspring::init();
    let files: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if files.is_empty() {
        eprintln!("usage: map FILE...");
        return ExitCode::from(2);
    }
    match run(&files) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("map: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(files: &[PathBuf]) -> Result<(), offspring::Error> {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let pool = LINES.pool().max(cpus).spawn()?;
    let bar = ProgressBar::new(files.len() as u64);
    // Results come in the order of the files; a file that its process dies of costs that line.
    for (file, result) in files.iter().zip(pool.map(files)) {
        let text = result.unwrap_or_else(|error| error.to_string());
        bar.suspend(|| println!("{}: {text}", file.display()));
        bar.inc(1);
    }
    bar.finish_and_clear();
    pool.join().wait().map(drop)
}
