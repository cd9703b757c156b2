//! [`WorkerError`] in the formats over serde: a list of its messages.

use crate::worker_error::WorkerError;
use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

impl Serialize for WorkerError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.chain.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for WorkerError {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(|chain| Self { chain })
    }
}
