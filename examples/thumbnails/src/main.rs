//! Makes thumbnails of the pictures in a folder. Each picture is decoded in a separate process with limits on memory and
//! CPU time, so a picture that crashes the decoder costs one line of the report.
//!
//! ```text
//! cargo run -p thumbnails -- [--jobs N] [--cpu SECONDS] DIR OUT
//! ```
//!
//! Every file in DIR is taken for a PNG or JPEG picture. Its thumbnail goes to OUT, with the same name and format. The exit
//! status is 0 if all thumbnails were made, 1 if some were not, 2 if the arguments are wrong.

use std::fs;
use std::io::Cursor;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use image::{DynamicImage, ImageDecoder, ImageReader};
use indicatif::ProgressBar;
use nix::sys::signal::{Signal, raise};
use offspring::{Bytes, CallError, Crash, Events, Limit, Limits, Postcard, Template, worker};
use offspring::{FlattenErrors, WorkerError};

const SIDE: u32 = 128; // pixels

type Picture = Result<Bytes, WorkerError>;

worker!(THUMBNAIL: fn(PathBuf) -> Picture = thumbnail, events = String, serialiser = Postcard);

/// Runs in a child.
fn thumbnail(path: PathBuf, events: &Events<String>) -> Picture {
    let mut reader = ImageReader::open(&path)?.with_guessed_format()?;
    let format = reader.format().ok_or(WorkerError::new("unknown format"))?;
    // The limits of the process bound the memory, also of a decoder that does not count its own.
    reader.no_limits();
    let decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    let name = path.file_name().unwrap_or_default().display().to_string();
    events.send(format!("{name} has {width} x {height} pixels"))?;
    let picture = DynamicImage::from_decoder(decoder)?;
    fail(&name);
    // A small picture keeps its size.
    let side = SIDE.min(width.max(height));
    let mut bytes = Cursor::new(Vec::new());
    picture.thumbnail(side, side).write_to(&mut bytes, format)?;
    Ok(bytes.into_inner().into())
}

/// Fails as a decoder might, for tests: with pictures that a variable of the environment names.
fn fail(name: &str) {
    let is_in = |variable| std::env::var(variable).is_ok_and(|names| names.contains(name));
    if is_in("THUMBNAILS_CRASH") {
        raise(Signal::SIGILL).expect("a signal that exists");
    }
    while is_in("THUMBNAILS_SPIN") {}
}

/// Makes thumbnails of the PNG and JPEG pictures in a folder.
#[derive(Parser)]
struct Options {
    /// Pictures that are decoded at the same time [default: one for each CPU]
    #[arg(long)]
    jobs: Option<NonZeroUsize>,
    /// Seconds of CPU time for each picture
    #[arg(long, value_name = "SECONDS", default_value = "10")]
    cpu: NonZeroU64,
    /// Folder of the pictures
    dir: PathBuf,
    /// Folder for the thumbnails
    out: PathBuf,
}

fn main() -> anyhow::Result<ExitCode> {
    offspring::init();
    let failed = run(&Options::parse())?;
    Ok(ExitCode::from(u8::from(failed > 0)))
}

/// Returns how many pictures failed.
fn run(options: &Options) -> anyhow::Result<usize> {
    let names = pictures(&options.dir)?;
    fs::create_dir_all(&options.out)?;
    if fs::canonicalize(&options.dir)? == fs::canonicalize(&options.out)? {
        bail!("the thumbnails would replace the pictures");
    }
    // A child from a template starts in half a millisecond, so each picture can have its own.
    let template = Template::builder().start()?;
    let cpu = Duration::from_secs(options.cpu.get());
    let limits = Limits::new().memory(512 << 20).cpu_time(cpu).core_size(0);
    let bar = ProgressBar::new(names.len() as u64);
    let events = bar.clone();
    let pool = THUMBNAIL
        .template(&template)
        .limits(limits)
        .capture_stderr(1000) // for the error, and not for the terminal
        .pool()
        .max(options.jobs.map_or_else(available_parallelism, Ok)?.get())
        .max_calls(1)
        .start(Duration::ZERO)
        .on_event(move |text| events.suspend(|| eprintln!("{text}")))
        .on_error(|_| ()) // that a child died is in the error of its call
        .spawn()?;
    let mut failed = Vec::new();
    let results = pool.map(names.iter().map(|name| options.dir.join(name)));
    for ((name, result), n) in bar.wrap_iter(names.iter()).zip(results).zip(1..) {
        let mut note = "";
        match result.flatten_errors() {
            Ok(bytes) => fs::write(options.out.join(name), bytes.into_vec())?,
            Err(error) => {
                failed.push(format!("{}: {}", name.display(), explain(&error)));
                note = " failed";
            }
        }
        bar.suspend(|| eprintln!("[{n}/{}] {}{note}", names.len(), name.display()));
    }
    bar.finish_and_clear();
    pool.join().wait()?;
    let made = names.len() - failed.len();
    println!("{made} made, {} failed", failed.len());
    failed.iter().for_each(|line| println!("{line}"));
    Ok(failed.len())
}

/// Returns the names of the files in a folder, in order.
fn pictures(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let entries: Vec<_> = entries.collect::<Result<_, _>>()?;
    let files = entries.iter().filter(|entry| entry.path().is_file());
    let mut names: Vec<_> = files.map(|file| PathBuf::from(file.file_name())).collect();
    names.sort();
    Ok(names)
}

fn explain(error: &CallError<WorkerError>) -> String {
    let crash = match error {
        CallError::Worker(error) => return format!("not an image: {error}"),
        CallError::Call(error) => error.crash(),
    };
    let limit = match crash.and_then(Crash::over_limit) {
        Some(Limit::Memory) => ", probably for want of memory",
        Some(Limit::CpuTime) => ", as it took too much CPU time",
        _ => "",
    };
    let text = |crash: &Crash| format!("its child {}{limit}", crash.status());
    crash.map_or(error.to_string(), text)
}
