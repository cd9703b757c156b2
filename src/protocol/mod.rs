//! The wire format and the rules of the conversation, without any I/O.
//!
//! Octets come in through [`Reader`], frames go out through [`Outbox`]; what
//! happens in between is decided by [`Caller`] (the parent's half) and by
//! [`Requests`] and [`Replies`] (the child's half). Nothing here opens, waits,
//! sleeps or locks. The format itself is written down for strangers in
//! `docs/protocol.md`; in short:
//!
//! * A frame is a header of 8 octets, `id` and `length` (big-endian `u32`), and
//!   `length` octets.
//! * **Plain form**: all of `id` belongs to the parent and is never 0 in a
//!   call. A result carries the id of its call, an event the id 0.
//! * **Full form**, after both sides said hello: the top four bits of `id` are
//!   the [`Kind`], so an id has 28 bits, and kind 0 is the plain frames.
//! * Every call that was sent is answered by exactly one frame, a result or a
//!   failure, even when it was cancelled; only then may its id be used again.
//! * A child that reads the end of input finishes what it has, answers, and
//!   exits.
//!
//! The contract of the halves:
//!
//! 1. *Once*: [`Caller`] completes each call exactly once: by an answer, by
//!    [`Caller::fail_all`], or by being cancelled (then nobody is told).
//! 2. *Order*: notices come out in the order of the frames.
//! 3. *Room*: what was sent and is unanswered stays within [`Limits`]; a call
//!    over it waits in the queue, first come, first served.
//! 4. *Trust*: a length is only a claim. Room is made as octets come.
//!
//! What a descriptor is nobody here knows: it is `D`, and what goes along with a
//! frame is dropped with it. [`ancillary`] has the rules.

mod ancillary;
mod buffers;
mod caller;
mod frame;
mod hello;
mod outbox;
mod reader;
mod server;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use ancillary::{Ancillary, MOST};
pub(crate) use buffers::BufferPool;
pub use caller::Started;
pub(crate) use caller::{Absorbed, Caller, Known, Limits, Notice, Outcome, show};
pub(crate) use frame::{Form, Frame, HEADER, Kind, LONGEST_PARENT_HELLO, announcement};
pub(crate) use hello::{Failure, FailureCode, Hello, Role, VERSION, may_be_hello};
pub(crate) use outbox::{Outbox, Parcel};
pub(crate) use reader::{Payload, Reader, Weight};
pub(crate) use server::{Replies, Request, Requests};

/// The most descriptors of one message, unless a parent says otherwise.
pub(crate) const DESCRIPTORS: usize = 1024;

/// The worker that a parent asks for if it wants a template.
pub(crate) const TEMPLATE: &str = "offspring::template";

/// The other side broke the protocol: what it did, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation(pub(crate) String);
