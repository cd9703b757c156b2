//! The layer around what hands out the elements of a list, the entries of a map, a variant.

use super::Kind;
use super::read::{Part, Place, Rules, Through};
use serde::de::{
    DeserializeSeed, EnumAccess, Error, IgnoredAny, MapAccess, SeqAccess, VariantAccess, Visitor,
};

/// For how many elements room is made before the first of them is there. serde alone would make
/// room for a mebibyte, in each list within a list.
const RESERVED: usize = 256;

pub(super) struct Elements<'r, A> {
    inner: A,
    place: Place<'r>,
    /// As many as the type announces; `None`: as many as the input says.
    length: Option<usize>,
    got: usize,
    ended: bool,
}

impl<'de, 'r, A: SeqAccess<'de>> Elements<'r, A> {
    pub(super) fn new(inner: A, place: Place<'r>, length: Option<usize>) -> Self {
        Self {
            inner,
            place,
            length,
            got: 0,
            ended: false,
        }
    }

    /// All have been taken; otherwise an error that says how many there were.
    pub(super) fn finish(mut self) -> Result<(), A::Error> {
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

    /// Where the bytes do not say the length, a type may read fewer elements than it announces.
    fn reads_all_there_is(&self) -> bool {
        let fewer = self.length.is_some_and(|announced| self.got < announced);
        fewer && !self.ended && !matches!(self.place.rules.kind, Kind::Described { .. })
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Elements<'_, A> {
    type Error = A::Error;

    /// After the end nobody is asked again: ciborium would then read beyond it.
    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        if self.ended {
            return Ok(None);
        }
        let element = self.inner.next_element_seed(Part(seed, self.place))?;
        self.ended = element.is_none();
        self.got += usize::from(!self.ended);
        if self.length.is_none() && !self.ended {
            self.place.rules.count()?;
        }
        Ok(element)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint().map(|claim| claim.min(RESERVED))
    }
}

impl Rules {
    #[inline]
    fn count<E: Error>(&self) -> Result<(), E> {
        let left = self.elements.get().checked_sub(1);
        let left = left.ok_or_else(|| self.object("more elements than octets".into()))?;
        self.elements.set(left);
        Ok(())
    }
}

pub(super) struct Entries<'r, A> {
    pub(super) inner: A,
    pub(super) place: Place<'r>,
    pub(super) counted: bool,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Entries<'_, A> {
    type Error = A::Error;

    #[inline]
    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        if self.counted {
            self.place.rules.count()?;
        }
        self.inner.next_key_seed(Part(seed, self.place))
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.inner.next_value_seed(Part(seed, self.place))
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint().map(|claim| claim.min(RESERVED))
    }
}

pub(super) struct Variants<'r, A> {
    pub(super) inner: A,
    pub(super) place: Place<'r>,
}

impl<'de, 'r, A: EnumAccess<'de>> EnumAccess<'de> for Variants<'r, A> {
    type Error = A::Error;
    type Variant = Variants<'r, A::Variant>;

    #[inline]
    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        let (name, inner) = self.inner.variant_seed(Part(seed, self.place))?;
        Ok((
            name,
            Variants {
                inner,
                place: self.place,
            },
        ))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Variants<'_, A> {
    type Error = A::Error;

    #[inline]
    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    #[inline]
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.inner.newtype_variant_seed(Part(seed, self.place))
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor = Through {
            visitor,
            place: self.place,
            length: Some(length),
        };
        self.inner.tuple_variant(length, visitor)
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor = Through {
            visitor,
            place: self.place,
            length: Some(fields.len()),
        };
        self.inner.struct_variant(fields, visitor)
    }
}
