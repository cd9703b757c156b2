//! What a child and its user say to each other: types that stand below the state
//! of a child, its handles and the pool.

use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::parcel::Payload;
use crate::trace_calls::CallSpan;

/// The bytes of a result, or why there are none.
pub(crate) type Answer = Result<Payload, Error>;

/// What is called with the outcome of a call.
pub(crate) type Callback = Box<dyn FnOnce(Answer) + Send>;

/// What a wait for the events of a call finds.
pub(crate) enum NextEvent {
    /// The bytes of an event, or that some are missing.
    Event(Answer),
    /// There will be none.
    End,
    /// A callback would wait for ever: the call was given up.
    Stuck(Error),
}

/// What a child says of one of its calls.
pub(crate) enum Here<T> {
    Found(T),
    /// The call was given back: it is not this child's any more.
    Moved,
}

/// Why a call was not taken.
pub(crate) enum Refusal {
    /// It would have to wait for room.
    Full,
    /// It fails at once.
    Failed(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// What the user wishes of a call, besides its outcome.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct CallOptions {
    /// By then it is done, or fails.
    pub(crate) deadline: Option<Instant>,
    /// The child is killed if the call is cancelled while it runs.
    pub(crate) kill_on_cancel: bool,
    /// Its events will be read.
    pub(crate) events: bool,
    /// How many times it may run again if its child dies.
    pub(crate) repeats: u32,
}

/// When a call is late.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Limit {
    /// So long after it was made.
    After(Duration),
    At(Instant),
}

impl Limit {
    /// By when what begins now is to be done, and how long that is. `None` if no clock goes so far.
    pub(crate) fn begin(self) -> Option<(Instant, Duration)> {
        let now = Instant::now();
        match self {
            Self::After(time) => Some((now.checked_add(time)?, time)),
            Self::At(deadline) => Some((deadline, deadline.saturating_duration_since(now))),
        }
    }
}

/// What is wished of a handle, besides its calls' outcomes.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct HandleOptions {
    pub(crate) calls: CallDefaults,
    /// The child goes with its handle.
    pub(crate) kill_on_drop: bool,
}

impl HandleOptions {
    pub(crate) fn is_some(&self) -> bool {
        self.calls.is_some() || self.kill_on_drop
    }
}

/// What is wished of each call of a handle, unless the call wishes something else.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct CallDefaults {
    pub(crate) limit: Option<Limit>,
    pub(crate) kill_on_cancel: bool,
    pub(crate) repeats: u32,
}

impl CallDefaults {
    pub(crate) fn is_some(&self) -> bool {
        self.limit.is_some() || self.kill_on_cancel || self.repeats > 0
    }
}

/// What becomes of the outcome of a call.
#[derive(Default)]
pub(crate) enum Completion {
    /// The handle of the call collects it.
    #[default]
    Keep,
    Callback(Callback),
    Discard,
}

impl Completion {
    pub(crate) fn is_callback(&self) -> bool {
        matches!(self, Self::Callback(_))
    }
}

/// All that is wished of a call that a pool sends.
#[derive(Default)]
pub(crate) struct Wishes {
    pub(crate) options: CallOptions,
    pub(crate) completion: Completion,
    /// Is woken when the call is done.
    pub(crate) waker: Option<Waker>,
    /// It was made in this.
    pub(crate) span: CallSpan,
}

/// Takes a call back that its child will not run.
pub(crate) trait Requeue: Send + Sync {
    /// The child has ended, for this reason, and the call is not its affair any
    /// more; it may have started it. Called without locks, by the thread that
    /// noticed.
    fn lost(self: Arc<Self>, error: Error, started: bool);

    /// The call is done, and will not come back. Called without locks.
    fn finished(&self);
}

/// What becomes of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventSink {
    /// Each is an error.
    Nobody,
    /// `on_event`.
    Handler,
    /// A stream of events.
    Stream,
    /// They are dropped.
    Dropped,
}

/// What is called with the bytes of an event.
pub(crate) type OnEvent = Box<dyn FnMut(Payload) -> Result<(), Error> + Send>;

/// The user's callbacks.
pub(crate) struct Handlers {
    pub(crate) on_event: OnEvent,
    pub(crate) on_error: Box<dyn FnMut(Error) + Send>,
    pub(crate) on_destroy: Option<Box<dyn FnOnce() + Send>>,
}
