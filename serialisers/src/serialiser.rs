use crate::descriptors::{Descriptors, Received};
use crate::error::Error;
use std::borrow::Cow;
use std::os::fd::OwnedFd;
use std::{fmt, io};

/// A format, with the name that both sides compare in their hellos.
///
/// ```
/// use offspring_serialisers::{Format, Octets};
///
/// assert_eq!(Octets::NAME, "octets");
/// ```
#[doc(alias = "Serializer")]
pub trait Format: 'static {
    /// The name, in lower-case letters: `"octets"`, `"cbor"`, `"json"`.
    const NAME: &'static str;

    /// Returns the first element of encoded arguments, the name of a service's method, without
    /// decoding the others.
    ///
    /// ```
    /// use offspring_serialisers::{Format, Octets};
    ///
    /// assert_eq!(Octets::method(b"\x04open\x05a.pdf")?, "open");
    /// # Ok::<(), offspring_serialisers::Error>(())
    /// ```
    ///
    /// # Errors
    /// The list is empty, or does not begin with a string. A format without this method cannot be
    /// used for a service.
    fn method(_arguments: &[u8]) -> Result<Cow<'_, str>, Error> {
        let name = Self::NAME;
        let why = "implements no `Format::method`, which services need";
        Err(Error::new(format!("the format `{name}` {why}")))
    }
}

