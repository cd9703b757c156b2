//! The outcome of open calls, at the child's end and before it.

use super::{CallOutcome, Caller, EntryState, SentCall, Started};

/// The calls that a child had started when it ended, as far as they are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartedInfo {
    /// It had started this number of the calls sent, the first ones.
    Count(u64),
    /// The child runs one call at a time, in the order they were sent, and writes each answer before it starts the next
    /// call. So only the first call without an answer may have started: its ordinal is the number of answers plus one.
    OneByOne,
    /// Nothing.
    Nothing,
}

impl<W, D> Caller<W, D> {
    /// Returns the number of calls without an answer, queued or sent.
    pub(crate) fn unanswered(&self) -> usize {
        self.sending.open + self.queue.len()
    }

    /// Returns the number of answers that ever arrived.
    pub(crate) fn answered(&self) -> u64 {
        self.answered
    }

    /// Returns whether call `id` had started, if it was lost with the child.
    pub(crate) fn lost(&self, id: u32) -> Option<Started> {
        match self.table.get(id)?.state {
            EntryState::Done(CallOutcome::Lost(started)) => Some(started),
            _ => None,
        }
    }

    /// Completes every open call as lost, because no answer can come, and returns their ids in ascending order. Whether a
    /// call had started follows from `known` and from the number of bytes written.
    pub(crate) fn fail_all(&mut self, known: StartedInfo) -> Vec<u32> {
        let (reached, answered) = (self.written + self.being_written, self.answered);
        let mut lost = Vec::new();
        for id in self.table.ids() {
            let slot = self.table.get_mut(id).expect("the table listed it");
            let started = match slot.state {
                EntryState::Done(_) => continue,
                EntryState::Expired(_, started) => {
                    slot.state = EntryState::Done(CallOutcome::Expired(started));
                    continue;
                }
                EntryState::Abandoned(_) => {
                    self.table.remove(id);
                    continue;
                }
                EntryState::Queued(_, ref mut message) => {
                    self.unwanted.append(&mut message.descriptors);
                    Started::No
                }
                EntryState::Sent(sent) => had_started(sent, known, reached, answered),
            };
            slot.state = EntryState::Done(CallOutcome::Lost(started));
            lost.push(id);
        }
        lost.sort_unstable();
        self.queue.clear();
        self.sending.outbox.clear();
        (self.sending.open, self.sending.open_bytes) = (0, 0);
        lost
    }

    /// Returns whether the child has, or may have, started a call that it has not answered.
    pub(crate) fn may_have_started(&self, known: StartedInfo) -> bool {
        let (reached, answered) = (self.written + self.being_written, self.answered);
        let slots = self.table.ids().into_iter();
        let mut slots = slots.filter_map(|id| self.table.get(id));
        slots.any(|slot| match slot.state {
            EntryState::Sent(sent) | EntryState::Expired(sent, _) | EntryState::Abandoned(sent) => {
                had_started(sent, known, reached, answered) != Started::No
            }
            _ => false,
        })
    }

    /// Returns the first of the calls that were sent and are not answered.
    pub(crate) fn first_sent(&self) -> Option<u32> {
        let ids = self.table.ids().into_iter();
        let sent = ids.filter_map(|id| match self.table.get(id)?.state {
            EntryState::Sent(sent) | EntryState::Expired(sent, _) | EntryState::Abandoned(sent) => {
                Some((sent.ordinal, id))
            }
            _ => None,
        });
        sent.min().map(|(_, id)| id)
    }

    /// Returns whether the child has started call `id`, and the call's ordinal. `None` if the call was not sent, or is
    /// answered. Takes constant time.
    pub(crate) fn has_started(&self, id: u32, known: StartedInfo) -> Option<(Started, u64)> {
        let (EntryState::Sent(sent) | EntryState::Expired(sent, _) | EntryState::Abandoned(sent)) =
            self.table.get(id)?.state
        else {
            return None;
        };
        let reached = self.written + self.being_written;
        let started = had_started(sent, known, reached, self.answered);
        Some((started, sent.ordinal))
    }
}

fn had_started(sent: SentCall, known: StartedInfo, reached: u64, answered: u64) -> Started {
    match known {
        _ if sent.end > reached => Started::No,
        StartedInfo::Count(count) if sent.ordinal <= count => Started::Yes,
        StartedInfo::Count(_) => Started::No,
        StartedInfo::OneByOne if sent.ordinal > answered + 1 => Started::No,
        StartedInfo::OneByOne | StartedInfo::Nothing => Started::Unknown,
    }
}
