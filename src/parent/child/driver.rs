//! The driver: moves bytes between callers and one child.
//!
//! The driver has no thread. A thread in [`Driver::wait`] writes, reads, and
//! completes the calls of all waiting threads; `state/leadership.rs` has the rules.
//! Work that no thread waits for is done by the **reactor** (`reactor.rs`). It calls
//! [`Driver::readable`], [`Driver::writable`] and [`Driver::timer_fired`], and
//! reports the exit of the process. Callbacks run on a thread for them
//! (`callbacks.rs`).
//!
//! Invariants:
//!
//! * The lock is never held over a system call that may block, nor while foreign
//!   code runs: wakers, callbacks, decoders. Wakers are collected under the lock and
//!   woken after it is released.
//! * A thread that holds the reader, or the outbox, has the role for it.
//! * [`Lock`] applies the rules whenever it is released, also if a panic unwinds while it is held.
//! * A call is written at once if no other call is in flight. Otherwise it is written
//!   when a thread waits, when [`BATCH`] bytes are unwritten, or by the reactor after
//!   [`FLUSH_DELAY`].

pub(crate) mod lock;

use std::io::IoSlice;
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

use self::lock::Lock;
use super::handlers::ChildHandlers;
use super::interface::WaitMode;
use super::io::Io;
use super::state::callback_queue::NextCallback;
use super::state::leadership::{ReaderRole, TICK};
use super::state::waiters::{Deferred, WaitFor, Waiter};
use super::state::{ChildState, LinkReader};
use crate::base::sync::explored::Mutex;
use crate::error::ChildId;
use crate::message::{FrameReader, Outbox};
use crate::parent::callbacks::{self, CallbackWake, NextStep};
use crate::parent::creator::Creator;
use crate::sys::{self, Interest, Link, ReadMode};
use crate::trace_calls::delivering;

/// From this many unwritten bytes on, a call is written at once.
const BATCH: usize = 16 << 10;
/// How long a call may stay unwritten while others are in flight. A thread that waits
/// usually writes before that. A shorter delay would wake the reactor for nothing.
const FLUSH_DELAY: Duration = Duration::from_micros(400);
/// How many slices are passed to one `writev`.
const MAX_SLICES: usize = 16;
/// How often [`Driver::catch_up`] looks whether another thread has finished reading.
const READER_POLL: Duration = Duration::from_micros(50);
/// How many reads of one link the reactor makes before it serves other sources.
const READS_PER_EVENT: usize = 16;

/// See the module.
pub(crate) struct Driver<W> {
    state: Mutex<ChildState>,
    pub(crate) io: W,
    pub(crate) child: Arc<ChildId>,
    handlers: ChildHandlers,
    this: Weak<Self>,
    creator: Creator,
}

/// The number of bytes that were read or written. `None` if that would block. A read of zero bytes
/// is the end of the stream.
type IoResult = std::io::Result<Option<usize>>;

impl<W: Io> Driver<W> {
    pub(crate) fn new(state: ChildState, io: W, handlers: ChildHandlers) -> Arc<Self> {
        let child = Arc::clone(state.lifecycle.child());
        Arc::new_cyclic(|this| Self {
            state: Mutex::new(state),
            io,
            child,
            handlers,
            this: Weak::clone(this),
            creator: Creator::current(),
        })
    }

    /// Returns whether this process created the driver, and is no copy of it made by
    /// `fork` (`forked.rs`).
    pub(crate) fn is_here(&self) -> bool {
        self.creator.is_current()
    }

    /// Returns a weak reference to the driver.
    pub(crate) fn downgrade(&self) -> Weak<Self> {
        Weak::clone(&self.this)
    }

