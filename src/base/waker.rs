//! Wakers of closures and of threads.

use std::sync::Arc;
use std::task::{Wake, Waker};

use super::panics::catch_panic;

/// A waker that calls a closure.
struct FnWaker<F>(F);

impl<F: Fn() + Send + Sync> Wake for FnWaker<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        (self.0)();
    }
}

/// Returns a waker that calls `wake`.
pub(crate) fn waker(wake: impl Fn() + Send + Sync + 'static) -> Waker {
    Waker::from(Arc::new(FnWaker(wake)))
}

/// Wakes a waker of the user's, or of this module. A panic of it is caught, because the thread works for others, too.
pub(crate) fn wake(waker: Waker) {
    let _ = catch_panic(|| waker.wake());
}

/// Returns a waker that unparks the calling thread.
pub(crate) fn this_thread() -> Waker {
    let thread = std::thread::current();
    waker(move || thread.unpark())
}
