//! What is delivered to callbacks: events and outcomes, in the stream's order,
//! one after the other, by the child's thread for callbacks (`callbacks.rs`).
//!
//! Every delivery has a number. An outcome that somebody waits for is not
//! delivered here, but may be seen only after the deliveries that came before
//! it in the stream: it remembers how many those are, and is **barred** until
//! then. The exception is a wait inside a callback, which would wait for
//! itself.
//!
//! The queue is bounded: over the limit nothing more is read, until the
//! callback (or the reader of the stream) has caught up.

use std::collections::VecDeque;

use super::super::terms::{Callback, EventSink};
use super::inbox::Inboxes;
use crate::error::Error;
use crate::parcel::Payload;
use crate::parent::callbacks::{Call, Runner};
use crate::protocol::Weight;

/// How many events, and octets of events, wait for a slow receiver.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EventLimits {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
    /// Descriptors that came along with them.
    pub(crate) descriptors: usize,
}

/// One delivery.
pub(crate) enum Item {
    /// For `on_event`.
    Event(Payload),
    /// For the callback of a call.
    Done(Callback, Result<Payload, Error>),
    /// For `on_error`, or the log.
    Report(Error),
    /// Lines of its stdout or stderr, for their handler.
    Output(Output),
}

/// Hands lines on, and is told whom a panic goes to.
pub(crate) type Output = Box<dyn FnOnce(&mut dyn FnMut(Error)) + Send>;

impl Item {
    fn weight(&self) -> Weight {
        match self {
            Self::Event(payload) => payload.weight(),
            Self::Done(_, Ok(payload)) => Weight {
                bytes: payload.len(),
                ..payload.weight()
            },
            Self::Done(_, Err(_)) | Self::Output(_) => Weight::default(),
            // One for each event that nobody handles.
            Self::Report(_) => Weight {
                bytes: size_of::<Self>(),
                descriptors: 0,
            },
        }
    }
}

/// The queue of deliveries.
pub(crate) struct Delivery {
    sink: EventSink,
    limits: EventLimits,
    queue: VecDeque<Item>,
    stream: VecDeque<Payload>,
    weight: Weight,
    /// Events of calls.
    pub(crate) inboxes: Inboxes,
    enqueued: u64,
    done: u64,
    /// Calls that are done, and how many deliveries come before each.
    barred: VecDeque<(u64, u32)>,
    runner: Runner,
    /// There is news for the thread.
    due: bool,
    /// `on_destroy` is there, and due at the end.
    last: bool,
    over: bool,
}

impl Delivery {
    pub(crate) fn new(sink: EventSink, limits: EventLimits, last: bool) -> Self {
        Self {
            sink,
            limits,
            queue: VecDeque::new(),
            stream: VecDeque::new(),
            weight: Weight::default(),
            inboxes: Inboxes::default(),
            enqueued: 0,
            done: 0,
            barred: VecDeque::new(),
            runner: Runner::default(),
            due: false,
            last,
            over: false,
        }
    }

    pub(crate) fn sink(&self) -> EventSink {
        self.sink
    }

    /// The stream of events is gone: from now on events are nobody's affair.
    pub(crate) fn drop_stream(&mut self) {
        self.stream.clear();
        self.weight = self.queue.iter().map(Item::weight).sum();
        self.sink = EventSink::Nobody;
    }

    /// Events must be read although nobody waits.
    pub(crate) fn wants_events(&self) -> bool {
        matches!(self.sink, EventSink::Handler | EventSink::Stream) && !self.over
    }

    /// Nothing more is to be read: there is too much, all of which is waited for.
    pub(crate) fn is_full(&self) -> bool {
        self.inboxes.unasked.is_empty() && self.is_over_limits()
    }

    pub(super) fn is_over_limits(&self) -> bool {
        let weight = self.weight + self.inboxes.weight;
        self.queue.len() + self.stream.len() + self.inboxes.events >= self.limits.events
            || weight.bytes >= self.limits.bytes
            || weight.descriptors >= self.limits.descriptors
    }

    pub(crate) fn push(&mut self, item: Item) {
        self.weight = self.weight + item.weight();
        self.enqueued += 1;
        self.queue.push_back(item);
        self.due = true;
    }

    pub(crate) fn extend(&mut self, items: impl IntoIterator<Item = Item>) {
        items.into_iter().for_each(|item| self.push(item));
    }

    pub(crate) fn push_stream(&mut self, payload: Payload) {
        self.weight = self.weight + payload.weight();
        self.stream.push_back(payload);
    }

    pub(crate) fn pop_stream(&mut self) -> Option<Payload> {
        let payload = self.stream.pop_front()?;
        self.weight = self.weight - payload.weight();
        Some(payload)
    }

    /// Nothing more will be pushed.
    pub(crate) fn finish(&mut self) {
        self.over = true;
        self.due |= self.last || !self.runner.is_absent();
    }

