//! Events: messages from a child that answer no call.

use std::sync::Arc;

use offspring_serialisers::{Error as SerialiserError, Output};

use super::reply_writer::{CallWithEvents, ReplyWriter, SendError};
use crate::error::Error;
use crate::message::Message;
use crate::protocol::{Failure, Form};
use crate::signature::NoEvents;

/// Encodes an event.
pub(crate) type EncodeEvent<E> = fn(&E, &mut Output<'_>) -> Result<(), SerialiserError>;

/// Sends events from a child to its parent.
///
/// A worker's function, and its `init`, receive a reference to it as the last argument. It can be cloned, and used from
/// any thread of the child. The parent receives events and results in the order in which they were sent.
///
/// ```
/// use offspring::{Events, worker};
///
/// fn count(to: String, events: &Events<String>) -> String {
///     for n in 1..=to.parse().unwrap_or(0) {
///         events.send(format!("{n} of {to}")).expect("the parent is alive");
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
    reply_writer: Arc<ReplyWriter>,
    encode: EncodeEvent<E>,
    /// The call whose function received it.
    call: Option<Arc<CallWithEvents>>,
}

impl<E> Clone for Events<E> {
    fn clone(&self) -> Self {
        Self {
            reply_writer: Arc::clone(&self.reply_writer),
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
    pub(crate) fn new(reply_writer: &Arc<ReplyWriter>, encode: EncodeEvent<E>) -> Self {
        Self {
            reply_writer: Arc::clone(reply_writer),
            encode,
            call: None,
        }
    }

    /// Binds it to this call. Its clones stay with their calls.
    pub(super) fn begin_call(&mut self, id: u32) {
        match self.call.as_mut().and_then(Arc::get_mut) {
            Some(open_call) => *open_call = CallWithEvents::new(id),
            None => self.call = Some(Arc::new(CallWithEvents::new(id))),
        }
    }

    /// Returns the state of its call.
    pub(super) fn open_call(&self, id: u32) -> Arc<CallWithEvents> {
        let open_call = self.call.as_ref().filter(|open_call| open_call.id == id);
        open_call.map_or_else(|| Arc::new(CallWithEvents::new(id)), Arc::clone)
    }

    /// Ends the events of its call, which is about to be answered.
    pub(super) fn end_call(&self) {
        // The owner of the only reference is this thread.
        if let Some(open_call) = &self.call
            && Arc::strong_count(open_call) > 1
        {
            self.reply_writer.close_call(open_call);
        }
    }

    /// Sends an event. When this returns, the parent will receive the event even if this process is killed.
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
    /// While the link is full, because the parent does not read.
    ///
    /// # Errors
    ///
    /// The event could not be encoded or is longer than the parent's `max_message`, or the parent has exited. The event
    /// was not sent then.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "an event is given away, as with every sender"
    )]
    #[doc(alias = "event")]
    #[doc(alias = "flush")]
    pub fn send(&self, event: E) -> Result<(), Error> {
        let mut message = self.message(&event)?;
        let sent = self.reply_writer.message(0, &mut message);
        message.recycle();
        sent.map_err(to_error)
    }

    /// Sends an event of the call whose function received this. It arrives at the handle of that call, before its result.
    /// Otherwise like [`send`](Self::send).
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
    /// Those of [`send`](Self::send). It also fails in `init`, after the call was answered, and if the parent speaks the
    /// plain form, which has no events of calls.
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
        if self.reply_writer.form == Form::Plain {
            return Err(Error::refused(
                "the parent speaks the plain form, which has no events of one call",
            ));
        }
        let mut message = self.message(&event)?;
        let sent = self.reply_writer.call_event(call, &mut message);
        message.recycle();
        sent.map_err(to_error)
    }

    fn message(&self, event: &E) -> Result<Message, Error> {
        let mut message = Message::new();
        let encoded = (self.encode)(event, &mut message.output(self.reply_writer.carries()));
        encoded.map_err(|error| Error::encode("the event", error))?;
        Ok(message)
    }
}

fn to_error(unsent: SendError) -> Error {
    match unsent {
        SendError::TooLong(limit) => Error::too_long(format_args!(
            "the event has more than {limit} bytes, which is the limit; raise `max_message`"
        )),
        SendError::TooMany(count, most) => Failure::too_many("the event", count, most).into(),
        SendError::ParentGone(_) => Error::parent_is_gone(),
        SendError::CallOver => Error::refused("the call that the event belongs to was answered"),
    }
}
