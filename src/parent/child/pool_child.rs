//! A child of a pool: without types, and without blocking.
//!
//! The interface is small, because nothing here depends on how calls are given to children. A
//! [`PoolChild`] takes bytes that were encoded before, and promises two things.
//!
//! * A call that the child will not run goes back to its [`Requeue`], exactly once and in place of
//!   its outcome. When the child ends, these are the calls that had not started, and the
//!   repeatable ones ([`CallOptions::repeats`](super::interface::CallOptions::repeats)).
//! * The waker of [`watch`](PoolChild::watch) is woken after any change that a [`Snapshot`] may
//!   show, by the thread that noticed it, which holds no lock.
//!
//! A call that was sent is a [`ChildCall`]. A thread or task that waits for it waits at the child
//! itself, as with a child outside a pool, and events, callbacks and their order are those of the
//! child.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use super::call::ChildCall;
use super::child_io::ChildIo;
use super::driver::Driver;
use super::interface::{CallSetup, Requeue};
use super::state::ChildState;
use crate::error::Error;
use crate::exit_status::ExitStatus;
use crate::message::Message;
use crate::protocol::HEADER;

/// See the module. The child is closed when this is dropped.
pub(crate) struct PoolChild {
    pub(crate) driver: Arc<Driver<ChildIo>>,
}

/// The state of a child that a pool sees.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    /// Calls that the child has not answered, including cancelled ones.
    pub(crate) load: usize,
    /// Calls that the child has answered so far.
    pub(crate) answered: u64,
    pub(crate) ready: bool,
    /// The child takes no more calls.
    pub(crate) retired: bool,
    /// How the child ended. `None` if it has not ended.
    pub(crate) ended: Option<ExitStatus>,
    /// Why the child never got ready.
    pub(crate) unfit: Option<Error>,
    /// The child may have started a call before it ended.
    pub(crate) worked: bool,
    /// The parent ended the child.
    pub(crate) killed: bool,
    /// All callbacks have returned, and the calls that the child will not run are back with
    /// their owners.
    pub(crate) gone: bool,
    /// Nothing more is read before a callback returns.
    pub(crate) full: bool,
}

/// The arguments of a call, encoded, with their file descriptors. They can be sent more than
/// once.
pub(crate) struct EncodedCall(Message);

impl EncodedCall {
    /// Takes the arguments out of `message`, whose buffer has room for a header.
    pub(crate) fn new(message: &mut Message) -> Self {
        let frame = &mut message.frame;
        // A buffer that is far too large is left for other calls.
        let own = if frame.len() > 4096 && frame.capacity() <= 2 * frame.len() {
            std::mem::take(frame)
        } else {
            frame.as_slice().to_vec()
        };
        Self(Message {
            frame: own,
            descriptors: std::mem::take(&mut message.descriptors),
        })
    }

    /// Returns the number of bytes of the arguments.
    pub(crate) fn len(&self) -> usize {
        self.0.len() - HEADER
    }

    /// Returns a copy, in a buffer of this thread.
    ///
    /// # Errors
    /// There are too many open files for copies of the file descriptors.
    pub(crate) fn copy(&self) -> Result<Message, Error> {
        let copies = self.0.descriptors.iter().map(OwnedFd::try_clone);
        let copies = copies.collect::<Result<_, _>>();
        let mut message = Message::new();
        message.frame.reserve(self.0.len());
        message.frame.extend_from_slice(&self.0.frame[HEADER..]);
        message.descriptors = copies.map_err(|error| {
            Error::full("there is no descriptor to send along").caused_by(error)
        })?;
        Ok(message)
    }
}

impl PoolChild {
    /// Sends a call at once. `setup` is called under the child's lock, with the call that was
    /// sent. Returns whether the child takes calls.
    pub(crate) fn send(
        &self,
        mut message: Message,
        owner: Arc<dyn Requeue>,
        setup: impl FnOnce(ChildCall) -> CallSetup,
    ) -> bool {
        let driver = Arc::clone(&self.driver);
        let setup = |id| setup(ChildCall { driver, id });
        let sent = self
            .driver
            .change(|state| state.call_for_pool(&mut message, owner, setup));
        message.recycle();
        sent
    }

    /// Has `waker` woken after each change that a snapshot may show. It is also woken now.
    pub(crate) fn watch(&self, waker: Waker) {
        self.driver
            .change(|state| state.waiters.set_pool(Some(waker.clone())));
        waker.wake();
    }

    /// Drops the waker of [`watch`](Self::watch).
    pub(crate) fn unwatch(&self) {
        self.driver.change(|state| state.waiters.set_pool(None));
    }

    /// Returns what a pool sees of the child now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.driver.inspect(Snapshot::of)
    }

    /// Says whether only the reactor reads. Otherwise, threads that wait for calls of this child
    /// read.
    pub(crate) fn set_eager(&self, eagerly: bool) {
        self.driver.change(|state| state.eager = eagerly);
    }

    /// Returns whether this thread runs a callback of this child.
    pub(crate) fn is_calling_back_here(&self) -> bool {
        self.driver
            .inspect(|state| state.callbacks.is_running_here())
    }

    /// Returns whether this thread runs a callback of this child, and nothing more is read before
    /// it returns.
    pub(crate) fn would_deadlock_here(&self) -> bool {
        self.driver
            .inspect(|state| state.callbacks.would_deadlock_here())
    }

    /// Returns the resident memory of the process in bytes: `VmRSS` of `/proc/PID/status`. This
    /// may block on locks of that process. `None` if it cannot be read.
    pub(crate) fn memory(&self) -> Option<u64> {
        let pid = self.driver.io.pid()?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        let number = line.trim().strip_suffix("kB")?.trim();
        Some(number.parse::<u64>().ok()? * 1024)
    }

    /// Takes no more calls. The child ends when all calls are done.
    pub(crate) fn close(&self) {
        self.driver.change(|state| state.lifecycle.closing = true);
    }

    /// Sends `SIGTERM` at `at`, and `SIGKILL` a second later.
    pub(crate) fn close_within(&self, at: Instant) {
        self.driver.change(|state| state.lifecycle.end_at(at));
    }

    /// Kills the child. The errors of its calls say why.
    pub(crate) fn kill(&self, why: &'static str) {
        self.driver.change(|state| state.kill(why));
    }
}

impl Drop for PoolChild {
    fn drop(&mut self) {
        self.close();
    }
}

impl Snapshot {
    pub(crate) fn of(state: &ChildState) -> Self {
        let readiness = state.lifecycle.readiness();
        let is_over = state.lifecycle.is_over() && state.callbacks.is_over();
        Self {
            load: state.caller.unanswered(),
            answered: state.caller.answered(),
            ready: matches!(readiness, Some(Ok(()))),
            unfit: readiness.and_then(Result::err),
            retired: state.lifecycle.is_retired(),
            ended: state.lifecycle.status(),
            worked: state.lifecycle.has_worked,
            killed: state.lifecycle.was_killed(),
            gone: is_over && !state.waiters.is_requeueing(),
            full: state.callbacks.is_full(),
        }
    }
}
