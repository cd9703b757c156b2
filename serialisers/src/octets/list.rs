use super::{AsElement, FromElement, ListReader, ListWriter};
use crate::error::Error;

/// A list of octet strings, to be written. A string by itself is a list of one.
///
/// ```
/// use offspring_serialisers::{AsOctetStrings, ListWriter};
///
/// struct Command(Vec<String>);
///
/// impl AsOctetStrings for Command {
///     fn write_strings(&self, list: &mut ListWriter<'_>) {
///         self.0.write_strings(list);
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no list of octet strings, which is all that the format `Octets` knows",
    label = "not a list of octet strings",
    note = "use tuples, `Vec`s or arrays of `Vec<u8>`, `Bytes`, `String`, `PathBuf`, or a format over serde: `Cbor`, `Json`, `MessagePack`, `Postcard`"
)]
pub trait AsOctetStrings {
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

    /// The same, and nobody will look at them any more. See [`ListWriter::push_vec`].
    fn move_strings(&mut self, list: &mut ListWriter<'_>) {
        self.write_strings(list);
    }
}

/// A list of octet strings, to be read. A string by itself is a list of one.
///
/// ```
/// use offspring_serialisers::{Error, FromOctetStrings, ListReader};
///
/// struct Pair(String, String);
///
/// impl FromOctetStrings for Pair {
///     fn read_strings(list: &mut ListReader<'_>) -> Result<Self, Error> {
///         Ok(Self(list.take_as(2)?, list.take_as(2)?))
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no list of octet strings, which is all that the format `Octets` knows",
    label = "not a list of octet strings",
    note = "use tuples, `Vec`s or arrays of `Vec<u8>`, `Bytes`, `String`, `PathBuf`, or a format over serde: `Cbor`, `Json`, `MessagePack`, `Postcard`"
)]
pub trait FromOctetStrings: Sized {
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

impl<A: AsElement + ?Sized> AsOctetStrings for A {
    fn write_strings(&self, list: &mut ListWriter<'_>) {
        self.write_element(list);
    }

    fn move_strings(&mut self, list: &mut ListWriter<'_>) {
        self.move_element(list);
    }
}

impl<A: FromElement> FromOctetStrings for A {
    fn read_strings(list: &mut ListReader<'_>) -> Result<Self, Error> {
        list.take_as(1)
    }
}

impl<A: AsElement> AsOctetStrings for [A] {
    fn write_strings(&self, list: &mut ListWriter<'_>) {
        for string in self {
            string.write_element(list);
        }
    }
}

macro_rules! lists {
    ($($({$length:ident})? $list:ty;)*) => {$(
        impl<A: AsElement $(, const $length: usize)?> AsOctetStrings for $list {
            fn write_strings(&self, list: &mut ListWriter<'_>) {
                self[..].write_strings(list);
            }
        }
    )*};
}

lists! {
    &[A];
    Vec<A>;
    &Vec<A>;
    {N} [A; N];
    {N} &[A; N];
}

impl<A: FromElement> FromOctetStrings for Vec<A> {
    fn read_strings(list: &mut ListReader<'_>) -> Result<Self, Error> {
        let mut all = Self::new();
        while let Some(string) = list.next() {
            all.push(A::from_element(string?, list)?);
        }
        Ok(all)
    }
}

impl<A: FromElement, const N: usize> FromOctetStrings for [A; N] {
    fn read_strings(list: &mut ListReader<'_>) -> Result<Self, Error> {
        let strings = (0..N)
            .map(|_| list.take_as(N))
            .collect::<Result<Vec<A>, _>>()?;
        let wrong = |_| Error::new("octets: an array has more strings than an array has");
        strings.try_into().map_err(wrong)
    }
}

impl AsOctetStrings for () {
    fn write_strings(&self, _: &mut ListWriter<'_>) {}
}

impl AsOctetStrings for &() {
    fn write_strings(&self, _: &mut ListWriter<'_>) {}
}

impl FromOctetStrings for () {
    fn read_strings(_: &mut ListReader<'_>) -> Result<Self, Error> {
        Ok(())
    }
}

macro_rules! tuples {
    ($(($($string:ident)*) $length:literal;)*) => {$(
        #[expect(non_snake_case, reason = "the variables are named as their types")]
        impl<$($string: AsElement),*> AsOctetStrings for ($($string,)*) {
            fn write_strings(&self, list: &mut ListWriter<'_>) {
                let ($($string,)*) = self;
                $($string.write_element(list);)*
            }

            fn move_strings(&mut self, list: &mut ListWriter<'_>) {
                let ($($string,)*) = self;
                $($string.move_element(list);)*
            }
        }

        impl<$($string: AsElement),*> AsOctetStrings for &($($string,)*) {
            fn write_strings(&self, list: &mut ListWriter<'_>) {
                (**self).write_strings(list);
            }
        }

        impl<$($string: FromElement),*> FromOctetStrings for ($($string,)*) {
            fn read_strings(list: &mut ListReader<'_>) -> Result<Self, Error> {
                Ok(($(list.take_as::<$string>($length)?,)*))
            }
        }
    )*};
}

tuples! {
    (A) 1;
    (A B) 2;
    (A B C) 3;
    (A B C D) 4;
    (A B C D E) 5;
    (A B C D E F) 6;
    (A B C D E F G) 7;
    (A B C D E F G H) 8;
}
