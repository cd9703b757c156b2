//! The child's side: how a process becomes a worker, and what its function is
//! given.
//!
//! ```text
//!  stdin ──▶ hello? ──▶ find the worker ──▶ hello back ──▶ init ──▶ ready ──▶ serve
//! ```
//!
//! The link arrives as descriptor 0. A parent of ours says in its hello that it
//! is a socket for both directions; else answers go to descriptor 1. Either way
//! the link is moved away before any of the worker's code runs, so nothing the
//! worker prints or reads can touch it.

#[cfg(feature = "concurrent")]
mod asynchronous;
#[cfg(feature = "blocking")]
mod blocking;
#[cfg(not(feature = "blocking"))]
#[path = "no_backend.rs"]
mod blocking;
#[cfg(feature = "concurrent")]
mod calls;
#[cfg(feature = "concurrent")]
mod concurrent;
mod events;
mod function;
mod outgoing;
mod panic;
#[cfg(feature = "concurrent")]
mod responder;
mod retire;
mod session;
mod template;

#[cfg(feature = "concurrent")]
pub use asynchronous::Server;
#[cfg(feature = "concurrent")]
pub use concurrent::BACKEND as CONCURRENT;
pub use events::Events;
pub use function::{
    Child, Dispatch, Function, Init, ServedBlocking, ServedSomehow, Serving, no_method,
};
#[cfg(feature = "concurrent")]
pub use responder::Responder;
pub use retire::retire;
pub use session::Backend;
pub(crate) use session::Session;
