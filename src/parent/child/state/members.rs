//! What a child does for whoever keeps several: gives back calls that it will
//! not run, and says when there is something to look at.

use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use super::calls::Special;
use super::waiting::{Callback, Owner, Waking};
use super::{Core, Then, Waiter};
use crate::error::Error;
use crate::exit_status::ExitStatus;
use crate::parcel::Parcel;
use crate::protocol::Started;

/// What is to be done with a call, besides running it.
#[derive(Default)]
pub(crate) struct Wishes {
    /// Who is woken when it is done.
    pub(crate) waker: Option<Waker>,
    pub(crate) then: Then,
    pub(crate) deadline: Option<Instant>,
    /// It takes the child with it if it is cancelled while it runs.
    pub(crate) kills: bool,
    /// Its events will be read.
    pub(crate) events: bool,
    /// It is given back even if it had started.
    pub(crate) again: bool,
}

/// When what a child sends is read.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Attention {
    /// Once somebody waits for something of this child.
    #[default]
    Usual,
    /// At once, also if nobody does.
    Prompt,
    /// Whenever whoever keeps this child [reads](super::super::member::Member::read),
    /// and by threads that wait for just this child.
    Deferred,
}

/// How far a child is.
#[derive(Debug, Clone)]
pub(crate) struct Sight {
    /// Calls that it has and has not answered, also those that nobody wants.
    pub(crate) load: usize,
    /// Calls that it has answered so far.
    pub(crate) answered: u64,
    pub(crate) ready: bool,
    /// It wants no more calls.
    pub(crate) retired: bool,
    /// It has ended, and this is how.
    pub(crate) ended: Option<ExitStatus>,
    /// Why it never got ready.
    pub(crate) unfit: Option<Error>,
    /// It had started a call by its end, or may have.
    pub(crate) worked: bool,
    /// It was this side that ended it.
    pub(crate) killed: bool,
    /// All its callbacks have returned, and the calls that it will not run are back
    /// with their owners.
    pub(crate) gone: bool,
    /// Nothing more is read before a callback returns.
    pub(crate) full: bool,
}

impl Core {
    /// The call is this child's affair.
    pub(crate) fn knows(&mut self, id: u32) -> bool {
        self.caller.waiter(id).is_some()
    }

    /// Takes a call that is given back to its owner if it is not run.
    pub(crate) fn call_of(
        &mut self,
        parcel: &mut Parcel,
        owner: Arc<dyn Owner>,
        wishes: &mut Wishes,
    ) -> Result<u32, Error> {
        if let Some(error) = self.life.refusal() {
            self.waiting.discard_owner(owner);
            return Err(error);
        }
        let waiter = Waiter::of(owner);
        let id = self.caller.call(parcel, waiter);
        self.wish(id, std::mem::take(wishes));
        if self.caller.is_done(id) {
            // It is too long for any child.
            self.settle_owner(id);
        }
        Ok(id)
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

    /// What else is to be done with a call.
    pub(crate) fn wish(&mut self, id: u32, wishes: Wishes) {
        if let Some(at) = wishes.deadline {
            self.set_deadline(id, at);
        }
        if wishes.events {
            self.ask_for_events(id);
        }
        if wishes.kills {
            self.kill_on_cancel(id);
        }
        if wishes.again {
            self.repeat(id);
        }
        match wishes.then {
            Then::Collect => {}
            Then::Call(callback) => self.then_call(id, callback),
            Then::Forget => self.then_forget(id),
        }
        let Some(waker) = wishes.waker else { return };
        let waking = Waking::Task(waker);
        match self.caller.waiter(id) {
            Some(waiter) => self.waiting.enlist(&mut waiter.waking, waking),
            None => return self.waiting.wake_now(waking),
        }
        if self.may_see_end(id) {
            self.wake_call(id);
        }
    }

    /// This call is given back even if it had started.
    pub(crate) fn repeat(&mut self, id: u32) {
        if let Some(waiter) = self.caller.waiter(id) {
            waiter.special().again = true;
            self.hand_back(id);
        }
    }

    /// This call is lost with the child: it is done, or goes back to its owner.
    pub(super) fn lose(&mut self, id: u32) {
        if !self.hand_back(id) {
            self.completed(id);
        }
    }

    fn hand_back(&mut self, id: u32) -> bool {
        let Some(started) = self.caller.lost(id) else {
            return false;
        };
        let special = self.caller.waiter(id).and_then(Waiter::has_special);
        let goes = |special: &Special| {
            special.owner.is_some() && (started == Started::No || special.again)
        };
        if !special.is_some_and(|special| goes(special)) {
            return false;
        }
        let Some((outcome, mut waiter)) = self.caller.collect(id) else {
            return false;
        };
        let special = waiter.special();
        let owner = special.owner.take();
        if let Then::Call(callback) = std::mem::take(&mut special.then) {
            self.callbacks -= 1;
            self.waiting.discard_callback(callback);
        }
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

    /// From now on this waker is woken whenever a [look](Self::look) may see
    /// something new.
    pub(crate) fn watch(&mut self, waker: Option<Waker>) {
        self.waiting.watch(waker);
    }

    /// See [`Sight`].
    pub(crate) fn look(&self) -> Sight {
        let readiness = self.life.readiness();
        Sight {
            load: self.caller.unanswered(),
            answered: self.caller.answered(),
            ready: matches!(readiness, Some(Ok(()))),
            unfit: readiness.and_then(Result::err),
            retired: self.life.is_retired(),
            ended: self.life.status(),
            worked: self.life.has_worked,
            killed: self.life.was_killed(),
            gone: self.life.is_over() && self.delivery.is_over() && !self.waiting.is_returning(),
            full: self.delivery.is_full(),
        }
    }

    /// When what comes is read.
    pub(crate) fn attend(&mut self, attention: Attention) {
        self.attention = attention;
    }
}

impl Then {
    /// For a callback.
    pub(crate) fn call(callback: Callback) -> Self {
        Self::Call(callback)
    }
}
