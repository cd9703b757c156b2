//! A clock that calls a waker: the helper keeps the time for it as it does for
//! children. It watches nothing.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use std::time::Instant;

use super::helper::{Helper, Source, Tended};
use crate::base::sync::Mutex;
use crate::sys::PollEvent;

/// See the module. It is off once this is dropped, or told so.
pub(super) struct Alarm {
    clock: Arc<Clock>,
    helper: Arc<Helper>,
    key: u64,
    /// The next time at which the helper looks anyway.
    armed: Mutex<Option<Instant>>,
}

struct Clock {
    waker: Mutex<Option<Waker>>,
    off: AtomicBool,
}

impl Alarm {
    /// The waker is woken on the helper's thread, so it must not block.
    pub(super) fn new(waker: Waker) -> io::Result<Self> {
        let clock = Clock {
            waker: Mutex::new(Some(waker)),
            off: false.into(),
        };
        let mut given = None;
        let clock = Helper::attach(|helper, key| {
            given = Some((Arc::clone(helper), key));
            Ok(Arc::new(clock))
        })?;
        let (helper, key) = given.ok_or(io::ErrorKind::Other)?;
        Ok(Self {
            clock,
            helper,
            key,
            armed: Mutex::new(None),
        })
    }

    /// Wakes at that time, or somewhat before it.
    pub(super) fn set(&self, at: Instant) {
        let mut armed = self.armed.lock();
        let now = Instant::now();
        if armed.is_some_and(|armed| armed <= at && armed > now) {
            return;
        }
        *armed = Some(at);
        drop(armed);
        self.helper.tick_at(self.key, at);
    }

    /// It never wakes again.
    pub(super) fn turn_off(&self) {
        self.clock.off.store(true, Ordering::Release);
        let waker = self.clock.waker.lock().take();
        drop(waker);
        self.helper.tick_at(self.key, Instant::now());
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if !self.clock.off.load(Ordering::Acquire) {
            self.turn_off();
        }
    }
}

impl Tended for Clock {
    fn ready(&self, _: Source, _: PollEvent) -> bool {
        false
    }

    fn tick(&self) {
        let waker = self.waker.lock().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn is_over(&self) -> bool {
        self.off.load(Ordering::Acquire)
    }

    fn forget(&self, _: &Helper) {}
}
