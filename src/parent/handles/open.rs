//! What the handle of a call holds, without its types.

use std::time::Instant;

use crate::error::Error;
use crate::parent::child::terms::{CallDefaults, CallOptions};
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
    deadline: Option<Instant>,
}

impl Open {
    pub(crate) fn new(pending: Pending, defaults: &CallDefaults) -> Self {
        let mut options = CallOptions::default();
        let mut open = Self {
            pending,
            maker: Maker::this(),
            deadline: None,
        };
        if defaults.is_some() {
            defaults.apply(&mut options);
            open.deadline = options.deadline;
            open.call().update(&|own| *own = options);
        }
        open
    }

    /// The call is to be done by `deadline`.
    pub(crate) fn limit(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
        self.call()
            .update(&|options| options.deadline = Some(deadline));
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
            .deadline
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
            .deadline
            .filter(|own| until.is_none_or(|until| *own <= until));
        let found = wait(self.call(), own.or(until));
        if found.is_some() || own.is_none() {
            return found;
        }
        self.check_time();
        wait(self.call(), until)
    }
}
