//! The formats of `offspring`: how arguments, results and events become octets.
#![forbid(unsafe_code)]

mod bytes;
mod error;
mod octets;
mod send_as;
mod serialiser;

pub use bytes::{Bytes, BytesRef};
pub use error::Error;
pub use octets::{
    AsOctetStrings, AsOctets, FromOctetStrings, FromOctets, ListReader, ListWriter, Octets,
};
pub use send_as::SendAs;
pub use serialiser::{Format, Input, Output, Serialiser};
