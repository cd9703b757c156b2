//! Events of a pool for the crate `tracing`, with the feature of that name. Their target is `offspring::pool`.

use crate::base::panics::catch_panic;
use crate::exit_status::ExitStatus;
use crate::parent::PoolStatus;

/// Emits an event. If the subscriber panics, the pool and the reactor, whose thread this may be, go on.
fn emit(event: impl FnOnce()) {
    let _ = catch_panic(event);
}

/// A child is being started.
pub(crate) fn child_starts(worker: &str, child: u64, launcher: usize) {
    emit(|| tracing::debug!(target: "offspring::pool", worker, child, launcher, "a child starts"));
}

/// A child is ready.
pub(crate) fn child_ready(worker: &str, child: u64, pool: &PoolStatus) {
    emit(|| tracing::debug!(target: "offspring::pool", worker, child, "a child is ready"));
    counts(worker, pool);
}

/// A child could not be started.
pub(crate) fn child_failed(worker: &str, child: u64, error: &crate::Error) {
    emit(
        || tracing::warn!(target: "offspring::pool", worker, child, %error, "a child could not be started"),
    );
}

/// The resident memory of a child was read, in bytes. No lock is held.
pub(crate) fn child_memory_read(worker: &str, child: u64, memory: Option<u64>) {
    emit(
        || tracing::trace!(target: "offspring::pool", worker, child, memory, "a child is weighed"),
    );
}

/// A child has exited. `asked` is whether the pool asked for it.
pub(crate) fn child_ended(
    worker: &str,
    child: u64,
    status: ExitStatus,
    asked: bool,
    pool: &PoolStatus,
) {
    if asked {
        emit(
            || tracing::debug!(target: "offspring::pool", worker, child, %status, "a child has ended"),
        );
    } else {
        emit(
            || tracing::warn!(target: "offspring::pool", worker, child, %status, "a child has died"),
        );
    }
    counts(worker, pool);
}

/// A call moves to another child.
pub(crate) fn call_moved(worker: &str, call: u64) {
    emit(|| tracing::debug!(target: "offspring::pool", worker, call, "a call moves"));
}

/// The counters of the pool, after a child has changed its state.
fn counts(worker: &str, counts: &PoolStatus) {
    emit(|| {
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
    });
}
