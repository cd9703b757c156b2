//! Locks and parking. The only file that knows of loom, which explores the driver and the rings, and of the thread sanitizer.

#[cfg(not(loom))]
pub(crate) use std::thread::{Thread, current};

#[cfg(loom)]
pub(crate) use self::explored::{Thread, current};

#[cfg(tsan)]
mod tsan;

#[cfg(not(tsan))]
pub(crate) use std::sync::MutexGuard;
#[cfg(tsan)]
pub(crate) use tsan::{Mutex, MutexGuard};

use std::sync::PoisonError;
use std::time::Instant;

/// A mutex without poisoning: no code of the user's runs while it is held, so its data stay consistent.
#[cfg(not(tsan))]
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

#[cfg(not(tsan))]
impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The lock of the driver and the counters of the rings, which loom replaces.
#[cfg(not(loom))]
pub(crate) mod explored {
    pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

    pub(crate) use super::{Mutex, MutexGuard as Guard, current, park_until};
}

/// Parks until unparked, or until the deadline. May wake spuriously.
#[cfg(not(loom))]
pub(crate) fn park_until(deadline: Option<Instant>) {
    match deadline {
        None => std::thread::park(),
        Some(deadline) => {
            std::thread::park_timeout(deadline.saturating_duration_since(Instant::now()));
        }
    }
}

/// Parks until unparked. Loom has no time.
#[cfg(loom)]
pub(crate) fn park_until(_: Option<Instant>) {
    current().park();
}

/// Loom's lock and counters, and parking made of a lock: loom's own parking forgets an `unpark` that comes while the
/// thread waits for a lock.
#[cfg(loom)]
pub(crate) mod explored {
    pub(crate) use super::park_until;
    pub(crate) use loom::sync::MutexGuard as Guard;
    pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
    use loom::sync::{Condvar, Mutex as RawMutex};
    use std::sync::{Arc, PoisonError};

    #[derive(Debug)]
    pub(crate) struct Mutex<T>(RawMutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(RawMutex::new(value))
        }

        pub(crate) fn lock(&self) -> Guard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    loom::thread_local!(static CURRENT: Thread = Thread::default());

    #[derive(Debug, Clone, Default)]
    pub(crate) struct Thread(Arc<ParkState>);

    #[derive(Debug, Default)]
    struct ParkState {
        unparked: RawMutex<bool>,
        wakes: Condvar,
    }

    pub(crate) fn current() -> Thread {
        CURRENT.with(Thread::clone)
    }

    impl Thread {
        pub(crate) fn id(&self) -> *const () {
            Arc::as_ptr(&self.0).cast()
        }

        pub(crate) fn unpark(&self) {
            *self.0.unparked.lock().unwrap() = true;
            self.0.wakes.notify_all();
        }

        pub(crate) fn park(&self) {
            let mut unparked = self.0.unparked.lock().unwrap();
            while !*unparked {
                unparked = self.0.wakes.wait(unparked).unwrap();
            }
            *unparked = false;
        }
    }
}

/// Items that only tests need.
#[cfg(test)]
pub(crate) mod testing {
    #[cfg(tsan)]
    pub(crate) use super::tsan::Condvar;
    #[cfg(loom)]
    pub(crate) use loom::{sync::Condvar, thread::spawn};
    #[cfg(not(any(loom, tsan)))]
    pub(crate) use std::sync::Condvar;
    #[cfg(not(loom))]
    pub(crate) use std::thread::spawn;

    /// Runs `run` under every schedule with at most `preemptions`.
    #[cfg(loom)]
    pub(crate) fn explore(preemptions: usize, run: impl Fn() + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(preemptions);
        builder.check(run);
    }

    /// Runs `run` 200 times.
    #[cfg(not(loom))]
    pub(crate) fn explore(_: usize, run: impl Fn() + Send + Sync + 'static) {
        (0..200).for_each(|_| run());
    }
}
