//! The layer around a deserialiser.

use super::strings::{StringVisitor, Strings, Wanted};
use super::unit::UnitVisitor;
use super::{FormatRules, Kind};
use crate::descriptor::scope::{self, DESCRIPTOR};
use crate::descriptors::Received;
use crate::serialiser::Input;
use serde::de::value::UnitDeserializer;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error, IgnoredAny, MapAccess,
    SeqAccess, VariantAccess, Visitor,
};
use std::cell::{Cell, RefCell};
use std::convert::identity;
use std::fmt;
use std::os::fd::OwnedFd;

/// Maximum nesting of a value. Every list, map, enum, `Option` and newtype is a level.
///
/// A linked list of `Option<Box<Node>>` takes two levels a node, so 128 nodes are allowed, as many as
/// in serde_json. That leaves most of a thread's stack of 2 MiB to the caller.
pub(crate) const DEPTH: usize = 256;

/// Maximum number of elements to reserve memory for before they are decoded. serde alone would reserve
/// up to 1 MiB, in each list within a list.
const RESERVED: usize = 256;

/// Number of elements allowed beyond the number of bytes, for elements of no bytes.
const FREE_ELEMENTS: usize = 1 << 16;

/// The state of decoding a value.
pub(crate) struct ReadContext {
    rules: &'static FormatRules,
    /// Number of elements of lists and maps that may follow.
    elements: Cell<usize>,
    /// The descriptors of the value.
    descriptors: Received,
    /// The layer's own error, because postcard's errors keep no text.
    pub(crate) rejection: RefCell<Option<String>>,
}

impl ReadContext {
    /// For an input of `bytes` bytes, and these descriptors.
    pub(crate) fn new(rules: &'static FormatRules, bytes: usize, descriptors: Received) -> Self {
        Self {
            rules,
            elements: Cell::new(bytes.saturating_add(FREE_ELEMENTS)),
            descriptors,
            rejection: RefCell::default(),
        }
    }

    /// For the value of `input`.
    pub(crate) fn of(rules: &'static FormatRules, input: &mut Input<'_>) -> Self {
        Self::new(rules, input.bytes().len(), input.take_descriptors())
    }

    /// Decodes the whole value.
    pub(crate) fn whole<'de, T, D>(&self, deserializer: D) -> Result<T, D::Error>
    where
        T: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        let position = ReadPosition {
            reading: self,
            depth: 0,
        };
        T::deserialize(position.around(deserializer))
    }

    #[cold]
    fn reject<E: Error>(&self, rejection: String) -> E {
        let error = E::custom(&rejection);
        self.rejection.replace(Some(rejection));
        error
    }

    fn descriptor<E: Error>(&self, index: u32) -> Result<OwnedFd, E> {
        let taken = self.descriptors.take(index);
        taken.map_err(|why| self.reject(why.to_string()))
    }

    #[inline]
    fn count<E: Error>(&self) -> Result<(), E> {
        let left = self.elements.get().checked_sub(1);
        let left = left.ok_or_else(|| self.reject("more elements than bytes".into()))?;
        self.elements.set(left);
        Ok(())
    }
}

/// A position in the value: its depth.
#[derive(Clone, Copy)]
struct ReadPosition<'r> {
    reading: &'r ReadContext,
    depth: usize,
}

impl<'r> ReadPosition<'r> {
    #[inline]
    fn around<X>(self, inner: X) -> ReadLayer<'r, X> {
        ReadLayer {
            inner,
            position: self,
        }
    }

    /// Returns the layer around a visitor of a value of this length.
    #[inline]
    fn through<V>(self, visitor: V, length: Option<usize>) -> LayerVisitor<'r, V> {
        LayerVisitor {
            visitor,
            position: self,
            length,
        }
    }

    #[inline]
    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth == DEPTH {
            return Err(self
                .reading
                .reject(format!("nested deeper than {DEPTH} levels")));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }
}

