//! The lock under the thread sanitizer. The sanitizer does not see how the standard library's lock orders threads, because
//! that is not built for it. So a counter beside the lock does it again.

use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU32, Ordering};

#[derive(Debug, Default)]
pub(crate) struct Mutex<T> {
    lock: std::sync::Mutex<T>,
    order: AtomicU32,
}

#[derive(Debug)]
pub(crate) struct MutexGuard<'a, T> {
    /// `None` when it was moved out.
    guard: Option<std::sync::MutexGuard<'a, T>>,
    order: &'a AtomicU32,
}

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self {
            lock: std::sync::Mutex::new(value),
            order: AtomicU32::new(0),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        MutexGuard::new(guard, &self.order)
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.lock.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a, T> MutexGuard<'a, T> {
    fn new(guard: std::sync::MutexGuard<'a, T>, order: &'a AtomicU32) -> Self {
        order.load(Ordering::Acquire);
        Self {
            guard: Some(guard),
            order,
        }
    }

    /// Orders what was done under the lock before what the next owner does.
    fn release(&mut self) -> Option<std::sync::MutexGuard<'a, T>> {
        self.order.store(0, Ordering::Release);
        self.guard.take()
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.guard.as_ref().expect("it is held")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.guard.as_mut().expect("it is held")
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        if self.guard.is_some() {
            drop(self.release());
        }
    }
}

/// A condition variable for tests.
#[cfg(test)]
pub(crate) struct Condvar(std::sync::Condvar);

#[cfg(test)]
impl Condvar {
    pub(crate) const fn new() -> Self {
        Self(std::sync::Condvar::new())
    }

    pub(crate) fn wait<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
    ) -> Result<MutexGuard<'a, T>, ()> {
        let order = guard.order;
        let held = guard.release().expect("it is held");
        let held = self.0.wait(held).unwrap_or_else(PoisonError::into_inner);
        Ok(MutexGuard::new(held, order))
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}
