//! The layer for formats of other crates.

use crate::descriptors::Descriptors;
use crate::layer::{FormatRules, Kind, ReadContext, WriteContext};
use crate::serialiser::Input;
use serde::de::{DeserializeOwned, Deserializer};
use serde::ser::{Serialize, Serializer};

const RULES: FormatRules = FormatRules::of(Kind::Foreign);

/// For formats over serde.
impl Descriptors<'_> {
    /// Encodes a value and its descriptors with a serialiser of serde.
    ///
    /// For your own [`Serialiser`](crate::Serialiser). `()` is encoded as an empty list, as the
    /// arguments of a call without any are, and so is any other value of size zero that serde
    /// serialises as a unit. A null is encoded as a null.
    ///
    /// ```
    /// use offspring_serialisers::{Descriptor, Error, Format, Input, Output, Serialiser};
    /// use serde::{Serialize, de::DeserializeOwned};
    /// use std::fs::File;
    ///
    /// struct PrettyJson;
    ///
    /// impl Format for PrettyJson {
    ///     const NAME: &'static str = "pretty-json";
    /// }
    ///
    /// impl<T: DeserializeOwned, Sent: Serialize + ?Sized> Serialiser<T, Sent> for PrettyJson {
    ///     fn encode(value: &Sent, output: &mut Output<'_>) -> Result<(), Error> {
    ///         let (bytes, descriptors) = output.split();
    ///         let mut serializer = serde_json::Serializer::pretty(bytes);
    ///         descriptors.serialise(value, &mut serializer).map_err(Error::other)
    ///     }
    ///     fn decode(input: &mut Input<'_>) -> Result<T, Error> {
    ///         let mut deserializer = serde_json::Deserializer::from_slice(input.bytes());
    ///         let value = input.deserialise(&mut deserializer).map_err(Error::other)?;
    ///         deserializer.end().map_err(Error::other)?;
    ///         Ok(value)
    ///     }
    /// }
    ///
    /// let value = (7, Descriptor::new(File::open("/dev/null")?));
    /// let (mut bytes, mut descriptors) = (Vec::new(), Vec::new());
    /// let mut output = Output::with_descriptors(&mut bytes, &mut descriptors);
    /// <PrettyJson as Serialiser<(u32, Descriptor<File>)>>::encode(&value, &mut output)?;
    /// assert_eq!(bytes, b"[\n  7,\n  0\n]");
    /// assert_eq!(descriptors.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of the serialiser. The value has a descriptor, and the output carries none, or it cannot be
    /// duplicated.
    #[doc(alias = "serialize")]
    pub fn serialise<T, S>(&mut self, value: &T, serializer: S) -> Result<S::Ok, S::Error>
    where
        T: Serialize + ?Sized,
        S: Serializer,
    {
        let writing = WriteContext::new(&RULES, self, size_of_val(value) == 0);
        let written = writing.whole(value).serialize(serializer)?;
        self.accept(writing.descriptors);
        Ok(written)
    }
}

/// For formats over serde.
impl Input<'_> {
    /// Decodes a value and its descriptors with a deserialiser of serde. Descriptors that the value does
    /// not take are closed. The caller has to check that no bytes are left over.
    ///
    /// For your own [`Serialiser`](crate::Serialiser), such as that of [`Descriptors::serialise`]. As in
    /// all formats of this crate, a value may be nested 256 levels deep, and a list that is read as a
    /// tuple must have its length.
    ///
    /// ```
    /// use offspring_serialisers::{Descriptor, Input};
    /// use std::fs::File;
    ///
    /// let null = File::open("/dev/null")?;
    /// let mut input = Input::with_descriptors(br#"["null",0]"#, vec![null.into()]);
    /// let mut deserializer = serde_json::Deserializer::from_slice(input.bytes());
    /// let (name, file): (String, Descriptor<File>) = input.deserialise(&mut deserializer)?;
    /// deserializer.end()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of the deserialiser. The value has a descriptor that did not arrive, is nested too deep, or is
    /// too long.
    #[doc(alias = "deserialize")]
    pub fn deserialise<'de, T, D>(&mut self, deserializer: D) -> Result<T, D::Error>
    where
        T: DeserializeOwned,
        D: Deserializer<'de>,
    {
        ReadContext::of(&RULES, self).whole(deserializer)
    }
}
