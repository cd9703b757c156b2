//! The state that the driver's lock guards: the conversation with the child, the leadership, the
//! waiters, the callbacks, and the lifecycle.
//!
//! ```text
//!                 hello        ready          end of input, and exit
//!  AwaitingHello ───────▶ Init ───────▶ Open ───────────────────────▶ Over
//!      └────────────────────┴──── also from each of these ──────────────▲
//! ```
//!
//! A child is over once its stream has ended *and* its exit is known, whichever comes
//! first. Every open call then fails with how the child ended. The two are watched
//! independently:
//!
//! * If the child exits but a grandchild keeps the stream open, the reactor shuts the
//!   socket down. Readers find the end behind what was written.
//! * If the stream ends but the child does not exit, it is killed after [`GRACE`].
//!
//! A violation of the protocol ends the stream and kills the child. Exit, end of stream
//! and violation come in any order, and may come more than once; the child is over once
//! ([`ChildState::proceed`]).

pub(crate) mod callback_queue;
mod calls;
mod deadlines;
mod end;
mod events;
pub(crate) mod leadership;
pub(crate) mod lifecycle;
pub(crate) mod waiters;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::Instant;

use self::callback_queue::{Callback, CallbackQueue};
use self::deadlines::Deadlines;
use self::leadership::{Actions, Inputs, Leadership, ParkedId, ReaderRole};
use self::lifecycle::{ExitCause, Lifecycle};
use self::waiters::{Deferred, WaitFor, Waiter, Waiters};
use super::interface::{EventSink, OnDone};
use crate::base::spin::Spins;
use crate::base::sync::Thread;
use crate::error::Error;
use crate::message::{FrameReader, Outbox, Payload};
use crate::parent::callbacks::is_callback_thread;
use crate::protocol::{Failure, Hello, ReadUpTo};
use crate::sys::{self, FdBatch};

pub(crate) use self::calls::CallEntry;

pub(crate) type Caller = crate::protocol::Caller<CallEntry, OwnedFd>;
type Notice = crate::protocol::Notice<OwnedFd>;

/// The tools of the thread that reads the link.
#[derive(Debug)]
pub(crate) struct LinkReader {
    pub(crate) frames: FrameReader,
    pub(crate) spin: Spins,
}

/// See the module.
pub(crate) struct ChildState {
    pub(crate) caller: Caller,
    pub(crate) leadership: Leadership,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) callbacks: CallbackQueue,
    /// `None` while a thread reads.
    reader: Option<LinkReader>,
    notices: Vec<Notice>,
    pub(crate) waiters: Waiters,
    /// How many bytes of the stream were handled.
    pub(crate) received: u64,
    /// How many open calls complete with a callback.
    callback_calls: usize,
    deadlines: Deadlines,
    /// Cancelled calls for which the child is killed if it starts them: their ids, by
    /// their position among all calls sent. The child starts calls in that order.
    kill_if_started: BTreeMap<u64, u32>,
    /// The leader watches for room to write.
    leader_writes: bool,
    /// Only the reactor reads, because calls are queued in the pool.
    pub(crate) eager: bool,
    /// When the reactor looks whether it is to read.
    pub(crate) looks_at: Option<Instant>,
    /// The signals that are to be sent to the child.
    pub(crate) signals: Vec<i32>,
    /// A tick that is no longer needed.
    pub(crate) needless_tick: Option<Instant>,
    /// The answer of the child's hello about the rings, until the link is told.
    pub(crate) rings: Option<RingsAnswer>,
}

/// The answer of a child's hello about the rings.
#[derive(Debug)]
pub(crate) enum RingsAnswer {
    /// They are used. These bytes, and what came with them, have arrived over the socket
    /// behind hello.
    Accepted(Vec<u8>, Vec<FdBatch>),
    /// They are not used.
    Refused,
}

