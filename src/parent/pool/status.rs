//! The state of a pool, for its user.

/// The state of a pool and its counters, from [`Pool::status`](crate::Pool::status).
///
/// ```
/// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
/// # fn main() -> Result<(), offspring::Error> {
/// # offspring::init();
/// let pool = ECHO.pool().spawn()?;
/// pool.ready().wait()?;
/// assert_eq!(pool.status().idle, 1);
/// assert_eq!(pool.status().children(), 1);
/// # pool.join().wait()?; Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStatus {
    /// Children that are not ready yet.
    pub starting: usize,
    /// Ready children without calls.
    pub idle: usize,
    /// Ready children with calls.
    pub busy: usize,
    /// Children that finish their calls and are given no more.
    pub leaving: usize,
    /// Calls that wait in the pool for a child.
    pub queued: usize,
    /// Calls that children have and have not answered, cancelled calls included.
    pub running: usize,
    /// Children started so far.
    pub started: u64,
    /// Starts that failed: no process, no hello, or an `init` that failed.
    pub failed: u64,
    /// Children that were ready and exited without being told to.
    pub died: u64,
    /// Children that retired, or reached [`max_calls`](crate::PoolBuilder::max_calls), [`max_age`](crate::PoolBuilder::max_age)
    /// or [`max_memory`](crate::PoolBuilder::max_memory).
    pub retired: u64,
    /// Calls answered.
    pub answered: u64,
    /// Calls that a child gave back, and that were queued again.
    pub moved: u64,
}

impl PoolStatus {
    /// Returns the number of children that count for [`max`](crate::PoolBuilder::max): all except those that were told to exit.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let pool = ECHO.pool().max(2).spawn()?;
    /// assert_eq!(pool.status().children(), 0);
    /// let calls: Vec<_> = (0..100).map(|number| pool.call(number.to_string())).collect();
    /// assert!((1..=2).contains(&pool.status().children()));
    /// for call in calls {
    ///     call.wait()?;
    /// }
    /// # pool.join().wait()?; Ok(()) }
    /// ```
    #[must_use]
    pub fn children(&self) -> usize {
        self.starting + self.idle + self.busy + self.leaving
    }
}
