//! postcard: small and fast. The bytes do not describe themselves, so both sides must be of the same build.

use crate::error::Error;
use crate::layer::{FormatRules, Kind, ReadContext, WriteContext, failed, refused};
use crate::serialiser::{Format, Input, Output, Serialiser, method};
use ::postcard::ser_flavors::io::WriteFlavor;
use serde::{Serialize, de::DeserializeOwned};
use std::borrow::Cow;

/// The format postcard, for two sides of the same build: it writes no names and no types, so a
/// changed type is decoded as another value, or not at all.
///
/// Attributes of serde's by which a type counts its fields or variants differently when it is
/// written and when it is read are errors where that is seen: a field left out by
/// `skip_serializing_if`; `flatten`; `untagged`, and enums with a `tag`. It is not seen with a
/// `skip`ped variant before others, with `skip_serializing` or `skip_deserializing` alone, with
/// `skip_serializing_if` in a tuple struct, and with a struct that has a `tag`: another value is
/// read then, or none.
///
/// ```
/// use offspring_serialisers::{Output, Postcard, Serialiser};
///
/// let mut bytes = Vec::new();
/// <Postcard as Serialiser<(u32, bool)>>::encode(&(300, true), &mut Output::new(&mut bytes))?;
/// assert_eq!(bytes, [0xac, 0x02, 0x01]);
/// # Ok::<(), offspring_serialisers::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Postcard;

impl Format for Postcard {
    const NAME: &'static str = "postcard";

    fn method(arguments: &[u8]) -> Result<Cow<'_, str>, Error> {
        let first = ::postcard::take_from_bytes::<&str>(arguments);
        method(Self::NAME, first.ok().map(|(name, _)| name))
    }
}

const RULES: FormatRules = FormatRules::of(Kind::Bare);

impl<T: DeserializeOwned, Sent: Serialize + ?Sized> Serialiser<T, Sent> for Postcard {
    fn encode(value: &Sent, output: &mut Output<'_>) -> Result<(), Error> {
        let (bytes, descriptors) = output.split();
        let writing = WriteContext::of::<T, _>(&RULES, value, descriptors);
        let output = WriteFlavor::new(bytes);
        let mut serializer = ::postcard::Serializer { output };
        let written = writing.whole(value).serialize(&mut serializer);
        written.map_err(|error| why(error, writing.rejection.take()))?;
        descriptors.accept(writing.descriptors);
        Ok(())
    }

    fn decode(input: &mut Input<'_>) -> Result<T, Error> {
        let mut deserializer = ::postcard::Deserializer::from_bytes(input.bytes());
        let reading = ReadContext::of(&RULES, input);
        let value = reading.whole(&mut deserializer);
        let value = value.and_then(|value| Ok((value, deserializer.finalize()?)));
        match value.map_err(|error| why(error, reading.rejection.take()))? {
            (value, []) => Ok(value),
            (_, left) => {
                let left = left.len();
                Err(failed(Self::NAME, format_args!("{left} bytes left over")))
            }
        }
    }
}

const NO_LENGTH: &str = "a list or map does not say how long it is before it is written, as a \
    struct with `flatten` does not: take `Cbor`, `Json` or `MessagePack` for it";

const NO_KINDS: &str = "the type wants to know what comes (it is `untagged`, has a `tag` or \
    `flatten`, or holds anything, as `serde_json::Value`), which postcard does not say: \
    take `Cbor`, `Json` or `MessagePack` for it";

const NOT_WRITTEN: &str = "the value refuses to be written, as do a path that is not UTF-8 and a \
    variant that serde is to skip";

const NOT_READ: &str = "not a value of the type that is wanted";

/// Converts postcard's error, which drops the text of the layer's and the type's errors.
fn why(error: ::postcard::Error, rejection: Option<String>) -> Error {
    match (rejection, error) {
        (Some(rejection), _) => failed(Postcard::NAME, rejection),
        (None, ::postcard::Error::SerdeSerCustom) => refused(Postcard::NAME, NOT_WRITTEN),
        (None, ::postcard::Error::SerdeDeCustom) => failed(Postcard::NAME, NOT_READ),
        (None, ::postcard::Error::SerializeSeqLengthUnknown) => failed(Postcard::NAME, NO_LENGTH),
        (None, ::postcard::Error::WontImplement) => failed(Postcard::NAME, NO_KINDS),
        (None, error) => failed(Postcard::NAME, error),
    }
}
