#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(all(feature = "blocking", feature = "concurrent")),
    allow(
        dead_code,
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
mod parcel;
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
#[path = "trace_nothing.rs"]
mod trace;
#[cfg(feature = "tracing")]
mod trace_calls;
#[cfg(not(feature = "tracing"))]
#[path = "trace_calls_nothing.rs"]
mod trace_calls;
mod worker;

/// Its code is compiled.
#[cfg(all(doctest, feature = "concurrent"))]
#[doc = include_str!("../docs/runtimes.md")]
struct Runtimes;

/// And run.
#[cfg(all(doctest, feature = "concurrent", feature = "cbor"))]
#[doc = include_str!("../docs/guide.md")]
struct Guide;

/// So is that.
#[cfg(doctest)]
#[doc = include_str!("../docs/debugging.md")]
struct Debugging;

#[doc(hidden)]
pub use child::Child;
pub use child::{Events, Function, Init, retire};
#[cfg(feature = "concurrent")]
pub use child::{Responder, Server};
pub use error::{CallError, Crash, Error, ErrorKind, FlattenErrors, Panic, Started};
pub use exit_status::ExitStatus;
pub use limits::{Limit, Limits};
pub use memory::{SharedBytes, SharedMemory};
// By name, so that the compiler can say which feature is missing.
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
pub use preload::Loading;
pub use preload::{Load, Preload, Preloading};
pub use rights::Rights;
#[doc(hidden)]
pub use signature::EventCodec;
pub use signature::{Methods, NoEvents, Service, Signature, Takes, Whole};
pub use worker::Worker;

/// What authors of formats need, and of types that travel in a form of their own.
///
/// A format implements [`Serialiser`](format::Serialiser) and [`Format`](format::Format). A type is a byte string of
/// [`Octets`], or a list of them, by [`AsOctetStrings`](format::AsOctetStrings) and
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

/// What the macros need.
#[doc(hidden)]
pub mod __private {
    /// Like [`init`](crate::init), and does for a child what the standard
    /// library has not done yet.
    pub fn init_before_main() {
        if crate::startup::role() == crate::startup::Role::Child {
            crate::sys::ignore_sigpipe();
            crate::sys::open_streams();
        }
        crate::init();
    }

    #[cfg(feature = "concurrent")]
    pub use crate::child::CONCURRENT;
    pub use crate::child::{Backend, Dispatch, ServedBlocking, ServedSomehow, Serving, no_method};
    pub use crate::fits::{Carried, Fits, IfFits, Otherwise};
    pub use crate::service::{check_argument, check_result};
    pub use crate::sys::Registration;
}

/// Goes to work, if this process was started to be a child; else does nothing.
///
/// To be called first in `main`: in a child it never returns. A program that
/// has not called it cannot start itself as a child: `spawn`, a pool and a
/// [`Template`] fail with an error that says so, before anything is started.
/// Other programs ([`Builder::program`], [`Builder::command`]) it can start.
///
/// ```
/// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
/// fn main() -> Result<(), offspring::Error> {
///     offspring::init();
///     println!("only the parent says this");
///     assert_eq!(ECHO.spawn()?.call("so").wait()?, "so");
///     Ok(())
/// }
/// ```
pub fn init() {
    init_with(&[]);
}

/// Like [`init`], with workers that the linker may not have found: those of a
/// library that is loaded late, say. Usually there are none.
#[doc(hidden)]
pub fn init_with(workers: &[&'static dyn base::registry::Registered]) {
    startup::initialise();
    match startup::role() {
        startup::Role::Program => {}
        startup::Role::Child => {
            startup::go_to_work();
            startup::take_mask();
            std::process::exit(work(workers))
        }
        startup::Role::Stray => {
            let why = match startup::link() {
                Some(_) => {
                    "without its link: what stands before it has closed that, or it is a copy of a worker"
                }
                None => "but not by its parent",
            };
            eprintln!("offspring: this process was started as a worker, {why}; nothing to do");
            std::process::exit(1)
        }
    }
}

/// Goes to work before `main`: for **test binaries only**, whose `main` is not
/// yours to put [`init`] into. One line, once, anywhere in the test's crate:
///
/// ```
/// offspring::init_in_tests!();
/// ```
///
/// With it a test can start its own binary as a child, which then runs no test.
/// It also leaves the mark of [`init`].
///
/// A program of your own calls [`init`] in `main` instead. Before `main` C++
/// static constructors may not have run, and a stack overflow is not explained
/// by the standard library.
#[macro_export]
macro_rules! init_in_tests {
    () => {
        $crate::__before_main!($crate::__private::init_before_main);
    };
}

fn work(workers: &[&'static dyn base::registry::Registered]) -> i32 {
    match child::Session::of_init() {
        Ok(session) => session
            .unless_template()
            .dispatch(sys::registrations().chain(workers.iter().copied())),
        Err(stop) => stop.code("the link to the parent does not work: ", 1),
    }
}
