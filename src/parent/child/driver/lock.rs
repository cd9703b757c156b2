//! The driver's lock, and what a thread does that holds it.

use std::io::ErrorKind;
use std::ops::{Deref, DerefMut};
use std::time::Instant;

use super::super::io::Io;
use super::super::state::waiters::{WaitFor, Waiter};
use super::super::state::{ChildState, LinkReader, RingsAnswer};
use super::{Driver, IoResult};
use crate::base::sync::explored::{Guard, current, park_until};
use crate::sys::Link;

/// The lock on the state of a child. Its release applies the rules, unlocks, and then
/// does what was deferred: it wakes wakers, closes descriptors, starts threads. A panic
/// releases the lock in the same way.
pub(crate) struct Lock<'a, W: Io> {
    driver: &'a Driver<W>,
    /// `None` while the state is unlocked, and after the release.
    state: Option<Guard<'a, ChildState>>,
}

impl<W: Io> Deref for Lock<'_, W> {
    type Target = ChildState;
    fn deref(&self) -> &ChildState {
        self.state.as_ref().expect("the lock is held")
    }
}

impl<W: Io> DerefMut for Lock<'_, W> {
    fn deref_mut(&mut self) -> &mut ChildState {
        self.state.as_mut().expect("the lock is held")
    }
}

impl<W: Io> Drop for Lock<'_, W> {
    fn drop(&mut self) {
        self.release();
    }
}

impl<'a, W: Io> Lock<'a, W> {
    pub(super) fn new(driver: &'a Driver<W>) -> Self {
        Self {
            driver,
            state: Some(driver.state.lock()),
        }
    }

    fn release(&mut self) {
        let Some(mut state) = self.state.take() else {
            return;
        };
        self.driver.apply_rules(&mut state);
        let deferred = state.take_deferred();
        drop(state);
        if let Some(deferred) = deferred {
            self.driver.run_deferred(deferred);
        }
    }

    /// Releases the lock while `act` runs.
    pub(super) fn released<T>(&mut self, act: impl FnOnce(&Driver<W>) -> T) -> T {
        self.release();
        self.unlocked(act)
    }

    /// Unlocks the state while `act` runs. The rules are not applied, because they can
    /// wait for as long as `act` takes.
    pub(super) fn unlocked<T>(&mut self, act: impl FnOnce(&Driver<W>) -> T) -> T {
        self.state = None;
        let value = act(self.driver);
        self.state = Some(self.driver.state.lock());
        value
    }

    /// Reads once as the leader, and blocks until something has arrived.
    pub(super) fn read_blocking(&mut self, mut reader: LinkReader, deadline: Option<Instant>) {
        let rings = self.driver.io.link().has_rings();
        let writes = self.lets_leader_write(rings) && !rings;
        let blocked = self.leadership.blocked;
        let spins = self.expects_answer();
        let (got, writable) =
            self.released(|driver| driver.receive(&mut reader, (writes, blocked), spins, deadline));
        if writable {
            self.leadership.blocked = false;
        }
        self.put_down(reader, &got);
        // An answer makes room for a call that waits in the queue.
        self.flush();
        if let Some(deferred) = self.take_deferred() {
            self.unlocked(|driver| driver.run_deferred(deferred));
        }
    }

    /// Gives the reader back, with what was read. An error counts as the end of the stream,
    /// because the exit status of the child says more than the error. The exception are invalid
    /// values in shared memory.
    pub(super) fn put_down(&mut self, reader: LinkReader, got: &IoResult) {
        match got {
            Ok(None) => self.stop_reading(reader),
            Ok(Some(0)) => self.handle_end(reader),
            Ok(Some(_)) => self.handle_bytes(reader),
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                self.stop_reading(reader);
                self.violated(error);
            }
            Err(_) => self.handle_end(reader),
        }
        self.switch_transport();
        let io = &self.driver.io;
        if io.link().has_rings() {
            // A doorbell that this thread took may have meant room to write, and the reactor
            // has not seen it.
            if io.link().has_room_again() {
                self.leadership.blocked = false;
            }
            if self.leadership.watches_read {
                io.watch_again(true);
            }
        }
    }

    /// Switches the link to the rings, or to the socket, as the child's hello says.
    fn switch_transport(&mut self) {
        let io = &self.driver.io;
        match self.rings.take() {
            Some(RingsAnswer::Accepted(bytes, arrivals)) => {
                if !io.link().accept_rings(&bytes, arrivals) {
                    self.violated("it uses rings that were not offered to it");
                }
            }
            Some(RingsAnswer::Refused) => io.link().refuse_rings(),
            None => return,
        }
        self.leadership.blocked = false;
    }

    /// Returns what `take` finds. If that is nothing, writes what is unwritten, and tries again.
    pub(super) fn take_or_flush<T>(
        &mut self,
        mut take: impl FnMut(&mut ChildState) -> Option<T>,
    ) -> Option<T> {
        let found = take(self);
        if found.is_some() || !self.has_unwritten() {
            return found;
        }
        self.flush();
        take(self)
    }

    /// Parks this thread until it is woken.
    pub(super) fn follow(&mut self, wait_for: WaitFor, deadline: Option<Instant>) {
        // A thread whose answer is already here must not become the leader.
        let parked_id = (!self.is_there(wait_for)).then(|| self.park(current()));
        self.add_waiter(wait_for, Waiter::Thread(current()));
        self.released(|_| park_until(deadline));
        if let Some(parked_id) = parked_id {
            self.unpark(parked_id);
        }
    }

    /// Writes what is unwritten, until the socket is full. If another thread writes,
    /// that thread writes this as well.
    pub(super) fn flush(&mut self) {
        let mut again = true;
        while again && self.has_unwritten() && self.leadership.write() {
            let mut batch = self.caller.take_outbox();
            let (written, last) = self.unlocked(|driver| driver.write(&mut batch));
            again = self.wrote(written, batch, &last);
            self.switch_transport();
            if self.leadership.blocked && !self.driver.io.link().awaits_room() {
                self.leadership.blocked = false;
                again = true;
            }
        }
    }
}
