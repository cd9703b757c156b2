//! The child's side: how a process becomes a worker, and how it runs calls.
//!
//! Not here: the declaration of a worker (`worker`), and the parent's side (`parent`).
//!
//! ```text
//!  stdin ──▶ hello? ──▶ find the worker ──▶ hello back ──▶ init ──▶ ready ──▶ serve
//! ```
//!
//! The link arrives as stdin. A parent of this crate says in its hello that it is a socket for both directions; otherwise
//! answers are written to stdout. In both cases the link is moved to a descriptor above 2 before any of the worker's code
//! runs, so prints and reads of the worker cannot reach it.

/// Expands to a trait. Without the feature `concurrent`, the error where it is not implemented has a note about it.
macro_rules! note_if_no_concurrent {
    ($(#[$meta:meta])* $vis:vis trait $($rest:tt)*) => {
        $(#[$meta])*
        #[cfg_attr(not(feature = "concurrent"), diagnostic::on_unimplemented(
            note = "an `async fn`, or a function that takes a `Responder`, needs the feature `concurrent` of `offspring`"
        ))]
        $vis trait $($rest)*
    };
}

#[cfg(feature = "concurrent")]
mod asynchronous;
#[cfg(feature = "blocking")]
mod blocking;
#[cfg(not(feature = "blocking"))]
#[path = "no_blocking.rs"]
mod blocking;
#[cfg(feature = "concurrent")]
mod concurrent;
#[cfg(not(feature = "concurrent"))]
#[path = "no_concurrent.rs"]
mod concurrent;
mod events;
#[cfg(feature = "concurrent")]
mod executor;
mod exit_code;
mod function;
mod handshake;
mod panic;
mod reply_writer;
#[cfg(feature = "concurrent")]
mod responder;
mod retire;
mod template;

#[cfg(feature = "concurrent")]
pub use asynchronous::Server;
#[cfg(feature = "concurrent")]
pub use concurrent::BACKEND as CONCURRENT;
pub use events::Events;
pub use function::{
    Child, Dispatch, Function, Init, ServeContext, ServedBlocking, ServedConcurrently,
    ServedSomehow, no_method,
};
pub use handshake::Backend;
pub(crate) use handshake::Handshake;
#[cfg(feature = "concurrent")]
pub use responder::Responder;
pub use retire::retire;
