//! JSON (RFC 8259).

use crate::error::Error;
use crate::layer::{FormatRules, Kind, ReadContext, Strings, WriteContext, failed, refused};
use crate::serialiser::{Format, Input, Output, Serialiser, method};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::borrow::Cow;

/// The format JSON.
///
/// Bytes ([`Bytes`](crate::Bytes), and all types that call serde's `serialize_bytes`) are strings
/// whose characters U+0000 to U+00FF are the bytes. NaN and the infinities, which JSON cannot
/// represent, are an error. The maximum nesting is 127 lists and maps.
///
/// `Some(())` and `Some(None)` are an error, because they would be read as `None`.
///
/// ```
/// use offspring_serialisers::{Json, Output, Serialiser};
///
/// let mut bytes = Vec::new();
/// <Json as Serialiser<(String, u32)>>::encode(&("a".into(), 7), &mut Output::new(&mut bytes))?;
/// assert_eq!(bytes, br#"["a",7]"#);
/// # Ok::<(), offspring_serialisers::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[doc(alias = "JSON_SERIALISER")]
pub struct Json;

const RULES: FormatRules = FormatRules {
    null_structs: true,
    finite: true,
    strings: Strings::BytesAreText,
    ..FormatRules::of(Kind::Described)
};

impl Format for Json {
    const NAME: &'static str = "json";

    fn method(arguments: &[u8]) -> Result<Cow<'_, str>, Error> {
        let list = arguments.trim_ascii_start().strip_prefix(b"[");
        let read = |first| String::deserialize(&mut serde_json::Deserializer::from_slice(first));
        method(Self::NAME, list.and_then(|first| read(first).ok()))
    }
}

impl<T: DeserializeOwned, Sent: Serialize + ?Sized> Serialiser<T, Sent> for Json {
    fn encode(value: &Sent, output: &mut Output<'_>) -> Result<(), Error> {
        let (bytes, descriptors) = output.split();
        let writing = WriteContext::of::<T, _>(&RULES, value, descriptors);
        let mut serializer = serde_json::Serializer::new(bytes);
        let written = writing.whole(value).serialize(&mut serializer);
        written.map_err(|error| refused(Self::NAME, error))?;
        descriptors.accept(writing.descriptors);
        Ok(())
    }

    fn decode(input: &mut Input<'_>) -> Result<T, Error> {
        let mut deserializer = serde_json::Deserializer::from_slice(input.bytes());
        let value = ReadContext::of(&RULES, input).whole(&mut deserializer);
        let value = value.and_then(|value| deserializer.end().map(|()| value));
        value.map_err(|error| failed(Self::NAME, error))
    }
}
