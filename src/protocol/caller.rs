//! The parent's half: ids, open calls, room, order, close.
//!
//! A call is in one of these states, and leaves them only downwards:
//!
//! ```text
//! Queued     over the limits; its octets wait here, first come, first served
//! Sent       in the outbox, or written; its answer may come
//! Expired    its time was up after it was sent; waits to be collected, once
//! Abandoned  cancelled after it was sent; its answer is dropped when it comes
//! Done       its outcome waits to be collected, once
//! ```
//!
//! The id is given back when a Queued call is cancelled, when the answer of an
//! Abandoned one comes, and when a Done one is collected or dropped: so no late
//! answer can reach another call. An Expired one that is collected is Abandoned,
//! and Done if its answer comes first.

mod end;
mod limits;
mod withdraw;

use std::collections::BTreeMap;

use self::limits::too_long;

use super::frame::largest_id;
use super::hello::{MAGIC, may_be_hello};
use super::reader::Step;
use super::table::Table;
use super::{
    Failure, Form, Frame, HEADER, Hello, Kind, Outbox, Parcel, Payload, Reader, Violation,
};

/// How much may be under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Calls sent and unanswered.
    pub(crate) calls: usize,
    /// Octets of requests sent and unanswered. A call that is longer than all
    /// of it is sent when it is alone.
    pub(crate) bytes: usize,
    /// The longest request; the child's own limit joins it at hello.
    pub(crate) frame: u32,
    /// Descriptors with one request, and with results that wait to be collected.
    pub(crate) descriptors: usize,
}

/// Whether a call that failed had started in the child.
///
/// [`No`](Self::No) is a promise: the function did not run, so the call may be
/// repeated elsewhere.
///
/// ```
/// # use std::{io, process};
/// # fn leave(code: String) {
/// #     process::exit(code.parse().map_err(io::Error::other).unwrap_or(0))
/// # }
/// # offspring::worker!(LEAVE: fn(String) = leave);
/// # fn main() -> Result<(), offspring::Error> {
/// # offspring::init();
/// let rpc = LEAVE.spawn()?;
/// let (first, second) = (rpc.call("3"), rpc.call("4"));
/// assert_eq!(first.wait().unwrap_err().started(), offspring::Started::Yes);
/// assert_eq!(second.wait().unwrap_err().started(), offspring::Started::No);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Started {
    /// The child had started it.
    Yes,
    /// It did not run.
    No,
    /// Nobody can tell: the plain form says too little, and of a command, a socket or a pair of descriptors it is not
    /// known what was lost on the way.
    Unknown,
}

/// How a call ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome<D> {
    /// The result, as it came.
    Result(Payload<D>),
    /// It failed by itself; the child lives.
    Failed(Box<Failure>),
    /// The answer cannot come any more.
    Lost(Started),
    /// Its time was up before it was answered.
    Expired(Started),
}

/// What [`Caller::absorb`] found, in the order of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Notice<D> {
    /// The child said hello.
    Hello(Hello),
    /// The child's `init` is done.
    Ready,
    /// The child wants no more calls.
    Retired,
    /// The child cannot work at all, and ends.
    Unfit(Failure),
    /// This call is done.
    Completed(u32),
    /// An event of the child.
    Event(Payload<D>),
    /// An event of this call, which is not done yet.
    CallEvent(u32, Payload<D>),
}

/// How far [`Caller::absorb`] has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absorbed {
    /// All that has come.
    All,
    /// Up to a hello, which is to be checked first.
    Hello,
}

pub(crate) use end::Known;

#[derive(Debug)]
enum State<D> {
    Queued(Ticket, Parcel<D>),
    Sent(Sent),
    Expired(Sent, Started),
    Abandoned(Sent),
    Done(Outcome<D>),
}

impl<D> State<D> {
    fn is_done(&self) -> bool {
        matches!(self, Self::Done(_) | Self::Expired(..))
    }
}

#[derive(Debug, Default, Clone, Copy)]
struct Sent {
    /// It is the so-manieth call that was sent, from 1.
    ordinal: u64,
    /// Where its frame ends in the stream.
    end: u64,
    bytes: usize,
}

/// The place of a call among those that wait for room, counted from the beginning.
type Ticket = u64;

/// What was sent.
#[derive(Debug)]
struct Sending<D> {
    outbox: Outbox<D>,
    /// Calls sent and unanswered, and their octets.
    open: usize,
    open_bytes: usize,
    /// Calls and octets sent, since the beginning.
    ordinal: u64,
    pushed: u64,
}

