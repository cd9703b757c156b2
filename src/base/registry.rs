//! The workers and preloads of this program, by name.

use std::any::Any;
use std::fmt::Debug;
use std::os::fd::OwnedFd;
use std::panic::Location;
use std::ptr::addr_eq;

/// A declaration, which is found by its name.
pub trait Named: Sync + Debug {
    /// The name. Several declarations of a program may have the same.
    fn name(&self) -> &'static str;
    /// Where it is declared, as `file:line:column`.
    fn origin(&self) -> String;
}

/// A declared worker, for `init`.
pub trait WorkerEntry: Named {
    /// Serves until the parent closes the link, and returns the exit code. `handshake` is a `child::Handshake`,
    /// which is not known down here.
    fn run(&'static self, handshake: Box<dyn Any>) -> i32;
    /// Serves on this thread of the parent's process.
    fn run_here(&'static self, link: OwnedFd);
}

/// A declared preload, for a template.
pub trait PreloadEntry: Named {
    /// Runs the preload with its encoded arguments and their descriptors.
    fn load(&'static self, arguments: &[u8], descriptors: Vec<OwnedFd>) -> Result<(), String>;
}

/// Returns the declaration of this name whose origin is `origin`, which the parent found by [`origin_of`].
///
/// # Errors
///
/// No declaration matches: the parent is another program.
pub(crate) fn find<T: Named + ?Sized + 'static>(
    kind: &str,
    declared: impl Iterator<Item = &'static T>,
    name: &str,
    origin: &str,
) -> Result<&'static T, String> {
    let all: Vec<_> = declared.collect();
    let named = named(all.iter().copied(), name);
    if let Some((found, _)) = named.iter().find(|(_, own)| own == origin) {
        return Ok(*found);
    }
    let known = |all: Vec<&str>| all.join(", ");
    if named.is_empty() {
        let names = known(all.iter().map(|one| one.name()).collect());
        return Err(format!(
            "the program has no {kind} `{name}`; it has: {names}"
        ));
    }
    let origins = known(named.iter().map(|(_, own)| own.as_str()).collect());
    Err(format!(
        "the {kind} `{name}` is declared at {origins}, not at {origin}: this is another program"
    ))
}

/// Returns what distinguishes a declaration from others of its name: its position in the source, and `#n` for the n-th
/// that one macro call declares there, from the second on.
pub(crate) fn origin_of<T: Named + ?Sized + 'static>(
    declared: impl Iterator<Item = &'static T>,
    own: &'static impl Sized,
    name: &str,
    place: &Location<'_>,
) -> String {
    let mut named = named(declared, name).into_iter();
    let found = named.find(|(one, _)| addr_eq(*one, own));
    found.map_or_else(|| place.to_string(), |(_, origin)| origin)
}

/// Returns all declarations of this name, each once, with their origins, in the order of the program.
fn named<T: Named + ?Sized + 'static>(
    declared: impl Iterator<Item = &'static T>,
    name: &str,
) -> Vec<(&'static T, String)> {
    let mut found: Vec<(&'static T, String)> = Vec::new();
    for one in declared.filter(|one| one.name() == name) {
        // A worker may be listed twice, by hand and by the linker.
        if found.iter().any(|(other, _)| addr_eq(*other, one)) {
            continue;
        }
        let mut origin = one.origin();
        let others = found.iter().filter(|(other, _)| other.origin() == origin);
        let others = others.count();
        if others > 0 {
            origin += &format!("#{}", others + 1);
        }
        found.push((one, origin));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Sample(&'static str, &'static str, u8);

    impl Named for Sample {
        fn name(&self) -> &'static str {
            self.0
        }
        fn origin(&self) -> String {
            self.1.to_owned()
        }
    }

    static ALL: [Sample; 5] = [
        Sample("a", "one.rs:1:1", 0),
        Sample("a", "two#.rs:1:1", 1),
        Sample("b", "one.rs:1:1", 2),
        Sample("a", "two#.rs:1:1", 3),
        Sample("c", "one.rs:9:9", 4),
    ];

    fn found(name: &str, origin: &str) -> Result<u8, String> {
        // The first is listed twice.
        let listed = ALL.iter().chain(&ALL[..1]);
        find("worker", listed, name, origin).map(|one| one.2)
    }

    /// X75.
    #[test]
    fn each_is_found_by_its_origin() {
        for (number, sample) in (0..).zip(&ALL) {
            let place = Location::caller();
            let origin = origin_of(ALL.iter(), sample, sample.0, place);
            assert_eq!(found(sample.0, &origin), Ok(number), "{origin}");
        }
        assert_eq!(found("a", "two#.rs:1:1#2"), Ok(3));
    }

    #[test]
    fn another_program_is_told_apart() {
        let other = found("c", "one.rs:9:8").unwrap_err();
        assert!(
            other.contains("one.rs:9:9") && other.contains("another program"),
            "{other}"
        );
        let other = found("a", "two#.rs:1:1#3").unwrap_err();
        assert!(
            other.contains("one.rs:1:1, two#.rs:1:1, two#.rs:1:1#2"),
            "{other}"
        );
        let none = found("d", "one.rs:1:1").unwrap_err();
        assert!(
            none.contains("no worker `d`; it has: a, a, b, a, c"),
            "{none}"
        );
    }

    /// A declaration that is not listed has its position in the source.
    #[test]
    fn what_is_not_listed_has_its_place() {
        let place = Location::caller();
        let origin = origin_of(ALL[..1].iter(), &ALL[1], "a", place);
        assert_eq!(origin, place.to_string());
    }
}
