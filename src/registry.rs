//! The workers of this program, and what its templates may preload, by name.

use std::fmt::Debug;
use std::os::fd::OwnedFd;

use crate::child::Session;

/// What is declared, and found by its name.
pub trait Declaration: Sync + Debug {
    /// Its name, unique in a program among those of its kind.
    fn name(&self) -> &'static str;
    /// Where it was declared: `file:line:column`.
    fn origin(&self) -> String;
}

/// What a declared worker shows to `init`.
pub trait Registered: Declaration {
    /// Serves, and ends the process.
    fn run(&'static self, session: Session) -> !;
}

/// What a declared preload shows to a template.
pub trait Loads: Declaration {
    /// Loads, from the arguments given at the start, and the descriptors.
    fn load(&'static self, arguments: &[u8], descriptors: Vec<OwnedFd>) -> Result<(), String>;
}

/// The declaration of this name.
///
/// # Errors
///
/// There is none, or more than one: then nobody knows which is meant.
pub(crate) fn find<T: Declaration + ?Sized>(
    kind: &str,
    declared: impl Iterator<Item = &'static T>,
    name: &str,
    origin: &str,
) -> Result<&'static T, String> {
    let all: Vec<_> = declared.collect();
    let mut named: Vec<_> = all.iter().filter(|one| one.name() == name).collect();
    // One may be listed twice, by hand and by the linker.
    named.dedup_by_key(|one| one.origin());
    match named[..] {
        [one] if one.origin() == origin => Ok(*one),
        [one] => Err(format!(
            "the {kind} `{name}` is declared at {}, not at {origin}: this is another program",
            one.origin()
        )),
        [] => {
            let names: Vec<_> = all.iter().map(|one| one.name()).collect();
            Err(format!(
                "the program has no {kind} `{name}`; it has: {}",
                names.join(", ")
            ))
        }
        [one, two, ..] => Err(format!(
            "two {kind}s are called `{name}`: {} and {}",
            one.origin(),
            two.origin()
        )),
    }
}
