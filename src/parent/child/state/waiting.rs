//! Who waits, and who is to be woken.
//!
//! Waking runs foreign code, and so does dropping a waker (it may hold the last
//! of a task, with calls of this very child in it) or a callback. None of it may
//! happen under the driver's lock: all such things are laid down here, and the
//! driver takes them away and wakes, or drops, once it has let the lock go.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::Waker;

use super::super::terms::{Completion, Requeue};
use super::roles::Ticket;
use crate::base::panics::shielded;
use crate::base::sync::Thread;
use crate::error::Error;
use crate::parent::callbacks::Call;

/// What somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// This call.
    Call(u32),
    /// Anything else: readiness, events, the end.
    Change,
}

/// Somebody to wake.
#[derive(Debug)]
pub(crate) enum Waking {
    Thread(Thread),
    Task(Waker),
}

impl Waking {
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

/// What is to be done once the lock was let go.
#[derive(Default)]
pub(crate) struct Errands {
    returned: Vec<(Arc<dyn Requeue>, Error, bool)>,
    /// Who watches, who comes first: he may have more to send, and is to know of
    /// the end before calls come back.
    watch: Option<Waker>,
    wake: Vec<Waking>,
    settled: Vec<Arc<dyn Requeue>>,
    waste: Vec<Waste>,
    /// There is something for the thread that runs callbacks.
    delivers: Option<Call>,
}

/// What is only dropped.
#[expect(dead_code, reason = "nobody reads what is dropped")]
enum Waste {
    Waking(Waking),
    Completion(Completion),
    Owner(Arc<dyn Requeue>),
    Descriptors(Vec<OwnedFd>),
}

impl Errands {
    /// Nothing is to be done.
    fn is_empty(&self) -> bool {
        self.wake.is_empty()
            && self.waste.is_empty()
            && self.returned.is_empty()
            && self.watch.is_none()
            && self.settled.is_empty()
    }

    /// Calls go back to their owners.
    pub(crate) fn returns(&self) -> bool {
        !self.returned.is_empty()
    }

    /// Does it, but for what is to be delivered. Never under the lock. A panic of a
    /// waker, or of what is dropped, keeps nobody else from being woken.
    pub(crate) fn run(self) -> Option<Call> {
        if let Some(watch) = self.watch {
            watch.wake();
        }
        for (owner, error, started) in self.returned {
            owner.lost(error, started);
        }
        for waking in self.wake {
            match waking {
                Waking::Thread(thread) => thread.unpark(),
                Waking::Task(waker) => drop(shielded(|| waker.wake())),
            }
        }
        for owner in self.settled {
            let _ = shielded(|| owner.finished());
            let _ = shielded(|| drop(owner));
        }
        for waste in self.waste {
            let _ = shielded(|| drop(waste));
        }
        self.delivers
    }
}

/// See the module.
#[derive(Default)]
pub(crate) struct Waiting {
    errands: Errands,
    /// Who waits for anything but a call.
    changes: Vec<Waking>,
    parked: Vec<(Ticket, Thread)>,
    tickets: Ticket,
    /// How many tasks wait.
    tasks: usize,
    /// Who looks at this child whenever there is something new.
    watch: Option<Waker>,
    /// How many threads are about to give calls back to their owners.
    returning: usize,
}

impl Waiting {
    /// Somebody waits who is no thread, and so cannot read.
    pub(crate) fn has_tasks(&self) -> bool {
        self.tasks > 0
    }

    pub(crate) fn has_errands(&self) -> bool {
        !self.errands.is_empty()
    }

    /// What is to be done without the lock, with descriptors to be closed, which
    /// may take its time.
    pub(crate) fn take_errands(
        &mut self,
        descriptors: Vec<OwnedFd>,
        delivers: Option<Call>,
    ) -> Errands {
        let mut errands = std::mem::take(&mut self.errands);
        self.returning += usize::from(errands.returns());
        if !descriptors.is_empty() {
            errands.waste.push(Waste::Descriptors(descriptors));
        }
        errands.delivers = delivers;
        errands
    }

