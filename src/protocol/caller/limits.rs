//! Limits of one request, and of the descriptors of uncollected results.

use super::super::{Failure, FailureCode, HEADER, Message};
use super::{CallOutcome, Caller, EntryState, FlowLimits};

impl FlowLimits {
    /// Returns why this request can never be sent. `None` if it can.
    pub(super) fn refusal<D>(&self, message: &Message<D>) -> Option<Failure> {
        let (length, count) = (message.len() - HEADER, message.descriptors.len());
        if length > self.frame as usize {
            return Some(too_long("the request", length, self.frame));
        }
        (count > self.descriptors)
            .then(|| Failure::too_many("the request", count, self.descriptors))
    }
}

impl<W, D> Caller<W, D> {
    /// Returns whether call `id` is in the queue.
    pub(crate) fn is_queued(&self, id: u32) -> bool {
        let state = self.table.get(id).map(|slot| &slot.state);
        matches!(state, Some(EntryState::Queued(..)))
    }
}

impl<D> CallOutcome<D> {
    /// Returns the number of descriptors of the result.
    pub(super) fn descriptors(&self) -> usize {
        match self {
            Self::Result(payload) => payload.descriptors(),
            Self::Failed(_) | Self::NotSent(_) | Self::Lost(_) | Self::Expired(_) => 0,
        }
    }

    /// Adds the result's descriptors to the count `kept`, or moves them to `unwanted` if the count would exceed `most`.
    pub(super) fn keep(&mut self, kept: &mut usize, most: usize, unwanted: &mut Vec<D>) {
        let own = self.descriptors();
        if *kept + own <= most {
            *kept += own;
        } else if let Self::Result(payload) = self {
            payload.give_up_descriptors(unwanted);
        }
    }
}

#[cold]
pub(super) fn too_long(what: &str, length: usize, limit: u32) -> Failure {
    let text = format!("{what} has {length} bytes, the limit is {limit}; raise `max_message`");
    Failure::new(FailureCode::TooLong, text)
}
