//! Where the children of a pool come from: one way of starting them.

use std::sync::{Mutex, PoisonError};

use super::super::member::{EventSink, Handlers, Member};
use super::super::start::Plan;
use crate::error::Error;

/// See the module.
pub(super) struct Launcher {
    plan: Mutex<Plan>,
    carries: bool,
    sink: EventSink,
    handlers: Box<dyn Fn() -> Handlers + Send + Sync>,
}

impl Launcher {
    pub(super) fn new(
        plan: Plan,
        sink: EventSink,
        handlers: Box<dyn Fn() -> Handlers + Send + Sync>,
    ) -> Self {
        Self {
            carries: plan.may_carry(),
            plan: Mutex::new(plan),
            sink,
            handlers,
        }
    }

    /// Descriptors can go along with calls.
    pub(super) fn carries_descriptors(&self) -> bool {
        self.carries
    }

    /// Starts a child.
    ///
    /// # Blocking
    ///
    /// Until it runs, and while others of this launcher are being started.
    pub(super) fn start(&self) -> Result<Member, Error> {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        Member::start(&mut plan, self.sink, (self.handlers)())
    }

    /// Tells the user that a start has failed.
    pub(super) fn report(&self, error: Error) {
        ((self.handlers)().on_error)(error);
    }
}
