//! Events of calls: how they come in, and are read.

use super::Core;
use crate::error::Error;
use crate::parcel::Payload;
use crate::parent::child::terms::NextEvent;

impl Core {
    /// An event of this call has come.
    pub(super) fn call_event(&mut self, id: u32, payload: Payload) {
        let after = self.delivery.enqueued();
        let Some(waiter) = self.caller.waiter(id) else {
            return;
        };
        if self
            .delivery
            .inboxes
            .push(id, &mut waiter.inbox, after, payload)
        {
            self.come(id, after);
        }
    }

    /// Over the limits, what nobody has asked for goes.
    pub(super) fn crowd_out(&mut self) {
        while self.delivery.is_over_limits()
            && let Some(id) = self.delivery.inboxes.unasked.pop_first()
        {
            if let Some(waiter) = self.caller.waiter(id) {
                self.delivery.inboxes.give_up(id, &mut waiter.inbox);
            }
        }
    }

    /// The events of this call will be read.
    pub(crate) fn ask_for_events(&mut self, id: u32) {
        if let Some(waiter) = self.caller.waiter(id) {
            self.delivery.inboxes.ask(id, &mut waiter.inbox);
        }
    }

    /// The next event of this call, or that there will be none.
    pub(crate) fn next_call_event(&mut self, id: u32) -> Option<NextEvent> {
        let Some(waiter) = self.caller.waiter(id) else {
            return Some(NextEvent::End);
        };
        let inbox = &mut waiter.inbox;
        if inbox.missed > 0 {
            let missed = std::mem::take(&mut inbox.missed);
            return Some(NextEvent::Event(Err(Error::missed(missed))));
        }
        match inbox.queue.as_ref().and_then(|queue| queue.front()) {
            Some((after, _)) if !self.delivery.is_before(*after) => None,
            Some(_) => {
                let payload = self.delivery.inboxes.pop(inbox)?;
                Some(NextEvent::Event(Ok(payload)))
            }
            None => self.may_see_end(id).then_some(NextEvent::End),
        }
    }

    /// The next event of the stream, or that there will be none.
    pub(crate) fn next_event(&mut self) -> Option<NextEvent> {
        match self.delivery.pop_stream() {
            Some(payload) => Some(NextEvent::Event(Ok(payload))),
            None => self.life.is_over().then_some(NextEvent::End),
        }
    }
}
