//! The layer around a serialiser.

use super::{Kind, Strings, WriteContext};
use crate::bytes_serde::text_of;
use crate::descriptor::scope::{DESCRIPTOR, OFFER};
use serde::ser::{self, Serialize, Serializer};

/// A value that is written with the layer around the serialiser.
pub(crate) struct Layered<'w, 'v, T: ?Sized>(&'v T, &'w WriteContext<'w>, WritePosition);

/// The position of a value in the whole value.
#[derive(Clone, Copy, PartialEq)]
enum WritePosition {
    Whole,
    /// Directly in a `Some`.
    Some,
    Inside,
}

impl<'w> WriteContext<'w> {
    /// Wraps the whole value.
    pub(crate) fn whole<'v, T: ?Sized>(&'w self, value: &'v T) -> Layered<'w, 'v, T> {
        Layered(value, self, WritePosition::Whole)
    }

    #[inline]
    fn inside<'v, T: ?Sized>(&'w self, value: &'v T) -> Layered<'w, 'v, T> {
        Layered(value, self, WritePosition::Inside)
    }

    #[inline]
    fn float<T, E: ser::Error>(
        &self,
        value: f64,
        write: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        if self.rules.finite && !value.is_finite() {
            return Err(no_form(value));
        }
        let Some(sink) = self.sink else {
            return write();
        };
        let before = sink.written();
        let written = write()?;
        sink.replace(before, value);
        Ok(written)
    }
}

/// Returns the error for NaN and the infinities, which serde_json would write as null.
#[cold]
fn no_form<E: ser::Error>(value: f64) -> E {
    E::custom(format_args!("the number {value} has no form in JSON"))
}

impl<T: Serialize + ?Sized> Serialize for Layered<'_, '_, T> {
    #[inline]
    fn serialize<S: Serializer>(&self, inner: S) -> Result<S::Ok, S::Error> {
        let Self(value, writing, position) = *self;
        value.serialize(WriteLayer {
            inner,
            writing,
            position,
        })
    }
}

struct WriteLayer<'w, S> {
    inner: S,
    writing: &'w WriteContext<'w>,
    position: WritePosition,
}

impl<S: Serializer> WriteLayer<'_, S> {
    /// Checks that a null may be written here.
    #[inline]
    fn null(&self) -> Result<(), S::Error> {
        match self.position == WritePosition::Some && self.writing.rules.kind == Kind::Described {
            true => Err(self.writing.reject(SOME_NULL.into())),
            false => Ok(()),
        }
    }
}

const SOME_NULL: &str = "a null in `Some` (`None`, `()`) would be read as `None`: \
    take `Postcard`, an enum with a name for each case, or `serialize_with` for the field";

macro_rules! plain {
    ($($method:ident($t:ty))*) => {$(
        #[inline]
        fn $method(self, value: $t) -> Result<S::Ok, S::Error> {
            self.inner.$method(value)
        }
    )*};
}

macro_rules! compounds {
    ($($method:ident($($argument:ident: $t:ty),*) -> $parts:ident $name:expr;)*) => {$(
        #[inline]
        fn $method(self, $($argument: $t),*) -> Result<Self::$parts, S::Error> {
            let inner = self.inner.$method($($argument),*)?;
            Ok(Compound { inner, writing: self.writing, name: $name })
        }
    )*};
}

type Name = &'static str;

