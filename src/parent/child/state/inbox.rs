//! Events of calls, which wait for whoever holds the call.
//!
//! Nobody says beforehand whether the events of a call will be read. So they
//! are kept as long as the handle may still ask for them, within the limits of
//! events. Those that were asked for are waited for: over the limits nothing
//! more is read from the child. Those that were not must not stop anybody: over
//! the limits they go, and whoever asks for them later is told.

use std::collections::{BTreeSet, VecDeque};

use crate::parcel::Payload;
use crate::protocol::Weight;

pub(crate) type Queue = VecDeque<(u64, Payload)>;

/// The events of one call.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    /// Each with the deliveries that come before it. Most calls have none, so
    /// they carry no queue.
    pub(crate) queue: Option<Box<Queue>>,
    wish: Wish,
    /// Events that were dropped before anybody asked.
    pub(crate) missed: usize,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// They may be asked for.
    #[default]
    Unsaid,
    /// They are read.
    Reads,
    /// Nobody wants them.
    Declined,
}

impl Inbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_none()
    }

    fn len(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.len())
    }

    fn weight(&self) -> Weight {
        let payloads = self.queue.iter().flat_map(|queue| queue.iter());
        payloads.map(|(_, payload)| payload.weight()).sum()
    }
}

/// A number of events, and what they take.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) events: usize,
    pub(crate) weight: Weight,
}

impl Tally {
    fn add(&mut self, events: usize, weight: Weight) {
        self.events += events;
        self.weight = self.weight + weight;
    }

    fn subtract(&mut self, events: usize, weight: Weight) {
        self.events -= events;
        self.weight = self.weight - weight;
    }
}

/// The events of all calls.
#[derive(Debug, Default)]
pub(crate) struct Inboxes {
    /// Those that were asked for.
    pub(crate) asked: Tally,
    /// Those that were not, and whose they are.
    pub(crate) unasked: Tally,
    pub(crate) holders: BTreeSet<u32>,
}

impl Inboxes {
    fn tally(&mut self, wish: Wish) -> &mut Tally {
        match wish {
            Wish::Reads => &mut self.asked,
            Wish::Unsaid | Wish::Declined => &mut self.unasked,
        }
    }

    pub(crate) fn push(
        &mut self,
        id: u32,
        inbox: &mut Inbox,
        after: u64,
        payload: Payload,
    ) -> bool {
        if inbox.wish == Wish::Declined {
            return false;
        }
        if inbox.missed > 0 && inbox.wish == Wish::Unsaid {
            inbox.missed += 1;
            return false;
        }
        self.tally(inbox.wish).add(1, payload.weight());
        if inbox.wish == Wish::Unsaid {
            self.holders.insert(id);
        }
        inbox
            .queue
            .get_or_insert_default()
            .push_back((after, payload));
        true
    }

    pub(crate) fn pop(&mut self, inbox: &mut Inbox) -> Option<Payload> {
        let queue = inbox.queue.as_mut()?;
        let (_, payload) = queue.pop_front()?;
        if queue.is_empty() {
            inbox.queue = None;
        }
        self.tally(inbox.wish).subtract(1, payload.weight());
        Some(payload)
    }

    fn clear(&mut self, id: u32, inbox: &mut Inbox) {
        if inbox.is_empty() {
            return;
        }
        let (events, weight) = (inbox.len(), inbox.weight());
        self.tally(inbox.wish).subtract(events, weight);
        self.holders.remove(&id);
        inbox.queue = None;
    }

    /// Nobody wants the events of this call any more.
    pub(crate) fn decline(&mut self, id: u32, inbox: &mut Inbox) {
        self.clear(id, inbox);
        inbox.wish = Wish::Declined;
    }

    /// The events of this call are read from now on.
    pub(crate) fn ask(&mut self, id: u32, inbox: &mut Inbox) {
        if inbox.wish == Wish::Reads {
            return;
        }
        let (events, weight) = (inbox.len(), inbox.weight());
        self.tally(inbox.wish).subtract(events, weight);
        inbox.wish = Wish::Reads;
        self.asked.add(events, weight);
        self.holders.remove(&id);
    }

    /// The events of this call make way for others.
    pub(crate) fn give_up(&mut self, id: u32, inbox: &mut Inbox) {
        inbox.missed += inbox.len();
        self.clear(id, inbox);
    }
}
