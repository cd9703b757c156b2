//! What a child does for a pool: gives back calls that it will not run, and says
//! when there is something to look at.

use std::sync::Arc;
use std::task::Waker;

use super::super::terms::{Completion, Requeue, Wishes};
use super::calls::Special;
use super::life::Ending;
use super::waiting::Waking;
use super::{Core, Waiter};
use crate::error::Error;
use crate::exit_status::ExitStatus;
use crate::parcel::Parcel;
use crate::protocol::Started;

impl Core {
    /// The call is this child's affair.
    pub(crate) fn knows(&mut self, id: u32) -> bool {
        self.caller.waiter(id).is_some()
    }

    /// Takes a call that is given back to its owner if it is not run, and asks what
    /// is wished of it. Returns false if the child takes no calls.
    pub(crate) fn call_of(
        &mut self,
        parcel: &mut Parcel,
        owner: Arc<dyn Requeue>,
        wishes: impl FnOnce(u32) -> Wishes,
    ) -> bool {
        if self.life.refusal().is_some() {
            self.waiting.discard_owner(owner);
            return false;
        }
        let id = self.caller.call(parcel, Waiter::of(owner));
        let Wishes {
            options,
            completion,
            waker,
            span,
        } = wishes(id);
        if let Some(waiter) = self.caller.waiter(id) {
            waiter.span = span;
        }
        self.update(id, |own| *own = options);
        if !matches!(completion, Completion::Keep) {
            self.entrust(id, completion);
        }
        match (waker.map(Waking::Task), self.caller.waiter(id)) {
            (Some(waking), Some(waiter)) => self.waiting.enlist(&mut waiter.waking, waking),
            (Some(waking), None) => self.waiting.wake_now(waking),
            (None, _) => {}
        }
        if self.may_see_end(id) {
            self.wake_call(id);
        }
        if self.caller.is_done(id) {
            // It is too long for any child.
            self.settle_owner(id);
        }
        true
    }

    /// This call is done. Unless it was lost, and may yet be said to run again,
    /// its owner need not keep what it would be sent once more with.
    pub(super) fn settle_owner(&mut self, id: u32) {
        let waiter = self.caller.waiter(id);
        if waiter.is_none_or(|waiter| waiter.has_special().is_none())
            || self.caller.lost(id).is_some()
        {
            return;
        }
        let special = self.caller.waiter(id).and_then(Waiter::has_special);
        if let Some(owner) = special.and_then(|own| own.owner.take()) {
            self.waiting.settle(owner);
        }
    }

    /// This call is lost with the child: it is done, or goes back to its owner.
    pub(super) fn lose(&mut self, id: u32) {
        if !self.hand_back(id) {
            self.completed(id);
        }
    }

    /// Gives a call back to its owner if it was lost, and may run elsewhere.
    pub(super) fn hand_back(&mut self, id: u32) -> bool {
        let Some(started) = self.caller.lost(id) else {
            return false;
        };
        let special = self.caller.waiter(id).and_then(Waiter::has_special);
        let goes = |special: &Special| {
            special.owner.is_some() && (started == Started::No || special.options.repeats > 0)
        };
        if !special.is_some_and(|special| goes(special)) {
            return false;
        }
        let Some((outcome, mut waiter)) = self.caller.collect(id, |_| true) else {
            return false;
        };
        let special = waiter.special();
        let owner = special.owner.take();
        let completion = std::mem::take(&mut special.completion);
        self.callbacks -= usize::from(completion.is_callback());
        self.waiting.discard_completion(completion);
        self.waiting.wake(waiter.waking.take());
        self.dismiss(id, waiter);
        if let (Some(owner), Err(error)) = (owner, self.judge(outcome)) {
            self.waiting.hand_back(owner, error, started != Started::No);
        }
        true
    }

    /// A thread has given calls back to their owners.
    pub(crate) fn returned(&mut self) {
        self.waiting.returned();
    }

    /// Calls are still to go back to their owners.
    pub(crate) fn is_returning(&self) -> bool {
        self.waiting.is_returning()
    }

    /// From now on this waker is woken whenever a pool may see something new.
    pub(crate) fn watch(&mut self, waker: Option<Waker>) {
        self.waiting.watch(waker);
    }

    /// From now on the helper reads what comes, at once and alone; or no longer does.
    pub(crate) fn attend(&mut self, eagerly: bool) {
        self.eager = eagerly;
    }

    /// Kills the child, because the user said so.
    pub(crate) fn kill_by_user(&mut self) {
        self.kill(Ending::Killed(
            "it was killed by `kill`, or with its handle (`kill_on_drop`)".into(),
        ));
    }

    /// That the child can work, or why it cannot.
    pub(crate) fn readiness(&self) -> Option<Result<(), Error>> {
        self.unless_stuck(self.life.readiness())
    }

    /// How the child ended, once its callbacks have returned.
    pub(crate) fn end(&self) -> Option<Result<ExitStatus, Error>> {
        let delivered = self.delivery.is_over() || self.delivery.is_running_here();
        self.unless_stuck(self.life.outcome().filter(|_| delivered))
    }

    /// A callback that would wait for what is never read hears so instead.
    fn unless_stuck<T>(&self, found: Option<Result<T, Error>>) -> Option<Result<T, Error>> {
        let is_stuck = found.is_none() && self.delivery.is_stuck_here();
        if is_stuck {
            Some(Err(Error::would_deadlock().about(self.life.child())))
        } else {
            found
        }
    }
}
