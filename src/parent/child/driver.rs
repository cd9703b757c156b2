//! The driver: moves octets between callers and one child.
//!
//! There is no thread of its own. Whoever waits does the work ([`Roles`] says
//! who): a thread in [`Driver::wait`] flushes, reads, and hands out all that it
//! read. What nobody waits for is done by the **helper** (`helper.rs`), which
//! calls [`Driver::readable`], [`Driver::writable`], [`Driver::tick`] and
//! [`Driver::exited`]. Callbacks run on a thread for them (`courier.rs`),
//! never in here.
//!
//! Invariants:
//!
//! * The lock is never held over a system call that may block, nor while
//!   foreign code runs: wakers, callbacks, decoders. What is to be woken is
//!   collected and woken after the lock was let go.
//! * Whoever holds the reader, or the outbox, holds the role for it.
//! * Every way out of the lock that may have changed a role goes through
//!   [`Driver::settle`].
//! * Flushing: with nothing else under way a call is written at once; else when
//!   somebody waits, from [`BATCH`] octets on, or by the helper, soon.

mod deliveries;

use std::io::IoSlice;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::courier::Courier;
use super::state::roles::{TICK, Ticket};
use super::state::waiting::{Errands, Waking, Want};
use super::state::{Core, Reading};
use super::wire::Wire;
use crate::base::sync::explored::{Guard, Mutex, current, park_until};
use crate::parcel::{Outbox, Reader};
use crate::parent::maker::Maker;
use crate::sys::{self, Interest};

/// So many octets are written without waiting for more.
const BATCH: usize = 16 << 10;
/// How many pieces go into one `writev`.
const PIECES: usize = 16;
/// How long a thread waits for another one that is reading.
const MOMENT: Duration = Duration::from_micros(50);
/// How often the helper reads one link before it looks at the others.
const ROUNDS: usize = 16;

/// The machinery between the callers and one child.
pub(crate) struct Driver<W> {
    core: Mutex<Core>,
    pub(crate) wire: W,
    courier: Courier,
    this: Weak<Self>,
    maker: Maker,
}

impl<W> std::fmt::Debug for Driver<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}

/// What one attempt to read brought.
enum Got {
    /// Octets, in the reader.
    Octets,
    /// Nothing will come any more.
    End,
    /// Nothing now.
    Nothing,
}

