//! One child among several, for whoever keeps them and hands calls out: without
//! types, without blocking.
//!
//! It is a small interface on purpose, since nothing here depends on how calls
//! are shared out: a [`Member`] takes octets that were encoded before, and
//! promises that
//!
//! * a call that the child will not run goes back to its [`Owner`], exactly once
//!   and instead of its outcome: when the child ends, each call that had not
//!   started, and each other that may run [again](Wishes::again);
//! * whoever [watches](Member::watch) is woken after anything that a
//!   [look](Member::look) may see, on the thread that noticed it and without
//!   any lock held.
//!
//! Whoever waits for a call of a member waits at the child itself, as with a
//! child that is alone; and its events, callbacks and order are that child's.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::connection::Connection;
use super::driver::Driver;
use super::origin::{next_event, outcome};
use super::state::Core;
use super::state::waiting::Want;
use crate::error::Error;
use crate::parcel::Parcel;
use crate::parent::spawn::Recipe;
use crate::parent::target::{Answer, Calls, NextEvent, Origin};
use crate::protocol::HEADER;

pub(crate) use super::courier::Handlers;
pub(crate) use super::origin::Here;
pub(crate) use super::state::delivery::EventSink;
pub(crate) use super::state::waiting::{Callback, Owner};
pub(crate) use super::state::{Attention, Sight, Then, Wishes};
pub(crate) use crate::parcel::Parcel as Arguments;

/// See the module. The child is closed when this is dropped.
pub(crate) struct Member {
    driver: Arc<Driver<Connection>>,
}

/// The arguments of a call, as octets with their descriptors: they can be sent
/// more than once.
pub(crate) struct Request(Parcel);

/// Why a call was not sent.
pub(crate) enum Unsent {
    /// The child has ended.
    Ended,
    /// It cannot be sent, whichever child it is.
    Never(Error),
}

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
            tail: std::mem::take(&mut parcel.tail),
            descriptors: std::mem::take(&mut parcel.descriptors),
        })
    }

    /// How many octets of arguments there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len() - HEADER
    }

    /// A copy of all, in one piece, in a buffer of this thread.
    fn copy(&self) -> Result<Parcel, Error> {
        let copies = self.0.descriptors.iter().map(OwnedFd::try_clone);
        let copies = copies.collect::<Result<_, _>>();
        let mut parcel = Parcel::new();
        parcel.frame.reserve(self.0.len());
        parcel.frame.extend_from_slice(&self.0.frame[HEADER..]);
        parcel.frame.extend_from_slice(&self.0.tail);
        parcel.descriptors = copies
            .map_err(|error| Error::start(format!("no descriptor to send along: {error}")))?;
        Ok(parcel)
    }
}

impl Member {
    /// Starts a child.
    pub(crate) fn start(
        recipe: &mut Recipe,
        sink: EventSink,
        handlers: Handlers,
    ) -> Result<Self, Error> {
        recipe
            .start(sink, handlers)
            .map(|(driver, _)| Self { driver })
    }

    /// Sends a call, at once.
    ///
    /// # Errors
    ///
    /// It was not. The wishes are left as they were.
    pub(crate) fn send(
        &self,
        request: &Request,
        owner: Arc<dyn Owner>,
        wishes: &mut Wishes,
    ) -> Result<u32, Unsent> {
        let mut parcel = request.copy().map_err(Unsent::Never)?;
        let sent = self
            .driver
            .change(|core| core.call_of(&mut parcel, owner, wishes));
        parcel.recycle();
        sent.map_err(|_| Unsent::Ended)
    }

    /// What else is to be done with a call that was sent.
    pub(crate) fn wish(&self, id: u32, wishes: Wishes) {
        self.driver.change(|core| core.wish(id, wishes));
    }

    /// The outcome goes to a callback.
    pub(crate) fn then_call(&self, id: u32, callback: Callback) {
        self.driver.change(|core| core.then_call(id, callback));
    }

    /// The outcome is dropped.
    pub(crate) fn then_forget(&self, id: u32) {
        self.driver.change(|core| core.then_forget(id));
    }

    /// This call is given back even if it had started.
    pub(crate) fn repeat(&self, id: u32) {
        self.driver.change(|core| core.repeat(id));
    }

    /// From now on this waker is woken after whatever there is to see, and a
    /// first time now.
    pub(crate) fn watch(&self, waker: Waker) {
        self.driver.change(|core| core.watch(Some(waker.clone())));
        waker.wake();
    }

    /// Nobody is woken any more.
    pub(crate) fn unwatch(&self) {
        self.driver.change(|core| core.watch(None));
    }

    /// How far it is.
    pub(crate) fn look(&self) -> Sight {
        self.driver.look(Core::look)
    }

    /// When what comes is read.
    pub(crate) fn attend(&self, attention: Attention) {
        self.driver.change(|core| core.attend(attention));
    }

    /// Reads what has come.
    pub(crate) fn read(&self) {
        self.driver.readable();
    }

    /// This thread runs one of its callbacks.
    pub(crate) fn is_calling_back_here(&self) -> bool {
        self.driver.look(|core| core.delivery.is_running_here())
    }

    /// This thread runs one of its callbacks, and nothing more is read before
    /// that returns.
    pub(crate) fn is_stuck_here(&self) -> bool {
        self.driver.look(|core| core.delivery.is_stuck_here())
    }

    /// How much memory its process has resident now, in octets: `VmRSS` of
    /// `/proc/PID/status`.
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
        Origin::close(&*self.driver);
    }

    /// It is told to end then, and killed a second later.
    pub(crate) fn close_within(&self, at: Instant) {
        Origin::close_within(&*self.driver, at);
    }

    /// It is killed now.
    pub(crate) fn kill(&self) {
        Origin::kill(&*self.driver);
    }

    // --- a call, by whoever waits for it ---

    pub(crate) fn wait(&self, id: u32, until: Option<Instant>) -> Option<Here<Answer>> {
        self.driver
            .wait(Want::Call(id), until, |core| outcome(core, id))
    }

    pub(crate) fn poll(&self, id: u32, context: &mut Context<'_>) -> Poll<Here<Answer>> {
        self.driver
            .poll(Want::Call(id), context, |core| outcome(core, id))
    }

    pub(crate) fn wait_event(&self, id: u32, until: Option<Instant>) -> Option<Here<NextEvent>> {
        self.driver
            .wait(Want::Call(id), until, |core| next_event(core, id))
    }

    pub(crate) fn poll_event(&self, id: u32, context: &mut Context<'_>) -> Poll<Here<NextEvent>> {
        self.driver
            .poll(Want::Call(id), context, |core| next_event(core, id))
    }

    /// What else there is, a child's own calls have, too.
    pub(crate) fn calls(&self) -> &dyn Calls {
        &*self.driver
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.close();
    }
}
