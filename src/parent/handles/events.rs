//! Streams and iterators of events: those of a child, and those of a call.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::open_call::{CallState, unpack};
use crate::error::Error;
use crate::message::Decode;
use crate::parent::child::child_io::ChildIo;
use crate::parent::child::driver::Driver;
use crate::parent::child::interface::{NextEvent, OnEvent, WaitMode};
use crate::parent::child::state::ChildState;
use crate::parent::child::state::waiters::WaitFor;
use crate::parent::forked::{self, ClientRef};

/// The events of a child, in the order in which it sent them. It is a [`Stream`], and with [`IntoIterator`] an iterator whose
/// `next` blocks. It ends when the child is gone.
///
/// From [`Builder::spawn_with_events`](crate::Builder::spawn_with_events). Its queue is bounded. If it is not read,
/// backpressure slows the child down, and in the end delays answers, too.
///
/// ```
/// # fn count(to: String, events: &offspring::Events<String>) {
/// #     for n in 0..to.parse().unwrap_or(0) {
/// #         events.send(n.to_string()).expect("the parent runs");
/// #     }
/// # }
/// # offspring::worker!(COUNT: fn(String) = count, events = String);
/// # fn main() -> Result<(), offspring::Error> {
/// # offspring::init();
/// use futures_lite::StreamExt;
///
/// let (rpc, mut events) = COUNT.builder().spawn_with_events()?;
/// rpc.call("1").detach()?;
/// let first = futures_lite::future::block_on(events.next());
/// assert_eq!(first.expect("an event")?, "0");
/// # Ok(()) }
/// ```
pub struct EventStream<E> {
    driver: Arc<Driver<ChildIo>>,
    decode: Decode<E>,
    /// Whether the error for use in a forked process was returned.
    ended: bool,
}

impl<E> std::fmt::Debug for EventStream<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EventStream")
    }
}

impl<E> EventStream<E> {
    pub(crate) fn new(driver: Arc<Driver<ChildIo>>, decode: Decode<E>) -> Self {
        Self {
            driver,
            decode,
            ended: false,
        }
    }

    /// Waits for the next event, or for the end. In a forked copy of the process, finds an error
    /// once, and then the end.
    fn wait_for_event(&mut self, mode: WaitMode<'_>) -> Option<Option<Result<E, Error>>> {
        let event = if self.driver.is_here() {
            let found = self
                .driver
                .wait(WaitFor::Change, mode, ChildState::next_event);
            found?.decode(self.decode)
        } else {
            let first = !std::mem::replace(&mut self.ended, true);
            first.then(|| Err(forked::refusal()))
        };
        Some(event.map(|event| event.map_err(|error| error.about(&self.driver.child))))
    }
}

impl<E> Drop for EventStream<E> {
    fn drop(&mut self) {
        if self.driver.is_here() {
            self.driver.change(|state| state.callbacks.drop_stream());
        }
    }
}

impl<E> Stream for EventStream<E> {
    type Item = Result<E, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let found = self.wait_for_event(WaitMode::Task(context.waker()));
        found.map_or(Poll::Pending, Poll::Ready)
    }
}

impl<E> IntoIterator for EventStream<E> {
    type Item = Result<E, Error>;
    type IntoIter = EventIter<E>;

    fn into_iter(self) -> EventIter<E> {
        EventIter(self)
    }
}

/// A blocking iterator over events, from an [`EventStream`].
///
/// ```
/// # fn count(to: String, events: &offspring::Events<String>) {
/// #     for n in 0..to.parse().unwrap_or(0) {
/// #         events.send(n.to_string()).expect("the parent runs");
/// #     }
/// # }
/// # offspring::worker!(COUNT: fn(String) = count, events = String);
/// # fn main() -> Result<(), offspring::Error> {
/// # offspring::init();
/// let (rpc, events) = COUNT.builder().spawn_with_events()?;
/// rpc.call("1").detach()?;
/// drop(rpc);
/// for event in events {
///     assert_eq!(event?, "0");
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct EventIter<E>(EventStream<E>);

impl<E> Iterator for EventIter<E> {
    type Item = Result<E, Error>;