impl<W: Wire> Driver<W> {
    pub(crate) fn new(core: Core, wire: W, courier: Courier) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            core: Mutex::new(core),
            wire,
            courier,
            this: Weak::clone(this),
            maker: Maker::this(),
        })
    }

    /// This is the process that made it, and not a copy (`forked.rs`).
    pub(crate) fn is_here(&self) -> bool {
        self.maker.is_this()
    }

    /// The lock. To be let go with [`release`](Self::release), unless nothing
    /// but a look was taken.
    pub(crate) fn lock(&self) -> Guard<'_, Core> {
        self.core.lock()
    }

    /// Lets the lock go: applies the rules, then wakes whom it woke.
    pub(crate) fn release(&self, mut core: Guard<'_, Core>) {
        self.settle(&mut core);
        let errands = core.take_errands();
        drop(core);
        if let Some(errands) = errands {
            self.run(errands);
        }
    }

    /// Does what was not to be done under the lock.
    fn run(&self, errands: Errands) {
        let (delivers, returns) = (errands.delivers, errands.returns());
        errands.run();
        if returns {
            self.change(Core::returned);
        }
        if delivers && let Some(this) = self.this.upgrade() {
            self.courier.call(this);
        }
    }

    fn settle(&self, core: &mut Core) {
        let orders = core.settle();
        if let Some(on) = orders.watch_read {
            self.wire.watch_read(on);
        }
        if let Some(on) = orders.watch_write {
            self.wire.watch_write(on);
        }
        if orders.tick {
            let at = Instant::now() + TICK;
            core.look_at(at);
            self.wire.tick_at(at);
        }
        if orders.flush {
            self.wire.tick_at(Instant::now() + core.write_within());
        }
        if core.may_shut_down() {
            self.wire.shutdown_write();
        }
    }

    /// Takes a call, and writes it if it should go at once.
    pub(crate) fn call<T>(&self, enter: impl FnOnce(&mut Core) -> T) -> T {
        let mut core = self.lock();
        let lies = core.has_unwritten() && core.roles.will_flush();
        let id = enter(&mut core);
        if core.caller.open() <= 1 || core.caller.unwritten() >= BATCH {
            core = self.flush(core);
        } else if lies && !core.has_errands() {
            // It lies with others, so nothing follows from it.
            return id;
        }
        self.release(core);
        id
    }

    /// Waits, on this thread, until `take` finds what it looks for; `None` once
    /// the deadline is over.
    pub(crate) fn wait<T>(
        &self,
        want: Want,
        deadline: Option<Instant>,
        mut take: impl FnMut(&mut Core) -> Option<T>,
    ) -> Option<T> {
        let mut core = self.lock();
        let before = core.outlook();
        let found = take(&mut core);
        if found.is_some() {
            core.roles.collected();
            if core.outlook() != before || core.has_errands() {
                self.release(core);
            }
            return found;
        }
        core.waits();
        loop {
            let mut found = take(&mut core);
            if found.is_none() && core.has_unwritten() {
                core = if deadline.is_none() {
                    self.flush_patiently(core)
                } else {
                    self.flush(core)
                };
                found = take(&mut core);
            }
            if found.is_some() {
                self.release(core);
                return found;
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                self.release(core);
                self.catch_up();
                return self.change(take);
            }
            // What has come already waits for callbacks, not for octets.
            let reading = if core.has_come(want) {
                None
            } else {
                core.lead()
            };
            core = match reading {
                Some(reading) => self.lead(core, reading, deadline),
                None => self.follow(core, want, deadline),
            };
        }
    }

    /// Like [`wait`](Self::wait), for a task: it is woken when it is to be
    /// polled again.
    pub(crate) fn poll<T>(
        &self,
        want: Want,
        context: &mut Context<'_>,
        mut take: impl FnMut(&mut Core) -> Option<T>,
    ) -> Poll<T> {
        let waker = context.waker().clone();
        let mut core = self.lock();
        let mut found = take(&mut core);
        if found.is_none() && core.has_unwritten() {
            core = self.flush(core);
            found = take(&mut core);
        }
        if found.is_none()
            && !core.has_come(want)
            && let Some(mut reading) = core.lead_in_poll()
        {
            self.settle(&mut core);
            drop(core);
            let got = self.look(&mut reading);
            core = self.lock();
            self.put_down(&mut core, reading, &got);
            core = self.flush(core);
            found = take(&mut core);
        }
        if found.is_none() {
            core.enlist(want, Waking::Task(waker));
        }
        self.release(core);
        found.map_or(Poll::Pending, Poll::Ready)
    }

    /// Reads once, as a leader that must not block.
    fn look(&self, reading: &mut Reading) -> Got {
        let Reading {
            reader,
            spin_in_poll,
            ..
        } = reading;
        let room = reader.room();
        let found = spin_in_poll.look(|| self.try_recv(reader, room).transpose());
        found.map_or(Got::Nothing, |count| Got::from(count.map(Some)))
    }

    /// Reads once, as the leader, blocking.
    fn lead<'a>(
        &'a self,
        mut core: Guard<'a, Core>,
        mut reading: Reading,
        deadline: Option<Instant>,
    ) -> Guard<'a, Core> {
        let writes = core.lets_leader_write();
        let spins = core.expects_answer();
        self.settle(&mut core);
        drop(core);
        let (got, writable) = self.receive(&mut reading, writes, spins, deadline);
        let mut core = self.lock();
        if writable {
            core.roles.unblock();
        }
        self.put_down(&mut core, reading, &got);
        // Answers make room for calls that had to wait.
        core = self.flush(core);
        self.wake_others(core)
    }

    fn put_down(&self, core: &mut Core, reading: Reading, got: &Got) {
        match got {
            Got::Octets => core.came(reading),
            Got::End => core.end_of_input(reading),
            Got::Nothing => core.stop_reading(reading),
        }
        self.attend(core);
    }

    /// Does what the core cannot do by itself: signals and timers.
    fn attend(&self, core: &mut Core) {
        for signal in core.take_signals() {
            if let Err(error) = self.wire.signal(signal) {
                core.cannot_signal(signal, &error);
            }
        }
        if let Some(at) = core.take_needless() {
            self.wire.no_tick_at(at);
        }
        for at in [core.take_alarm(), core.next_deadline()] {
            at.into_iter().for_each(|at| self.wire.tick_at(at));
        }
    }

    fn wake_others<'a>(&'a self, mut core: Guard<'a, Core>) -> Guard<'a, Core> {
        let Some(errands) = core.take_errands() else {
            return core;
        };
        drop(core);
        self.run(errands);
        self.lock()
    }

    fn receive(
        &self,
        reading: &mut Reading,
        writes: bool,
        spins: bool,
        deadline: Option<Instant>,
    ) -> (Got, bool) {
        let Reading { reader, spin, .. } = reading;
        let room = reader.room();
        if spins && !writes {
            let spin = spin.at(reader.is_empty());
            let look = || self.try_recv(reader, room).transpose();
            if let Some(count) = spin.look(look) {
                return (Got::from(count.map(Some)), false);
            }
        }
        if !writes && deadline.is_none() {
            let mut arrival = None;
            let count = self.wire.recv(reader.buffer(), room, &mut arrival);
            reader.arrived(arrival);
            return (Got::from(count.map(Some)), false);
        }
        let interest = Interest {
            read: true,
            write: writes,
        };
        match self.wire.wait(interest, deadline) {
            Err(_) => (Got::End, false),
            Ok(ready) if ready.read => (Got::from(self.try_recv(reader, room)), ready.write),
            Ok(ready) => (Got::Nothing, ready.write),
        }
    }

    fn try_recv(&self, reader: &mut Reader, room: usize) -> std::io::Result<Option<usize>> {
        let mut arrival = None;
        let count = self.wire.try_recv(reader.buffer(), room, &mut arrival);
        reader.arrived(arrival);
        count
    }

    /// Sleeps until woken.
    fn follow<'a>(
        &'a self,
        mut core: Guard<'a, Core>,
        want: Want,
        deadline: Option<Instant>,
    ) -> Guard<'a, Core> {
        // Who has no use for octets is not asked to read them.
        let ticket: Option<Ticket> = (!core.has_come(want)).then(|| core.park(current()));
        core.enlist(want, Waking::Thread(current()));
        self.release(core);
        park_until(deadline);
        let mut core = self.lock();
        if let Some(ticket) = ticket {
            core.unpark(ticket);
        }
        core
    }

    /// Writes what is there, or until the socket is full. If somebody else is
    /// at it, he is asked to look once more.
    pub(crate) fn flush<'a>(&'a self, mut core: Guard<'a, Core>) -> Guard<'a, Core> {
        let mut again = true;
        while again && core.has_unwritten() && core.roles.write() {
            let mut batch = core.caller.take_outbox();
            drop(core);
            let (written, last) = self.write(&mut batch);
            core = self.lock();
            again = core.wrote(written, batch, &last);
        }
        core
    }

    /// Like [`flush`](Self::flush), but sleeps in the kernel for a moment, as
    /// long as it gets on, if much is left that the socket does not take.
    fn flush_patiently<'a>(&'a self, core: Guard<'a, Core>) -> Guard<'a, Core> {
        let mut core = self.flush(core);
        while core.much_is_blocked() {
            core.roles.unblock();
            if !core.roles.write() {
                return core;
            }
            let mut batch = core.caller.take_outbox();
            drop(core);
            let mut slices = [IoSlice::new(&[]); PIECES];
            let count = batch.slices(&mut slices);
            let last = self.wire.send(&slices[..count], batch.descriptors());
            let written = last.as_ref().map_or(0, |sent| sent.unwrap_or(0));
            batch.consume(written);
            core = self.lock();
            core.wrote(written, batch, &last);
            if written == 0 {
                return core;
            }
            core = self.flush(core);
        }
        core
    }

    /// Writes a batch as far as the socket takes it.
    fn write(&self, batch: &mut Outbox) -> (usize, std::io::Result<Option<usize>>) {
        let mut written = 0;
        let mut last = Ok(Some(0));
        while !batch.is_empty() {
            let mut slices = [IoSlice::new(&[]); PIECES];
            let count = batch.slices(&mut slices);
            last = self.wire.try_send(&slices[..count], batch.descriptors());
            if last.as_ref().is_err_and(sys::is_too_many_in_flight) && batch.give_up_descriptors() {
                continue;
            }
            let Ok(Some(sent)) = last else { break };
            batch.consume(sent);
            written += sent;
        }
        (written, last)
    }

    /// For the helper: there is something to read.
    pub(crate) fn readable(&self) {
        for _ in 0..ROUNDS {
            let mut core = self.lock();
            let Some(mut reading) = core.help() else {
                return self.release(core);
            };
            drop(core);
            let room = reading.reader.room();
            let count = self.try_recv(&mut reading.reader, room);
            // What comes later is told of again.
            let more = matches!(count, Ok(Some(count)) if count == room);
            let got = Got::from(count);
            core = self.lock();
            self.put_down(&mut core, reading, &got);
            core = self.flush(core);
            self.release(core);
            if !more {
                return;
            }
        }
    }

    /// For the helper: the socket has room.
    pub(crate) fn writable(&self) {
        let mut core = self.lock();
        core.roles.unblock();
        core = self.flush(core);
        self.release(core);
    }

    /// Reads what has come by now, because what follows is judged by it: after a
    /// pause of the process a time may be over although what it was meant for
    /// is here. Bytes that another thread is about to read are left to that
    /// thread.
    pub(crate) fn catch_up(&self) {
        let mut core = self.lock();
        let target = core.received() + self.wire.unread();
        while core.received() < target && core.may_read() {
            let Some(mut reading) = core.lead() else {
                drop(core);
                std::thread::sleep(MOMENT);
                core = self.lock();
                continue;
            };
            drop(core);
            let room = reading.reader.room();
            let got = Got::from(self.try_recv(&mut reading.reader, room));
            core = self.lock();
            self.put_down(&mut core, reading, &got);
            if matches!(got, Got::Nothing) {
                break;
            }
        }
        self.release(core);
    }

    /// For the helper: the timer fired. What is judged now is judged by all that
    /// has come.
    pub(crate) fn tick(&self, now: Instant) {
        if self.lock().judges_at(now) {
            self.catch_up();
        }
        let mut core = self.lock();
        core.ticked(now);
        self.attend(&mut core);
        if !core.leaves_writing() {
            core = self.flush(core);
        }
        self.release(core);
    }

    /// The time of call `id` is up.
    pub(crate) fn expire(&self, id: u32) {
        self.catch_up();
        self.change(|core| core.expire(id));
    }

    /// Changes the core, and does what follows from it.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Core) -> T) -> T {
        let mut core = self.lock();
        let value = change(&mut core);
        self.attend(&mut core);
        core = self.flush(core);
        self.release(core);
        value
    }
}

impl From<std::io::Result<Option<usize>>> for Got {
    /// An error ends the stream like its end does: how the child ended says
    /// more than the error.
    fn from(count: std::io::Result<Option<usize>>) -> Self {
        match count {
            Ok(Some(0)) | Err(_) => Self::End,
            Ok(Some(_)) => Self::Octets,
            Ok(None) => Self::Nothing,
        }
    }
}
