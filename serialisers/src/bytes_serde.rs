//! [`Bytes`] in the formats over serde.

use crate::bytes::{Bytes, BytesRef};
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Unexpected, Visitor};
use serde::ser::{Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

/// So many at once are looked at whether they are ASCII.
const RUN: usize = 32;

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

/// The octets as characters U+0000 to U+00FF. Nothing is copied if they are ASCII.
fn text_of(octets: &[u8]) -> Cow<'_, str> {
    if octets.is_ascii()
        && let Ok(text) = str::from_utf8(octets)
    {
        return text.into();
    }
    let mut text = String::with_capacity(octets.len() + octets.len() / 2);
    for run in octets.chunks(RUN) {
        match str::from_utf8(run) {
            Ok(plain) if run.is_ascii() => text.push_str(plain),
            _ => text.extend(run.iter().map(|&octet| char::from(octet))),
        }
    }
    text.into()
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
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (run, next) = rest.split_at(a_run_of(rest));
        if run.is_ascii() {
            octets.extend_from_slice(run.as_bytes());
        } else {
            for character in run.chars() {
                octets.push(octet(character)?);
            }
        }
        rest = next;
    }
    Ok(octets)
}

/// So many octets are whole characters.
fn a_run_of(text: &str) -> usize {
    let most = text.len().min(RUN);
    let lengths = (0..=most).rev();
    let whole = |length: &usize| text.is_char_boundary(*length);
    lengths.into_iter().find(whole).unwrap_or(most)
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::value::Error;

    #[test]
    fn each_octet_is_a_character_and_back() {
        let all: Vec<u8> = (0..=255).collect();
        let mixed: Vec<u8> = (0..10_000_u32).map(|n| ((n * n) >> 3) as u8).collect();
        for octets in [&[][..], b"plain", &[0x7f, 0x80], &[0xff], &all, &mixed] {
            let text = text_of(octets);
            let want: String = octets.iter().map(|&octet| char::from(octet)).collect();
            assert_eq!(text, want);
            assert_eq!(octets_of::<Error>(&text).unwrap(), octets);
        }
    }

    #[test]
    fn a_character_beyond_is_refused() {
        for text in ["\u{100}", "aä\u{20ac}ä", "ÿ\u{10ffff}"] {
            let error = octets_of::<Error>(text).unwrap_err().to_string();
            assert!(error.contains("characters U+0000 to U+00FF"), "{error}");
        }
    }
}
