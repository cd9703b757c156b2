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
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_none()
    }
}

/// The events of all calls: how many wait, and what they take.
#[derive(Debug, Default)]
pub(crate) struct Inboxes {
    pub(super) events: usize,
    pub(super) weight: Weight,
    /// Calls whose events were not asked for.
    pub(super) unasked: BTreeSet<u32>,
}

impl Inboxes {
    /// Takes in an event of call `id`, or drops it. Returns whether it waits.
    pub(super) fn push(
        &mut self,
        id: u32,
        inbox: &mut Inbox,
        after: u64,
        payload: Payload,
    ) -> bool {
        match inbox.wish {
            Wish::Declined => return false,
            Wish::Unsaid if inbox.missed > 0 => {
                inbox.missed += 1;
                return false;
            }
            Wish::Unsaid => drop(self.unasked.insert(id)),
            Wish::Reads => {}
        }
        self.events += 1;
        self.weight = self.weight + payload.weight();
        let queue = inbox.queue.get_or_insert_default();
        queue.push_back((after, payload));
        true
    }

    pub(super) fn pop(&mut self, inbox: &mut Inbox) -> Option<Payload> {
        let queue = inbox.queue.as_mut()?;
        let (_, payload) = queue.pop_front()?;
        if queue.is_empty() {
            inbox.queue = None;
        }
        self.events -= 1;
        self.weight = self.weight - payload.weight();
        Some(payload)
    }

    /// Drops what waits, and returns how many events that were.
    fn clear(&mut self, id: u32, inbox: &mut Inbox) -> usize {
        if inbox.is_empty() {
            return 0;
        }
        self.unasked.remove(&id);
        std::iter::from_fn(|| self.pop(inbox)).count()
    }

    /// Nobody wants the events of this call any more.
    pub(super) fn decline(&mut self, id: u32, inbox: &mut Inbox) {
        self.clear(id, inbox);
        inbox.wish = Wish::Declined;
    }

    /// The events of this call are read from now on.
    pub(super) fn ask(&mut self, id: u32, inbox: &mut Inbox) {
        self.unasked.remove(&id);
        inbox.wish = Wish::Reads;
    }

    /// The events of this call make way for others.
    pub(super) fn give_up(&mut self, id: u32, inbox: &mut Inbox) {
        inbox.missed += self.clear(id, inbox);
    }
}
