//! The stand-in for `asynchronous.rs` and `concurrent.rs` without that feature. Its items fail to compile with the feature's
//! name.

use super::function::Child;

/// A value that the feature accepts. No type is one.
#[diagnostic::on_unimplemented(
    message = "`runtime` needs the feature `concurrent` of `offspring`",
    label = "needs the feature `concurrent`",
    note = "in Cargo.toml: `features = [\"concurrent\"]` for `offspring`"
)]
pub trait HasConcurrent {}

impl<F, S, E, I> Child<F, S, E, I> {
    /// Fails to compile.
    #[must_use]
    pub fn runtime(self, _: impl HasConcurrent) -> Self {
        self
    }
}

/// Parses a service that has an `async fn`: fails at the method.
#[doc(hidden)]
#[macro_export]
macro_rules! __concurrent_service {
    ($at:tt $($service:tt)*) => {
        $crate::__fail!($at "an `async fn` in a service needs the feature `concurrent` of `offspring`");
    };
}
