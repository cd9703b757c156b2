//! Call a function in a child process as if it were here.

#[allow(dead_code, unused_imports)] // until the driver uses it
mod sys;

/// What the macros of this crate expand to.
#[doc(hidden)]
pub mod __private {
    pub use crate::sys::{Registered, Registration};
}