impl ChildState {
    pub(crate) fn new(
        caller: Caller,
        reader: LinkReader,
        lifecycle: Lifecycle,
        callbacks: CallbackQueue,
    ) -> Self {
        Self {
            caller,
            leadership: Leadership::new(),
            lifecycle,
            callbacks,
            reader: Some(reader),
            notices: Vec::new(),
            waiters: Waiters::default(),
            received: 0,
            callback_calls: 0,
            deadlines: Deadlines::default(),
            kill_if_started: BTreeMap::new(),
            leader_writes: false,
            eager: false,
            looks_at: None,
            signals: Vec::new(),
            needless_tick: None,
            rings: None,
        }
    }

    // --- leadership ---

    /// Takes the reader, for the role `role`. `None` if another thread reads, or nothing may be
    /// read.
    pub(crate) fn take_reader(&mut self, role: ReaderRole) -> Option<LinkReader> {
        (self.may_read() && self.leadership.take_reading(role)).then(|| {
            let reader = self.reader.take();
            reader.expect("a thread with the role has the reader")
        })
    }

    /// Returns whether the reactor may spin for answers before it sleeps.
    pub(crate) fn reactor_may_spin(&self) -> bool {
        let spins = |own: &LinkReader| own.spin.is_on();
        self.leadership.watches_read
            && self.expects_answer()
            && self.reader.as_ref().is_some_and(spins)
    }

    /// Returns whether no thread reads.
    pub(crate) fn is_unread(&self) -> bool {
        self.reader.is_some()
    }

    /// Returns whether the stream goes on and there is room for what it brings. There is
    /// always room after the exit, because only what the socket holds can still arrive.
    pub(crate) fn may_read(&self) -> bool {
        let room = !self.callbacks.is_full() || self.lifecycle.has_exited();
        !self.lifecycle.stream_ended && room
    }

    /// Applies the rules of the leadership.
    pub(crate) fn apply_rules(&mut self) -> Actions {
        // A pool waits for each of its children to be ready.
        let is_awaited = self.waiters.pool.is_some() && self.lifecycle.readiness().is_none();
        let needs_reactor = self.waiters.tasks > 0
            || self.callback_calls > 0
            || self.callbacks.wants_events()
            || is_awaited
            // Calls are sent once hello has come.
            || self.has_unwritten() && !self.lifecycle.has_said_hello();
        let inputs = Inputs {
            readable: self.may_read(),
            urgent: needs_reactor || self.eager || self.lifecycle.is_urgent(),
            unwritten: self.has_unwritten() && !(self.leader_writes && self.leadership.blocked),
        };
        let actions = self.leadership.apply_rules(inputs);
        if let Some(successor) = actions.wake {
            self.waiters.wake_parked(successor);
        }
        actions
    }

    /// Returns whether a thread that waits for this may read. If the answer has arrived,
    /// it is held until callbacks have returned, and reading does not help.
    pub(crate) fn is_to_read(&mut self, wait_for: WaitFor) -> bool {
        !self.eager && !self.is_there(wait_for)
    }

    /// Notes that this thread goes to sleep. It becomes the leader if it is woken for that.
    pub(crate) fn park(&mut self, thread: Thread) -> ParkedId {
        let parked_id = self.waiters.park(thread);
        if !self.eager {
            self.leadership.park(parked_id);
        }
        parked_id
    }

    /// Notes that the thread is awake.
    pub(crate) fn unpark(&mut self, parked_id: ParkedId) {
        self.waiters.unpark(parked_id);
        self.leadership.unpark(parked_id);
    }

    // --- waking ---

    /// Takes what is to be done after the lock is released. `None` if it is nothing.
    pub(crate) fn take_deferred(&mut self) -> Option<Deferred> {
        if !(self.waiters.has_deferred() || self.caller.has_unwanted() || self.callbacks.due) {
            return None;
        }
        let unwanted = self.caller.take_unwanted();
        let callbacks = self.callbacks.take_due();
        Some(self.waiters.take_deferred(unwanted, callbacks))
    }