    /// Blocks until an event arrives, or until the child is gone.
    fn next(&mut self) -> Option<Self::Item> {
        self.0.wait_for_event(WaitMode::Thread(None)).flatten()
    }
}

impl NextEvent {
    fn decode<E>(self, decode: Decode<E>) -> Option<Result<E, Error>> {
        match self {
            Self::Event(event) => {
                Some(event.and_then(|payload| unpack(payload, decode, "an event")))
            }
            Self::WouldDeadlock(error) => Some(Err(error)),
            Self::End => None,
        }
    }
}

/// Returns the function that decodes each event and calls `handler` with it.
pub(crate) fn handle_events<E: 'static>(
    handler: Option<Box<dyn FnMut(E) + Send>>,
    decode: Decode<E>,
) -> OnEvent {
    match handler {
        Some(mut handler) => {
            Box::new(move |payload| unpack(payload, decode, "an event").map(&mut handler))
        }
        None => Box::new(|_| Err(Error::unhandled())),
    }
}

/// The events of a call, in order. It is a [`Stream`], and with [`IntoIterator`] an iterator whose `next` blocks. It ends
/// when the call is done.
///
/// From [`Call::events`](crate::Call::events).
///
/// ```
/// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text, events = String);
/// # fn main() -> Result<(), offspring::Error> {
/// # offspring::init();
/// use futures_lite::{StreamExt, future::block_on};
///
/// let rpc = ECHO.spawn()?;
/// let mut call = rpc.call("so");
/// let mut events = call.events();
/// // This worker sends no events.
/// assert!(block_on(events.next()).is_none());
/// assert_eq!(call.wait()?, "so");
/// # Ok(()) }
/// ```
pub struct CallEvents<'a, E> {
    state: &'a mut CallState,
    decode: Decode<E>,
}

impl<E> std::fmt::Debug for CallEvents<'_, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CallEvents")
    }
}

impl<'a, E> CallEvents<'a, E> {
    pub(crate) fn new(state: &'a mut CallState, decode: Decode<E>) -> Self {
        if let CallState::Open(open) = &*state {
            open.call().update(&|options| options.events = true);
        }
        Self { state, decode }
    }

    /// Waits for the next event, or for the end. A call that has ended has no further event.
    fn wait_for_event(&mut self, mode: WaitMode<'_>) -> Option<Option<Result<E, Error>>> {
        let CallState::Open(open) = &*self.state else {
            return Some(None);
        };
        let found = open.wait(mode, |call, mode| call.wait_event(mode))?;
        let context = open.context();
        if let NextEvent::WouldDeadlock(error) = &found {
            let error = context.tell(error.clone());
            *self.state = CallState::Failed(error, ClientRef::new(open.call().client()));
        }
        let event = found.decode(self.decode);
        Some(event.map(|event| event.map_err(|error| context.tell(error))))
    }
}

impl<E> Stream for CallEvents<'_, E> {
    type Item = Result<E, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let found = self.wait_for_event(WaitMode::Task(context.waker()));
        found.map_or(Poll::Pending, Poll::Ready)
    }
}

impl<'a, E> IntoIterator for CallEvents<'a, E> {
    type Item = Result<E, Error>;
    type IntoIter = CallEventIter<'a, E>;

    fn into_iter(self) -> CallEventIter<'a, E> {
        CallEventIter(self)
    }
}

/// A blocking iterator over the events of a call, from [`CallEvents`].
///
/// ```
/// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text, events = String);
/// # fn main() -> Result<(), offspring::Error> {
/// # offspring::init();
/// let rpc = ECHO.spawn()?;
/// let mut call = rpc.call("so");
/// for event in call.events() {
///     println!("{}", event?);
/// }
/// assert_eq!(call.wait()?, "so");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct CallEventIter<'a, E>(CallEvents<'a, E>);

impl<E> Iterator for CallEventIter<'_, E> {
    type Item = Result<E, Error>;

    /// Blocks until an event arrives, or until the call is done.
    fn next(&mut self) -> Option<Self::Item> {
        self.0.wait_for_event(WaitMode::Thread(None)).flatten()
    }
}
