//! Locks and parking. The only place that knows of loom, which explores the
//! driver.

#[cfg(not(loom))]
pub(crate) use std::thread::{Thread, current};

#[cfg(loom)]
pub(crate) use self::explored::{Thread, current};

pub(crate) use std::sync::MutexGuard;

use std::sync::PoisonError;
use std::time::Instant;

/// A lock that a panic does not poison: what it guards is kept consistent by
/// never running foreign code inside.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

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

/// The driver's lock: the same one, unless loom explores it. The counters of rings in the same way.
#[cfg(not(loom))]
pub(crate) mod explored {
    pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

    pub(crate) use super::{Mutex, MutexGuard as Guard, current, park_until};
}

/// Sleeps until unparked, or until the deadline. May wake for no reason.
#[cfg(not(loom))]
pub(crate) fn park_until(deadline: Option<Instant>) {
    match deadline {
        None => std::thread::park(),
        Some(deadline) => {
            std::thread::park_timeout(deadline.saturating_duration_since(Instant::now()));
        }
    }
}

/// Sleeps until unparked; loom knows no time.
#[cfg(loom)]
pub(crate) fn park_until(_: Option<Instant>) {
    current().park();
}

/// The driver's lock, and parking made of a lock: loom's own forgets an `unpark`
/// that comes while the thread waits for a lock.
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
    pub(crate) struct Thread(Arc<Seat>);

    #[derive(Debug, Default)]
    struct Seat {
        unparked: RawMutex<bool>,
        bell: Condvar,
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
            self.0.bell.notify_all();
        }

        pub(crate) fn park(&self) {
            let mut unparked = self.0.unparked.lock().unwrap();
            while !*unparked {
                unparked = self.0.bell.wait(unparked).unwrap();
            }
            *unparked = false;
        }
    }
}

/// What the tests need besides.
#[cfg(test)]
pub(crate) mod testing {
    #[cfg(loom)]
    pub(crate) use loom::{sync::Condvar, thread::spawn};
    #[cfg(not(loom))]
    pub(crate) use std::{sync::Condvar, thread::spawn};

    /// Runs this under every schedule with so few preemptions.
    #[cfg(loom)]
    pub(crate) fn explore(preemptions: usize, run: impl Fn() + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(preemptions);
        builder.check(run);
    }

    /// Runs this under some of the schedules that happen by themselves.
    #[cfg(not(loom))]
    pub(crate) fn explore(_: usize, run: impl Fn() + Send + Sync + 'static) {
        (0..200).for_each(|_| run());
    }
}
