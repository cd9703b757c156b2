//! Strings of bytes where text is expected, and the reverse.

use crate::bytes_serde::bytes_of;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor};
use std::fmt;

/// How text and bytes are encoded.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Strings {
    AsTheyAre,
    /// Bytes are encoded as the characters of a string.
    BytesAreText,
    /// Text may be decoded as bytes, and bytes as text, also as the name in an enum. Such values come
    /// from untyped languages, so integers may be decoded as floats, and lists as structs, too.
    Either,
}

/// A visitor of a string that may be encoded as another kind of string.
pub(super) struct StringVisitor<V>(pub(super) V, pub(super) Wanted);

#[derive(Clone, Copy)]
pub(super) enum Wanted {
    Text,
    /// Bytes, or a list of numbers.
    Bytes,
    /// Bytes, encoded as the characters of a string.
    Characters,
    Enum,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for StringVisitor<V> {
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
            Wanted::Characters => self.0.visit_byte_buf(bytes_of(text)?),
            Wanted::Enum => self.0.visit_enum(text.into_deserializer()),
            Wanted::Text | Wanted::Bytes => self.0.visit_str(text),
        }
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<V::Value, E> {
        if let Wanted::Bytes = self.1 {
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
