//! CBOR (RFC 8949), by ciborium. The Perl original can use it.
//!
//! A value is decoded from the bytes. If that fails, or if it has shared values, the bytes are
//! normalised (see [`perl`]) and decoded again, with bytes accepted as text and the reverse.

use crate::descriptor::scope::Slot;
use crate::descriptors::Received;
use crate::error::Error;
use crate::layer::{FormatRules, Kind, ReadContext, Strings, WriteContext, failed, refused};
use crate::serialiser::{Format, Input, Output, Serialiser, method};
use ciborium::de::Error as DecodeError;
use ciborium::ser::Error as EncodeError;
use float_sink::FloatSink;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _};
use serde::ser::Serialize;
use std::borrow::Cow;

mod float_sink;
mod perl;

/// The format CBOR.
///
/// It also decodes byte strings as text, if they are UTF-8, integers as floating-point numbers, and
/// values shared by reference ([tags 28 and 29](http://cbor.schmorp.de/value-sharing)), each
/// reference as a copy. A cycle of references is an error, and so are references that would expand to
/// more than 16 times the input.
///
/// `Some(())` and `Some(None)` are an error, because they would be read as `None`.
///
/// ```
/// use offspring_serialisers::{Cbor, Output, Serialiser};
///
/// let mut bytes = Vec::new();
/// <Cbor as Serialiser<(String, u32)>>::encode(&("a".into(), 7), &mut Output::new(&mut bytes))?;
/// assert_eq!(bytes, [0x82, 0x61, b'a', 7]);
/// # Ok::<(), offspring_serialisers::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[doc(alias = "CBOR_XS_SERIALISER")]
pub struct Cbor;

const RULES: FormatRules = FormatRules {
    null_structs: true,
    ..FormatRules::of(Kind::Described)
};

/// The rules of the second try.
const EITHER: FormatRules = FormatRules {
    strings: Strings::Either,
    ..RULES
};

impl Format for Cbor {
    const NAME: &'static str = "cbor";

    fn method(arguments: &[u8]) -> Result<Cow<'_, str>, Error> {
        let first = perl::first_string(arguments);
        method(Self::NAME, first.and_then(|name| str::from_utf8(name).ok()))
    }
}

impl<T: DeserializeOwned, Sent: Serialize + ?Sized> Serialiser<T, Sent> for Cbor {
    fn encode(value: &Sent, output: &mut Output<'_>) -> Result<(), Error> {
        let (bytes, descriptors) = output.split();
        let sink = FloatSink::new(bytes);
        let writing = WriteContext::of::<T, _>(&RULES, value, descriptors).into(&sink);
        let written = ciborium::into_writer(&writing.whole(value), &sink);
        written.map_err(|error| match error {
            EncodeError::Io(error) => refused(Self::NAME, error),
            EncodeError::Value(why) => refused(Self::NAME, why),
        })?;
        descriptors.accept(writing.descriptors);
        Ok(())
    }

    fn decode(input: &mut Input<'_>) -> Result<T, Error> {
        let (bytes, mut descriptors) = (input.bytes(), input.take_descriptors());
        if !perl::has_shared_values(bytes) {
            // A failed try has closed the descriptors that it took.
            let again = descriptors.try_clone();
            match (parse(bytes, &RULES, descriptors), again) {
                (Err(Failure::Value(_)), Ok(again)) => descriptors = again,
                (read, _) => return Ok(read?),
            }
        }
        Ok(parse(&perl::plain(bytes)?, &EITHER, descriptors)?)
    }
}

thread_local! {
    /// The state for [`CborValue`]: ciborium passes its deserialiser to a type, not to a seed.
    static CONTEXT: Slot<ReadContext> = const { Slot::empty() };
}

/// A value that puts the layer around ciborium's deserialiser.
struct CborValue<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for CborValue<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let reading = CONTEXT.with(|slot| slot.replace(None));
        let reading = reading.ok_or_else(|| D::Error::custom("nothing says how to read it"))?;
        reading.whole(deserializer).map(Self)
    }
}

/// Why bytes could not be decoded. A second try is made after `Value` only.
enum Failure {
    Bytes(String),
    Value(String),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let (Failure::Bytes(why) | Failure::Value(why)) = failure;
        failed(Cbor::NAME, why)
    }
}

/// Decodes a value that takes all of the bytes.
fn parse<T: DeserializeOwned>(
    bytes: &[u8],
    rules: &'static FormatRules,
    descriptors: Received,
) -> Result<T, Failure> {
    let mut rest = bytes;
    let reading = ReadContext::new(rules, bytes.len(), descriptors);
    let read = || ciborium::from_reader(&mut rest);
    let (read, _) = CONTEXT.with(|slot| slot.with(reading, read));
    let CborValue(value) = read.map_err(|error| match error {
        DecodeError::Io(_) => Failure::Bytes("the value is cut off".into()),
        DecodeError::Syntax(at) => Failure::Bytes(format!("malformed at byte {at}")),
        DecodeError::Semantic(_, why) => Failure::Value(why),
        DecodeError::RecursionLimitExceeded => Failure::Bytes("nested too deep".into()),
    })?;
    match rest.len() {
        0 => Ok(value),
        left => Err(Failure::Bytes(format!("{left} bytes left over"))),
    }
}
