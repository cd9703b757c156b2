//! From bytes to values, on the thread that wants the value.

use crate::error::Error;
use crate::parcel::{Decode, Payload, read};

/// Turns what came into the result or the event that it is. A decoder that panics
/// is an error.
pub(crate) fn unpack<T>(payload: Payload, decode: Decode<T>) -> Result<T, Error> {
    let decoded =
        payload.hand_out(|received| crate::base::panics::shielded(|| read(received, decode)));
    match decoded {
        Ok(value) => value.map_err(|error| Error::decode(&error)),
        Err(panic) => Err(Error::decode_panicked(panic)),
    }
}
