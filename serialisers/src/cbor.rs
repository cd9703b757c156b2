//! CBOR (RFC 8949), through ciborium: what the Perl original speaks.
//!
//! A value is read straight from the bytes. Only if that fails, or if it has shared values, are the
//! bytes made plain (see [`perl`]), and read with strings of either kind for the other.

use crate::descriptor::scope::Slot;
use crate::descriptors::Received;
use crate::error::Error;
use crate::layer::unit::is_unit;
use crate::layer::{self, Context, Floats, Kind, Rules, Strings};
use crate::serialiser::{Format, Input, Output, Serialiser};
use ciborium::de::Error as DecodeError;
use ciborium::ser::Error as EncodeError;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};
use sink::Sink;
use std::fmt;

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
/// let mut octets = Vec::new();
/// <Cbor as Serialiser<(String, u32)>>::encode(&("a".into(), 7), &mut Output::new(&mut octets))?;
/// assert_eq!(octets, [0x82, 0x61, b'a', 7]);
/// # Ok::<(), offspring_serialisers::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Cbor;

const KIND: Kind = Kind::Described { null_structs: true };

impl Format for Cbor {
    const NAME: &'static str = "cbor";
}

impl<T: DeserializeOwned, Sent: Serialize + ?Sized> Serialiser<T, Sent> for Cbor {
    fn encode(value: &Sent, output: &mut Output<'_>) -> Result<(), Error> {
        let (octets, descriptors) = output.split();
        let sink = Sink::new(octets);
        let context = Context::new(&sink, KIND, descriptors).unit_is_list(is_unit::<T, _>(value));
        let written = ciborium::into_writer(&Writing(value, &context), &sink);
        written.map_err(|error| match error {
            EncodeError::Io(error) => layer::refused(Self::NAME, error),
            EncodeError::Value(why) => layer::refused(Self::NAME, why),
        })?;
        descriptors.accept(context.into_descriptors());
        Ok(())
    }

    fn decode(input: &mut Input<'_>) -> Result<T, Error> {
        let (octets, mut descriptors) = (input.octets(), input.take_descriptors());
        if !perl::has_shared_values(octets) {
            // If the first reading fails, it has closed what it took.
            let again = descriptors.try_clone();
            match (parse(octets, Strings::AsTheyAre, descriptors), again) {
                (Err(Failure::Value(_)), Ok(again)) => descriptors = again,
                (read, _) => return read.map_err(|failure| layer::failed(Self::NAME, failure)),
            }
        }
        let plain = perl::plain(octets);
        let read = plain.and_then(|plain| parse(&plain, Strings::Either, descriptors));
        read.map_err(|failure| layer::failed(Self::NAME, failure))
    }
}

thread_local! {
    /// What [`Reading`] goes by: ciborium lends its deserialiser to a type, not to a seed.
    static RULES: Slot<Rules> = const { Slot::empty() };
}

/// A value with the layer around the serialiser that ciborium gives it.
struct Writing<'a, 'v, Sent: ?Sized, F>(&'v Sent, &'a Context<F>);

impl<Sent: Serialize + ?Sized, F: Floats> Serialize for Writing<'_, '_, Sent, F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        layer::write(serializer, self.0, self.1)
    }
}

/// A value with the layer around the deserialiser that ciborium gives it.
struct Reading<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Reading<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let rules = RULES.with(|slot| slot.replace(None));
        let rules = rules.ok_or_else(|| D::Error::custom("nothing says how to read it"))?;
        layer::read(deserializer, &rules).map(Self)
    }
}

/// Why octets were not the value.
enum Failure {
    Octets(String),
    Value(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Octets(why) | Self::Value(why) => f.write_str(why),
        }
    }
}

/// Reads one value that takes all the octets.
fn parse<T: DeserializeOwned>(
    octets: &[u8],
    strings: Strings,
    descriptors: Received,
) -> Result<T, Failure> {
    let rules = Rules {
        strings,
        ..Rules::new(KIND, octets.len(), descriptors)
    };
    let mut rest = octets;
    let read = || ciborium::from_reader(&mut rest);
    let (read, _) = RULES.with(|slot| slot.with(rules, read));
    let Reading(value) = read.map_err(|error| match error {
        DecodeError::Io(_) => Failure::Octets("the value is cut off".into()),
        DecodeError::Syntax(at) => Failure::Octets(format!("malformed at octet {at}")),
        DecodeError::Semantic(_, why) => Failure::Value(why),
        DecodeError::RecursionLimitExceeded => Failure::Octets("nested too deep".into()),
    })?;
    match rest.len() {
        0 => Ok(value),
        left => Err(Failure::Octets(format!("{left} octets left over"))),
    }
}
