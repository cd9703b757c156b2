//! What the driver's lock guards: the conversation, the roles, who waits, and
//! how far the child is in its life.
//!
//! ```text
//!            hello        ready          end of input, and exit
//!  Greeting ───────▶ Init ───────▶ Open ───────────────────────▶ Over
//!      └───────────────┴──── also from each of these ──────────────▲
//! ```
//!
//! A child is over once its stream has ended *and* its exit is known, whichever
//! comes first; then every call that is left is lost, and says how it ended.
//! The two are watched independently:
//!
//! * It exits, but the stream does not end, because a grandchild holds it: the
//!   helper shuts the socket, and readers find the end behind what was written.
//! * The stream ends, but it does not exit: it is killed after [`GRACE`].
//!
//! A violation ends the stream, too, and has the child killed. Exit, end of
//! stream and violation come in any order, and some more than once; the child
//! is over once ([`Core::proceed`]).

mod calls;
mod deadlines;
pub(crate) mod delivery;
mod end;
mod events;
pub(crate) mod inbox;
pub(crate) mod life;
mod members;
pub(crate) mod roles;
pub(crate) mod waiting;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::Instant;

use self::deadlines::Deadlines;
use self::delivery::{Delivery, Item};
use self::life::{Ending, Life};
use self::roles::{Needs, Orders, Roles, Ticket};
use self::waiting::{Errands, Waiting, Waking, Want};
use super::terms::{Callback, EventSink};
use crate::base::spin::Spins;
use crate::base::sync::Thread;
use crate::error::Error;
use crate::parcel::{Outbox, Payload, Reader};
use crate::protocol::{Absorbed, Failure, Hello};
use crate::sys::Arrival;

pub(crate) use self::calls::Waiter;

pub(crate) type Caller = crate::protocol::Caller<Waiter, OwnedFd>;
type Notice = crate::protocol::Notice<OwnedFd>;

/// What the role of the reader goes with.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) reader: Reader,
    pub(crate) spin: Spins,
}

/// See the module.
pub(crate) struct Core {
    pub(crate) caller: Caller,
    pub(crate) roles: Roles,
    pub(crate) life: Life,
    pub(crate) delivery: Delivery,
    /// `None` while somebody reads.
    reader: Option<Reading>,
    notices: Vec<Notice>,
    waiting: Waiting,
    /// How many bytes of the stream were absorbed.
    received: u64,
    /// How many calls are done for callbacks.
    callbacks: usize,
    deadlines: Deadlines,
    /// Calls that take the child with them if they start: the id by the ordinal,
    /// in whose order the child starts them.
    condemned: BTreeMap<u64, u32>,
    /// The leader watches for room.
    leader_writes: bool,
    /// The helper reads what comes, at once and alone, for a pool.
    eager: bool,
    /// When the helper will look again.
    look_at: Option<Instant>,
    signals: Vec<i32>,
    /// When the helper would look for nothing.
    needless: Option<Instant>,
    /// What the child has answered for the rings, until the link knows.
    rings: Option<RingsAnswer>,
}

/// What a child's hello says of the rings.
#[derive(Debug)]
pub(crate) enum RingsAnswer {
    /// They are used; behind hello this has come over the socket.
    Accepted(Vec<u8>, Vec<Arrival>),
    /// They are not used.
    Refused,
}

impl Core {
    pub(crate) fn new(caller: Caller, reading: Reading, life: Life, delivery: Delivery) -> Self {
        Self {
            caller,
            roles: Roles::new(),
            life,
            delivery,
            reader: Some(reading),
            notices: Vec::new(),
            waiting: Waiting::default(),
            received: 0,
            callbacks: 0,
            deadlines: Deadlines::default(),
            condemned: BTreeMap::new(),
            leader_writes: false,
            eager: false,
            look_at: None,
            signals: Vec::new(),
            needless: None,
            rings: None,
        }
    }

    // --- roles ---

    /// The calling thread becomes the leader, if reading is free and possible.
    pub(crate) fn lead(&mut self) -> Option<Reading> {
        (self.may_read() && self.roles.lead()).then(|| self.take_reader())
    }

    /// The helper becomes the reader, if reading is free and possible.
    pub(crate) fn help(&mut self) -> Option<Reading> {
        (self.may_read() && self.roles.help()).then(|| self.take_reader())
    }

    /// The helper may look for answers before it sleeps.
    pub(crate) fn helper_may_look(&self) -> bool {
        let spins = |own: &Reading| own.spin.is_on();
        self.roles.is_watched() && self.expects_answer() && self.reader.as_ref().is_some_and(spins)
    }

    /// Returns whether no thread reads.
    pub(crate) fn is_unread(&self) -> bool {
        self.reader.is_some()
    }

    fn take_reader(&mut self) -> Reading {
        self.reader
            .take()
            .expect("whoever has the role has the reader")
    }