    /// This one is woken whenever there is something new, from now on.
    pub(crate) fn watch(&mut self, waker: Option<Waker>) {
        let old = std::mem::replace(&mut self.watch, waker);
        let old = old.map(|waker| Waste::Waking(Waking::Task(waker)));
        self.errands.waste.extend(old);
    }

    /// Somebody looks at this child whenever there is something new.
    pub(crate) fn is_watched(&self) -> bool {
        self.watch.is_some()
    }

    /// There is something new.
    pub(crate) fn news(&mut self) {
        if self.errands.watch.is_none() {
            self.errands.watch = self.watch.clone();
        }
    }

    /// This one, who was not enlisted, is to be woken.
    pub(crate) fn wake_now(&mut self, waking: Waking) {
        self.errands.wake.push(waking);
    }

    /// This call goes back to its owner.
    pub(crate) fn hand_back(&mut self, owner: Arc<dyn Requeue>, error: Error, started: bool) {
        self.errands.returned.push((owner, error, started));
    }

    /// Calls are still to go back to their owners.
    pub(crate) fn is_returning(&self) -> bool {
        self.returning > 0 || self.errands.returns()
    }

    /// A thread has given calls back.
    pub(crate) fn returned(&mut self) {
        self.returning -= 1;
        self.news();
    }

    /// The call of this owner is done.
    pub(crate) fn settle(&mut self, owner: Arc<dyn Requeue>) {
        self.errands.settled.push(owner);
    }

    /// This owner has nothing more to do with the child.
    pub(crate) fn discard_owner(&mut self, owner: Arc<dyn Requeue>) {
        self.errands.waste.push(Waste::Owner(owner));
    }

    /// This thread goes to sleep.
    pub(crate) fn park(&mut self, thread: Thread) -> Ticket {
        self.tickets += 1;
        self.parked.push((self.tickets, thread));
        self.tickets
    }

    /// It is awake.
    pub(crate) fn unpark(&mut self, ticket: Ticket) {
        self.parked.retain(|(parked, _)| *parked != ticket);
    }

    /// The parked thread with this ticket is to be woken.
    pub(crate) fn wake_parked(&mut self, ticket: Ticket) {
        let thread = self.parked.iter().find(|(parked, _)| *parked == ticket);
        let waking = thread.map(|(_, thread)| Waking::Thread(thread.clone()));
        self.errands.wake.extend(waking);
    }

    /// All parked threads are to be woken.
    pub(crate) fn wake_all_parked(&mut self) {
        let threads = self.parked.iter().map(|(_, thread)| thread.clone());
        self.errands.wake.extend(threads.map(Waking::Thread));
    }

    /// This one waits in this place, instead of whoever did.
    pub(crate) fn enlist(&mut self, place: &mut Option<Waking>, waking: Waking) {
        self.tasks += usize::from(waking.is_task());
        let old = place.replace(waking);
        self.discard(old);
    }

    /// This one waits for anything but a call.
    pub(crate) fn enlist_for_change(&mut self, waking: Waking) {
        self.tasks += usize::from(waking.is_task());
        let same = self.changes.iter().position(|known| known.is_same(&waking));
        let old = same.map(|index| self.changes.swap_remove(index));
        self.changes.push(waking);
        self.discard(old);
    }

    /// This one is to be woken, and no longer waits.
    pub(crate) fn wake(&mut self, waking: Option<Waking>) {
        self.discount(waking.as_ref());
        self.errands.wake.extend(waking);
    }

    /// Whoever waits for anything but a call is to be woken.
    pub(crate) fn wake_changes(&mut self) {
        let tasks = self.changes.iter().filter(|waking| waking.is_task());
        self.tasks -= tasks.count();
        self.errands.wake.append(&mut self.changes);
    }

    /// This one no longer waits.
    pub(crate) fn discard(&mut self, waking: Option<Waking>) {
        self.discount(waking.as_ref());
        self.errands.waste.extend(waking.map(Waste::Waking));
    }

    /// This one will never be called.
    pub(crate) fn discard_completion(&mut self, completion: Completion) {
        if completion.is_callback() {
            self.errands.waste.push(Waste::Completion(completion));
        }
    }

    fn discount(&mut self, waking: Option<&Waking>) {
        self.tasks -= usize::from(waking.is_some_and(Waking::is_task));
    }
}
