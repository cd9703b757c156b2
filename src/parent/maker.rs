//! Which process made a thing: in a copy that `fork` made of that process the
//! thing must not be touched (`forked.rs`).

use crate::sys;

/// The process that made something.
#[derive(Debug, Clone, Copy)]
pub(super) struct Maker(u32);

impl Maker {
    /// This process.
    #[inline]
    pub(super) fn this() -> Self {
        Self(sys::process())
    }

    /// Returns whether that is this process, and not one that this is a copy of.
    #[inline]
    pub(super) fn is_this(self) -> bool {
        self.0 == sys::process()
    }
}