    pub(crate) fn is_due(&self) -> bool {
        self.due
    }

    pub(crate) fn take_due(&mut self) -> Option<Call> {
        let due = std::mem::take(&mut self.due);
        due.then(|| self.runner.call()).flatten()
    }

    /// The last callback has returned, and the thread leaves.
    pub(crate) fn end(&mut self) {
        self.last = false;
        self.runner.leave();
        self.due |= !self.queue.is_empty();
    }

    pub(crate) fn enqueued(&self) -> u64 {
        self.enqueued
    }

    /// So many deliveries were made.
    pub(crate) fn is_passed(&self, count: u64) -> bool {
        self.done >= count
    }

    /// Who asks may see what comes after so many deliveries.
    pub(crate) fn is_before(&self, count: u64) -> bool {
        self.is_passed(count) || self.is_running_here()
    }

    /// This is the thread that runs callbacks.
    pub(crate) fn is_running_here(&self) -> bool {
        self.runner.is_here()
    }

    /// A callback would wait for what cannot be read before it returns.
    pub(crate) fn is_stuck_here(&self) -> bool {
        self.is_full() && self.is_running_here()
    }

    /// This call is done, but is seen only after so many deliveries.
    pub(crate) fn bar(&mut self, id: u32, after: u64) {
        // Several things of one call may be seen at once.
        if self.barred.back() != Some(&(after, id)) {
            self.barred.push_back((after, id));
        }
    }

    /// The next call that is seen since the last delivery.
    pub(crate) fn next_freed(&mut self) -> Option<u32> {
        let (after, id) = *self.barred.front()?;
        if !self.is_passed(after) {
            return None;
        }
        self.barred.pop_front();
        Some(id)
    }

    /// The delivery that was taken last is made.
    pub(crate) fn delivered(&mut self) {
        self.done += 1;
    }

    /// All deliveries were made, and the last callback has returned.
    pub(crate) fn is_over(&self) -> bool {
        self.over && self.queue.is_empty() && self.done == self.enqueued && !self.last
    }

    /// The next delivery, for this thread. If there is none, a thread that may not
    /// wait leaves.
    pub(crate) fn next(&mut self, may_wait: bool) -> Due {
        self.runner.begin();
        if let Some(item) = self.queue.pop_front() {
            self.weight = self.weight - item.weight();
            return Due::Item(item);
        }
        if self.over {
            return Due::End;
        }
        if !may_wait {
            self.runner.leave();
        }
        Due::Nothing
    }
}

/// What the thread for callbacks is to do.
pub(crate) enum Due {
    Item(Item),
    /// Nothing now.
    Nothing,
    /// All deliveries were made, and none will come.
    End,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parcel::Reader;
    use crate::protocol::{Form, Frame, announcement};

    /// X80: an event without bytes takes memory all the same.
    #[test]
    fn empty_events_have_a_weight() {
        const BYTES: usize = 1 << 20;
        let limits = EventLimits {
            events: usize::MAX,
            bytes: BYTES,
            descriptors: usize::MAX,
        };
        let pushes: [fn(&mut Delivery); 3] = [
            |delivery| delivery.push(Item::Event(Vec::new().into())),
            |delivery| delivery.push(Item::Report(Error::unhandled())),
            |delivery| delivery.push_stream(Vec::new().into()),
        ];
        for push in pushes {
            let mut delivery = Delivery::new(EventSink::Handler, limits, false);
            let count = (1..).find(|_| {
                push(&mut delivery);
                delivery.is_full()
            });
            assert!(count.unwrap() < BYTES / 32);
            while matches!(delivery.next(true), Due::Item(_)) || delivery.pop_stream().is_some() {}
            assert_eq!(delivery.weight, Weight::default());
        }
    }

    /// An event of no bytes, with a descriptor.
    fn with_descriptor() -> Payload {
        let mut reader = Reader::new(Form::Full, 0);
        let frame = Frame::message(0, 0).to_octets();
        reader.buffer().extend_from_slice(&announcement(1));
        reader.buffer().extend_from_slice(&frame);
        reader.push_arrival(vec![std::io::pipe().unwrap().0.into()], false);
        reader.advance();
        reader.take()
    }

    /// X84: descriptors of events that wait are counted, and no more than the limit are read.
    #[test]
    fn descriptors_of_events_have_a_limit() {
        let limits = EventLimits {
            events: usize::MAX,
            bytes: usize::MAX,
            descriptors: 3,
        };
        let mut delivery = Delivery::new(EventSink::Handler, limits, false);
        delivery.push(Item::Event(with_descriptor()));
        delivery.push(Item::Event(Vec::new().into()));
        delivery.push(Item::Done(Box::new(drop), Ok(with_descriptor())));
        assert!(!delivery.is_full());
        delivery.push_stream(with_descriptor());
        assert!(delivery.is_full());
        delivery.pop_stream();
        assert!(!delivery.is_full());
    }
}
