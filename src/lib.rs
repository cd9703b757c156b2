//! Call a Rust function in a child process as if it were local: typed, blocking or async, on any runtime, and if the child
//! crashes, every open call fails with how it died and whether it had started.
//!
//! ```
//! offspring::worker!(ADD: fn(i32, i32) -> i32 = |a: i32, b: i32| a + b);
//!
//! fn main() -> Result<(), offspring::Error> {
//!     offspring::init();                        // the child starts here and never returns
//!     let rpc = ADD.spawn()?;                   // a handle: cheap to clone, for any thread
//!     println!("2 + 3 = {}", rpc.call(2, 3).wait()?);
//!     Ok(())
//! }
//! ```
//!
//! A program declares workers, calls [`init`] first in `main`, and starts children:
//!
//! | to | items |
//! |---|---|
//! | declare a worker | [`worker!`], [`service!`] for several methods; [`Events`], `Responder`, [`WorkerError`] in the child |
//! | start a child | [`Worker`], [`Builder`], [`Limits`], [`Rights`], [`Stdio`]; [`Template`] and [`preload!`] for fast starts |
//! | start many | [`Pool`], [`PoolBuilder`], [`PoolStatus`] |
//! | call | [`Rpc`], [`Call`]; [`Map`] for many items, [`CallEvents`] for progress, [`Once`] for one call in a fresh child |
//! | handle errors | [`Error`], [`ErrorKind`], [`Started`], [`Crash`], [`Panic`], [`FlattenErrors`] |
//! | pass files and memory | [`Descriptor`], [`SharedBytes`], [`SharedMemory`], [`Bytes`] |
//! | log | [`logging`] |
//! | test | [`init_in_tests!`] |
//!
//! ## Features
//!
//! By default: `blocking`, children that run a `fn`, one call at a time. A program that only calls other programs needs none.
//!
//! * `concurrent`: children that also run `async fn`s, many calls at once
//! * `cbor`, `json`, `messagepack`, `postcard`: arguments and results of any serde type; without them the format is [`Octets`]
//! * `serde`: the types of this crate in a format of yours
//! * `bytes`: conversions of [`Bytes`] from and to the type of the crate `bytes`
//! * `tracing`: events and spans of pools and calls
//!
//! ## Pages
//!
//! In a clone they are in the folder `docs`. The README compares this crate with others.
//!
//! * [guide](https://docs.rs/crate/offspring/latest/source/docs/guide.md): ten steps from a first call to a service on two machines
//! * [cookbook](https://docs.rs/crate/offspring/latest/source/docs/cookbook.md): recipes for common tasks
//! * [where-init-goes](https://docs.rs/crate/offspring/latest/source/docs/where-init-goes.md): binaries, tests, libraries, Python modules
//! * [runtimes](https://docs.rs/crate/offspring/latest/source/docs/runtimes.md): tokio, smol and none
//! * [formats](https://docs.rs/crate/offspring/latest/source/docs/formats.md): which serialiser
//! * [coming-from](https://docs.rs/crate/offspring/latest/source/docs/coming-from.md): procspawn, ipc-channel, tarpc, Python, Perl
//! * [remote](https://docs.rs/crate/offspring/latest/source/docs/remote.md): ssh, containers, other users
//! * [security](https://docs.rs/crate/offspring/latest/source/docs/security.md): what a child may do, and sandboxes
//! * [reliability](https://docs.rs/crate/offspring/latest/source/docs/reliability.md): what is promised over which link
//! * [troubleshooting](https://docs.rs/crate/offspring/latest/source/docs/troubleshooting.md): errors by their exact message
//! * [debugging](https://docs.rs/crate/offspring/latest/source/docs/debugging.md): gdb, strace, valgrind, tracing
//! * [performance](https://docs.rs/crate/offspring/latest/source/docs/performance.md): figures, and what they compare
//! * [manual](https://docs.rs/crate/offspring/latest/source/docs/manual.md): every option of the Perl original
//! * [glossary](https://docs.rs/crate/offspring/latest/source/docs/glossary.md): the words of this crate
//! * [protocol](https://docs.rs/crate/offspring/latest/source/docs/protocol.md): for workers in other languages
//! * [architecture](https://docs.rs/crate/offspring/latest/source/docs/architecture.md): the modules and their invariants
//! * [design](https://docs.rs/crate/offspring/latest/source/docs/design.md): why it is so
//! * [tests](https://docs.rs/crate/offspring/latest/source/docs/tests.md): which test keeps which promise
//! * [contributing](https://docs.rs/crate/offspring/latest/source/docs/contributing.md): building, testing, measuring
#![deny(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(all(feature = "blocking", feature = "concurrent")),
    allow(
        dead_code,
        unused_imports,
        reason = "each backend uses parts of the child's side that the other does not"
    )
)]

