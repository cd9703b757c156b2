//! What can be seen of a pool.

/// How a pool is, and what it has done so far; from
/// [`Pool::status`](crate::Pool::status).
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
    /// Children with nothing to do.
    pub idle: usize,
    /// Children with calls.
    pub busy: usize,
    /// Children that finish what they have and get no more.
    pub leaving: usize,
    /// Calls that wait for a child.
    pub queued: usize,
    /// Calls that children have and have not answered, also those that were
    /// cancelled.
    pub running: usize,
    /// Children started, ever.
    pub started: u64,
    /// Starts that failed: no process, no hello, or an `init` that failed.
    pub failed: u64,
    /// Children that were ready, and ended without being told to.
    pub died: u64,
    /// Children that asked to retire, or had done, aged or grown enough.
    pub retired: u64,
    /// Calls answered.
    pub answered: u64,
    /// Calls that had to move from a child that died.
    pub moved: u64,
}

impl PoolStatus {
    /// Children that count for [`max`](crate::PoolBuilder::max).
    #[must_use]
    pub fn children(&self) -> usize {
        self.starting + self.idle + self.busy + self.leaving
    }
}
