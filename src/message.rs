//! Messages, outgoing and incoming, with this system's file descriptors.
//!
//! `protocol` is generic over the descriptor, and the serialisers do not know of frames. This module joins the two, for
//! parent and child.

use std::cell::RefCell;
use std::os::fd::OwnedFd;

use offspring_serialisers::{Error, Input, Output};

use crate::protocol::{self, BufferPool};
use crate::sys::FdBatch;

pub(crate) type Ancillary = protocol::Ancillary<OwnedFd>;
pub(crate) type Outbox = protocol::Outbox<OwnedFd>;
pub(crate) type Message = protocol::Message<OwnedFd>;
pub(crate) type Payload = protocol::Payload<OwnedFd>;
pub(crate) type FrameReader = protocol::FrameReader<OwnedFd>;

thread_local! {
    static BUFFERS: RefCell<BufferPool> = const { RefCell::new(BufferPool::new()) };
}

/// Calls `use_them` with the buffer pool of this thread. A thread that is ending has an empty one, and keeps nothing.
fn with_buffers<T>(use_them: impl FnOnce(&mut BufferPool) -> T) -> T {
    let mut pool = BUFFERS.try_with(RefCell::take).unwrap_or_default();
    let value = use_them(&mut pool);
    let _ = BUFFERS.try_with(|kept| kept.replace(pool));
    value
}

/// The payload of a frame that arrived, and its descriptors.
#[derive(Debug)]
pub(crate) struct Incoming<'a> {
    bytes: &'a [u8],
    ancillary: Ancillary,
}

impl<'a> Incoming<'a> {
    /// Returns the payload.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// A function that decodes a value.
pub(crate) type Decode<T> = fn(&mut Input<'_>) -> Result<T, Error>;

impl Message {
    /// Takes a buffer from the pool of this thread, with room for a header.
    pub(crate) fn new() -> Self {
        with_buffers(Self::in_pool)
    }

    /// Resets it to room for a header, and drops what was not sent. The buffer goes through the pool, which drops large
    /// ones that are hardly used.
    pub(crate) fn renew(&mut self) {
        with_buffers(|pool| {
            std::mem::take(self).recycle_in(pool);
            *self = Self::in_pool(pool);
        });
    }

    /// Gives the buffer back to the pool of this thread.
    pub(crate) fn recycle(self) {
        with_buffers(|pool| self.recycle_in(pool));
    }

    /// Copies the bytes, and duplicates the descriptors.
    pub(crate) fn try_clone(&self) -> std::io::Result<Self> {
        let descriptors = self.descriptors.iter().map(OwnedFd::try_clone);
        Ok(Self {
            frame: self.frame.clone(),
            descriptors: descriptors.collect::<Result<_, _>>()?,
        })
    }

    /// Returns where to encode a value. `carries` is whether the link carries descriptors.
    pub(crate) fn output(&mut self, carries: bool) -> Output<'_> {
        if carries {
            Output::with_descriptors(&mut self.frame, &mut self.descriptors)
        } else {
            Output::new(&mut self.frame)
        }
    }
}

impl Outbox {
    /// Removes the first `count` bytes, which were written.
    pub(crate) fn consume(&mut self, count: usize) {
        with_buffers(|pool| self.consume_in(count, pool));
    }
}

impl FrameReader {
    /// Returns how many bytes may be appended to the buffer now: see [`room_in`](Self::room_in).
    pub(crate) fn room(&mut self) -> usize {
        with_buffers(|pool| self.room_in(pool))
    }

    /// Adds the descriptors that came with the bytes just appended to the buffer.
    pub(crate) fn arrived(&mut self, arrivals: Vec<FdBatch>) {
        for arrival in arrivals {
            self.push_arrival(arrival.descriptors, arrival.is_truncated);
        }
    }

    /// Takes what arrived over the socket behind the current frame: the stream goes on over the rings.
    pub(crate) fn leave_socket(&mut self) -> (Vec<u8>, Vec<FdBatch>) {
        let (bytes, batches) = self.take_rest();
        let arrival = |(descriptors, is_truncated)| FdBatch {
            descriptors,
            is_truncated,
        };
        (bytes, batches.into_iter().map(arrival).collect())
    }

    /// Calls `take` with the payload and the descriptors of the current frame.
    pub(crate) fn hand_out<T>(&mut self, take: impl FnOnce(Incoming<'_>) -> T) -> T {
        let ancillary = self.take_ancillary();
        take(Incoming {
            bytes: self.bytes(),
            ancillary,
        })
    }
}

impl Payload {
    /// Calls `take` with the payload and the descriptors, and then recycles the buffer.
    pub(crate) fn hand_out<T>(mut self, take: impl FnOnce(Incoming<'_>) -> T) -> T {
        let ancillary = self.take_ancillary();
        let taken = take(Incoming {
            bytes: &self,
            ancillary,
        });
        with_buffers(|pool| self.recycle_in(pool));
        taken
    }
}

/// Decodes a value. Descriptors that the value does not take are closed.
pub(crate) fn read<T>(received: Incoming<'_>, decode: Decode<T>) -> Result<T, Error> {
    let descriptors = received
        .ancillary
        .into_descriptors()
        .map_err(|loss| Error::new(loss.to_string()))?;
    decode(&mut Input::with_descriptors(received.bytes, descriptors))
}
