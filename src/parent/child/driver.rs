//! The driver: moves bytes between callers and one child.
//!
//! The driver has no thread. A thread in [`Driver::wait`] flushes, reads, and
//! hands out all that it read; `state/roles.rs` says which one. What no thread
//! waits for is done by the **helper** (`helper.rs`), which calls
//! [`Driver::readable`], [`Driver::writable`] and [`Driver::tick`], and says how
//! the process has exited. Callbacks run on a thread for them (`callbacks.rs`),
//! never in here.
//!
//! Invariants:
//!
//! * The lock is never held over a system call that may block, nor while
//!   foreign code runs: wakers, callbacks, decoders. What is to be woken is
//!   collected and woken after the lock was let go.
//! * A thread that holds the reader, or the outbox, holds the role for it.
//! * What follows from a change is done when the lock is let go, however that is
//!   ([`Lock`]).
//! * Flushing: with nothing else under way a call is written at once; else when
//!   a thread waits, from [`BATCH`] bytes on, or by the helper within [`WRITTEN_WITHIN`].

mod deliveries;
pub(crate) mod lock;

use std::io::IoSlice;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use self::lock::Lock;
use super::courier::Courier;
use super::state::roles::TICK;
use super::state::waiting::{Errands, Waking, Want};
use super::state::{Core, Reading};
use super::wire::Wire;
use crate::base::sync::explored::Mutex;
use crate::error::ChildId;
use crate::parcel::{Outbox, Reader};
use crate::parent::callbacks::{self, Call};
use crate::parent::maker::Maker;
use crate::sys::{self, Interest, ReadMode};

/// How many bytes are written without waiting for more.
const BATCH: usize = 16 << 10;
/// How long a call may lie unwritten while others are in flight. A thread that waits
/// writes before that; if the helper is to be spared being woken, it must not be short.
const WRITTEN_WITHIN: Duration = Duration::from_micros(400);
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
    /// Which child it is.
    pub(crate) child: Arc<ChildId>,
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
    /// The child writes into shared memory what makes no sense.
    Nonsense(String),
}

impl<W: Wire> Driver<W> {
    pub(crate) fn new(core: Core, wire: W, courier: Courier) -> Arc<Self> {
        let child = Arc::clone(core.life.child());
        Arc::new_cyclic(|this| Self {
            core: Mutex::new(core),
            wire,
            child,
            courier,
            this: Weak::clone(this),
            maker: Maker::this(),
        })
    }

    /// This is the process that made it, and not a copy (`forked.rs`).
    pub(crate) fn is_here(&self) -> bool {
        self.maker.is_this()
    }

