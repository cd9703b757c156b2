//! Wakers that count, and a minimal executor.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

/// Unparks the thread that created it, and counts the wake-ups.
pub(crate) struct Parker(Thread, AtomicUsize);

impl Parker {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(thread::current(), AtomicUsize::new(0)))
    }

    pub(crate) fn woken(&self) -> usize {
        self.1.load(Ordering::Relaxed)
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.unpark();
    }
}

/// Polls the future with this waker.
pub(crate) fn poll<F: Future + Unpin>(
    future: &mut F,
    wake: &Arc<impl Wake + Send + Sync + 'static>,
) -> Poll<F::Output> {
    let waker = Waker::from(Arc::clone(wake));
    std::pin::Pin::new(future).poll(&mut Context::from_waker(&waker))
}

/// Runs the future: a minimal executor.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    let parker = Parker::new();
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = poll(&mut future, &parker) {
            return value;
        }
        thread::park();
    }
}