impl<D> Sending<D> {
    fn push(&mut self, id: u32, parcel: &mut Parcel<D>) -> Sent {
        let bytes = parcel.len();
        parcel.frame[..HEADER].copy_from_slice(&Frame::message(id, bytes - HEADER).to_octets());
        let before = self.outbox.len();
        self.outbox.push(parcel);
        self.open += 1;
        self.open_bytes += bytes;
        self.ordinal += 1;
        self.pushed += (self.outbox.len() - before) as u64;
        Sent {
            ordinal: self.ordinal,
            end: self.pushed,
            bytes,
        }
    }
}

#[derive(Debug)]
struct Slot<W, D> {
    state: State<D>,
    waiter: W,
}

/// The parent's half of a conversation; `W` is what the owner keeps per call.
#[derive(Debug)]
pub(crate) struct Caller<W, D> {
    form: Form,
    limits: Limits,
    /// Hello was sent and has not been answered.
    awaits_hello: bool,
    table: Table<Slot<W, D>>,
    /// Calls that wait for room.
    queue: BTreeMap<Ticket, u32>,
    tickets: Ticket,
    sending: Sending<D>,
    /// Calls answered since the beginning.
    answered: u64,
    /// Octets written, since the beginning.
    written: u64,
    /// Octets that a writer has in hand: the other side may have them already.
    in_hand: u64,
    /// Descriptors of results that wait to be collected.
    kept: usize,
    /// Descriptors that nobody wants any more.
    spent: Vec<D>,
}

impl<W, D> Caller<W, D> {
    /// Opens a conversation; with a hello in the full form, else plain. The
    /// descriptors, at most [`MOST`](super::MOST), go along with the hello,
    /// which says which they are.
    pub(crate) fn new(hello: Option<&Hello>, descriptors: Vec<D>, limits: Limits) -> Self {
        let form = if hello.is_some() {
            Form::Full
        } else {
            Form::Plain
        };
        let mut caller = Self {
            form,
            limits,
            awaits_hello: hello.is_some(),
            table: Table::new(largest_id(form)),
            queue: BTreeMap::new(),
            tickets: 0,
            sending: Sending {
                outbox: Outbox::default(),
                open: 0,
                open_bytes: 0,
                ordinal: 0,
                pushed: 0,
            },
            answered: 0,
            written: 0,
            in_hand: 0,
            kept: 0,
            spent: Vec::new(),
        };
        if let Some(hello) = hello {
            let octets = hello.to_octets();
            let head = Frame::of(Kind::Hello, MAGIC & 0x0fff_ffff, octets.len());
            caller.sending.outbox.push_first(head, &octets, descriptors);
            caller.sending.pushed += (HEADER + octets.len()) as u64;
        }
        caller
    }

    /// Requests longer than this are refused from now on.
    pub(crate) fn limit_frames(&mut self, longest: u32) {
        self.limits.frame = self.limits.frame.min(longest);
    }

    /// Takes a call: room for a header, then the arguments. It is sent if there
    /// is room, else it waits. The buffer is left for further use, or taken.
    pub(crate) fn call(&mut self, parcel: &mut Parcel<D>, waiter: W) -> u32 {
        if let Some(failure) = self.limits.refusal(parcel) {
            let state = State::Done(Outcome::Failed(failure.into()));
            return self.table.insert(Slot { state, waiter });
        }
        if self.has_room(parcel.len()) && self.queue.is_empty() {
            let Self { table, sending, .. } = self;
            return table.insert_with(|id| Slot {
                state: State::Sent(sending.push(id, parcel)),
                waiter,
            });
        }
        // A buffer that is far too large is not held back by what waits.
        let frame = &mut parcel.frame;
        let frame = if frame.capacity() > 2 * frame.len().max(HEADER) {
            frame.as_slice().to_vec()
        } else {
            std::mem::take(frame)
        };
        let own = Parcel {
            frame,
            descriptors: std::mem::take(&mut parcel.descriptors),
        };
        self.tickets += 1;
        let id = self.table.insert(Slot {
            state: State::Queued(self.tickets, own),
            waiter,
        });
        self.queue.insert(self.tickets, id);
        id
    }

    fn has_room(&self, bytes: usize) -> bool {
        let fits = self.sending.open_bytes.saturating_add(bytes) <= self.limits.bytes;
        self.sending.open < self.limits.calls && (self.sending.open == 0 || fits)
    }

    /// Returns whether this call would have to wait for room.
    pub(crate) fn would_wait(&self, parcel: &Parcel<D>) -> bool {
        let has_room = self.queue.is_empty() && self.has_room(parcel.len());
        !has_room && self.limits.refusal(parcel).is_none()
    }

