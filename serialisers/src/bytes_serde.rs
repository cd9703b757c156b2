//! [`Bytes`] in the formats over serde.

use crate::{Bytes, BytesRef};
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Unexpected, Visitor};
use serde::ser::{Serialize, Serializer};
use std::fmt;

/// What is reserved for a list of octets at most before they are there.
const RESERVED: usize = 4096;

impl Serialize for BytesRef<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&text_of(self.0))
        } else {
            serializer.serialize_bytes(self.0)
        }
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        BytesRef(&self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(Octets { characters: true })
        } else {
            deserializer.deserialize_byte_buf(Octets { characters: false })
        }
    }
}

/// The octets as characters U+0000 to U+00FF.
fn text_of(octets: &[u8]) -> String {
    octets.iter().map(|&octet| char::from(octet)).collect()
}

/// The octets whose characters these are.
pub(crate) fn octets_of<E: Error>(text: &str) -> Result<Vec<u8>, E> {
    if text.is_ascii() {
        return Ok(text.into());
    }
    let octet = |character| {
        u8::try_from(character).map_err(|_| {
            E::invalid_value(
                Unexpected::Char(character),
                &"octets as characters U+0000 to U+00FF",
            )
        })
    };
    text.chars().map(octet).collect()
}

struct Octets {
    characters: bool,
}

impl<'de> Visitor<'de> for Octets {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("octets")
    }

    fn visit_bytes<E: Error>(self, octets: &[u8]) -> Result<Bytes, E> {
        Ok(octets.into())
    }

    fn visit_byte_buf<E: Error>(self, octets: Vec<u8>) -> Result<Bytes, E> {
        Ok(octets.into())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Bytes, E> {
        if self.characters {
            octets_of(text).map(Bytes)
        } else {
            Ok(text.as_bytes().into())
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Bytes, A::Error> {
        let mut octets = Vec::with_capacity(list.size_hint().unwrap_or(0).min(RESERVED));
        while let Some(octet) = list.next_element()? {
            octets.push(octet);
        }
        Ok(Bytes(octets))
    }
}