    /// Has `on_done` called with `error`, after the callbacks that are queued.
    pub(crate) fn refuse(&mut self, on_done: OnDone, error: Error) {
        self.callbacks.push(Callback::Done(on_done, Err(error)));
    }

    /// Has `waiter` woken when what it waits for may be there.
    pub(crate) fn add_waiter(&mut self, wait_for: WaitFor, waiter: Waiter) {
        let nested = is_callback_thread();
        match wait_for {
            WaitFor::Call(id) => match self.caller.waiter(id) {
                Some(entry) => {
                    entry.nested = nested;
                    self.waiters.add(&mut entry.waiter, waiter);
                }
                None => debug_assert!(false, "only the holder of a call waits for it"),
            },
            WaitFor::Change => self.waiters.add_for_change(waiter),
        }
    }

    fn wake_call(&mut self, id: u32) {
        let entry = self.caller.waiter(id);
        let waiter = entry.and_then(|entry| entry.waiter.take());
        self.waiters.wake(waiter);
    }

    // --- reading ---

    /// Handles the bytes that were read, and takes the reader back.
    pub(crate) fn handle_bytes(&mut self, mut reader: LinkReader) {
        let handled = self.handle_frames(&mut reader);
        self.stop_reading(reader);
        if let Err(cause) = handled {
            self.break_off(cause);
        }
    }

    /// Handles all complete frames. An error says how the child broke the protocol;
    /// nothing behind that is handled.
    fn handle_frames(&mut self, reader: &mut LinkReader) -> Result<(), ExitCause> {
        self.received = reader.frames.received();
        let mut notices = std::mem::take(&mut self.notices);
        let answered = self.caller.answered();
        let mut read = Ok(ReadUpTo::Hello);
        // A hello is checked before anything behind it is handled.
        while read == Ok(ReadUpTo::Hello) && !self.lifecycle.stream_ended {
            read = self.caller.read_frames(&mut reader.frames, &mut notices);
            for notice in notices.drain(..) {
                self.notice(notice);
            }
            if let Some(RingsAnswer::Accepted(bytes, arrivals)) = &mut self.rings {
                let (more, batches) = reader.frames.leave_socket();
                bytes.extend(more);
                arrivals.extend(batches);
            }
        }
        self.notices = notices;
        self.drop_unasked_events();
        if self.caller.answered() != answered {
            self.waiters.wake_pool();
        }
        if self.callbacks.is_full() {
            // A callback that waits must learn that nothing more is read before it returns.
            self.waiters.wake_all_parked();
            self.waiters.wake_pool();
        }
        match read {
            Ok(_) => Ok(()),
            Err(violation) if self.lifecycle.has_said_hello() => {
                Err(ExitCause::Violation(violation.0))
            }
            Err(violation) => Err(ExitCause::Handshake(violation.0)),
        }
    }

    /// Takes the reader back: no thread reads now.
    pub(crate) fn stop_reading(&mut self, reader: LinkReader) {
        self.reader = Some(reader);
        self.leader_writes = false;
        self.leadership.leave();
    }

    fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Completed(id) => self.complete(id),
            Notice::Event(payload) => self.handle_event(payload),
            Notice::CallEvent(id, payload) => self.handle_call_event(id, payload),
            Notice::Hello(hello) => self.handle_hello(&hello),
            Notice::Ready => self.handle_ready(),
            Notice::Retired => {
                self.lifecycle.retire();
                self.waiters.wake_pool();
            }
            Notice::Unfit(failure) => self.handle_unfit(&failure),
        }
    }

    fn handle_event(&mut self, payload: Payload) {
        match self.callbacks.sink {
            EventSink::Handler => self.callbacks.push(Callback::Event(payload)),
            EventSink::Unhandled => self.callbacks.push(Callback::Report(Error::unhandled())),
            EventSink::Stream => {
                self.callbacks.push_stream(payload);
                self.waiters.wake_changes();
            }
            EventSink::Dropped => {}
        }
    }

    fn handle_hello(&mut self, hello: &Hello) {
        // The reactor need not wake up for the hello timeout any more.
        self.needless_tick = self.deadlines.armed.take();
        self.rings = Some(match hello.field("rings") {
            Some(b"used") => RingsAnswer::Accepted(Vec::new(), Vec::new()),
            _ => RingsAnswer::Refused,
        });
        if let Err(text) = self.lifecycle.accept_hello(hello) {
            return self.break_off(ExitCause::Handshake(text));
        }
        if let Some(limit) = hello.number("max-message") {
            self.caller.lower_frame_limit(limit);
        }
    }

    fn handle_ready(&mut self) {
        self.lifecycle.ready();
        self.waiters.wake_pool();
        self.waiters.wake_changes();
    }

    fn handle_unfit(&mut self, failure: &Failure) {
        let place = if failure.place.is_empty() {
            String::new()
        } else {
            format!(" (panicked at {})", failure.place)
        };
        self.lifecycle
            .set_cause(ExitCause::Init(format!("{}{place}", failure.message)));
    }

    // --- writing ---

    pub(crate) fn has_unwritten(&self) -> bool {
        self.caller.unwritten() > 0
    }

    /// Says whether the leader watches for room to write, instead of the reactor.
    pub(crate) fn lets_leader_write(&mut self, rings: bool) -> bool {
        self.leader_writes = rings || self.leadership.blocked && self.has_unwritten();
        self.leader_writes
    }

    /// Notes that `count` bytes were written, and takes the rest back. Returns whether
    /// another thread wanted to write meanwhile.
    pub(crate) fn wrote(
        &mut self,
        count: usize,
        unwritten: Outbox,
        last: &std::io::Result<Option<usize>>,
    ) -> bool {
        self.caller.wrote(count, unwritten);
        let again = self.leadership.wrote(matches!(last, Ok(None)));
        if last.is_err() || self.lifecycle.is_over() {
            // The child does not read any more. The cause is its exit status.
            self.caller.drop_outbox();
            self.lifecycle.shut_down();
        }
        match last {
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                self.break_off(ExitCause::Violation(error.to_string()));
            }
            Err(error) if !sys::is_gone_peer(error) => {
                self.kill(format!("its link cannot be written to: {error}"));
            }
            _ => {}
        }
        again
    }

    // --- time ---

    /// Returns whether a deadline of the child or of a call is over at `now`.
    pub(crate) fn has_deadline_at(&self, now: Instant) -> bool {
        self.lifecycle.is_timeout_due(now) || self.deadlines.is_due(now)
    }

    /// Does what is due at `now`. The driver writes what is unwritten afterwards.
    pub(crate) fn timer_fired(&mut self, now: Instant) {
        self.leadership.flushing = false;
        if self.looks_at.take_if(|at| *at <= now).is_some() {
            self.leadership.ticking = false;
        }
        if let Some(signal) = self.lifecycle.time_out(now) {
            self.signals.push(signal);
        }
        if self.lifecycle.gives_up(now) {
            self.proceed();
        }
        self.expire_calls(now);
    }

    /// Returns the next deadline of the child or of a call. `None` if the reactor wakes up
    /// by then anyway.
    pub(crate) fn arm_timer(&mut self) -> Option<Instant> {
        self.deadlines.arm(self.lifecycle.next_timeout())
    }

    // --- callbacks ---

    /// Wakes the threads and tasks that had to wait until a callback returned.
    pub(crate) fn callback_returned(&mut self) {
        while let Some(id) = self.callbacks.next_released() {
            self.wake_call(id);
        }
        if self.lifecycle.is_over() {
            self.waiters.wake_pool();
        }
        self.waiters.wake_changes();
    }
}
