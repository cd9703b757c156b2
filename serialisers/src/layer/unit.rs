//! Distinguishing the type `()` from a null.
//!
//! Both are written by `serialize_unit`. But they are read in different ways: `()` asks for a unit, a
//! type that may be null asks for anything.

use serde::de::value::Error as NoValue;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;
use std::cell::Cell;
use std::fmt;

/// Returns whether `value` is a `()`, or a reference to one, and `T` is `()`.
///
/// A transparent newtype counts as its content.
#[inline]
pub(super) fn is_unit<'de, T: Deserialize<'de>, Sent: ?Sized>(value: &Sent) -> bool {
    let asks_for_unit = Cell::new(false);
    let ask = || T::deserialize(UnitProbe(&asks_for_unit)).is_err();
    size_of::<T>() == 0 && size_of_val(value) <= size_of::<&()>() && ask() && asks_for_unit.get()
}

/// A deserialiser without a value. It records whether it was last asked for a unit.
struct UnitProbe<'a>(&'a Cell<bool>);

impl<'de> Deserializer<'de> for UnitProbe<'_> {
    type Error = NoValue;

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, NoValue> {
        self.0.set(false);
        Err(NoValue::custom(""))
    }

    #[inline]
    fn deserialize_unit<V: Visitor<'de>>(self, _: V) -> Result<V::Value, NoValue> {
        self.0.set(true);
        Err(NoValue::custom(""))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// The visitor of `()` as the whole value: an empty list, or null.
pub(super) struct UnitVisitor<V>(pub(super) V);

impl<'de, V: Visitor<'de>> Visitor<'de> for UnitVisitor<V> {
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

    /// Reads no element, so the layer refuses a list that is not empty.
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
