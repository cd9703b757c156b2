//! File descriptors as values. `descriptor` (for formats over serde) and `octets` move them between a
//! value and the table beside its bytes, which is [`table`].

use crate::bytes::Bytes;
use std::borrow::Cow;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

mod send_as;
mod table;

pub use table::Descriptors;
pub(crate) use table::{Collected, Received};

/// A file descriptor as a value: an argument, a result or an event, or a part of one.
///
/// `T` is what owns the descriptor: `OwnedFd`, `File`, `TcpStream`, `TcpListener`, `UdpSocket`,
/// `UnixStream`, `UnixListener`, `UnixDatagram`, `PipeReader`, `PipeWriter`, `ChildStdin`,
/// `ChildStdout`, `ChildStderr`, or your own type. To send it, it must be [`AsFd`]; to receive it,
/// `From<OwnedFd>`. The kind of the file is not checked: a worker that expects a `TcpStream` and is
/// sent a file gets a stream of which every use fails.
///
/// # Ownership
///
/// - **Sending** sends a duplicate, which shares the file offset and the status flags with the
///   original. A worker that takes a `Descriptor<File>` is called with `&file`, and the file stays
///   open here, or with `file`, which is closed here as soon as the call is made. The duplicate
///   takes a descriptor of this process until it is sent.
/// - **Receiving** creates an owned descriptor, which is close-on-exec.
/// - A descriptor that arrives and is not taken, because its field is ignored or decoding fails, is
///   closed.
///
/// # In formats over serde
///
/// All formats of this crate carry descriptors at any depth of a value: in tuples, structs,
/// enums, options, lists, maps. Your own format carries them if it writes with
/// `Descriptors::serialise` and reads with `Input::deserialise`. Otherwise a descriptor is an
/// error. A field of type `File` needs `#[serde(with = "…::descriptor")]`.
///
/// Values that serde buffers until it knows their type cannot hold a descriptor: enums with
/// `untagged` or `tag`, structs with `flatten`. Decoding them is an error, if encoding is not.
///
/// # Errors
///
/// A value with a descriptor cannot be encoded if the link carries none (over `ssh`, for example), or
/// if the descriptor cannot be duplicated (`EMFILE`: this process has too many open). It cannot be
/// decoded if its descriptor did not arrive.
///
/// ```
/// use offspring_serialisers::{Descriptor, Input, Octets, Output, Serialiser};
/// use std::fs::File;
///
/// let file = Descriptor::new(File::open("/dev/null")?);
/// let (mut bytes, mut descriptors) = (Vec::new(), Vec::new());
/// let mut output = Output::with_descriptors(&mut bytes, &mut descriptors);
/// <Octets as Serialiser<Descriptor<File>>>::encode(&file, &mut output)?;
/// assert_eq!(descriptors.len(), 1);
///
/// let mut input = Input::with_descriptors(&bytes, descriptors);
/// let file: Descriptor<File> = <Octets as Serialiser<_>>::decode(&mut input)?;
/// assert_eq!(file.metadata()?.len(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Descriptor<T = OwnedFd>(T);

impl<T> Descriptor<T> {
    /// Wraps the owner of a descriptor.
    ///
    /// ```
    /// # use offspring_serialisers::Descriptor;
    /// let null = Descriptor::new(std::fs::File::open("/dev/null")?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(owner: T) -> Self {
        Self(owner)
    }

    /// Returns the owner of the descriptor.
    ///
    /// ```
    /// # use offspring_serialisers::Descriptor;
    /// # use std::fs::File;
    /// let file: File = Descriptor::new(File::open("/dev/null")?).into_inner();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> From<T> for Descriptor<T> {
    fn from(owner: T) -> Self {
        Self(owner)
    }
}

impl<T> Deref for Descriptor<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Descriptor<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: AsFd> AsFd for Descriptor<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// As the owner.
impl<T: fmt::Debug> fmt::Debug for Descriptor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A borrowed descriptor that is sent as a [`Descriptor`].
///
/// ```
/// use offspring_serialisers::{Descriptor, DescriptorRef, SendAs};
/// use std::fs::File;
///
/// let file = File::open("/dev/null")?;
/// let form: DescriptorRef<'_> = SendAs::<Descriptor<File>>::into_form(&file);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct DescriptorRef<'a>(pub BorrowedFd<'a>);

impl AsFd for DescriptorRef<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0
    }
}

/// A value that is sent as its descriptor if the link carries descriptors, and else as its bytes.
///
/// For types whose content is behind a descriptor, such as a mapped file. `bytes` is called only if
/// the descriptor cannot be sent. It is decoded as [`Arrived`].
///
/// ```
/// use offspring_serialisers::{Arrived, DescriptorOrBytes, Input, Octets, Output, Serialiser};
/// use std::{fs::File, os::fd::AsFd};
///
/// let file = File::open("/dev/null")?;
/// let bytes = || b"what is in it".into();
/// let value = DescriptorOrBytes { descriptor: file.as_fd(), bytes: &bytes };
/// let mut bytes = Vec::new();
/// <Octets as Serialiser<Arrived, _>>::encode(&value, &mut Output::new(&mut bytes))?;
/// match <Octets as Serialiser<Arrived, ()>>::decode(&mut Input::new(&bytes))? {
///     Arrived::Bytes(bytes) => assert_eq!(*bytes, b"what is in it"),
///     Arrived::Descriptor(_) => unreachable!("this output carries none"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
#[doc(alias = "DescriptorOrOctets")]
pub struct DescriptorOrBytes<'a> {
    /// The descriptor of the bytes.
    pub descriptor: BorrowedFd<'a>,
    /// Returns the bytes: borrowed, or a copy if they may change while they are encoded.
    pub bytes: &'a dyn Fn() -> Cow<'a, [u8]>,
}

impl fmt::Debug for DescriptorOrBytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DescriptorOrBytes")
            .field("descriptor", &self.descriptor)
            .finish_non_exhaustive()
    }
}

/// The decoded form of [`DescriptorOrBytes`].
///
/// ```
/// use offspring_serialisers::{Arrived, Bytes};
///
/// let arrived = Arrived::Bytes(Bytes::from(vec![1, 2, 3]));
/// assert!(matches!(arrived, Arrived::Bytes(bytes) if bytes.len() == 3));
/// ```
#[derive(Debug)]
pub enum Arrived {
    /// The descriptor, over a link that carries descriptors.
    Descriptor(OwnedFd),
    /// The bytes, over another link.
    Bytes(Bytes),
}
