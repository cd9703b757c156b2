//! Lists of byte strings. The format has no dependency, and is easy to write in any language.
//!
//! Each string is its length as a BER compressed integer (base 128, most significant group
//! first, the high bit set on all bytes but the last), then its bytes. A list is their
//! concatenation.

use crate::descriptors::{Collected, Received};
use crate::error::Error;
use crate::serialiser::{Format, Input, Output, Serialiser, method};
use std::borrow::Cow;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

mod numbers;
mod strings;

pub use strings::{AsOctetStrings, FromOctetStrings, ManyStrings, One, OneByte, OneString};

/// The default format: byte strings, and lists of them.
///
/// | a byte string is | its bytes |
/// |---|---|
/// | `Vec<u8>`, `[u8; N]`, [`Bytes`](crate::Bytes) | as they are |
/// | `String`, `PathBuf`, `OsString`, `char` | the text |
/// | integers, `f32`, `f64` | the text: `-7`, `0.1`, `1e300`, `inf`, `NaN` |
/// | `bool` | `1` or `0`; the empty string, `true` and `false` are read, too |
/// | [`Descriptor`](crate::Descriptor) | its index in the table beside the bytes: 4 bytes, most significant first |
///
/// Borrowed forms are encoded the same. A list is `()`, a tuple, a `Vec`, a slice or an array of these. Its length is not
/// encoded, and a single byte string is a list of one. A `Vec<u8>` is a byte string, not a list of numbers. A
/// `Result<T, WorkerError>` is a list, too: `ok` and the strings of the value, or `error`, the message and the causes.
/// Implement [`AsOctetStrings`] and [`FromOctetStrings`] for your own types.
///
/// Numbers are written and read as Perl prints and reads them. A text that is no number of the expected type is an error
/// that quotes it.
///
/// ```
/// use offspring_serialisers::{Input, Octets, Output, Serialiser};
///
/// let mut bytes = Vec::new();
/// let mut output = Output::new(&mut bytes);
/// <Octets as Serialiser<(String, i32)>>::encode(&("rm".into(), -7), &mut output)?;
/// assert_eq!(bytes, b"\x02rm\x02-7");
///
/// let list: Vec<String> = <Octets as Serialiser<_>>::decode(&mut Input::new(&bytes))?;
/// assert_eq!(list, ["rm", "-7"]);
/// let error = <Octets as Serialiser<Vec<u32>>>::decode(&mut Input::new(b"\x02rm")).unwrap_err();
/// assert_eq!(error.to_string(), "octets: \"rm\" is no u32: invalid digit found in string");
/// # Ok::<(), offspring_serialisers::Error>(())
/// ```
///
/// Other types do not compile:
///
/// ```compile_fail,E0277
/// use offspring_serialisers::{Octets, Output, Serialiser};
///
/// let mut bytes = Vec::new();
/// <Octets as Serialiser<Option<u32>>>::encode(&Some(7), &mut Output::new(&mut bytes));
/// ```
///
/// Nor does a list of lists, which would be decoded as one list:
///
/// ```compile_fail,E0277
/// use offspring_serialisers::{Octets, Output, Serialiser};
///
/// let mut bytes = Vec::new();
/// <Octets as Serialiser<Vec<Vec<String>>>>::encode(&vec![], &mut Output::new(&mut bytes));
/// ```
#[doc(alias = "STRING_SERIALISER")]
#[doc(alias = "bytes")]
#[derive(Clone, Copy, Debug, Default)]
pub struct Octets;

impl Format for Octets {
    const NAME: &'static str = "octets";

    fn method(arguments: &[u8]) -> Result<Cow<'_, str>, Error> {
        let first = ListReader::new(arguments).next().and_then(Result::ok);
        method(Self::NAME, first.and_then(|name| str::from_utf8(name).ok()))
    }
}

