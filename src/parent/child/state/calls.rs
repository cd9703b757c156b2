//! What becomes of calls: how they come in, are done, cancelled, or late.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::terms::{CallOptions, Completion, Refusal, Requeue};
use super::Core;
use super::deadlines::NO_CALL;
use super::delivery::Item;
use super::inbox::Inbox;
use super::life::Ending;
use super::waiting::{Waking, Want};
use crate::error::Error;
use crate::parcel::{Parcel, Payload};
use crate::protocol::Started;
use crate::trace_calls::CallSpan;

type Outcome = crate::protocol::Outcome<OwnedFd>;

/// How soon the helper looks again whether a condemned call has started.
const RECHECK: Duration = Duration::from_millis(10);

/// What is kept for each call. It is as small as it can be: there may be a
/// million of them.
#[derive(Default)]
pub(crate) struct Waiter {
    pub(super) waking: Option<Waking>,
    /// So many deliveries come before its outcome.
    after: u64,
    /// It waits inside a callback, and so does not wait for callbacks.
    pub(super) nested: bool,
    /// Its own events.
    pub(crate) inbox: Inbox,
    special: Option<Box<Special>>,
    pub(super) span: CallSpan,
}

/// What most calls do without.
#[derive(Default)]
pub(super) struct Special {
    pub(super) completion: Completion,
    pub(super) options: CallOptions,
    /// Takes it back if the child is lost before it started, or, if it may run
    /// again, at all.
    pub(super) owner: Option<Arc<dyn Requeue>>,
}

impl Waiter {
    /// For a call that goes back to its owner if it is not run.
    pub(super) fn of(owner: Arc<dyn Requeue>) -> Self {
        let mut waiter = Self::default();
        waiter.special().owner = Some(owner);
        waiter
    }

    /// To be set.
    pub(super) fn special(&mut self) -> &mut Special {
        self.special.get_or_insert_default()
    }

    /// To be looked at, or taken from, if there is anything.
    pub(super) fn has_special(&mut self) -> Option<&mut Special> {
        self.special.as_deref_mut()
    }

    fn kills(&self) -> bool {
        let special = self.special.as_ref();
        special.is_some_and(|special| special.options.kill_on_cancel)
    }
}

impl Core {
    /// Takes a call: room for a header, then its arguments. It is refused if it
    /// would have to wait for room, and may not.
    pub(crate) fn call(&mut self, parcel: &mut Parcel, may_wait: bool) -> Result<u32, Refusal> {
        if let Some(error) = self.life.refusal() {
            return Err(error.into());
        }
        if !may_wait && self.caller.would_wait(parcel) {
            return Err(Refusal::Full);
        }
        Ok(self.caller.call(parcel, Waiter::default()))
    }

    /// The span that this call was made in.
    pub(crate) fn span_of(&mut self, id: u32) -> Option<CallSpan> {
        Some(self.caller.waiter(id)?.span.clone())
    }

    /// The outcome of this call, if its turn has come. Whoever asks does not
    /// want its events.
    pub(crate) fn collect(&mut self, id: u32) -> Option<Result<Payload, Error>> {
        let delivery = &self.delivery;
        let is_due = |waiter: &Waiter| delivery.is_before(waiter.after);
        let Some((outcome, waiter)) = self.caller.collect(id, is_due) else {
            let waiter = self.caller.waiter(id)?;
            self.delivery.inboxes.decline(id, &mut waiter.inbox);
            return None;
        };
        self.dismiss(id, waiter);
        Some(self.judge(outcome))
    }

    /// Whether the child has started this call, as far as it is known.
    pub(crate) fn has_started(&self, id: u32) -> Started {
        match self.started_and_ordinal(id) {
            Some((started, _)) => started,
            None if self.caller.is_queued(id) => Started::No,
            // It is answered, and a callback holds the answer back.
            None => Started::Yes,
        }
    }

    /// It is done, and whatever came before that has been seen.
    pub(crate) fn may_see_end(&mut self, id: u32) -> bool {
        let after = self.caller.waiter(id).map_or(0, |waiter| waiter.after);
        self.caller.is_done(id) && self.delivery.is_before(after)
    }

