//! JSON (RFC 8259): what everybody reads.

use crate::error::Error;
use crate::layer::unit::is_unit;
use crate::layer::{self, Context, Floats, Kind, Rules, Strings};
use crate::serialiser::{Format, Input, Output, Serialiser};
use serde::ser::Serializer;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::ser::{CharEscape, Formatter};
use std::io::{self, Write};

/// The format JSON.
///
/// Octets ([`Bytes`](crate::Bytes), and whatever calls serde's `serialize_bytes`) are strings
/// whose characters U+0000 to U+00FF are the octets. NaN and the infinities, for which JSON has
/// no form, are an error. Nesting ends at 127 lists and maps.
///
/// `Some(())` and `Some(None)` are an error, because they would be read as `None`.
///
/// ```
/// use offspring_serialisers::{Json, Output, Serialiser};
///
/// let mut octets = Vec::new();
/// <Json as Serialiser<(String, u32)>>::encode(&("a".into(), 7), &mut Output::new(&mut octets))?;
/// assert_eq!(octets, br#"["a",7]"#);
/// # Ok::<(), offspring_serialisers::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

const KIND: Kind = Kind::Described { null_structs: true };

impl Format for Json {
    const NAME: &'static str = "json";
}

impl<T: DeserializeOwned, Sent: Serialize + ?Sized> Serialiser<T, Sent> for Json {
    fn encode(value: &Sent, output: &mut Output<'_>) -> Result<(), Error> {
        let (octets, descriptors) = output.split();
        let context = Context::new(Finite, KIND, descriptors).unit_is_list(is_unit::<T, _>(value));
        let mut serializer = serde_json::Serializer::with_formatter(octets, Compact);
        let written = layer::write(&mut serializer, value, &context);
        written.map_err(|error| layer::refused(Self::NAME, error))?;
        descriptors.accept(context.into_descriptors());
        Ok(())
    }

    fn decode(input: &mut Input<'_>) -> Result<T, Error> {
        let octets = input.octets();
        let mut deserializer = serde_json::Deserializer::from_slice(octets);
        let rules = Rules {
            strings: Strings::OctetsAreText,
            ..Rules::new(KIND, octets.len(), input.take_descriptors())
        };
        let value = layer::read(&mut deserializer, &rules);
        let value = value.map_err(|error| layer::failed(Self::NAME, error))?;
        deserializer
            .end()
            .map_err(|error| layer::failed(Self::NAME, error))?;
        Ok(value)
    }
}

/// serde_json would write null for what is no number.
struct Finite;

impl Floats for Finite {
    fn f32<S: Serializer>(&self, serializer: S, value: f32) -> Result<S::Ok, S::Error> {
        if value.is_finite() {
            serializer.serialize_f32(value)
        } else {
            Err(no_form(value))
        }
    }

    fn f64<S: Serializer>(&self, serializer: S, value: f64) -> Result<S::Ok, S::Error> {
        if value.is_finite() {
            serializer.serialize_f64(value)
        } else {
            Err(no_form(value))
        }
    }
}

fn no_form<E: serde::ser::Error>(value: impl std::fmt::Display) -> E {
    E::custom(format_args!("the number {value} has no form in JSON"))
}

/// No spaces, as serde_json's own compact form; octets as characters.
struct Compact;

impl Formatter for Compact {
    fn write_byte_array<W: Write + ?Sized>(
        &mut self,
        writer: &mut W,
        mut octets: &[u8],
    ) -> io::Result<()> {
        self.begin_string(writer)?;
        while !octets.is_empty() {
            let plain = octets.iter().position(|&octet| !is_plain(octet));
            let (run, rest) = octets.split_at(plain.unwrap_or(octets.len()));
            writer.write_all(run)?;
            octets = rest;
            if let Some((&octet, rest)) = rest.split_first() {
                write_character(self, writer, octet)?;
                octets = rest;
            }
        }
        self.end_string(writer)
    }
}

fn is_plain(octet: u8) -> bool {
    matches!(octet, 0x20..0x80) && octet != b'"' && octet != b'\\'
}

fn write_character<W: Write + ?Sized>(
    formatter: &mut Compact,
    writer: &mut W,
    octet: u8,
) -> io::Result<()> {
    let escape = match octet {
        b'"' => CharEscape::Quote,
        b'\\' => CharEscape::ReverseSolidus,
        b'\t' => CharEscape::Tab,
        b'\n' => CharEscape::LineFeed,
        b'\r' => CharEscape::CarriageReturn,
        0x08 => CharEscape::Backspace,
        0x0c => CharEscape::FormFeed,
        0..0x20 => CharEscape::AsciiControl(octet),
        _ => return write!(writer, "{}", char::from(octet)),
    };
    formatter.write_char_escape(writer, escape)
}
