//! The callbacks of a child that are to run: events and outcomes in the order of the stream.
//! The child's thread for callbacks (`callbacks.rs`) runs one after the other.
//!
//! Callbacks are counted. An outcome that a thread or task waits for is not in this queue,
//! but may be seen only after the callbacks that came before it in the stream have returned.
//! It remembers how many those are, and is **held** until then. The exception is a wait
//! inside a callback, of this child or another: it would wait for itself, or the callback that
//! it waits for might wait for it.
//!
//! The queue is bounded. Over the limit nothing more is read until the callback, or the
//! reader of the stream, has caught up.

use std::collections::VecDeque;

use super::super::interface::{EventSink, OnDone};
use super::events::CallEventQueues;
use crate::error::Error;
use crate::message::Payload;
use crate::parent::callbacks::{CallbackThread, CallbackWake, is_callback_thread};
use crate::protocol::Weight;

/// The limits of what waits for a slow receiver.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct EventLimits {
    pub(crate) events: usize,
    /// Bytes of these events.
    pub(crate) bytes: usize,
    /// File descriptors that came with them.
    pub(crate) descriptors: usize,
}

/// One callback to run.
pub(crate) enum Callback {
    /// `on_event`.
    Event(Payload),
    /// `on_done` of a call.
    Done(OnDone, Result<Payload, Error>),
    /// `on_error`, or the log.
    Report(Error),
    /// The handler of lines of stdout or stderr.
    Lines(LinesCallback),
}

/// Calls the handler with lines. Its argument is called with the error of a panic.
pub(crate) type LinesCallback = Box<dyn FnOnce(&mut dyn FnMut(Error)) + Send>;

impl Callback {
    fn weight(&self) -> Weight {
        match self {
            Self::Event(payload) => payload.weight(),
            Self::Done(_, Ok(payload)) => Weight {
                bytes: payload.len(),
                ..payload.weight()
            },
            Self::Done(_, Err(_)) | Self::Lines(_) => Weight::default(),
            // There is one for each event that has no handler.
            Self::Report(_) => Weight {
                bytes: size_of::<Self>(),
                descriptors: 0,
            },
        }
    }
}

/// See the module.
#[derive(Default)]
pub(crate) struct CallbackQueue {
    pub(crate) sink: EventSink,
    limits: EventLimits,
    queue: VecDeque<Callback>,
    stream: VecDeque<Payload>,
    weight: Weight,
    pub(crate) call_events: CallEventQueues,
    /// How many callbacks were queued so far.
    pub(crate) queued: u64,
    /// How many callbacks have returned.
    returned: u64,
    /// Calls for which something has arrived, and how many callbacks must return before it
    /// may be seen.
    held: VecDeque<(u64, u32)>,
    thread: CallbackThread,
    /// The thread is to be started or woken.
    pub(crate) due: bool,
    /// Whether `on_destroy` is still to be called.
    on_destroy: bool,
    over: bool,
}

impl CallbackQueue {
    pub(crate) fn new(sink: EventSink, limits: EventLimits, on_destroy: bool) -> Self {
        Self {
            sink,
            limits,
            on_destroy,
            ..Self::default()
        }
    }

    /// Drops the stream of events. From now on each event is an error.
    pub(crate) fn drop_stream(&mut self) {
        self.stream.clear();
        self.weight = self.queue.iter().map(Callback::weight).sum();
        self.sink = EventSink::Unhandled;
    }

    /// Returns whether events must be read although no thread waits.
    pub(crate) fn wants_events(&self) -> bool {
        matches!(self.sink, EventSink::Handler | EventSink::Stream) && !self.over
    }

    /// Returns whether nothing more may be read: the limits are reached, and only by events
    /// that have a receiver.
    pub(crate) fn is_full(&self) -> bool {
        self.call_events.unasked.is_empty() && self.is_over_limits()
    }

    pub(super) fn is_over_limits(&self) -> bool {
        let weight = self.weight + self.call_events.weight;
        self.queue.len() + self.stream.len() + self.call_events.events >= self.limits.events
            || weight.bytes >= self.limits.bytes
            || weight.descriptors >= self.limits.descriptors
    }

    pub(crate) fn push(&mut self, callback: Callback) {
        self.weight = self.weight + callback.weight();
        self.queued += 1;
        self.queue.push_back(callback);
        self.due = true;
    }