/// Encodes values of the type `Sent`, and decodes them as `T`.
///
/// The types differ so that a caller may pass a borrowed value: `&str` is encoded, and `String` decoded.
///
/// The arguments of a call are always a tuple, also one argument (`(A,)`) or none (`()`). A
/// result or an event is encoded as it is. Bytes left over after decoding must be an error.
///
/// # Your own format, over serde
///
/// ```
/// use offspring_serialisers::{Error, Format, Input, Output, Serialiser};
/// use serde::{Serialize, de::DeserializeOwned};
///
/// struct PrettyJson;
///
/// impl Format for PrettyJson {
///     const NAME: &'static str = "pretty-json";
/// }
///
/// impl<T: DeserializeOwned, Sent: Serialize + ?Sized> Serialiser<T, Sent> for PrettyJson {
///     fn encode(value: &Sent, output: &mut Output<'_>) -> Result<(), Error> {
///         serde_json::to_writer_pretty(output, value).map_err(Error::other)
///     }
///     fn decode(input: &mut Input<'_>) -> Result<T, Error> {
///         serde_json::from_slice(input.bytes()).map_err(Error::other)
///     }
/// }
///
/// let mut bytes = Vec::new();
/// <PrettyJson as Serialiser<(String,), (&str,)>>::encode(&("x",), &mut Output::new(&mut bytes))?;
/// assert_eq!(bytes, b"[\n  \"x\"\n]");
/// # Ok::<(), Error>(())
/// ```
///
/// A descriptor in a value is an error in this format. To carry descriptors, write with
/// `Descriptors::serialise` and read with `Input::deserialise`.
///
/// # Your own format, without serde
///
/// All types that can be printed and parsed are encoded as their text. `Plain` excludes tuples, because
/// the compiler cannot know that they will never implement `FromStr`.
///
/// ```
/// use offspring_serialisers::{Error, Format, Input, Output, Serialiser};
/// use std::{fmt::Display, io::Write, str::FromStr};
///
/// struct Text;
/// trait Plain: FromStr {}
/// impl Plain for i64 {}
/// impl Plain for std::net::IpAddr {}
///
/// impl Format for Text {
///     const NAME: &'static str = "text";
/// }
///
/// impl<T: Plain, Sent: Display> Serialiser<T, Sent> for Text {
///     fn encode(value: &Sent, output: &mut Output<'_>) -> Result<(), Error> {
///         write!(output, "{value}").map_err(Error::other)
///     }
///     fn decode(input: &mut Input<'_>) -> Result<T, Error> {
///         let text = str::from_utf8(input.bytes()).map_err(Error::other)?;
///         text.parse().map_err(|_| Error::new(format!("not the text that was wanted: {text}")))
///     }
/// }
///
/// impl<T: Plain, Sent: Display> Serialiser<(T,), (Sent,)> for Text {
///     fn encode((value,): &(Sent,), output: &mut Output<'_>) -> Result<(), Error> {
///         <Self as Serialiser<T, Sent>>::encode(value, output)
///     }
///     fn decode(input: &mut Input<'_>) -> Result<(T,), Error> {
///         <Self as Serialiser<T, Sent>>::decode(input).map(|value| (value,))
///     }
/// }
///
/// let mut bytes = Vec::new();
/// <Text as Serialiser<(i64,), (i64,)>>::encode(&(-7,), &mut Output::new(&mut bytes))?;
/// assert_eq!(bytes, b"-7");
/// let number: i64 = <Text as Serialiser<i64>>::decode(&mut Input::new(&bytes))?;
/// assert_eq!(number, -7);
/// # Ok::<(), Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "the format `{Self}` cannot carry `{T}`",
    label = "not a value of this format"
)]
#[doc(alias = "Serializer")]
pub trait Serialiser<T, Sent: ?Sized = T>: Format {
    /// Appends `value` to the output.
    ///
    /// ```
    /// # use offspring_serialisers::{Octets, Output, Serialiser};
    /// let mut bytes = Vec::new();
    /// <Octets as Serialiser<(String,), (&str,)>>::encode(&("a",), &mut Output::new(&mut bytes))?;
    /// assert_eq!(bytes, b"\x01a");
    /// # Ok::<(), offspring_serialisers::Error>(())
    /// ```
    ///
    /// # Errors
    /// The format cannot represent the value. The output may hold a part of its bytes.
    #[doc(alias = "serialize")]
    fn encode(value: &Sent, output: &mut Output<'_>) -> Result<(), Error>;

    /// Decodes the input, which holds one value.
    ///
    /// ```
    /// # use offspring_serialisers::{Input, Octets, Serialiser};
    /// let text: String = <Octets as Serialiser<String>>::decode(&mut Input::new(b"\x01a"))?;
    /// assert_eq!(text, "a");
    /// # Ok::<(), offspring_serialisers::Error>(())
    /// ```
    ///
    /// # Errors
    /// The bytes are no such value, or bytes are left over.
    #[doc(alias = "deserialize")]
    fn decode(input: &mut Input<'_>) -> Result<T, Error>;
}

/// Where a value is written: a buffer for its bytes, and a table for its descriptors.
///
/// ```
/// use offspring_serialisers::Output;
/// use std::io::Write;
///
/// let mut bytes = Vec::new();
/// let mut output = Output::new(&mut bytes);
/// output.bytes().push(b'4');
/// write!(output, "{}", 2)?;
/// assert_eq!(bytes, b"42");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Output<'a> {
    bytes: &'a mut Vec<u8>,
    descriptors: Descriptors<'a>,
}

impl<'a> Output<'a> {
    /// Creates an output that appends to `bytes`, and carries no descriptors.
    ///
    /// ```
    /// # use offspring_serialisers::Output;
    /// let mut bytes = vec![1];
    /// Output::new(&mut bytes).bytes().push(2);
    /// assert_eq!(bytes, [1, 2]);
    /// ```
    pub fn new(bytes: &'a mut Vec<u8>) -> Self {
        Self::of(bytes, Descriptors::new(None))
    }

    /// Creates an output that appends to `bytes` and to `descriptors`.
    ///
    /// ```
    /// # use offspring_serialisers::Output;
    /// let (mut bytes, mut descriptors) = (Vec::new(), Vec::new());
    /// let output = Output::with_descriptors(&mut bytes, &mut descriptors);
    /// assert!(output.carries_descriptors());
    /// ```
    pub fn with_descriptors(bytes: &'a mut Vec<u8>, descriptors: &'a mut Vec<OwnedFd>) -> Self {
        Self::of(bytes, Descriptors::new(Some(descriptors)))
    }

    fn of(bytes: &'a mut Vec<u8>, descriptors: Descriptors<'a>) -> Self {
        Self { bytes, descriptors }
    }

    /// Returns the buffer. A format appends to it, and leaves its content unchanged.
    ///
    /// ```
    /// # use offspring_serialisers::Output;
    /// let mut bytes = Vec::new();
    /// Output::new(&mut bytes).bytes().extend(b"abc");
    /// assert_eq!(bytes, b"abc");
    /// ```
    #[doc(alias = "octets")]
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        self.bytes
    }

