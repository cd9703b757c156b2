//! The option that runs the worker in this process.

use super::{Builder, Launcher};

impl<F, S, E> Builder<F, S, E> {
    /// Runs the worker in a thread of this process instead: for unit tests, which
    /// need no [`init`](crate::init) then, for debuggers, and for coverage.
    ///
    /// The handle is used as that of a child, also of a [`pool`](Builder::pool), and
    /// nothing is shared: values travel as bytes over a link, `init` makes the
    /// state, a panic fails its call, and the thread ends when the handle is
    /// dropped and all calls are done. A breakpoint in the worker's function stops
    /// this process (with `cargo test`, `rust-gdb` on the test's binary, and `break
    /// my_crate::my_function`), and what counts covered lines sees the function.
    ///
    /// A thread is no process. It shares stdin, stdout and stderr, the environment
    /// and the directory; to ask for others, for limits, rights or a group, or for
    /// the plain form, is an error at the start. If the function aborts or exits,
    /// so does this process. [`Rpc::kill`](crate::Rpc::kill), and what leads to it, cuts the link:
    /// open calls fail at once, and the thread ends when the function returns. There
    /// is no process id, and the exit status is [`Unknown`](crate::ExitStatus::Unknown).
    /// The first such worker adds a hook of panics, which calls the one before.
    /// [`retire`](crate::retire) is an error. The thread of `async-io`, which serves
    /// an async worker, stays.
    ///
    /// ```
    /// # offspring::worker!(DOUBLE: fn(i32) -> i32 = |number: i32| 2 * number);
    /// # fn main() -> Result<(), offspring::Error> {
    /// let rpc = DOUBLE.builder().in_process().spawn()?;
    /// assert_eq!(rpc.call(21).wait()?, 42);
    /// # Ok(()) }
    /// ```
    #[doc(alias = "in_thread")]
    pub fn in_process(mut self) -> Self {
        self.recipe.launcher = Launcher::Thread;
        self
    }
}
