//! How the handles of a pool reach it: as they would reach a child.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::launcher::Launcher;
use super::route::Route;
use super::shared::{News, Shared};
use crate::error::Error;
use crate::exit_status::ExitStatus;
use crate::parent::child::member::{Arguments, Callback, Request};
use crate::parent::target::{Calls, Origin, Refusal, Resident};

/// What the handles of a pool lead to.
pub(super) struct Entrance(pub(super) Arc<Shared>);

impl Resident for Entrance {
    fn is_here(&self) -> bool {
        self.0.maker.is_this()
    }
    fn refuse(self: Arc<Self>, callback: Callback, error: Error) {
        self.0.aside(Box::new(move || callback(Err(error))));
    }
}

impl Shared {
    /// More calls wait than may wait without their handles.
    pub(super) fn has_too_many(&self) -> bool {
        let work = self.lock();
        let (calls, octets) = self.limits;
        work.waiting > calls || work.octets > octets
    }
}

impl Origin for Entrance {
    fn call(
        self: Arc<Self>,
        arguments: &mut Arguments,
        may_wait: bool,
    ) -> Result<(Arc<dyn Calls>, u32), Refusal> {
        let pool = &self.0;
        let mut work = pool.lock();
        if work.closing {
            return Err(Error::closed().into());
        }
        let (calls, octets) = pool.limits;
        if !may_wait && (work.waiting >= calls || work.octets >= octets) {
            return Err(Refusal::NoRoom);
        }
        let request = Request::new(arguments);
        work.tickets += 1;
        work.waiting += 1;
        work.octets += request.len();
        let route = Route::new(pool, work.tickets, request);
        pool.tell_in(work, News::Call(Arc::clone(&route)));
        Ok((route, 0))
    }

    /// Only if every child can take them, since nobody knows which it will be.
    fn carries_descriptors(&self) -> bool {
        self.0.launchers.iter().all(Launcher::carries_descriptors)
    }

    fn close(&self) {
        self.0.tell(News::Close);
    }

    fn close_within(&self, at: Instant) {
        self.0.tell(News::CloseWithin(at));
    }

    fn kill(&self) {
        self.0.tell(News::Kill);
    }

    fn pid(&self) -> Option<u32> {
        None
    }

    fn wait_ready(&self, until: Option<Instant>) -> Option<Result<(), Error>> {
        wait(until, |waker| self.0.readiness(waker))
    }

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let found = self.0.readiness(|| context.waker().clone());
        found.map_or(Poll::Pending, Poll::Ready)
    }

    fn wait_end(&self, until: Option<Instant>) -> Option<Result<ExitStatus, Error>> {
        wait(until, |waker| self.0.end(waker))
    }

    fn poll_end(&self, context: &mut Context<'_>) -> Poll<Result<ExitStatus, Error>> {
        let found = self.0.end(|| context.waker().clone());
        found.map_or(Poll::Pending, Poll::Ready)
    }
}

/// Sleeps until this finds something; `None` once the time is up.
fn wait<T>(until: Option<Instant>, mut look: impl FnMut(fn() -> Waker) -> Option<T>) -> Option<T> {
    loop {
        if let Some(found) = look(super::route::this_thread) {
            return Some(found);
        }
        if until.is_some_and(|until| until <= Instant::now()) {
            return None;
        }
        crate::base::sync::park_until(until);
    }
}
