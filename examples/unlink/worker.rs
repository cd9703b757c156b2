//! The function of the child, declared as a worker in each format and for each backend.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use offspring::{Bytes, Events, worker};

/// Removes what is at `path`. Returns why it could not, or nothing. The child keeps `count` between calls.
///
/// Every third request is announced by an event, as in the original.
fn remove(count: &mut u32, path: Bytes, events: &Events<String>) -> String {
    *count += 1;
    if count.is_multiple_of(3) && events.send(count.to_string()).is_err() {
        return "the parent takes no events".into();
    }
    let path = PathBuf::from(OsString::from_vec(path.into_vec()));
    let removed = match fs::symlink_metadata(&path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    let text = removed.map_or_else(|error| error.to_string(), |()| String::new());
    // The system's words, without the number that Rust adds.
    let words = text
        .split_once(" (os error ")
        .map(|(words, _)| words.into());
    words.unwrap_or(text)
}

/// The same for the concurrent backend, whose calls share the state.
#[cfg(feature = "concurrent")]
async fn remove_async(
    count: &std::cell::Cell<u32>,
    path: Bytes,
    events: &Events<String>,
) -> String {
    let mut so_far = count.get();
    let answer = remove(&mut so_far, path, events);
    count.set(so_far);
    answer
}

/// Makes the state: no requests yet.
fn zero<Count: Default>() -> Result<Count, Infallible> {
    Ok(Count::default())
}

/// Removes all of the paths, and returns whether it could. With `true` on the concurrent backend.
pub(crate) type Run = fn(bool, Vec<OsString>) -> anyhow::Result<bool>;

/// Declares the workers of each format, and a function that finds them by its name.
macro_rules! formats {
    ($($(#[$built:meta])? $format:ident: $serialiser:ty,)*) => {
        $($(#[$built])? mod $format {
            use super::*;

            worker!(BLOCKING: fn(Bytes) -> String = remove, events = String, init() = zero, serialiser = $serialiser);
            #[cfg(feature = "concurrent")]
            worker!(CONCURRENT: fn(Bytes) -> String = remove_async, events = String, init() = zero, serialiser = $serialiser);

            pub(super) fn run(concurrent: bool, paths: Vec<OsString>) -> anyhow::Result<bool> {
                match concurrent {
                    #[cfg(feature = "concurrent")]
                    true => crate::remove_all(&CONCURRENT, paths),
                    _ => crate::remove_all(&BLOCKING, paths),
                }
            }
        })*

        /// Returns what works in a format, or `None` if it is not built.
        pub(crate) fn in_format(name: &str) -> Option<Run> {
            match name {
                $($(#[$built])? stringify!($format) => Some($format::run),)*
                _ => None,
            }
        }
    };
}

formats! {
    octets: offspring::Octets,
    #[cfg(feature = "cbor")]
    cbor: offspring::Cbor,
    #[cfg(feature = "json")]
    json: offspring::Json,
    #[cfg(feature = "messagepack")]
    messagepack: offspring::MessagePack,
    #[cfg(feature = "postcard")]
    postcard: offspring::Postcard,
}
