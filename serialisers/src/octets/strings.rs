//! The types that are encoded as a byte string, or as a list of byte strings.

use super::{ListReader, ListWriter, wrong};
use crate::bytes::{Bytes, BytesRef};
use crate::descriptors::{Arrived, Descriptor, DescriptorOrBytes, DescriptorRef};
use crate::error::Error;
use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Marks types that are exactly one byte string or descriptor. See [`AsOctetStrings::Number`].
///
/// ```
/// use offspring_serialisers::{AsOctetStrings, OneString};
///
/// fn one<T: AsOctetStrings<Number = OneString> + ?Sized>(_: &T) {}
/// one("text");
/// ```
#[derive(Debug)]
pub enum OneString {}

/// Marks `u8`, which is exactly one byte string, but whose list is a byte string. See
/// [`AsOctetStrings::Number`].
///
/// ```
/// use offspring_serialisers::{AsOctetStrings, OneByte};
///
/// fn byte<T: AsOctetStrings<Number = OneByte>>(_: T) {}
/// byte(7_u8);
/// ```
#[derive(Debug)]
pub enum OneByte {}

/// Marks types that are any number of byte strings. See [`AsOctetStrings::Number`].
///
/// ```
/// use offspring_serialisers::{AsOctetStrings, ManyStrings};
///
/// fn many<T: AsOctetStrings<Number = ManyStrings>>(_: T) {}
/// many(vec!["a", "b"]);
/// ```
#[derive(Debug)]
pub enum ManyStrings {}

/// [`OneString`] or [`OneByte`]: the type can be an element of a tuple.
///
/// ```
/// use offspring_serialisers::{AsOctetStrings, One};
///
/// fn element<T: AsOctetStrings<Number: One>>(_: T) {}
/// element(7_u8);
/// element("text");
/// ```
pub trait One {}

impl One for OneString {}
impl One for OneByte {}

/// A type that is encoded as a byte string, or as a list of them. A single string is a list of one.
///
/// ```
/// use offspring_serialisers::{AsOctetStrings, ListWriter, ManyStrings, OneString};
///
/// struct Name(String);
/// struct Command(Vec<Name>);
///
/// impl AsOctetStrings for Name {
///     type Number = OneString;
///     fn write_strings(&self, list: &mut ListWriter<'_>) {
///         list.push(self.0.as_bytes());
///     }
/// }
///
/// impl AsOctetStrings for Command {
///     type Number = ManyStrings;
///     fn write_strings(&self, list: &mut ListWriter<'_>) {
///         self.0.write_strings(list);
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no byte string and no list of them, which the format `Octets` is for",
    label = "not a byte string"
)]
pub trait AsOctetStrings {
    /// [`OneString`] for an element of lists and tuples, [`OneByte`] for an element of tuples only, [`ManyStrings`] for a
    /// list.
    type Number;

    /// Writes all strings of the list.
    ///
    /// ```
    /// # use offspring_serialisers::{AsOctetStrings, ListWriter};
    /// fn twice(strings: impl AsOctetStrings, list: &mut ListWriter<'_>) {
    ///     strings.write_strings(list);
    ///     strings.write_strings(list);
    /// }
    /// ```
    fn write_strings(&self, list: &mut ListWriter<'_>);
}

/// A type that is decoded from a byte string, or from a list of them. A single string is a list of one.
///
/// ```
/// use offspring_serialisers::{Error, FromOctetStrings, ListReader, ManyStrings, OneString};
///
/// struct Name(String);
/// struct Pair(Name, String);
///
/// impl FromOctetStrings for Name {
///     type Number = OneString;
///     fn read_strings(list: &mut ListReader<'_>) -> Result<Self, Error> {
///         String::read_strings(list).map(Self)
///     }
/// }
///
/// impl FromOctetStrings for Pair {
///     type Number = ManyStrings;
///     fn read_strings(list: &mut ListReader<'_>) -> Result<Self, Error> {
///         Ok(Self(list.take_as(2)?, list.take_as(2)?))
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no byte string and no list of them, which the format `Octets` is for",
    label = "not a byte string"
)]
pub trait FromOctetStrings: Sized {
    /// As [`AsOctetStrings::Number`].
    type Number;