    pub(crate) fn lock(&self) -> Lock<'_, W> {
        Lock::new(self)
    }

    /// Looks at the state, which nothing follows from.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Core) -> T) -> T {
        look(&self.core.lock())
    }

    /// Changes the state, and does what follows from it.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Core) -> T) -> T {
        let mut core = self.lock();
        let value = change(&mut core);
        core.flush();
        value
    }

    /// Does what was not to be done under the lock.
    fn run(&self, errands: Errands) {
        let returns = errands.returns();
        let delivers = errands.run();
        if returns {
            self.change(Core::returned);
        }
        match delivers {
            Some(Call::Start) => {
                if let Some(this) = self.this.upgrade() {
                    callbacks::run_each(move |may_wait| this.deliver_next(may_wait));
                }
            }
            Some(Call::Wake(thread)) => thread.unpark(),
            None => {}
        }
    }

    /// Applies the rules, and does what the core cannot do by itself: tells the
    /// helper, sends signals, sets timers.
    fn settle(&self, core: &mut Core) {
        for signal in core.take_signals() {
            if let Err(error) = self.wire.signal(signal) {
                core.cannot_signal(signal, &error);
            }
        }
        if let Some(at) = core.take_needless() {
            self.wire.no_tick_at(at);
        }
        if let Some(at) = core.next_time() {
            self.wire.tick_at(at);
        }
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
            self.wire.tick_at(Instant::now() + WRITTEN_WITHIN);
        }
        if core.may_shut_down() {
            self.wire.shutdown_write();
        }
    }

    /// Takes a call, and writes it if it should go at once.
    pub(crate) fn call<T>(&self, enter: impl FnOnce(&mut Core) -> T) -> T {
        let mut core = self.lock();
        let entered = enter(&mut core);
        if core.caller.open() <= 1 || core.caller.unwritten() >= BATCH {
            core.flush();
        }
        entered
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
        loop {
            let mut found = take(&mut core);
            if found.is_none() && core.has_unwritten() {
                core.flush();
                found = take(&mut core);
            }
            if found.is_some() {
                core.roles.collected();
                return found;
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                drop(core);
                self.catch_up();
                return self.change(take);
            }
            let reading = match core.is_to_read(want) {
                true => core.lead(),
                false => None,
            };
            match reading {
                Some(reading) => core.read_blocking(reading, deadline),
                None => core.follow(want, deadline),
            }
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
            core.flush();
            found = take(&mut core);
        }
        // With rings it takes no system call to look whether the answer is there.
        if found.is_none()
            && self.wire.has_rings()
            && !core.has_come(want)
            && let Some(mut reading) = core.lead()
        {
            let got = core.unlocked(|driver| driver.read_once(ReadMode::Look, &mut reading));
            core.put_down(reading, &got);
            core.flush();
            found = take(&mut core);
        }
        if found.is_none() {
            core.enlist(want, Waking::Task(waker));
        }
        found.map_or(Poll::Pending, Poll::Ready)
    }

    /// For the helper: there is something to read.
    pub(crate) fn readable(&self) {
        for _ in 0..ROUNDS {
            let mut core = self.lock();
            let Some(mut reading) = core.help() else {
                return;
            };
            let (got, more) = core.unlocked(|driver| {
                let room = reading.reader.room();
                let count = driver.recv(ReadMode::Try, &mut reading.reader, room);
                // What comes later is told of again.
                let more = matches!(count, Ok(Some(count)) if count == room);
                (Got::from(count), more)
            });
            core.put_down(reading, &got);
            core.flush();
            if !more {
                return;
            }
        }
    }

    /// For the helper, where rings are in use: a doorbell has come, for whatever.
    pub(crate) fn doorbell(&self) {
        self.readable();
        let mut core = self.lock();
        // A thread that reads takes doorbells itself.
        if core.is_unread() {
            self.wire.take_doorbells();
        }
        if self.wire.has_room_again() {
            core.roles.unblock();
        }
        core.flush();
        self.wire.watch_again(core.is_unread());
    }

    /// For the helper: the socket has room.
    pub(crate) fn writable(&self) {
        self.change(|core| core.roles.unblock());
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
                core.unlocked(|_| std::thread::sleep(MOMENT));
                continue;
            };
            let got = core.unlocked(|driver| driver.read_once(ReadMode::Try, &mut reading));
            core.put_down(reading, &got);
            if matches!(got, Got::Nothing) {
                break;
            }
        }
    }

    /// For the helper: the timer fired. What is judged now is judged by all that
    /// has come.
    pub(crate) fn tick(&self, now: Instant) {
        if self.look(|core| core.judges_at(now)) {
            self.catch_up();
        }
        self.change(|core| core.ticked(now));
    }

    /// The time of call `id` is up.
    pub(crate) fn expire(&self, id: u32) {
        self.catch_up();
        self.change(|core| core.expire(id));
    }

    // --- the link, without the lock ---

    /// Reads once.
    fn read_once(&self, mode: ReadMode, reading: &mut Reading) -> Got {
        let room = reading.reader.room();
        Got::from(self.recv(mode, &mut reading.reader, room))
    }

    fn recv(
        &self,
        mode: ReadMode,
        reader: &mut Reader,
        room: usize,
    ) -> std::io::Result<Option<usize>> {
        let mut arrivals = Vec::new();
        let count = self.wire.recv(mode, reader.buffer(), room, &mut arrivals);
        reader.arrived(arrivals);
        count
    }

    /// Reads once, blocking. Returns also whether there is room to write.
    fn receive(
        &self,
        reading: &mut Reading,
        (writes, blocked): (bool, bool),
        spins: bool,
        deadline: Option<Instant>,
    ) -> (Got, bool) {
        let Reading { reader, spin, .. } = &mut *reading;
        let room = reader.room();
        if spins && !writes {
            let spin = spin.at(reader.is_empty());
            let look = || {
                let count = self.recv(ReadMode::Look, reader, room);
                let is_something =
                    !matches!(count, Ok(None)) || blocked && self.wire.has_room_again();
                is_something.then_some(count)
            };
            if let Some(count) = spin.look(look) {
                return (Got::from(count), false);
            }
        }
        if !writes && deadline.is_none() {
            let count = self.recv(ReadMode::Block, reader, room);
            return (Got::from(count), false);
        }
        let interest = Interest {
            read: true,
            write: writes,
        };
        match self.wire.wait(interest, deadline) {
            Err(_) => (Got::End, false),
            Ok(ready) if ready.read => (self.read_once(ReadMode::Try, reading), ready.write),
            Ok(ready) => (Got::Nothing, ready.write),
        }
    }

    /// Writes a batch as far as the link takes it. Returns how much that was.
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
}

impl From<std::io::Result<Option<usize>>> for Got {
    /// An error ends the stream like its end does: how the child ended says
    /// more than the error.
    fn from(count: std::io::Result<Option<usize>>) -> Self {
        match count {
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                Self::Nonsense(error.to_string())
            }
            Ok(Some(0)) | Err(_) => Self::End,
            Ok(Some(_)) => Self::Octets,
            Ok(None) => Self::Nothing,
        }
    }
}
