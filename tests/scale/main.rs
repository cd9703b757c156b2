//! Large numbers: what children, starts, calls and bytes cost by the thousand, and that nothing of them is left.
//!
//! ```text
//! cargo test --all-features --test scale                                    small sizes, some seconds
//! OFFSPRING_TEST_SCALE=50 cargo test --release --all-features --test scale  the sizes of the table
//! cargo test --all-features --test scale pools                              the scenes of this name
//! ```
//!
//! Each scene runs in a separate process for each kind of children, with the guard of all tests: no child, zombie,
//! thread of the crate or descriptor may be left. The process also checks ([`meter`]) that no memory file is mapped, that
//! the number of mappings has grown by at most [`meter::MOST_MAPPINGS`], and its memory by at most
//! [`meter::MOST_KEPT`]. The accounts ([`accounts`]) check that each call was answered exactly once, with its result, and
//! that each call that a child ran was answered.
//!
//! At the end all rows are printed as a table for `docs/performance.md`.

use std::process::ExitCode;

mod accounts;
#[path = "../it/support/harness.rs"]
mod harness;
mod jobs;
#[path = "../it/support/leftovers.rs"]
mod leftovers;
mod meter;
mod scenes;
mod shortages;
#[path = "../it/support/mod.rs"]
#[expect(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "the other tests share more"
)]
mod support;

use harness::{Test, tests};
use support::own_memory;

offspring::init_in_tests!();

const TESTS: &[Test] = tests! {
    "": harness { nextest_finds_them }
    "": scenes {
        children_at_once starts_and_ends threads_and_children calls_in_flight bytes_there_and_back pools
    }
    "": shortages { descriptors_run_out }
    "another user": shortages { processes_run_out }
};

/// Returns whether this machine has it.
fn attempt(needs: &str) -> Result<(), String> {
    match needs {
        "another user" => shortages::another_user(),
        other => unreachable!("{other}"),
    }
}

fn main() -> ExitCode {
    let is_well = harness::run(TESTS, attempt);
    meter::print_table();
    if is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
