//! What goes beyond the limits of one message, and of the descriptors that wait.

use super::super::{Failure, FailureCode, HEADER, Parcel};
use super::{Caller, Limits, Outcome, State};

impl Limits {
    /// Why this request cannot be sent at all.
    pub(super) fn refusal<D>(&self, parcel: &Parcel<D>) -> Option<Failure> {
        let (length, count) = (parcel.len() - HEADER, parcel.descriptors.len());
        if length > self.frame as usize {
            return Some(too_long("the request", length, self.frame));
        }
        (count > self.descriptors)
            .then(|| Failure::too_many("the request", count, self.descriptors))
    }
}

impl<W, D> Caller<W, D> {
    /// Whether this call waits for room.
    pub(crate) fn is_queued(&self, id: u32) -> bool {
        let state = self.table.get(id).map(|slot| &slot.state);
        matches!(state, Some(State::Queued(..)))
    }
}

impl<D> Outcome<D> {
    /// How many descriptors came along.
    pub(super) fn descriptors(&self) -> usize {
        match self {
            Self::Result(payload) => payload.descriptors(),
            Self::Failed(_) | Self::Lost(_) | Self::Expired(_) => 0,
        }
    }

    /// Counts the descriptors among those that are kept, or gives them up if these would be more than `most`.
    pub(super) fn keep(&mut self, kept: &mut usize, most: usize, spent: &mut Vec<D>) {
        let own = self.descriptors();
        if *kept + own <= most {
            *kept += own;
        } else if let Self::Result(payload) = self {
            payload.give_up_descriptors(spent);
        }
    }
}

#[cold]
pub(super) fn too_long(what: &str, length: usize, limit: u32) -> Failure {
    let text = format!("{what} has {length} bytes, the limit is {limit}; raise `max_message`");
    Failure::new(FailureCode::TooLong, text)
}
