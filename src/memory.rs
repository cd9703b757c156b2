//! Shared memory: [`SharedBytes`], which are immutable, and [`SharedMemory`], which both sides may write.
//!
//! System calls are in `sys/memory/`; here are the handles, and `mappings`, by which a mapping that
//! exists is found again.

use offspring_serialisers::{
    Arrived, AsOctetStrings, DescriptorOrBytes, Error, FromOctetStrings, ListReader, ListWriter,
    OneString,
};
use std::borrow::Cow;
use std::io;

mod mappings;
mod shared_bytes;
mod shared_memory;

pub use crate::sys::SharedMemory;
pub use shared_bytes::SharedBytes;

/// A value that is backed by a memory file.
pub(crate) trait MemoryFile: Sized {
    /// Calls `send` with the form to encode: the file where the link carries descriptors, else the bytes.
    fn with_form<T>(&self, send: impl FnOnce(DescriptorOrBytes<'_>) -> T) -> T;

    /// Checks and maps what arrived.
    fn arrived(arrived: Arrived) -> io::Result<Self>;
}

impl MemoryFile for SharedBytes {
    fn with_form<T>(&self, send: impl FnOnce(DescriptorOrBytes<'_>) -> T) -> T {
        send(DescriptorOrBytes {
            descriptor: self.0.file(),
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

impl MemoryFile for SharedMemory {
    /// Other processes may write to it at any time, so a format gets a copy of the bytes.
    fn with_form<T>(&self, send: impl FnOnce(DescriptorOrBytes<'_>) -> T) -> T {
        send(DescriptorOrBytes {
            descriptor: self.0.file(),
            bytes: &|| Cow::Owned(self.to_vec()),
        })
    }

    fn arrived(arrived: Arrived) -> io::Result<Self> {
        match arrived {
            Arrived::Descriptor(file) => mappings::received(file).map(Self),
            Arrived::Bytes(bytes) => Self::copy_from_slice(&bytes),
        }
    }
}

/// In the format `Octets` it is one byte string.
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
