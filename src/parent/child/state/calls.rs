//! The calls of a child: how they are made, completed, cancelled, and expire, and how those of a
//! pool go back to it if the child will not run them.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::interface::{CallOptions, CallSetup, Completion, Reached, Refusal, Requeue};
use super::ChildState;
use super::callback_queue::Callback;
use super::deadlines::NO_CALL;
use super::events::CallEventQueue;
use super::waiters::{WaitFor, Waiter};
use crate::error::Error;
use crate::message::{Message, Payload};
use crate::protocol::Started;
use crate::trace_calls::CallSpan;

type Outcome = crate::protocol::CallOutcome<OwnedFd>;

/// How often the reactor looks whether a call has started for which the child is to be
/// killed.
const RECHECK: Duration = Duration::from_millis(10);

/// The state of each call. It is small, because there may be a million of them.
#[derive(Default)]
pub(crate) struct CallEntry {
    pub(super) waiter: Option<Waiter>,
    /// The number of callbacks that must have returned before the outcome may be seen.
    after: u64,
    /// The waiter waits inside a callback, so no callback holds the outcome back.
    pub(super) nested: bool,
    pub(crate) events: CallEventQueue,
    extras: Option<Box<CallExtras>>,
    pub(super) span: CallSpan,
}

/// The state that only few calls have.
#[derive(Default)]
pub(super) struct CallExtras {
    pub(super) completion: Completion,
    pub(super) options: CallOptions,
    /// Takes the call back if it is lost with the child and had not started, or is
    /// repeatable.
    pub(super) owner: Option<Arc<dyn Requeue>>,
}

impl CallEntry {
    /// An entry for a call that goes back to `owner` if it is not run.
    pub(super) fn with_owner(owner: Arc<dyn Requeue>) -> Self {
        let mut entry = Self::default();
        entry.extras_mut().owner = Some(owner);
        entry
    }

    /// Returns the extras, which are made if there are none.
    pub(super) fn extras_mut(&mut self) -> &mut CallExtras {
        self.extras.get_or_insert_default()
    }

    /// Returns the extras if there are any.
    pub(super) fn extras(&mut self) -> Option<&mut CallExtras> {
        self.extras.as_deref_mut()
    }

    /// Whether other children have started the call, if there were attempts.
    pub(super) fn earlier(&self) -> Option<Started> {
        self.extras.as_ref()?.options.earlier
    }

    fn kills_on_cancel(&self) -> bool {
        let extras = self.extras.as_ref();
        extras.is_some_and(|extras| extras.options.kill_on_cancel)
    }
}

impl ChildState {
    /// Takes a call, whose `message` has room for a header and then the arguments. Returns
    /// its id.
    ///
    /// # Errors
    /// [`Refusal::Full`] if the call would have to wait for room and `may_wait` is false.
    pub(crate) fn call(&mut self, message: &mut Message, may_wait: bool) -> Result<u32, Refusal> {
        if let Some(error) = self.lifecycle.refusal() {
            return Err(error.into());
        }
        if !may_wait && self.caller.would_wait(message) {
            return Err(Refusal::Full);
        }
        Ok(self.caller.call(message, CallEntry::default()))
    }

    /// Returns the span in which the call was made.
    pub(crate) fn span_of(&mut self, id: u32) -> Option<CallSpan> {
        Some(self.caller.waiter(id)?.span.clone())
    }

    /// Takes the outcome of the call, if it has arrived and no callback holds it back. The
    /// events of the call are dropped.
    pub(crate) fn collect(&mut self, id: u32) -> Option<Result<Payload, Error>> {
        let callbacks = &self.callbacks;
        let is_due = |entry: &CallEntry| callbacks.may_see(entry.after);
        let Some((outcome, entry)) = self.caller.collect(id, is_due) else {
            let entry = self.caller.waiter(id)?;
            self.callbacks.call_events.decline(id, &mut entry.events);
            return None;
        };
        let earlier = entry.earlier();
        self.release(id, entry);
        Some(self.answer(outcome, earlier))
    }

