//! For `#[serde(with = …)]`: a field whose type owns a descriptor, such as a `File`, as a
//! [`Descriptor`].
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use std::{fs::File, net::TcpStream};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Visitor {
//!     name: String,
//!     #[serde(with = "offspring_serialisers::descriptor")]
//!     stream: TcpStream,
//! }
//! ```
//!
//! With the crate `offspring`, it is `"offspring::descriptor"`. For an `Option<File>` or a `Vec<File>`
//! use an `Option<Descriptor<File>>` or a `Vec<Descriptor<File>>`.

use crate::bytes::{Bytes, BytesRef};
use crate::descriptors::{Arrived, Descriptor, DescriptorOrBytes, DescriptorRef};
use scope::{DESCRIPTOR, OFFER};
use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use serde::ser::{Error as _, Serialize, SerializeTuple, Serializer};
use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

mod own_format;
pub(crate) mod scope;

/// Serialises the owner of a descriptor as a [`Descriptor`].
///
/// ```
/// # #[derive(serde::Serialize)]
/// struct Job {
///     #[serde(serialize_with = "offspring_serialisers::descriptor::serialize")]
///     log: std::fs::File,
/// }
/// ```
///
/// # Errors
/// Those of a [`Descriptor`].
pub fn serialize<T: AsFd, S: Serializer>(owner: &T, serializer: S) -> Result<S::Ok, S::Error> {
    DescriptorRef(owner.as_fd()).serialize(serializer)
}

/// Deserialises the owner of a descriptor where a [`Descriptor`] was written.
///
/// ```
/// # #[derive(serde::Deserialize)]
/// struct Job {
///     #[serde(deserialize_with = "offspring_serialisers::descriptor::deserialize")]
///     log: std::fs::File,
/// }
/// ```
///
/// # Errors
/// Those of a [`Descriptor`].
pub fn deserialize<'de, T: From<OwnedFd>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    let descriptor = deserializer.deserialize_newtype_struct(DESCRIPTOR, DescriptorVisitor)?;
    Ok(descriptor.into())
}

impl Serialize for DescriptorRef<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(DESCRIPTOR, &Offer::new(self.0, false))
    }
}

impl<T: AsFd> Serialize for Descriptor<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        DescriptorRef(self.as_fd()).serialize(serializer)
    }
}

impl<'de, T: From<OwnedFd>> Deserialize<'de> for Descriptor<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize(deserializer).map(Self::new)
    }
}

/// A pair: the descriptor if the link carries it, and else the bytes.
impl Serialize for DescriptorOrBytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let offer = Offer::new(self.descriptor, true);
        let mut pair = serializer.serialize_tuple(2)?;
        pair.serialize_element(&NewtypeOffer(&offer))?;
        let bytes = match offer.taken.get() {
            true => Cow::default(),
            false => (self.bytes)(),
        };
        pair.serialize_element(&BytesRef(&bytes))?;
        pair.end()
    }
}

impl<'de> Deserialize<'de> for Arrived {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match <(Option<Descriptor>, Bytes)>::deserialize(deserializer)? {
            (None, bytes) => Ok(Self::Bytes(bytes)),
            (Some(descriptor), bytes) if bytes.is_empty() => {
                Ok(Self::Descriptor(descriptor.into_inner()))
            }
            _ => Err(D::Error::custom("both a descriptor and bytes")),
        }
    }
}

/// A descriptor that the layer may ask for.
struct Offer<'a> {
    descriptor: BorrowedFd<'a>,
    optional: bool,
    taken: Cell<bool>,
}

struct NewtypeOffer<'o, 'a>(&'o Offer<'a>);

impl<'a> Offer<'a> {
    fn new(descriptor: BorrowedFd<'a>, optional: bool) -> Self {
        Self {
            descriptor,
            optional,
            taken: Cell::new(false),
        }
    }
}

/// Another serialiser gets an error, or `None` if the descriptor is optional.
impl Serialize for Offer<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if scope::answer(self.descriptor) {
            self.taken.set(true);
            serializer.serialize_bool(true)
        } else if self.optional {
            serializer.serialize_none()
        } else {
            Err(S::Error::custom("this serialiser carries no descriptors"))
        }
    }
}

impl Serialize for NewtypeOffer<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(OFFER, self.0)
    }
}

/// Takes the descriptor that the layer lends.
struct DescriptorVisitor;

impl<'de> Visitor<'de> for DescriptorVisitor {
    type Value = OwnedFd;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a descriptor, by a deserialiser that carries some")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, _: D) -> Result<OwnedFd, D::Error> {
        let strange = || D::Error::custom("this deserialiser carries no descriptors");
        scope::take().ok_or_else(strange)
    }
}
