//! The two errors of a call as one.

use std::fmt;

use super::Error;

/// Why a call has no value: the worker's own error, or what kept it from answering.
/// From [`flatten_errors`](FlattenErrors::flatten_errors).
#[derive(Clone)]
pub enum CallError<E> {
    /// The worker's function returned this error.
    Worker(E),
    /// The function did not return.
    Call(Error),
}

impl<E: fmt::Display> fmt::Display for CallError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Worker(error) => error.fmt(f),
            Self::Call(error) => error.fmt(f),
        }
    }
}

/// As the error in it: for `unwrap`.
impl<E: fmt::Debug> fmt::Debug for CallError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Worker(error) => error.fmt(f),
            Self::Call(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for CallError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Worker(_) => None,
            Self::Call(error) => error.source(),
        }
    }
}

/// Turns the two results of a call into one.
///
/// A call whose worker returns a `Result` has `Result<Result<T, E>, Error>`.
/// `wait()??` takes both apart; this keeps them together.
///
/// ```
/// # fn half(number: String) -> Result<String, WorkerError> {
/// #     Ok((number.parse::<u32>()? / 2).to_string())
/// # }
/// use offspring::{CallError, FlattenErrors, WorkerError, worker};
///
/// worker!(HALF: fn(String) -> Result<String, WorkerError> = half);
///
/// # fn main() -> Result<(), offspring::Error> {
/// # offspring::init();
/// let rpc = HALF.spawn()?;
/// match rpc.call("many").wait().flatten_errors() {
///     Ok(half) => println!("{half}"),
///     Err(CallError::Worker(error)) => assert_eq!(error.message(), "invalid digit found in string"),
///     Err(CallError::Call(error)) => return Err(error),
/// }
/// # Ok(()) }
/// ```
pub trait FlattenErrors<T, E> {
    /// Returns the value, or whichever error there was.
    ///
    /// # Errors
    ///
    /// The worker's own, or that of the call.
    #[doc(alias = "flatten")]
    fn flatten_errors(self) -> Result<T, CallError<E>>;
}

impl<T, E> FlattenErrors<T, E> for Result<Result<T, E>, Error> {
    fn flatten_errors(self) -> Result<T, CallError<E>> {
        self.map_err(CallError::Call)?.map_err(CallError::Worker)
    }
}
