//! Callbacks that belong to no child: those of calls that were never given to
//! one, of starts that failed, and of the end. A thread runs them, one after the
//! other, and is there only while there are any.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::ThreadId;

use crate::base::panics::shielded;
use crate::base::sync::{Mutex, MutexGuard};
use crate::parent::callbacks;

/// What is run.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// See the module.
#[derive(Default)]
pub(super) struct Aside(Mutex<State>);

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    runs: bool,
    runs_on: Option<ThreadId>,
}

impl Aside {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    /// Has this run soon. `done` is called when nothing is left.
    pub(super) fn push(self: &Arc<Self>, job: Job, done: impl FnOnce() + Send + 'static) {
        let mut state = self.lock();
        state.jobs.push_back(job);
        if std::mem::replace(&mut state.runs, true) {
            return;
        }
        drop(state);
        let own = Arc::clone(self);
        callbacks::run(Box::new(move |_| own.run(done)));
    }

    fn run(&self, done: impl FnOnce()) {
        self.lock().runs_on = Some(std::thread::current().id());
        loop {
            let mut state = self.lock();
            let Some(job) = state.jobs.pop_front() else {
                (state.runs, state.runs_on) = (false, None);
                break;
            };
            drop(state);
            let _ = shielded(job);
        }
        done();
    }

    /// Nothing is left, but perhaps what runs on this thread.
    pub(super) fn is_done(&self) -> bool {
        let state = self.lock();
        !state.runs || state.jobs.is_empty() && self.is_this(&state)
    }

    fn is_this(&self, state: &State) -> bool {
        state.runs_on == Some(std::thread::current().id())
    }
}
