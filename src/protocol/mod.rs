//! The wire format and the rules of the conversation, without any I/O.
//!
//! Bytes come in through [`FrameReader`], frames go out through [`Outbox`]. In between are [`Caller`], the parent's half
//! of a conversation, and [`RequestReader`] and [`ReplyFrames`], the child's. Nothing here opens, waits, sleeps or locks.
//! `docs/protocol.md` specifies the format. In short:
//!
//! * A frame is a header of 8 bytes, `id` and `length` (big-endian `u32`), and a payload of `length` bytes.
//! * **Plain form**: the parent chooses the id of a call, which is not 0. A result has the id of its call, an event has
//!   the id 0.
//! * **Full form**, after both hellos: the top four bits of `id` are the [`FrameKind`], so an id has 28 bits. FrameKind 0 are the
//!   frames of the plain form.
//! * Every call that was sent is answered by exactly one frame, a result or a failure, also if it was cancelled. Only then
//!   its id may be used again.
//! * A child that reads the end of its input finishes the calls it has, answers them, and exits.
//!
//! The contract of the halves:
//!
//! 1. *Once*: [`Caller`] completes each call exactly once: by an answer, by [`Caller::fail_all`], by [`Caller::expire`],
//!    or by [`Caller::cancel`], which gives no notice.
//! 2. *Order*: notices are in the order of the frames.
//! 3. *Flow*: what is sent and not answered stays within [`FlowLimits`]. Further calls wait in a FIFO.
//! 4. *Trust*: a length is only a claim. Memory is allocated as bytes arrive.
//!
//! A file descriptor is a value of the type `D`. The descriptors of a frame are dropped with it. [`ancillary`] has the
//! rules for them.

mod ancillary;
mod buffers;
mod caller;
mod frame;
mod hello;
mod outbox;
mod payload;
mod reader;
mod server;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use ancillary::{Ancillary, MOST};
pub(crate) use buffers::BufferPool;
pub use caller::Started;
pub(crate) use caller::{CallOutcome, Caller, FlowLimits, Notice, ReadUpTo, StartedInfo, show};
pub(crate) use frame::{Form, Frame, FrameKind, HEADER, MAX_PARENT_HELLO, announcement};
pub(crate) use hello::{Failure, FailureCode, Hello, Role, VERSION, may_be_hello};
pub(crate) use outbox::{Message, Outbox};
pub(crate) use payload::{Payload, Weight};
pub(crate) use reader::FrameReader;
pub(crate) use server::{ReplyFrames, Request, RequestReader};

/// Default for the maximum number of descriptors of a message.
pub(crate) const DESCRIPTORS: usize = 1024;

/// The name of the worker in the hello to a template.
pub(crate) const TEMPLATE: &str = "offspring::template";

/// A violation of the protocol by the other side, for an error message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation(pub(crate) String);
