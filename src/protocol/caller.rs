//! The parent's half of a conversation: ids, open calls, flow control, order, end.
//!
//! A call is in one of these states, and moves only downwards:
//!
//! ```text
//! Queued     over the limits; its bytes wait in a FIFO
//! Sent       in the outbox, or written; its answer may come
//! Expired    timed out after it was sent; waits to be collected, once
//! Abandoned  cancelled after it was sent; its answer is dropped when it comes
//! Done       its outcome waits to be collected, once
//! ```
//!
//! An id is free again when a Queued call is cancelled, when the answer to an Abandoned call comes, and when a Done call
//! is collected or cancelled. So no late answer can reach another call. An Expired call becomes Abandoned when it is
//! collected, or Done if its answer comes first.

mod answers;
mod end;
mod limits;
mod withdraw;

use std::collections::BTreeMap;

use super::frame::largest_id;
use super::hello::MAGIC;
use super::table::CallTable;
use super::{Failure, Form, Frame, FrameKind, HEADER, Hello, Message, Outbox, Payload};

/// Limits of what is in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FlowLimits {
    /// Maximum number of calls that are sent and not answered.
    pub(crate) calls: usize,
    /// Maximum size of all requests that are sent and not answered, in bytes. A longer request is sent when no other is
    /// in flight.
    pub(crate) bytes: usize,
    /// Maximum length of a request, in bytes. The child's hello may lower it.
    pub(crate) frame: u32,
    /// Maximum number of descriptors of one request, and of all results that wait to be collected.
    pub(crate) descriptors: usize,
}

/// Whether a call that failed had started in the child.
///
/// [`No`](Self::No) is a promise: the function did not run, so the call may be repeated in another child.
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
    /// The child had started the function.
    Yes,
    /// The function did not run.
    No,
    /// Not known:
    ///
    /// * The [timeout of the call](crate::Call::timeout) elapsed after it was sent and before it started. The child may start
    ///   it before it reads the cancel. So a call that waited behind another of the same child is `Unknown`. In a pool with a
    ///   [`load`](crate::PoolBuilder::load) of 1 it waits in the pool instead, and is [`No`](Self::No).
    /// * The child is behind a command, a pair of descriptors, or a socket to another machine. An answer may have been lost on
    ///   the way.
    /// * The child speaks the [plain form](crate::Builder::plain), which does not tell.
    /// * The kind of the error is [`Protocol`](crate::ErrorKind::Protocol), [`TooLong`](crate::ErrorKind::TooLong) or
    ///   [`Refused`](crate::ErrorKind::Refused), which do not always tell.
    Unknown,
}

impl Started {
    /// Returns whether one of two attempts at a call had started it.
    pub(crate) fn either(self, other: Self) -> Self {
        match (self, other) {
            (Self::Yes, _) | (_, Self::Yes) => Self::Yes,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::No, Self::No) => Self::No,
        }
    }
}

/// How a call ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CallOutcome<D> {
    /// The encoded result.
    Result(Payload<D>),
    /// The child answered that the call failed.
    Failed(Box<Failure>),
    /// The request is over a limit, and was not sent.
    NotSent(Box<Failure>),
    /// The child ended before it answered.
    Lost(Started),
    /// The deadline passed before the answer.
    Expired(Started),
}

/// A finding of [`Caller::read_frames`], in the order of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Notice<D> {
    /// The child's hello.
    Hello(Hello),
    /// The child's `init` is done.
    Ready,
    /// The child wants no more calls.
    Retired,
    /// The child cannot serve, and ends.
    Unfit(Failure),
    /// The call of this id is done.
    Completed(u32),
    /// An event that belongs to no call.
    Event(Payload<D>),
    /// An event of the call of this id, which is not done.
    CallEvent(u32, Payload<D>),
}

/// How far [`Caller::read_frames`] has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadUpTo {
    /// All frames that have arrived are handled.
    All,
    /// The last frame was a hello. The owner checks it before it calls again.
    Hello,
}

pub(crate) use end::StartedInfo;

#[derive(Debug)]
enum EntryState<D> {
    Queued(QueuePosition, Message<D>),
    Sent(SentCall),
    Expired(SentCall, Started),
    Abandoned(SentCall),
    Done(CallOutcome<D>),
}

impl<D> EntryState<D> {
    fn is_done(&self) -> bool {
        matches!(self, Self::Done(_) | Self::Expired(..))
    }
}

#[derive(Debug, Default, Clone, Copy)]
struct SentCall {
    /// Position of this call among all calls sent; the first is 1.
    ordinal: u64,
    /// Offset in the stream at which its frame ends.
    end: u64,
    bytes: usize,
}

/// Position of a call in the queue, counted over the life of the caller.
type QueuePosition = u64;

