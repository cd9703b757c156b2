//! Peers that lie at random, and places where something is missing that a process usually has.
//!
//! `OFFSPRING_TEST_LIES` says how many lies are told; the usual number is small.
#![cfg(all(
    feature = "blocking",
    feature = "concurrent",
    feature = "cbor",
    feature = "json",
    feature = "messagepack",
    feature = "postcard"
))]

mod children;
mod lies;
mod memory;
mod parents;
mod places;
mod ring;
mod scribbles;
mod seccomp;
mod steps;
#[path = "../it/support/mod.rs"]
#[expect(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "the other tests share more"
)]
mod support;

offspring::init_in_tests!();

offspring::__before_main!(|| support::serve_if_asked(|other| match other {
    "liars" => children::serve(),
    "liar" => children::lie_to_the_parent(),
    other => parents::serve(other),
}));
