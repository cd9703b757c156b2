//! JSON (RFC 8259): what everybody reads.

use crate::error::Error;
use crate::layer::{Kind, Reading, Rules, Strings, Writing, failed, refused};
use crate::serialiser::{Format, Input, Output, Serialiser, method};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::borrow::Cow;

/// The format JSON.
///
/// Octets ([`Bytes`](crate::Bytes), and whatever calls serde's `serialize_bytes`) are strings
/// whose characters U+0000 to U+00FF are the bytes. NaN and the infinities, for which JSON has
/// no form, are an error. Nesting ends at 127 lists and maps.
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

const RULES: Rules = Rules {
    null_structs: true,
    finite: true,
    strings: Strings::OctetsAreText,
    ..Rules::of(Kind::Described)
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
        let writing = Writing::of::<T, _>(&RULES, value, descriptors);
        let mut serializer = serde_json::Serializer::new(bytes);
        let written = writing.whole(value).serialize(&mut serializer);
        written.map_err(|error| refused(Self::NAME, error))?;
        descriptors.accept(writing.descriptors);
        Ok(())
    }

    fn decode(input: &mut Input<'_>) -> Result<T, Error> {
        let mut deserializer = serde_json::Deserializer::from_slice(input.bytes());
        let value = Reading::of(&RULES, input).whole(&mut deserializer);
        let value = value.and_then(|value| deserializer.end().map(|()| value));
        value.map_err(|error| failed(Self::NAME, error))
    }
}
