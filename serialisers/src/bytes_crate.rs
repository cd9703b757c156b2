//! Conversions of [`Bytes`] from and to the type of the crate `bytes`.

use crate::{Bytes, BytesRef, SendAs};

/// The bytes are copied only if they are shared.
impl From<bytes::Bytes> for Bytes {
    fn from(bytes: bytes::Bytes) -> Self {
        Vec::from(bytes).into()
    }
}

/// Nothing is copied.
impl From<Bytes> for bytes::Bytes {
    fn from(bytes: Bytes) -> Self {
        bytes.into_vec().into()
    }
}

impl SendAs<Bytes> for bytes::Bytes {
    type Form = Bytes;

    fn into_form(self) -> Bytes {
        self.into()
    }
}

impl<'a> SendAs<Bytes> for &'a bytes::Bytes {
    type Form = BytesRef<'a>;

    fn into_form(self) -> BytesRef<'a> {
        BytesRef::from(&self[..])
    }
}
