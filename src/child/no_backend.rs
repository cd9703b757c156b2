//! No backend was built in: this program can call, but is nobody's child.

use super::session::Conversation;
use crate::protocol::Failure;

/// There is none.
pub(super) const NAME: Option<&str> = None;

/// Runs one call: octets of arguments in, octets of the result appended.
pub(super) type Work<'a> = dyn FnMut(&[u8], &mut Vec<u8>) -> Result<(), Failure> + 'a;

/// Never called: without a name the parent's hello was refused.
pub(super) fn serve(_: Conversation, _: &mut Work<'_>) -> i32 {
    super::session::FAILED
}
