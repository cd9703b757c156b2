//! What all formats over serde share: a layer around the format's own serialiser and one around
//! its deserialiser. They see to the rules that the formats leave open or get wrong:
//!
//! - The type `()` as the whole value is the empty list, as the arguments of a call without any
//!   are one. Further in it is what the format makes of it, and so is any other value that serde
//!   writes as a unit, such as a null.
//! - A list read as a tuple must have as many elements as the tuple. ciborium and rmp stop
//!   reading, and take what is left for something else. In postcard it has as many as the type
//!   reads, which may be fewer than the type announces: with serde's `alias` a field has two names.
//! - A null in `Some` is not written where it would be read as `None`, nor is a struct that leaves
//!   a field out in postcard, where the next field would be read as that one.
//! - Nesting has a limit. postcard has none, and none of them counts `Option`s and newtypes,
//!   which recurse without an octet being read.
//! - A list has no more elements than the input has octets, as far as elements of no octets
//!   (`()` in postcard) allow that to be said.
//! - A newtype of a name that is in [`scope`] is an open descriptor: it goes into the table beside
//!   the bytes, and its index is written.
//!
//! It stands around every single value, in the user's crate, so all of it is `#[inline]`: without,
//! postcard takes half as long again to write, and a tenth longer to read.

use crate::descriptor::scope;
use crate::descriptors::{Collected, Descriptors};
use crate::error::Error;
use serde::ser::{self, Serialize, Serializer};
use std::cell::RefCell;
use std::{fmt, io};

mod read;
mod strings;
pub(crate) mod unit;
mod write;

pub(crate) use read::{Rules, read};
pub(crate) use strings::Strings;
pub(crate) use write::write;

/// What the bytes of a format say of the values in them.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// Of what kind and how long they are: CBOR, JSON, MessagePack. `None` and `()` are null.
    Described {
        /// A unit struct is null, too; in MessagePack it is an empty list.
        null_structs: bool,
    },
    /// Nothing: postcard. A value is read as what its type asks for.
    Bare,
    /// Not known: a format of the user's.
    Foreign,
}

/// What one writing goes by.
pub(crate) struct Context<F> {
    floats: F,
    kind: Kind,
    /// A unit as the whole value is the empty list.
    unit_is_list: bool,
    descriptors: Collected,
    /// What the layer objected to, as postcard's errors keep no words.
    pub(crate) objection: RefCell<Option<String>>,
}

impl<F: Floats> Context<F> {
    /// For a value whose descriptors get into that table, by [`Descriptors::accept`].
    pub(crate) fn new(floats: F, kind: Kind, table: &Descriptors<'_>) -> Self {
        Self {
            floats,
            kind,
            unit_is_list: false,
            descriptors: table.collect(),
            objection: RefCell::default(),
        }
    }

    /// The same; whether a unit as the whole value is the empty list.
    pub(crate) fn unit_is_list(self, unit_is_list: bool) -> Self {
        Self {
            unit_is_list,
            ..self
        }
    }

    #[cold]
    fn object<E: ser::Error>(&self, objection: String) -> E {
        let error = E::custom(&objection);
        self.objection.replace(Some(objection));
        error
    }

    fn carries_descriptors(&self) -> bool {
        self.descriptors.are_carried()
    }

    /// The index of the descriptor that is the content of a newtype.
    fn descriptor<T, E>(&self, content: &T) -> Result<u32, E>
    where
        T: Serialize + ?Sized,
        E: ser::Error,
    {
        let none = || Err(io::Error::other("there is none"));
        let duplicate = || scope::ask(content).unwrap_or_else(none);
        let added = self.descriptors.add(duplicate);
        added.map_err(|why| self.object(why.to_string()))
    }

    /// The descriptors of the value, which has been written.
    pub(crate) fn into_descriptors(self) -> Collected {
        self.descriptors
    }
}

/// How a format writes its floating-point numbers; left alone, as serde has it.
pub(crate) trait Floats {
    #[inline]
    fn f32<S: Serializer>(&self, serializer: S, value: f32) -> Result<S::Ok, S::Error> {
        serializer.serialize_f32(value)
    }

    #[inline]
    fn f64<S: Serializer>(&self, serializer: S, value: f64) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(value)
    }
}

impl Floats for () {}

impl<F: Floats> Floats for &F {
    #[inline]
    fn f32<S: Serializer>(&self, serializer: S, value: f32) -> Result<S::Ok, S::Error> {
        F::f32(self, serializer, value)
    }

    #[inline]
    fn f64<S: Serializer>(&self, serializer: S, value: f64) -> Result<S::Ok, S::Error> {
        F::f64(self, serializer, value)
    }
}

/// The error of a format, with the format's name.
pub(crate) fn failed(format: &str, why: impl fmt::Display) -> Error {
    Error::new(format!("{format}: {why}"))
}

/// As [`failed`], for a value that would not be written; with a way out where there is one.
pub(crate) fn refused(format: &str, why: impl fmt::Display) -> Error {
    let why = why.to_string();
    match why.contains("UTF-8") {
        true => failed(format, format_args!("{why}; send it as octets (`Bytes`)")),
        false => failed(format, why),
    }
}
