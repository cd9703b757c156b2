//! One call of one child.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::connection::Connection;
use super::driver::Driver;
use super::state::Core;
use super::state::waiting::Want;
use super::terms::{Answer, Completion, Here, NextEvent};

/// See the module.
#[derive(Clone)]
pub(crate) struct ChildCall {
    driver: Arc<Driver<Connection>>,
    id: u32,
}

impl ChildCall {
    pub(crate) fn new(driver: Arc<Driver<Connection>>, id: u32) -> Self {
        Self { driver, id }
    }

    pub(crate) fn driver(&self) -> &Arc<Driver<Connection>> {
        &self.driver
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Returns whether that is the same call.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.driver, &other.driver) && self.id == other.id
    }

    /// Waits for the outcome; `None` once it is `until`.
    pub(crate) fn wait(&self, until: Option<Instant>) -> Option<Here<Answer>> {
        let take = |core: &mut Core| collect(core, self.id);
        self.driver.wait(Want::Call(self.id), until, take)
    }

    /// The same for a task.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<Here<Answer>> {
        let take = |core: &mut Core| collect(core, self.id);
        self.driver.poll(Want::Call(self.id), context, take)
    }

    /// Waits for the next event; `None` once it is `until`.
    pub(crate) fn wait_event(&self, until: Option<Instant>) -> Option<Here<NextEvent>> {
        let take = |core: &mut Core| next_event(core, self.id);
        self.driver.wait(Want::Call(self.id), until, take)
    }

    /// The same for a task.
    pub(crate) fn poll_event(&self, context: &mut Context<'_>) -> Poll<Here<NextEvent>> {
        let take = |core: &mut Core| next_event(core, self.id);
        self.driver.poll(Want::Call(self.id), context, take)
    }

    /// Says what becomes of the outcome.
    pub(crate) fn entrust(&self, completion: Completion) {
        self.driver.change(|core| core.entrust(self.id, completion));
    }
}

fn collect(core: &mut Core, id: u32) -> Option<Here<Answer>> {
    if let Some(outcome) = core.collect(id) {
        return Some(Here::Found(outcome));
    }
    if !core.knows(id) {
        return Some(Here::Moved);
    }
    let stuck = core.delivery.is_stuck_here();
    stuck.then(|| Here::Found(Err(core.stuck(id))))
}

fn next_event(core: &mut Core, id: u32) -> Option<Here<NextEvent>> {
    if !core.knows(id) {
        return Some(Here::Moved);
    }
    let found = core.next_call_event(id);
    if found.is_none() && core.delivery.is_stuck_here() {
        return Some(Here::Found(NextEvent::Stuck(core.stuck(id))));
    }
    found.map(Here::Found)
}