/// Calls that were sent, and those of them that are not answered.
#[derive(Debug)]
struct SendState<D> {
    outbox: Outbox<D>,
    /// Number and size in bytes of the calls that are sent and not answered.
    open: usize,
    open_bytes: usize,
    /// Number of calls and of bytes that were ever put into the outbox.
    ordinal: u64,
    pushed: u64,
}

impl<D> SendState<D> {
    fn push(&mut self, id: u32, message: &mut Message<D>) -> SentCall {
        let bytes = message.len();
        message.frame[..HEADER].copy_from_slice(&Frame::message(id, bytes - HEADER).to_bytes());
        let before = self.outbox.len();
        self.outbox.push(message);
        self.open += 1;
        self.open_bytes += bytes;
        self.ordinal += 1;
        self.pushed += (self.outbox.len() - before) as u64;
        SentCall {
            ordinal: self.ordinal,
            end: self.pushed,
            bytes,
        }
    }
}

#[derive(Debug)]
struct TableEntry<W, D> {
    state: EntryState<D>,
    waiter: W,
}

/// The parent's half of a conversation. `W` is what the owner keeps for each call.
#[derive(Debug)]
pub(crate) struct Caller<W, D> {
    form: Form,
    limits: FlowLimits,
    /// The parent's hello was sent, and the child's has not arrived.
    awaits_hello: bool,
    table: CallTable<TableEntry<W, D>>,
    /// Calls over the limits, in order.
    queue: BTreeMap<QueuePosition, u32>,
    tickets: QueuePosition,
    sending: SendState<D>,
    /// Number of answers that ever arrived.
    answered: u64,
    /// Number of bytes ever written.
    written: u64,
    /// Number of bytes that a writer has taken. The child may have received some of them.
    being_written: u64,
    /// Number of descriptors of results that wait to be collected.
    kept: usize,
    /// Descriptors to close.
    unwanted: Vec<D>,
}

impl<W, D> Caller<W, D> {
    /// Opens a conversation: in the full form with `hello`, else in the plain form. `descriptors`, at most
    /// [`MOST`](super::MOST), are sent with the hello, which has a field that lists them.
    pub(crate) fn new(hello: Option<&Hello>, descriptors: Vec<D>, limits: FlowLimits) -> Self {
        let form = if hello.is_some() {
            Form::Full
        } else {
            Form::Plain
        };
        let mut caller = Self {
            form,
            limits,
            awaits_hello: hello.is_some(),
            table: CallTable::new(largest_id(form)),
            queue: BTreeMap::new(),
            tickets: 0,
            sending: SendState {
                outbox: Outbox::default(),
                open: 0,
                open_bytes: 0,
                ordinal: 0,
                pushed: 0,
            },
            answered: 0,
            written: 0,
            being_written: 0,
            kept: 0,
            unwanted: Vec::new(),
        };
        if let Some(hello) = hello {
            let bytes = hello.to_bytes();
            let head = Frame::of(FrameKind::Hello, MAGIC & 0x0fff_ffff, bytes.len());
            caller.sending.outbox.push_first(head, &bytes, descriptors);
            caller.sending.pushed += (HEADER + bytes.len()) as u64;
        }
        caller
    }

    /// Lowers the maximum length of a request to `longest` bytes.
    pub(crate) fn lower_frame_limit(&mut self, longest: u32) {
        self.limits.frame = self.limits.frame.min(longest);
    }

    /// Queues a call whose encoded arguments are in `message`, and returns its id. Within the limits it goes to the
    /// outbox. The buffer of `message` may be taken, or left for reuse.
    pub(crate) fn call(&mut self, message: &mut Message<D>, waiter: W) -> u32 {
        if let Some(failure) = self.limits.refusal(message) {
            let state = EntryState::Done(CallOutcome::NotSent(failure.into()));
            return self.table.insert(|_| TableEntry { state, waiter });
        }
        if self.has_room(message.len()) && self.queue.is_empty() {
            let Self { table, sending, .. } = self;
            return table.insert(|id| TableEntry {
                state: EntryState::Sent(sending.push(id, message)),
                waiter,
            });
        }
        // A call that waits does not keep a buffer of more than twice its length.
        let frame = &mut message.frame;
        let frame = if frame.capacity() > 2 * frame.len().max(HEADER) {
            frame.as_slice().to_vec()
        } else {
            std::mem::take(frame)
        };
        let own = Message {
            frame,
            descriptors: std::mem::take(&mut message.descriptors),
        };
        self.tickets += 1;
        let id = self.table.insert(|_| TableEntry {
            state: EntryState::Queued(self.tickets, own),
            waiter,
        });
        self.queue.insert(self.tickets, id);
        id
    }

    fn has_room(&self, bytes: usize) -> bool {
        let fits = self.sending.open_bytes.saturating_add(bytes) <= self.limits.bytes;
        self.sending.open < self.limits.calls && (self.sending.open == 0 || fits)
    }

