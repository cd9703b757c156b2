//! The layer around a deserialiser.

use super::access::{Elements, Entries, Variants};
use super::descriptor::receive;
use super::{DESCRIPTOR, Kind};
use crate::descriptors::Received;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Visitor,
};
use std::cell::{Cell, RefCell};
use std::fmt;

/// How deep a value may be nested. Every list, map, enum, `Option` and newtype counts.
///
/// A linked list of `Option<Box<Node>>` counts twice a node, so this lets 128 of them through,
/// as many as serde_json does, and leaves most of a thread's stack of 2 MiB to the caller.
pub(crate) const DEPTH: usize = 256;

/// What is there for elements that take no octets.
const FREE_ELEMENTS: usize = 1 << 16;

/// What one reading goes by.
pub(crate) struct Rules {
    pub(crate) kind: Kind,
    /// Octets are the characters of a string.
    pub(crate) octets_are_text: bool,
    /// How many elements of lists and maps may still come.
    pub(crate) elements: Cell<usize>,
    /// The descriptors that came along.
    pub(crate) descriptors: Received,
    /// What the layer objected to, as postcard's errors keep no words.
    pub(crate) objection: RefCell<Option<String>>,
}

impl Rules {
    /// For an input of that many octets, and these descriptors.
    pub(crate) fn new(kind: Kind, octets: usize, descriptors: Received) -> Self {
        let elements = Cell::new(octets.saturating_add(FREE_ELEMENTS));
        Self {
            kind,
            octets_are_text: false,
            elements,
            descriptors,
            objection: RefCell::default(),
        }
    }

    #[cold]
    pub(super) fn object<E: Error>(&self, objection: String) -> E {
        let error = E::custom(&objection);
        self.objection.replace(Some(objection));
        error
    }
}

/// Reads a whole value.
pub(crate) fn read<'de, T, D>(deserializer: D, rules: &Rules) -> Result<T, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(Layer {
        inner: deserializer,
        place: Place { rules, depth: 0 },
    })
}

/// Where in the value we are.
#[derive(Clone, Copy)]
pub(super) struct Place<'r> {
    pub(super) rules: &'r Rules,
    depth: usize,
}

impl Place<'_> {
    #[inline]
    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth == DEPTH {
            return Err(self
                .rules
                .object(format!("nested deeper than {DEPTH} levels")));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }
}

pub(super) struct Layer<'r, D> {
    inner: D,
    place: Place<'r>,
}

/// A value inside another.
pub(super) struct Part<'r, S>(pub(super) S, pub(super) Place<'r>);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Part<'_, S> {
    type Value = S::Value;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Layer {
            inner,
            place: self.1,
        })
    }
}

macro_rules! scalars {
    ($($method:ident)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.inner.$method(visitor)
        }
    )*};
}

macro_rules! parts {
    ($($method:ident($($argument:ident: $t:ty),*) $length:expr;)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(
            self,
            $($argument: $t,)*
            visitor: V,
        ) -> Result<V::Value, D::Error> {
            let visitor = Through { visitor, place: self.place, length: $length };
            self.inner.$method($($argument,)* visitor)
        }
    )*};
}

type Name = &'static str;

