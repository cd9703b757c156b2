//! Reading a value that came with descriptors as one that came without: straight from the octets.
//!
//! ciborium makes the deserialiser itself and lends it to a type, not to a seed, so nothing else
//! can be handed to the reading than what is in the octets. Therefore the descriptors go into the
//! exchange, and their tokens in front of the value, as the first of a pair.

use super::{Failure, KIND, parse_from};
use crate::descriptor::exchange;
use crate::descriptors::Received;
use crate::layer::{self, Rules};
use serde::de::Visitor;
use serde::de::{Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, Error, SeqAccess};
use std::fmt;
use std::io::Read;
use std::marker::PhantomData;

/// The list of two, in CBOR.
const PAIR: u8 = 0x82;

/// As many levels as ciborium allows, and the pair.
const DEPTH: usize = 256 + 1;

/// Reads a value that takes all the octets. On failure the descriptors in it are closed.
pub(super) fn read<T: DeserializeOwned>(
    octets: &[u8],
    descriptors: Received,
) -> Result<T, Failure> {
    let put = |descriptor: Option<_>| descriptor.map(|it| exchange::put(Ok(it)));
    let puts: Vec<_> = descriptors.into_iter().map(put).collect();
    let tokens = puts
        .iter()
        .map(|put| put.as_ref().map(exchange::Put::token));
    let tokens: Vec<_> = tokens.collect();
    let mut front = vec![PAIR];
    ciborium::into_writer(&tokens, &mut front)
        .map_err(|error| Failure::Octets(error.to_string()))?;
    parse_from(octets, front.len(), |rest| {
        let both = (&front[..]).chain(rest);
        let pair = ciborium::de::from_reader_with_recursion_limit(both, DEPTH);
        pair.map(|Pair(value)| value)
    })
}

/// The value behind the tokens.
struct Pair<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pair<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_tuple(2, Reading(PhantomData))
    }
}

struct Reading<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Reading<T> {
    type Value = Pair<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tokens of descriptors, and a value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<Pair<T>, A::Error> {
        let tokens: Option<Vec<Option<u64>>> = pair.next_element()?;
        let claim = |token: Option<u64>| exchange::claim(token?)?.ok();
        let descriptors = tokens.unwrap_or_default().into_iter().map(claim);
        // Every element takes a byte in CBOR, so there is no need to count them.
        let rules = Rules::new(KIND, usize::MAX, descriptors.collect());
        let value = pair.next_element_seed(Whole(&rules, PhantomData))?;
        let value = value.ok_or_else(|| A::Error::invalid_length(1, &self))?;
        Ok(Pair(value))
    }
}

struct Whole<'r, T>(&'r Rules, PhantomData<T>);

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Whole<'_, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        layer::read(deserializer, self.0)
    }
}