/// The layer around a deserialiser, or around a seed, an enum access, a variant access.
struct ReadLayer<'r, X> {
    inner: X,
    position: ReadPosition<'r>,
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for ReadLayer<'_, S> {
    type Value = S::Value;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        self.inner.deserialize(self.position.around(inner))
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

macro_rules! either {
    ($($as:expr => $($method:ident)*;)*) => {$($(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            match self.position.reading.rules.strings {
                Strings::Either => {
                    self.inner.deserialize_any(($as)(self.position.through(visitor, None)))
                }
                _ => self.inner.$method(visitor),
            }
        }
    )*)*};
}

/// Lines of the form `method(arguments) length, visitor if strings of either kind are accepted;`.
macro_rules! parts {
    ($($method:ident($($argument:ident: $t:ty),*) $length:expr $(, $as:expr)?;)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(
            self,
            $($argument: $t,)*
            visitor: V,
        ) -> Result<V::Value, D::Error> {
            let visitor = self.position.through(visitor, $length);
            $(
                if let Strings::Either = self.position.reading.rules.strings {
                    return self.inner.deserialize_any(($as)(visitor));
                }
            )?
            self.inner.$method($($argument,)* visitor)
        }
    )*};
}

type Name = &'static str;

/// The length of a value that is no list.
const NO_LIST: Option<usize> = Some(0);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for ReadLayer<'_, D> {
    type Error = D::Error;

    scalars! {
        deserialize_bool
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
    }

    either! {
        identity => deserialize_f32 deserialize_f64;
        |text| StringVisitor(text, Wanted::Text) =>
            deserialize_char deserialize_str deserialize_string deserialize_identifier;
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
        deserialize_struct(name: Name, fields: &'static [Name]) Some(fields.len()), identity;
        deserialize_enum(name: Name, variants: &'static [Name]) NO_LIST,
            |name| StringVisitor(name, Wanted::Enum);
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: Name,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        if name == DESCRIPTOR {
            let index = u32::deserialize(self.inner)?;
            let descriptor = self.position.reading.descriptor(index)?;
            let nothing = UnitDeserializer::new();
            return scope::lend(descriptor, || visitor.visit_newtype_struct(nothing));
        }
        let visitor = self.position.through(visitor, NO_LIST);
        self.inner.deserialize_newtype_struct(name, visitor)
    }

    #[inline]
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.deserialize_byte_buf(visitor)
    }

    #[inline]
    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let visitor = self.position.through(visitor, None);
        match self.position.reading.rules.strings {
            Strings::AsTheyAre => self.inner.deserialize_byte_buf(visitor),
            Strings::BytesAreText => self
                .inner
                .deserialize_any(StringVisitor(visitor, Wanted::Characters)),
            Strings::Either => self
                .inner
                .deserialize_any(StringVisitor(visitor, Wanted::Bytes)),
        }
    }

    #[inline]
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        if self.position.depth > 0 {
            return self.inner.deserialize_unit(visitor);
        }
        let visitor = self.position.through(UnitVisitor(visitor), NO_LIST);
        match self.position.reading.rules.kind {
            Kind::Described | Kind::Foreign => self.inner.deserialize_option(visitor),
            Kind::Bare => self.inner.deserialize_tuple(0, visitor),
        }
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// A visitor that puts the layer around all that it passes to the type's visitor.
struct LayerVisitor<'r, V> {
    visitor: V,
    position: ReadPosition<'r>,
    /// Number of elements that the type announces. `None` if the input says it.
    length: Option<usize>,
}