    /// There may be something to read, and there is room for it. Of a child that
    /// has exited only what the socket held can come, so there is always room.
    pub(crate) fn may_read(&self) -> bool {
        let room = !self.delivery.is_full() || self.life.has_exited();
        !self.life.stream_ended() && room
    }

    /// How many bytes of the stream were read and absorbed.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    pub(crate) fn settle(&mut self) -> Orders {
        // Who keeps several children waits for each to be ready.
        let is_awaited = self.waiting.is_watched() && self.life.readiness().is_none();
        let nobody_reads = self.waiting.has_tasks()
            || self.callbacks > 0
            || self.delivery.wants_events()
            || is_awaited;
        let needs = Needs {
            readable: self.may_read(),
            urgent: nobody_reads || self.eager || self.life.is_urgent(),
            unwritten: self.has_unwritten() && !(self.leader_writes && self.roles.is_blocked()),
        };
        let orders = self.roles.settle(needs);
        if let Some(heir) = orders.wake {
            self.waiting.wake_parked(heir);
        }
        orders
    }

    /// Returns whether a thread that waits for this reads. What has come already waits for callbacks, not for bytes.
    pub(crate) fn is_to_read(&mut self, want: Want) -> bool {
        !self.eager && !self.has_come(want)
    }

    /// This thread goes to sleep, and would lead if it was asked to.
    pub(crate) fn park(&mut self, thread: Thread) -> Ticket {
        let ticket = self.waiting.park(thread);
        if !self.eager {
            self.roles.park(ticket);
        }
        ticket
    }

    pub(crate) fn unpark(&mut self, ticket: Ticket) {
        self.waiting.unpark(ticket);
        self.roles.unpark(ticket);
    }

    // --- who is woken ---

    /// What is to be done without the lock, if anything is.
    pub(crate) fn take_errands(&mut self) -> Option<Errands> {
        if !self.has_errands() {
            return None;
        }
        let spent = self.caller.take_spent();
        let delivers = self.delivery.take_due();
        Some(self.waiting.take_errands(spent, delivers))
    }

    pub(crate) fn has_errands(&self) -> bool {
        self.waiting.has_errands() || self.caller.has_spent() || self.delivery.is_due()
    }

    /// Has `callback` called with an error in its turn.
    pub(crate) fn refuse(&mut self, callback: Callback, error: Error) {
        self.delivery.push(Item::Done(callback, Err(error)));
    }

    /// This one is to be woken when what it wants may have come.
    pub(crate) fn enlist(&mut self, want: Want, waking: Waking) {
        let nested = self.delivery.is_running_here();
        match want {
            Want::Call(id) => match self.caller.waiter(id) {
                Some(waiter) => {
                    waiter.nested = nested;
                    self.waiting.enlist(&mut waiter.waking, waking);
                }
                None => debug_assert!(false, "only who holds a call waits for it"),
            },
            Want::Change => self.waiting.enlist_for_change(waking),
        }
    }

    /// Wakes whoever waits for anything but a call.
    pub(crate) fn wake_changes(&mut self) {
        self.waiting.wake_changes();
    }

    fn wake_call(&mut self, id: u32) {
        let waiter = self.caller.waiter(id);
        let waking = waiter.and_then(|waiter| waiter.waking.take());
        self.waiting.wake(waking);
    }

    // --- reading ---

    /// The reader is put down; octets have come.
    pub(crate) fn came(&mut self, mut reading: Reading) {
        let absorbed = self.absorb(&mut reading);
        self.stop_reading(reading);
        if let Err(ending) = absorbed {
            self.break_off(ending);
        }
    }

    /// Takes all whole frames. An error is a violation, behind which nothing is
    /// taken.
    fn absorb(&mut self, reading: &mut Reading) -> Result<(), Ending> {
        self.received = reading.reader.received();
        let mut notices = std::mem::take(&mut self.notices);
        let answered = self.caller.answered();
        let mut absorbed = Ok(Absorbed::Hello);
        // A hello is checked before what comes after it is believed.
        while absorbed == Ok(Absorbed::Hello) && !self.life.stream_ended() {
            absorbed = self.caller.absorb(&mut reading.reader, &mut notices);
            for notice in notices.drain(..) {
                self.notice(notice);
            }
            if let Some(RingsAnswer::Accepted(bytes, arrivals)) = &mut self.rings {
                let (more, lots) = reading.reader.leave_socket();
                bytes.extend(more);
                arrivals.extend(lots);
            }
        }
        self.notices = notices;
        self.crowd_out();
        if self.caller.answered() != answered {
            self.waiting.news();
        }
        if self.delivery.is_full() {
            // A callback that waits must hear that nothing more will be read.
            self.waiting.wake_all_parked();
            self.waiting.news();
        }
        match absorbed {
            Ok(_) => Ok(()),
            Err(violation) if self.life.is_greeted() => Err(Ending::Violation(violation.0)),
            Err(violation) => Err(Ending::Handshake(violation.0)),
        }
    }

    /// The reader is put down.
    pub(crate) fn stop_reading(&mut self, reading: Reading) {
        self.reader = Some(reading);
        self.leader_writes = false;
        self.roles.leave();
    }

    fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Completed(id) => self.completed(id),
            Notice::Event(payload) => self.event(payload),
            Notice::CallEvent(id, payload) => self.call_event(id, payload),
            Notice::Hello(hello) => self.greet(&hello),
            Notice::Ready => self.ready(),
            Notice::Retired => {
                self.life.retire();
                self.waiting.news();
            }
            Notice::Unfit(failure) => self.unfit(&failure),
        }
    }

    fn event(&mut self, payload: Payload) {
        match self.delivery.sink() {
            EventSink::Handler => self.delivery.push(Item::Event(payload)),
            EventSink::Nobody => self.delivery.push(Item::Report(Error::unhandled())),
            EventSink::Stream => {
                self.delivery.push_stream(payload);
                self.wake_changes();
            }
            EventSink::Dropped => {}
        }
    }

    fn greet(&mut self, hello: &Hello) {
        // The time for it is not waited for any more.
        self.needless = self.deadlines.disarm();
        self.rings = Some(match hello.field("rings") {
            Some(b"used") => RingsAnswer::Accepted(Vec::new(), Vec::new()),
            _ => RingsAnswer::Refused,
        });
        if let Err(text) = self.life.greet(hello) {
            return self.break_off(Ending::Handshake(text));
        }
        if let Some(limit) = hello.number("max-message") {
            self.caller.limit_frames(limit);
        }
    }

    fn ready(&mut self) {
        self.life.ready();
        self.waiting.news();
        self.wake_changes();
    }

    fn unfit(&mut self, failure: &Failure) {
        let place = if failure.place.is_empty() {
            String::new()
        } else {
            format!(" (panicked at {})", failure.place)
        };
        self.life
            .doom(Ending::Init(format!("{}{place}", failure.message)));
    }

    // --- writing ---

    /// What the child has answered for the rings, unless a thread writes: its
    /// bytes may be to be sent once more.
    pub(crate) fn take_rings_answer(&mut self) -> Option<RingsAnswer> {
        let is_writing = self.roles.is_writing();
        self.rings
            .take_if(|answer| !matches!(answer, RingsAnswer::Refused) || !is_writing)
    }

    pub(crate) fn has_unwritten(&self) -> bool {
        self.caller.unwritten() > 0
    }

    /// The leader is to watch for room, too, instead of the helper.
    pub(crate) fn lets_leader_write(&mut self, rings: bool) -> bool {
        self.leader_writes = rings || self.roles.is_blocked() && self.has_unwritten();
        self.leader_writes
    }

    /// The writer is back with what it could not write. True if somebody else
    /// came to write meanwhile.
    pub(crate) fn wrote(
        &mut self,
        count: usize,
        unwritten: Outbox,
        last: &std::io::Result<Option<usize>>,
    ) -> bool {
        self.caller.wrote(count, unwritten);
        let again = self.roles.wrote(matches!(last, Ok(None)));
        if last.is_err() || self.life.is_over() {
            // Nobody reads any more. How the child ended comes from elsewhere.
            self.caller.drop_outbox();
            self.life.shut_down();
        }
        if let Err(error) = last
            && error.kind() == std::io::ErrorKind::InvalidData
        {
            self.break_off(Ending::Violation(error.to_string()));
        }
        again
    }

    // --- time ---

    /// The helper is told to look again then.
    pub(crate) fn look_at(&mut self, at: Instant) {
        self.look_at = Some(at);
    }

    /// Returns whether a child or a call is given up at `now` for what it has not done.
    pub(crate) fn judges_at(&self, now: Instant) -> bool {
        self.life.is_alarm_due(now) || self.deadlines.is_due(now)
    }

    /// A time has come, one of several that were asked for; what is unwritten
    /// will be flushed.
    pub(crate) fn ticked(&mut self, now: Instant) {
        self.roles.flushed();
        if self.look_at.take_if(|at| *at <= now).is_some() {
            self.roles.looked();
        }
        if let Some(signal) = self.life.alarm(now) {
            self.signals.push(signal);
        }
        if self.life.gives_up(now) {
            self.proceed();
        }
        self.times_up(now);
    }

    pub(crate) fn take_signals(&mut self) -> Vec<i32> {
        std::mem::take(&mut self.signals)
    }

    pub(crate) fn take_needless(&mut self) -> Option<Instant> {
        self.needless.take()
    }

    /// When the helper is to look at the child, or at a call, if it does not know.
    pub(crate) fn next_time(&mut self) -> Option<Instant> {
        self.deadlines.arm(self.life.next_alarm())
    }

    // --- deliveries ---

    /// A delivery was made: whoever had to wait for it goes on.
    pub(crate) fn delivered(&mut self) {
        while let Some(id) = self.delivery.next_freed() {
            self.wake_call(id);
        }
        if self.life.is_over() {
            self.waiting.news();
        }
        self.wake_changes();
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core")
            .field("roles", &self.roles)
            .finish_non_exhaustive()
    }
}
