//! Reading with patience, from a tree: what other programs write, above all Perl's CBOR::XS.
//!
//! Perl does not tell text from octets, nor 2 from 2.0, and says with tags 28 and 29 that one
//! value is referred to more than once. Here a reference is followed each time it is read, so
//! nothing is copied; what bounds it is the cost of what is read by reference.

use super::{Cbor, KIND, parse};
use crate::descriptors::Received;
use crate::error::Error;
use crate::layer::{self, Rules};
use crate::serialiser::Format;
use ciborium::Value;
use serde::de::value::{Error as Wrong, MapDeserializer, SeqDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer,
    Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use std::cell::{Cell, RefCell};

const SHARED: u64 = 28;
const REFERENCE: u64 = 29;

/// What may be read by reference, in values and in octets of strings: sixteen times the input,
/// and at least this.
const BY_REFERENCE: usize = 1 << 20;

/// How many references may lead into each other.
const OPEN: usize = 256;

pub(super) fn read<T: DeserializeOwned>(octets: &[u8], descriptors: Received) -> Result<T, Error> {
    let value = parse(octets).map_err(|failure| layer::failed(Cbor::NAME, failure))?;
    let shared = Shared::new(&value, octets.len());
    let node = Node {
        value: &value,
        shared: &shared,
    };
    let rules = Rules::new(KIND, usize::MAX, descriptors);
    layer::read(node, &rules).map_err(|why| layer::failed(Cbor::NAME, why))
}

/// The values that are referred to, in the order they begin in.
struct Shared<'a> {
    values: Vec<&'a Value>,
    /// The references that led to where we are.
    open: RefCell<Vec<usize>>,
    /// What may still be read by reference.
    left: Cell<usize>,
}

impl<'a> Shared<'a> {
    fn new(value: &'a Value, octets: usize) -> Self {
        let mut values = Vec::new();
        collect(value, &mut values);
        let left = Cell::new(octets.saturating_mul(16).max(BY_REFERENCE));
        Self {
            values,
            open: RefCell::default(),
            left,
        }
    }

    fn follow(&self, index: &Value) -> Result<&'a Value, Wrong> {
        let index = index
            .as_integer()
            .and_then(|index| usize::try_from(index).ok());
        let target = index.and_then(|index| Some((index, *self.values.get(index)?)));
        let (index, value) = target.ok_or_else(|| Wrong::custom("a reference to no value"))?;
        let mut open = self.open.borrow_mut();
        if open.contains(&index) {
            return Err(Wrong::custom(
                "a value that is part of itself, by reference",
            ));
        }
        if open.len() == OPEN {
            return Err(Wrong::custom(format_args!(
                "more than {OPEN} references deep"
            )));
        }
        open.push(index);
        Ok(value)
    }

    fn charge(&self, value: &Value) -> Result<(), Wrong> {
        if self.open.borrow().is_empty() {
            return Ok(());
        }
        let cost = 1 + match value {
            Value::Text(text) => text.len(),
            Value::Bytes(octets) => octets.len(),
            _ => 0,
        };
        let left = self.left.get().checked_sub(cost);
        self.left
            .set(left.ok_or_else(|| Wrong::custom("references to far more than was sent"))?);
        Ok(())
    }
}

/// No deeper than the tree, whose depth ciborium limits.
fn collect<'a>(value: &'a Value, values: &mut Vec<&'a Value>) {
    match value {
        Value::Tag(SHARED, value) => {
            values.push(value);
            collect(value, values);
        }
        Value::Tag(_, value) => collect(value, values),
        Value::Array(list) => list.iter().for_each(|value| collect(value, values)),
        Value::Map(map) => map.iter().for_each(|(key, value)| {
            collect(key, values);
            collect(value, values);
        }),
        _ => {}
    }
}

/// The references followed on the way to a value, open until the value has been read.
struct Opened<'s, 'a> {
    shared: &'s Shared<'a>,
    before: usize,
}

impl Drop for Opened<'_, '_> {
    fn drop(&mut self) {
        self.shared.open.borrow_mut().truncate(self.before);
    }
}

/// A value of the tree.
#[derive(Clone, Copy)]
struct Node<'s, 'a> {
    value: &'a Value,
    shared: &'s Shared<'a>,
}

impl<'s, 'a> Node<'s, 'a> {
    fn at(self, value: &'a Value) -> Self {
        Self { value, ..self }
    }

    /// The value behind all tags and references.
    fn resolve(self) -> Result<(&'a Value, Opened<'s, 'a>), Wrong> {
        let Self { mut value, shared } = self;
        let opened = Opened {
            shared,
            before: shared.open.borrow().len(),
        };
        while let Value::Tag(tag, inner) = value {
            value = match (*tag, &**inner) {
                (2 | 3, Value::Bytes(_)) => break,
                (REFERENCE, index) => shared.follow(index)?,
                (_, inner) => inner,
            };
        }
        shared.charge(value)?;
        Ok((value, opened))
    }

