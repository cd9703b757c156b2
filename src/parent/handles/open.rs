//! What the handle of a call holds, without its types.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::decode::unpack;
use crate::error::{ChildId, Error};
use crate::parcel::Decode;
use crate::parent::child::terms::{Answer, CallDefaults, Limit};
use crate::parent::forked::{self, Reach};
use crate::parent::maker::Maker;
use crate::parent::target::{Pending, PendingCall};

pub(crate) enum State {
    Open(Open),
    /// The call was refused. The callback of [`Call::on_done`](crate::Call::on_done) runs there.
    Failed(Error, Reach),
    Over,
}

/// A call that is under way, at a child or in a pool.
pub(crate) struct Open {
    pending: Pending,
    maker: Maker,
    /// By when it is to be done, and how long that was when it was said.
    limit: Option<(Instant, Duration)>,
}

impl Open {
    pub(crate) fn new(pending: Pending, defaults: CallDefaults) -> Self {
        let mut open = Self {
            pending,
            maker: Maker::this(),
            limit: None,
        };
        if defaults.is_some() {
            open.limit = defaults.limit.and_then(Limit::begin);
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

    /// When the call is late.
    pub(crate) fn limit(&mut self, limit: Option<Limit>) {
        self.limit = limit.and_then(Limit::begin);
        let deadline = self.deadline();
        self.call().update(&|options| options.deadline = deadline);
        self.check_time();
    }

    /// The call; in a copy of the process that made it, one that is lost.
    pub(crate) fn call(&self) -> &dyn PendingCall {
        if self.maker.is_this() {
            self.pending.call()
        } else {
            forked::call()
        }
    }

    /// Ends the call if it is late, before the helper notices.
    pub(crate) fn check_time(&self) {
        if self
            .deadline()
            .is_some_and(|deadline| deadline <= Instant::now())
        {
            self.call().expire();
        }
    }

    /// Waits for something of this call, no longer than until `until`. What is
    /// waited for comes with the call's own deadline in any case.
    pub(crate) fn wait<T>(
        &self,
        until: Option<Instant>,
        wait: impl Fn(&dyn PendingCall, Option<Instant>) -> Option<T>,
    ) -> Option<T> {
        let own = self
            .deadline()
            .filter(|own| until.is_none_or(|until| *own <= until));
        let found = wait(self.call(), own.or(until));
        if found.is_some() || own.is_none() {
            return found;
        }
        self.check_time();
        wait(self.call(), until)
    }
}

impl Open {
    /// What its errors are told on their way to the user.
    pub(crate) fn context(&self) -> Context {
        Context {
            child: self.call().child_id(),
            time: self.limit.map(|(_, time)| time),
        }
    }

    /// A wait for its answer was too short.
    pub(crate) fn unanswered(&self, time: Duration) -> Error {
        let error = Error::unanswered(self.call().has_started(), time);
        self.context().tell(error)
    }
}

/// Which child, and how much time, an error of a call is about.
#[derive(Default)]
pub(crate) struct Context {
    child: Option<Arc<ChildId>>,
    time: Option<Duration>,
}

impl Context {
    pub(crate) fn tell(&self, error: Error) -> Error {
        error.within(self.time).about(self.child.as_ref())
    }
}

/// The value of what came for a call; an error is told its `context`.
pub(crate) fn result<R>(
    answer: Answer,
    decode: Decode<R>,
    context: impl FnOnce() -> Context,
) -> Result<R, Error> {
    let value = answer.and_then(|payload| unpack(payload, decode, "the result"));
    value.map_err(|error| context().tell(error))
}
