//! Tests of the whole crate. This binary starts itself as a child.
//!
//! `OFFSPRING_TEST_SCALE` multiplies limits and repetitions; a value below 1 only makes repetitions fewer.
//! `OFFSPRING_TEST_WATCHDOG` is the number of seconds that one test may take. With
//! `OFFSPRING_TEST_RINGS=no`, most children are called over their socket alone. Tests that need tools
//! which not every machine has are in `tests/tools`.

mod batches;
mod callbacks;
mod calls;
#[cfg(feature = "concurrent")]
mod child_runtimes;
#[cfg(all(
    feature = "cbor",
    feature = "json",
    feature = "messagepack",
    feature = "postcard"
))]
mod closed;
#[cfg(feature = "concurrent")]
mod concurrent;
mod confined;
mod crashes;
mod daemons;
mod death;
#[cfg(all(
    feature = "cbor",
    feature = "json",
    feature = "messagepack",
    feature = "postcard"
))]
mod descriptors;
mod everywhere;
mod forked;
mod giving_up;
mod idle;
mod in_process;
mod inheritance;
mod late;
mod leaks;
#[cfg(all(
    feature = "cbor",
    feature = "json",
    feature = "messagepack",
    feature = "postcard"
))]
mod liars;
mod limits;
mod links;
mod map;
#[cfg(all(
    feature = "cbor",
    feature = "json",
    feature = "messagepack",
    feature = "postcard"
))]
mod memory;
mod messages;
#[cfg(all(
    feature = "cbor",
    feature = "json",
    feature = "messagepack",
    feature = "postcard"
))]
mod nulls;
mod once;
mod order;
mod panics;
mod peers;
mod pool;
mod prefixed;
mod progress;
#[cfg(feature = "serde")]
mod records;
mod rings;
mod room;
mod runtimes;
mod services;
mod signals;
mod start;
mod streams;
mod support;
mod template;
mod terminal;
mod threads;
#[cfg(feature = "tracing")]
mod traces;

offspring::init_in_tests!();

// Behaves as a separate program.
offspring::__before_main!(start::serve_if_asked);
