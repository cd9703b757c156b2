//! The check of layers finds each kind of breach in made-up sources.

use crate::layers::{Crate, Layers};

const LAYERS: &str = "
    low:
    pure: | std::fmt
    parent/door: low
    parent/inner: parent/door
    parent: parent/door parent/inner low
    pool: low parent/door
    child: low
    lib: *
";

/// Returns the breaches of this file, among others.
fn breaches(file: &str, text: &str) -> Vec<String> {
    let others = [
        (
            "lib.rs",
            "mod low; mod parent; pub(crate) use parent::inner::Inner;",
        ),
        (
            "low.rs",
            "pub(crate) use std::time::Instant as Clock; pub(crate) fn low() {}",
        ),
        (
            "parent/mod.rs",
            "mod door; mod inner; pub(crate) use door::Door; use inner::Inner;",
        ),
        ("parent/door.rs", "pub(crate) struct Door;"),
        (
            "parent/inner.rs",
            "pub(crate) struct Inner; use super::Door;",
        ),
        ("pool.rs", ""),
        ("child/mod.rs", "pub struct Child; mod part;"),
        ("child/part.rs", ""),
        ("pure.rs", ""),
    ];
    let files = others.into_iter().map(|(name, other)| match name == file {
        true => (name, text),
        false => (name, other),
    });
    Crate::new(files).breaches(&Layers::new(LAYERS))
}

#[test]
fn what_is_allowed_is_no_breach() {
    for (file, text) in [
        (
            "low.rs",
            "use std::time::Instant; fn low() -> crate::low::Low { self::low(); Vec::new() }",
        ),
        (
            "child/part.rs",
            "use super::Child; use crate::low; fn part() { low::low() }",
        ),
        (
            "pool.rs",
            "use crate::parent::Door; fn pool(door: Door) { crate::low::low() }",
        ),
        (
            "pure.rs",
            "use std::fmt::{self, Debug}; fn pure<'a>(text: &'a str) -> fmt::Result { Ok('\'') }",
        ),
        // A function with the name of the module that it comes from.
        (
            "child/part.rs",
            "mod same { pub(crate) fn same() {} } use crate::child::part::same::same; fn part() { same() }",
        ),
        // No code, or code for tests only.
        (
            "low.rs",
            "// crate::child\n/* crate::child::Child */ const A: &str = \"crate::child::Child\";",
        ),
        (
            "low.rs",
            "const A: &str = r#\"\" crate::child::Child\"#; /// [`crate::child::Child`]\nstruct A;",
        ),
        (
            "low.rs",
            "#[cfg(test)] mod tests { use crate::child::Child; } #[cfg(test)] use crate::child::{Child};",
        ),
    ] {
        assert_eq!(breaches(file, text), [""; 0], "{text}");
    }
}

#[test]
fn a_breach_is_found() {
    for (file, text, found) in [
        // Upwards, in each form of a path.
        ("low.rs", "use crate::child::Child;", "low uses child"),
        (
            "low.rs",
            "use crate::{\n    low,\n    child::{part,\n Child},\n};",
            "low uses child",
        ),
        (
            "low.rs",
            "use super::child::Child as Other;",
            "low uses child",
        ),
        (
            "low.rs",
            "fn low() -> Vec<crate::child::Child> {}",
            "low uses child",
        ),
        (
            "low.rs",
            "mod inline { fn low() { super::super::child::Child::new(); } }",
            "low uses child",
        ),
        (
            "low.rs",
            "use crate as all; fn low() { all::child::Child; }",
            "low uses child",
        ),
        (
            "low.rs",
            "#[cfg(not(test))] use crate::child::Child;",
            "low uses child",
        ),
        // Between siblings.
        (
            "child/part.rs",
            "fn part() { crate::parent::Door; }",
            "child/part uses parent/door",
        ),
        (
            "parent/door.rs",
            "use super::super::child::Child;",
            "parent/door uses child",
        ),
        // Through a re-export: of the root or a folder, public or not.
        (
            "low.rs",
            "fn low(inner: crate::Inner) {}",
            "low uses parent/inner",
        ),
        ("pool.rs", "use crate::Inner;", "pool uses parent/inner"),
        (
            "pool.rs",
            "use crate::parent::Inner;",
            "pool uses parent/inner",
        ),
        (
            "pool.rs",
            "use crate::parent; fn pool() { parent::Inner::new(); }",
            "pool uses parent/inner",
        ),
        (
            "pool.rs",
            "use crate::parent::*;",
            "pool imports all of crate::parent",
        ),
        // What the pure part must not use, also through a re-export.
        (
            "pure.rs",
            "use std::{fmt, time::Duration};",
            "pure uses std::time::Duration",
        ),
        (
            "pure.rs",
            "fn pure() { std::thread::park() }",
            "pure uses std::thread::park",
        ),
        (
            "pure.rs",
            "use std as s; fn pure() { s::process::exit(0) }",
            "pure uses std",
        ),
        ("pure.rs", "use libc::fork;", "pure uses libc::fork"),
        (
            "pure.rs",
            "use crate::low::Clock;",
            "pure uses std::time::Instant",
        ),
        ("other.rs", "", "other is in no layer"),
    ] {
        let mut all = breaches(file, text);
        if file == "other.rs" {
            all = Crate::new([(file, text)]).breaches(&Layers::new(LAYERS));
        }
        assert!(all.iter().any(|breach| breach == found), "{text}: {all:?}");
    }
}

#[test]
fn a_circle_is_found() {
    let files = |last: &'static str| {
        Crate::new([
            ("lib.rs", "mod a; mod b; mod c; pub(crate) use a::A;"),
            (
                "a/mod.rs",
                "mod inner; use crate::b::B; pub(crate) struct A;",
            ),
            ("a/inner.rs", "use super::A;"),
            ("b.rs", "use crate::c::C; pub(crate) struct B;"),
            ("c.rs", last),
        ])
    };
    assert_eq!(files("pub(crate) struct C;").circles(), [""; 0]);
    assert_eq!(files("fn c() { crate::A::new() }").circles(), ["a b c"]);
}

#[test]
#[should_panic(expected = "low is above high")]
fn a_table_has_no_circle() {
    Layers::new("low: high\nhigh: low");
}
