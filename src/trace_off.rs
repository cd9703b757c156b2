//! [`trace`](super::trace) without the feature `tracing`: does nothing.

use crate::exit_status::ExitStatus;
use crate::parent::PoolStatus;

pub(crate) fn child_starts(_: &str, _: u64, _: usize) {}
pub(crate) fn child_ready(_: &str, _: u64, _: &PoolStatus) {}
pub(crate) fn child_failed(_: &str, _: u64, _: &crate::Error) {}
pub(crate) fn child_memory_read(_: &str, _: u64, _: Option<u64>) {}
pub(crate) fn child_ended(_: &str, _: u64, _: ExitStatus, _: bool, _: &PoolStatus) {}
pub(crate) fn call_moved(_: &str, _: u64) {}
