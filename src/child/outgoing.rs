//! Where replies and events leave the child: one after the other, whole.
//!
//! A frame is sent before the next call starts: nothing that is finished waits for
//! later work. Over rings it is safe once it lies there, whatever happens to this
//! process, and costs no system call while the parent is awake. Over a stream it
//! is a write.
//!
//! If the link is full, the thread that sends sleeps until the parent has made
//! room. Once a write has failed nothing more is sent; this process ends when it
//! would read.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::base::sync::Mutex;
use crate::parcel::{Parcel, Reader};
use crate::protocol::{Failure, FailureCode, Form, MOST, Replies, Requests, announcement};
use crate::sys::{self, LinkMemory, Port, ReadMode};

/// The child's end of the link.
#[derive(Debug)]
pub(crate) struct Outgoing {
    port: Arc<Port>,
    form: Form,
    replies: Replies,
    memory: Option<Arc<LinkMemory>>,
    /// How many descriptors can go along with one message.
    carries: usize,
    /// Held while a frame is sent; whether a write has failed, because the parent
    /// is gone, or this process has closed the link.
    broken: Mutex<bool>,
}

/// A call that events may belong to.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) id: u32,
    /// Written under the lock that is held while a frame is sent.
    over: AtomicBool,
}

impl Open {
    pub(crate) fn new(id: u32) -> Self {
        Self {
            id,
            over: AtomicBool::new(false),
        }
    }
}

/// Why something was not sent.
#[derive(Debug)]
pub(crate) enum Unsent {
    /// It is longer than so many octets.
    TooLong(u32),
    /// It holds the first number of descriptors, more than the second, the limit.
    TooMany(usize, usize),
    /// Nobody reads any more.
    Gone,
    /// It belongs to a call that is over.
    Over,
}

impl Unsent {
    /// What a result that was not sent is as the failure of its call, unless
    /// nobody is there to be told.
    pub(crate) fn failure(&self) -> Option<Failure> {
        let limit = match self {
            Self::TooLong(limit) => limit,
            Self::TooMany(count, most) => {
                return Some(Failure::too_many("the result", *count, *most));
            }
            Self::Gone | Self::Over => return None,
        };
        let text = format!(
            "the result is longer than {limit} bytes, which is the limit; raise `max_message`"
        );
        Some(Failure::new(FailureCode::TooLong, text))
    }
}

/// The end that is read from.
impl AsFd for Outgoing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.port.read_fd()
    }
}

impl Outgoing {
    /// An end at which hello was answered; `carries` descriptors can go along with
    /// one message.
    pub(crate) fn new(
        port: impl Into<Arc<Port>>,
        form: Form,
        limit: u32,
        memory: Option<Arc<LinkMemory>>,
        carries: usize,
    ) -> Self {
        Self {
            port: port.into(),
            form,
            replies: Replies::new(limit),
            memory,
            carries,
            broken: Mutex::new(false),
        }
    }

    /// What is left when nothing will be sent any more.
    pub(crate) fn into_port(self) -> Option<Port> {
        Arc::into_inner(self.port).map(Port::without_rings)
    }

    pub(crate) fn form(&self) -> Form {
        self.form
    }

    /// Notes how many requests have started, where the parent finds it if this process dies.
    pub(crate) fn note_started(&self, requests: &Requests) {
        if let Some(memory) = &self.memory {
            memory
                .started()
                .store(requests.started(), Ordering::Release);
        }
    }

    /// Whether descriptors can go along.
    pub(crate) fn carries(&self) -> bool {
        self.carries > 0
    }

    /// Reads as much as there is [room](Reader::room) for; `None` if there is nothing, and the mode does not block. An
    /// error is an end: nobody is there any more.
    pub(crate) fn recv(&self, mode: ReadMode, reader: &mut Reader, room: usize) -> Option<usize> {
        let mut arrivals = Vec::new();
        let count = self.port.recv(mode, reader.buffer(), room, &mut arrivals);
        reader.arrived(arrivals);
        count.unwrap_or(Some(0))
    }