mod base;
mod child;
mod error;
mod exit_status;
mod fits;
mod limits;
pub mod logging;
#[cfg(feature = "serde")]
mod logging_serde;
mod memory;
#[cfg(feature = "serde")]
mod memory_serde;
mod message;
mod parent;
mod preload;
mod protocol;
mod rights;
mod service;
mod signature;
mod startup;
#[allow(unsafe_code, reason = "what only the operating system can do")]
mod sys;
#[cfg(feature = "tracing")]
mod trace;
#[cfg(not(feature = "tracing"))]
#[path = "trace_off.rs"]
mod trace;
#[cfg(feature = "tracing")]
mod trace_calls;
#[cfg(not(feature = "tracing"))]
#[path = "trace_calls_off.rs"]
mod trace_calls;
mod worker;

/// The code of the pages, which is compiled, and run unless it says `no_run`.
#[cfg(doctest)]
mod pages {
    #[cfg(all(feature = "cbor", feature = "concurrent"))]
    #[doc = include_str!("../docs/coming-from.md")]
    struct ComingFrom;

    #[cfg(all(feature = "cbor", feature = "json"))]
    #[doc = include_str!("../docs/cookbook.md")]
    struct Cookbook;

    #[doc = include_str!("../docs/debugging.md")]
    struct Debugging;

    #[cfg(all(feature = "cbor", feature = "concurrent"))]
    #[doc = include_str!("../docs/guide.md")]
    struct Guide;

    #[doc = include_str!("../README.md")]
    struct Readme;

    #[doc = include_str!("../docs/remote.md")]
    struct Remote;

    #[cfg(feature = "concurrent")]
    #[doc = include_str!("../docs/runtimes.md")]
    struct Runtimes;

    #[doc = include_str!("../docs/security.md")]
    struct Security;

    #[doc = include_str!("../docs/where-init-goes.md")]
    struct WhereInitGoes;
}

#[doc(hidden)]
pub use child::Child;
pub use child::{Events, Function, Init, retire};
#[cfg(feature = "concurrent")]
pub use child::{Responder, Server};
pub use error::{CallError, Crash, Error, ErrorKind, FlattenErrors, Panic, Started};
pub use exit_status::ExitStatus;
pub use limits::{Limit, Limits};
pub use memory::{SharedBytes, SharedMemory};
// By name, so that the compiler can name the missing feature.
#[cfg(feature = "cbor")]
pub use offspring_serialisers::Cbor;
#[cfg(feature = "json")]
pub use offspring_serialisers::Json;
#[cfg(feature = "messagepack")]
pub use offspring_serialisers::MessagePack;
#[cfg(feature = "postcard")]
pub use offspring_serialisers::Postcard;
#[cfg(feature = "serde")]
pub use offspring_serialisers::descriptor;
pub use offspring_serialisers::{Bytes, Descriptor, Octets, WorkerError};
pub use parent::{
    Builder, Call, CallEventIter, CallEvents, EventIter, EventStream, Join, Map, MapIter, Once,
    Pool, PoolBuilder, PoolStatus, Ready, Rpc, Spawning, Stdio, Template, TemplateBuilder,
    TryCallError,
};
#[doc(hidden)]
pub use preload::PreloadArgs;
pub use preload::{Preload, PreloadFn, PreloadSpec};
pub use rights::Rights;
#[doc(hidden)]
pub use signature::EventCodec;
pub use signature::{NoEvents, RawArgs, Service, ServiceTypes, Signature, Takes};
pub use worker::Worker;