/// The types that [`Octets`] carries: the only trait that a compile error names, for both directions.
#[diagnostic::on_unimplemented(
    message = "the format `Octets` cannot carry `{T}`, only bytes, text, paths, numbers, `bool`, `char`, `Descriptor`, one list or tuple of them, and `Result<T, WorkerError>`",
    note = "for all types of serde: `serialiser = offspring::Cbor` in the declaration, and `features = [\"cbor\"]` for `offspring` in Cargo.toml; a file is sent as an `offspring::Descriptor<File>`, an error as an `offspring::WorkerError`; in `worker!` a list of these may be the array of arguments: `fn(..Vec<T>)`"
)]
pub trait Carries<T, Sent: ?Sized> {
    #[doc(hidden)]
    fn write(value: &Sent, list: &mut ListWriter<'_>);
    #[doc(hidden)]
    fn read(list: &mut ListReader<'_>) -> Result<T, Error>;
}

#[diagnostic::do_not_recommend]
impl<T: FromOctetStrings, Sent: AsOctetStrings + ?Sized> Carries<T, Sent> for Octets {
    fn write(value: &Sent, list: &mut ListWriter<'_>) {
        value.write_strings(list);
    }

    fn read(list: &mut ListReader<'_>) -> Result<T, Error> {
        T::read_strings(list)
    }
}

impl<T, Sent: ?Sized> Serialiser<T, Sent> for Octets
where
    Self: Carries<T, Sent>,
{
    fn encode(value: &Sent, output: &mut Output<'_>) -> Result<(), Error> {
        write(output, |list| Self::write(value, list))
    }

    fn decode(input: &mut Input<'_>) -> Result<T, Error> {
        let descriptors = input.take_descriptors();
        let mut list = ListReader {
            descriptors: Some(&descriptors),
            ..ListReader::new(input.bytes())
        };
        let value = Self::read(&mut list)?;
        list.finish()?;
        Ok(value)
    }
}

fn write(output: &mut Output<'_>, write: impl FnOnce(&mut ListWriter<'_>)) -> Result<(), Error> {
    let (bytes, descriptors) = output.split();
    let mut list = ListWriter {
        bytes,
        descriptors: descriptors.collect(),
        error: None,
    };
    write(&mut list);
    if let Some(error) = list.error {
        return Err(error);
    }
    descriptors.accept(list.descriptors);
    Ok(())
}

/// Appends byte strings to a list.
///
/// ```
/// use offspring_serialisers::{AsOctetStrings, ListWriter, ManyStrings};
///
/// struct Pair(String, u32);
///
/// impl AsOctetStrings for Pair {
///     type Number = ManyStrings;
///     fn write_strings(&self, list: &mut ListWriter<'_>) {
///         list.push(self.0.as_bytes());
///         list.push(self.1.to_string().as_bytes());
///     }
/// }
/// ```
#[derive(Debug)]
pub struct ListWriter<'a> {
    bytes: &'a mut Vec<u8>,
    descriptors: Collected,
    /// The first error.
    error: Option<Error>,
}

impl ListWriter<'_> {
    /// Appends a string.
    ///
    /// ```
    /// # use offspring_serialisers::{AsOctetStrings, ListWriter, OneString};
    /// # struct One;
    /// # impl AsOctetStrings for One {
    /// # type Number = OneString;
    /// fn write_strings(&self, list: &mut ListWriter<'_>) {
    ///     list.push(b"1");
    /// }
    /// # }
    /// ```
    pub fn push(&mut self, string: &[u8]) {
        self.push_parts([string]);
    }

    /// Appends a string that is in several parts.
    fn push_parts<const N: usize>(&mut self, parts: [&[u8]; N]) {
        let length = parts.iter().map(|part| part.len()).sum();
        self.bytes.reserve(length + 2);
        push_length(length, self.bytes);
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
    }

    /// Appends a string of less than 128 bytes.
    fn push_short(&mut self, write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) {
        let at = self.bytes.len();
        self.bytes.push(0);
        write(self.bytes).expect("a vector takes whatever is written");
        let length = self.bytes.len() - at - 1;
        debug_assert!(length < 0x80, "{length}");
        self.bytes[at] = length as u8;
    }

    /// Returns whether the link carries descriptors.
    ///
    /// ```
    /// # use offspring_serialisers::ListWriter;
    /// # use std::os::fd::BorrowedFd;
    /// fn write(log: BorrowedFd<'_>, text: &str, list: &mut ListWriter<'_>) {
    ///     if list.carries_descriptors() {
    ///         list.push_descriptor(log);
    ///     } else {
    ///         list.push(text.as_bytes());
    ///     }
    /// }
    /// ```
    pub fn carries_descriptors(&self) -> bool {
        self.descriptors.are_carried()
    }

    /// Appends a duplicate of a descriptor. To be read as a [`Descriptor`](crate::Descriptor).
    ///
    /// If that fails, encoding the whole value is an error: the link carries no descriptors, or this
    /// process has too many open to duplicate one.
    ///
    /// ```
    /// # use offspring_serialisers::{AsOctetStrings, ListWriter, ManyStrings};
    /// use std::{fs::File, os::fd::AsFd};
    ///
    /// struct Log(String, File);
    ///
    /// impl AsOctetStrings for Log {
    ///     type Number = ManyStrings;
    ///     fn write_strings(&self, list: &mut ListWriter<'_>) {
    ///         list.push(self.0.as_bytes());
    ///         list.push_descriptor(self.1.as_fd());
    ///     }
    /// }
    /// ```
    pub fn push_descriptor(&mut self, descriptor: BorrowedFd<'_>) {
        if let Some(index) = self.send_duplicate(descriptor) {
            self.push(&index.to_be_bytes());
        }
    }

    /// Adds a duplicate to the table, and returns its index. `None` after an error.
    fn send_duplicate(&mut self, descriptor: BorrowedFd<'_>) -> Option<u32> {
        if self.error.is_some() {
            return None;
        }
        let added = self.descriptors.add(|| descriptor.try_clone_to_owned());
        added.map_err(|error| self.error = Some(wrong(error))).ok()
    }
}

