use std::fmt;

type Source = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Why a value could not be encoded, or bytes could not be decoded.
///
/// The text is for people. It has no kinds, because a program cannot do more than report it: the
/// code on one side has to be changed.
///
/// ```
/// use offspring_serialisers::Error;
///
/// let error = Error::new("the third field is missing");
/// assert_eq!(error.to_string(), "the third field is missing");
/// ```
pub struct Error(Source);

impl Error {
    /// Creates an error with the text `message`.
    ///
    /// ```
    /// # use offspring_serialisers::Error;
    /// assert_eq!(Error::new("no bytes").to_string(), "no bytes");
    /// ```
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into().into())
    }

    /// An error that says what `error` says, and has the source that `error` has.
    ///
    /// ```
    /// # use offspring_serialisers::Error;
    /// let error = "many".parse::<u8>().map_err(Error::other).unwrap_err();
    /// assert_eq!(error.to_string(), "invalid digit found in string");
    /// ```
    pub fn other(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self(Box::new(error))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Error").field(&self.0).finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

#[cfg(test)]
mod tests {
    use super::Error;
    use std::error::Error as _;

    fn travels<T: Send + Sync + 'static>() {}

    #[test]
    fn goes_between_threads() {
        travels::<Error>();
    }

    #[test]
    fn does_not_repeat_its_source() {
        let inner = std::io::Error::other("inner");
        let error = Error::other(inner);
        assert_eq!(error.to_string(), "inner");
        assert!(error.source().is_none());
    }
}