    pub(crate) fn lock(&self) -> Lock<'_, W> {
        Lock::new(self)
    }

    /// Reads from the state. The rules are not applied afterwards.
    pub(crate) fn inspect<T>(&self, inspect: impl FnOnce(&ChildState) -> T) -> T {
        inspect(&self.state.lock())
    }

    /// Changes the state, writes what is unwritten, and applies the rules.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut ChildState) -> T) -> T {
        let mut state = self.lock();
        let value = change(&mut state);
        state.flush();
        value
    }

    /// Does what was deferred until the lock is released.
    fn run_deferred(&self, deferred: Deferred) {
        let requeues = deferred.requeues();
        let callbacks = deferred.run();
        if requeues {
            self.change(|state| state.waiters.requeued());
        }
        match callbacks {
            Some(CallbackWake::Start) => {
                if let Some(this) = self.this.upgrade() {
                    callbacks::run_each(move |may_wait| this.run_callback(may_wait));
                }
            }
            Some(CallbackWake::Wake(thread)) => thread.unpark(),
            None => {}
        }
    }

    /// Applies the rules, and executes their actions: tells the reactor what to watch,
    /// sends signals, sets timers.
    fn apply_rules(&self, state: &mut ChildState) {
        for signal in std::mem::take(&mut state.signals) {
            if let Err(error) = self.io.signal(signal) {
                state.lifecycle.cannot_signal(signal, &error);
            }
        }
        if let Some(at) = state.needless_tick.take() {
            self.io.cancel_tick(at);
        }
        if let Some(at) = state.arm_timer() {
            self.io.tick_at(at);
        }
        let actions = state.apply_rules();
        if actions.watch_read.or(actions.watch_write).is_some() {
            self.io.watch(actions.watch_read, actions.watch_write);
        }
        if actions.tick {
            let at = Instant::now() + TICK;
            state.looks_at = Some(at);
            self.io.tick_at(at);
        }
        if actions.flush {
            self.io.tick_at(Instant::now() + FLUSH_DELAY);
        }
        if state.may_shut_down() {
            let ended = self.io.link().shutdown_write();
            if ended.is_err() {
                let _ = self.io.signal(libc::SIGKILL);
            }
        }
    }

    /// Has `enter` take a call, and writes the call if no other is in flight.
    pub(crate) fn call<T>(&self, enter: impl FnOnce(&mut ChildState) -> T) -> T {
        let mut state = self.lock();
        let entered = enter(&mut state);
        if state.caller.open() <= 1 || state.caller.unwritten() >= BATCH {
            state.flush();
        }
        entered
    }

    /// Waits until `take` returns a value. `None` if it does not before the deadline, or not
    /// at once for a task. The task is then woken when `take` may return a value.
    pub(crate) fn wait<T>(
        &self,
        wait_for: WaitFor,
        mode: WaitMode<'_>,
        mut take: impl FnMut(&mut ChildState) -> Option<T>,
    ) -> Option<T> {
        let deadline = match mode {
            WaitMode::Thread(deadline) => deadline,
            WaitMode::Task(waker) => return self.poll(wait_for, waker.clone(), take),
        };
        let mut state = self.lock();
        loop {
            if let Some(found) = state.take_or_flush(&mut take) {
                state.leadership.led = true;
                return Some(found);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                drop(state);
                self.catch_up();
                return self.change(take);
            }
            let reader = match state.is_to_read(wait_for) {
                true => state.take_reader(ReaderRole::Leader),
                false => None,
            };
            match reader {
                Some(reader) => state.read_blocking(reader, deadline),
                None => state.follow(wait_for, deadline),
            }
        }
    }

    /// Waits for a task.
    fn poll<T>(
        &self,
        wait_for: WaitFor,
        waker: Waker,
        mut take: impl FnMut(&mut ChildState) -> Option<T>,
    ) -> Option<T> {
        let mut state = self.lock();
        let mut found = state.take_or_flush(&mut take);
        // With rings, a read for an answer that has arrived takes no system call.
        if found.is_none()
            && self.io.link().has_rings()
            && state.is_to_read(wait_for)
            && let Some(mut reader) = state.take_reader(ReaderRole::Leader)
        {
            let got = state.unlocked(|driver| driver.read_once(ReadMode::Look, &mut reader));
            state.put_down(reader, &got);
            state.flush();
            found = take(&mut state);
        }
        if found.is_none() {
            state.add_waiter(wait_for, Waiter::Task(waker));
        }
        found
    }

    /// Reads, for the reactor, because the link is readable.
    pub(crate) fn readable(&self) {
        for _ in 0..READS_PER_EVENT {
            let mut state = self.lock();
            let Some(mut reader) = state.take_reader(ReaderRole::Reactor) else {
                return;
            };
            let (got, more) = state.unlocked(|driver| {
                let room = reader.frames.room();
                let got = driver.recv(ReadMode::Try, &mut reader.frames, room);
                // Later bytes cause another event.
                let more = matches!(got, Ok(Some(count)) if count == room);
                (got, more)
            });
            state.put_down(reader, &got);
            state.flush();
            if !more {
                return;
            }
        }
    }

    /// Handles a doorbell, for the reactor. A doorbell means that there is something to
    /// read, or room to write.
    pub(crate) fn doorbell(&self) {
        self.readable();
        let mut state = self.lock();
        // A thread that reads takes the doorbells itself.
        if state.is_unread() {
            self.io.link().take_doorbells();
        }
        if self.io.link().has_room_again() {
            state.leadership.blocked = false;
        }
        state.flush();
        self.io.watch_again(state.is_unread());
    }

    /// Writes, for the reactor, because the socket has room.
    pub(crate) fn writable(&self) {
        self.change(|state| state.leadership.blocked = false);
    }

    /// Reads everything that has arrived. A deadline is judged only after that: if the
    /// process was stopped, the deadline may be over although the answer has arrived in
    /// time. If another thread reads, waits until it has read those bytes.
    pub(crate) fn catch_up(&self) {
        let mut state = self.lock();
        let target = state.received + self.io.link().unread();
        while state.received < target && state.may_read() {
            let Some(mut reader) = state.take_reader(ReaderRole::Leader) else {
                state.unlocked(|_| std::thread::sleep(READER_POLL));
                continue;
            };
            let got = state.unlocked(|driver| driver.read_once(ReadMode::Try, &mut reader));
            state.put_down(reader, &got);
            if matches!(got, Ok(None)) {
                break;
            }
        }
    }

    /// Does what is due at `now`, for the reactor.
    pub(crate) fn timer_fired(&self, now: Instant) {
        if self.inspect(|state| state.has_deadline_at(now)) {
            self.catch_up();
        }
        self.change(|state| state.timer_fired(now));
    }

    /// Ends call `id`, whose time is up, unless its answer has arrived.
    pub(crate) fn expire(&self, id: u32) {
        self.catch_up();
        self.change(|state| state.expire(id));
    }

    // --- callbacks ---

    /// Runs the next callback. If there is none, the thread waits, or exits if it may not
    /// wait.
    fn run_callback(&self, may_wait: bool) -> NextStep {
        match self.change(|state| state.callbacks.next(may_wait)) {
            NextCallback::Run(callback) => delivering(
                || {
                    let this = self.downgrade();
                    move |call| this.upgrade()?.lock().span_of(call)
                },
                || self.handlers.run(callback),
            ),
            NextCallback::None if may_wait => return NextStep::Wait,
            NextCallback::None => return NextStep::Exit,
            NextCallback::End => {
                self.handlers.end();
                self.change(|state| {
                    state.callbacks.end();
                    state.callback_returned();
                });
                return NextStep::Exit;
            }
        }
        if !self.is_here() {
            // The callback has called `fork`, and returned in the copy of the process.
            return NextStep::Exit;
        }
        self.change(|state| {
            state.callbacks.returned();
            state.callback_returned();
        });
        NextStep::Again
    }

    // --- the link, without the lock ---

    /// Reads once.
    fn read_once(&self, mode: ReadMode, reader: &mut LinkReader) -> IoResult {
        let room = reader.frames.room();
        self.recv(mode, &mut reader.frames, room)
    }

    fn recv(&self, mode: ReadMode, reader: &mut FrameReader, room: usize) -> IoResult {
        let mut arrivals = Vec::new();
        let link = self.io.link();
        let got = link.recv(mode, reader.buffer(), room, &mut arrivals);
        reader.arrived(arrivals);
        got
    }

    /// Reads once, and blocks until something has arrived. Also returns whether there is
    /// room to write.
    fn receive(
        &self,
        reader: &mut LinkReader,
        (writes, blocked): (bool, bool),
        spins: bool,
        deadline: Option<Instant>,
    ) -> (IoResult, bool) {
        let LinkReader { frames, spin } = &mut *reader;
        let (link, room) = (self.io.link(), frames.room());
        if spins && !writes {
            let spin = spin.at(frames.is_empty());
            let look = || {
                let got = self.recv(ReadMode::Look, frames, room);
                let is_something = !matches!(got, Ok(None)) || blocked && link.has_room_again();
                is_something.then_some(got)
            };
            if let Some(got) = spin.wait_for(look) {
                return (got, false);
            }
        }
        if !writes && deadline.is_none() {
            return (self.recv(ReadMode::Block, frames, room), false);
        }
        let interest = Interest {
            read: true,
            write: writes,
        };
        match link.wait(interest, deadline) {
            Err(error) => (Err(error), false),
            Ok(ready) if ready.read => (self.read_once(ReadMode::Try, reader), ready.write),
            Ok(ready) => (Ok(None), ready.write),
        }
    }

    /// Writes `batch` as far as the link takes it. Returns the number of bytes, and the
    /// result of the last write.
    fn write(&self, batch: &mut Outbox) -> (usize, IoResult) {
        let mut written = 0;
        let (link, mut last) = (self.io.link(), Ok(Some(0)));
        while !batch.is_empty() {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let count = batch.slices(&mut slices);
            last = link.try_send(&slices[..count], batch.descriptors());
            if last.as_ref().is_err_and(sys::is_too_many_fds_in_flight)
                && batch.give_up_descriptors()
            {
                continue;
            }
            let Ok(Some(sent)) = last else { break };
            batch.consume(sent);
            written += sent;
        }
        (written, last)
    }
}