    /// Returns whether the child has started the call, as far as this is known.
    pub(crate) fn has_started(&self, id: u32) -> Started {
        match self.started_and_position(id) {
            Some((started, _)) => started,
            None if self.caller.is_queued(id) => Started::No,
            // The answer has arrived, and a callback holds it back.
            None => Started::Yes,
        }
    }

    /// Returns whether the call is done and no callback holds the outcome back.
    pub(crate) fn may_see_outcome(&mut self, id: u32) -> bool {
        let after = self.caller.waiter(id).map_or(0, |entry| entry.after);
        self.caller.is_done(id) && self.callbacks.may_see(after)
    }

    /// Drops what was kept for a call.
    pub(super) fn release(&mut self, id: u32, mut entry: CallEntry) {
        self.waiters.drop_waiter(entry.waiter.take());
        self.callbacks.call_events.decline(id, &mut entry.events);
        let Some(extras) = entry.extras() else {
            return;
        };
        if let Some(at) = extras.options.deadline {
            self.deadlines.remove(at, id);
        }
        if let Some(owner) = extras.owner.take() {
            self.waiters.drop_owner(owner);
        }
    }

    /// Returns whether an answer may arrive soon, so that spinning may pay.
    pub(crate) fn expects_answer(&self) -> bool {
        self.caller.open() > 0
    }

    /// Returns whether what is waited for has arrived, so that reading does not help.
    pub(crate) fn is_there(&mut self, wait_for: WaitFor) -> bool {
        let WaitFor::Call(id) = wait_for else {
            return false;
        };
        let entry = self.caller.waiter(id);
        entry.is_none_or(|entry| !entry.events.is_empty()) || self.caller.is_done(id)
    }

    /// Cancels the call: its outcome is no longer wanted.
    pub(crate) fn cancel(&mut self, id: u32) {
        let Some(entry) = self.caller.waiter(id).map(std::mem::take) else {
            return;
        };
        if entry.kills_on_cancel() && !self.caller.is_done(id) {
            self.kill_if_started(id);
        }
        self.release(id, entry);
        self.caller.cancel(id);
        self.waiters.wake_pool();
    }

    /// Cancels a call that a callback waits for and that cannot be answered before the
    /// callback returns. Returns the error.
    pub(crate) fn would_deadlock(&mut self, id: u32) -> Error {
        let earlier = self.caller.waiter(id).and_then(|entry| entry.earlier());
        let started = self.started_before_cancel(id);
        self.cancel(id);
        let error = Error::would_deadlock(started).about(self.lifecycle.child());
        error.after(earlier)
    }

    /// Returns what can be said of a call that is cancelled now. If it was sent, it may still start before the child reads
    /// the cancel.
    fn started_before_cancel(&self, id: u32) -> Started {
        match self.has_started(id) {
            Started::No if !self.caller.is_queued(id) => Started::Unknown,
            started => started,
        }
    }

    /// Says what becomes of the outcome, because the handle of the call goes.
    pub(crate) fn set_completion(&mut self, id: u32, completion: Completion) {
        let Some(entry) = self.caller.waiter(id) else {
            return self.waiters.drop_completion(completion);
        };
        self.callback_calls += usize::from(completion.is_callback());
        let old = std::mem::replace(&mut entry.extras_mut().completion, completion);
        self.callback_calls -= usize::from(old.is_callback());
        self.waiters.drop_completion(old);
        self.waiters.drop_waiter(entry.waiter.take());
        self.callbacks.call_events.decline(id, &mut entry.events);
        if self.caller.is_done(id) {
            self.complete(id);
        }
    }

    /// Completes a call. Its outcome may be seen after the callbacks that are queued.
    pub(super) fn complete(&mut self, id: u32) {
        self.complete_after(id, self.callbacks.queued);
    }

    fn complete_after(&mut self, id: u32, after: u64) {
        self.finish_owner(id);
        let Some(entry) = self.caller.waiter(id) else {
            return;
        };
        entry.after = after;
        let completion = entry
            .extras()
            .map(|own| std::mem::take(&mut own.completion));
        match completion.unwrap_or_default() {
            Completion::Keep => self.wake_or_hold(id, after),
            completion => {
                let Some((outcome, entry)) = self.caller.collect(id, |_| true) else {
                    return;
                };
                let earlier = entry.earlier();
                self.release(id, entry);
                if let Completion::Callback(on_done) = completion {
                    self.callback_calls -= 1;
                    let outcome = self.answer(outcome, earlier);
                    self.callbacks.push(Callback::Done(on_done, outcome));
                }
            }
        }
    }

