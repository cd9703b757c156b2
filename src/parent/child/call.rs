//! One call of one child.

use std::sync::Arc;

use super::child_io::ChildIo;
use super::driver::Driver;
use super::interface::{Answer, Completion, Moved, NextEvent, WaitMode};
use super::state::ChildState;
use super::state::waiters::WaitFor;
use crate::error::Error;

/// See the module.
#[derive(Clone)]
pub(crate) struct ChildCall {
    pub(crate) driver: Arc<Driver<ChildIo>>,
    pub(crate) id: u32,
}

impl ChildCall {
    /// Returns whether `other` is the same call.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.driver, &other.driver) && self.id == other.id
    }

    /// Waits for the outcome. `None` if it has not arrived yet.
    pub(crate) fn wait(&self, mode: WaitMode<'_>) -> Option<Result<Answer, Moved>> {
        self.wait_with(mode, ChildState::collect, Err)
    }

    /// Waits for the next event. `None` if it has not arrived yet.
    pub(crate) fn wait_event(&self, mode: WaitMode<'_>) -> Option<Result<NextEvent, Moved>> {
        self.wait_with(mode, ChildState::next_call_event, NextEvent::WouldDeadlock)
    }

    /// Waits until `find` finds something. `deadlock` converts the error of a wait that would be
    /// without end.
    fn wait_with<T>(
        &self,
        mode: WaitMode<'_>,
        find: impl Fn(&mut ChildState, u32) -> Option<T>,
        deadlock: impl Fn(Error) -> T,
    ) -> Option<Result<T, Moved>> {
        let id = self.id;
        self.driver.wait(WaitFor::Call(id), mode, |state| {
            if let Some(found) = find(state, id) {
                return Some(Ok(found));
            }
            if !state.has_call(id) {
                return Some(Err(Moved));
            }
            let would_deadlock = state.callbacks.would_deadlock_here();
            would_deadlock.then(|| Ok(deadlock(state.would_deadlock(id))))
        })
    }

    /// Says what becomes of the outcome.
    pub(crate) fn set_completion(&self, completion: Completion) {
        self.driver
            .change(|state| state.set_completion(self.id, completion));
    }
}
