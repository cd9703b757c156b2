//! The exchange of descriptors between the layer and a value.
//!
//! serde's traits pass numbers and text, no descriptors, and a value has no access to the format or its
//! table. So the layer and the value exchange a descriptor through a thread-local slot. The layer
//! recognises a descriptor by the name of its newtype, and uses the slot only while it calls the value:
//!
//! - To encode, the layer sets the slot to "wanted" and serialises the newtype's content into a dummy
//!   output. The content puts a duplicate into the slot.
//! - To decode, the layer puts the descriptor into the slot and calls the visitor, which takes it.
//!
//! Formats of other crates do not fill the slot, also if a value calls them while a format of this
//! crate encodes or decodes it. Then the content, or the visitor, returns an error.

use serde::Serialize;
use std::cell::Cell;
use std::fmt::{self, Write};
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{BorrowedFd, OwnedFd};

/// Name of the newtype that is a descriptor. It is encoded as its index, a `u32`.
pub(crate) const DESCRIPTOR: &str = "offspring::Descriptor";

/// Name of the newtype that is a descriptor if the link carries it. It is encoded as an `Option` of it.
pub(crate) const OFFER: &str = "offspring::DescriptorOrBytes";

/// A thread-local value for code that serde calls, to which no argument can be passed.
///
/// It is empty outside of [`with`](Self::with), so nothing is dropped at the end of the thread, and it
/// can be used in destructors of thread-local values.
pub(crate) struct Slot<T>(Cell<ManuallyDrop<Option<T>>>);

impl<T> Slot<T> {
    pub(crate) const fn empty() -> Self {
        Self(Cell::new(ManuallyDrop::new(None)))
    }

    /// Runs `call` with `value` in the slot, and returns what is left in it. The previous value is put
    /// back, also after a panic.
    pub(crate) fn with<R>(&self, value: T, call: impl FnOnce() -> R) -> (R, Option<T>) {
        let _outer = Restore(self, self.replace(Some(value)));
        let result = call();
        (result, self.replace(None))
    }

    pub(crate) fn replace(&self, value: Option<T>) -> Option<T> {
        ManuallyDrop::into_inner(self.0.replace(ManuallyDrop::new(value)))
    }
}

/// Puts the previous value back when it is dropped.
struct Restore<'s, T>(&'s Slot<T>, Option<T>);

impl<T> Drop for Restore<'_, T> {
    fn drop(&mut self) {
        self.0.replace(self.1.take());
    }
}

enum Exchange {
    Wanted,
    Given(io::Result<OwnedFd>),
}

thread_local! {
    static SLOT: Slot<Exchange> = const { Slot::empty() };
}

/// Asks the content of a newtype for a duplicate of its descriptor. `None` if it has none.
pub(crate) fn ask<T: Serialize + ?Sized>(content: &T) -> Option<io::Result<OwnedFd>> {
    let ask = || write!(String::new(), "{}", Printed(content));
    match SLOT.with(|slot| slot.with(Exchange::Wanted, ask)).1 {
        Some(Exchange::Given(duplicate)) => Some(duplicate),
        _ => None,
    }
}

/// Serialises by serde's implementation for formatters, whose output is dropped.
struct Printed<'a, T: ?Sized>(&'a T);

impl<T: Serialize + ?Sized> fmt::Display for Printed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.serialize(f)
    }
}

/// Puts a duplicate into the slot if the layer wants one. Returns whether it does.
pub(super) fn answer(descriptor: BorrowedFd<'_>) -> bool {
    SLOT.with(|slot| match slot.replace(None) {
        Some(Exchange::Wanted) => {
            let duplicate = descriptor.try_clone_to_owned();
            slot.replace(Some(Exchange::Given(duplicate)));
            true
        }
        other => {
            slot.replace(other);
            false
        }
    })
}

/// Runs `visit`, which may [`take`] this descriptor.
pub(crate) fn lend<R>(descriptor: OwnedFd, visit: impl FnOnce() -> R) -> R {
    SLOT.with(|slot| slot.with(Exchange::Given(Ok(descriptor)), visit).0)
}

/// Takes the descriptor that the layer lent. `None` if another deserialiser calls.
pub(super) fn take() -> Option<OwnedFd> {
    match SLOT.with(|slot| slot.replace(None)) {
        Some(Exchange::Given(descriptor)) => descriptor.ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::{AsFd, AsRawFd};
    use std::panic::{AssertUnwindSafe, catch_unwind};

    struct Content(File);

    impl Serialize for Content {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            assert!(answer(self.0.as_fd()));
            assert!(!answer(self.0.as_fd()), "one is enough");
            serializer.serialize_bool(true)
        }
    }

    fn null() -> File {
        File::open("/dev/null").unwrap()
    }

    #[test]
    fn is_asked_for_and_answered() {
        assert!(ask(&Content(null())).unwrap().is_ok());
        assert!(ask(&7).is_none());
        assert!(!answer(null().as_fd()));
        assert!(take().is_none());
    }

    #[test]
    fn is_lent_once_and_to_this_thread() {
        lend(null().into(), || {
            let other = || take().is_some();
            assert!(!std::thread::spawn(other).join().unwrap());
            assert!(take().is_some());
            assert!(take().is_none());
        });
        lend(null().into(), || ());
        assert!(take().is_none(), "it has been taken back");
    }

    #[test]
    fn what_was_there_is_put_back() {
        let outer = null();
        let number = outer.as_raw_fd();
        lend(outer.into(), || {
            assert!(ask(&Content(null())).unwrap().is_ok());
            lend(null().into(), || assert!(take().is_some()));
            let panics = || lend(null().into(), || panic!("as it should"));
            assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
            assert_eq!(take().unwrap().as_raw_fd(), number);
        });
        let panics = || lend(null().into(), || panic!("as it should"));
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        assert!(take().is_none());
    }
}
