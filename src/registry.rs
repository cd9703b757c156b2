//! The workers of this program, by name.

use std::fmt::Debug;

use crate::child::Session;

/// What a declared worker shows to `init`.
pub trait Registered: Sync + Debug {
    /// Its name, unique in a program.
    fn name(&self) -> &'static str;
    /// Where it was declared: `file:line:column`.
    fn origin(&self) -> String;
    /// Serves, and ends the process.
    fn run(&'static self, session: Session) -> !;
}

/// The worker of this name.
///
/// # Errors
///
/// There is none, or more than one: then nobody knows which is meant.
pub(crate) fn find(
    workers: impl Iterator<Item = &'static dyn Registered>,
    name: &str,
    origin: &str,
) -> Result<&'static dyn Registered, String> {
    let all: Vec<_> = workers.collect();
    let mut named: Vec<_> = all.iter().filter(|worker| worker.name() == name).collect();
    // One worker may be listed twice, by hand and by the linker.
    named.dedup_by_key(|worker| worker.origin());
    match named[..] {
        [worker] if worker.origin() == origin => Ok(*worker),
        [worker] => Err(format!(
            "the worker `{name}` is declared at {}, not at {origin}: this is another program",
            worker.origin()
        )),
        [] => {
            let names: Vec<_> = all.iter().map(|worker| worker.name()).collect();
            Err(format!(
                "the program has no worker `{name}`; it has: {}",
                names.join(", ")
            ))
        }
        [one, two, ..] => Err(format!(
            "two workers are called `{name}`: {} and {}",
            one.origin(),
            two.origin()
        )),
    }
}
