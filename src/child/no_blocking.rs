//! The stand-in for `blocking.rs` without that feature: a function that is not async can be declared and called, but not
//! served.

use super::handshake::{Backend, Conn};
use crate::message::{Incoming, Message};
use crate::protocol::Failure;

/// The missing backend.
pub(super) const BACKEND: Backend = Backend {
    name: None,
    start: || Ok(()),
};

/// Runs one call: takes its id and arguments, and appends its result.
pub(super) type RunCall<'a> =
    dyn FnMut(u32, Incoming<'_>, &mut Message) -> Result<(), Failure> + 'a;

/// Never called: a backend without a name refuses the parent's hello.
pub(super) fn serve(_: Conn, _: &mut RunCall<'_>) -> i32 {
    super::exit_code::FAILED
}
