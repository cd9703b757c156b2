//! What is an byte string, or a list of them.

use super::{ListReader, ListWriter, wrong};
use crate::bytes::{Bytes, BytesRef};
use crate::descriptors::{Arrived, Descriptor, DescriptorOrBytes, DescriptorRef};
use crate::error::Error;
use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Exactly one byte string, or descriptor. See [`AsOctetStrings::Number`].
#[derive(Debug)]
pub enum OneString {}

/// Exactly one byte string that is a number of one byte: a list of them is a byte string. See
/// [`AsOctetStrings::Number`].
#[derive(Debug)]
pub enum OneByte {}

/// Any number of byte strings. See [`AsOctetStrings::Number`].
#[derive(Debug)]
pub enum ManyStrings {}

/// What can be an element of a tuple: [`OneString`] or [`OneByte`].
pub trait One {}

impl One for OneString {}
impl One for OneByte {}

/// An byte string, or a list of them, to be written. A string by itself is a list of one.
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
    /// [`OneString`] for an element of lists, [`OneByte`] for one of tuples alone, [`ManyStrings`] for a list.
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

/// An byte string, or a list of them, to be read. A string by itself is a list of one.
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

    /// Takes its strings from the list. Strings left over are an error, which the caller makes.
    ///
    /// ```
    /// # use offspring_serialisers::{Error, FromOctetStrings, ListReader};
    /// let mut list = ListReader::new(b"\x01a\x01b");
    /// let (a, b) = <(String, String)>::read_strings(&mut list)?;
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// There are too few strings, or one is not what it should be.
    fn read_strings(list: &mut ListReader<'_>) -> Result<Self, Error>;
}

/// Lines of the form `type: value => its bytes;`.
macro_rules! written {
    ($($({$($generic:tt)+})? $t:ty: $value:ident => $bytes:expr;)*) => {$(
        impl $(<$($generic)+>)? AsOctetStrings for $t {
            type Number = OneString;

            fn write_strings(&self, list: &mut ListWriter<'_>) {
                let $value = self;
                list.push($bytes);
            }
        }
    )*};
}

written! {
    [u8]: bytes => bytes;
    {const N: usize} [u8; N]: bytes => bytes;
    Vec<u8>: bytes => bytes;
    Bytes: bytes => bytes;
    BytesRef<'_>: bytes => bytes.0;
    str: text => text.as_bytes();
    String: text => text.as_bytes();
    Path: path => path.as_os_str().as_bytes();
    PathBuf: path => path.as_os_str().as_bytes();
    OsStr: string => string.as_bytes();
    OsString: string => string.as_bytes();
}

/// Lines of the form `type: string => value;`.
macro_rules! read {
    ($($({$($generic:tt)+})? $t:ty: $string:ident => $value:expr;)*) => {$(
        impl $(<$($generic)+>)? FromOctetStrings for $t {
            type Number = OneString;

            fn read_strings(list: &mut ListReader<'_>) -> Result<Self, Error> {
                let $string = list.take_string()?;
                $value
            }
        }
    )*};
}

read! {
    Vec<u8>: string => Ok(string.to_vec());
    Box<[u8]>: string => Ok(string.to_vec().into());
    {const N: usize} [u8; N]: string => array(string);
    Bytes: string => Ok(Self(string.to_vec()));
    String: string => text(string.to_vec());
    Box<str>: string => text(string.to_vec()).map(Self::from);
    OsString: string => Ok(Self::from_vec(string.to_vec()));
    PathBuf: string => Ok(OsString::from_vec(string.to_vec()).into());
    Box<Path>: string => Ok(PathBuf::from(OsString::from_vec(string.to_vec())).into());
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

impl<A: AsOctetStrings + ?Sized> AsOctetStrings for &A {
    type Number = A::Number;

    fn write_strings(&self, list: &mut ListWriter<'_>) {
        A::write_strings(self, list);
    }
}

impl<A: AsOctetStrings + ?Sized> AsOctetStrings for Box<A> {
    type Number = A::Number;

    fn write_strings(&self, list: &mut ListWriter<'_>) {
        A::write_strings(self, list);
    }
}

impl<A: AsOctetStrings + ToOwned + ?Sized> AsOctetStrings for Cow<'_, A> {
    type Number = A::Number;

    fn write_strings(&self, list: &mut ListWriter<'_>) {
        A::write_strings(self, list);
    }
}

impl<A: ToOwned<Owned: FromOctetStrings> + ?Sized> FromOctetStrings for Cow<'_, A> {
    type Number = <A::Owned as FromOctetStrings>::Number;

    fn read_strings(list: &mut ListReader<'_>) -> Result<Self, Error> {
        A::Owned::read_strings(list).map(Self::Owned)
    }
}

impl<T: AsFd> AsOctetStrings for Descriptor<T> {
    type Number = OneString;

    fn write_strings(&self, list: &mut ListWriter<'_>) {
        list.push_descriptor(self.as_fd());
    }
}

impl AsOctetStrings for DescriptorRef<'_> {
    type Number = OneString;

    fn write_strings(&self, list: &mut ListWriter<'_>) {
        list.push_descriptor(self.0);
    }
}

impl<T: From<OwnedFd>> FromOctetStrings for Descriptor<T> {
    type Number = OneString;

    fn read_strings(list: &mut ListReader<'_>) -> Result<Self, Error> {
        let string = list.take_string()?;
        Ok(Self::new(list.descriptor(string)?.into()))
    }
}

/// What the first byte of a [`DescriptorOrBytes`] says of the others.
const INDEX: u8 = 0;
const CONTENT: u8 = 1;

impl AsOctetStrings for DescriptorOrBytes<'_> {
    type Number = OneString;

    fn write_strings(&self, list: &mut ListWriter<'_>) {
        if !list.carries_descriptors() {
            list.push_parts([&[CONTENT], &(self.bytes)()]);
        } else if let Some(index) = list.let_travel(self.descriptor) {
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

impl<A: AsOctetStrings<Number = OneString>> AsOctetStrings for [A] {
    type Number = ManyStrings;

    fn write_strings(&self, list: &mut ListWriter<'_>) {
        self.iter().for_each(|string| string.write_strings(list));
    }
}

impl<A: AsOctetStrings<Number = OneString>> AsOctetStrings for Vec<A> {
    type Number = ManyStrings;

    fn write_strings(&self, list: &mut ListWriter<'_>) {
        self[..].write_strings(list);
    }
}

impl<A: AsOctetStrings<Number = OneString>, const N: usize> AsOctetStrings for [A; N] {
    type Number = ManyStrings;

    fn write_strings(&self, list: &mut ListWriter<'_>) {
        self[..].write_strings(list);
    }
}

impl<A: FromOctetStrings<Number = OneString>> FromOctetStrings for Vec<A> {
    type Number = ManyStrings;

    fn read_strings(list: &mut ListReader<'_>) -> Result<Self, Error> {
        let mut all = Self::new();
        while !list.rest.is_empty() {
            all.push(list.take_as(1)?);
        }
        Ok(all)
    }
}

impl<A: FromOctetStrings<Number = OneString>, const N: usize> FromOctetStrings for [A; N] {
    type Number = ManyStrings;

    fn read_strings(list: &mut ListReader<'_>) -> Result<Self, Error> {
        let strings = (0..N)
            .map(|_| list.take_as(N))
            .collect::<Result<Vec<A>, _>>()?;
        let error = |_| wrong("an array has more strings than an array has");
        strings.try_into().map_err(error)
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
