//! One error type for the two errors of a call.

use std::fmt;

use super::Error;

/// The error of a call whose worker returns a `Result`: the worker's own error, or that of the call. From
/// [`flatten_errors`](FlattenErrors::flatten_errors).
///
/// ```
/// use offspring::{CallError, Error};
///
/// fn status(error: &CallError<String>) -> u16 {
///     match error {
///         CallError::Worker(_) => 422,
///         CallError::Call(_) => 500,
///     }
/// }
/// ```
#[derive(Clone)]
pub enum CallError<E> {
    /// The worker's function returned this error.
    Worker(E),
    /// The call failed: the function did not return, or its result was lost.
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

/// As the error in it, for `unwrap`.
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
/// A call whose worker returns a `Result` has the type `Result<Result<T, E>, Error>`. `wait()??` needs an error type that
/// both convert to; `flatten_errors` needs none.
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
    /// Returns the value, or the error in one type.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> Result<String, offspring::WorkerError> = |text: String| Ok(text));
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # offspring::init();
    /// use offspring::FlattenErrors;
    ///
    /// let rpc = ECHO.spawn()?;
    /// let text: String = rpc.call("so").wait().flatten_errors()?; // instead of `wait()??`
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// The worker's own error, or that of the call.
    #[doc(alias = "flatten")]
    fn flatten_errors(self) -> Result<T, CallError<E>>;
}

impl<T, E> FlattenErrors<T, E> for Result<Result<T, E>, Error> {
    fn flatten_errors(self) -> Result<T, CallError<E>> {
        self.map_err(CallError::Call)?.map_err(CallError::Worker)
    }
}
