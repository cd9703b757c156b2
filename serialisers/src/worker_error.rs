use crate::error::Error;
use crate::octets::{AsOctetStrings, FromOctetStrings, ListReader, ListWriter, ManyStrings};
use std::error::Error as StdError;
use std::fmt;

/// The error of a worker's function as text: the message, and those of its causes.
///
/// A worker that returns `Result<T, WorkerError>` uses `?` on any [`std::error::Error`], and
/// [`new`](Self::new) on text. Every format carries it. It is displayed as the messages, joined by
/// colons. The types of the errors are lost: a caller that distinguishes errors needs an enum as the
/// worker's `E`.
///
/// ```
/// use offspring_serialisers::WorkerError;
///
/// fn line_count(path: String) -> Result<String, WorkerError> {
///     let text = std::fs::read_to_string(&path)
///         .map_err(|error| WorkerError::from(error).context(format!("reading {path}")))?;
///     if text.is_empty() {
///         return Err(WorkerError::new("the file is empty"));
///     }
///     Ok(text.lines().count().to_string())
/// }
///
/// let error = line_count("/nowhere".into()).unwrap_err();
/// assert_eq!(error.message(), "reading /nowhere");
/// assert_eq!(error.to_string(), "reading /nowhere: No such file or directory (os error 2)");
/// ```
///
/// # With anyhow, eyre, and boxed errors
///
/// In the worker, `new` takes all that converts to a boxed error, such as `anyhow::Error` and
/// `eyre::Report`, and keeps the causes:
///
/// ```
/// # use offspring_serialisers::WorkerError;
/// # type AnyhowError = Box<dyn std::error::Error + Send + Sync>;
/// # fn work(text: &str) -> Result<u32, AnyhowError> { Ok(text.parse()?) }
/// fn worker(text: String) -> Result<u32, WorkerError> {
///     work(&text).map_err(WorkerError::new) // `work` returns `anyhow::Result<u32>`
/// }
/// # assert!(worker("x".into()).is_err());
/// ```
///
/// In the caller it converts to a boxed error, whose `source` is the next cause. So `?` converts it to
/// `Box<dyn Error>`. For anyhow write `.map_err(|error| anyhow::Error::from_boxed(error.into()))?`.
///
/// ```
/// # use offspring_serialisers::WorkerError;
/// # use std::error::Error;
/// fn caller(answer: Result<u32, WorkerError>) -> Result<u32, Box<dyn Error>> {
///     Ok(answer?)
/// }
/// # assert!(caller(Err(WorkerError::new("no"))).is_err());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct WorkerError {
    /// The message, and then those of the causes.
    pub(crate) chain: Vec<String>,
}

impl WorkerError {
    /// Creates one from a `&str`, a `String`, an error or a boxed error, with the causes of the error.
    ///
    /// ```
    /// # use offspring_serialisers::WorkerError;
    /// assert_eq!(WorkerError::new("no page 7").to_string(), "no page 7");
    /// ```
    #[doc(alias = "msg")]
    #[doc(alias = "from_boxed")]
    pub fn new(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::of(&*error.into())
    }

    fn of(error: &dyn StdError) -> Self {
        let mut chain = vec![error.to_string()];
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            // Many errors end with the text of their cause.
            if !chain
                .iter()
                .any(|message: &String| message.ends_with(&text))
            {
                chain.push(text);
            }
            source = cause.source();
        }
        Self { chain }
    }

    /// Returns an error with the text `message`, and this one as its cause.
    ///
    /// ```
    /// # use offspring_serialisers::WorkerError;
    /// let error = WorkerError::new("no disk").context("writing the page");
    /// assert_eq!(error.to_string(), "writing the page: no disk");
    /// ```
    #[must_use]
    pub fn context(mut self, message: impl fmt::Display) -> Self {
        self.chain.insert(0, message.to_string());
        self
    }

    /// Returns the message without the causes.
    ///
    /// ```
    /// # use offspring_serialisers::WorkerError;
    /// assert_eq!(WorkerError::new("a").context("b").message(), "b");
    /// ```
    pub fn message(&self) -> &str {
        self.chain().next().unwrap_or_default()
    }

    /// Returns the message, and then those of the causes.
    ///
    /// ```
    /// # use offspring_serialisers::WorkerError;
    /// let error = WorkerError::new("a").context("b");
    /// assert_eq!(error.chain().collect::<Vec<_>>(), ["b", "a"]);
    /// ```
    pub fn chain(&self) -> impl Iterator<Item = &str> {
        self.chain.iter().map(String::as_str)
    }
}

impl<E: StdError> From<E> for WorkerError {
    fn from(error: E) -> Self {
        Self::of(&error)
    }
}