    /// Returns whether this call would be queued, because the limits are reached.
    pub(crate) fn would_wait(&self, message: &Message<D>) -> bool {
        let has_room = self.queue.is_empty() && self.has_room(message.len());
        !has_room && self.limits.refusal(message).is_none()
    }

    fn send(&mut self, id: u32, message: &mut Message<D>) {
        let sent = self.sending.push(id, message);
        self.table.get_mut(id).expect("it was queued").state = EntryState::Sent(sent);
    }

    /// Moves queued calls to the outbox, as far as the limits allow.
    pub(crate) fn refill(&mut self) {
        while let Some((_, &id)) = self.queue.first_key_value() {
            let bytes = self.queued(id).len();
            if !self.has_room(bytes) {
                return;
            }
            let mut message = std::mem::take(self.queued(id));
            self.queue.pop_first();
            self.send(id, &mut message);
        }
    }

    fn queued(&mut self, id: u32) -> &mut Message<D> {
        match self.table.get_mut(id) {
            Some(TableEntry {
                state: EntryState::Queued(_, message),
                ..
            }) => message,
            _ => unreachable!("what leaves this state leaves the queue"),
        }
    }

    /// Returns what the owner keeps for call `id`.
    pub(crate) fn waiter(&mut self, id: u32) -> Option<&mut W> {
        self.table.get_mut(id).map(|slot| &mut slot.waiter)
    }

    /// Returns whether call `id` is done or does not exist.
    pub(crate) fn is_done(&self, id: u32) -> bool {
        self.table.get(id).is_none_or(|slot| slot.state.is_done())
    }

    /// Takes the outcome of call `id` if the call is done and `is_due` holds, and frees the id.
    pub(crate) fn collect(
        &mut self,
        id: u32,
        is_due: impl FnOnce(&W) -> bool,
    ) -> Option<(CallOutcome<D>, W)>
    where
        W: Default,
    {
        let slot = self.table.get_mut(id)?;
        if !slot.state.is_done() || !is_due(&slot.waiter) {
            return None;
        }
        if let EntryState::Expired(sent, started) = slot.state {
            slot.state = EntryState::Abandoned(sent);
            return Some((
                CallOutcome::Expired(started),
                std::mem::take(&mut slot.waiter),
            ));
        }
        let TableEntry { state, waiter } = self.table.remove(id)?;
        let EntryState::Done(outcome) = state else {
            unreachable!("it was just seen");
        };
        self.kept -= outcome.descriptors();
        Some((outcome, waiter))
    }

    /// Returns the number of calls that are sent and not answered.
    pub(crate) fn open(&self) -> usize {
        self.sending.open
    }

    /// Returns whether nothing is queued and nothing is unwritten.
    pub(crate) fn is_flushed(&self) -> bool {
        self.queue.is_empty() && self.sending.pushed == self.written
    }

    /// Returns the number of bytes to write.
    pub(crate) fn unwritten(&self) -> usize {
        self.sending.outbox.len()
    }

    /// Takes all that is to be written. [`wrote`](Self::wrote) must follow. Until then it is not known which of these
    /// bytes the child has received.
    pub(crate) fn take_outbox(&mut self) -> Outbox<D> {
        self.being_written = self.sending.outbox.len() as u64;
        std::mem::take(&mut self.sending.outbox)
    }

    /// Records that `count` bytes of the outbox were written, and takes back the rest.
    pub(crate) fn wrote(&mut self, count: usize, unwritten: Outbox<D>) {
        self.written += count as u64;
        self.being_written = 0;
        self.sending.outbox.put_back(unwritten);
    }

    /// Drops what is to be written: the child will not read it.
    pub(crate) fn drop_outbox(&mut self) {
        self.sending.outbox.clear();
    }
}

/// Formats bytes for an error message: their number, and the first 200 with escapes.
pub(crate) fn show(bytes: &[u8]) -> String {
    let some = &bytes[..bytes.len().min(200)];
    let more = if bytes.len() > some.len() { " …" } else { "" };
    format!("{} bytes: \"{}\"{more}", bytes.len(), some.escape_ascii())
}

#[cfg(test)]
impl<W, D> Caller<W, D> {
    /// Returns the number of calls that were not collected, in any state, and of those in the queue.
    pub(crate) fn entries(&self) -> (usize, usize) {
        (self.table.len(), self.queue.len())
    }

    /// Returns the size of the calls that are sent and not answered, in bytes.
    pub(crate) fn open_bytes(&self) -> usize {
        self.sending.open_bytes
    }

    /// Makes `id` the next id, if it is free.
    pub(crate) fn start_ids_at(&mut self, id: u32) {
        self.table.start_at(id);
    }
}
