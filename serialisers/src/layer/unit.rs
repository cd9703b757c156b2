//! Telling the type `()` from a null.
//!
//! Both are written by `serialize_unit`, so the value does not tell. But they are read in
//! different ways: `()` asks for a unit, a type that may be null asks for anything.

use serde::de::{self, Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;
use std::fmt;

/// Whether `value` is sent for the type `()`: it is a `()`, or a reference to one.
///
/// A newtype that serde looks through counts as what is in it.
#[inline]
pub(crate) fn is_unit<'de, T: Deserialize<'de>, Sent: ?Sized>(value: &Sent) -> bool {
    size_of::<T>() == 0
        && size_of_val(value) <= size_of::<&()>()
        && matches!(T::deserialize(Question), Err(Answer::Unit))
}

/// A deserialiser that has no value, only the answer to what it is asked for.
struct Question;

#[derive(Debug)]
enum Answer {
    Unit,
    Other,
}

impl<'de> Deserializer<'de> for Question {
    type Error = Answer;

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Answer> {
        Err(Answer::Other)
    }

    #[inline]
    fn deserialize_unit<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Answer> {
        Err(Answer::Unit)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no value")
    }
}

impl std::error::Error for Answer {}

impl de::Error for Answer {
    fn custom<M: fmt::Display>(_: M) -> Self {
        Self::Other
    }
}

/// For `()` as the whole value: the empty list, or null.
pub(super) struct Nothing<V>(pub(super) V);

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

#[cfg(test)]
mod tests {
    use super::is_unit;
    use std::marker::PhantomData;

    #[test]
    fn only_the_unit_type_is_one() {
        assert!(is_unit::<(), _>(&()));
        assert!(is_unit::<(), _>(&&()));
        assert!(!is_unit::<(), _>(&serde_json::Value::Null));
        assert!(!is_unit::<Option<()>, _>(&None::<()>));
        assert!(!is_unit::<Box<()>, _>(&Box::new(())));
        assert!(!is_unit::<PhantomData<u8>, _>(&PhantomData::<u8>));
        assert!(!is_unit::<[u8; 0], _>(&[0u8; 0]));
        assert!(!is_unit::<((),), _>(&((),)));
    }
}
