//! What goes over a link and what has come, with this system's descriptors.
//!
//! The protocol does not know what a descriptor is, and the serialisers do not
//! know of frames: here the two meet, for parent and child alike.

use std::os::fd::OwnedFd;

use offspring_serialisers::{Error, Input, Output};

use crate::protocol;
use crate::sys::Arrival;

pub(crate) type Ancillary = protocol::Ancillary<OwnedFd>;
pub(crate) type Outbox = protocol::Outbox<OwnedFd>;
pub(crate) type Parcel = protocol::Parcel<OwnedFd>;
pub(crate) type Payload = protocol::Payload<OwnedFd>;
pub(crate) type Reader = protocol::Reader<OwnedFd>;

/// What has come of one frame: its octets, and what came along.
pub(crate) type Received<'a> = (&'a [u8], Ancillary);

/// How a value comes out of it.
pub(crate) type Decode<T> = fn(&mut Input<'_>) -> Result<T, Error>;

impl Parcel {
    /// The same octets, and descriptors of the same.
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

impl Reader {
    /// These came with the octets that were just put into the buffer.
    pub(crate) fn arrived(&mut self, arrival: Option<Arrival>) {
        if let Some(arrival) = arrival {
            self.push_arrival(arrival.descriptors, arrival.is_cut);
        }
    }
}

/// Reads a value from what has come. What it does not take is closed.
pub(crate) fn read<T>((octets, ancillary): Received<'_>, decode: Decode<T>) -> Result<T, Error> {
    let descriptors = ancillary
        .into_descriptors()
        .map_err(|loss| Error::new(loss.to_string()))?;
    decode(&mut Input::with_descriptors(octets, descriptors))
}
