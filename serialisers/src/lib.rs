//! The formats of `offspring`: how arguments, results and events become bytes.
//!
//! [`Serialiser`] is the trait, and [`Octets`] the format without a feature. The features `cbor`, `json`, `messagepack` and
//! `postcard` add a format each, for all types of serde. [`SendAs`] says which borrowed forms a caller may pass.
//! [`Bytes`] is encoded as a byte string. [`Descriptor`] is a file descriptor, which is sent beside the bytes.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(all(
        feature = "cbor",
        feature = "json",
        feature = "messagepack",
        feature = "postcard"
    )),
    allow(
        dead_code,
        reason = "only all formats of this crate use all of the layer"
    )
)]

mod bytes;
#[cfg(feature = "bytes")]
mod bytes_crate;
#[cfg(feature = "serde")]
mod bytes_serde;
#[cfg(feature = "cbor")]
mod cbor;
#[cfg(feature = "serde")]
pub mod descriptor;
mod descriptors;
mod error;
#[cfg(feature = "json")]
mod json;
#[cfg(feature = "serde")]
mod layer;
#[cfg(feature = "messagepack")]
mod messagepack;
mod octets;
#[cfg(feature = "postcard")]
mod postcard;
mod send_as;
mod serialiser;
mod worker_error;
#[cfg(feature = "serde")]
mod worker_error_serde;

pub use bytes::{Bytes, BytesRef};
#[cfg(feature = "cbor")]
pub use cbor::Cbor;
pub use descriptors::{Arrived, Descriptor, DescriptorOrBytes, DescriptorRef, Descriptors};
pub use error::Error;
#[cfg(feature = "json")]
pub use json::Json;
#[cfg(feature = "messagepack")]
pub use messagepack::MessagePack;
pub use octets::{
    AsOctetStrings, FromOctetStrings, ListReader, ListWriter, ManyStrings, Octets, One, OneByte,
    OneString,
};
#[cfg(feature = "postcard")]
pub use postcard::Postcard;
pub use send_as::SendAs;
pub use serialiser::{Format, Input, Output, Serialiser};
pub use worker_error::WorkerError;
