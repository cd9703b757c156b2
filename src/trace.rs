//! What a pool does, for the crate `tracing`: with the feature of that name.
//! Everything has the target `offspring::pool`.

use crate::exit_status::ExitStatus;
use crate::parent::PoolStatus;

/// A child is being started.
pub(crate) fn child_starts(worker: &str, child: u64, launcher: usize) {
    tracing::debug!(target: "offspring::pool", worker, child, launcher, "a child starts");
}

/// A child got ready.
pub(crate) fn child_ready(worker: &str, child: u64, pool: &PoolStatus) {
    tracing::debug!(target: "offspring::pool", worker, child, "a child is ready");
    counts(worker, pool);
}

/// A child could not be started.
pub(crate) fn child_failed(worker: &str, child: u64, error: &crate::Error) {
    tracing::warn!(target: "offspring::pool", worker, child, %error, "a child could not be started");
}

/// It was read how many bytes of memory a child has resident. No lock is held.
pub(crate) fn child_weighed(worker: &str, child: u64, memory: Option<u64>) {
    tracing::trace!(target: "offspring::pool", worker, child, memory, "a child is weighed");
}

/// A child has ended.
pub(crate) fn child_ended(
    worker: &str,
    child: u64,
    status: ExitStatus,
    asked: bool,
    pool: &PoolStatus,
) {
    if asked {
        tracing::debug!(target: "offspring::pool", worker, child, %status, "a child has ended");
    } else {
        tracing::warn!(target: "offspring::pool", worker, child, %status, "a child has died");
    }
    counts(worker, pool);
}

/// A call has to move to another child.
pub(crate) fn call_moved(worker: &str, call: u64) {
    tracing::debug!(target: "offspring::pool", worker, call, "a call moves");
}

/// What can be counted, after something happened to a child.
fn counts(worker: &str, counts: &PoolStatus) {
    tracing::debug!(
        target: "offspring::pool",
        worker,
        starting = counts.starting,
        idle = counts.idle,
        busy = counts.busy,
        leaving = counts.leaving,
        queued = counts.queued,
        running = counts.running,
        started = counts.started,
        failed = counts.failed,
        died = counts.died,
        retired = counts.retired,
        answered = counts.answered,
        moved = counts.moved,
        "the pool"
    );
}
