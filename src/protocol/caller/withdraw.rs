//! Calls that are not wanted any more, or too late.

use super::super::{Form, Frame, HEADER, Kind};
use super::{Caller, Outcome, Started, State};

impl<W, D> Caller<W, D> {
    /// Nobody wants the answer of this call any more. One that was not sent is
    /// withdrawn; else the child is told, and the answer dropped when it comes.
    pub(crate) fn cancel(&mut self, id: u32) {
        let Some(slot) = self.table.get_mut(id) else {
            return;
        };
        match slot.state {
            State::Sent(sent) => {
                slot.state = State::Abandoned(sent);
                self.push_cancel(id);
            }
            State::Expired(sent, _) => slot.state = State::Abandoned(sent),
            State::Abandoned(_) => {}
            State::Queued(place, _) => {
                self.remove(id);
                self.queue.remove(&place);
                self.refill();
            }
            State::Done(_) => self.remove(id),
        }
    }

    fn remove(&mut self, id: u32) {
        let state = self.table.remove(id).map(|slot| slot.state);
        state.into_iter().for_each(|state| self.spend(state));
    }

    /// What goes along with it is not wanted any more.
    fn spend(&mut self, state: State<D>) {
        match state {
            State::Queued(_, parcel) => self.spent.extend(parcel.descriptors),
            State::Done(outcome) => {
                self.kept -= outcome.descriptors();
                self.spend_outcome(outcome);
            }
            State::Sent(_) | State::Expired(..) | State::Abandoned(_) => {}
        }
    }

    /// The outcome of a call that was not done before.
    pub(super) fn spend_outcome(&mut self, outcome: Outcome<D>) {
        if let Outcome::Result(mut payload) = outcome {
            payload.take_ancillary().spend(&mut self.spent);
        }
    }

    /// There are descriptors that nobody wants any more.
    pub(crate) fn has_spent(&self) -> bool {
        !self.spent.is_empty()
    }

    /// Descriptors that nobody wants any more, to be closed where that may take
    /// its time.
    pub(crate) fn take_spent(&mut self) -> Vec<D> {
        std::mem::take(&mut self.spent)
    }

    fn push_cancel(&mut self, id: u32) {
        if self.form == Form::Full {
            self.sending
                .outbox
                .push_parts(Frame::of(Kind::Cancel, id, 0), &[]);
            self.sending.pushed += HEADER as u64;
        }
    }

    /// The time of this call is up: it is done, and cancelled like any other;
    /// `started` is what is known of it if it was sent. False if it was done
    /// before.
    pub(crate) fn expire(&mut self, id: u32, started: Started) -> bool {
        let Some(slot) = self.table.get_mut(id) else {
            return false;
        };
        match slot.state {
            State::Sent(sent) => {
                slot.state = State::Expired(sent, started);
                self.push_cancel(id);
            }
            State::Queued(place, _) => {
                let expired = State::Done(Outcome::Expired(Started::No));
                let queued = std::mem::replace(&mut slot.state, expired);
                self.spend(queued);
                self.queue.remove(&place);
                self.refill();
            }
            State::Expired(..) | State::Abandoned(_) | State::Done(_) => return false,
        }
        true
    }
}
