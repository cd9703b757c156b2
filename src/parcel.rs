//! What goes over a link and what has come, with this system's descriptors.
//!
//! The protocol does not know what a descriptor is, and the serialisers do not
//! know of frames: here the two meet, for parent and child alike.

use std::cell::RefCell;
use std::os::fd::OwnedFd;

use offspring_serialisers::{Error, Input, Output};

use crate::protocol::{self, BufferPool};
use crate::sys::Arrival;

pub(crate) type Ancillary = protocol::Ancillary<OwnedFd>;
pub(crate) type Outbox = protocol::Outbox<OwnedFd>;
pub(crate) type Parcel = protocol::Parcel<OwnedFd>;
pub(crate) type Payload = protocol::Payload<OwnedFd>;
pub(crate) type Reader = protocol::Reader<OwnedFd>;

thread_local! {
    static BUFFERS: RefCell<BufferPool> = const { RefCell::new(BufferPool::new()) };
}

/// Uses the buffers of this thread. One that is ending keeps none.
fn with_buffers<T>(use_them: impl FnOnce(&mut BufferPool) -> T) -> T {
    let mut pool = BUFFERS.try_with(RefCell::take).unwrap_or_default();
    let value = use_them(&mut pool);
    let _ = BUFFERS.try_with(|kept| kept.replace(pool));
    value
}

/// What has come of one frame: its bytes, and what came along.
#[derive(Debug)]
pub(crate) struct Received<'a> {
    bytes: &'a [u8],
    ancillary: Ancillary,
}

impl<'a> Received<'a> {
    /// The bytes.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// How a value comes out of it.
pub(crate) type Decode<T> = fn(&mut Input<'_>) -> Result<T, Error>;

impl Parcel {
    /// Room for a header, in a buffer of this thread.
    pub(crate) fn new() -> Self {
        with_buffers(Self::in_pool)
    }

    /// Room for a header again, in the same buffer if that is not large. What was
    /// not sent goes.
    pub(crate) fn renew(&mut self) {
        with_buffers(|pool| {
            std::mem::take(self).recycle_in(pool);
            *self = Self::in_pool(pool);
        });
    }

    /// It was sent, or is not wanted: its buffers can be used again.
    pub(crate) fn recycle(self) {
        with_buffers(|pool| self.recycle_in(pool));
    }

    /// The same bytes, and descriptors of the same.
    pub(crate) fn try_clone(&self) -> std::io::Result<Self> {
        let descriptors = self.descriptors.iter().map(OwnedFd::try_clone);
        Ok(Self {
            frame: self.frame.clone(),
            descriptors: descriptors.collect::<Result<_, _>>()?,
        })
    }

    /// Where a value is written; what it holds of descriptors goes along if the
    /// link carries any.
    pub(crate) fn output(&mut self, carries: bool) -> Output<'_> {
        if carries {
            Output::with_descriptors(&mut self.frame, &mut self.descriptors)
        } else {
            Output::new(&mut self.frame)
        }
    }
}

impl Outbox {
    /// `count` bytes were written.
    pub(crate) fn consume(&mut self, count: usize) {
        with_buffers(|pool| self.consume_in(count, pool));
    }
}

impl Reader {
    /// How many bytes may be put into the buffer now: see [`room_in`](Self::room_in).
    pub(crate) fn room(&mut self) -> usize {
        with_buffers(|pool| self.room_in(pool))
    }

    /// These came with the bytes that were just put into the buffer.
    pub(crate) fn arrived(&mut self, arrivals: Vec<Arrival>) {
        for arrival in arrivals {
            self.push_arrival(arrival.descriptors, arrival.is_cut);
        }
    }

    /// What follows the current frame comes over rings: hands out what has come behind it over the socket.
    pub(crate) fn leave_socket(&mut self) -> (Vec<u8>, Vec<Arrival>) {
        let (bytes, lots) = self.take_rest();
        let arrival = |(descriptors, is_cut)| Arrival {
            descriptors,
            is_cut,
        };
        (bytes, lots.into_iter().map(arrival).collect())
    }

    /// Hands out what has come of the current frame, which is gone then.
    pub(crate) fn hand_out<T>(&mut self, take: impl FnOnce(Received<'_>) -> T) -> T {
        let ancillary = self.take_ancillary();
        take(Received {
            bytes: self.octets(),
            ancillary,
        })
    }
}

impl Payload {
    /// Hands out what it is.
    pub(crate) fn hand_out<T>(mut self, take: impl FnOnce(Received<'_>) -> T) -> T {
        let ancillary = self.take_ancillary();
        let taken = take(Received {
            bytes: &self,
            ancillary,
        });
        with_buffers(|pool| self.recycle_in(pool));
        taken
    }
}

/// Reads a value from what has come. What it does not take is closed.
pub(crate) fn read<T>(received: Received<'_>, decode: Decode<T>) -> Result<T, Error> {
    let descriptors = received
        .ancillary
        .into_descriptors()
        .map_err(|loss| Error::new(loss.to_string()))?;
    decode(&mut Input::with_descriptors(received.bytes, descriptors))
}