/// For authors of formats, and of types with a special encoding.
///
/// A format implements [`Serialiser`](format::Serialiser) and [`Format`](format::Format). A type is a byte string of
/// the format [`Octets`], or a list of them, by [`AsOctetStrings`](format::AsOctetStrings) and
/// [`FromOctetStrings`](format::FromOctetStrings). All of this is the crate `offspring-serialisers`.
///
/// ```
/// use offspring::format::{Format, Serialiser};
///
/// // Code that is generic over the format of a worker.
/// fn format_of<F, S: Format>(_: &offspring::Rpc<F, S>) -> &'static str {
///     S::NAME
/// }
/// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
/// # fn main() -> Result<(), offspring::Error> {
/// # offspring::init();
/// assert_eq!(format_of(&ECHO.spawn()?), "octets");
/// # Ok(()) }
/// ```
#[doc(alias = "serializer")]
pub mod format {
    pub use offspring_serialisers::{
        Arrived, AsOctetStrings, BytesRef, DescriptorOrBytes, DescriptorRef, Descriptors, Error,
        Format, FromOctetStrings, Input, ListReader, ListWriter, ManyStrings, One, OneByte,
        OneString, Output, SendAs, Serialiser,
    };
}

/// For the macros.
#[doc(hidden)]
pub mod __private {
    /// Calls [`init`](crate::init) before `main`. In a child it first does what the standard library does before `main`:
    /// ignores `SIGPIPE` and opens closed standard streams.
    pub fn init_before_main() {
        if crate::startup::role() == crate::startup::ProcessRole::Child {
            crate::sys::ignore_sigpipe();
            crate::sys::open_closed_stdio();
        }
        crate::init();
    }

    #[cfg(feature = "concurrent")]
    pub use crate::child::CONCURRENT;
    pub use crate::child::{
        Backend, Dispatch, ServeContext, ServedBlocking, ServedConcurrently, ServedSomehow,
        no_method,
    };
    pub use crate::fits::{Carried, CarriedArray, Fits, IfFits, Otherwise};
    pub use crate::service::{Argument, Outcome, first_unfit, is_unfit};
    pub use crate::signature::Part;
    pub use crate::sys::RegistryEntry;
}

/// Serves as a worker if this process was started as a child, and then exits. Otherwise does nothing.
///
/// Call it first in `main`. In a child it never returns. With `#[tokio::main]`, call it before the runtime starts, in a `main`
/// that is not async:
/// [docs/where-init-goes.md](https://docs.rs/crate/offspring/latest/source/docs/where-init-goes.md#tokiomain). A program that has not called it cannot start itself as a
/// child: `spawn`, a pool and a [`Template`] fail with an error that says so, before a process is started. It can start
/// other programs ([`Builder::program`], [`Builder::command`]).
///
/// ```
/// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
/// fn main() -> Result<(), offspring::Error> {
///     offspring::init();
///     println!("only the parent prints this");
///     assert_eq!(ECHO.spawn()?.call("so").wait()?, "so");
///     Ok(())
/// }
/// ```
pub fn init() {
    init_with(&[]);
}

/// Like [`init`], with further workers that are not in the linker's section, such as those of a library loaded later.
#[doc(hidden)]
pub fn init_with(workers: &[&'static dyn base::registry::WorkerEntry]) {
    startup::mark_initialised();
    match startup::role() {
        startup::ProcessRole::Program => {}
        startup::ProcessRole::Child => {
            startup::become_worker();
            startup::apply_signal_mask();
            std::process::exit(work(workers))
        }
        startup::ProcessRole::Orphan => {
            let why = match startup::link() {
                Some(_) => {
                    "but its link is closed: the `prefix` command has closed the descriptor, or this is a copied command line of a worker"
                }
                None => "but not by its parent",
            };
            eprintln!("offspring: this process was started as a worker, {why}; nothing to do");
            std::process::exit(1)
        }
    }
}

/// Calls [`init`] before `main`, for **test binaries only**, whose `main` you cannot write. One line, once, anywhere in the
/// test's crate:
///
/// ```
/// offspring::init_in_tests!();
/// ```
///
/// With it a test can start its binary as a child, which then runs no test.
///
/// A program calls [`init`] in `main` instead. Before `main` C++ static constructors may not have run, and the standard
/// library does not report a stack overflow.
#[macro_export]
macro_rules! init_in_tests {
    () => {
        $crate::__before_main!($crate::__private::init_before_main);
    };
}

fn work(workers: &[&'static dyn base::registry::WorkerEntry]) -> i32 {
    match child::Handshake::from_exec() {
        Ok(handshake) => handshake
            .serve_if_template()
            .dispatch(sys::registrations().chain(workers.iter().copied())),
        Err(early_exit) => early_exit.code("the link to the parent does not work: "),
    }
}
