//! That there is no room for a call.

use crate::error::Error;

/// There was no room for a call now: the limits of
/// [`max_outstanding`](crate::Builder::max_outstanding) are reached, or other
/// calls wait their turn. From [`Rpc::try_call`](crate::Rpc), and from
/// [`Call::detach`](crate::Call::detach). As an [`Error`] it
/// [`is_full`](Error::is_full).
///
/// ```
/// # offspring::worker!(SLEEP: fn(String) = |ms: String| {
/// #     std::thread::sleep(std::time::Duration::from_millis(ms.parse().unwrap_or(0)))
/// # });
/// # fn main() -> Result<(), offspring::Error> {
/// # offspring::init();
/// let rpc = SLEEP.builder().max_outstanding(1, 1000).spawn()?;
/// let first = rpc.try_call("20").expect("nothing else is under way");
/// let (text,) = rpc.try_call("1").unwrap_err().into_inner();
/// assert_eq!(text, "1");
/// first.wait()?;
/// rpc.try_call(text).expect("there is room again").wait()?;
/// # Ok(()) }
/// ```
#[doc(alias = "Full")]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TryCallError<T>(pub(crate) T);

impl<T> TryCallError<T> {
    /// Returns the arguments of a `try_call` in the form in which they are sent
    /// ([`SendAs::Form`](crate::format::SendAs::Form)): a tuple with an element for each,
    /// or the array of arguments if the worker takes it whole. Nothing was taken
    /// out of them, and each can be given to `try_call` again. Returns the handle
    /// of the call for `detach`.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> std::fmt::Debug for TryCallError<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TryCallError(..)")
    }
}

impl<T> std::fmt::Display for TryCallError<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("there is no room for a call now")
    }
}

impl<T> std::error::Error for TryCallError<T> {}

impl<T> From<TryCallError<T>> for Error {
    fn from(error: TryCallError<T>) -> Self {
        Self::full(format_args!(
            "{error}: wait for one of those that are under way, or raise `max_outstanding`, or `max_queue` of a pool"
        ))
    }
}
