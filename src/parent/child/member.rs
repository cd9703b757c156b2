//! One child as a pool has it: without types, and without blocking.
//!
//! It is a small interface on purpose, since nothing here depends on how calls
//! are shared out. A [`Member`] takes bytes that were encoded before, and
//! promises that
//!
//! * a call that the child will not run goes back to its [`Requeue`], exactly once
//!   and instead of its outcome: when the child ends, each call that had not
//!   started, and each other that may run again ([`CallOptions::repeats`](super::terms::CallOptions::repeats));
//! * the waker of [`watch`](Member::watch) is woken after anything that a
//!   [`Snapshot`] may show, on the thread that noticed it and without any lock
//!   held.
//!
//! A call that was sent is a [`ChildCall`]: a thread or task that waits for it
//! waits at the child itself, as with a child that is alone; and its events,
//! callbacks and order are that child's.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use super::call::ChildCall;
use super::connection::Connection;
use super::driver::Driver;
use super::state::Core;
use super::terms::{Requeue, Wishes};
use crate::error::Error;
use crate::exit_status::ExitStatus;
use crate::parcel::Parcel;
use crate::protocol::HEADER;

/// See the module. The child is closed when this is dropped.
pub(crate) struct Member {
    driver: Arc<Driver<Connection>>,
}

/// How far a child is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    /// Calls that it has and has not answered, also those that were cancelled.
    pub(crate) load: usize,
    /// Calls that it has answered so far.
    pub(crate) answered: u64,
    pub(crate) ready: bool,
    /// It wants no more calls.
    pub(crate) retired: bool,
    /// It has ended, and this is how.
    pub(crate) ended: Option<ExitStatus>,
    /// Why it never got ready.
    pub(crate) unfit: Option<Error>,
    /// It had started a call by its end, or may have.
    pub(crate) worked: bool,
    /// It was this side that ended it.
    pub(crate) killed: bool,
    /// All its callbacks have returned, and the calls that it will not run are back
    /// with their owners.
    pub(crate) gone: bool,
    /// Nothing more is read before a callback returns.
    pub(crate) full: bool,
}

/// The arguments of a call, as bytes with their descriptors: they can be sent
/// more than once.
pub(crate) struct Request(Parcel);

impl Request {
    /// Takes them out of a buffer that has room for a header.
    pub(crate) fn new(parcel: &mut Parcel) -> Self {
        let frame = &mut parcel.frame;
        // A buffer that is far too large is left for others.
        let own = if frame.len() > 4096 && frame.capacity() <= 2 * frame.len() {
            std::mem::take(frame)
        } else {
            frame.as_slice().to_vec()
        };
        Self(Parcel {
            frame: own,
            descriptors: std::mem::take(&mut parcel.descriptors),
        })
    }

    /// How many bytes of arguments there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len() - HEADER
    }

    /// A copy of all, in a buffer of this thread.
    pub(crate) fn copy(&self) -> Result<Parcel, Error> {
        let copies = self.0.descriptors.iter().map(OwnedFd::try_clone);
        let copies = copies.collect::<Result<_, _>>();
        let mut parcel = Parcel::new();
        parcel.frame.reserve(self.0.len());
        parcel.frame.extend_from_slice(&self.0.frame[HEADER..]);
        parcel.descriptors = copies.map_err(|error| {
            Error::full("there is no descriptor to send along").caused_by(error)
        })?;
        Ok(parcel)
    }
}

impl Member {
    pub(crate) fn new(driver: Arc<Driver<Connection>>) -> Self {
        Self { driver }
    }

    /// Sends a call, at once. `wishes` is called under the child's lock, with the
    /// call that was sent. Returns false if the child takes no calls.
    pub(crate) fn send(
        &self,
        mut parcel: Parcel,
        owner: Arc<dyn Requeue>,
        wishes: impl FnOnce(ChildCall) -> Wishes,
    ) -> bool {
        let wishes = |id| wishes(ChildCall::new(Arc::clone(&self.driver), id));
        let sent = self
            .driver
            .change(|core| core.call_of(&mut parcel, owner, wishes));
        parcel.recycle();
        sent
    }

    /// From now on `waker` is woken after whatever there is to see, and a first
    /// time now.
    pub(crate) fn watch(&self, waker: Waker) {
        self.driver.change(|core| core.watch(Some(waker.clone())));
        waker.wake();
    }

    /// Nothing is woken any more.
    pub(crate) fn unwatch(&self) {
        self.driver.change(|core| core.watch(None));
    }

    /// Returns how far the child is.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.driver.look(Snapshot::of)
    }

    /// Says whether the helper reads what comes, at once and alone. Else threads that wait for calls of this child read.
    pub(crate) fn attend(&self, eagerly: bool) {
        self.driver.change(|core| core.attend(eagerly));
    }

    /// Returns whether this thread runs one of its callbacks.
    pub(crate) fn is_calling_back_here(&self) -> bool {
        self.driver.look(|core| core.delivery.is_running_here())
    }

    /// Returns whether this thread runs one of its callbacks, and nothing more is
    /// read before that returns.
    pub(crate) fn is_stuck_here(&self) -> bool {
        self.driver.look(|core| core.delivery.is_stuck_here())
    }

    /// Reads how many bytes of memory its process has resident: `VmRSS` of
    /// `/proc/PID/status`. It may wait for locks of that process.
    pub(crate) fn memory(&self) -> Option<u64> {
        let pid = self.driver.wire.pid()?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        let number = line.trim().strip_suffix("kB")?.trim();
        Some(number.parse::<u64>().ok()? * 1024)
    }

    /// No more calls are sent; it ends when all are done.
    pub(crate) fn close(&self) {
        self.driver.change(Core::close);
    }

    /// It is told to end then, and killed a second later.
    pub(crate) fn close_within(&self, at: Instant) {
        self.driver.change(|core| core.close_within(at));
    }

    /// It is killed now.
    pub(crate) fn kill(&self) {
        self.driver.change(Core::kill_by_user);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.close();
    }
}

impl Snapshot {
    pub(crate) fn of(core: &Core) -> Self {
        let readiness = core.life.readiness();
        let is_over = core.life.is_over() && core.delivery.is_over();
        Self {
            load: core.caller.unanswered(),
            answered: core.caller.answered(),
            ready: matches!(readiness, Some(Ok(()))),
            unfit: readiness.and_then(Result::err),
            retired: core.life.is_retired(),
            ended: core.life.status(),
            worked: core.life.has_worked,
            killed: core.life.was_killed(),
            gone: is_over && !core.is_returning(),
            full: core.delivery.is_full(),
        }
    }
}
