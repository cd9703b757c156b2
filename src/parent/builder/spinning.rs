//! How bytes travel, and looking for them before sleeping.

use super::Builder;

impl<F, S, E: Send + 'static> Builder<F, S, E> {
    /// Whether both sides may look for bytes for some microseconds before
    /// they sleep. Default: they may. In this process it is the thread
    /// that waits for a call which looks; for tasks, and for calls of a busy pool,
    /// the helper thread, once it has read an answer and others are owed.
    ///
    /// It makes short calls several times faster, takes no CPU where it does
    /// not pay (they learn), and none at all while nothing is outstanding.
    pub fn spin(mut self, allowed: bool) -> Self {
        self.recipe.spin = allowed;
        self
    }

    /// Sets whether bytes may travel through memory that parent and child share.
    /// Default: true.
    ///
    /// Then a call to a child that is awake costs no system call. A child that
    /// knows no rings, a link that is no local socket, and a system without
    /// memory files use the socket in any case. A child that is offered rings is
    /// sent its calls once it has answered hello. Without rings a result that was
    /// finished, and found the socket full, is lost if the child dies.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = ECHO.builder().rings(false).spawn()?;
    /// assert_eq!(rpc.call("so").wait()?, "so");
    /// # Ok(()) }
    /// ```
    pub fn rings(mut self, allowed: bool) -> Self {
        self.recipe.rings = allowed;
        self
    }
}
