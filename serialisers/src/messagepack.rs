//! MessagePack.

use crate::error::Error;
use crate::layer::{FormatRules, Kind, ReadContext, WriteContext, failed, refused};
use crate::serialiser::{Format, Input, Output, Serialiser, method};
use rmp_serde::decode::Error as DecodeError;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::borrow::Cow;

/// The format MessagePack. Structs are maps with the names of their fields, so that a field may
/// be added; structs without names are read too.
///
/// `Some(())` and `Some(None)` are an error, because they would be read as `None`.
///
/// ```
/// use offspring_serialisers::{MessagePack, Output, Serialiser};
///
/// let mut bytes = Vec::new();
/// let mut output = Output::new(&mut bytes);
/// <MessagePack as Serialiser<(String, u32)>>::encode(&("a".into(), 7), &mut output)?;
/// assert_eq!(bytes, [0x92, 0xa1, b'a', 7]);
/// # Ok::<(), offspring_serialisers::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct MessagePack;

const RULES: FormatRules = FormatRules::of(Kind::Described);

impl Format for MessagePack {
    const NAME: &'static str = "messagepack";

    fn method(arguments: &[u8]) -> Result<Cow<'_, str>, Error> {
        let first = match arguments {
            [0x90..=0x9f, first @ ..] => Some(first),
            [0xdc, rest @ ..] => rest.get(2..),
            [0xdd, rest @ ..] => rest.get(4..),
            _ => None,
        };
        let read = |first| String::deserialize(&mut rmp_serde::Deserializer::from_read_ref(first));
        method(Self::NAME, first.and_then(|first| read(first).ok()))
    }
}

impl<T: DeserializeOwned, Sent: Serialize + ?Sized> Serialiser<T, Sent> for MessagePack {
    fn encode(value: &Sent, output: &mut Output<'_>) -> Result<(), Error> {
        let (bytes, descriptors) = output.split();
        let writing = WriteContext::of::<T, _>(&RULES, value, descriptors);
        let mut serializer = rmp_serde::Serializer::new(bytes).with_struct_map();
        let written = writing.whole(value).serialize(&mut serializer);
        written.map_err(|error| refused(Self::NAME, error))?;
        descriptors.accept(writing.descriptors);
        Ok(())
    }

    fn decode(input: &mut Input<'_>) -> Result<T, Error> {
        let mut deserializer = rmp_serde::Deserializer::from_read_ref(input.bytes());
        let value = ReadContext::of(&RULES, input).whole(&mut deserializer);
        let value = value.map_err(|error| failed(Self::NAME, error))?;
        // The deserialiser does not say where it stands; another value shows it.
        match u8::deserialize(&mut deserializer) {
            Err(DecodeError::InvalidMarkerRead(_)) => Ok(value),
            _ => Err(failed(Self::NAME, "bytes left over")),
        }
    }
}
