//! The type of the crate `bytes` beside ours.

use crate::{Bytes, BytesRef, SendAs};

/// Nothing is copied, unless others share the bytes.
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