impl fmt::Display for WorkerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.chain.join(": "))
    }
}

/// As `Display`, for `unwrap`.
impl fmt::Debug for WorkerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A message and its cause, for the conversion to a boxed error.
struct ChainedError {
    message: String,
    cause: Option<Box<Self>>,
}

impl fmt::Display for ChainedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// With its causes, for `unwrap`, and for a `main` that returns it.
impl fmt::Debug for ChainedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.cause {
            Some(cause) => write!(f, ": {cause:?}"),
            None => Ok(()),
        }
    }
}

impl StdError for ChainedError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

impl From<WorkerError> for Box<dyn StdError + Send + Sync> {
    fn from(error: WorkerError) -> Self {
        let mut messages = error.chain.into_iter().rev();
        let link = |cause, message| ChainedError {
            message,
            cause: Some(Box::new(cause)),
        };
        let last = ChainedError {
            message: messages.next().unwrap_or_default(),
            cause: None,
        };
        Box::new(messages.fold(last, link))
    }
}

impl From<WorkerError> for Box<dyn StdError> {
    fn from(error: WorkerError) -> Self {
        Box::<dyn StdError + Send + Sync>::from(error)
    }
}

/// The first string of a `Result<T, WorkerError>` in the format `Octets`.
const OK: &str = "ok";
const ERROR: &str = "error";

impl AsOctetStrings for WorkerError {
    type Number = ManyStrings;

    fn write_strings(&self, list: &mut ListWriter<'_>) {
        self.chain.write_strings(list);
    }
}

impl FromOctetStrings for WorkerError {
    type Number = ManyStrings;

    fn read_strings(list: &mut ListReader<'_>) -> Result<Self, Error> {
        let chain = Vec::read_strings(list)?;
        Ok(Self { chain })
    }
}

/// The string `ok` and those of the value, or the string `error`, the message and the causes.
impl<T: AsOctetStrings> AsOctetStrings for Result<T, WorkerError> {
    type Number = ManyStrings;

    fn write_strings(&self, list: &mut ListWriter<'_>) {
        list.push(self.as_ref().map_or(ERROR, |_| OK).as_bytes());
        match self {
            Ok(value) => value.write_strings(list),
            Err(error) => error.write_strings(list),
        }
    }
}

impl<T: FromOctetStrings> FromOctetStrings for Result<T, WorkerError> {
    type Number = ManyStrings;

    fn read_strings(list: &mut ListReader<'_>) -> Result<Self, Error> {
        let first: String = list.take_as(1)?;
        match first.as_str() {
            OK => T::read_strings(list).map(Ok),
            ERROR => WorkerError::read_strings(list).map(Err),
            _ => Err(Error::new(format!(
                "octets: a result begins with `{OK}` or `{ERROR}`, not with `{first}`"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Input, Octets, Output, Serialiser};

    #[test]
    fn the_causes_of_a_boxed_error_are_kept_both_ways() {
        let inner = WorkerError::new("disk").context("write").context("page");
        let boxed: Box<dyn StdError + Send + Sync> = inner.clone().into();
        assert_eq!(boxed.source().unwrap().to_string(), "write");
        assert_eq!(format!("{boxed:?}"), "page: write: disk");
        assert_eq!(WorkerError::new(boxed), inner);
        let local: Box<dyn StdError> = inner.into();
        assert_eq!(local.to_string(), "page");
    }

    #[test]
    fn what_a_message_says_of_its_cause_is_not_said_again() {
        let cause = WorkerError::new("disk").context("write: disk");
        let boxed: Box<dyn StdError + Send + Sync> = cause.context("page").into();
        assert_eq!(WorkerError::new(boxed).to_string(), "page: write: disk");
    }

    #[test]
    fn as_octet_strings() {
        type Answer = Result<(String, String), WorkerError>;
        let fine: Answer = Ok(("a".into(), "b".into()));
        let error: Answer = Err(WorkerError::new("b").context("a"));
        for (answer, bytes) in [
            (fine, &b"\x02ok\x01a\x01b"[..]),
            (error, b"\x05error\x01a\x01b"),
        ] {
            let mut got = Vec::new();
            <Octets as Serialiser<Answer>>::encode(&answer, &mut Output::new(&mut got)).unwrap();
            assert_eq!(got, bytes);
            let back = <Octets as Serialiser<Answer>>::decode(&mut Input::new(bytes)).unwrap();
            assert_eq!(back, answer);
        }
        let other = <Octets as Serialiser<Answer>>::decode(&mut Input::new(b"\x04true"));
        let error = other.unwrap_err().to_string();
        assert_eq!(
            error,
            "octets: a result begins with `ok` or `error`, not with `true`"
        );
    }
}