    /// Says that this process sleeps until the descriptor is readable; returns
    /// whether it may.
    pub(crate) fn sleep_reading(&self) -> bool {
        self.port.sleep_reading()
    }

    /// Says that it does not sleep any more.
    pub(crate) fn wake_reading(&self) {
        self.port.wake_reading();
    }

    /// Whether the parent is gone, as far as anybody can tell.
    pub(crate) fn has_hung_up(&self) -> bool {
        self.port.has_hung_up().unwrap_or(false)
    }

    /// Sends a result: room for a header, then bytes.
    pub(crate) fn result(&self, id: u32, parcel: &mut Parcel) -> Result<(), Unsent> {
        let made = self.replies.result(id, parcel);
        made.map_err(Unsent::TooLong)?;
        self.send(parcel)
    }

    /// Sends an event: room for a header, then octets.
    pub(crate) fn event(&self, parcel: &mut Parcel) -> Result<(), Unsent> {
        let made = self.replies.message(0, &mut parcel.frame);
        made.map_err(Unsent::TooLong)?;
        self.send(parcel)
    }

    /// Sends an event of a call that is not over: room for a header, then octets.
    pub(crate) fn call_event(&self, call: &Open, parcel: &mut Parcel) -> Result<(), Unsent> {
        self.replies
            .call_event(call.id, &mut parcel.frame)
            .map_err(Unsent::TooLong)?;
        let mut broken = self.broken.lock();
        if call.over.load(Ordering::Relaxed) {
            return Err(Unsent::Over);
        }
        self.send_in(&mut broken, parcel)
    }

    /// From now on there are no events of this call: its answer may follow.
    pub(crate) fn end(&self, call: &Open) {
        let _sending = self.broken.lock();
        call.over.store(true, Ordering::Relaxed);
    }

    /// Sends the failure of a call.
    pub(crate) fn failed(&self, id: u32, failure: &Failure) -> Result<(), Unsent> {
        self.send_octets(&Replies::failed(id, failure))
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
        self.send_octets(&Replies::ready())
    }

    /// Says that no more calls are wanted.
    pub(crate) fn retire(&self) -> Result<(), Unsent> {
        self.send_octets(&Replies::retire())
    }

    fn send_octets(&self, frame: &[u8]) -> Result<(), Unsent> {
        self.write(&mut self.broken.lock(), frame)
    }

    fn send(&self, parcel: &mut Parcel) -> Result<(), Unsent> {
        self.send_in(&mut self.broken.lock(), parcel)
    }

    fn send_in(&self, broken: &mut bool, parcel: &mut Parcel) -> Result<(), Unsent> {
        let count = parcel.descriptors.len();
        if count > self.carries {
            return Err(Unsent::TooMany(count, self.carries));
        }
        for lot in std::mem::take(&mut parcel.descriptors).chunks(MOST) {
            self.announce(broken, lot)?;
        }
        self.write(broken, &parcel.frame)
    }

    /// Writes the frame that says what goes along with the next, and sends it along.
    fn announce(&self, broken: &mut bool, lot: &[OwnedFd]) -> Result<(), Unsent> {
        match self.port.send_all_with(&announcement(lot.len()), lot) {
            Err(error) if sys::is_too_many_in_flight(&error) => {
                self.write(broken, &announcement(0))
            }
            sent => tried(broken, sent),
        }
    }

    fn write(&self, broken: &mut bool, frame: &[u8]) -> Result<(), Unsent> {
        if *broken {
            return Err(Unsent::Gone);
        }
        tried(broken, self.port.send_all(frame))
    }
}

/// Takes note of a write that has failed.
fn tried(broken: &mut bool, written: io::Result<()>) -> Result<(), Unsent> {
    *broken |= written.is_err();
    written.map_err(|_| Unsent::Gone)
}

#[cfg(test)]
mod tests;