    pub(crate) fn extend(&mut self, callbacks: impl IntoIterator<Item = Callback>) {
        for callback in callbacks {
            self.push(callback);
        }
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

    /// Notes that no callback will be queued any more.
    pub(crate) fn finish(&mut self) {
        self.over = true;
        self.due |= self.on_destroy || !self.thread.is_absent();
    }

    pub(crate) fn take_due(&mut self) -> Option<CallbackWake> {
        let due = std::mem::take(&mut self.due);
        due.then(|| self.thread.wake()).flatten()
    }

    /// Notes that the last callback has returned, and that the thread exits.
    pub(crate) fn end(&mut self) {
        self.on_destroy = false;
        self.thread.exit();
        self.due |= !self.queue.is_empty();
    }

    /// Returns whether the first `count` callbacks have returned.
    pub(crate) fn returned_up_to(&self, count: u64) -> bool {
        self.returned >= count
    }

    /// Returns whether this thread may see what came after the first `count` callbacks.
    pub(crate) fn may_see(&self, count: u64) -> bool {
        self.returned_up_to(count) || is_callback_thread()
    }

    /// Returns whether this thread runs the callbacks.
    pub(crate) fn is_running_here(&self) -> bool {
        self.thread.is_here()
    }

    /// Returns whether this is a callback and nothing more is read before it returns.
    pub(crate) fn would_deadlock_here(&self) -> bool {
        self.is_full() && self.is_running_here()
    }

    /// Holds a call until the first `after` callbacks have returned.
    pub(crate) fn hold_until(&mut self, after: u64, id: u32) {
        // An event and the outcome of a call may have the same place.
        if self.held.back() != Some(&(after, id)) {
            self.held.push_back((after, id));
        }
    }

    /// Releases the next call that is held no longer.
    pub(crate) fn next_released(&mut self) -> Option<u32> {
        let (after, id) = *self.held.front()?;
        if !self.returned_up_to(after) {
            return None;
        }
        self.held.pop_front();
        Some(id)
    }

    /// Notes that the callback that was taken last has returned.
    pub(crate) fn returned(&mut self) {
        self.returned += 1;
    }

    /// Returns whether all callbacks have returned and no other will be queued.
    pub(crate) fn is_over(&self) -> bool {
        self.over && self.queue.is_empty() && self.returned == self.queued && !self.on_destroy
    }

    /// Takes the next callback, for this thread. If there is none, a thread that may not wait
    /// exits.
    pub(crate) fn next(&mut self, may_wait: bool) -> NextCallback {
        self.thread.begin();
        if let Some(callback) = self.queue.pop_front() {
            self.weight = self.weight - callback.weight();
            return NextCallback::Run(callback);
        }
        if self.over {
            return NextCallback::End;
        }
        if !may_wait {
            self.thread.exit();
        }
        NextCallback::None
    }
}

/// The next step of the thread for callbacks.
pub(crate) enum NextCallback {
    Run(Callback),
    /// There is no callback now.
    None,
    /// All callbacks have returned, and no other will be queued.
    End,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::FrameReader;
    use crate::protocol::{Form, Frame, announcement};

    /// X80: an event without bytes takes memory, too.
    #[test]
    fn empty_events_have_a_weight() {
        const BYTES: usize = 1 << 20;
        let limits = EventLimits {
            events: usize::MAX,
            bytes: BYTES,
            descriptors: usize::MAX,
        };
        let pushes: [fn(&mut CallbackQueue); 3] = [
            |callbacks| callbacks.push(Callback::Event(Vec::new().into())),
            |callbacks| callbacks.push(Callback::Report(Error::unhandled())),
            |callbacks| callbacks.push_stream(Vec::new().into()),
        ];
        for push in pushes {
            let mut callbacks = CallbackQueue::new(EventSink::Handler, limits, false);
            let count = (1..).find(|_| {
                push(&mut callbacks);
                callbacks.is_full()
            });
            assert!(count.unwrap() < BYTES / 32);
            while matches!(callbacks.next(true), NextCallback::Run(_))
                || callbacks.pop_stream().is_some()
            {}
            assert_eq!(callbacks.weight, Weight::default());
        }
    }

    /// An event of no bytes, with a descriptor.
    fn with_descriptor() -> Payload {
        let mut reader = FrameReader::new(Form::Full, 0);
        let frame = Frame::message(0, 0).to_bytes();
        reader.buffer().extend_from_slice(&announcement(1));
        reader.buffer().extend_from_slice(&frame);
        reader.push_arrival(vec![std::io::pipe().unwrap().0.into()], false);
        reader.advance();
        reader.take()
    }

    /// X84: file descriptors of queued events are counted, and no more than the limit are read.
    #[test]
    fn descriptors_of_events_have_a_limit() {
        let limits = EventLimits {
            events: usize::MAX,
            bytes: usize::MAX,
            descriptors: 3,
        };
        let mut callbacks = CallbackQueue::new(EventSink::Handler, limits, false);
        callbacks.push(Callback::Event(with_descriptor()));
        callbacks.push(Callback::Event(Vec::new().into()));
        callbacks.push(Callback::Done(Box::new(drop), Ok(with_descriptor())));
        assert!(!callbacks.is_full());
        callbacks.push_stream(with_descriptor());
        assert!(callbacks.is_full());
        callbacks.pop_stream();
        assert!(!callbacks.is_full());
    }
}
