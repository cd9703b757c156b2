//! The blocking backend was not built in: whatever is not async can be declared
//! and called, but not served.

use super::session::{Backend, Conversation};
use crate::parcel::{Parcel, Received};
use crate::protocol::Failure;

/// There is none.
pub(super) const BACKEND: Backend = Backend {
    name: None,
    start: || Ok(()),
};

/// Runs one call: its id and what has come of its arguments in, the result appended.
pub(super) type Work<'a> = dyn FnMut(u32, Received<'_>, &mut Parcel) -> Result<(), Failure> + 'a;

/// Never called: without a name the parent's hello was refused.
pub(super) fn serve(_: Conversation, _: &mut Work<'_>) -> i32 {
    super::session::FAILED
}
