//! The workers of this program, and what its templates may preload, by name.

use std::any::Any;
use std::fmt::Debug;
use std::os::fd::OwnedFd;
use std::panic::Location;
use std::ptr::addr_eq;

/// What is declared, and found by its name.
pub trait Declaration: Sync + Debug {
    /// Its name. In a program several of one kind may have it.
    fn name(&self) -> &'static str;
    /// Where it was declared: `file:line:column`.
    fn origin(&self) -> String;
}

/// What a declared worker shows to `init`.
pub trait Registered: Declaration {
    /// Serves, and gives the code to exit with. `session` is a `child::Session`,
    /// which is not known down here.
    fn run(&'static self, session: Box<dyn Any>) -> i32;
    /// Serves in this thread of the parent's own process.
    fn run_here(&'static self, link: OwnedFd);
}

/// What a declared preload shows to a template.
pub trait Loads: Declaration {
    /// Loads, from the arguments given at the start, and the descriptors.
    fn load(&'static self, arguments: &[u8], descriptors: Vec<OwnedFd>) -> Result<(), String>;
}

/// Returns the declaration of this name that has this origin, as told by
/// [`origin_of`] in the parent.
///
/// # Errors
///
/// There is none: the parent is another program.
pub(crate) fn find<T: Declaration + ?Sized + 'static>(
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

/// Returns what tells a declaration from others of its name: its place in the
/// source, and behind a `#` which it is of those that one macro declares there.
pub(crate) fn origin_of<T: Declaration + ?Sized + 'static>(
    declared: impl Iterator<Item = &'static T>,
    own: &'static impl Sized,
    name: &str,
    place: &Location<'_>,
) -> String {
    let mut named = named(declared, name).into_iter();
    let found = named.find(|(one, _)| addr_eq(*one, own));
    found.map_or_else(|| place.to_string(), |(_, origin)| origin)
}

/// All of this name, each once, with their origins, in the order of the program.
fn named<T: Declaration + ?Sized + 'static>(
    declared: impl Iterator<Item = &'static T>,
    name: &str,
) -> Vec<(&'static T, String)> {
    let mut found: Vec<(&'static T, String)> = Vec::new();
    for one in declared.filter(|one| one.name() == name) {
        // It may be listed twice, by hand and by the linker.
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

    impl Declaration for Sample {
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

    /// It is not listed here: its place has to do.
    #[test]
    fn what_is_not_listed_has_its_place() {
        let place = Location::caller();
        let origin = origin_of(ALL[..1].iter(), &ALL[1], "a", place);
        assert_eq!(origin, place.to_string());
    }
}
