//! Short ways to write and read a value in a format.
#![allow(dead_code, reason = "every test takes what it needs")]

use offspring_serialisers::{Error, Input, Output, Serialiser};

pub(crate) fn encode<S: Serialiser<T, Sent>, T, Sent: ?Sized>(
    value: &Sent,
) -> Result<Vec<u8>, Error> {
    let mut octets = Vec::new();
    S::encode(value, &mut Output::new(&mut octets))?;
    Ok(octets)
}

pub(crate) fn written<S: Serialiser<T>, T>(value: &T) -> Vec<u8> {
    encode::<S, T, T>(value).unwrap()
}

pub(crate) fn decode<S: Serialiser<T, ()>, T>(octets: &[u8]) -> Result<T, Error> {
    S::decode(&mut Input::new(octets))
}

/// The words of the error that reading must end in.
pub(crate) fn refusal<S: Serialiser<T, ()>, T>(octets: &[u8]) -> String {
    decode::<S, T>(octets).err().expect("an error").to_string()
}

pub(crate) fn unhex(hex: &str) -> Vec<u8> {
    let octet = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(octet).collect()
}