fn push_length(length: usize, bytes: &mut Vec<u8>) {
    let groups = (usize::BITS - length.leading_zeros()).div_ceil(7).max(1);
    for group in (1..groups).rev() {
        bytes.push(0x80 | (length >> (7 * group)) as u8);
    }
    bytes.push(length as u8 & 0x7f);
}

/// Reads the byte strings of a list, in place: nothing is copied.
///
/// A length may begin with redundant bytes `0x80`, which Perl's `unpack "w"` accepts, too. A
/// [`ListWriter`] never writes them.
///
/// ```
/// use offspring_serialisers::ListReader;
///
/// let list = ListReader::new(b"\x02rm\x01/");
/// let strings = list.collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(strings, [&b"rm"[..], b"/"]);
/// # Ok::<(), offspring_serialisers::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ListReader<'a> {
    rest: &'a [u8],
    seen: usize,
    /// Number of strings expected, for the error if there are too few.
    wanted: usize,
    descriptors: Option<&'a Received>,
}

impl<'a> ListReader<'a> {
    /// Creates a reader of the encoded list `bytes`, without descriptors.
    ///
    /// ```
    /// # use offspring_serialisers::ListReader;
    /// assert!(ListReader::new(&[]).next().is_none());
    /// ```
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            seen: 0,
            wanted: 1,
            descriptors: None,
        }
    }

    /// Reads the next string as a `T`. `wanted` is the number of strings expected in all, for the error.
    ///
    /// ```
    /// # use offspring_serialisers::ListReader;
    /// let mut list = ListReader::new(b"\x02rm");
    /// assert_eq!(list.take_as::<String>(2)?, "rm");
    /// let error = list.take_as::<String>(2).unwrap_err();
    /// assert_eq!(error.to_string(), "octets: wanted 2 strings, got 1");
    /// # Ok::<(), offspring_serialisers::Error>(())
    /// ```
    ///
    /// # Errors
    /// There is no string left, it is cut off, or it is not a `T`.
    pub fn take_as<T>(&mut self, wanted: usize) -> Result<T, Error>
    where
        T: FromOctetStrings<Number: One>,
    {
        self.wanted = wanted;
        T::read_strings(self)
    }

    /// Reads the next string.
    ///
    /// ```
    /// # use offspring_serialisers::ListReader;
    /// let mut list = ListReader::new(b"\x02rm");
    /// assert_eq!(list.take_string()?, b"rm");
    /// assert!(list.take_string().is_err());
    /// # Ok::<(), offspring_serialisers::Error>(())
    /// ```
    ///
    /// # Errors
    /// There is no string left, or it is cut off.
    pub fn take_string(&mut self) -> Result<&'a [u8], Error> {
        let string = self.try_take();
        string.unwrap_or_else(|| Err(wrong_number(self.wanted, self.seen)))
    }

    /// Takes the descriptor whose index is this string.
    ///
    /// ```
    /// # use offspring_serialisers::ListReader;
    /// let mut list = ListReader::new(b"\x04\0\0\0\0");
    /// let string = list.next().expect("a string")?;
    /// let error = list.descriptor(string).unwrap_err();
    /// assert!(error.to_string().contains("0 came along"));
    /// # Ok::<(), offspring_serialisers::Error>(())
    /// ```
    ///
    /// # Errors
    /// The string is no index, or its descriptor did not arrive or was taken already.
    pub fn descriptor(&mut self, string: &[u8]) -> Result<OwnedFd, Error> {
        let got = string.len();
        let error = |_| {
            let wanted = "wanted a descriptor, a string of 4 bytes";
            wrong(format_args!("{wanted}, got {got}"))
        };
        let index = string.try_into().map_err(error)?;
        let none = Received::default();
        let descriptors = self.descriptors.unwrap_or(&none);
        descriptors.take(u32::from_be_bytes(index)).map_err(wrong)
    }

    /// Checks that no string is left. The error says how many there are.
    fn finish(mut self) -> Result<(), Error> {
        let wanted = self.seen;
        for string in &mut self {
            string?;
        }
        match self.seen == wanted {
            true => Ok(()),
            false => Err(wrong_number(wanted, self.seen)),
        }
    }

    fn try_take(&mut self) -> Option<Result<&'a [u8], Error>> {
        if self.rest.is_empty() {
            return None;
        }
        let string = self.string();
        if string.is_err() {
            self.rest = &[];
        }
        self.seen += 1;
        Some(string)
    }

    fn string(&mut self) -> Result<&'a [u8], Error> {
        let length = self.length()?;
        let Some((string, rest)) = self.rest.split_at_checked(length) else {
            let left = self.rest.len();
            return Err(cut_off(format_args!(
                "{length} bytes announced, {left} there"
            )));
        };
        self.rest = rest;
        Ok(string)
    }

    fn length(&mut self) -> Result<usize, Error> {
        if let [short @ 0..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(usize::from(*short));
        }
        let mut length = 0usize;
        while let Some((&byte, rest)) = self.rest.split_first() {
            self.rest = rest;
            length = length
                .checked_mul(128)
                .ok_or_else(|| cut_off(format_args!("its length is beyond any memory")))?
                | usize::from(byte & 0x7f);
            if byte < 0x80 {
                return Ok(length);
            }
        }
        Err(cut_off(format_args!("its length has no end")))
    }
}

