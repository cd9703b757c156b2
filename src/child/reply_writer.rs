//! The writer of replies and events, one whole frame after the other.
//!
//! A frame is written before the next call starts, so no finished reply waits for later work. A frame in the ring reaches
//! the parent even if this process is killed, and costs no system call while the parent is awake. Over a stream it is one
//! write.
//!
//! If the link is full, the writing thread sleeps until the parent has made room. After a failed write nothing more is
//! written; the process exits at its next read.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::exit_code::exit_code_of;
use crate::base::sync::Mutex;
use crate::message::Message;
use crate::protocol::{Failure, FailureCode, Form, MOST, ReplyFrames, RequestReader, announcement};
use crate::sys::{self, ChildLink, LinkMemory};

/// Writes frames to the parent, from any thread of the child.
#[derive(Debug)]
pub(crate) struct ReplyWriter {
    link: Arc<ChildLink>,
    pub(super) form: Form,
    replies: ReplyFrames,
    memory: Option<Arc<LinkMemory>>,
    /// The most file descriptors of one message.
    carries: usize,
    /// Locked while a frame is written. The exit code after a failed write: the parent has exited, or this process has closed
    /// the link, or may not write to it.
    broken: Mutex<Option<i32>>,
}

/// A call that may have events.
#[derive(Debug)]
pub(crate) struct CallWithEvents {
    pub(crate) id: u32,
    /// Written under the lock of the writer.
    is_over: AtomicBool,
}

impl CallWithEvents {
    pub(crate) fn new(id: u32) -> Self {
        Self {
            id,
            is_over: AtomicBool::new(false),
        }
    }
}

/// Why a frame was not sent.
#[derive(Debug)]
pub(crate) enum SendError {
    /// It is longer than this limit in bytes.
    TooLong(u32),
    /// It has more file descriptors (the first number) than the limit (the second).
    TooMany(usize, usize),
    /// The parent has exited, or cannot be reached. The exit code of this process.
    ParentGone(i32),
    /// Its call was answered.
    CallOver,
}

impl SendError {
    /// Returns the failure of a call whose result was not sent. `None` if the failure could not be sent either.
    pub(crate) fn failure(&self) -> Option<Failure> {
        match self {
            Self::TooLong(limit) => {
                let text = format!(
                    "the result is longer than {limit} bytes, which is the limit; raise `max_message`"
                );
                Some(Failure::new(FailureCode::TooLong, text))
            }
            Self::TooMany(count, most) => Some(Failure::too_many("the result", *count, *most)),
            Self::ParentGone(_) | Self::CallOver => None,
        }
    }

    /// Returns the exit code of a process that cannot go on without what was not sent.
    pub(crate) fn exit_code(&self) -> i32 {
        match self {
            Self::ParentGone(code) => *code,
            _ => 0,
        }
    }
}

impl ReplyWriter {
    /// Returns the writer of a link after hello. `limit` is the longest message in bytes, `carries` the most file
    /// descriptors of one message.
    pub(crate) fn new(
        link: Arc<ChildLink>,
        form: Form,
        limit: u32,
        memory: Option<Arc<LinkMemory>>,
        carries: usize,
    ) -> Self {
        Self {
            link,
            form,
            replies: ReplyFrames::new(limit),
            memory,
            carries,
            broken: Mutex::new(None),
        }
    }

    /// Writes the number of started requests to the shared memory, where the parent reads it after a crash. An error, the
    /// exit code, if the parent has given the child up and reported that the request did not start.
    pub(crate) fn note_started(&self, requests: &RequestReader) -> Result<(), i32> {
        match &self.memory {
            Some(memory) if !memory.start(requests.started()) => Err(0),
            _ => Ok(()),
        }
    }

    /// Returns whether messages can carry file descriptors.
    pub(crate) fn carries(&self) -> bool {
        self.carries > 0
    }

    /// Sends the result of a call, or an event if `id` is 0.
    pub(crate) fn message(&self, id: u32, message: &mut Message) -> Result<(), SendError> {
        let made = self.replies.message(id, &mut message.frame);
        made.map_err(SendError::TooLong)?;
        self.send_in(&mut self.broken.lock(), message)
    }

    /// Sends an event of a call, unless that was answered.
    pub(crate) fn call_event(
        &self,
        call: &CallWithEvents,
        message: &mut Message,
    ) -> Result<(), SendError> {
        let made = self.replies.call_event(call.id, &mut message.frame);
        made.map_err(SendError::TooLong)?;
        let mut broken = self.broken.lock();
        if call.is_over.load(Ordering::Relaxed) {
            return Err(SendError::CallOver);
        }
        self.send_in(&mut broken, message)
    }

    /// Refuses further events of this call: its answer follows.
    pub(crate) fn close_call(&self, call: &CallWithEvents) {
        let _sending = self.broken.lock();
        call.is_over.store(true, Ordering::Relaxed);
    }

    /// Sends the failure of a call.
    pub(crate) fn failed(&self, id: u32, failure: &Failure) -> Result<(), SendError> {
        self.send_bytes(&ReplyFrames::failed(id, failure))
    }

    /// Sends the failure of the child itself.
    pub(crate) fn init_failed(&self, failure: &Failure) -> Result<(), SendError> {
        match self.form {
            Form::Full => self.failed(0, failure),
            Form::Plain => {
                eprintln!("offspring: init failed: {}", failure.message);
                Ok(())
            }
        }
    }

    /// Tells the parent that `init` is done.
    pub(crate) fn ready(&self) -> Result<(), SendError> {
        self.send_bytes(&ReplyFrames::ready())
    }

    /// Asks the parent for no more calls.
    pub(crate) fn retire(&self) -> Result<(), SendError> {
        self.send_bytes(&ReplyFrames::retire())
    }

    fn send_bytes(&self, frame: &[u8]) -> Result<(), SendError> {
        self.write(&mut self.broken.lock(), frame)
    }

    fn send_in(&self, broken: &mut Option<i32>, message: &mut Message) -> Result<(), SendError> {
        let count = message.descriptors.len();
        if count > self.carries {
            return Err(SendError::TooMany(count, self.carries));
        }
        for batch in std::mem::take(&mut message.descriptors).chunks(MOST) {
            self.announce(broken, batch)?;
        }
        self.write(broken, &message.frame)
    }

    /// Writes the frame that announces file descriptors, and sends them with it.
    fn announce(&self, broken: &mut Option<i32>, batch: &[OwnedFd]) -> Result<(), SendError> {
        match self.link.send_all(&announcement(batch.len()), batch) {
            Err(error) if sys::is_too_many_fds_in_flight(&error) => {
                self.write(broken, &announcement(0))
            }
            sent => note_failure(broken, sent),
        }
    }

    fn write(&self, broken: &mut Option<i32>, frame: &[u8]) -> Result<(), SendError> {
        match *broken {
            Some(code) => Err(SendError::ParentGone(code)),
            None => note_failure(broken, self.link.send_all(frame, &[])),
        }
    }
}

/// Sets `broken` after a failed write.
fn note_failure(broken: &mut Option<i32>, written: io::Result<()>) -> Result<(), SendError> {
    written.map_err(|error| {
        let code = *broken.get_or_insert_with(|| exit_code_of(&error));
        SendError::ParentGone(code)
    })
}

#[cfg(test)]
mod tests;
