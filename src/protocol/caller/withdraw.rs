//! Cancelled and expired calls.

use super::super::{Form, Frame, FrameKind, HEADER};
use super::{CallOutcome, Caller, EntryState, Started};

impl<W, D> Caller<W, D> {
    /// Cancels call `id`. If it was sent, the child is told, and the answer is dropped when it comes.
    pub(crate) fn cancel(&mut self, id: u32) {
        let Some(slot) = self.table.get_mut(id) else {
            return;
        };
        match slot.state {
            EntryState::Sent(sent) => {
                slot.state = EntryState::Abandoned(sent);
                self.push_cancel(id);
            }
            EntryState::Expired(sent, _) => slot.state = EntryState::Abandoned(sent),
            EntryState::Abandoned(_) => {}
            EntryState::Queued(place, _) => {
                self.remove(id);
                self.queue.remove(&place);
                self.refill();
            }
            EntryState::Done(_) => self.remove(id),
        }
    }

    fn remove(&mut self, id: u32) {
        let state = self.table.remove(id).map(|slot| slot.state);
        state.into_iter().for_each(|state| self.discard(state));
    }

    /// Discards the descriptors of a call in this state.
    fn discard(&mut self, state: EntryState<D>) {
        match state {
            EntryState::Queued(_, message) => self.unwanted.extend(message.descriptors),
            EntryState::Done(outcome) => {
                self.kept -= outcome.descriptors();
                self.discard_outcome(outcome);
            }
            EntryState::Sent(_) | EntryState::Expired(..) | EntryState::Abandoned(_) => {}
        }
    }

    /// Discards the descriptors of an outcome that was not counted yet.
    pub(super) fn discard_outcome(&mut self, outcome: CallOutcome<D>) {
        if let CallOutcome::Result(mut payload) = outcome {
            payload.take_ancillary().discard(&mut self.unwanted);
        }
    }

    /// Returns whether descriptors are to be closed.
    pub(crate) fn has_unwanted(&self) -> bool {
        !self.unwanted.is_empty()
    }

    /// Takes the descriptors to close, so that the owner closes them without holding a lock.
    pub(crate) fn take_unwanted(&mut self) -> Vec<D> {
        std::mem::take(&mut self.unwanted)
    }

    fn push_cancel(&mut self, id: u32) {
        if self.form == Form::Full {
            self.sending
                .outbox
                .push_parts(Frame::of(FrameKind::Cancel, id, 0), &[]);
            self.sending.pushed += HEADER as u64;
        }
    }

    /// Completes call `id` as timed out, and cancels it. `started` is whether it had started, if it was sent. Returns
    /// whether the call was open.
    pub(crate) fn expire(&mut self, id: u32, started: Started) -> bool {
        let Some(slot) = self.table.get_mut(id) else {
            return false;
        };
        match slot.state {
            EntryState::Sent(sent) => {
                slot.state = EntryState::Expired(sent, started);
                self.push_cancel(id);
            }
            EntryState::Queued(place, _) => {
                let expired = EntryState::Done(CallOutcome::Expired(Started::No));
                let queued = std::mem::replace(&mut slot.state, expired);
                self.discard(queued);
                self.queue.remove(&place);
                self.refill();
            }
            EntryState::Expired(..) | EntryState::Abandoned(_) | EntryState::Done(_) => {
                return false;
            }
        }
        true
    }
}
