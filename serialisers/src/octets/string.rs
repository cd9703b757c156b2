use crate::{Bytes, BytesRef, Error};
use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
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
}

macro_rules! as_octets {
    ($($t:ty: $this:ident => $octets:expr;)*) => {$(
        impl AsOctets for $t {
            fn as_octets(&self) -> &[u8] {
                let $this = self;
                $octets
            }
        }
    )*};
}

as_octets! {
    [u8]: octets => octets;
    Vec<u8>: octets => octets;
    Bytes: bytes => bytes;
    BytesRef<'_>: bytes => bytes.0;
    str: text => text.as_bytes();
    String: text => text.as_bytes();
    Path: path => path.as_os_str().as_bytes();
    PathBuf: path => path.as_os_str().as_bytes();
    OsStr: string => OsStrExt::as_bytes(string);
    OsString: string => string.as_bytes();
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
}

impl<A: AsOctets + ToOwned + ?Sized> AsOctets for Cow<'_, A> {
    fn as_octets(&self) -> &[u8] {
        A::as_octets(self)
    }
}

macro_rules! from_octets {
    ($($t:ty: $octets:ident => $value:expr;)*) => {$(
        impl FromOctets for $t {
            fn from_octets($octets: &[u8]) -> Result<Self, Error> {
                $value
            }
        }
    )*};
}

from_octets! {
    Vec<u8>: octets => Ok(octets.to_vec());
    Box<[u8]>: octets => Ok(octets.into());
    Bytes: octets => Ok(octets.into());
    String: octets => text(octets).map(Self::from);
    Box<str>: octets => text(octets).map(Self::from);
    OsString: octets => Ok(Self::from_vec(octets.to_vec()));
    PathBuf: octets => Ok(OsString::from_vec(octets.to_vec()).into());
    Box<Path>: octets => PathBuf::from_octets(octets).map(Self::from);
}

impl<A: ToOwned<Owned: FromOctets> + ?Sized> FromOctets for Cow<'_, A> {
    fn from_octets(octets: &[u8]) -> Result<Self, Error> {
        A::Owned::from_octets(octets).map(Self::Owned)
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
    str::from_utf8(octets)
        .map_err(|error| Error::new(format!("octets: a string is not UTF-8: {error}")))
}
