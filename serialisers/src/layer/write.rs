//! The layer around a serialiser.

use super::{Context, Floats, Kind};
use crate::descriptor::scope::{DESCRIPTOR, OFFER};
use serde::ser::{self, Serialize, Serializer};

/// Writes a whole value.
pub(crate) fn write<S, T, F>(
    serializer: S,
    value: &T,
    context: &Context<F>,
) -> Result<S::Ok, S::Error>
where
    S: Serializer,
    T: Serialize + ?Sized,
    F: Floats,
{
    value.serialize(Layer {
        inner: serializer,
        context,
        place: Place::Whole,
    })
}

struct Layer<'f, S, F> {
    inner: S,
    context: &'f Context<F>,
    place: Place,
}

/// Where in the value another is.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Whole,
    /// It is what is in a `Some`.
    Some,
    Inside,
}

/// A value inside another.
struct Part<'f, 'v, T: ?Sized, F>(&'v T, &'f Context<F>, Place);

impl<S: Serializer, F: Floats> Layer<'_, S, F> {
    /// What is written next is the format's null.
    #[inline]
    fn null(&self) -> Result<(), S::Error> {
        let described = matches!(self.context.kind, Kind::Described { .. });
        match self.place == Place::Some && described {
            true => Err(self.context.object(SOME_NULL.into())),
            false => Ok(()),
        }
    }
}

const SOME_NULL: &str = "a null in `Some` (`None`, `()`) would be read as `None`: \
    take `Postcard`, an enum with a name for each case, or `serialize_with` for the field";

impl<T: Serialize + ?Sized, F: Floats> Serialize for Part<'_, '_, T, F> {
    #[inline]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(Layer {
            inner: serializer,
            context: self.1,
            place: self.2,
        })
    }
}

/// What is being written element by element.
struct Parts<'f, C, F> {
    inner: C,
    context: &'f Context<F>,
    /// Of the struct, or of the variant.
    name: Name,
}

macro_rules! plain {
    ($($method:ident($t:ty);)*) => {$(
        #[inline]
        fn $method(self, value: $t) -> Result<S::Ok, S::Error> {
            self.inner.$method(value)
        }
    )*};
}

macro_rules! parts {
    ($($method:ident($($argument:ident: $t:ty),*) -> $parts:ident $name:expr;)*) => {$(
        #[inline]
        fn $method(self, $($argument: $t),*) -> Result<Self::$parts, S::Error> {
            let inner = self.inner.$method($($argument),*)?;
            Ok(Parts { inner, context: self.context, name: $name })
        }
    )*};
}

type Name = &'static str;

impl<'f, S: Serializer, F: Floats> Serializer for Layer<'f, S, F> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Parts<'f, S::SerializeSeq, F>;
    type SerializeTuple = Parts<'f, S::SerializeTuple, F>;
    type SerializeTupleStruct = Parts<'f, S::SerializeTupleStruct, F>;
    type SerializeTupleVariant = Parts<'f, S::SerializeTupleVariant, F>;
    type SerializeMap = Parts<'f, S::SerializeMap, F>;
    type SerializeStruct = Parts<'f, S::SerializeStruct, F>;
    type SerializeStructVariant = Parts<'f, S::SerializeStructVariant, F>;

    plain! {
        serialize_bool(bool);
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_i128(i128);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_u128(u128);
        serialize_char(char);
        serialize_str(&str);
        serialize_bytes(&[u8]);
    }

    parts! {
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
        self.context.floats.f32(self.inner, value)
    }

    #[inline]
    fn serialize_f64(self, value: f64) -> Result<S::Ok, S::Error> {
        self.context.floats.f64(self.inner, value)
    }

    #[inline]
    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        if self.place == Place::Whole && self.context.unit_is_list {
            ser::SerializeTuple::end(self.inner.serialize_tuple(0)?)
        } else {
            self.null()?;
            self.inner.serialize_unit()
        }
    }

    #[inline]
    fn serialize_unit_struct(self, name: Name) -> Result<S::Ok, S::Error> {
        if let Kind::Described { null_structs: true } = self.context.kind {
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
        self.inner
            .serialize_some(&Part(value, self.context, Place::Some))
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
            DESCRIPTOR => self.inner.serialize_u32(self.context.descriptor(value)?),
            OFFER if self.context.carries_descriptors() => {
                let index = self.context.descriptor(value)?;
                self.inner.serialize_some(&index)
            }
            OFFER => self.inner.serialize_none(),
            _ => {
                let place = match self.place {
                    Place::Some => Place::Some,
                    Place::Whole | Place::Inside => Place::Inside,
                };
                self.inner
                    .serialize_newtype_struct(name, &Part(value, self.context, place))
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
        let value = Part(value, self.context, Place::Inside);
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

macro_rules! elements {
    ($($part:ident: $method:ident;)*) => {$(
        impl<C: ser::$part, F: Floats> ser::$part for Parts<'_, C, F> {
            type Ok = C::Ok;
            type Error = C::Error;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
                self.inner.$method(&Part(value, self.context, Place::Inside))
            }

            #[inline]
            fn end(self) -> Result<C::Ok, C::Error> {
                self.inner.end()
            }
        }
    )*};
}

elements! {
    SerializeSeq: serialize_element;
    SerializeTuple: serialize_element;
    SerializeTupleStruct: serialize_field;
    SerializeTupleVariant: serialize_field;
}

#[cold]
fn left_out(of: Name, field: Name) -> String {
    format!(
        "`{of}` leaves its field `{field}` out (`skip_serializing_if`), and the next one would be \
         read in its place: write all fields, or take `Cbor`, `Json` or `MessagePack`"
    )
}

macro_rules! fields {
    ($($part:ident;)*) => {$(
        impl<C: ser::$part, F: Floats> ser::$part for Parts<'_, C, F> {
            type Ok = C::Ok;
            type Error = C::Error;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: Name,
                value: &T,
            ) -> Result<(), C::Error> {
                self.inner.serialize_field(name, &Part(value, self.context, Place::Inside))
            }

            #[inline]
            fn skip_field(&mut self, name: Name) -> Result<(), C::Error> {
                match self.context.kind {
                    Kind::Bare => Err(self.context.object(left_out(self.name, name))),
                    Kind::Described { .. } | Kind::Foreign => self.inner.skip_field(name),
                }
            }

            #[inline]
            fn end(self) -> Result<C::Ok, C::Error> {
                self.inner.end()
            }
        }
    )*};
}

fields! {
    SerializeStruct;
    SerializeStructVariant;
}

impl<C: ser::SerializeMap, F: Floats> ser::SerializeMap for Parts<'_, C, F> {
    type Ok = C::Ok;
    type Error = C::Error;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), C::Error> {
        self.inner
            .serialize_key(&Part(key, self.context, Place::Inside))
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        self.inner
            .serialize_value(&Part(value, self.context, Place::Inside))
    }

    #[inline]
    fn end(self) -> Result<C::Ok, C::Error> {
        self.inner.end()
    }
}
