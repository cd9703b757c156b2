//! [`LogEvent`] in the formats over serde: a list of level, target, message and id of the call.

use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::{Serialize, Serializer};

use crate::logging::LogEvent;

impl Serialize for LogEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.level.as_str(), &self.target, &self.message, self.call).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for LogEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parts = Deserialize::deserialize(deserializer)?;
        Self::from_parts(parts).map_err(D::Error::custom)
    }
}
