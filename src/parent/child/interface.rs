//! Types that a child, its handles and the pool exchange. They are below all of them.

use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::base::sync::park_until;
use crate::base::waker::this_thread;
use crate::error::Error;
use crate::message::Payload;
use crate::protocol::Started;
use crate::trace_calls::CallSpan;

/// The bytes of a result, or an error.
pub(crate) type Answer = Result<Payload, Error>;

/// Called with the outcome of a call.
pub(crate) type OnDone = Box<dyn FnOnce(Answer) + Send>;

/// How a value is waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum WaitMode<'a> {
    /// This thread sleeps until the value has arrived, or until this time.
    Thread(Option<Instant>),
    /// A task does not sleep. Its waker is woken when the value may have arrived.
    Task(&'a Waker),
}

impl WaitMode<'_> {
    /// Returns a waker for what waits.
    pub(crate) fn waker(self) -> Waker {
        match self {
            Self::Thread(_) => this_thread(),
            Self::Task(waker) => waker.clone(),
        }
    }

    /// Parks the thread until its waker is woken. Returns false if the time is over, or if a
    /// task waits.
    pub(crate) fn park(self) -> bool {
        let Self::Thread(until) = self else {
            return false;
        };
        let waits = until.is_none_or(|until| until > Instant::now());
        if waits {
            park_until(until);
        }
        waits
    }
}

/// The outcome of a wait for the events of a call.
pub(crate) enum NextEvent {
    /// The bytes of an event, or the error that events are missing.
    Event(Answer),
    /// There will be no more events.
    End,
    /// A callback would wait for ever, so the call was cancelled.
    WouldDeadlock(Error),
}

/// The call was given back to the pool: the child does not have it any more.
#[derive(Debug)]
pub(crate) struct Moved;

/// Why a call was not taken.
pub(crate) enum Refusal {
    /// The call would have to wait for room.
    Full,
    /// The call fails at once.
    Failed(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// The options of a call.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct CallOptions {
    /// The call fails if it is not done by then.
    pub(crate) deadline: Option<Instant>,
    /// The child is killed if the call is cancelled while it runs.
    pub(crate) kill_on_cancel: bool,
    /// The events of the call will be read.
    pub(crate) events: bool,
    /// How many times the call may run again if its child dies.
    pub(crate) repeats: u32,
    /// Whether other children have started the call, if there were attempts.
    pub(crate) earlier: Option<Started>,
}

/// The time limit of a call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum TimeLimit {
    /// This long after the call was made.
    After(Duration),
    At(Instant),
}

impl TimeLimit {
    /// Returns the deadline of a call that is made now, and how long that is. `None` if no clock
    /// goes that far.
    pub(crate) fn begin(self) -> Option<(Instant, Duration)> {
        let now = Instant::now();
        match self {
            Self::After(time) => Some((now.checked_add(time)?, time)),
            Self::At(deadline) => Some((deadline, deadline.saturating_duration_since(now))),
        }
    }
}

/// The options of a handle.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct HandleOptions {
    pub(crate) calls: CallDefaults,
    /// The child is killed when the handle is dropped.
    pub(crate) kill_on_drop: bool,
}

/// The options of all calls of a handle. A call may change its own.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct CallDefaults {
    pub(crate) limit: Option<TimeLimit>,
    pub(crate) kill_on_cancel: bool,
    pub(crate) repeats: u32,
}

/// The receiver of the outcome of a call.
#[derive(Default)]
pub(crate) enum Completion {
    /// The handle of the call takes it.
    #[default]
    Keep,
    Callback(OnDone),
    Discard,
}

impl Completion {
    pub(crate) fn is_callback(&self) -> bool {
        matches!(self, Self::Callback(_))
    }
}

/// How a pool sends a call.
#[derive(Default)]
pub(crate) struct CallSetup {
    pub(crate) options: CallOptions,
    pub(crate) completion: Completion,
    /// Woken when the call is done.
    pub(crate) waker: Option<Waker>,
    /// The span in which the call was made.
    pub(crate) span: CallSpan,
}

/// Takes back a call that its child will not run.
pub(crate) trait Requeue: Send + Sync {
    /// The child has ended with `error`, and does not have the call any more. The thread that
    /// noticed calls this, and holds no lock.
    fn lost(self: Arc<Self>, error: Error, reached: Reached);

    /// The call is done, and will not come back. The caller holds no lock.
    fn finished(&self);
}

/// How far a call came in a child that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reached {
    /// It waited behind another.
    Waiting,
    /// It was the next, and no call ran: the child may have ended because it received this one.
    Receiving,
    /// It ran, or may have.
    Running,
}

/// The receiver of the events of a child.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventSink {
    /// Each event is an error.
    #[default]
    Unhandled,
    /// `on_event`.
    Handler,
    /// A stream of events.
    Stream,
    /// Events are dropped.
    Dropped,
}

/// Called with the bytes of an event.
pub(crate) type OnEvent = Box<dyn FnMut(Payload) -> Result<(), Error> + Send>;

/// The user's callbacks.
pub(crate) struct Handlers {
    pub(crate) on_event: OnEvent,
    pub(crate) on_error: Box<dyn FnMut(Error) + Send>,
    pub(crate) on_destroy: Option<Box<dyn FnOnce() + Send>>,
}
