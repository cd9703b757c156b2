//! What all formats over serde share: a layer around the format's own serialiser and one around
//! its deserialiser. They see to the rules that the formats leave open or get wrong:
//!
//! | rule | `Cbor` | `Json` | `MessagePack` | `Postcard` | others' |
//! |---|---|---|---|---|---|
//! | A descriptor goes into the table beside the bytes. Its index is written ([`scope`]). | yes | yes | yes | yes | yes |
//! | `()` as the whole value is the empty list, as the arguments of a call without any are one. Further in it is what the format makes of it, and so is any other null. | yes | yes | yes | yes | yes |
//! | Values are nested no deeper than 256 levels. postcard has no limit, and no format counts `Option`s and newtypes, which recurse without a byte being read. | yes | yes | yes | yes | yes |
//! | A list has no more elements than the input has bytes, but for some of no bytes. | | | | yes | yes |
//! | A list that is read as a tuple is as long. ciborium and rmp would take the rest for something else. | yes | yes | yes | | |
//! | The same, or it is as long as the type reads: with serde's `alias` a field has two names. | | | | yes | yes |
//! | No null in `Some`, which would be read as `None`. | yes | yes | yes | | |
//! | A unit struct is a null, too. | yes | yes | | | |
//! | No field is left out: the next would be read as that one. | | | | yes | |
//! | No NaN, no infinity. | | yes | | | |
//! | No floats of 16 bits. | yes | | | | |
//! | Bytes are the characters of a string. | | yes | | | |
//! | Strings of either kind for the other. | with patience | | | | |
//!
//! It stands around every single value, in the user's crate, so all of it is `#[inline]`: without,
//! postcard takes half as long again to write, and a tenth longer to read.

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

pub(crate) use read::Reading;
pub(crate) use strings::Strings;

/// The rules of a format.
pub(crate) struct Rules {
    pub(crate) kind: Kind,
    /// A unit struct is a null.
    pub(crate) null_structs: bool,
    /// Floats have to be numbers.
    pub(crate) finite: bool,
    pub(crate) strings: Strings,
}

/// What the bytes of a format say of the values in them.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// Of what kind and how long they are: CBOR, JSON, MessagePack. `None` and `()` are null.
    Described,
    /// Nothing: postcard. A value is read as what its type asks for.
    Bare,
    /// Not known: a format of the user's.
    Foreign,
}

impl Rules {
    pub(crate) const fn of(kind: Kind) -> Self {
        Self {
            kind,
            null_structs: false,
            finite: false,
            strings: Strings::AsTheyAre,
        }
    }
}

/// Where floats can be written anew.
pub(crate) trait Floats {
    /// How many bytes have been written.
    fn written(&self) -> usize;

    /// Writes `value` in the place of all bytes but the first `kept`.
    fn replace(&self, kept: usize, value: f64);
}

/// What one writing goes by, and what it has found.
pub(crate) struct Writing<'s> {
    rules: &'static Rules,
    /// A unit as the whole value is the empty list.
    unit_is_list: bool,
    /// Where floats are written, if not as the format has them.
    sink: Option<&'s dyn Floats>,
    pub(crate) descriptors: Collected,
    /// What the layer objected to, as postcard's errors keep no words.
    pub(crate) objection: RefCell<Option<String>>,
}

impl<'s> Writing<'s> {
    /// For a value whose descriptors get into that table, by [`Descriptors::accept`].
    pub(crate) fn new(rules: &'static Rules, table: &Descriptors<'_>, unit_is_list: bool) -> Self {
        Self {
            rules,
            unit_is_list,
            sink: None,
            descriptors: table.collect(),
            objection: RefCell::default(),
        }
    }

    /// For a value that is sent as a `T`.
    pub(crate) fn of<'de, T: Deserialize<'de>, Sent: ?Sized>(
        rules: &'static Rules,
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
    fn object<E: ser::Error>(&self, objection: String) -> E {
        let error = E::custom(&objection);
        self.objection.replace(Some(objection));
        error
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
}

/// The error of a format, with the format's name.
pub(crate) fn failed(format: &str, why: impl fmt::Display) -> Error {
    Error::new(format!("{format}: {why}"))
}

/// As [`failed`], for a value that would not be written; with a way out where there is one.
pub(crate) fn refused(format: &str, why: impl fmt::Display) -> Error {
    let why = why.to_string();
    match why.contains("UTF-8") {
        true => failed(format, format_args!("{why}; send it as bytes (`Bytes`)")),
        false => failed(format, why),
    }
}
