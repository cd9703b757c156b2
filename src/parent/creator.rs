//! The process that created a value. In a copy of that process, made by `fork`, the value must
//! not be touched (`forked.rs`).

use crate::sys;

/// The process that created a value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Creator(u32);

impl Creator {
    /// This process.
    #[inline]
    pub(super) fn current() -> Self {
        Self(sys::fork_id())
    }

    /// Returns whether this process is the creator, and no copy of it.
    #[inline]
    pub(super) fn is_current(self) -> bool {
        self.0 == sys::fork_id()
    }
}
