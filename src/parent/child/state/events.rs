//! Events of calls: how they come in, and are read.

use super::Core;
use crate::error::Error;
use crate::parcel::Payload;

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
    pub(crate) fn next_call_event(&mut self, id: u32) -> Option<Option<Result<Payload, Error>>> {
        let Some(waiter) = self.caller.waiter(id) else {
            return Some(None);
        };
        let inbox = &mut waiter.inbox;
        if inbox.missed > 0 {
            let missed = std::mem::take(&mut inbox.missed);
            return Some(Some(Err(Error::missed(missed))));
        }
        match inbox.queue.as_ref().and_then(|queue| queue.front()) {
            Some((after, _)) if !self.delivery.is_before(*after) => None,
            Some(_) => {
                let payload = self.delivery.inboxes.pop(inbox);
                payload.map(|payload| Some(Ok(payload)))
            }
            None => self.may_see_end(id).then_some(None),
        }
    }
}