macro_rules! leaves {
    ($($method:ident($t:ty))*) => {$(
        #[inline]
        fn $method<E: Error>(self, value: $t) -> Result<V::Value, E> {
            self.visitor.$method(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for LayerVisitor<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    leaves! {
        visit_bool(bool) visit_char(char) visit_f32(f32) visit_f64(f64)
        visit_i8(i8) visit_i16(i16) visit_i32(i32) visit_i64(i64) visit_i128(i128)
        visit_u8(u8) visit_u16(u16) visit_u32(u32) visit_u64(u64) visit_u128(u128)
        visit_str(&str) visit_borrowed_str(&'de str) visit_string(String)
        visit_bytes(&[u8]) visit_borrowed_bytes(&'de [u8]) visit_byte_buf(Vec<u8>)
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
        let position = self.position.deeper()?;
        self.visitor.visit_some(position.around(inner))
    }

    #[inline]
    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let position = self.position.deeper()?;
        self.visitor.visit_newtype_struct(position.around(inner))
    }

    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let position = self.position.deeper()?;
        let mut elements = LayerSeq {
            inner,
            position,
            length: self.length,
            got: 0,
            ended: false,
        };
        let value = self.visitor.visit_seq(&mut elements)?;
        elements.finish()?;
        Ok(value)
    }

    #[inline]
    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let position = self.position.deeper()?;
        self.visitor.visit_map(LayerMap {
            inner,
            position,
            counted: self.length.is_none(),
        })
    }

    #[inline]
    fn visit_enum<A: EnumAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let position = self.position.deeper()?;
        self.visitor.visit_enum(position.around(inner))
    }
}

struct LayerSeq<'r, A> {
    inner: A,
    position: ReadPosition<'r>,
    /// Number of elements that the type announces. `None` if the input says it.
    length: Option<usize>,
    got: usize,
    ended: bool,
}

impl<'de, A: SeqAccess<'de>> LayerSeq<'_, A> {
    /// Checks that no element is left. The error says how many there are.
    fn finish(mut self) -> Result<(), A::Error> {
        if self.reads_all_there_is() {
            return Ok(());
        }
        let wanted = self.got;
        while self.next_element::<IgnoredAny>()?.is_some() {}
        if self.got == wanted {
            return Ok(());
        }
        let got = self.got;
        let plural = if wanted == 1 { "" } else { "s" };
        Err(A::Error::custom(format_args!(
            "wanted {wanted} element{plural}, got {got}"
        )))
    }

    /// Returns whether the type read fewer elements than it announced, where the bytes do not say the length.
    fn reads_all_there_is(&self) -> bool {
        let fewer = self.length.is_some_and(|announced| self.got < announced);
        fewer && !self.ended && !matches!(self.position.reading.rules.kind, Kind::Described)
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for LayerSeq<'_, A> {
    type Error = A::Error;

    /// After the end `inner` is not asked again, because ciborium would read beyond it.
    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        if self.ended {
            return Ok(None);
        }
        let element = self.inner.next_element_seed(self.position.around(seed))?;
        self.ended = element.is_none();
        self.got += usize::from(!self.ended);
        if self.length.is_none() && !self.ended {
            self.position.reading.count()?;
        }
        Ok(element)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint().map(|claim| claim.min(RESERVED))
    }
}

struct LayerMap<'r, A> {
    inner: A,
    position: ReadPosition<'r>,
    counted: bool,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for LayerMap<'_, A> {
    type Error = A::Error;

    #[inline]
    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        if self.counted {
            self.position.reading.count()?;
        }
        self.inner.next_key_seed(self.position.around(seed))
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.inner.next_value_seed(self.position.around(seed))
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint().map(|claim| claim.min(RESERVED))
    }
}

impl<'de, 'r, A: EnumAccess<'de>> EnumAccess<'de> for ReadLayer<'r, A> {
    type Error = A::Error;
    type Variant = ReadLayer<'r, A::Variant>;

    #[inline]
    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        let (name, inner) = self.inner.variant_seed(self.position.around(seed))?;
        Ok((name, self.position.around(inner)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for ReadLayer<'_, A> {
    type Error = A::Error;

    #[inline]
    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    #[inline]
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.inner.newtype_variant_seed(self.position.around(seed))
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor = self.position.through(visitor, Some(length));
        self.inner.tuple_variant(length, visitor)
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor = self.position.through(visitor, Some(fields.len()));
        self.inner.struct_variant(fields, visitor)
    }
}
