//! Removes files and folders in a child process: example 1 of the manual of
//! `AnyEvent::Fork::RPC`.
//!
//! ```text
//! cargo run --example unlink                    # makes a tree of its own
//! cargo run --example unlink -- FILE FOLDER …
//! cargo run --example unlink --features cbor -- --serialiser cbor FILE …
//! cargo run --example unlink --features concurrent -- --concurrent FILE …
//! ```
//!
//! `--concurrent` is example 1a, the same on the other backend. It is pointless:
//! it shows the least that has to be changed.

#[cfg(feature = "concurrent")]
use std::cell::Cell;
use std::convert::Infallible;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use offspring::format::Serialiser;
use offspring::{Bytes, Events, Worker, worker};

// ---- The child. ----

/// What the child keeps between calls: how many there were.
fn no_requests_yet<Count: Default>() -> Result<Count, Infallible> {
    Ok(Count::default())
}

/// Removes what is at `path`. Says what went wrong, or nothing.
///
/// Every third request is announced by an event, which is clearly silly.
fn remove(count: &mut u32, path: Bytes, events: &Events<String>) -> String {
    *count += 1;
    if count.is_multiple_of(3) && events.send(count.to_string()).is_err() {
        return "nobody listens to the events".into();
    }
    let path = PathBuf::from(OsString::from_vec(path.into_vec()));
    let removed = match fs::symlink_metadata(&path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    removed.map_or_else(text_of, |()| String::new())
}

/// The operating system's words, without the number that Rust adds.
fn text_of(error: io::Error) -> String {
    let text = error.to_string();
    let plain = text
        .split_once(" (os error ")
        .map(|(plain, _)| plain.into());
    plain.unwrap_or(text)
}

/// The same for the concurrent backend, whose calls share the state.
#[cfg(feature = "concurrent")]
async fn remove_async(count: &Cell<u32>, path: Bytes, events: &Events<String>) -> String {
    let mut so_far = count.get();
    let answer = remove(&mut so_far, path, events);
    count.set(so_far);
    answer
}

// ---- The same worker in each format. Octet strings need no feature. ----

/// Declares it for each backend that is there.
macro_rules! workers {
    ($blocking:ident, $concurrent:ident, $serialiser:ty) => {
        worker!($blocking: fn(Bytes) -> String = remove, events = String, init() = no_requests_yet, serialiser = $serialiser);
        #[cfg(feature = "concurrent")]
        worker!($concurrent: fn(Bytes) -> String = remove_async, events = String, init() = no_requests_yet, serialiser = $serialiser);
    };
}

workers!(OCTETS, OCTETS_ASYNC, offspring::Octets);
#[cfg(feature = "cbor")]
workers!(CBOR, CBOR_ASYNC, offspring::Cbor);
#[cfg(feature = "json")]
workers!(JSON, JSON_ASYNC, offspring::Json);
#[cfg(feature = "messagepack")]
workers!(MESSAGEPACK, MESSAGEPACK_ASYNC, offspring::MessagePack);
#[cfg(feature = "postcard")]
workers!(POSTCARD, POSTCARD_ASYNC, offspring::Postcard);

/// The one for the backend that is wanted.
#[cfg(feature = "concurrent")]
macro_rules! choose {
    ($options:expr, $blocking:ident, $concurrent:ident) => {
        if $options.concurrent {
            &$concurrent
        } else {
            &$blocking
        }
    };
}
#[cfg(not(feature = "concurrent"))]
macro_rules! choose {
    ($options:expr, $blocking:ident, $concurrent:ident) => {{
        assert!(!$options.concurrent, "`main` refuses that");
        &$blocking
    }};
}

// ---- The parent. ----

/// Has the child remove them all; whether it could.
///
/// Answers and events are printed by callbacks: those come one after the other,
/// in the order in which the child made them.
fn remove_all<S>(
    worker: &'static Worker<fn(Bytes) -> String, S, String>,
    paths: Vec<OsString>,
) -> Result<bool, offspring::Error>
where
    S: Serialiser<(Bytes,)> + Serialiser<String>,
{
    let rpc = worker
        .on_event(|count| say(count.as_bytes(), " requests handled"))
        .spawn()?;
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

/// A line on stderr. A path need not be UTF-8, so it is written as it is.
fn say(what: &[u8], text: &str) {
    let line = [what, text.as_bytes(), b"\n"].concat();
    // If nobody reads stderr there is nobody to tell.
    let _ = io::stderr().write_all(&line);
}

/// The formats, and whether they are built.
const FORMATS: [(&str, bool); 5] = [
    ("octets", true),
    ("cbor", cfg!(feature = "cbor")),
    ("json", cfg!(feature = "json")),
    ("messagepack", cfg!(feature = "messagepack")),
    ("postcard", cfg!(feature = "postcard")),
];

fn check_serialiser(name: &str) {
    match FORMATS.iter().find(|(format, _)| *format == name) {
        Some((_, true)) => {}
        Some(_) => usage(&format!(
            "`--serialiser {name}` needs the feature `{name}`: cargo run --example unlink --features {name}"
        )),
        None => usage(&format!("there is no serialiser `{name}`")),
    }
}

#[derive(Default)]
struct Options {
    serialiser: Option<String>,
    concurrent: bool,
}

fn run(options: &Options, paths: Vec<OsString>) -> Result<bool, offspring::Error> {
    let serialiser = options.serialiser.as_deref().unwrap_or("octets");
    match serialiser {
        "octets" => remove_all(choose!(options, OCTETS, OCTETS_ASYNC), paths),
        #[cfg(feature = "cbor")]
        "cbor" => remove_all(choose!(options, CBOR, CBOR_ASYNC), paths),
        #[cfg(feature = "json")]
        "json" => remove_all(choose!(options, JSON, JSON_ASYNC), paths),
        #[cfg(feature = "messagepack")]
        "messagepack" => remove_all(choose!(options, MESSAGEPACK, MESSAGEPACK_ASYNC), paths),
        #[cfg(feature = "postcard")]
        "postcard" => remove_all(choose!(options, POSTCARD, POSTCARD_ASYNC), paths),
        name => unreachable!("`main` has refused {name}"),
    }
}

/// Files and folders to remove, what is inside a folder before the folder.
fn make_tree() -> io::Result<Vec<OsString>> {
    let root = std::env::temp_dir().join(format!("offspring-unlink-{}", std::process::id()));
    let path = |name: &str| root.join(name);
    fs::create_dir(&root)?;
    fs::create_dir(path("folder"))?;
    fs::write(path("file"), "a file")?;
    fs::write(path("folder/file"), "a file in a folder")?;
    std::os::unix::fs::symlink("folder", path("link"))?;
    let names = ["file", "link", "folder/file", "folder"].map(path);
    Ok(names.into_iter().chain([root]).map(Into::into).collect())
}

fn demonstrate(options: &Options) -> Result<bool, Box<dyn std::error::Error>> {
    let paths = make_tree()?;
    let gone = run(options, paths.clone())?;
    println!("A child process removed, in this order:");
    for path in paths {
        println!("  {}", path.display());
    }
    Ok(gone)
}

fn main() -> ExitCode {
    offspring::init();
    let mut options = Options::default();
    let mut paths = Vec::new();
    let mut arguments = std::env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_bytes() {
            b"--" => paths.extend(arguments.by_ref()),
            b"--serialiser" => match arguments.next() {
                Some(name) => {
                    let name = name.to_string_lossy().into_owned();
                    check_serialiser(&name);
                    options.serialiser = Some(name);
                }
                None => usage("`--serialiser` wants a name"),
            },
            b"--concurrent" if cfg!(feature = "concurrent") => options.concurrent = true,
            b"--concurrent" => usage(
                "`--concurrent` needs the feature `concurrent`: cargo run --example unlink --features concurrent",
            ),
            [b'-', _, ..] => usage(&format!("there is no option `{}`", argument.display())),
            _ => paths.push(argument),
        }
    }
    let done = if paths.is_empty() {
        demonstrate(&options)
    } else {
        run(&options, paths).map_err(Into::into)
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("unlink: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage(text: &str) -> ! {
    eprintln!(
        "unlink: {text}\n\
         usage: unlink [--concurrent] [--serialiser octets|cbor|json|messagepack|postcard] [PATH …]"
    );
    std::process::exit(2)
}
