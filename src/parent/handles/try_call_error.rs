//! The error of a call for which there is no room.

use crate::error::Error;

/// The error of [`Rpc::try_call`](crate::Rpc) and [`Call::detach`](crate::Call::detach) if there is no room for a call: the
/// limits of [`max_outstanding`](crate::Builder::max_outstanding) are reached, or other calls are queued. Converted into an
/// [`Error`], it [`is_full`](Error::is_full).
///
/// ```
/// # offspring::worker!(SLEEP: fn(String) = |ms: String| {
/// #     std::thread::sleep(std::time::Duration::from_millis(ms.parse().unwrap_or(0)))
/// # });
/// # fn main() -> Result<(), offspring::Error> {
/// # offspring::init();
/// let rpc = SLEEP.builder().max_outstanding(1, 1000).spawn()?;
/// let first = rpc.try_call("20").expect("no other call is in flight");
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
    /// Returns the arguments of a `try_call`, or the handle of the call for `detach`.
    ///
    /// Arguments have the form in which they are sent ([`SendAs::Form`](crate::format::SendAs::Form)): a tuple with an element
    /// for each argument, or the array of arguments if the worker takes it whole. They are complete, and can be passed to
    /// `try_call` again.
    ///
    /// ```
    /// # fn sleep(words: Vec<String>) {
    /// #     std::thread::sleep(std::time::Duration::from_millis(words.len() as u64));
    /// # }
    /// # offspring::worker!(SLEEP: fn(u64) = |ms: u64| std::thread::sleep(std::time::Duration::from_millis(ms)));
    /// # offspring::worker!(WORDS: fn(..Vec<String>) = sleep);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = SLEEP.builder().max_outstanding(1, 1000).spawn()?;
    /// let first = rpc.try_call(20).expect("no other call is in flight");
    /// if let Err(full) = rpc.try_call(7) {
    ///     assert_eq!(full.into_inner(), (7,));
    /// }
    /// if let Err(full) = rpc.call(1).detach() {
    ///     full.into_inner().wait()?; // the handle, as before
    /// }
    /// first.wait()?;
    ///
    /// // A worker that takes the array of arguments.
    /// let rpc = WORDS.builder().max_outstanding(1, 1000).spawn()?;
    /// let first = rpc.call(vec!["a".to_owned(); 20]);
    /// if let Err(full) = rpc.try_call(vec!["b".to_owned()]) {
    ///     assert_eq!(full.into_inner(), ["b"]);
    /// }
    /// first.wait()?;
    /// # Ok(()) }
    /// ```
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
            "{error}: wait for a call that is in flight, or raise `max_outstanding`, or `max_queue` of a pool"
        ))
    }
}