impl<'a> Iterator for ListReader<'a> {
    type Item = Result<&'a [u8], Error>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.try_take()
    }
}

fn wrong(why: impl std::fmt::Display) -> Error {
    Error::new(format!("octets: {why}"))
}

fn wrong_number(wanted: usize, got: usize) -> Error {
    let plural = if wanted == 1 { "" } else { "s" };
    Error::new(format!("octets: wanted {wanted} string{plural}, got {got}"))
}

fn cut_off(why: std::fmt::Arguments<'_>) -> Error {
    Error::new(format!("octets: a string is cut off: {why}"))
}

#[cfg(test)]
mod tests {
    use super::{ListReader, push_length};

    #[test]
    fn lengths_at_the_edges_of_their_groups() {
        for length in [
            0,
            1,
            127,
            128,
            16_383,
            16_384,
            2_097_151,
            2_097_152,
            u32::MAX as usize,
        ] {
            let mut bytes = Vec::new();
            push_length(length, &mut bytes);
            assert!(bytes[0] != 0x80, "{length}: overlong");
            assert_eq!(ListReader::new(&bytes).length().unwrap(), length);
        }
    }

    #[test]
    fn superfluous_groups_are_read() {
        let mut list = ListReader::new(&[0x80, 0x80, 0x01, b'a']);
        assert_eq!(list.next().unwrap().unwrap(), b"a");
        assert!(list.next().is_none());
    }

    #[test]
    fn lengths_beyond_reason_are_errors() {
        for bytes in [
            &[0xff; 9][..],
            &[0xff; 40],
            &[0x80],
            &[0xff, 0x80],
            &[0x02, b'a'],
        ] {
            assert!(
                ListReader::new(bytes).next().unwrap().is_err(),
                "{bytes:x?}"
            );
        }
        let mut most = vec![0xff; 20];
        most.push(0x7f);
        let error = ListReader::new(&most).next().unwrap().unwrap_err();
        assert!(error.to_string().contains("beyond any memory"), "{error}");
    }

    #[test]
    fn an_error_ends_the_list() {
        let mut list = ListReader::new(&[0x05, b'a']);
        assert!(list.next().unwrap().is_err());
        assert!(list.next().is_none());
    }
}
