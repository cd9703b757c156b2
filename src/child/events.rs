//! Events: what a child says without being asked.

use std::sync::Arc;

use offspring_serialisers::{Error as SerialiserError, Output};

use super::outgoing::{Open, Outgoing, Unsent};
use crate::error::Error;
use crate::parcel::Parcel;
use crate::protocol::{Failure, Form};
use crate::signature::NoEvents;

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
    /// The call that it was handed to.
    call: Option<Arc<Open>>,
}

impl<E> Clone for Events<E> {
    fn clone(&self) -> Self {
        Self {
            outgoing: Arc::clone(&self.outgoing),
            encode: self.encode,
            call: self.call.clone(),
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
            call: None,
        }
    }

    /// From now on it belongs to this call; its clones stay where they are.
    pub(super) fn enter(&mut self, id: u32) {
        match self.call.as_mut().and_then(Arc::get_mut) {
            Some(open) => *open = Open::new(id),
            None => self.call = Some(Arc::new(Open::new(id))),
        }
    }

    /// The call that it belongs to.
    pub(super) fn open(&self, id: u32) -> Arc<Open> {
        let open = self.call.as_ref().filter(|open| open.id == id);
        open.map_or_else(|| Arc::new(Open::new(id)), Arc::clone)
    }

    /// The call that it belongs to is about to be answered.
    pub(super) fn leave(&self) {
        // Who has the only one cannot use it meanwhile.
        if let Some(open) = &self.call
            && Arc::strong_count(open) > 1
        {
            self.outgoing.end(open);
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
        let mut parcel = self.parcel(&event)?;
        let sent = self.outgoing.event(&mut parcel);
        parcel.recycle();
        sent.map_err(error_of)
    }

    /// Sends an event that belongs to the call this was handed to: it arrives
    /// at the handle of that call, and before its result. Otherwise like
    /// [`send`](Self::send).
    ///
    /// ```
    /// use offspring::{Error, Events};
    ///
    /// fn copy(files: &[String], events: &Events<String>) -> Result<(), Error> {
    ///     for file in files {
    ///         events.progress(format!("copying {file}"))?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Blocking
    ///
    /// As [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send). Besides, there must be such a call: it is an
    /// error in `init`, after the call was answered, and under a parent that speaks
    /// the plain form, which knows events of the child only.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "an event is given away, as with every sender"
    )]
    pub fn progress(&self, event: E) -> Result<(), Error> {
        let Some(call) = &self.call else {
            return Err(Error::refused(
                "there is no call that the event could belong to",
            ));
        };
        if self.outgoing.form() == Form::Plain {
            return Err(Error::refused(
                "the parent speaks the plain form, which has no events of one call",
            ));
        }
        let mut parcel = self.parcel(&event)?;
        let sent = self.outgoing.call_event(call, &mut parcel);
        parcel.recycle();
        sent.map_err(error_of)
    }

    fn parcel(&self, event: &E) -> Result<Parcel, Error> {
        let mut parcel = Parcel::new();
        let encoded = (self.encode)(event, &mut parcel.output(self.outgoing.carries()));
        encoded.map_err(|error| Error::encode("the event", error))?;
        Ok(parcel)
    }
}

fn error_of(unsent: Unsent) -> Error {
    match unsent {
        Unsent::TooLong(limit) => Error::too_long(format_args!(
            "the event has more than {limit} bytes, which is the limit; raise `max_message`"
        )),
        Unsent::TooMany(count, most) => Failure::too_many("the event", count, most).into(),
        Unsent::Gone => Error::parent_is_gone(),
        Unsent::Over => Error::refused("the call that the event belongs to was answered"),
    }
}
