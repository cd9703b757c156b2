//! The driver's lock, and what a thread does that holds it.

use std::ops::{Deref, DerefMut};
use std::time::Instant;

use super::super::state::waiting::{Waking, Want};
use super::super::state::{Core, Reading, RingsAnswer};
use super::super::wire::Wire;
use super::{Driver, Got};
use crate::base::sync::explored::{Guard, current, park_until};

/// The lock on the state of a child. When it is let go, be it by a panic, first
/// the rules are applied, and once it is unlocked what was deferred is done:
/// wakers are woken, descriptors closed, threads started.
pub(crate) struct Lock<'a, W: Wire> {
    driver: &'a Driver<W>,
    /// `None` while the lock is let go for a moment, and once it is for good.
    core: Option<Guard<'a, Core>>,
}

impl<W: Wire> Deref for Lock<'_, W> {
    type Target = Core;
    fn deref(&self) -> &Core {
        self.core.as_ref().expect("the lock is held")
    }
}

impl<W: Wire> DerefMut for Lock<'_, W> {
    fn deref_mut(&mut self) -> &mut Core {
        self.core.as_mut().expect("the lock is held")
    }
}

impl<W: Wire> Drop for Lock<'_, W> {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl<'a, W: Wire> Lock<'a, W> {
    pub(super) fn new(driver: &'a Driver<W>) -> Self {
        Self {
            driver,
            core: Some(driver.core.lock()),
        }
    }

    fn let_go(&mut self) {
        let Some(mut core) = self.core.take() else {
            return;
        };
        self.driver.settle(&mut core);
        let errands = core.take_errands();
        drop(core);
        if let Some(errands) = errands {
            self.driver.run(errands);
        }
    }

    /// Lets the lock go while `act` runs.
    pub(super) fn pause<T>(&mut self, act: impl FnOnce(&Driver<W>) -> T) -> T {
        self.let_go();
        self.unlocked(act)
    }

    /// Unlocks while `act` runs, and no more: what follows from a change can wait
    /// for as long as that takes.
    pub(super) fn unlocked<T>(&mut self, act: impl FnOnce(&Driver<W>) -> T) -> T {
        self.core = None;
        let value = act(self.driver);
        self.core = Some(self.driver.core.lock());
        value
    }

    /// Reads once, as the leader, blocking.
    pub(super) fn read_blocking(&mut self, mut reading: Reading, deadline: Option<Instant>) {
        let rings = self.driver.wire.has_rings();
        let writes = self.lets_leader_write(rings) && !rings;
        let blocked = self.roles.is_blocked();
        let spins = self.expects_answer();
        let (got, writable) =
            self.pause(|driver| driver.receive(&mut reading, (writes, blocked), spins, deadline));
        if writable {
            self.roles.unblock();
        }
        self.put_down(reading, &got);
        // Answers make room for calls that had to wait.
        self.flush();
        if let Some(errands) = self.take_errands() {
            self.unlocked(|driver| driver.run(errands));
        }
    }

    pub(super) fn put_down(&mut self, reading: Reading, got: &Got) {
        match got {
            Got::Octets => self.came(reading),
            Got::End => self.end_of_input(reading),
            Got::Nothing => self.stop_reading(reading),
            Got::Nonsense(text) => self.nonsense(reading, text),
        }
        self.switch_transport();
        if self.driver.wire.has_rings() {
            self.after_doorbells();
        }
    }

    /// Does what doorbells may have been for beside something to read: this thread has
    /// taken them.
    fn after_doorbells(&mut self) {
        if self.driver.wire.has_room_again() {
            self.roles.unblock();
        }
        if self.roles.is_watched() {
            self.driver.wire.watch_again(true);
        }
    }

    /// Tells the link what the child has answered for the rings.
    fn switch_transport(&mut self) {
        let wire = &self.driver.wire;
        match self.take_rings_answer() {
            Some(RingsAnswer::Accepted(bytes, arrivals)) => wire.accept_rings(&bytes, arrivals),
            Some(RingsAnswer::Refused) => {
                let bytes = wire.refuse_rings();
                if !bytes.is_empty() {
                    self.caller.put_back(bytes);
                }
            }
            None => return,
        }
        self.roles.unblock();
    }

    /// Sleeps until woken.
    pub(super) fn follow(&mut self, want: Want, deadline: Option<Instant>) {
        // Who has no use for octets is not asked to read them.
        let ticket = (!self.has_come(want)).then(|| self.park(current()));
        self.enlist(want, Waking::Thread(current()));
        self.pause(|_| park_until(deadline));
        if let Some(ticket) = ticket {
            self.unpark(ticket);
        }
    }

    /// Writes what is there, or until the socket is full. If another thread is
    /// at it, that is asked to look once more.
    pub(super) fn flush(&mut self) {
        let mut again = true;
        while again && self.has_unwritten() && self.roles.write() {
            let mut batch = self.caller.take_outbox();
            let (written, last) = self.unlocked(|driver| driver.write(&mut batch));
            again = self.wrote(written, batch, &last);
            self.switch_transport();
            if self.roles.is_blocked() && !self.driver.wire.awaits_room() {
                self.roles.unblock();
                again = true;
            }
        }
    }
}
