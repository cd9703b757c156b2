//! Open descriptors as values. How they get from a value into the table beside its bytes is
//! `descriptor` (for formats over serde) and `bytes`; the table itself is [`table`].

use crate::bytes::Bytes;
use std::borrow::Cow;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

mod send_as;
mod table;

pub use table::Descriptors;
pub(crate) use table::{Collected, Received};

/// An open descriptor as a value: an argument or a part of one, a result, an event.
///
/// `T` is what owns the descriptor: `OwnedFd`, `File`, `TcpStream`, `TcpListener`, `UdpSocket`,
/// `UnixStream`, `UnixListener`, `UnixDatagram`, `PipeReader`, `PipeWriter`, `ChildStdin`,
/// `ChildStdout`, `ChildStderr`, or a type of your own. To be sent it must be [`AsFd`], to be
/// received `From<OwnedFd>`. What is open is passed, not its kind: a worker that wants a
/// `TcpStream` and is sent a file gets a stream whose every use fails.
///
/// # Who owns it
///
/// - **Sending** leaves the value as it is: a duplicate travels, which shares the offset of a file
///   and the flags with the original. A worker that takes a `Descriptor<File>` is called with
///   `&file`, and the file stays open here; or with `file`, and then it is closed here as soon as
///   the call has been made. A duplicate takes a free descriptor until it has been sent.
/// - **Receiving** gives one owner to each descriptor, in the process that receives. It is
///   close-on-exec.
/// - What arrives and is not taken, since its field is not wanted or reading fails, is closed.
///
/// # In formats over serde
///
/// All formats of this crate carry descriptors at any depth of a value: in tuples, structs,
/// enums, options, lists, maps. A format of your own carries them if it writes with
/// `Descriptors::serialise` and reads with `Input::deserialise`; else a descriptor is an error
/// that says so. A field that is a plain `File` needs `#[serde(with = "…::descriptor")]`.
///
/// What serde keeps in a buffer of its own until it knows the type cannot have a descriptor in it:
/// enums with `untagged` or `tag`, structs with `flatten`. That is an error when it is read, if not
/// when it is written.
///
/// # Errors
///
/// A value with a descriptor cannot be written where the link carries none (over `ssh`, say), or
/// if no duplicate can be made (`EMFILE`: this process has too many open). It cannot be read if
/// the descriptor that the bytes speak of did not come along.
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
    /// What owns a descriptor, as a value to send.
    ///
    /// ```
    /// # use offspring_serialisers::Descriptor;
    /// let null = Descriptor::new(std::fs::File::open("/dev/null")?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(owner: T) -> Self {
        Self(owner)
    }

    /// What owns the descriptor, to go on with it.
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

/// As its owner.
impl<T: fmt::Debug> fmt::Debug for Descriptor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A lent descriptor that travels as a [`Descriptor`]. It stays open here.
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

/// A value to be sent as its descriptor where descriptors can go, and else as its bytes.
///
/// For types whose content lies behind a descriptor, such as a mapped file. Nobody asks for the
/// bytes if the descriptor can go. What comes out is [`Arrived`].
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
    /// What the bytes lie behind.
    pub descriptor: BorrowedFd<'a>,
    /// Looks them up, or makes a copy of what may change while it is written.
    pub bytes: &'a dyn Fn() -> Cow<'a, [u8]>,
}

impl fmt::Debug for DescriptorOrBytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DescriptorOrBytes")
            .field("descriptor", &self.descriptor)
            .finish_non_exhaustive()
    }
}

/// What comes out where [`DescriptorOrBytes`] went in.
///
/// ```
/// use offspring_serialisers::{Arrived, Bytes};
///
/// let arrived = Arrived::Bytes(Bytes::from(vec![1, 2, 3]));
/// assert!(matches!(arrived, Arrived::Bytes(bytes) if bytes.len() == 3));
/// ```
#[derive(Debug)]
pub enum Arrived {
    /// The link carries descriptors.
    Descriptor(OwnedFd),
    /// It does not.
    Bytes(Bytes),
}
