//! From bytes to values, on the thread that wants the value.

use offspring_serialisers::Error as SerialiserError;

use crate::error::Error;
use crate::parcel::{Decode, Payload, read};

/// Turns what came into `what` it is: the result, or an event. A decoder that
/// panics is an error.
pub(crate) fn unpack<T>(payload: Payload, decode: Decode<T>, what: &str) -> Result<T, Error> {
    let decoded =
        payload.hand_out(|received| crate::base::panics::shielded(|| read(received, decode)));
    let decoded = decoded.unwrap_or_else(|panic| Err(SerialiserError::new(panic)));
    decoded.map_err(|error| Error::decode(what, error))
}