    /// Wakes the waiter of a call for which something has arrived. If callbacks must return
    /// first, the waiter is woken after the first `after` callbacks have.
    pub(super) fn wake_or_hold(&mut self, id: u32, after: u64) {
        let Some(entry) = self.caller.waiter(id) else {
            return;
        };
        let is_due = self.callbacks.returned_up_to(after);
        if is_due || entry.nested {
            self.waiters.wake(entry.waiter.take());
        }
        // A waiter inside a callback may hand the call on, so the call is held as well.
        if !is_due {
            self.callbacks.hold_until(after, id);
        }
    }

    /// Returns the outcome of a call as the user sees it. `earlier`: what is known of other attempts at the call.
    pub(super) fn answer(
        &self,
        outcome: Outcome,
        earlier: Option<Started>,
    ) -> Result<Payload, Error> {
        let outcome = match outcome {
            Outcome::Result(payload) => Ok(payload),
            Outcome::Failed(failure) => Err(Error::from(*failure).about(self.lifecycle.child())),
            Outcome::NotSent(failure) => {
                let error = Error::from(*failure).had_started(Started::No);
                Err(error.about(self.lifecycle.child()))
            }
            Outcome::Lost(started) => Err(self.lifecycle.error_for(started, true)),
            Outcome::Expired(started) => Err(self.lifecycle.error_of_expired(started)),
        };
        outcome.map_err(|error| error.after(earlier))
    }

    // --- time ---

