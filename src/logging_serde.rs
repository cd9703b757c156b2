//! [`LogEvent`] in the formats over serde: a list of level, target and message.

use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::{Serialize, Serializer};

use crate::logging::LogEvent;

impl Serialize for LogEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.level.as_str(), &self.target, &self.message).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for LogEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (level, target, message) = <(String, String, String)>::deserialize(deserializer)?;
        let level = level.parse().map_err(D::Error::custom)?;
        Ok(Self::new(level, target, message))
    }
}