impl<'w, S: Serializer> Serializer for WriteLayer<'w, S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Compound<'w, S::SerializeSeq>;
    type SerializeTuple = Compound<'w, S::SerializeTuple>;
    type SerializeTupleStruct = Compound<'w, S::SerializeTupleStruct>;
    type SerializeTupleVariant = Compound<'w, S::SerializeTupleVariant>;
    type SerializeMap = Compound<'w, S::SerializeMap>;
    type SerializeStruct = Compound<'w, S::SerializeStruct>;
    type SerializeStructVariant = Compound<'w, S::SerializeStructVariant>;

    plain! {
        serialize_bool(bool) serialize_char(char) serialize_str(&str)
        serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64)
        serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64)
        serialize_i128(i128) serialize_u128(u128)
    }

    compounds! {
        serialize_seq(length: Option<usize>) -> SerializeSeq "";
        serialize_tuple(length: usize) -> SerializeTuple "";
        serialize_tuple_struct(name: Name, length: usize) -> SerializeTupleStruct name;
        serialize_tuple_variant(name: Name, index: u32, variant: Name, length: usize)
            -> SerializeTupleVariant variant;
        serialize_map(length: Option<usize>) -> SerializeMap "";
        serialize_struct(name: Name, length: usize) -> SerializeStruct name;
        serialize_struct_variant(name: Name, index: u32, variant: Name, length: usize)
            -> SerializeStructVariant variant;
    }

    #[inline]
    fn serialize_f32(self, value: f32) -> Result<S::Ok, S::Error> {
        let write = || self.inner.serialize_f32(value);
        self.writing.float(value.into(), write)
    }

    #[inline]
    fn serialize_f64(self, value: f64) -> Result<S::Ok, S::Error> {
        let write = || self.inner.serialize_f64(value);
        self.writing.float(value, write)
    }

    #[inline]
    fn serialize_bytes(self, value: &[u8]) -> Result<S::Ok, S::Error> {
        match self.writing.rules.strings {
            Strings::BytesAreText => self.inner.serialize_str(&text_of(value)),
            Strings::AsTheyAre | Strings::Either => self.inner.serialize_bytes(value),
        }
    }

    #[inline]
    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        if self.position == WritePosition::Whole && self.writing.unit_is_list {
            ser::SerializeTuple::end(self.inner.serialize_tuple(0)?)
        } else {
            self.null()?;
            self.inner.serialize_unit()
        }
    }

    #[inline]
    fn serialize_unit_struct(self, name: Name) -> Result<S::Ok, S::Error> {
        if self.writing.rules.null_structs {
            self.null()?;
        }
        self.inner.serialize_unit_struct(name)
    }

    #[inline]
    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.null()?;
        self.inner.serialize_none()
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        let value = Layered(value, self.writing, WritePosition::Some);
        self.inner.serialize_some(&value)
    }

    #[inline]
    fn serialize_unit_variant(
        self,
        name: Name,
        index: u32,
        variant: Name,
    ) -> Result<S::Ok, S::Error> {
        self.inner.serialize_unit_variant(name, index, variant)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: Name,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        match name {
            DESCRIPTOR => self.inner.serialize_u32(self.writing.descriptor(value)?),
            OFFER if self.writing.descriptors.are_carried() => {
                let index = self.writing.descriptor(value)?;
                self.inner.serialize_some(&index)
            }
            OFFER => self.inner.serialize_none(),
            _ => {
                let mut value = self.writing.inside(value);
                if self.position == WritePosition::Some {
                    value.2 = WritePosition::Some;
                }
                self.inner.serialize_newtype_struct(name, &value)
            }
        }
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: Name,
        index: u32,
        variant: Name,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let value = self.writing.inside(value);
        self.inner
            .serialize_newtype_variant(name, index, variant, &value)
    }

    #[inline]
    fn collect_str<T: std::fmt::Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.collect_str(value)
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// The layer around a value that is written element by element.
struct Compound<'w, C> {
    inner: C,
    writing: &'w WriteContext<'w>,
    /// Name of the struct or variant.
    name: Name,
}

/// Lines of the form `trait: method(name of a field that may be left out)`.
macro_rules! elements {
    ($($part:ident: $($method:ident($($name:ident: $t:ty)?)),*;)*) => {$(
        impl<C: ser::$part> ser::$part for Compound<'_, C> {
            type Ok = C::Ok;
            type Error = C::Error;

            $(
                #[inline]
                fn $method<T: Serialize + ?Sized>(
                    &mut self,
                    $($name: $t,)?
                    value: &T,
                ) -> Result<(), C::Error> {
                    self.inner.$method($($name,)? &self.writing.inside(value))
                }

                $(
                    #[inline]
                    fn skip_field(&mut self, $name: $t) -> Result<(), C::Error> {
                        match self.writing.rules.kind {
                            Kind::Bare => Err(self.left_out($name)),
                            Kind::Described | Kind::Foreign => self.inner.skip_field($name),
                        }
                    }
                )?
            )*

            #[inline]
            fn end(self) -> Result<C::Ok, C::Error> {
                self.inner.end()
            }
        }
    )*};
}

elements! {
    SerializeSeq: serialize_element();
    SerializeTuple: serialize_element();
    SerializeTupleStruct: serialize_field();
    SerializeTupleVariant: serialize_field();
    SerializeMap: serialize_key(), serialize_value();
    SerializeStruct: serialize_field(name: Name);
    SerializeStructVariant: serialize_field(name: Name);
}

impl<C> Compound<'_, C> {
    #[cold]
    fn left_out<E: ser::Error>(&self, field: Name) -> E {
        let name = self.name;
        self.writing.reject(format!(
            "`{name}` leaves its field `{field}` out (`skip_serializing_if`), and the next one \
             would be read in its place: write all fields, or take `Cbor`, `Json` or `MessagePack`"
        ))
    }
}
