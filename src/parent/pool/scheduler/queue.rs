//! The calls that wait for a child, in the order in which they came.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::Ticket;

/// See the module. A call is a `C`.
#[derive(Debug)]
pub(super) struct Queue<C> {
    calls: BTreeMap<Ticket, Waiting<C>>,
    deadlines: BTreeSet<(Instant, Ticket)>,
    /// How many bytes of arguments they have.
    bytes: usize,
}

#[derive(Debug)]
struct Waiting<C> {
    call: C,
    bytes: usize,
    deadline: Option<Instant>,
}

impl<C> Queue<C> {
    pub(super) fn new() -> Self {
        Self {
            calls: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            bytes: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn calls(&self) -> impl Iterator<Item = &C> {
        self.calls.values().map(|waiting| &waiting.call)
    }

    pub(super) fn first(&self) -> Option<Ticket> {
        self.calls.first_key_value().map(|(ticket, _)| *ticket)
    }

    /// The first deadline, and whose it is.
    pub(super) fn next_deadline(&self) -> Option<(Instant, Ticket)> {
        self.deadlines.first().copied()
    }

    pub(super) fn insert(
        &mut self,
        ticket: Ticket,
        call: C,
        bytes: usize,
        deadline: Option<Instant>,
    ) {
        self.bytes += bytes;
        self.deadlines.extend(deadline.map(|at| (at, ticket)));
        let waiting = Waiting {
            call,
            bytes,
            deadline,
        };
        self.calls.insert(ticket, waiting);
    }

    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<C> {
        self.set_deadline(ticket, None);
        let waiting = self.calls.remove(&ticket)?;
        self.bytes -= waiting.bytes;
        Some(waiting.call)
    }

    pub(super) fn set_deadline(&mut self, ticket: Ticket, at: Option<Instant>) {
        if let Some(waiting) = self.calls.get_mut(&ticket) {
            if let Some(old) = std::mem::replace(&mut waiting.deadline, at) {
                self.deadlines.remove(&(old, ticket));
            }
            self.deadlines.extend(at.map(|at| (at, ticket)));
        }
    }
}
