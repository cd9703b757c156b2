//! Nulls and units: each arrives as what it was, and as the plain library writes it.
#![cfg(all(
    feature = "cbor",
    feature = "json",
    feature = "messagepack",
    feature = "postcard"
))]

mod common;

use common::{decode, encode, written};
use offspring_serialisers::{Cbor, Descriptors, Input, Json, MessagePack, Output, Postcard};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt::Debug;
use std::marker::PhantomData;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Either {
    Nothing,
    Text(String),
}

/// It has no size, as `()` has none.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Only {
    Nothing,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Unit;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Wrapped(());

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct Transparent {
    unit: (),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Value", into = "Value")]
struct Through;

impl From<Value> for Through {
    fn from(value: Value) -> Self {
        assert_eq!(value, Value::Null);
        Self
    }
}

impl From<Through> for Value {
    fn from(_: Through) -> Self {
        Self::Null
    }
}

impl Clone for Through {
    fn clone(&self) -> Self {
        Self
    }
}

fn plain_cbor<T: Serialize>(value: &T) -> Vec<u8> {
    let mut octets = Vec::new();
    ciborium::into_writer(value, &mut octets).unwrap();
    octets
}

/// Whole, lent, and as one of several arguments.
fn as_the_plain_libraries<T>(value: T)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug + 'static,
{
    let json = written::<Json, T>(&value);
    assert_eq!(json, serde_json::to_vec(&value).unwrap(), "{value:?}");
    assert_eq!(encode::<Json, T, &T>(&&value).unwrap(), json);
    assert_eq!(decode::<Json, T>(&json).unwrap(), value);

    let cbor = written::<Cbor, T>(&value);
    assert_eq!(cbor, plain_cbor(&value), "{value:?}");
    assert_eq!(encode::<Cbor, T, &T>(&&value).unwrap(), cbor);
    assert_eq!(decode::<Cbor, T>(&cbor).unwrap(), value);

    let messagepack = written::<MessagePack, T>(&value);
    let plain = rmp_serde::to_vec_named(&value).unwrap();
    assert_eq!(messagepack, plain, "{value:?}");
    assert_eq!(encode::<MessagePack, T, &T>(&&value).unwrap(), messagepack);
    assert_eq!(decode::<MessagePack, T>(&messagepack).unwrap(), value);
}

fn everywhere<T>(value: fn() -> T)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug + 'static,
{
    as_the_plain_libraries(value());
    as_the_plain_libraries((value(),));
    as_the_plain_libraries((1, value(), "text".to_owned()));
    as_the_plain_libraries(vec![value(), value()]);
}

#[test]
fn nulls_stay_nulls() {
    everywhere(|| Value::Null);
    everywhere(|| Box::new(Value::Null));
    everywhere(|| Value::from(vec![Value::Null]));
    everywhere(|| None::<u32>);
    everywhere(|| None::<Value>);
    everywhere(|| Either::Nothing);
    everywhere(|| Either::Text("text".into()));
    everywhere(|| Only::Nothing);
    everywhere(|| Unit);
    everywhere(|| Wrapped(()));
    everywhere(|| Through);
    everywhere(|| Box::new(()));
    everywhere(|| PhantomData::<u8>);
    everywhere(|| Ok::<(), String>(()));
    everywhere(|| [(); 0]);
    everywhere(Vec::<()>::new);
}

#[test]
fn a_null_of_cbor_stays_a_null() {
    let null = ciborium::Value::Null;
    assert_eq!(written::<Cbor, _>(&null), [0xf6]);
    assert_eq!(decode::<Cbor, ciborium::Value>(&[0xf6]).unwrap(), null);
}

/// `()` is the empty list, whole; a value that is lent for it, too.
#[test]
fn the_type_of_no_value_is_the_empty_list() {
    assert_eq!(written::<Json, ()>(&()), b"[]");
    assert_eq!(written::<Cbor, ()>(&()), [0x80]);
    assert_eq!(written::<MessagePack, ()>(&()), [0x90]);
    assert!(written::<Postcard, ()>(&()).is_empty());
    assert_eq!(encode::<Json, (), &()>(&&()).unwrap(), b"[]");
    assert_eq!(encode::<Cbor, (), &()>(&&()).unwrap(), [0x80]);
    assert_eq!(encode::<MessagePack, (), &()>(&&()).unwrap(), [0x90]);
    // What serde looks through is what is in it.
    let transparent = written::<Json, Transparent>(&Transparent { unit: () });
    assert_eq!(transparent, b"[]");
    decode::<Json, Transparent>(&transparent).unwrap();
    // Not the type `()`, but read as one.
    assert_eq!(encode::<Json, (), _>(&Value::Null).unwrap(), b"null");
}

/// A list of no elements is none of these values, and a null no list.
#[test]
fn lists_stay_lists() {
    let list = Value::Array(Vec::new());
    assert_eq!(decode::<Json, Value>(b"[]").unwrap(), list);
    assert_eq!(decode::<Cbor, Value>(&[0x80]).unwrap(), list);
    assert_eq!(decode::<MessagePack, Value>(&[0x90]).unwrap(), list);
    assert!(decode::<Json, Either>(b"[]").is_err());
    assert!(decode::<Json, Vec<u8>>(b"null").is_err());
    assert!(decode::<Cbor, Vec<u8>>(&[0xf6]).is_err());
    assert!(decode::<MessagePack, Vec<u8>>(&[0xc0]).is_err());
}

fn own_format<T: Serialize + DeserializeOwned>(value: &T) -> (Vec<u8>, T) {
    let mut octets = Vec::new();
    let mut output = Output::new(&mut octets);
    let (buffer, descriptors): (_, &mut Descriptors<'_>) = output.split();
    let mut serializer = serde_json::Serializer::new(buffer);
    descriptors.serialise(value, &mut serializer).unwrap();
    let mut deserializer = serde_json::Deserializer::from_slice(&octets);
    let read = Input::new(&octets).deserialise(&mut deserializer).unwrap();
    (octets, read)
}

#[test]
fn in_a_format_of_ones_own() {
    assert_eq!(own_format(&Value::Null), (b"null".into(), Value::Null));
    assert_eq!(
        own_format(&Either::Nothing),
        (b"null".into(), Either::Nothing)
    );
    assert_eq!(own_format(&None::<u8>), (b"null".into(), None));
    assert_eq!(own_format(&()), (b"[]".into(), ()));
    assert_eq!(own_format(&(Value::Null,)).0, b"[null]");
}