    /// Changes the options of a call.
    pub(crate) fn update(&mut self, id: u32, change: impl FnOnce(&mut CallOptions)) {
        let Some(entry) = self.caller.waiter(id) else {
            return;
        };
        let options = &mut entry.extras_mut().options;
        let old = *options;
        change(options);
        let new = *options;
        if new.events && !old.events {
            self.callbacks.call_events.subscribe(id, &mut entry.events);
        }
        if new.deadline != old.deadline {
            self.move_deadline(id, old.deadline, new.deadline);
        }
        if new.repeats > 0 {
            self.requeue(id, false);
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

    /// Ends the calls whose time is up at `now`.
    pub(super) fn expire_calls(&mut self, now: Instant) {
        for id in self.deadlines.take_due(now) {
            if id == NO_CALL {
                self.check_kill_if_started();
            } else {
                self.expire(id);
            }
        }
    }

    /// Ends a call with an error and cancels it, because its time is up. A call that is
    /// done keeps its outcome.
    pub(crate) fn expire(&mut self, id: u32) {
        let started = self.started_before_cancel(id);
        if !self.caller.expire(id, started) {
            return;
        }
        let entry = self.caller.waiter(id);
        if entry.is_some_and(|entry| entry.kills_on_cancel()) {
            self.kill_if_started(id);
        }
        // No callback holds it back, because it is late already.
        self.complete_after(id, 0);
    }

    /// Kills the child if it runs the call, which was cancelled. If the call has not
    /// started, it may still start before the child reads the cancel, so the reactor looks
    /// again.
    fn kill_if_started(&mut self, id: u32) {
        if let Some((_, position)) = self.started_and_position(id) {
            self.kill_if_started.insert(position, id);
            // If an earlier call has not started, neither has this one.
            if self.kill_if_started.len() == 1 {
                self.check_kill_if_started();
            }
        }
    }

    fn started_and_position(&self, id: u32) -> Option<(Started, u64)> {
        self.caller.has_started(id, self.lifecycle.started_info())
    }

    /// Kills the child if it runs a call of `kill_if_started`. Calls that it has answered
    /// or skipped are removed.
    fn check_kill_if_started(&mut self) {
        while let Some((&position, &id)) = self.kill_if_started.first_key_value() {
            match self
                .started_and_position(id)
                .filter(|(_, own)| *own == position)
            {
                Some((Started::No, _)) if !self.lifecycle.drops_cancelled() => {
                    return self.deadlines.insert(Instant::now() + RECHECK, NO_CALL);
                }
                Some((Started::Yes | Started::Unknown, _))
                    if !self.lifecycle.has_passed(position) =>
                {
                    self.kill("a call was cancelled or late, and its caller had asked that the child be killed for it");
                }
                // The call was answered, and its id may belong to another call.
                _ => {}
            }
            self.kill_if_started.pop_first();
        }
    }

    // --- calls of a pool ---

    /// Returns whether the child has the call. It has not if the call was given back.
    pub(crate) fn has_call(&mut self, id: u32) -> bool {
        self.caller.waiter(id).is_some()
    }

    /// Takes a call that goes back to `owner` if it is not run. `setup` is called with its
    /// id. Returns whether the child takes calls.
    pub(crate) fn call_for_pool(
        &mut self,
        message: &mut Message,
        owner: Arc<dyn Requeue>,
        setup: impl FnOnce(u32) -> CallSetup,
    ) -> bool {
        if self.lifecycle.refusal().is_some() {
            self.waiters.drop_owner(owner);
            return false;
        }
        let id = self.caller.call(message, CallEntry::with_owner(owner));
        let CallSetup {
            options,
            completion,
            waker,
            span,
        } = setup(id);
        if let Some(entry) = self.caller.waiter(id) {
            entry.span = span;
        }
        self.update(id, |own| *own = options);
        if !matches!(completion, Completion::Keep) {
            self.set_completion(id, completion);
        }
        // What waits for a call that is over already is woken at once.
        let mut place = None;
        let entry = self.caller.waiter(id);
        if let Some(waker) = waker {
            let place = entry.map_or(&mut place, |entry| &mut entry.waiter);
            self.waiters.add(place, Waiter::Task(waker));
        }
        self.waiters.wake(place);
        if self.may_see_outcome(id) {
            self.wake_call(id);
        }
        if self.caller.is_done(id) {
            // The message is too long for any child.
            self.finish_owner(id);
        }
        true
    }

    /// Tells the owner of a call that it is done, so that the owner can drop the arguments.
    /// A lost call is not finished, because it may still be made repeatable.
    pub(super) fn finish_owner(&mut self, id: u32) {
        let entry = self.caller.waiter(id);
        if entry.is_none_or(|entry| entry.extras().is_none()) || self.caller.lost(id).is_some() {
            return;
        }
        let extras = self.caller.waiter(id).and_then(CallEntry::extras);
        if let Some(owner) = extras.and_then(|own| own.owner.take()) {
            self.waiters.finish(owner);
        }
    }

    /// Gives a call that was lost with the child back to its owner, or completes it. `receiving`: see [`Reached::Receiving`].
    pub(super) fn handle_lost(&mut self, id: u32, receiving: bool) {
        if !self.requeue(id, receiving) {
            self.complete(id);
        }
    }

    /// Gives a call back to its owner, if it was lost and may run elsewhere. Returns
    /// whether it did.
    fn requeue(&mut self, id: u32, receiving: bool) -> bool {
        let Some(started) = self.caller.lost(id) else {
            return false;
        };
        let extras = self.caller.waiter(id).and_then(CallEntry::extras);
        let may_run_elsewhere = |extras: &CallExtras| {
            extras.owner.is_some() && (started == Started::No || extras.options.repeats > 0)
        };
        if !extras.is_some_and(|extras| may_run_elsewhere(extras)) {
            return false;
        }
        let Some((outcome, mut entry)) = self.caller.collect(id, |_| true) else {
            return false;
        };
        let earlier = entry.earlier();
        let extras = entry.extras_mut();
        let owner = extras.owner.take();
        let completion = std::mem::take(&mut extras.completion);
        self.callback_calls -= usize::from(completion.is_callback());
        self.waiters.drop_completion(completion);
        self.waiters.wake(entry.waiter.take());
        self.release(id, entry);
        if let (Some(owner), Err(error)) = (owner, self.answer(outcome, earlier)) {
            let reached = match started {
                Started::No if receiving => Reached::Receiving,
                Started::No => Reached::Waiting,
                Started::Yes | Started::Unknown => Reached::Running,
            };
            self.waiters.requeue(owner, error, reached);
        }
        true
    }
}
