//! Where the layer and a value meet.
//!
//! serde's traits know numbers and text, no descriptors, and a value sees neither the format nor
//! its table. What they have in common is the layer around each of our formats, and the thread.
//! The layer knows a descriptor by the name of its newtype, and has it in a slot of the thread
//! while it calls the value, and only then:
//!
//! - A value is written: the layer says in the slot that it wants a descriptor, and has the
//!   newtype's content written, as if into a string. The content puts a duplicate into the slot.
//! - A value is read: the layer puts the descriptor into the slot, and calls the visitor, which
//!   takes it.
//!
//! A format that is not ours puts nothing into the slot, also where it is called by a value that
//! one of ours writes or reads. So the content, or the visitor, refuses it.

use serde::Serialize;
use std::cell::Cell;
use std::fmt::{self, Write};
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{BorrowedFd, OwnedFd};

/// The name of the newtype that is a descriptor. Written, and read, as its index: a `u32`.
pub(crate) const DESCRIPTOR: &str = "offspring::Descriptor";

/// The name of the newtype that is a descriptor only where they are carried. Written, and read,
/// as an `Option` of it.
pub(crate) const OFFER: &str = "offspring::DescriptorOrBytes";

/// A place of a thread for what no argument can bring to code that serde calls.
///
/// It is empty but for the duration of [`with`](Self::with), so there is never anything to drop
/// at the end of the thread, and it can be used until then.
pub(crate) struct Slot<T>(Cell<ManuallyDrop<Option<T>>>);

impl<T> Slot<T> {
    pub(crate) const fn empty() -> Self {
        Self(Cell::new(ManuallyDrop::new(None)))
    }

    /// Runs `call` with `value` in the slot, and returns what is left there. What was there
    /// before is put back, also after a panic.
    pub(crate) fn with<R>(&self, value: T, call: impl FnOnce() -> R) -> (R, Option<T>) {
        let _outer = Outer(self, self.replace(Some(value)));
        let result = call();
        (result, self.replace(None))
    }

    pub(crate) fn replace(&self, value: Option<T>) -> Option<T> {
        ManuallyDrop::into_inner(self.0.replace(ManuallyDrop::new(value)))
    }
}

/// What was in the slot before.
struct Outer<'s, T>(&'s Slot<T>, Option<T>);

impl<T> Drop for Outer<'_, T> {
    fn drop(&mut self) {
        self.0.replace(self.1.take());
    }
}

enum Passing {
    Wanted,
    Here(io::Result<OwnedFd>),
}

thread_local! {
    static SLOT: Slot<Passing> = const { Slot::empty() };
}

/// Asks the content of a newtype for a duplicate. `None` if it is no descriptor.
pub(crate) fn ask<T: Serialize + ?Sized>(content: &T) -> Option<io::Result<OwnedFd>> {
    let ask = || write!(String::new(), "{}", Text(content));
    match SLOT.with(|slot| slot.with(Passing::Wanted, ask)).1 {
        Some(Passing::Here(duplicate)) => Some(duplicate),
        _ => None,
    }
}

/// serde knows how to print.
struct Text<'a, T: ?Sized>(&'a T);

impl<T: Serialize + ?Sized> fmt::Display for Text<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.serialize(f)
    }
}

/// Puts a duplicate into the slot. Returns whether the layer wants one.
pub(super) fn answer(descriptor: BorrowedFd<'_>) -> bool {
    SLOT.with(|slot| match slot.replace(None) {
        Some(Passing::Wanted) => {
            let duplicate = descriptor.try_clone_to_owned();
            slot.replace(Some(Passing::Here(duplicate)));
            true
        }
        other => {
            slot.replace(other);
            false
        }
    })
}

/// Runs `visit`, which can [`take`] this descriptor.
pub(crate) fn lend<R>(descriptor: OwnedFd, visit: impl FnOnce() -> R) -> R {
    SLOT.with(|slot| slot.with(Passing::Here(Ok(descriptor)), visit).0)
}

/// Takes the descriptor that the layer has lent, if it is the layer that calls.
pub(super) fn take() -> Option<OwnedFd> {
    match SLOT.with(|slot| slot.replace(None)) {
        Some(Passing::Here(descriptor)) => descriptor.ok(),
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