    /// Takes the strings of this value from the list. The caller checks that none is left over.
    ///
    /// ```
    /// # use offspring_serialisers::{Error, FromOctetStrings, ListReader};
    /// let mut list = ListReader::new(b"\x01a\x01b");
    /// let (a, b) = <(String, String)>::read_strings(&mut list)?;
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// There are too few strings, or a string is no value of this type.
    fn read_strings(list: &mut ListReader<'_>) -> Result<Self, Error>;
}

/// Lines of the form `[generics] type: number, value list => how to write it;`.
macro_rules! written {
    ($([$($generic:tt)*] $t:ty: $number:ty, $value:ident $list:ident => $write:expr;)*) => {$(
        impl<$($generic)*> AsOctetStrings for $t {
            type Number = $number;

            fn write_strings(&self, $list: &mut ListWriter<'_>) {
                let $value = self;
                $write;
            }
        }
    )*};
}

written! {
    [] [u8]: OneString, bytes list => list.push(bytes);
    [const N: usize] [u8; N]: OneString, bytes list => list.push(bytes);
    [] Vec<u8>: OneString, bytes list => list.push(bytes);
    [] Bytes: OneString, bytes list => list.push(bytes);
    [] BytesRef<'_>: OneString, bytes list => list.push(bytes.0);
    [] str: OneString, text list => list.push(text.as_bytes());
    [] String: OneString, text list => list.push(text.as_bytes());
    [] Path: OneString, path list => list.push(path.as_os_str().as_bytes());
    [] PathBuf: OneString, path list => list.push(path.as_os_str().as_bytes());
    [] OsStr: OneString, string list => list.push(string.as_bytes());
    [] OsString: OneString, string list => list.push(string.as_bytes());
    [T: AsFd] Descriptor<T>: OneString, owner list => list.push_descriptor(owner.as_fd());
    [] DescriptorRef<'_>: OneString, descriptor list => list.push_descriptor(descriptor.0);
    [A: AsOctetStrings + ?Sized] &A: A::Number, value list => A::write_strings(value, list);
    [A: AsOctetStrings + ?Sized] Box<A>: A::Number, value list => A::write_strings(value, list);
    [A: AsOctetStrings + ToOwned + ?Sized] Cow<'_, A>: A::Number, value list => A::write_strings(value, list);
    [A: AsOctetStrings<Number = OneString>] [A]: ManyStrings, all list => all.iter().for_each(|one| one.write_strings(list));
    [A: AsOctetStrings<Number = OneString>] Vec<A>: ManyStrings, all list => all[..].write_strings(list);
    [A: AsOctetStrings<Number = OneString>, const N: usize] [A; N]: ManyStrings, all list => all[..].write_strings(list);
}

/// Lines of the form `[generics] type: number, list => how to read it;`.
macro_rules! read {
    ($([$($generic:tt)*] $t:ty: $number:ty, $list:ident => $read:expr;)*) => {$(
        impl<$($generic)*> FromOctetStrings for $t {
            type Number = $number;

            fn read_strings($list: &mut ListReader<'_>) -> Result<Self, Error> {
                $read
            }
        }
    )*};
}

read! {
    [] Vec<u8>: OneString, list => Ok(list.take_string()?.to_vec());
    [] Box<[u8]>: OneString, list => Ok(list.take_string()?.into());
    [const N: usize] [u8; N]: OneString, list => array(list.take_string()?);
    [] Bytes: OneString, list => Ok(list.take_string()?.into());
    [] String: OneString, list => text(list.take_string()?.to_vec());
    [] Box<str>: OneString, list => text(list.take_string()?.to_vec()).map(Self::from);
    [] OsString: OneString, list => Ok(Self::from_vec(list.take_string()?.to_vec()));
    [] PathBuf: OneString, list => OsString::read_strings(list).map(Self::from);
    [] Box<Path>: OneString, list => PathBuf::read_strings(list).map(Self::from);
    [T: From<OwnedFd>] Descriptor<T>: OneString, list => {
        let string = list.take_string()?;
        Ok(Self::new(list.descriptor(string)?.into()))
    };
    [A: ToOwned<Owned: FromOctetStrings> + ?Sized] Cow<'_, A>: <A::Owned as FromOctetStrings>::Number, list =>
        A::Owned::read_strings(list).map(Self::Owned);
    [A: FromOctetStrings<Number = OneString>] Vec<A>: ManyStrings, list => {
        let mut all = Self::new();
        while !list.rest.is_empty() {
            all.push(list.take_as(1)?);
        }
        Ok(all)
    };
    [A: FromOctetStrings<Number = OneString>, const N: usize] [A; N]: ManyStrings, list => {
        let strings = (0..N).map(|_| list.take_as(N)).collect::<Result<Vec<A>, _>>()?;
        let error = |_| wrong("an array has more strings than an array has");
        strings.try_into().map_err(error)
    };
}

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Error> {
    let got = bytes.len();
    let error = |_| wrong(format_args!("wanted a string of {N} bytes, got {got}"));
    bytes.try_into().map_err(error)
}

fn text(bytes: Vec<u8>) -> Result<String, Error> {
    let error = |error| wrong(format_args!("a string is not UTF-8: {error}"));
    String::from_utf8(bytes).map_err(|bytes| error(bytes.utf8_error()))
}

/// The first byte of a [`DescriptorOrBytes`]: the index of a descriptor follows, or the bytes.
const INDEX: u8 = 0;
const CONTENT: u8 = 1;

impl AsOctetStrings for DescriptorOrBytes<'_> {
    type Number = OneString;

