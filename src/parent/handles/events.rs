//! Events, for whoever reads them: those of a child, and those of one call.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::decode::unpack;
use super::open::State;
use crate::error::Error;
use crate::parcel::Decode;
use crate::parent::child::connection::Connection;
use crate::parent::child::driver::Driver;
use crate::parent::child::state::Core;
use crate::parent::child::state::waiting::Want;
use crate::parent::child::terms::{NextEvent, OnEvent};
use crate::parent::forked::{self, Reach};

/// The events of a child, in its order: a [`Stream`], and by [`IntoIterator`]
/// an iterator whose `next` blocks. It ends when the child is gone.
///
/// From [`Builder::spawn_with_events`](crate::Builder::spawn_with_events). The
/// queue behind it is bounded: if it is not read, the child is slowed down, and
/// in the end answers do not come through either.
///
/// ```
/// # fn count(to: String, events: &offspring::Events<String>) {
/// #     for n in 0..to.parse().unwrap_or(0) {
/// #         events.send(n.to_string()).expect("the parent is there");
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
    driver: Arc<Driver<Connection>>,
    decode: Decode<E>,
    /// It was said that this is another process.
    ended: bool,
}

impl<E> std::fmt::Debug for EventStream<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EventStream")
    }
}

impl<E> EventStream<E> {
    pub(crate) fn new(driver: Arc<Driver<Connection>>, decode: Decode<E>) -> Self {
        Self {
            driver,
            decode,
            ended: false,
        }
    }

    fn read(&self, event: NextEvent) -> Option<Result<E, Error>> {
        let event = event.decode(self.decode)?;
        Some(event.map_err(|error| error.about(&self.driver.child)))
    }

    /// In a copy of the process that `fork` made: an error, and then the end.
    fn end_here(&mut self) -> Option<Result<E, Error>> {
        let first = !std::mem::replace(&mut self.ended, true);
        first.then(|| Err(forked::refusal().about(&self.driver.child)))
    }
}

impl<E> Drop for EventStream<E> {
    fn drop(&mut self) {
        if self.driver.is_here() {
            self.driver.change(|core| core.delivery.drop_stream());
        }
    }
}

impl<E> Stream for EventStream<E> {
    type Item = Result<E, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.driver.is_here() {
            return Poll::Ready(self.end_here());
        }
        let polled = self.driver.poll(Want::Change, context, Core::next_event);
        polled.map(|event| self.read(event))
    }
}

impl<E> IntoIterator for EventStream<E> {
    type Item = Result<E, Error>;
    type IntoIter = EventIter<E>;

    fn into_iter(self) -> EventIter<E> {
        EventIter(self)
    }
}

/// Waits for events, one after the other; from an [`EventStream`].
///
/// ```
/// # fn count(to: String, events: &offspring::Events<String>) {
/// #     for n in 0..to.parse().unwrap_or(0) {
/// #         events.send(n.to_string()).expect("the parent is there");
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

    /// Blocks until an event comes, or until the child is gone.
    fn next(&mut self) -> Option<Self::Item> {
        if !self.0.driver.is_here() {
            return self.0.end_here();
        }
        let event = self.0.driver.wait(Want::Change, None, Core::next_event);
        self.0.read(event?)
    }
}

impl NextEvent {
    fn decode<E>(self, decode: Decode<E>) -> Option<Result<E, Error>> {
        match self {
            Self::Event(event) => {
                Some(event.and_then(|payload| unpack(payload, decode, "an event")))
            }
            Self::Stuck(error) => Some(Err(error)),
            Self::End => None,
        }
    }
}

/// What is called with the bytes of each event.
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

/// The events of one call, in order: a [`Stream`], and by [`IntoIterator`] an
/// iterator whose `next` blocks. It ends when the call is done.
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
/// // This worker sends none.
/// assert!(block_on(events.next()).is_none());
/// assert_eq!(call.wait()?, "so");
/// # Ok(()) }
/// ```
pub struct CallEvents<'a, E> {
    state: &'a mut State,
    decode: Decode<E>,
}

impl<E> std::fmt::Debug for CallEvents<'_, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CallEvents")
    }
}

impl<'a, E> CallEvents<'a, E> {
    pub(crate) fn new(state: &'a mut State, decode: Decode<E>) -> Self {
        if let State::Open(open) = &*state {
            open.call().update(&|options| options.events = true);
        }
        Self { state, decode }
    }

    fn finish(&mut self, found: NextEvent) -> Option<Result<E, Error>> {
        let State::Open(open) = &*self.state else {
            return found.decode(self.decode);
        };
        let context = open.context();
        if let NextEvent::Stuck(error) = &found {
            let error = context.tell(error.clone());
            *self.state = State::Failed(error, Reach::new(open.call().origin()));
        }
        let event = found.decode(self.decode)?;
        Some(event.map_err(|error| context.tell(error)))
    }
}

impl<E> Stream for CallEvents<'_, E> {
    type Item = Result<E, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let State::Open(open) = &*self.state else {
            return Poll::Ready(None);
        };
        open.check_time();
        let polled = open.call().poll_event(context);
        polled.map(|found| self.finish(found))
    }
}

impl<'a, E> IntoIterator for CallEvents<'a, E> {
    type Item = Result<E, Error>;
    type IntoIter = CallEventIter<'a, E>;

    fn into_iter(self) -> CallEventIter<'a, E> {
        CallEventIter(self)
    }
}

/// Waits for the events of one call, one after the other; from [`CallEvents`].
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

    /// Blocks until an event comes, or until the call is done.
    fn next(&mut self) -> Option<Self::Item> {
        let State::Open(open) = &*self.0.state else {
            return None;
        };
        let found = open.wait(None, |call, until| call.wait_event(until))?;
        self.0.finish(found)
    }
}