/// The length of what is no list.
const NO_LIST: Option<usize> = Some(0);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Layer<'_, D> {
    type Error = D::Error;

    scalars! {
        deserialize_bool
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64
        deserialize_char deserialize_str deserialize_string deserialize_identifier
    }

    parts! {
        deserialize_any() None;
        deserialize_ignored_any() None;
        deserialize_option() NO_LIST;
        deserialize_unit_struct(name: Name) NO_LIST;
        deserialize_seq() None;
        deserialize_map() None;
        deserialize_tuple(length: usize) Some(length);
        deserialize_tuple_struct(name: Name, length: usize) Some(length);
        deserialize_struct(name: Name, fields: &'static [Name]) Some(fields.len());
        deserialize_enum(name: Name, variants: &'static [Name]) NO_LIST;
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: Name,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let place = self.place;
        if name == DESCRIPTOR {
            return receive(self.inner, place.rules, visitor);
        }
        let visitor = Through {
            visitor,
            place,
            length: NO_LIST,
        };
        self.inner.deserialize_newtype_struct(name, visitor)
    }

    #[inline]
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.deserialize_byte_buf(visitor)
    }

    #[inline]
    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let visitor = Through {
            visitor,
            place: self.place,
            length: None,
        };
        if self.place.rules.octets_are_text {
            self.inner.deserialize_any(Octets(visitor))
        } else {
            self.inner.deserialize_byte_buf(visitor)
        }
    }

    #[inline]
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        if self.place.depth > 0 {
            return self.inner.deserialize_unit(visitor);
        }
        let place = self.place;
        let visitor = Through {
            visitor: Nothing(visitor),
            place,
            length: NO_LIST,
        };
        match place.rules.kind {
            Kind::Described { .. } | Kind::Foreign => self.inner.deserialize_option(visitor),
            Kind::Bare => self.inner.deserialize_tuple(0, visitor),
        }
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// The visitor of the type, with the layer put around all that it is given.
pub(super) struct Through<'r, V> {
    pub(super) visitor: V,
    pub(super) place: Place<'r>,
    /// As many elements as the type announces; `None`: as many as the input says.
    pub(super) length: Option<usize>,
}

macro_rules! leaves {
    ($($method:ident($t:ty);)*) => {$(
        #[inline]
        fn $method<E: Error>(self, value: $t) -> Result<V::Value, E> {
            self.visitor.$method(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Through<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    leaves! {
        visit_bool(bool);
        visit_i8(i8);
        visit_i16(i16);
        visit_i32(i32);
        visit_i64(i64);
        visit_i128(i128);
        visit_u8(u8);
        visit_u16(u16);
        visit_u32(u32);
        visit_u64(u64);
        visit_u128(u128);
        visit_f32(f32);
        visit_f64(f64);
        visit_char(char);
        visit_str(&str);
        visit_borrowed_str(&'de str);
        visit_string(String);
        visit_bytes(&[u8]);
        visit_borrowed_bytes(&'de [u8]);
        visit_byte_buf(Vec<u8>);
    }

    #[inline]
    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_none()
    }

    #[inline]
    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_unit()
    }

    #[inline]
    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let place = self.place.deeper()?;
        self.visitor.visit_some(Layer { inner, place })
    }

    #[inline]
    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let place = self.place.deeper()?;
        self.visitor.visit_newtype_struct(Layer { inner, place })
    }

    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let place = self.place.deeper()?;
        let mut elements = Elements::new(inner, place, self.length);
        let value = self.visitor.visit_seq(&mut elements)?;
        elements.finish()?;
        Ok(value)
    }

    #[inline]
    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let place = self.place.deeper()?;
        self.visitor.visit_map(Entries {
            inner,
            place,
            counted: self.length.is_none(),
        })
    }

    #[inline]
    fn visit_enum<A: EnumAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let place = self.place.deeper()?;
        self.visitor.visit_enum(Variants { inner, place })
    }
}

/// For `()` as the whole value: the empty list, or null.
struct Nothing<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for Nothing<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an empty list")
    }

    #[inline]
    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    #[inline]
    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    #[inline]
    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        inner.deserialize_tuple(0, self)
    }

    /// What is in the list is not asked for, so the layer will say that it is too much.
    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<V::Value, A::Error> {
        self.0.visit_unit()
    }
}

/// For octets that are the characters of a string; a list of numbers will do as well.
struct Octets<'r, V>(Through<'r, V>);

impl<'de, V: Visitor<'de>> Visitor<'de> for Octets<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    #[inline]
    fn visit_str<E: Error>(self, text: &str) -> Result<V::Value, E> {
        self.0.visit_byte_buf(crate::bytes_serde::octets_of(text)?)
    }

    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(list)
    }
}
