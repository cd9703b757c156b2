//! The layers that all formats over serde share: a layer around the format's serialiser and a layer around its
//! deserialiser. The layers enforce rules that the formats leave open or get wrong:
//!
//! | rule | `Cbor` | `Json` | `MessagePack` | `Postcard` | others' |
//! |---|---|---|---|---|---|
//! | A descriptor is added to the table beside the bytes, and its index is encoded ([`scope`]). | yes | yes | yes | yes | yes |
//! | `()` as the whole value is the empty list, as the arguments of a call without any are. Within a value it is what the format makes of it, and so is any other null. | yes | yes | yes | yes | yes |
//! | Values are nested up to 256 levels. postcard has no limit, and no format counts `Option`s and newtypes, which recurse without a byte being read. | yes | yes | yes | yes | yes |
//! | A list has no more elements than the input has bytes, plus 65,536 for elements of no bytes. | | | | yes | yes |
//! | A list that is read as a tuple has its length. ciborium and rmp would read the rest as something else. | yes | yes | yes | | |
//! | The same, or the length that the type reads: with serde's `alias` a field has two names. | | | | yes | yes |
//! | `Some` holds no null, which would be read as `None`. | yes | yes | yes | | |
//! | A unit struct is a null. | yes | yes | | | |
//! | No field is left out: the next would be read in its place. | | | | yes | |
//! | No NaN, no infinity. | | yes | | | |
//! | No floats of 16 bits. | yes | | | | |
//! | Bytes are the characters of a string. | | yes | | | |
//! | A string of bytes may be read as text, and the reverse. | second try | | | | |
//!
//! A layer is around every value, and is compiled in the user's crate, so all of it is `#[inline]`.
//! Without that, postcard takes 1.5 times as long to write, and 1.1 times as long to read.

use crate::descriptor::scope;
use crate::descriptors::{Collected, Descriptors};
use crate::error::Error;
use serde::de::Deserialize;
use serde::ser::{self, Serialize};
use std::cell::RefCell;
use std::{fmt, io};

mod read;
mod strings;
mod unit;
mod write;

pub(crate) use read::ReadContext;
pub(crate) use strings::Strings;

/// The rules of a format.
pub(crate) struct FormatRules {
    pub(crate) kind: Kind,
    /// Whether a unit struct is a null.
    pub(crate) null_structs: bool,
    /// Whether NaN and the infinities are an error.
    pub(crate) finite: bool,
    pub(crate) strings: Strings,
}

/// How far the bytes of a format describe the values in them.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// Their kind and length: CBOR, JSON, MessagePack. `None` and `()` are null.
    Described,
    /// Not at all: postcard. A value is read as what its type asks for.
    Bare,
    /// Unknown: a format of the user.
    Foreign,
}

impl FormatRules {
    pub(crate) const fn of(kind: Kind) -> Self {
        Self {
            kind,
            null_structs: false,
            finite: false,
            strings: Strings::AsTheyAre,
        }
    }
}

/// An output in which a float can be replaced.
pub(crate) trait Floats {
    /// Returns the number of bytes written.
    fn written(&self) -> usize;

    /// Replaces the bytes behind the first `kept` by an encoding of `value`.
    fn replace(&self, kept: usize, value: f64);
}

/// The state of encoding a value.
pub(crate) struct WriteContext<'s> {
    rules: &'static FormatRules,
    /// Whether a unit as the whole value is the empty list.
    unit_is_list: bool,
    /// Replaces the format's encoding of floats, if set.
    sink: Option<&'s dyn Floats>,
    pub(crate) descriptors: Collected,
    /// The layer's own error, because postcard's errors keep no text.
    pub(crate) rejection: RefCell<Option<String>>,
}

impl<'s> WriteContext<'s> {
    /// For a value whose descriptors are added to `table`, by [`Descriptors::accept`].
    pub(crate) fn new(
        rules: &'static FormatRules,
        table: &Descriptors<'_>,
        unit_is_list: bool,
    ) -> Self {
        Self {
            rules,
            unit_is_list,
            sink: None,
            descriptors: table.collect(),
            rejection: RefCell::default(),
        }
    }

    /// For a value that is decoded as a `T`.
    pub(crate) fn of<'de, T: Deserialize<'de>, Sent: ?Sized>(
        rules: &'static FormatRules,
        value: &Sent,
        table: &Descriptors<'_>,
    ) -> Self {
        Self::new(rules, table, unit::is_unit::<T, _>(value))
    }

    pub(crate) fn into(self, sink: &'s dyn Floats) -> Self {
        Self {
            sink: Some(sink),
            ..self
        }
    }

    #[cold]
    fn reject<E: ser::Error>(&self, rejection: String) -> E {
        let error = E::custom(&rejection);
        self.rejection.replace(Some(rejection));
        error
    }

    /// Collects the descriptor in a newtype, and returns its index.
    fn descriptor<T, E>(&self, content: &T) -> Result<u32, E>
    where
        T: Serialize + ?Sized,
        E: ser::Error,
    {
        let none = || Err(io::Error::other("there is none"));
        let duplicate = || scope::ask(content).unwrap_or_else(none);
        let added = self.descriptors.add(duplicate);
        added.map_err(|why| self.reject(why.to_string()))
    }
}

/// Returns the error of a format, with its name.
pub(crate) fn failed(format: &str, why: impl fmt::Display) -> Error {
    Error::new(format!("{format}: {why}"))
}

/// As [`failed`], for a value that cannot be encoded. Adds what to do if it is known.
pub(crate) fn refused(format: &str, why: impl fmt::Display) -> Error {
    let why = why.to_string();
    match why.contains("UTF-8") {
        true => failed(format, format_args!("{why}; send it as bytes (`Bytes`)")),
        false => failed(format, why),
    }
}
