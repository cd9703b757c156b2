//! The state of a call's handle, without the types of its values.

use std::sync::Arc;
use std::time::{Duration, Instant};

use offspring_serialisers::Error as SerialiserError;

use crate::base::panics::catch_panic;
use crate::error::{ChildId, Error};
use crate::message::{Decode, Payload, read};
use crate::parent::child::interface::{Answer, CallDefaults, TimeLimit, WaitMode};
use crate::parent::client::{AnyCall, PendingCall};
use crate::parent::creator::Creator;
use crate::parent::forked::{self, ClientRef};

pub(crate) enum CallState {
    Open(OpenCall),
    /// The call was refused. The callback of [`Call::on_done`](crate::Call::on_done) runs at this client.
    Failed(Error, ClientRef),
    Over,
}

/// A call that is in flight, at a child or in a pool.
pub(crate) struct OpenCall {
    pending: AnyCall,
    creator: Creator,
    /// The deadline, and the time from setting it to the deadline.
    limit: Option<(Instant, Duration)>,
}

impl OpenCall {
    pub(crate) fn new(pending: AnyCall, defaults: CallDefaults) -> Self {
        let mut open = Self {
            pending,
            creator: Creator::current(),
            limit: None,
        };
        if defaults != CallDefaults::default() {
            open.limit = defaults.limit.and_then(TimeLimit::begin);
            let deadline = open.deadline();
            open.call().update(&|options| {
                options.deadline = deadline;
                options.kill_on_cancel = defaults.kill_on_cancel;
                options.repeats = defaults.repeats;
            });
        }
        open
    }

    fn deadline(&self) -> Option<Instant> {
        self.limit.map(|(deadline, _)| deadline)
    }

    /// Sets when the call times out.
    pub(crate) fn limit(&mut self, limit: Option<TimeLimit>) {
        self.limit = limit.and_then(TimeLimit::begin);
        let deadline = self.deadline();
        self.call().update(&|options| options.deadline = deadline);
        self.check_time();
    }

    /// Returns the call. In a forked copy of the process that made it, returns a call that has failed.
    pub(crate) fn call(&self) -> &dyn PendingCall {
        if self.creator.is_current() {
            self.pending.call()
        } else {
            forked::call()
        }
    }

    /// Ends the call if its deadline has passed, without waiting for the reactor to do so.
    fn check_time(&self) {
        if self
            .deadline()
            .is_some_and(|deadline| deadline <= Instant::now())
        {
            self.call().expire();
        }
    }

    /// Waits with `wait`. If the call's deadline comes first, ends the call at the deadline, and returns its outcome.
    pub(crate) fn wait<T>(
        &self,
        mode: WaitMode<'_>,
        wait: impl Fn(&dyn PendingCall, WaitMode<'_>) -> Option<T>,
    ) -> Option<T> {
        if let WaitMode::Thread(until) = mode
            && let Some(own) = self.deadline()
            && until.is_none_or(|until| own <= until)
        {
            let found = wait(self.call(), WaitMode::Thread(Some(own)));
            if found.is_some() {
                return found;
            }
        }
        self.check_time();
        wait(self.call(), mode)
    }

    /// Returns the context that is added to its errors.
    pub(crate) fn context(&self) -> ErrorContext {
        ErrorContext {
            child: self.call().child_id(),
            time: self.limit.map(|(_, time)| time),
        }
    }

    /// Returns the error of a wait that ended after `time` without an answer.
    pub(crate) fn unanswered(&self, time: Duration) -> Error {
        let error = Error::unanswered(self.call().has_started(), time);
        self.context().tell(error)
    }
}

/// The child and the timeout of a call, for its errors.
#[derive(Default)]
pub(crate) struct ErrorContext {
    child: Option<Arc<ChildId>>,
    time: Option<Duration>,
}

impl ErrorContext {
    pub(crate) fn tell(&self, error: Error) -> Error {
        error.within(self.time).about(self.child.as_ref())
    }
}

/// Decodes the answer of a call. Adds `context` to an error.
pub(crate) fn result<R>(
    answer: Answer,
    decode: Decode<R>,
    context: impl FnOnce() -> ErrorContext,
) -> Result<R, Error> {
    let value = answer.and_then(|payload| unpack(payload, decode, "the result"));
    value.map_err(|error| context().tell(error))
}

/// Decodes a payload. `what` names it in errors: the result, or an event. A panic of the decoder is returned as an error.
pub(super) fn unpack<T>(payload: Payload, decode: Decode<T>, what: &str) -> Result<T, Error> {
    let decoded = payload.hand_out(|received| catch_panic(|| read(received, decode)));
    let decoded = decoded.unwrap_or_else(|panic| Err(SerialiserError::new(panic)));
    decoded.map_err(|error| Error::decode(what, error))
}
