//! The layer for formats that others write.

use crate::descriptors::Descriptors;
use crate::layer::{Kind, Reading, Rules, Writing};
use crate::serialiser::Input;
use serde::de::{DeserializeOwned, Deserializer};
use serde::ser::{Serialize, Serializer};

const RULES: Rules = Rules::of(Kind::Foreign);

/// In crates with a format over serde.
impl Descriptors<'_> {
    /// Writes a value through a serialiser of serde's, with the descriptors in it.
    ///
    /// For a [`Serialiser`](crate::Serialiser) of your own. `()` is written as an empty list, as
    /// the arguments of a call without any are one; so is any other value of size zero that serde
    /// writes as a unit. A null is written as a null.
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
    /// Those of the serialiser; there are descriptors in the value and the output carries none;
    /// one cannot be duplicated.
    pub fn serialise<T, S>(&mut self, value: &T, serializer: S) -> Result<S::Ok, S::Error>
    where
        T: Serialize + ?Sized,
        S: Serializer,
    {
        let writing = Writing::new(&RULES, self, size_of_val(value) == 0);
        let written = writing.whole(value).serialize(serializer)?;
        self.accept(writing.descriptors);
        Ok(written)
    }
}

/// In crates with a format over serde.
impl Input<'_> {
    /// Reads a value through a deserialiser of serde's, with the descriptors in it; those not in
    /// it are closed. Whether bytes are left over is for the caller to see.
    ///
    /// For a [`Serialiser`](crate::Serialiser) of your own, such as that of
    /// [`Descriptors::serialise`]. As in all formats of this crate a value may be nested 256
    /// levels deep, and a list that is read as a tuple must be as long.
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
    /// Those of the deserialiser; the value has a descriptor that did not come along; it is
    /// nested too deep, or too long.
    pub fn deserialise<'de, T, D>(&mut self, deserializer: D) -> Result<T, D::Error>
    where
        T: DeserializeOwned,
        D: Deserializer<'de>,
    {
        Reading::of(&RULES, self).whole(deserializer)
    }
}
