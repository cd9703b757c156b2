//! A child that wants no more calls.

use std::sync::{Arc, OnceLock, Weak};

use super::outgoing::Outgoing;
use crate::error::Error;
use crate::protocol::Form;

/// Where the replies of this process go, if it is a child at work.
static OWN: OnceLock<Weak<Outgoing>> = OnceLock::new();

/// This process is a child at work.
pub(super) fn remember(outgoing: &Arc<Outgoing>) {
    let _ = OWN.set(Arc::downgrade(outgoing));
}

/// In a child: takes it out of its [`Pool`](crate::Pool). It finishes the calls
/// that it has, gets no more, and then ends; the pool starts another one when it
/// needs it.
///
/// To be called from any thread of the child, in `init` too, and as often as one
/// likes. The parent of a single child takes no notice.
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
/// This process is no child of `offspring`; its parent is gone; or its parent
/// speaks the plain form, which has no word for it.
pub fn retire() -> Result<(), Error> {
    let own = OWN.get().and_then(Weak::upgrade);
    let Some(outgoing) = own else {
        return Err(Error::refused("this process is no child at work"));
    };
    if outgoing.form() == Form::Plain {
        return Err(Error::refused(
            "the parent speaks the plain form, in which a child cannot retire",
        ));
    }
    outgoing.retire().map_err(|_| Error::parent_is_gone())
}
