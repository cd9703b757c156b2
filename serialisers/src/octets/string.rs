use crate::bytes::{Bytes, BytesRef};
use crate::error::Error;
use crate::long::LongOctets;
use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::mem;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Something that can be written as one octet string.
///
/// ```
/// use offspring_serialisers::AsOctets;
///
/// struct Name(String);
///
/// impl AsOctets for Name {
///     fn as_octets(&self) -> &[u8] {
///         self.0.as_bytes()
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an octet string, which is all that the format `Octets` knows",
    label = "not an octet string",
    note = "use `Vec<u8>`, `Bytes`, `String`, `PathBuf`, or a format over serde: `Cbor`, `Json`, `MessagePack`, `Postcard`"
)]
pub trait AsOctets {
    /// The octets.
    ///
    /// ```
    /// # use offspring_serialisers::AsOctets;
    /// assert_eq!("ä".as_octets(), [0xc3, 0xa4]);
    /// ```
    fn as_octets(&self) -> &[u8];

    /// The octets, taken out of a value that nobody will look at any more, if it has them in a
    /// vector: so they need not be copied.
    ///
    /// ```
    /// use offspring_serialisers::AsOctets;
    ///
    /// struct Image(Vec<u8>);
    ///
    /// impl AsOctets for Image {
    ///     fn as_octets(&self) -> &[u8] {
    ///         &self.0
    ///     }
    ///     fn take_octets(&mut self) -> Option<Vec<u8>> {
    ///         Some(std::mem::take(&mut self.0))
    ///     }
    /// }
    /// ```
    fn take_octets(&mut self) -> Option<Vec<u8>> {
        None
    }
}

/// Something that can be read from one octet string.
///
/// ```
/// use offspring_serialisers::{Error, FromOctets};
///
/// struct Name(String);
///
/// impl FromOctets for Name {
///     fn from_octets(octets: &[u8]) -> Result<Self, Error> {
///         String::from_octets(octets).map(Self)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an octet string, which is all that the format `Octets` knows",
    label = "not an octet string",
    note = "use `Vec<u8>`, `Bytes`, `String`, `PathBuf`, or a format over serde: `Cbor`, `Json`, `MessagePack`, `Postcard`"
)]
pub trait FromOctets: Sized {
    /// The value that the octets are.
    ///
    /// ```
    /// # use offspring_serialisers::FromOctets;
    /// assert_eq!(String::from_octets(&[0xc3, 0xa4])?, "ä");
    /// # Ok::<(), offspring_serialisers::Error>(())
    /// ```
    ///
    /// # Errors
    /// The octets are no such value.
    fn from_octets(octets: &[u8]) -> Result<Self, Error>;

    /// The value that the octets of a long string are, whose buffer it may keep.
    ///
    /// ```
    /// use offspring_serialisers::{Error, FromOctets, LongOctets};
    ///
    /// struct Image(Vec<u8>);
    ///
    /// impl FromOctets for Image {
    ///     fn from_octets(octets: &[u8]) -> Result<Self, Error> {
    ///         Ok(Self(octets.to_vec()))
    ///     }
    ///     fn from_long(octets: LongOctets<'_>) -> Result<Self, Error> {
    ///         Ok(Self(octets.into_vec()))
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// The octets are no such value.
    fn from_long(octets: LongOctets<'_>) -> Result<Self, Error> {
        Self::from_octets(octets.octets())
    }
}

macro_rules! as_octets {
    ($($t:ty: $this:ident => $octets:expr $(, $taken:expr)?;)*) => {$(
        impl AsOctets for $t {
            fn as_octets(&self) -> &[u8] {
                let $this = self;
                $octets
            }
            $(
                fn take_octets(&mut self) -> Option<Vec<u8>> {
                    let $this = self;
                    Some($taken)
                }
            )?
        }
    )*};
}

as_octets! {
    [u8]: octets => octets;
    Vec<u8>: octets => octets, mem::take(octets);
    Bytes: bytes => bytes, mem::take(bytes).0;
    BytesRef<'_>: bytes => bytes.0;
    str: text => text.as_bytes();
    String: text => text.as_bytes(), mem::take(text).into_bytes();
    Path: path => path.as_os_str().as_bytes();
    PathBuf: path => path.as_os_str().as_bytes(), mem::take(path).into_os_string().into_vec();
    OsStr: string => OsStrExt::as_bytes(string);
    OsString: string => string.as_bytes(), mem::take(string).into_vec();
}

impl<const N: usize> AsOctets for [u8; N] {
    fn as_octets(&self) -> &[u8] {
        self
    }
}

impl<A: AsOctets + ?Sized> AsOctets for &A {
    fn as_octets(&self) -> &[u8] {
        A::as_octets(self)
    }
}

impl<A: AsOctets + ?Sized> AsOctets for Box<A> {
    fn as_octets(&self) -> &[u8] {
        A::as_octets(self)
    }

    fn take_octets(&mut self) -> Option<Vec<u8>> {
        A::take_octets(self)
    }
}

impl<A: AsOctets + ToOwned + ?Sized> AsOctets for Cow<'_, A> {
    fn as_octets(&self) -> &[u8] {
        A::as_octets(self)
    }
}

macro_rules! from_octets {
    ($($t:ty: $octets:ident => $value:expr, $long:expr;)*) => {$(
        impl FromOctets for $t {
            fn from_octets($octets: &[u8]) -> Result<Self, Error> {
                $value
            }

            fn from_long($octets: LongOctets<'_>) -> Result<Self, Error> {
                let $octets = $octets.into_vec();
                $long
            }
        }
    )*};
}

from_octets! {
    Vec<u8>: octets => Ok(octets.to_vec()), Ok(octets);
    Box<[u8]>: octets => Ok(octets.into()), Ok(octets.into());
    Bytes: octets => Ok(octets.into()), Ok(Self(octets));
    String: octets => text(octets).map(Self::from), long_text(octets);
    Box<str>: octets => text(octets).map(Self::from), long_text(octets).map(Self::from);
    OsString: octets => Ok(Self::from_vec(octets.to_vec())), Ok(Self::from_vec(octets));
    PathBuf: octets => Ok(OsString::from_vec(octets.to_vec()).into()), Ok(OsString::from_vec(octets).into());
    Box<Path>: octets => PathBuf::from_octets(octets).map(Self::from), Ok(PathBuf::from(OsString::from_vec(octets)).into());
}

impl<A: ToOwned<Owned: FromOctets> + ?Sized> FromOctets for Cow<'_, A> {
    fn from_octets(octets: &[u8]) -> Result<Self, Error> {
        A::Owned::from_octets(octets).map(Self::Owned)
    }

    fn from_long(octets: LongOctets<'_>) -> Result<Self, Error> {
        A::Owned::from_long(octets).map(Self::Owned)
    }
}

impl<const N: usize> FromOctets for [u8; N] {
    fn from_octets(octets: &[u8]) -> Result<Self, Error> {
        let got = octets.len();
        octets
            .try_into()
            .map_err(|_| Error::new(format!("octets: wanted a string of {N} octets, got {got}")))
    }
}

fn text(octets: &[u8]) -> Result<&str, Error> {
    str::from_utf8(octets).map_err(not_text)
}

fn long_text(octets: Vec<u8>) -> Result<String, Error> {
    String::from_utf8(octets).map_err(|error| not_text(error.utf8_error()))
}

fn not_text(error: std::str::Utf8Error) -> Error {
    Error::new(format!("octets: a string is not UTF-8: {error}"))
}
