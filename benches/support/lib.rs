//! The common parts of the benchmarks: medians, tables put into pages of the documentation, and plots.
#![allow(
    missing_docs,
    missing_debug_implementations,
    reason = "used by the benchmarks of this repository alone"
)]

pub mod page;
pub mod svg;