    /// What was kept for this call is not needed any more.
    pub(super) fn dismiss(&mut self, id: u32, mut waiter: Waiter) {
        self.waiting.discard(waiter.waking.take());
        self.delivery.inboxes.decline(id, &mut waiter.inbox);
        let Some(special) = waiter.has_special() else {
            return;
        };
        if let Some(at) = special.options.deadline {
            self.deadlines.remove(at, id);
        }
        if let Some(owner) = special.owner.take() {
            self.waiting.discard_owner(owner);
        }
    }

    /// An answer may come soon: looking for it may pay.
    pub(crate) fn expects_answer(&self) -> bool {
        self.caller.open() > 0
    }

    /// It is not the link that this one waits for.
    pub(crate) fn has_come(&mut self, want: Want) -> bool {
        let Want::Call(id) = want else { return false };
        let waiter = self.caller.waiter(id);
        waiter.is_none_or(|waiter| !waiter.inbox.is_empty()) || self.caller.is_done(id)
    }

    /// Nobody wants the outcome of this call any more.
    pub(crate) fn cancel(&mut self, id: u32) {
        let Some(waiter) = self.caller.waiter(id).map(std::mem::take) else {
            return;
        };
        if waiter.kills() && !self.caller.is_done(id) {
            self.condemn(id);
        }
        self.dismiss(id, waiter);
        self.caller.cancel(id);
        self.waiting.news();
    }

    /// A callback waits for this call, which cannot come before it returns:
    /// cancels the call.
    pub(crate) fn stuck(&mut self, id: u32) -> Error {
        self.cancel(id);
        Error::would_deadlock().about(self.life.child())
    }

    /// Says what becomes of the outcome. No handle waits for the call any more.
    pub(crate) fn entrust(&mut self, id: u32, completion: Completion) {
        let Some(waiter) = self.caller.waiter(id) else {
            return self.waiting.discard_completion(completion);
        };
        self.callbacks += usize::from(completion.is_callback());
        let old = std::mem::replace(&mut waiter.special().completion, completion);
        self.callbacks -= usize::from(old.is_callback());
        self.waiting.discard_completion(old);
        self.waiting.discard(waiter.waking.take());
        self.delivery.inboxes.decline(id, &mut waiter.inbox);
        if self.caller.is_done(id) {
            self.completed(id);
        }
    }

    /// This call is done, in its turn among the deliveries.
    pub(super) fn completed(&mut self, id: u32) {
        self.completed_after(id, self.delivery.enqueued());
    }

    fn completed_after(&mut self, id: u32, after: u64) {
        self.settle_owner(id);
        let Some(waiter) = self.caller.waiter(id) else {
            return;
        };
        waiter.after = after;
        let completion = waiter
            .has_special()
            .map(|own| std::mem::take(&mut own.completion));
        match completion.unwrap_or_default() {
            Completion::Keep => {
                let passed = self.delivery.is_passed(after);
                if passed || waiter.nested {
                    self.waiting.wake(waiter.waking.take());
                }
                if !passed {
                    self.delivery.bar(id, after);
                }
            }
            Completion::Discard => {
                if let Some((_, waiter)) = self.caller.collect(id, |_| true) {
                    self.dismiss(id, waiter);
                }
            }
            Completion::Callback(callback) => {
                self.callbacks -= 1;
                let Some((outcome, waiter)) = self.caller.collect(id, |_| true) else {
                    return;
                };
                self.dismiss(id, waiter);
                let outcome = self.judge(outcome);
                self.delivery.push(Item::Done(callback, outcome));
            }
        }
    }

    /// Something has come for whoever waits for this call, to be seen after so
    /// many deliveries.
    pub(crate) fn come(&mut self, id: u32, after: u64) {
        // Inside a callback it may be seen at once; but whoever waits there may
        // hand the call on.
        let Some(waiter) = self.caller.waiter(id) else {
            return;
        };
        let passed = self.delivery.is_passed(after);
        if passed || waiter.nested {
            self.waiting.wake(waiter.waking.take());
        }
        if !passed {
            self.delivery.bar(id, after);
        }
    }