    fn visit<'de, V: Visitor<'de>>(self, value: &'a Value, visitor: V) -> Result<V::Value, Wrong> {
        match value {
            Value::Integer(integer) => visit_integer((*integer).into(), visitor),
            Value::Tag(tag, octets) => visit_big_integer(*tag, octets, visitor),
            Value::Bytes(octets) => visitor.visit_byte_buf(octets.clone()),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Text(text) => visitor.visit_str(text),
            Value::Bool(truth) => visitor.visit_bool(*truth),
            Value::Null => visitor.visit_none(),
            Value::Array(list) => visitor.visit_seq(SeqDeserializer::new(
                list.iter().map(|value| self.at(value)),
            )),
            Value::Map(map) => {
                let entries = map
                    .iter()
                    .map(|(key, value)| (self.at(key), self.at(value)));
                visitor.visit_map(MapDeserializer::new(entries))
            }
            _ => Err(Wrong::custom("a kind of value that is not known")),
        }
    }

    fn visit_text<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let (value, _opened) = self.resolve()?;
        match value {
            Value::Bytes(octets) => match str::from_utf8(octets) {
                Ok(text) => visitor.visit_str(text),
                Err(_) => Err(Wrong::invalid_value(Unexpected::Bytes(octets), &visitor)),
            },
            value => self.visit(value, visitor),
        }
    }

    fn visit_list<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let (value, _opened) = self.resolve()?;
        match value {
            Value::Bytes(octets) => visitor.visit_seq(SeqDeserializer::new(octets.iter().copied())),
            value => self.visit(value, visitor),
        }
    }
}

fn visit_integer<'de, V: Visitor<'de>>(integer: i128, visitor: V) -> Result<V::Value, Wrong> {
    match (u64::try_from(integer), i64::try_from(integer)) {
        (Ok(integer), _) => visitor.visit_u64(integer),
        (_, Ok(integer)) => visitor.visit_i64(integer),
        _ => visitor.visit_i128(integer),
    }
}

fn visit_big_integer<'de, V: Visitor<'de>>(
    tag: u64,
    octets: &Value,
    visitor: V,
) -> Result<V::Value, Wrong> {
    let octets = octets.as_bytes().map(Vec::as_slice).unwrap_or_default();
    let most = || Wrong::custom("an integer of more than 128 bits");
    let magnitude = octets.iter().try_fold(0u128, |sum, &octet| {
        Some(sum.checked_mul(256)? | u128::from(octet))
    });
    let magnitude = magnitude.ok_or_else(most)?;
    match (i128::try_from(magnitude), tag) {
        (Ok(magnitude), 3) => visit_integer(!magnitude, visitor),
        (Ok(magnitude), _) => visit_integer(magnitude, visitor),
        (Err(_), 3) => Err(most()),
        (Err(_), _) => visitor.visit_u128(magnitude),
    }
}

impl<'de> Deserializer<'de> for Node<'_, '_> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let (value, _opened) = self.resolve()?;
        self.visit(value, visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.visit_text(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.visit_text(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.visit_text(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.visit_text(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.visit_list(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Wrong> {
        self.visit_list(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let (value, _opened) = self.resolve()?;
        match value {
            Value::Null => visitor.visit_none(),
            value => visitor.visit_some(self.at(value)),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let (value, _opened) = self.resolve()?;
        match value {
            Value::Null => visitor.visit_unit(),
            value => self.visit(value, visitor),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let (value, _opened) = self.resolve()?;
        match value {
            Value::Text(_) | Value::Bytes(_) => visitor.visit_enum(Variant {
                name: self.at(value),
                value: None,
            }),
            Value::Map(map) if map.len() == 1 => {
                let (name, value) = &map[0];
                visitor.visit_enum(Variant {
                    name: self.at(name),
                    value: Some(self.at(value)),
                })
            }
            _ => Err(Wrong::custom("wanted an enum: a name, or a map of one")),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_unit()
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 bytes byte_buf
        tuple_struct map struct
    }
}

impl IntoDeserializer<'_, Wrong> for Node<'_, '_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

struct Variant<'s, 'a> {
    name: Node<'s, 'a>,
    value: Option<Node<'s, 'a>>,
}

impl<'de, 's, 'a> EnumAccess<'de> for Variant<'s, 'a> {
    type Error = Wrong;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Wrong> {
        Ok((seed.deserialize(self.name)?, self))
    }
}

impl<'s, 'a> Variant<'s, 'a> {
    fn value(self) -> Result<Node<'s, 'a>, Wrong> {
        self.value
            .ok_or_else(|| Wrong::custom("wanted a variant with a value"))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, '_> {
    type Error = Wrong;

    fn unit_variant(self) -> Result<(), Wrong> {
        match self.value {
            None => Ok(()),
            Some(node) => serde::Deserialize::deserialize(node),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Wrong> {
        seed.deserialize(self.value()?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Wrong> {
        self.value()?.visit_list(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.value()?.deserialize_any(visitor)
    }
}