    fn send(&mut self, id: u32, parcel: &mut Parcel<D>) {
        let sent = self.sending.push(id, parcel);
        self.table.get_mut(id).expect("it was queued").state = State::Sent(sent);
    }

    /// Sends what has waited for room and now has it.
    pub(crate) fn refill(&mut self) {
        while let Some((_, &id)) = self.queue.first_key_value() {
            let bytes = self.queued(id).len();
            if !self.has_room(bytes) {
                return;
            }
            let mut parcel = std::mem::take(self.queued(id));
            self.queue.pop_first();
            self.send(id, &mut parcel);
        }
    }

    fn queued(&mut self, id: u32) -> &mut Parcel<D> {
        match self.table.get_mut(id) {
            Some(Slot {
                state: State::Queued(_, parcel),
                ..
            }) => parcel,
            _ => unreachable!("what leaves this state leaves the queue"),
        }
    }

    /// What the owner keeps for this call.
    pub(crate) fn waiter(&mut self, id: u32) -> Option<&mut W> {
        self.table.get_mut(id).map(|slot| &mut slot.waiter)
    }

    /// The call is done, or was never known.
    pub(crate) fn is_done(&self, id: u32) -> bool {
        self.table.get(id).is_none_or(|slot| slot.state.is_done())
    }

    /// Takes the outcome of a call that is done, if it is due; its id is free then.
    pub(crate) fn collect(
        &mut self,
        id: u32,
        is_due: impl FnOnce(&W) -> bool,
    ) -> Option<(Outcome<D>, W)>
    where
        W: Default,
    {
        let slot = self.table.get_mut(id)?;
        if !slot.state.is_done() || !is_due(&slot.waiter) {
            return None;
        }
        if let State::Expired(sent, started) = slot.state {
            slot.state = State::Abandoned(sent);
            return Some((Outcome::Expired(started), std::mem::take(&mut slot.waiter)));
        }
        let Slot { state, waiter } = self.table.remove(id)?;
        let State::Done(outcome) = state else {
            unreachable!("it was just seen");
        };
        self.kept -= outcome.descriptors();
        Some((outcome, waiter))
    }

    /// Reads all frames that have come; but stops behind a hello, and says so,
    /// for it to be checked before anything after it is believed.
    pub(crate) fn absorb(
        &mut self,
        reader: &mut Reader<D>,
        notices: &mut Vec<Notice<D>>,
    ) -> Result<Absorbed, Violation> {
        if self.awaits_hello && !may_be_hello(reader.rest()) {
            return Err(Violation(format!(
                "instead of a hello came {}",
                show(reader.rest())
            )));
        }
        loop {
            let (notice, is_hello) = match reader.advance() {
                Step::Short => break,
                Step::Whole(frame) => (self.frame(frame, reader)?, frame.kind == Some(Kind::Hello)),
                Step::TooLong(frame) => (self.too_long_answer(frame, reader)?, false),
            };
            notices.extend(notice);
            if is_hello {
                return Ok(Absorbed::Hello);
            }
        }
        if self.form == Form::Plain {
            reader.spend_arrivals();
        }
        reader.take_spent(&mut self.spent);
        self.refill();
        reader.check_descriptors()?;
        Ok(Absorbed::All)
    }

    fn frame(
        &mut self,
        frame: Frame,
        reader: &mut Reader<D>,
    ) -> Result<Option<Notice<D>>, Violation> {
        let greeted = !self.awaits_hello;
        Ok(Some(match frame.kind {
            Some(Kind::Message) if !greeted => {
                return Err(Violation("a message before hello".into()));
            }
            Some(Kind::Message) if frame.id == 0 => Notice::Event(reader.take()),
            Some(Kind::Message) => {
                return self.complete(frame.id, Outcome::Result(reader.take()));
            }
            Some(Kind::CallEvent) => return self.call_event(frame.id, reader),
            Some(Kind::Failed) => {
                let failure = Failure::parse(reader.octets())?;
                if frame.id != 0 {
                    return self.complete(frame.id, Outcome::Failed(failure.into()));
                }
                Notice::Unfit(failure)
            }
            Some(Kind::Ready) => Notice::Ready,
            Some(Kind::Retire) if greeted => Notice::Retired,
            Some(Kind::Hello) if !greeted => {
                let hello = Hello::parse(reader.octets())?;
                hello.is_of_child()?;
                self.awaits_hello = false;
                Notice::Hello(hello)
            }
            _ => return Err(frame.misplaced("child")),
        }))
    }

