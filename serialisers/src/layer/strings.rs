//! Strings of one kind where those of another are wanted.

use crate::bytes_serde::octets_of;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor};
use std::fmt;

/// What stands for text and for bytes.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Strings {
    AsTheyAre,
    /// Bytes are the characters of a string.
    OctetsAreText,
    /// What is written as the one may be wanted as the other, also as the name in an enum. As they
    /// come from where the type counts for less, numbers may be wanted as floats, too, and structs
    /// may be lists.
    Either,
}

/// For a string that may have come as one of another kind.
pub(super) struct Wanting<V>(pub(super) V, pub(super) Wanted);

#[derive(Clone, Copy)]
pub(super) enum Wanted {
    Text,
    /// Bytes; a list of numbers will do as well.
    Octets,
    /// The same, as the characters of a string.
    Characters,
    Enum,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Wanting<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    /// An identifier may be a number.
    fn visit_u64<E: Error>(self, number: u64) -> Result<V::Value, E> {
        self.0.visit_u64(number)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<V::Value, E> {
        match self.1 {
            Wanted::Characters => self.0.visit_byte_buf(octets_of(text)?),
            Wanted::Enum => self.0.visit_enum(text.into_deserializer()),
            Wanted::Text | Wanted::Octets => self.0.visit_str(text),
        }
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<V::Value, E> {
        if let Wanted::Octets = self.1 {
            return self.0.visit_byte_buf(bytes.into());
        }
        match str::from_utf8(bytes) {
            Ok(text) => self.visit_str(text),
            Err(_) => Err(E::invalid_value(Unexpected::Bytes(bytes), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(list)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<V::Value, A::Error> {
        let Wanted::Enum = self.1 else {
            return self.0.visit_map(map);
        };
        let value = self.0.visit_enum(MapAccessDeserializer::new(&mut map))?;
        match map.next_key::<IgnoredAny>()? {
            None => Ok(value),
            Some(_) => Err(A::Error::custom("wanted an enum: a name, or a map of one")),
        }
    }
}
