//! The threads, tasks and owners that are to be woken.
//!
//! Waking runs foreign code. So does dropping a callback, or a waker that holds the last
//! reference to a task, which may hold calls of this very child. None of it may happen
//! under the driver's lock. It is collected in [`Deferred`], which the driver takes and
//! runs after it has released the lock.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::Waker;

use super::super::interface::{Completion, Reached, Requeue};
use super::leadership::ParkedId;
use crate::base::panics::catch_panic;
use crate::base::sync::Thread;
use crate::base::waker::wake;
use crate::error::Error;
use crate::parent::callbacks::CallbackWake;

/// The change that a thread or task waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitFor {
    /// The call with this id.
    Call(u32),
    /// Anything else: readiness, events, the end.
    Change,
}

/// A thread or task to wake.
#[derive(Debug)]
pub(crate) enum Waiter {
    Thread(Thread),
    Task(Waker),
}

impl Waiter {
    fn is_task(&self) -> bool {
        matches!(self, Self::Task(_))
    }

    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Thread(one), Self::Thread(two)) => one.id() == two.id(),
            (Self::Task(one), Self::Task(two)) => one.will_wake(two),
            _ => false,
        }
    }
}

/// Actions that are deferred until the lock is released.
#[derive(Default)]
pub(crate) struct Deferred {
    /// The pool's waker. It is woken before anything else: the pool may have more calls to
    /// send, and must see that the child ended before its calls are requeued.
    pool: Option<Waker>,
    /// Calls that were lost with the child and go back to their owners, with the error, and
    /// whether they may have started.
    requeue: Vec<(Arc<dyn Requeue>, Error, Reached)>,
    wake: Vec<Waiter>,
    finished: Vec<Arc<dyn Requeue>>,
    dropped: Vec<Dropped>,
    /// Starts or wakes the thread that runs callbacks.
    callbacks: Option<CallbackWake>,
}

/// A value that is only dropped.
#[expect(dead_code, reason = "the values are never read")]
enum Dropped {
    Waiter(Waiter),
    Completion(Completion),
    Owner(Arc<dyn Requeue>),
    Descriptors(Vec<OwnedFd>),
}

impl Deferred {
    /// Returns whether nothing is to be done, apart from callbacks.
    fn is_empty(&self) -> bool {
        self.pool.is_none()
            && self.requeue.is_empty()
            && self.wake.is_empty()
            && self.finished.is_empty()
            && self.dropped.is_empty()
    }

    /// Returns whether calls go back to their owners.
    pub(crate) fn requeues(&self) -> bool {
        !self.requeue.is_empty()
    }

    /// Does everything, and returns how to have the callbacks run. The lock must not be
    /// held. If a waker or a drop panics, the others follow all the same.
    pub(crate) fn run(self) -> Option<CallbackWake> {
        if let Some(pool) = self.pool {
            pool.wake();
        }
        for (owner, error, reached) in self.requeue {
            owner.lost(error, reached);
        }
        for waiter in self.wake {
            match waiter {
                Waiter::Thread(thread) => thread.unpark(),
                Waiter::Task(waker) => wake(waker),
            }
        }
        for owner in self.finished {
            let _ = catch_panic(|| owner.finished());
            let _ = catch_panic(|| drop(owner));
        }
        for value in self.dropped {
            let _ = catch_panic(|| drop(value));
        }
        self.callbacks
    }
}

/// See the module.
#[derive(Default)]
pub(crate) struct Waiters {
    deferred: Deferred,
    /// These wait for [`WaitFor::Change`]. The others are in the entries of their calls.
    changes: Vec<Waiter>,
    parked: Vec<(ParkedId, Thread)>,
    last_parked: ParkedId,
    /// How many tasks wait.
    pub(super) tasks: usize,
    /// Woken whenever a pool may see something new.
    pub(super) pool: Option<Waker>,
    /// How many threads are about to requeue calls.
    requeueing: usize,
}

impl Waiters {
    pub(crate) fn has_deferred(&self) -> bool {
        !self.deferred.is_empty()
    }

    /// Takes what is to be done after the lock is released. `descriptors` are closed with
    /// it, because closing one may take long.
    pub(crate) fn take_deferred(
        &mut self,
        descriptors: Vec<OwnedFd>,
        callbacks: Option<CallbackWake>,
    ) -> Deferred {
        let mut deferred = std::mem::take(&mut self.deferred);
        self.requeueing += usize::from(deferred.requeues());
        if !descriptors.is_empty() {
            let descriptors = Dropped::Descriptors(descriptors);
            deferred.dropped.push(descriptors);
        }
        deferred.callbacks = callbacks;
        deferred
    }

