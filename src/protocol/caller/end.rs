//! What is known of open calls, at the child's end and before it.

use super::{Caller, Outcome, Sent, Started, State};

/// What is known of the calls that a child had started when it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// It had started the first so many that were sent.
    Count(u64),
    /// The child runs calls one after the other, in the order they were sent,
    /// and writes an answer before it starts the next. Only the first unanswered
    /// call is in doubt: its ordinal is one more than the number of answers.
    OneByOne,
    /// Nothing.
    Nothing,
}

impl<W, D> Caller<W, D> {
    /// Calls taken and unanswered, whether they were sent or not.
    pub(crate) fn unanswered(&self) -> usize {
        self.sending.open + self.queue.len()
    }

    /// Calls answered since the beginning.
    pub(crate) fn answered(&self) -> u64 {
        self.answered
    }

    /// Whether this call had started, if it was lost with the child.
    pub(crate) fn lost(&self, id: u32) -> Option<Started> {
        match self.table.get(id)?.state {
            State::Done(Outcome::Lost(started)) => Some(started),
            _ => None,
        }
    }

    /// No answer will come any more: every open call is lost. Whether it had
    /// started follows from `known` and from what was written at all.
    pub(crate) fn fail_all(&mut self, known: Known) -> Vec<u32> {
        let (reached, answered) = (self.written + self.in_hand, self.answered);
        let mut lost = Vec::new();
        for id in self.table.ids() {
            let slot = self.table.get_mut(id).expect("the table listed it");
            let started = match slot.state {
                State::Done(_) => continue,
                State::Expired(_, started) => {
                    slot.state = State::Done(Outcome::Expired(started));
                    continue;
                }
                State::Abandoned(_) => {
                    self.table.remove(id);
                    continue;
                }
                State::Queued(_, ref mut parcel) => {
                    self.spent.append(&mut parcel.descriptors);
                    Started::No
                }
                State::Sent(sent) => had_started(sent, known, reached, answered),
            };
            slot.state = State::Done(Outcome::Lost(started));
            lost.push(id);
        }
        lost.sort_unstable();
        self.queue.clear();
        self.sending.outbox.clear();
        (self.sending.open, self.sending.open_bytes) = (0, 0);
        lost
    }

    /// Returns whether the child has started any call that it has not answered, or
    /// may have.
    pub(crate) fn may_have_started(&self, known: Known) -> bool {
        let (reached, answered) = (self.written + self.in_hand, self.answered);
        let slots = self.table.ids().into_iter();
        let mut slots = slots.filter_map(|id| self.table.get(id));
        slots.any(|slot| match slot.state {
            State::Sent(sent) | State::Expired(sent, _) | State::Abandoned(sent) => {
                had_started(sent, known, reached, answered) != Started::No
            }
            _ => false,
        })
    }

    /// Returns whether the child has started call `id`, which it has not answered,
    /// and the call's ordinal. `None` if the call was not sent, or is answered.
    /// Takes constant time, however many calls are in flight.
    pub(crate) fn has_started(&self, id: u32, known: Known) -> Option<(Started, u64)> {
        let (State::Sent(sent) | State::Expired(sent, _) | State::Abandoned(sent)) =
            self.table.get(id)?.state
        else {
            return None;
        };
        let reached = self.written + self.in_hand;
        let started = had_started(sent, known, reached, self.answered);
        Some((started, sent.ordinal))
    }
}

fn had_started(sent: Sent, known: Known, reached: u64, answered: u64) -> Started {
    match known {
        _ if sent.end > reached => Started::No,
        Known::Count(count) if sent.ordinal <= count => Started::Yes,
        Known::Count(_) => Started::No,
        Known::OneByOne if sent.ordinal > answered + 1 => Started::No,
        Known::OneByOne | Known::Nothing => Started::Unknown,
    }
}
