//! The blocking backend was not built in: whatever is not async can be declared
//! and called, but not served.

use super::session::{Backend, Conversation};
use crate::protocol::Failure;

/// There is none.
pub(super) const BACKEND: Backend = Backend {
    name: None,
    holds: false,
};

/// Runs one call: its id and octets of arguments in, octets of the result appended.
pub(super) type Work<'a> = dyn FnMut(u32, &[u8], &mut Vec<u8>) -> Result<(), Failure> + 'a;

/// Never called: without a name the parent's hello was refused.
pub(super) fn serve(_: Conversation, _: &mut Work<'_>) -> i32 {
    super::session::FAILED
}
