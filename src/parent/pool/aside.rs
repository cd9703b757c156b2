//! Callbacks that belong to no child: those of calls that were never given to
//! one, of starts that failed, and of the end. A thread runs them, one after the
//! other, and is there only while there are any.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::base::panics::shielded;
use crate::base::sync::Mutex;
use crate::parent::callbacks::{self, Call, Next, Runner};

/// What is run.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// See the module.
#[derive(Default)]
pub(super) struct Aside(Mutex<State>);

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    runner: Runner,
}

impl Aside {
    /// Has this run soon. `done` is called when nothing is left.
    pub(super) fn push(self: &Arc<Self>, job: Job, done: impl Fn() + Send + 'static) {
        let mut state = self.0.lock();
        state.jobs.push_back(job);
        if let Some(Call::Start) = state.runner.call() {
            drop(state);
            let own = Arc::clone(self);
            callbacks::run_each(move |_| own.run_next(&done));
        }
    }

    fn run_next(&self, done: impl Fn()) -> Next {
        let mut state = self.0.lock();
        state.runner.begin();
        let Some(job) = state.jobs.pop_front() else {
            state.runner.leave();
            drop(state);
            done();
            return Next::Leave;
        };
        drop(state);
        let _ = shielded(job);
        Next::Again
    }

    /// Nothing is left, but perhaps what runs on this thread.
    pub(super) fn is_done(&self) -> bool {
        let state = self.0.lock();
        state.runner.is_absent() || state.jobs.is_empty() && state.runner.is_here()
    }
}
