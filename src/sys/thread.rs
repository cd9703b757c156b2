//! Threads of the crate, which take no signals of the program.

use super::mask::Mask;
use std::io;
use std::thread::{Builder, Thread};

/// Starts a thread that blocks all signals from its first instruction on.
///
/// # Errors
/// Those of [`Builder::spawn`].
pub(crate) fn spawn_thread(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<Thread> {
    let before = Mask::all().set();
    let spawned = Builder::new().name(name.to_owned()).spawn(run);
    before.set();
    Ok(spawned?.thread().clone())
}
