//! What goes over a link and what has come, with this system's descriptors.
//!
//! The protocol does not know what a descriptor is, and the serialisers do not
//! know of frames: here the two meet, for parent and child alike.

use std::os::fd::OwnedFd;

use offspring_serialisers::{Error, Input, Output, Tail};

use crate::base::spare;
use crate::protocol::{self, Parts};
use crate::sys::Arrival;

pub(crate) type Ancillary = protocol::Ancillary<OwnedFd>;
pub(crate) type Outbox = protocol::Outbox<OwnedFd>;
pub(crate) type Parcel = protocol::Parcel<OwnedFd>;
pub(crate) type Payload = protocol::Payload<OwnedFd>;
pub(crate) type Reader = protocol::Reader<OwnedFd>;

/// What has come of one frame: its octets, perhaps in two parts, and what came along.
pub(crate) struct Received<'a> {
    octets: &'a [u8],
    tail: Option<&'a Tail>,
    ancillary: Ancillary,
}

/// How a value comes out of it.
pub(crate) type Decode<T> = fn(&mut Input<'_>) -> Result<T, Error>;

impl Parcel {
    /// The same octets, and descriptors of the same.
    pub(crate) fn try_clone(&self) -> std::io::Result<Self> {
        let descriptors = self.descriptors.iter().map(OwnedFd::try_clone);
        Ok(Self {
            frame: self.frame.clone(),
            tail: self.tail.clone(),
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

    /// The same; a long string at the end of the value may be kept as it is.
    pub(crate) fn output_in_parts(&mut self, carries: bool) -> Output<'_> {
        let Self {
            frame,
            tail,
            descriptors,
        } = self;
        let output = if carries {
            Output::with_descriptors(frame, descriptors)
        } else {
            Output::new(frame)
        };
        output.and_tail(tail)
    }
}

impl Reader {
    /// These came with the octets that were just put into the buffer.
    pub(crate) fn arrived(&mut self, arrival: Option<Arrival>) {
        if let Some(arrival) = arrival {
            self.push_arrival(arrival.descriptors, arrival.is_cut);
        }
    }

    /// Hands out what has come of the current frame, which is gone then.
    pub(crate) fn hand_out<T>(&mut self, take: impl FnOnce(Received<'_>) -> T) -> T {
        let ancillary = self.take_ancillary();
        match self.take_parts() {
            Some(Parts { head, tail }) => hand_out(&head, Some(tail), ancillary, take),
            None => hand_out(self.octets(), None, ancillary, take),
        }
    }
}

impl Payload {
    /// Hands out what it is.
    pub(crate) fn hand_out<T>(mut self, take: impl FnOnce(Received<'_>) -> T) -> T {
        let (ancillary, tail) = (self.take_ancillary(), self.take_tail());
        let taken = hand_out(&self, tail, ancillary, take);
        self.recycle();
        taken
    }
}

/// The buffer of the tail can be used again unless it was taken.
fn hand_out<T>(
    octets: &[u8],
    tail: Option<Vec<u8>>,
    ancillary: Ancillary,
    take: impl FnOnce(Received<'_>) -> T,
) -> T {
    let tail = tail.map(Tail::new);
    let taken = take(Received {
        octets,
        tail: tail.as_ref(),
        ancillary,
    });
    if let Some(buffer) = tail.and_then(Tail::into_buffer) {
        let used = buffer.len();
        spare::put(buffer, used);
    }
    taken
}

/// Reads a value from what has come. What it does not take is closed.
pub(crate) fn read<T>(received: Received<'_>, decode: Decode<T>) -> Result<T, Error> {
    let descriptors = received
        .ancillary
        .into_descriptors()
        .map_err(|loss| Error::new(loss.to_string()))?;
    let input = Input::with_descriptors(received.octets, descriptors);
    decode(&mut input.and_tail(received.tail))
}
