//! [`SharedBytes`] and [`SharedMemory`] in the formats over serde: as a `DescriptorOrBytes`.

use offspring_serialisers::Arrived;
use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::{Serialize, Serializer};

use crate::memory::{MemoryFile, SharedBytes, SharedMemory};

macro_rules! over_serde {
    ($($memory:ty)*) => {$(
        impl Serialize for $memory {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.with_form(|form| form.serialize(serializer))
            }
        }

        impl<'de> Deserialize<'de> for $memory {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let arrived = Arrived::deserialize(deserializer)?;
                Self::arrived(arrived).map_err(D::Error::custom)
            }
        }
    )*};
}

over_serde! { SharedBytes SharedMemory }