    fn write_strings(&self, list: &mut ListWriter<'_>) {
        if !list.carries_descriptors() {
            list.push_parts([&[CONTENT], &(self.bytes)()]);
        } else if let Some(index) = list.send_duplicate(self.descriptor) {
            list.push_parts([&[INDEX], &index.to_be_bytes()]);
        }
    }
}

impl FromOctetStrings for Arrived {
    type Number = OneString;

    fn read_strings(list: &mut ListReader<'_>) -> Result<Self, Error> {
        match list.take_string()?.split_first() {
            Some((&INDEX, index)) => list.descriptor(index).map(Self::Descriptor),
            Some((&CONTENT, bytes)) => Ok(Self::Bytes(bytes.into())),
            _ => Err(wrong("neither a descriptor nor bytes")),
        }
    }
}

macro_rules! tuples {
    ($(($($string:ident)*) $length:literal;)*) => {$(
        #[allow(non_snake_case, unused_variables, reason = "named as their types, also where there is none")]
        impl<$($string: AsOctetStrings<Number: One>),*> AsOctetStrings for ($($string,)*) {
            type Number = ManyStrings;

            fn write_strings(&self, list: &mut ListWriter<'_>) {
                let ($($string,)*) = self;
                $($string.write_strings(list);)*
            }
        }

        #[allow(unused_variables, reason = "where there is none")]
        impl<$($string: FromOctetStrings<Number: One>),*> FromOctetStrings for ($($string,)*) {
            type Number = ManyStrings;

            fn read_strings(list: &mut ListReader<'_>) -> Result<Self, Error> {
                Ok(($(list.take_as::<$string>($length)?,)*))
            }
        }
    )*};
}

tuples! {
    () 0;
    (A) 1;
    (A B) 2;
    (A B C) 3;
    (A B C D) 4;
    (A B C D E) 5;
    (A B C D E F) 6;
    (A B C D E F G) 7;
    (A B C D E F G H) 8;
}