    /// An event of a call that nobody waits for any more is dropped.
    fn call_event(
        &mut self,
        id: u32,
        reader: &mut Reader<D>,
    ) -> Result<Option<Notice<D>>, Violation> {
        match self.table.get(id).map(|slot| &slot.state) {
            Some(State::Sent(_)) => Ok(Some(Notice::CallEvent(id, reader.take()))),
            Some(State::Expired(..) | State::Abandoned(_)) => Ok(None),
            Some(State::Queued(..) | State::Done(_)) | None => Err(Violation(format!(
                "an event of the call {id}, which is not open"
            ))),
        }
    }

    fn too_long_answer(
        &mut self,
        frame: Frame,
        reader: &Reader<D>,
    ) -> Result<Option<Notice<D>>, Violation> {
        if frame.id == 0 || frame.kind != Some(Kind::Message) {
            return Err(frame.too_long(reader.limit_of(frame)));
        }
        let failure = too_long("the result", frame.length as usize, reader.limit());
        self.complete(frame.id, Outcome::Failed(failure.into()))
    }

    fn complete(
        &mut self,
        id: u32,
        mut outcome: Outcome<D>,
    ) -> Result<Option<Notice<D>>, Violation> {
        let unasked = || Violation(format!("an answer to the call {id}, which is not open"));
        let slot = self.table.get_mut(id).ok_or_else(unasked)?;
        let (sent, notice) = match slot.state {
            State::Sent(sent) => {
                outcome.keep(&mut self.kept, self.limits.descriptors, &mut self.spent);
                slot.state = State::Done(outcome);
                (sent, Some(Notice::Completed(id)))
            }
            State::Expired(sent, started) => {
                slot.state = State::Done(Outcome::Expired(started));
                self.spend_outcome(outcome);
                (sent, None)
            }
            State::Abandoned(sent) => {
                self.table.remove(id);
                self.spend_outcome(outcome);
                (sent, None)
            }
            State::Queued(..) | State::Done(_) => return Err(unasked()),
        };
        self.sending.open -= 1;
        self.sending.open_bytes -= sent.bytes;
        self.answered += 1;
        Ok(notice)
    }

    /// Calls sent and unanswered.
    pub(crate) fn open(&self) -> usize {
        self.sending.open
    }

    /// All that was asked for is on its way: nothing queued, nothing unwritten.
    pub(crate) fn is_flushed(&self) -> bool {
        self.queue.is_empty() && self.sending.pushed == self.written
    }

    /// How much is to be written.
    pub(crate) fn unwritten(&self) -> usize {
        self.sending.outbox.len()
    }

    /// Hands out what is to be written, all of it; [`wrote`](Self::wrote) must
    /// follow. Until then nobody can tell what of it the other side has.
    pub(crate) fn take_outbox(&mut self) -> Outbox<D> {
        self.in_hand = self.sending.outbox.len() as u64;
        std::mem::take(&mut self.sending.outbox)
    }

    /// So many octets reached the other side's socket, and these did not.
    pub(crate) fn wrote(&mut self, count: usize, unwritten: Outbox<D>) {
        self.written += count as u64;
        self.in_hand = 0;
        self.sending.outbox.put_back(unwritten);
    }

    /// These bytes, the last that were written, are to be written once more: the other side has not read them.
    pub(crate) fn put_back(&mut self, bytes: Vec<u8>) {
        self.written -= bytes.len() as u64;
        self.sending.outbox.put_in_front(bytes);
    }

    /// Forgets what is to be written: nobody will read it.
    pub(crate) fn drop_outbox(&mut self) {
        self.sending.outbox.clear();
    }
}

/// Octets as a person reads them: text where it is text, and not too much.
pub(crate) fn show(octets: &[u8]) -> String {
    let some = &octets[..octets.len().min(200)];
    let more = if octets.len() > some.len() {
        " …"
    } else {
        ""
    };
    format!("{} bytes: \"{}\"{more}", octets.len(), some.escape_ascii())
}

#[cfg(test)]
impl<W, D> Caller<W, D> {
    /// Calls that were not collected yet, in whatever state, and those of them
    /// that wait in the queue.
    pub(crate) fn entries(&self) -> (usize, usize) {
        (self.table.len(), self.queue.len())
    }

    /// The octets of the calls that are sent and unanswered.
    pub(crate) fn open_bytes(&self) -> usize {
        self.sending.open_bytes
    }

    /// The next call gets this id, if it is free.
    pub(crate) fn start_ids_at(&mut self, id: u32) {
        self.table.start_at(id);
    }
}
