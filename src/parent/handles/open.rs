//! What the handle of a call holds, without its types.

use std::sync::Arc;
use std::time::Instant;

use crate::error::Error;
use crate::parent::maker::Maker;
use crate::parent::target::{Calls, Resident};

pub(crate) enum State {
    Open(Open),
    /// The call was refused. The callback of [`Call::on_done`](crate::Call::on_done) runs there.
    Failed(Error, Arc<dyn Resident>),
    Over,
}

/// A call that is under way, at a child or in a pool.
pub(crate) struct Open {
    calls: Arc<dyn Calls>,
    pub(crate) id: u32,
    maker: Maker,
    deadline: Option<Instant>,
}

impl Open {
    pub(crate) fn new(calls: Arc<dyn Calls>, id: u32) -> Self {
        Self {
            calls,
            id,
            maker: Maker::this(),
            deadline: None,
        }
    }

    /// The call is to be done by `deadline`.
    pub(crate) fn limit(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
        self.calls().set_deadline(self.id, deadline);
        self.check_time();
    }

    /// What it is done through, in this process.
    pub(crate) fn calls(&self) -> &Arc<dyn Calls> {
        self.maker.calls(&self.calls)
    }

    /// Nobody need wait for the helper to notice that it is late.
    pub(crate) fn check_time(&self) {
        if self
            .deadline
            .is_some_and(|deadline| deadline <= Instant::now())
        {
            self.calls().expire(self.id);
        }
    }

    /// Waits for something of this call, no longer than until `until`. What is
    /// waited for comes with the call's own deadline in any case.
    pub(crate) fn wait<T>(
        &self,
        until: Option<Instant>,
        wait: impl Fn(&dyn Calls, u32, Option<Instant>) -> Option<T>,
    ) -> Option<T> {
        let own = self
            .deadline
            .filter(|own| until.is_none_or(|until| *own <= until));
        let found = wait(&**self.calls(), self.id, own.or(until));
        if found.is_some() || own.is_none() {
            return found;
        }
        self.check_time();
        wait(&**self.calls(), self.id, until)
    }
}
