//! CBOR (RFC 8949), through ciborium: what the Perl original speaks.
//!
//! A value is read straight from the bytes. Only if that fails, or if it has shared values, are the
//! bytes made plain (see [`perl`]), and read with strings of either kind for the other.

use crate::descriptor::scope::Slot;
use crate::descriptors::Received;
use crate::error::Error;
use crate::layer::{Kind, Reading, Rules, Strings, Writing, failed, refused};
use crate::serialiser::{Format, Input, Output, Serialiser, method};
use ciborium::de::Error as DecodeError;
use ciborium::ser::Error as EncodeError;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _};
use serde::ser::Serialize;
use sink::Sink;
use std::borrow::Cow;

mod perl;
mod sink;

/// The format CBOR.
///
/// What it reads besides: byte strings where text is wanted, if they are UTF-8; integers where
/// a floating-point number is wanted; values shared by reference
/// ([tags 28 and 29](http://cbor.schmorp.de/value-sharing)), each reference as a copy. A cycle
/// of references is an error, and so are references that would come to far more than the input.
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

const RULES: Rules = Rules {
    null_structs: true,
    ..Rules::of(Kind::Described)
};

/// For what is read with patience.
const EITHER: Rules = Rules {
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
        let sink = Sink::new(bytes);
        let writing = Writing::of::<T, _>(&RULES, value, descriptors).into(&sink);
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
            // If the first reading fails, it has closed what it took.
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
    /// What [`Whole`] goes by: ciborium lends its deserialiser to a type, not to a seed.
    static READING: Slot<Reading> = const { Slot::empty() };
}

/// A value with the layer around the deserialiser that ciborium gives it.
struct Whole<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Whole<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let reading = READING.with(|slot| slot.replace(None));
        let reading = reading.ok_or_else(|| D::Error::custom("nothing says how to read it"))?;
        reading.whole(deserializer).map(Self)
    }
}

/// Why bytes were not the value.
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

/// Reads one value that takes all the bytes.
fn parse<T: DeserializeOwned>(
    bytes: &[u8],
    rules: &'static Rules,
    descriptors: Received,
) -> Result<T, Failure> {
    let mut rest = bytes;
    let reading = Reading::new(rules, bytes.len(), descriptors);
    let read = || ciborium::from_reader(&mut rest);
    let (read, _) = READING.with(|slot| slot.with(reading, read));
    let Whole(value) = read.map_err(|error| match error {
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
