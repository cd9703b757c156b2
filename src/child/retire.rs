//! Retirement: a child that asks for no more calls.

use std::sync::{Arc, OnceLock};

use super::reply_writer::ReplyWriter;
use crate::error::Error;
use crate::protocol::Form;

/// The writer of this process, if it is a child. It keeps the link open until the process exits, because the parent takes its
/// end for the exit.
static OWN_WRITER: OnceLock<Arc<ReplyWriter>> = OnceLock::new();

/// Sets the writer of this process.
pub(super) fn set_own_writer(reply_writer: &Arc<ReplyWriter>) {
    let _ = OWN_WRITER.set(Arc::clone(reply_writer));
}

/// Takes this child out of its [`Pool`](crate::Pool). The child finishes the calls that it has, gets no more, and exits.
/// The pool starts another one when it needs it.
///
/// Any thread of the child can call it, also in `init`, and more than once. The parent of a single child ignores it.
///
/// ```
/// # fn start() -> Result<u32, std::convert::Infallible> { Ok(0) }
/// fn count(number: &mut u32) -> String {
///     *number += 1;
///     if *number == 2 {
///         // Two are enough for this process.
///         offspring::retire().expect("there is a parent");
///     }
///     format!("call {number} of {}", std::process::id())
/// }
/// offspring::worker!(COUNT: fn() -> String = count, init() = start);
///
/// fn main() -> Result<(), offspring::Error> {
///     offspring::init();
///     let pool = COUNT.pool().max(1).spawn()?;
///     let calls: Vec<_> = (0..3).map(|_| pool.call()).collect();
///     for call in calls {
///         println!("{}", call.wait()?);
///     }
///     # pool.join().wait()?;
///     Ok(())
/// }
/// ```
///
/// # Errors
///
/// This process is no child of `offspring`, its parent has exited, or its parent speaks the plain form, which has no such
/// message.
pub fn retire() -> Result<(), Error> {
    let Some(reply_writer) = OWN_WRITER.get() else {
        return Err(Error::refused("this process is no child at work"));
    };
    if reply_writer.form == Form::Plain {
        return Err(Error::refused(
            "the parent speaks the plain form, in which a child cannot retire",
        ));
    }
    reply_writer.retire().map_err(|_| Error::parent_is_gone())
}
