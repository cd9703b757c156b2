//! Locks and parking: the standard library's, or loom's where the driver is
//! explored. The only place that knows of loom.

#[cfg(loom)]
pub(crate) use loom::{
    sync::{Mutex as RawMutex, MutexGuard as Guard},
    thread::{Thread, current, park},
};
#[cfg(not(loom))]
pub(crate) use std::{
    sync::{Mutex as RawMutex, MutexGuard as Guard},
    thread::{Thread, current, park},
};

use std::sync::PoisonError;
use std::time::Instant;

/// A lock that a panic does not poison: what it guards is kept consistent by
/// never running foreign code inside.
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

/// Sleeps until unparked, or until the deadline. May wake for no reason.
#[cfg(not(loom))]
pub(crate) fn park_until(deadline: Option<Instant>) {
    match deadline {
        None => park(),
        Some(deadline) => {
            std::thread::park_timeout(deadline.saturating_duration_since(Instant::now()))
        }
    }
}

/// Sleeps until unparked; loom knows no time.
#[cfg(loom)]
pub(crate) fn park_until(_: Option<Instant>) {
    park();
}
