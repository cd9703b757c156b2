//! Tests of the whole: this binary starts itself as a child.
//!
//! `OFFSPRING_TEST_SCALE` makes limits and repetitions larger, or, below 1,
//! repetitions smaller; `OFFSPRING_TEST_WATCHDOG` says how many seconds one test
//! may take.

mod callbacks;
mod calls;
mod common;
#[cfg(feature = "concurrent")]
mod concurrent;
mod death;
mod late;
mod leaks;
mod limits;
mod order;
mod peers;
mod pool;
mod progress;
mod room;
mod runtimes;
mod signals;
mod start;
mod threads;
#[cfg(feature = "tracing")]
mod traces;
mod work;

offspring::init_in_tests!();

// A program of its own, as far as its parent can tell.
offspring::__before_main!(start::serve_if_asked);
