//! The calls that run at once: futures that are polled when something woke them.
//!
//! A small executor of its own kind, because the server must do three things
//! that executors do not offer: drop the future of one call at once, by its id;
//! know when nothing is left to be polled, which is when answers are to be
//! written; and take a panic as the failure of that one call.
//!
//! Whoever wakes a call rings its [`Bell`], from any thread: it puts the call's
//! id on a list, and wakes the server if the list was empty. A bell that is rung
//! after its call is over may wake a later call of the same id, which futures
//! must bear.

use std::collections::HashMap;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::panic::shield;
use crate::base::sync::Mutex;
use crate::parcel::Parcel;
use crate::protocol::{Failure, FailureCode};
use crate::trace_calls::CallScope;

/// A call under way. It ends with the frame of its result, with nothing if it has
/// been answered from elsewhere, or with its failure.
pub(super) type Running<'a> = Pin<Box<dyn Future<Output = Outcome> + 'a>>;

/// How a call ended.
pub(super) type Outcome = Result<Option<Parcel>, Failure>;

/// The calls under way. See the module.
#[derive(Default)]
pub(super) struct Calls<'a> {
    running: HashMap<u32, Call<'a>>,
    rung: Arc<Rung>,
}

struct Call<'a> {
    future: Running<'a>,
    bell: Arc<Bell>,
    scope: CallScope,
}

/// Wakes one call.
struct Bell {
    id: u32,
    /// It is on the list.
    is_rung: AtomicBool,
    rung: Arc<Rung>,
}

/// The calls that were woken, and who is to be told.
#[derive(Default)]
struct Rung(Mutex<(Vec<u32>, Option<Waker>)>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_rung.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut rung = self.rung.0.lock();
        rung.0.push(self.id);
        let waker = if rung.0.len() == 1 {
            rung.1.take()
        } else {
            None
        };
        drop(rung);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<'a> Calls<'a> {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.running.len()
    }

    /// There are none.
    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Polls a call for the first time, and keeps it unless it is over with that.
    pub(super) fn start(
        &mut self,
        id: u32,
        future: Running<'a>,
        scope: CallScope,
    ) -> Option<Outcome> {
        let bell = Arc::new(Bell {
            id,
            is_rung: AtomicBool::new(false),
            rung: Arc::clone(&self.rung),
        });
        let mut call = Call {
            future,
            bell,
            scope,
        };
        let Some(outcome) = call.poll() else {
            self.running.insert(id, call);
            return None;
        };
        Some(call.dispose().and(outcome))
    }

    /// Those that were woken since the last time, in that order. If there are
    /// none, this waker is woken with the first.
    pub(super) fn woken(&mut self, waker: &Waker, ids: &mut Vec<u32>) {
        ids.clear();
        let mut rung = self.rung.0.lock();
        mem::swap(&mut rung.0, ids);
        if ids.is_empty() && !rung.1.as_ref().is_some_and(|old| old.will_wake(waker)) {
            rung.1 = Some(waker.clone());
        }
    }

    /// Polls a call; how it ended, if it did.
    pub(super) fn poll(&mut self, id: u32) -> Option<Outcome> {
        let outcome = self.running.get_mut(&id)?.poll()?;
        let call = self.running.remove(&id)?;
        Some(call.dispose().and(outcome))
    }

    /// Drops a call; whether it was there.
    pub(super) fn cancel(&mut self, id: u32) -> bool {
        // A destructor that panics has nobody to tell: the answer is not wanted.
        let dropped = self.running.remove(&id).map(Call::dispose);
        dropped.is_some()
    }
}

impl Call<'_> {
    fn poll(&mut self) -> Option<Outcome> {
        // First this: what is woken during the poll is polled again.
        self.bell.is_rung.store(false, Ordering::Release);
        let waker = Waker::from(Arc::clone(&self.bell));
        let context = &mut Context::from_waker(&waker);
        let (future, scope) = (&mut self.future, &self.scope);
        let poll = || shield(FailureCode::Panic, || future.as_mut().poll(context));
        match scope.run(poll) {
            Ok(Poll::Pending) => None,
            Ok(Poll::Ready(outcome)) => Some(outcome),
            Err(panic) => Some(Err(panic)),
        }
    }

    /// Drops it; a panic of a destructor is its failure.
    fn dispose(self) -> Result<(), Failure> {
        shield(FailureCode::Panic, || drop(self))
    }
}

impl Drop for Calls<'_> {
    /// If the server ends early, destructors run, and none can stop the others.
    fn drop(&mut self) {
        for (_, call) in self.running.drain() {
            let _ = call.dispose();
        }
    }
}
