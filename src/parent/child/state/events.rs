//! The events of a call, which are queued until the holder of the call reads them, and the
//! stream of events of a child.
//!
//! A caller need not say beforehand whether it will read the events of a call. They are kept
//! within the limits of events for as long as the handle may ask for them. Over the limits,
//! nothing more is read from the child if the events were asked for. Events that were not
//! asked for are dropped, and a caller that asks later is told how many.

use std::collections::{BTreeSet, VecDeque};

use super::ChildState;
use crate::error::Error;
use crate::message::Payload;
use crate::parent::child::interface::NextEvent;
use crate::protocol::Weight;

type Queue = VecDeque<(u64, Payload)>;

/// The events of one call.
#[derive(Debug, Default)]
pub(crate) struct CallEventQueue {
    /// Each event with the number of callbacks that must return before it may be seen. `None`
    /// if there are no events.
    queue: Option<Box<Queue>>,
    subscription: Subscription,
    /// How many events were dropped before the caller asked for them.
    missed: usize,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Subscription {
    /// The caller has not said whether it will read them.
    #[default]
    Undecided,
    Subscribed,
    Declined,
}

impl CallEventQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_none()
    }
}

/// The events of all calls: how many are queued, and how much memory they take.
#[derive(Debug, Default)]
pub(crate) struct CallEventQueues {
    pub(super) events: usize,
    pub(super) weight: Weight,
    /// Calls with events that were not asked for.
    pub(super) unasked: BTreeSet<u32>,
}

impl CallEventQueues {
    /// Queues an event of call `id`, or drops it. Returns whether it is queued.
    pub(super) fn push(
        &mut self,
        id: u32,
        events: &mut CallEventQueue,
        after: u64,
        payload: Payload,
    ) -> bool {
        match events.subscription {
            Subscription::Declined => return false,
            Subscription::Undecided if events.missed > 0 => {
                events.missed += 1;
                return false;
            }
            Subscription::Undecided => drop(self.unasked.insert(id)),
            Subscription::Subscribed => {}
        }
        self.events += 1;
        self.weight = self.weight + payload.weight();
        let queue = events.queue.get_or_insert_default();
        queue.push_back((after, payload));
        true
    }

    pub(super) fn pop(&mut self, events: &mut CallEventQueue) -> Option<Payload> {
        let queue = events.queue.as_mut()?;
        let (_, payload) = queue.pop_front()?;
        if queue.is_empty() {
            events.queue = None;
        }
        self.events -= 1;
        self.weight = self.weight - payload.weight();
        Some(payload)
    }

    /// Drops the events of a call, and returns their number.
    fn clear(&mut self, id: u32, events: &mut CallEventQueue) -> usize {
        if events.is_empty() {
            return 0;
        }
        self.unasked.remove(&id);
        std::iter::from_fn(|| self.pop(events)).count()
    }

    /// Notes that the events of a call are not wanted, and drops them.
    pub(super) fn decline(&mut self, id: u32, events: &mut CallEventQueue) {
        self.clear(id, events);
        events.subscription = Subscription::Declined;
    }

    /// Notes that the events of a call will be read.
    pub(super) fn subscribe(&mut self, id: u32, events: &mut CallEventQueue) {
        self.unasked.remove(&id);
        events.subscription = Subscription::Subscribed;
    }
}

impl ChildState {
    /// Queues an event of a call.
    pub(super) fn handle_call_event(&mut self, id: u32, payload: Payload) {
        let after = self.callbacks.queued;
        let Some(entry) = self.caller.waiter(id) else {
            return;
        };
        if self
            .callbacks
            .call_events
            .push(id, &mut entry.events, after, payload)
        {
            self.wake_or_hold(id, after);
        }
    }

    /// While the limits are reached, drops events that were not asked for.
    pub(super) fn drop_unasked_events(&mut self) {
        while self.callbacks.is_over_limits()
            && let Some(id) = self.callbacks.call_events.unasked.pop_first()
        {
            if let Some(entry) = self.caller.waiter(id) {
                // They are dropped because the limits are reached.
                let missed = self.callbacks.call_events.clear(id, &mut entry.events);
                entry.events.missed += missed;
            }
        }
    }

    /// Takes the next event of a call, or returns that there will be none. `None` if the child does
    /// not have the call.
    pub(crate) fn next_call_event(&mut self, id: u32) -> Option<NextEvent> {
        let events = &mut self.caller.waiter(id)?.events;
        if events.missed > 0 {
            let missed = std::mem::take(&mut events.missed);
            return Some(NextEvent::Event(Err(Error::missed(missed))));
        }
        match events.queue.as_ref().and_then(|queue| queue.front()) {
            Some((after, _)) if !self.callbacks.may_see(*after) => None,
            Some(_) => {
                let payload = self.callbacks.call_events.pop(events)?;
                Some(NextEvent::Event(Ok(payload)))
            }
            None => self.may_see_outcome(id).then_some(NextEvent::End),
        }
    }

    /// Takes the next event of the child's stream, or returns that there will be none.
    pub(crate) fn next_event(&mut self) -> Option<NextEvent> {
        match self.callbacks.pop_stream() {
            Some(payload) => Some(NextEvent::Event(Ok(payload))),
            None => self.lifecycle.is_over().then_some(NextEvent::End),
        }
    }
}
