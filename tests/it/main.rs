//! Tests of the whole: this binary starts itself as a child.
//!
//! `OFFSPRING_TEST_SCALE` makes limits and repetitions larger (or repetitions
//! smaller, below 1).

mod calls;
mod common;
#[cfg(feature = "concurrent")]
mod concurrent;
mod death;
mod start;
mod threads;
mod work;

offspring::init_in_tests!();

// A program of its own, as far as its parent can tell.
offspring::__before_main!(start::serve_if_asked);
