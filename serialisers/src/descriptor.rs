//! For serde: a field whose type owns a descriptor, such as a `File`, as a
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
//! With `offspring`, that is `"offspring::descriptor"`. For an `Option<File>` or a `Vec<File>` take
//! an `Option<Descriptor<File>>` or a `Vec<Descriptor<File>>`.

// How a descriptor gets out of a value, and into one.
//
// serde's traits know numbers and texts, no descriptors, and a value sees neither the format nor
// its table. What they have in common is the layer that is around each of our formats. So:
//
// - A value calls `serialize_newtype_struct` with a name that only the layer knows, and an
//   [`Offer`]. The layer knocks twice: it has the offer written, as if into a string, two times.
//   At the first knock the offer says what it is for strangers: an error, or nothing if it can
//   do without. At the second it duplicates the descriptor, puts it into the [`exchange`], and
//   says the token for it. The layer claims the duplicate and writes its index. A format that is
//   not ours has the offer written once, into itself, and so knows no token.
// - When a value is read, the layer reads the index, puts the descriptor into the exchange, and
//   has the visitor visit the token.
//
// A token is good for one claim, by the same thread, and until the call returns or panics that
// put the descriptor there. It is a number that cannot be guessed, so a format that is not ours
// and reads one out of the octets finds nothing.

use crate::bytes::{Bytes, BytesRef};
use crate::descriptors::{Arrived, Descriptor, DescriptorOrOctets, DescriptorRef};
use crate::layer::{DESCRIPTOR, OFFER};
use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};
use serde::ser::{Error as _, Serialize, SerializeTuple, Serializer};
use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

pub(crate) mod exchange;
mod own_format;

/// Writes what owns a descriptor as a [`Descriptor`].
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
/// As those of a [`Descriptor`].
pub fn serialize<T: AsFd, S: Serializer>(owner: &T, serializer: S) -> Result<S::Ok, S::Error> {
    DescriptorRef(owner.as_fd()).serialize(serializer)
}

/// Reads what owns a descriptor where a [`Descriptor`] was written.
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
/// As those of a [`Descriptor`].
pub fn deserialize<'de, T: From<OwnedFd>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    let descriptor = deserializer.deserialize_newtype_struct(DESCRIPTOR, Taker)?;
    Ok(descriptor.into())
}

impl Serialize for DescriptorRef<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let offer = Offer::new(self.0, false);
        let written = serializer.serialize_newtype_struct(DESCRIPTOR, &offer)?;
        offer.taken()?;
        Ok(written)
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

/// A pair: the descriptor if it can go, and the octets if not.
impl Serialize for DescriptorOrOctets<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let offer = Offer::new(self.descriptor, true);
        let mut pair = serializer.serialize_tuple(2)?;
        pair.serialize_element(&Offered(&offer))?;
        let octets = match offer.taken()? {
            true => Cow::default(),
            false => (self.octets)(),
        };
        pair.serialize_element(&BytesRef(&octets))?;
        pair.end()
    }
}

impl<'de> Deserialize<'de> for Arrived {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_tuple(2, Pair)
    }
}

/// A descriptor of which somebody may have a duplicate.
struct Offer<'a> {
    descriptor: BorrowedFd<'a>,
    optional: bool,
    knocked: Cell<bool>,
    duplicate: OnceCell<exchange::Put>,
}

struct Offered<'o, 'a>(&'o Offer<'a>);

impl<'a> Offer<'a> {
    fn new(descriptor: BorrowedFd<'a>, optional: bool) -> Self {
        Self {
            descriptor,
            optional,
            knocked: Cell::new(false),
            duplicate: OnceCell::new(),
        }
    }

    /// Whether it was taken up. Of who has only heard the token nothing good can come.
    fn taken<E: serde::ser::Error>(&self) -> Result<bool, E> {
        match self.duplicate.get() {
            Some(put) if put.is_there() => Err(E::custom(STRANGE)),
            duplicate => Ok(duplicate.is_some()),
        }
    }
}

const STRANGE: &str = "this serialiser carries no descriptors";

impl Serialize for Offer<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.knocked.replace(true) {
            let put = || exchange::put(self.descriptor.try_clone_to_owned());
            serializer.serialize_u64(self.duplicate.get_or_init(put).token())
        } else if self.optional {
            serializer.serialize_none()
        } else {
            Err(S::Error::custom(STRANGE))
        }
    }
}

impl Serialize for Offered<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(OFFER, self.0)
    }
}

/// Takes the descriptor that the layer has put into the exchange.
struct Taker;

impl<'de> Visitor<'de> for Taker {
    type Value = OwnedFd;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a descriptor, by a deserialiser that carries some")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, token: D) -> Result<OwnedFd, D::Error> {
        let taken = exchange::claim(u64::deserialize(token)?);
        let strange = || D::Error::custom("this deserialiser carries no descriptors");
        taken.ok_or_else(strange)?.map_err(D::Error::custom)
    }
}

struct Pair;

impl<'de> Visitor<'de> for Pair {
    type Value = Arrived;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a descriptor, or octets")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<Arrived, A::Error> {
        let short = |got| A::Error::invalid_length(got, &self);
        let descriptor: Option<Descriptor> = pair.next_element()?.ok_or_else(|| short(0))?;
        let octets: Bytes = pair.next_element()?.ok_or_else(|| short(1))?;
        match descriptor {
            None => Ok(Arrived::Octets(octets)),
            Some(descriptor) if octets.is_empty() => {
                Ok(Arrived::Descriptor(descriptor.into_inner()))
            }
            Some(_) => Err(A::Error::custom("both a descriptor and octets")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Offer, exchange};
    use serde::Serialize;
    use std::fmt::{self, Display};
    use std::fs::File;
    use std::os::fd::AsFd;

    struct Written<'o, 'a>(&'o Offer<'a>);

    impl Display for Written<'_, '_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.serialize(f)
        }
    }

    /// A format that writes everything twice knocks as we do, but takes nothing.
    #[test]
    fn who_stutters_is_refused() {
        let file = File::open("/dev/null").unwrap();
        for optional in [true, false] {
            let offer = Offer::new(file.as_fd(), optional);
            let mut text = String::new();
            assert!(fmt::write(&mut text, format_args!("{}", Written(&offer))).is_err());
            assert!(!offer.taken::<fmt::Error>().unwrap());
            let token = Written(&offer).to_string().parse().unwrap();
            assert!(offer.taken::<fmt::Error>().is_err());
            drop(offer);
            assert!(exchange::claim(token).is_none());
        }
    }
}
