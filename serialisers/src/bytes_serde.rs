//! [`Bytes`] in the formats over serde.

use crate::bytes::{Bytes, BytesRef};
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Unexpected, Visitor};
use serde::ser::{Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

/// Maximum number of bytes to reserve before they are decoded.
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
            deserializer.deserialize_any(BytesVisitor { characters: true })
        } else {
            deserializer.deserialize_byte_buf(BytesVisitor { characters: false })
        }
    }
}

/// Returns the bytes as characters U+0000 to U+00FF. ASCII is not copied.
pub(crate) fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    match str::from_utf8(bytes) {
        Ok(text) if bytes.is_ascii() => text.into(),
        _ => bytes.iter().map(|&byte| char::from(byte)).collect(),
    }
}

/// Returns the bytes of characters U+0000 to U+00FF.
pub(crate) fn bytes_of<E: Error>(text: &str) -> Result<Vec<u8>, E> {
    if text.is_ascii() {
        return Ok(text.into());
    }
    let wanted = "bytes as characters U+0000 to U+00FF";
    let byte = |character| {
        let byte = u8::try_from(character);
        byte.map_err(|_| E::invalid_value(Unexpected::Char(character), &wanted))
    };
    let mut bytes = Vec::with_capacity(text.len());
    for character in text.chars() {
        bytes.push(byte(character)?);
    }
    Ok(bytes)
}

struct BytesVisitor {
    characters: bool,
}

impl<'de> Visitor<'de> for BytesVisitor {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
        Ok(bytes.into())
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
        Ok(bytes.into())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Bytes, E> {
        if self.characters {
            bytes_of(text).map(Bytes)
        } else {
            Ok(text.as_bytes().into())
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Bytes, A::Error> {
        let mut bytes = Vec::with_capacity(list.size_hint().unwrap_or(0).min(RESERVED));
        while let Some(byte) = list.next_element()? {
            bytes.push(byte);
        }
        Ok(Bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::value::Error;

    #[test]
    fn each_byte_is_a_character_and_back() {
        let all: Vec<u8> = (0..=255).collect();
        let mixed: Vec<u8> = (0..10_000_u32).map(|n| ((n * n) >> 3) as u8).collect();
        for bytes in [&[][..], b"plain", &[0x7f, 0x80], &[0xff], &all, &mixed] {
            let text = text_of(bytes);
            let want: String = bytes.iter().map(|&byte| char::from(byte)).collect();
            assert_eq!(text, want);
            assert_eq!(bytes_of::<Error>(&text).unwrap(), bytes);
        }
    }

    #[test]
    fn a_character_beyond_is_refused() {
        for text in ["\u{100}", "aä\u{20ac}ä", "ÿ\u{10ffff}"] {
            let error = bytes_of::<Error>(text).unwrap_err().to_string();
            assert!(error.contains("characters U+0000 to U+00FF"), "{error}");
        }
    }
}
