//! Wakers of closures and of threads.

use std::sync::Arc;
use std::task::{Wake, Waker};

/// What is woken by calling this.
struct Call<F>(F);

impl<F: Fn() + Send + Sync> Wake for Call<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        (self.0)();
    }
}

/// Returns a waker that calls `wake`.
pub(crate) fn waker(wake: impl Fn() + Send + Sync + 'static) -> Waker {
    Waker::from(Arc::new(Call(wake)))
}

/// Returns a waker that unparks the calling thread.
pub(crate) fn this_thread() -> Waker {
    let thread = std::thread::current();
    waker(move || thread.unpark())
}
