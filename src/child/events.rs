//! Events: what a child says without being asked.

use std::convert::Infallible;
use std::sync::Arc;

use offspring_serialisers::{Error as SerialiserError, Output};

use super::outgoing::{Outgoing, Unsent, start};
use crate::error::Error;

/// The events of a worker that has none. There is no such value.
///
/// ```
/// # use offspring::{NoEvents, Octets, Worker};
/// // A worker without events is one with these.
/// fn name(worker: &'static Worker<fn(String) -> String>) -> String {
///     let worker: &Worker<fn(String) -> String, Octets, NoEvents> = worker;
///     format!("{worker:?}")
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoEvents {}

impl From<NoEvents> for Infallible {
    fn from(event: NoEvents) -> Self {
        match event {}
    }
}

/// How an event becomes octets.
pub(crate) type EncodeEvent<E> = fn(&E, &mut Output<'_>) -> Result<(), SerialiserError>;

/// Sends events from a child to its parent.
///
/// A worker's function (and its `init`) receives a reference to one as its last
/// argument. It can be cloned and used from any thread of the child. The parent
/// sees events and results in exactly the order in which they were made.
///
/// ```
/// use offspring::{Events, worker};
///
/// fn count(to: String, events: &Events<String>) -> String {
///     for n in 1..=to.parse().unwrap_or(0) {
///         events.send(format!("{n} of {to}")).expect("the parent is there");
///     }
///     "done".into()
/// }
/// worker!(COUNT: fn(String) -> String = count, events = String);
///
/// fn main() -> Result<(), offspring::Error> {
///     offspring::init();
///     let (rpc, events) = COUNT.builder().spawn_with_events()?;
///     assert_eq!(rpc.call("2").wait()?, "done");
///     rpc.join().wait()?;
///     let events: Vec<_> = events.into_iter().collect::<Result<_, _>>()?;
///     assert_eq!(events, ["1 of 2", "2 of 2"]);
///     Ok(())
/// }
/// ```
pub struct Events<E = NoEvents> {
    outgoing: Arc<Outgoing>,
    encode: EncodeEvent<E>,
}

impl<E> Clone for Events<E> {
    fn clone(&self) -> Self {
        Self {
            outgoing: Arc::clone(&self.outgoing),
            encode: self.encode,
        }
    }
}

impl<E> std::fmt::Debug for Events<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}

impl<E> Events<E> {
    pub(crate) fn new(outgoing: &Arc<Outgoing>, encode: EncodeEvent<E>) -> Self {
        Self {
            outgoing: Arc::clone(outgoing),
            encode,
        }
    }

    /// Sends an event: when this returns it is in the socket, or where the parent
    /// finds it if this process dies.
    ///
    /// ```
    /// use offspring::Events;
    ///
    /// fn work(events: &Events<String>) -> String {
    ///     match events.send("half of it is done".into()) {
    ///         Ok(()) => "done".into(),
    ///         Err(error) => error.to_string(),
    ///     }
    /// }
    /// # offspring::worker!(WORK: fn() -> String = work, events = String);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// # let rpc = WORK.on_event(|_| ()).spawn()?;
    /// # assert_eq!(rpc.call().wait()?, "done");
    /// # Ok(()) }
    /// ```
    ///
    /// # Blocking
    ///
    /// While the parent's limits are reached and the socket is full.
    ///
    /// # Errors
    ///
    /// The event could not be encoded, is longer than the parent takes, or the
    /// parent is gone. Nothing was sent then.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "an event is given away, as with every sender"
    )]
    pub fn send(&self, event: E) -> Result<(), Error> {
        let mut frame = Vec::new();
        start(&mut frame);
        (self.encode)(&event, &mut Output::new(&mut frame))
            .map_err(|error| Error::encode(&error))?;
        self.outgoing.event(&mut frame).map_err(|unsent| match unsent {
            Unsent::TooLong(limit) => Error::too_long(format!("the event has more than {limit} octets, which is the limit; raise `max_message`")),
            Unsent::Gone => Error::closed(),
        })
    }
}
