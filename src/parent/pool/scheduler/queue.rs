//! The calls that wait for a child, in the order in which they were made.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::Ticket;

/// The queue of calls `C`: see the module.
#[derive(Debug)]
pub(super) struct Queue<C> {
    pub(super) calls: BTreeMap<Ticket, Waiting<C>>,
    pub(super) deadlines: BTreeSet<(Instant, Ticket)>,
    /// Length of the arguments of all calls, in bytes.
    pub(super) bytes: usize,
}

#[derive(Debug)]
pub(super) struct Waiting<C> {
    pub(super) call: C,
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

    pub(super) fn first(&self) -> Option<Ticket> {
        self.calls.first_key_value().map(|(ticket, _)| *ticket)
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