    pub(super) fn judge(&self, outcome: Outcome) -> Result<Payload, Error> {
        match outcome {
            Outcome::Result(payload) => Ok(payload),
            Outcome::Failed(failure) => Err(Error::from(*failure).about(self.life.child())),
            Outcome::Lost(started) => Err(self.life.lost(started, true)),
            Outcome::Expired(started) => Err(Error::expired(started).about(self.life.child())),
        }
    }

    // --- time ---

    /// Changes what is wished of a call.
    pub(crate) fn update(&mut self, id: u32, change: impl FnOnce(&mut CallOptions)) {
        let Some(waiter) = self.caller.waiter(id) else {
            return;
        };
        let options = &mut waiter.special().options;
        let old = *options;
        change(options);
        let new = *options;
        if new.deadline != old.deadline {
            self.move_deadline(id, old.deadline, new.deadline);
        }
        if new.events && !old.events {
            self.ask_for_events(id);
        }
        if new.repeats > 0 {
            self.hand_back(id);
        }
    }

    fn move_deadline(&mut self, id: u32, old: Option<Instant>, new: Option<Instant>) {
        if let Some(old) = old {
            self.deadlines.remove(old, id);
        }
        if let Some(at) = new.filter(|_| !self.caller.is_done(id)) {
            self.deadlines.insert(at, id);
        }
    }

    /// The calls whose time is up by now are done.
    pub(super) fn times_up(&mut self, now: Instant) {
        for id in self.deadlines.take_due(now) {
            if id == NO_CALL {
                self.look_at_condemned();
            } else {
                self.expire(id);
            }
        }
    }

    /// The time of this call is up: it is done with an error, unless it was done
    /// before, and cancelled.
    pub(crate) fn expire(&mut self, id: u32) {
        let known = self.life.known();
        let started = match self.caller.has_started(id, known) {
            Some((Started::Yes, _)) => Started::Yes,
            // It may still start before the child reads that it should not.
            _ => Started::Unknown,
        };
        if !self.caller.expire(id, started) {
            return;
        }
        if self.caller.waiter(id).is_some_and(|waiter| waiter.kills()) {
            self.condemn(id);
        }
        // It is late already: it waits for no callback.
        self.completed_after(id, 0);
    }

    /// A call that is to take the child with it is cancelled. One that has not
    /// started yet may do so before a blocking child reads of the cancel.
    fn condemn(&mut self, id: u32) {
        if let Some((_, ordinal)) = self.started_and_ordinal(id) {
            self.condemned.insert(ordinal, id);
            // Behind another that has not started, this one has not either.
            if self.condemned.len() == 1 {
                self.look_at_condemned();
            }
        }
    }

    fn started_and_ordinal(&self, id: u32) -> Option<(Started, u64)> {
        self.caller.has_started(id, self.life.known())
    }

    /// Kills the child if it runs a condemned call. One that it has passed
    /// already, run or skipped, is left alone.
    fn look_at_condemned(&mut self) {
        while let Some((&ordinal, &id)) = self.condemned.first_key_value() {
            match self
                .started_and_ordinal(id)
                .filter(|(_, own)| *own == ordinal)
            {
                Some((Started::No, _)) if !self.life.drops_cancelled() => {
                    return self.deadlines.insert(Instant::now() + RECHECK, NO_CALL);
                }
                Some((Started::Yes | Started::Unknown, _)) if !self.life.has_passed(ordinal) => {
                    self.kill(Ending::Killed(
                        "a call was cancelled or late, and its caller had asked that the child be killed for it".into(),
                    ));
                }
                // It was answered, and its id may be another call's now.
                _ => {}
            }
            self.condemned.pop_first();
        }
    }
}

#[cfg(test)]
impl Core {
    pub(crate) fn has_no_deadlines(&self) -> bool {
        self.deadlines.is_empty() && self.condemned.is_empty()
    }
}
