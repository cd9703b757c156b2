use super::{AsOctets, FromOctets, ListReader, ListWriter};
use crate::descriptors::{Arrived, Descriptor, DescriptorOrOctets, DescriptorRef};
use crate::error::Error;
use crate::long::LongOctets;
use std::os::fd::{AsFd, OwnedFd};

/// Something that can be written as one element of a list: an octet string, or something that
/// needs more than its octets, such as a [`Descriptor`].
///
/// ```
/// use offspring_serialisers::{AsElement, ListWriter};
/// use std::{fs::File, os::fd::AsFd};
///
/// struct Log(File);
///
/// impl AsElement for Log {
///     fn write_element(&self, list: &mut ListWriter<'_>) {
///         list.push_descriptor(self.0.as_fd());
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an octet string, which is all that the format `Octets` knows",
    label = "not an octet string",
    note = "use `Vec<u8>`, `Bytes`, `String`, `PathBuf`, `Descriptor`, or a format over serde: `Cbor`, `Json`, `MessagePack`, `Postcard`"
)]
pub trait AsElement {
    /// Writes exactly one string, or one descriptor.
    ///
    /// ```
    /// # use offspring_serialisers::{AsElement, ListWriter};
    /// fn twice(string: impl AsElement, list: &mut ListWriter<'_>) {
    ///     string.write_element(list);
    ///     string.write_element(list);
    /// }
    /// ```
    fn write_element(&self, list: &mut ListWriter<'_>);

    /// The same, and nobody will look at it any more. See [`ListWriter::push_vec`].
    fn move_element(&mut self, list: &mut ListWriter<'_>) {
        self.write_element(list);
    }
}

/// Something that can be read from one element of a list.
///
/// ```
/// use offspring_serialisers::{Error, FromElement, ListReader};
/// use std::fs::File;
///
/// struct Log(File);
///
/// impl FromElement for Log {
///     fn from_element(string: &[u8], list: &mut ListReader<'_>) -> Result<Self, Error> {
///         Ok(Self(list.descriptor(string)?.into()))
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an octet string, which is all that the format `Octets` knows",
    label = "not an octet string",
    note = "use `Vec<u8>`, `Bytes`, `String`, `PathBuf`, `Descriptor`, or a format over serde: `Cbor`, `Json`, `MessagePack`, `Postcard`"
)]
pub trait FromElement: Sized {
    /// The value that the string is, which has been taken from the list.
    ///
    /// ```
    /// # use offspring_serialisers::{Error, FromElement, ListReader};
    /// let text = String::from_element(b"text", &mut ListReader::new(b""))?;
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// The string is no such value, or its descriptor did not come along.
    fn from_element(string: &[u8], list: &mut ListReader<'_>) -> Result<Self, Error>;

    /// The same, of a long string, whose buffer the value may keep.
    ///
    /// # Errors
    /// As [`from_element`](Self::from_element).
    fn from_long_element(string: LongOctets<'_>, list: &mut ListReader<'_>) -> Result<Self, Error> {
        Self::from_element(string.octets(), list)
    }
}

impl<A: AsOctets + ?Sized> AsElement for A {
    fn write_element(&self, list: &mut ListWriter<'_>) {
        list.push(self.as_octets());
    }

    fn move_element(&mut self, list: &mut ListWriter<'_>) {
        match self.take_octets() {
            Some(octets) => list.push_vec(octets),
            None => list.push(self.as_octets()),
        }
    }
}

impl<A: FromOctets> FromElement for A {
    fn from_element(string: &[u8], _: &mut ListReader<'_>) -> Result<Self, Error> {
        Self::from_octets(string)
    }

    fn from_long_element(string: LongOctets<'_>, _: &mut ListReader<'_>) -> Result<Self, Error> {
        Self::from_long(string)
    }
}

impl<T: AsFd> AsElement for Descriptor<T> {
    fn write_element(&self, list: &mut ListWriter<'_>) {
        list.push_descriptor(self.as_fd());
    }
}

impl<T: AsFd> AsElement for &Descriptor<T> {
    fn write_element(&self, list: &mut ListWriter<'_>) {
        list.push_descriptor(self.as_fd());
    }
}

impl AsElement for DescriptorRef<'_> {
    fn write_element(&self, list: &mut ListWriter<'_>) {
        list.push_descriptor(self.0);
    }
}

impl<T: From<OwnedFd>> FromElement for Descriptor<T> {
    fn from_element(string: &[u8], list: &mut ListReader<'_>) -> Result<Self, Error> {
        Ok(Self::new(list.descriptor(string)?.into()))
    }
}

/// What the first octet of a [`DescriptorOrOctets`] says of the others.
const INDEX: u8 = 0;
const CONTENT: u8 = 1;

impl AsElement for DescriptorOrOctets<'_> {
    fn write_element(&self, list: &mut ListWriter<'_>) {
        if !list.carries_descriptors() {
            list.push_parts([&[CONTENT], &(self.octets)()]);
        } else if let Some(index) = list.let_travel(self.descriptor) {
            list.push_parts([&[INDEX], &index.to_be_bytes()]);
        }
    }
}

impl FromElement for Arrived {
    fn from_element(string: &[u8], list: &mut ListReader<'_>) -> Result<Self, Error> {
        match string.split_first() {
            Some((&INDEX, index)) => list.descriptor(index).map(Self::Descriptor),
            Some((&CONTENT, octets)) => Ok(Self::Octets(octets.into())),
            _ => Err(Error::new("octets: neither a descriptor nor octets")),
        }
    }
}
