//! Words before the child's program.

use std::ffi::OsString;
use std::time::Duration;

use super::Builder;

impl<F, S, E: Send + 'static> Builder<F, S, E> {
    /// Puts a command before the child's program: `strace -f`, `gdb --args`,
    /// `valgrind`, `perf record`. It is given the path of this program and the
    /// arguments of a child behind its own, and inherits this process's stdin, so
    /// a debugger can be used at the terminal. The time for
    /// [hello](Self::hello_timeout) is not limited then, unless that is said later.
    ///
    /// For children of this program, also in a pool. A [`program`](Self::program)
    /// or [`command`](Self::command) has such words in front already, and a
    /// template's child is not started: both are an error at the start.
    ///
    /// The pid, `kill` and the exit status are the command's then. The worker's
    /// link is a descriptor above 2, which the command must leave open (`sudo` does
    /// not); it is noticed to be over once the command has ended. Which calls had
    /// [started](crate::Error::started) is unknown if the command ends, since the
    /// worker may outlive it.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = ECHO.builder().prefix(["nice", "-n", "5"]).spawn()?;
    /// assert_eq!(rpc.call("so").wait()?, "so");
    /// # Ok(()) }
    /// ```
    pub fn prefix<W: Into<OsString>>(mut self, words: impl IntoIterator<Item = W>) -> Self {
        self.recipe.prefix = words.into_iter().map(Into::into).collect();
        self.recipe.hello_timeout = Duration::MAX;
        self
    }
}
