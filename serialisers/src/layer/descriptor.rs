//! Descriptors on their way between a value and the table beside the octets.

use super::{Context, Floats, Rules};
use crate::descriptor::exchange;
use serde::de::value::U64Deserializer;
use serde::de::{Deserialize, Deserializer, Visitor};
use serde::ser::{self, Serialize};
use std::fmt::{self, Write};
use std::io;
use std::os::fd::OwnedFd;

/// The name of the newtype that is a descriptor. Written, and read, as its index: a `u32`.
pub(crate) const DESCRIPTOR: &str = "offspring::Descriptor";

/// The name of the newtype that is a descriptor only where they are carried. Written, and read,
/// as an `Option` of it.
pub(crate) const OFFER: &str = "offspring::DescriptorOrOctets";

impl<F: Floats> Context<F> {
    pub(super) fn carries(&self) -> bool {
        self.descriptors.are_carried()
    }

    /// The index of the descriptor that this is.
    pub(super) fn descriptor<T, E>(&self, offer: &T) -> Result<u32, E>
    where
        T: Serialize + ?Sized,
        E: ser::Error,
    {
        self.taken(offer).map_err(|why| self.object(why))
    }

    fn taken<T: Serialize + ?Sized>(&self, offer: &T) -> Result<u32, String> {
        if !self.carries() {
            return Err(crate::descriptors::not_carried().to_string());
        }
        let duplicate = claim(offer).ok_or("a descriptor that nobody has put there")?;
        let duplicate =
            duplicate.map_err(|error| format!("a descriptor cannot be duplicated: {error}"))?;
        self.descriptors
            .add(duplicate)
            .map_err(|error| error.to_string())
    }
}

/// Takes the duplicate that is offered. The first knock is for strangers, see `descriptor.rs`.
fn claim<T: Serialize + ?Sized>(offer: &T) -> Option<io::Result<OwnedFd>> {
    let mut token = String::new();
    let _ = write!(token, "{}", Knock(offer));
    token.clear();
    write!(token, "{}", Knock(offer)).ok()?;
    exchange::claim(token.parse().ok()?)
}

/// serde knows how to print a number.
struct Knock<'a, T: ?Sized>(&'a T);

impl<T: Serialize + ?Sized> fmt::Display for Knock<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.serialize(f)
    }
}

/// Reads an index, and lets the visitor have the descriptor.
pub(super) fn receive<'de, D, V>(index: D, rules: &Rules, visitor: V) -> Result<V::Value, D::Error>
where
    D: Deserializer<'de>,
    V: Visitor<'de>,
{
    let index = u32::deserialize(index)?;
    let descriptor = rules.descriptors.take(index);
    let descriptor = descriptor.map_err(|why| rules.object(why.to_string()))?;
    let put = exchange::put(Ok(descriptor));
    visitor.visit_newtype_struct(U64Deserializer::new(put.token()))
}
