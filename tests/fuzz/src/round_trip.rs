//! Values of every kind through each format, against the plain library: what this crate writes, both read as what it was;
//! what the plain library writes, this crate reads; and a value is refused only if the plain library loses it.

use std::any::TypeId;
use std::fmt::Debug;

use arbitrary::{Arbitrary, Unstructured};
use offspring_serialisers::{
    Cbor, Error, Format, Input, Json, MessagePack, Octets, Output, Postcard, Serialiser,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::types::*;

pub(crate) fn run(data: &[u8]) {
    let data = &mut Unstructured::new(data);
    match data.arbitrary::<u8>() {
        Ok(250..) => drop(as_octets(data)),
        Ok(which) => for_each_type!(which, in_each_format(data)),
        Err(_) => {}
    }
}

/// Values in the format without serde: each comes back as it was.
fn as_octets(data: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    macro_rules! each {
        ($($type:ty),*) => {$( as_octets_again::<$type>(data)?; )*};
    }
    each!(
        (),
        bool,
        char,
        u8,
        i128,
        String,
        Vec<u8>,
        Vec<Vec<u8>>,
        Vec<String>,
        (String, u64, i16, bool, char),
        (Vec<u8>, Vec<u8>)
    );
    Ok(())
}

fn as_octets_again<T>(data: &mut Unstructured<'_>) -> arbitrary::Result<()>
where
    T: PartialEq + Debug + for<'a> Arbitrary<'a>,
    Octets: Serialiser<T>,
{
    let (value, mut bytes) = (data.arbitrary::<T>()?, Vec::new());
    Octets::encode(&value, &mut Output::new(&mut bytes)).unwrap();
    let read: T = Octets::decode(&mut Input::new(&bytes)).unwrap();
    assert_eq!(read, value);
    Ok(())
}

fn in_each_format<T: Value>(data: &mut Unstructured<'_>) {
    if let Ok(value) = data.arbitrary::<T>() {
        in_one::<Cbor, T>(&value);
        in_one::<Json, T>(&value);
        in_one::<MessagePack, T>(&value);
        in_one::<Postcard, T>(&value);
    }
}

/// A format, and the library under it.
pub(crate) trait Plainly: Format {
    fn write<T: Serialize>(value: &T) -> Option<Vec<u8>>;
    fn read<T: DeserializeOwned>(bytes: &[u8]) -> Option<T>;
    fn own_write<T: Value>(value: &T) -> Result<Vec<u8>, Error>;
    fn own_read<T: Value>(bytes: &[u8]) -> Result<T, Error>;
}

macro_rules! plainly {
    ($($format:ident: $write:expr, $read:expr;)*) => {$(
        impl Plainly for $format {
            fn write<T: Serialize>(value: &T) -> Option<Vec<u8>> {
                let write: fn(&T) -> Option<Vec<u8>> = $write;
                write(value)
            }
            fn read<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
                let read: fn(&[u8]) -> Option<T> = $read;
                read(bytes)
            }
            fn own_write<T: Value>(value: &T) -> Result<Vec<u8>, Error> {
                let mut bytes = Vec::new();
                <Self as Serialiser<T>>::encode(value, &mut Output::new(&mut bytes))?;
                Ok(bytes)
            }
            fn own_read<T: Value>(bytes: &[u8]) -> Result<T, Error> {
                <Self as Serialiser<T>>::decode(&mut Input::new(bytes))
            }
        }
    )*};
}

plainly! {
    Cbor: |value| {
        let mut bytes = Vec::new();
        ciborium::into_writer(value, &mut bytes).ok()?;
        Some(bytes)
    }, |mut bytes| {
        let value = ciborium::from_reader(&mut bytes).ok()?;
        bytes.is_empty().then_some(value)
    };
    Json: |value| serde_json::to_vec(value).ok(), |bytes| serde_json::from_slice(bytes).ok();
    MessagePack: |value| rmp_serde::to_vec_named(value).ok(), |mut bytes| {
        let value = rmp_serde::from_read(&mut bytes).ok()?;
        bytes.is_empty().then_some(value)
    };
    Postcard: |value| postcard::to_allocvec(value).ok(), |bytes| {
        let (value, rest) = postcard::take_from_bytes(bytes).ok()?;
        rest.is_empty().then_some(value)
    };
}

/// Bytes that tell any two values apart: postcard keeps the bits of floats and the levels of options. Types that it cannot
/// write are told apart by what they print.
pub(crate) fn image<T: Value>(value: &T) -> Vec<u8> {
    match postcard::to_allocvec(value) {
        Ok(bytes) => bytes,
        Err(_) => format!("{value:?}").into(),
    }
}

fn in_one<F: Plainly, T: Value>(value: &T) {
    let (format, want) = (F::NAME, image(value));
    // A field that is skipped is not told.
    let is = |read: &T| image(read) == want;
    let plain = F::write(value);
    let plainly_kept = plain
        .as_ref()
        .is_some_and(|bytes| F::read::<T>(bytes).is_some_and(|read| is(&read)));
    match F::own_write(value) {
        Ok(bytes) => {
            let read = match F::own_read::<T>(&bytes) {
                Ok(read) => read,
                // The type itself cannot read it: a name occurs twice, or it wants to know what comes.
                Err(_) if !plainly_kept => return,
                Err(error) => panic!("{format}: {value:?} was written, and then: {error}"),
            };
            // A signalling NaN is made a quiet one where ciborium goes by way of another width.
            let is_nan = |read: &T| !plainly_kept && format!("{read:?}") == format!("{value:?}");
            assert!(
                is(&read) || is_nan(&read),
                "{format}: {value:?} came back as {read:?}"
            );
            // As a whole value `()` is the empty list, which it is to no plain library.
            if plainly_kept && TypeId::of::<T>() != TypeId::of::<()>() {
                let read = F::read::<T>(&bytes).expect("the plain library reads it");
                assert!(
                    is(&read),
                    "{format}: {value:?} is {read:?} to the plain library"
                );
            }
        }
        Err(error) => assert!(
            !plainly_kept,
            "{format}: {value:?}, which the plain library keeps, is refused: {error}"
        ),
    }
    if let Some(bytes) = plain.filter(|_| plainly_kept) {
        match F::own_read::<T>(&bytes) {
            Ok(read) => assert!(
                is(&read),
                "{format}: the plain library's {value:?} is read as {read:?}"
            ),
            Err(error) => panic!("{format}: the plain library's {value:?} is not read: {error}"),
        }
    }
}
