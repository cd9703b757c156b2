//! The executor of a concurrent child: one task per call, polled when it was woken.
//!
//! No known executor does these three things: drop the future of one call at once, by its id; tell when no task is woken,
//! so that the server can read; and turn a panic into the failure of that call only.
//!
//! A [`TaskWaker`], called on any thread, appends the call's id to a list, and wakes the server if the list was empty. A
//! waker of a call that is over may wake a later call with the same id. Futures must tolerate such spurious polls.

use std::collections::HashMap;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::panic::catch_as_failure;
use crate::base::sync::Mutex;
use crate::message::Message;
use crate::protocol::{Failure, FailureCode};
use crate::trace_calls::CallScope;

/// The future of a call.
pub(super) type CallFuture<'a> = Pin<Box<dyn Future<Output = CallReply> + 'a>>;

/// The outcome of a call: its result, `None` if a responder has answered it, or its failure.
pub(super) type CallReply = Result<Option<Message>, Failure>;

/// The tasks of all calls that run. See the module.
#[derive(Default)]
pub(super) struct Executor<'a> {
    running: HashMap<u32, Task<'a>>,
    woken_tasks: Arc<WokenTasks>,
}

struct Task<'a> {
    future: CallFuture<'a>,
    waker: Arc<TaskWaker>,
    scope: CallScope,
}

/// Wakes one task.
struct TaskWaker {
    id: u32,
    /// Whether its id is on the list.
    is_woken: AtomicBool,
    woken_tasks: Arc<WokenTasks>,
}

/// The ids of woken tasks, and the waker of the server.
#[derive(Default)]
struct WokenTasks(Mutex<(Vec<u32>, Option<Waker>)>);

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_woken.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut woken_tasks = self.woken_tasks.0.lock();
        woken_tasks.0.push(self.id);
        let is_first = woken_tasks.0.len() == 1;
        let waker = woken_tasks.1.take_if(|_| is_first);
        drop(woken_tasks);
        waker.into_iter().for_each(Waker::wake);
    }
}

impl<'a> Executor<'a> {
    /// Returns the number of tasks.
    pub(super) fn len(&self) -> usize {
        self.running.len()
    }

    /// Returns whether there are no tasks.
    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Polls a call for the first time. Keeps it as a task unless it returns its outcome.
    pub(super) fn start(
        &mut self,
        id: u32,
        future: CallFuture<'a>,
        scope: CallScope,
    ) -> Option<CallReply> {
        let waker = Arc::new(TaskWaker {
            id,
            is_woken: AtomicBool::new(false),
            woken_tasks: Arc::clone(&self.woken_tasks),
        });
        let mut task = Task {
            future,
            waker,
            scope,
        };
        let Some(outcome) = task.poll() else {
            self.running.insert(id, task);
            return None;
        };
        Some(task.drop_caught().and(outcome))
    }

    /// Replaces `ids` by the tasks that were woken since the last call, in that order. If there are none, the next one
    /// wakes `waker`.
    pub(super) fn woken(&mut self, waker: &Waker, ids: &mut Vec<u32>) {
        ids.clear();
        let mut woken_tasks = self.woken_tasks.0.lock();
        mem::swap(&mut woken_tasks.0, ids);
        if ids.is_empty() {
            match &mut woken_tasks.1 {
                Some(old) => old.clone_from(waker),
                none => *none = Some(waker.clone()),
            }
        }
    }

    /// Polls a task, and returns its outcome if it is done.
    pub(super) fn poll(&mut self, id: u32) -> Option<CallReply> {
        let outcome = self.running.get_mut(&id)?.poll()?;
        let task = self.running.remove(&id)?;
        Some(task.drop_caught().and(outcome))
    }

    /// Drops a task, and returns whether it existed.
    pub(super) fn cancel(&mut self, id: u32) -> bool {
        // A panic of a destructor is not reported: the answer is not wanted.
        let dropped = self.running.remove(&id).map(Task::drop_caught);
        dropped.is_some()
    }
}

impl Task<'_> {
    fn poll(&mut self) -> Option<CallReply> {
        // Before the poll, so that a wake-up during the poll counts.
        self.waker.is_woken.store(false, Ordering::Release);
        let waker = Waker::from(Arc::clone(&self.waker));
        let context = &mut Context::from_waker(&waker);
        let (future, scope) = (&mut self.future, &self.scope);
        let poll = || catch_as_failure(FailureCode::Panic, || future.as_mut().poll(context));
        match scope.run(poll) {
            Ok(Poll::Pending) => None,
            Ok(Poll::Ready(outcome)) => Some(outcome),
            Err(panic) => Some(Err(panic)),
        }
    }

    /// Drops the future. A panic of a destructor is the call's failure.
    fn drop_caught(self) -> Result<(), Failure> {
        catch_as_failure(FailureCode::Panic, || drop(self))
    }
}

impl Drop for Executor<'_> {
    /// If the server ends early, all destructors run, also after a panic of one.
    fn drop(&mut self) {
        for (_, task) in self.running.drain() {
            let _ = task.drop_caught();
        }
    }
}