    /// Sets the waker of the pool, or removes it.
    pub(crate) fn set_pool(&mut self, waker: Option<Waker>) {
        let old = std::mem::replace(&mut self.pool, waker);
        let old = old.map(|waker| Dropped::Waiter(Waiter::Task(waker)));
        self.deferred.dropped.extend(old);
    }

    /// Wakes the pool, if there is one.
    pub(crate) fn wake_pool(&mut self) {
        if self.deferred.pool.is_none() {
            self.deferred.pool = self.pool.clone();
        }
    }

    /// Gives a call that was lost back to its owner.
    pub(crate) fn requeue(&mut self, owner: Arc<dyn Requeue>, error: Error, reached: Reached) {
        self.deferred.requeue.push((owner, error, reached));
    }

    /// Returns whether there are calls that are lost and not requeued yet.
    pub(crate) fn is_requeueing(&self) -> bool {
        self.requeueing > 0 || self.deferred.requeues()
    }

    /// Notes that a thread has requeued the calls that it took.
    pub(crate) fn requeued(&mut self) {
        self.requeueing -= 1;
        self.wake_pool();
    }

    /// Tells the owner of a call that it is done.
    pub(crate) fn finish(&mut self, owner: Arc<dyn Requeue>) {
        self.deferred.finished.push(owner);
    }

    /// Drops the owner of a call.
    pub(crate) fn drop_owner(&mut self, owner: Arc<dyn Requeue>) {
        self.deferred.dropped.push(Dropped::Owner(owner));
    }

    /// Notes that a thread goes to sleep.
    pub(crate) fn park(&mut self, thread: Thread) -> ParkedId {
        self.last_parked += 1;
        self.parked.push((self.last_parked, thread));
        self.last_parked
    }

    /// Notes that the thread is awake.
    pub(crate) fn unpark(&mut self, parked_id: ParkedId) {
        self.parked.retain(|(parked, _)| *parked != parked_id);
    }

    /// Wakes one parked thread.
    pub(crate) fn wake_parked(&mut self, parked_id: ParkedId) {
        let thread = self.parked.iter().find(|(parked, _)| *parked == parked_id);
        let waiter = thread.map(|(_, thread)| Waiter::Thread(thread.clone()));
        self.deferred.wake.extend(waiter);
    }

    /// Wakes all parked threads.
    pub(crate) fn wake_all_parked(&mut self) {
        let threads = self.parked.iter().map(|(_, thread)| thread.clone());
        self.deferred.wake.extend(threads.map(Waiter::Thread));
    }

    /// Puts `waiter` into `place`, in place of the one that waited there.
    pub(crate) fn add(&mut self, place: &mut Option<Waiter>, waiter: Waiter) {
        self.tasks += usize::from(waiter.is_task());
        let old = place.replace(waiter);
        self.drop_waiter(old);
    }

    /// Adds a waiter for [`WaitFor::Change`].
    pub(crate) fn add_for_change(&mut self, waiter: Waiter) {
        self.tasks += usize::from(waiter.is_task());
        let same = self.changes.iter().position(|known| known.is_same(&waiter));
        let old = same.map(|index| self.changes.swap_remove(index));
        self.changes.push(waiter);
        self.drop_waiter(old);
    }

    /// Wakes a waiter, which no longer waits.
    pub(crate) fn wake(&mut self, waiter: Option<Waiter>) {
        self.count_out(waiter.as_ref());
        self.deferred.wake.extend(waiter);
    }

    /// Wakes all that wait for [`WaitFor::Change`].
    pub(crate) fn wake_changes(&mut self) {
        let tasks = self.changes.iter().filter(|waiter| waiter.is_task());
        self.tasks -= tasks.count();
        self.deferred.wake.append(&mut self.changes);
    }

    /// Drops a waiter without waking it.
    pub(crate) fn drop_waiter(&mut self, waiter: Option<Waiter>) {
        self.count_out(waiter.as_ref());
        self.deferred.dropped.extend(waiter.map(Dropped::Waiter));
    }

    /// Drops a callback that will not be called.
    pub(crate) fn drop_completion(&mut self, completion: Completion) {
        if completion.is_callback() {
            self.deferred.dropped.push(Dropped::Completion(completion));
        }
    }

    fn count_out(&mut self, waiter: Option<&Waiter>) {
        self.tasks -= usize::from(waiter.is_some_and(Waiter::is_task));
    }
}