    /// Returns whether the link carries descriptors.
    ///
    /// ```
    /// # use offspring_serialisers::Output;
    /// assert!(!Output::new(&mut Vec::new()).carries_descriptors());
    /// ```
    pub fn carries_descriptors(&self) -> bool {
        self.descriptors.are_carried()
    }

    /// Adds a descriptor to the table. Returns its index among the descriptors of the value, from
    /// zero. The format writes the index among the bytes, and passes it to [`Input::descriptor`].
    ///
    /// ```
    /// # use offspring_serialisers::Output;
    /// let (mut bytes, mut descriptors) = (Vec::new(), Vec::new());
    /// let mut output = Output::with_descriptors(&mut bytes, &mut descriptors);
    /// assert_eq!(output.descriptor(std::fs::File::open("/dev/null")?.into())?, 0);
    /// assert_eq!(descriptors.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The link carries no descriptors. The descriptor is closed.
    pub fn descriptor(&mut self, descriptor: OwnedFd) -> Result<u32, Error> {
        self.descriptors.push(descriptor)
    }

    /// Returns the buffer and the table, for a format that needs both at once.
    ///
    /// ```
    /// # use offspring_serialisers::Output;
    /// let mut bytes = Vec::new();
    /// Output::new(&mut bytes).split().0.push(1);
    /// assert_eq!(bytes, [1]);
    /// ```
    pub fn split(&mut self) -> (&mut Vec<u8>, &mut Descriptors<'a>) {
        (self.bytes, &mut self.descriptors)
    }
}

impl io::Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output")
            .field("length", &self.bytes.len())
            .field("descriptors", &self.descriptors)
            .finish()
    }
}

/// The input that a value is read from: its bytes and its descriptors.
///
/// Descriptors that are not taken are closed when it is dropped.
///
/// ```
/// use offspring_serialisers::Input;
///
/// assert_eq!(Input::new(b"42").bytes(), b"42");
/// ```
pub struct Input<'a> {
    bytes: &'a [u8],
    descriptors: Received,
}

impl<'a> Input<'a> {
    /// Creates an input of one value without descriptors.
    ///
    /// ```
    /// # use offspring_serialisers::Input;
    /// assert!(Input::new(&[]).bytes().is_empty());
    /// ```
    pub fn new(bytes: &'a [u8]) -> Self {
        Self::with_descriptors(bytes, Vec::new())
    }

    /// Creates an input of one value with its descriptors.
    ///
    /// ```
    /// # use offspring_serialisers::Input;
    /// let null = std::fs::File::open("/dev/null")?;
    /// let input = Input::with_descriptors(b"", vec![null.into()]);
    /// drop(input); // It is closed.
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn with_descriptors(bytes: &'a [u8], descriptors: Vec<OwnedFd>) -> Self {
        let descriptors = Received::new(descriptors);
        Self { bytes, descriptors }
    }

    /// Returns the bytes of the value.
    ///
    /// ```
    /// # use offspring_serialisers::Input;
    /// assert_eq!(Input::new(&[7]).bytes(), [7]);
    /// ```
    #[doc(alias = "octets")]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Takes the descriptor of this index, which [`Output::descriptor`] returned.
    ///
    /// ```
    /// # use offspring_serialisers::Input;
    /// let null = std::fs::File::open("/dev/null")?;
    /// let mut input = Input::with_descriptors(b"", vec![null.into()]);
    /// let null = input.descriptor(0)?;
    /// assert!(input.descriptor(0).is_err());
    /// assert!(input.descriptor(1).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The value has no descriptor of this index, or it was taken already.
    pub fn descriptor(&mut self, index: u32) -> Result<OwnedFd, Error> {
        self.descriptors.take(index)
    }

    /// Takes all descriptors.
    pub(crate) fn take_descriptors(&mut self) -> Received {
        std::mem::take(&mut self.descriptors)
    }
}

impl fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input")
            .field("length", &self.bytes.len())
            .field("descriptors", &self.descriptors)
            .finish()
    }
}

/// Returns the name of a method, or the error that the arguments do not begin with one.
pub(crate) fn method<'a>(
    format: &str,
    name: Option<impl Into<Cow<'a, str>>>,
) -> Result<Cow<'a, str>, Error> {
    let error = || {
        Error::new(format!(
            "{format}: the arguments do not begin with a method's name"
        ))
    };
    name.map(Into::into).ok_or_else(error)
}
