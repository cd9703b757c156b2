//! Where replies and events leave the child: one after the other, whole.
//!
//! A reply is written before the next call starts, so nothing that is finished
//! can be lost with the process, and every call behind the first unanswered one
//! had not started.

use std::io;
use std::sync::{Mutex, PoisonError};

use crate::protocol::{Failure, Form, HEADER, Replies};
use crate::sys::Port;

/// The child's end of the link.
#[derive(Debug)]
pub(crate) struct Outgoing {
    port: Port,
    form: Form,
    replies: Replies,
    /// Held while a frame is written.
    turn: Mutex<()>,
}

/// Why something was not sent.
#[derive(Debug)]
pub(crate) enum Unsent {
    /// It is longer than so many octets.
    TooLong(u32),
    /// Nobody reads any more.
    Gone,
}

impl Outgoing {
    pub(crate) fn new(port: Port, form: Form, limit: u32) -> Self {
        Self {
            port,
            form,
            replies: Replies::new(limit),
            turn: Mutex::new(()),
        }
    }

    pub(crate) fn form(&self) -> Form {
        self.form
    }

    /// Reads, blocking. An error is an end: nobody is there any more.
    pub(crate) fn recv(&self, buffer: &mut Vec<u8>, room: usize) -> usize {
        self.port.recv(buffer, room).unwrap_or(0)
    }

    pub(crate) fn wait_hang_up(&self) -> io::Result<()> {
        self.port.wait_hang_up()
    }

    /// Sends a result, or (id 0) an event: room for a header, then octets.
    pub(crate) fn message(&self, id: u32, frame: &mut [u8]) -> Result<(), Unsent> {
        self.replies.message(id, frame).map_err(Unsent::TooLong)?;
        self.write(frame)
    }

    /// Sends the failure of a call.
    pub(crate) fn failed(&self, id: u32, failure: &Failure) -> Result<(), Unsent> {
        self.write(&self.replies.failed(id, failure))
    }

    /// Says that this child cannot work at all.
    pub(crate) fn unfit(&self, failure: &Failure) -> Result<(), Unsent> {
        match self.form {
            Form::Full => self.failed(0, failure),
            Form::Plain => {
                eprintln!("offspring: init failed: {}", failure.message);
                Ok(())
            }
        }
    }

    /// Says that `init` is done.
    pub(crate) fn ready(&self) -> Result<(), Unsent> {
        self.write(&Replies::ready())
    }

    fn write(&self, frame: &[u8]) -> Result<(), Unsent> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.port.send_all(frame).map_err(|_| Unsent::Gone)
    }
}

/// An empty frame: room for a header.
pub(crate) fn start(frame: &mut Vec<u8>) {
    frame.clear();
    frame.resize(HEADER, 0);
}
