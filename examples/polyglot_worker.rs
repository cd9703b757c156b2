//! A worker that a parent in any language can call over stdin and stdout: see `docs/protocol.md`. Requests, results and
//! events are lists of byte strings.
//!
//! The first string of a request is the name of the function:
//!
//! | request | result |
//! |---|---|
//! | `echo …` | the rest |
//! | `event N` | `done`, after the events `event 1` … `event N` |
//! | `sleep MS` | `slept`, MS, after MS milliseconds. With the feature `concurrent` other calls go on meanwhile |
//! | `pid` | the process id |
//! | `retire` | `retired`, after it has told its pool, or why it cannot |
//! | `panic TEXT` | none: the call fails |
//! | `exit CODE` | none: the process exits |

use std::str::FromStr;
use std::time::Duration;

use lexopt::Parser;
use offspring::{Events, worker};

type Strings = Vec<Vec<u8>>;

#[cfg(not(feature = "concurrent"))]
worker!(POLYGLOT: fn(..Strings) -> Strings = serve, name = "polyglot", events = Strings);
#[cfg(feature = "concurrent")]
worker!(POLYGLOT: fn(..Strings) -> Strings = serve_many, name = "polyglot", events = Strings);

/// The same, except that `sleep` does not hold up other calls.
#[cfg(feature = "concurrent")]
async fn serve_many(request: Strings, events: &Events<Strings>) -> Strings {
    if let Some((b"sleep", rest)) = request
        .split_first()
        .map(|(name, rest)| (name.as_slice(), rest))
    {
        smol::Timer::after(Duration::from_millis(number(rest))).await;
        return slept(rest);
    }
    serve(request, events)
}

/// Panics on any error: then the call fails.
fn serve(request: Strings, events: &Events<Strings>) -> Strings {
    let Some((function, rest)) = request.split_first() else {
        panic!("the request names no function")
    };
    match function.as_slice() {
        b"echo" => rest.to_vec(),
        b"event" => {
            for n in 1..=number::<u64>(rest) {
                let event = strings(["event", &n.to_string()]);
                events.send(event).expect("the parent takes events");
            }
            strings(["done"])
        }
        b"sleep" => {
            std::thread::sleep(Duration::from_millis(number(rest)));
            slept(rest)
        }
        b"pid" => strings([std::process::id().to_string()]),
        b"retire" => match offspring::retire() {
            Ok(()) => strings(["retired"]),
            Err(error) => strings([error.to_string()]),
        },
        b"panic" => panic!("{}", text(&rest.join(&b' '))),
        // Earlier results are not lost: each is written before the next call starts.
        b"exit" => std::process::exit(number::<u8>(rest).into()),
        unknown => panic!("there is no function `{}`", text(unknown)),
    }
}

fn slept(rest: &[Vec<u8>]) -> Strings {
    vec![b"slept".to_vec(), rest[0].clone()]
}

fn number<N: FromStr>(rest: &[Vec<u8>]) -> N {
    let Some(string) = rest.first() else {
        panic!("a number is missing")
    };
    let parsed = text(string).parse();
    parsed.unwrap_or_else(|_| panic!("not a number in range: `{}`", text(string)))
}

fn strings<const N: usize>(list: [impl Into<Vec<u8>>; N]) -> Strings {
    list.map(Into::into).into()
}

fn text(string: &[u8]) -> String {
    String::from_utf8_lossy(string).into_owned()
}

fn main() {
    match Parser::from_env().next() {
        Ok(None) => POLYGLOT.serve(),
        _ => {
            eprintln!(
                "polyglot_worker: takes no arguments; a parent calls it over stdin and stdout"
            );
            std::process::exit(2)
        }
    }
}
