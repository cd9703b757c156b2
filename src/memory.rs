//! Large data: [`SharedBytes`], which do not change, and [`SharedMemory`], which lasts.
//!
//! What only the system can do is in `sys/memory.rs`; here are the handles, and `registry`, by which a mapping that is
//! there already is found again.

use offspring_serialisers::{
    Arrived, AsOctetStrings, DescriptorOrBytes, Error, FromOctetStrings, ListReader, ListWriter,
    OneString,
};
use std::borrow::Cow;
use std::io;

mod lasting;
mod registry;
mod sealed;

pub use crate::sys::SharedMemory;
pub use sealed::SharedBytes;

/// Something that lies in a memory file.
pub(crate) trait InMemory: Sized {
    /// Hands this on in the form in which it is sent: the file where it can go, else the bytes.
    fn with_form<T>(&self, send: impl FnOnce(DescriptorOrBytes<'_>) -> T) -> T;

    /// What has come, checked and mapped.
    fn arrived(arrived: Arrived) -> io::Result<Self>;
}

impl InMemory for SharedBytes {
    fn with_form<T>(&self, send: impl FnOnce(DescriptorOrBytes<'_>) -> T) -> T {
        send(DescriptorOrBytes {
            descriptor: self.file(),
            bytes: &|| Cow::Borrowed(self),
        })
    }

    fn arrived(arrived: Arrived) -> io::Result<Self> {
        match arrived {
            Arrived::Descriptor(file) => Self::open(file),
            Arrived::Bytes(bytes) => Self::copy_from_slice(&bytes),
        }
    }
}

impl InMemory for SharedMemory {
    /// Others may write to it meanwhile, so its bytes are copied before a format sees them.
    fn with_form<T>(&self, send: impl FnOnce(DescriptorOrBytes<'_>) -> T) -> T {
        send(DescriptorOrBytes {
            descriptor: self.file(),
            bytes: &|| Cow::Owned(self.to_vec()),
        })
    }

    fn arrived(arrived: Arrived) -> io::Result<Self> {
        match arrived {
            Arrived::Descriptor(file) => registry::arrived(file).map(Self),
            Arrived::Bytes(bytes) => Self::copy_from_slice(&bytes),
        }
    }
}

/// One element of a list of byte strings.
macro_rules! element {
    ($($memory:ty)*) => {$(
        impl AsOctetStrings for $memory {
            type Number = OneString;

            fn write_strings(&self, list: &mut ListWriter<'_>) {
                self.with_form(|form| form.write_strings(list));
            }
        }

        impl FromOctetStrings for $memory {
            type Number = OneString;

            fn read_strings(list: &mut ListReader<'_>) -> Result<Self, Error> {
                let arrived = Arrived::read_strings(list)?;
                Self::arrived(arrived).map_err(|error| Error::new(format!("octets: {error}")))
            }
        }
    )*};
}

element! { SharedBytes SharedMemory }
