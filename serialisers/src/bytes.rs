use std::borrow::Borrow;
use std::fmt;
use std::ops::{Deref, DerefMut};

/// A byte string.
///
/// serde encodes a `Vec<u8>` as a list of numbers, which takes about twice the bytes and many times
/// the time. `Bytes` is encoded as a byte string; in JSON, which has none, as a string whose
/// characters U+0000 to U+00FF are the bytes.
///
/// A worker that takes `Bytes` is called with `&[u8]`, `Vec<u8>`, `&str` and so on.
///
/// ```
/// use offspring_serialisers::Bytes;
///
/// let bytes = Bytes::from(vec![1, 2, 3]);
/// assert_eq!(bytes.len(), 3);
/// assert_eq!(&bytes[1..], [2, 3]);
/// assert_eq!(bytes.into_vec(), [1, 2, 3]);
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[doc(alias = "octets")]
#[doc(alias = "ByteBuf")]
pub struct Bytes(pub(crate) Vec<u8>);

impl Bytes {
    /// Converts to a vector without a copy.
    ///
    /// ```
    /// # use offspring_serialisers::Bytes;
    /// assert_eq!(Bytes::from(vec![1]).into_vec(), [1]);
    /// ```
    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }
}

/// Borrowed bytes that are sent as [`Bytes`].
///
/// ```
/// use offspring_serialisers::{BytesRef, SendAs, Bytes};
///
/// let form: BytesRef<'_> = SendAs::<Bytes>::into_form(&[1u8, 2][..]);
/// assert_eq!(*form, [1, 2]);
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[doc(alias = "OctetsRef")]
pub struct BytesRef<'a>(pub(crate) &'a [u8]);

impl Deref for Bytes {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Bytes {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl Deref for BytesRef<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for Bytes {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for BytesRef<'_> {
    fn as_ref(&self) -> &[u8] {
        self.0
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl<const N: usize> From<&[u8; N]> for Bytes {
    fn from(bytes: &[u8; N]) -> Self {
        Self(bytes.to_vec())
    }
}

impl From<String> for Bytes {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl From<Bytes> for Vec<u8> {
    fn from(bytes: Bytes) -> Self {
        bytes.0
    }
}

impl<'a> From<&'a [u8]> for BytesRef<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        BytesRef(&self.0).fmt(f)
    }
}

/// As a byte string literal.
impl fmt::Debug for BytesRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}
