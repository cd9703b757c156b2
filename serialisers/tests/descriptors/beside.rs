//! A value arrives the same with a descriptor beside it and without one.

use crate::*;
use proptest::collection::vec;
use proptest::prelude::*;
use serde::{Deserializer, Serializer};
use serde_json::Value as JsonValue;
use std::fmt::{self, Debug};
use std::path::PathBuf;

trait Sample: Serialize + DeserializeOwned + PartialEq + Debug {}

impl<T: Serialize + DeserializeOwned + PartialEq + Debug> Sample for T {}

/// Bytes for a visitor that takes them as a buffer only.
#[derive(Debug, PartialEq)]
struct Buffer(Vec<u8>);

impl Serialize for Buffer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Buffer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Buffer;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("octets")
            }
            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Buffer, E> {
                Ok(Buffer(bytes))
            }
        }
        deserializer.deserialize_byte_buf(Visitor)
    }
}

/// A number by its bits, so that no payload of a NaN is lost.
#[derive(Debug)]
struct Bits(f64);

impl PartialEq for Bits {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Serialize for Bits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0)
    }
}

impl<'de> Deserialize<'de> for Bits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        f64::deserialize(deserializer).map(Self)
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Nothing,
    Number(i64),
    Text(String),
    Octets(Bytes),
    Many(Vec<Self>),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Variants {
    Unit,
    Newtype(u128),
    Tuple(u8, String),
    Struct { field: Option<Bytes> },
}

/// In front of a descriptor, behind one, and without.
fn same<S, T: Sample>(value: &T)
where
    S: for<'v> Serialiser<(T,), (&'v T,)>
        + for<'v> Serialiser<(Descriptor, T, u8), (Descriptor<File>, &'v T, u8)>
        + for<'v> Serialiser<(T, Descriptor, u8), (&'v T, Descriptor<File>, u8)>
        + Serialiser<(T,), ()>
        + Serialiser<(Descriptor, T, u8), ()>
        + Serialiser<(T, Descriptor, u8), ()>,
{
    let _guard = guard();
    let bytes = write_plain::<S, (T,), _>(&(value,)).unwrap();
    let mut input = Input::new(&bytes);
    let (alone,) = <S as Serialiser<(T,), ()>>::decode(&mut input).unwrap();
    assert_eq!(alone, *value, "{}", S::NAME);

    type Behind<T> = (Descriptor, T, u8);
    let sent = write::<S, Behind<T>, _>(&(Descriptor::new(null()), value, 7)).unwrap();
    let (_descriptor, read, rest): Behind<T> = sent.read::<S, _>().unwrap();
    assert_eq!((&read, rest), (value, 7), "{}", S::NAME);

    type Front<T> = (T, Descriptor, u8);
    let sent = write::<S, Front<T>, _>(&(value, Descriptor::new(null()), 7)).unwrap();
    let (read, _descriptor, rest): Front<T> = sent.read::<S, _>().unwrap();
    assert_eq!((&read, rest), (value, 7), "{}", S::NAME);
}

fn in_all<T: Sample>(value: T) {
    same::<Json, T>(&value);
    same::<Postcard, T>(&value);
    in_cbor_and_messagepack(value);
}

fn in_cbor_and_messagepack<T: Sample>(value: T) {
    same::<Cbor, T>(&value);
    same::<MessagePack, T>(&value);
}

#[test]
fn values_of_all_kinds() {
    in_all((u128::MAX, 1u128 << 64, u64::MAX, 0u128));
    in_all((i128::MIN, i128::MAX, i64::MIN, -1i8));
    same::<Cbor, _>(&Buffer((0..=255).collect()));
    same::<Cbor, _>(&Buffer(vec![0xfe; 10_000]));
    same::<Json, _>(&Buffer(vec![0xfe; 10_000]));
    in_all(Bytes::from(vec![0xfe; 10_000]));
    in_all(vec![0xfeu8; 10_000]);
    in_all(("long".repeat(5000), 'x', String::new()));
    in_all((0.1f32, -1e300, f64::MIN_POSITIVE));
    in_all((Some(Some(false)), None::<u8>, ()));
    in_all([Some("key".to_owned()), None]);
    in_all(BTreeMap::from([("key".to_owned(), vec![-1, 70_000])]));
    in_all(PathBuf::from("/ä"));
    in_all(vec![
        Variants::Unit,
        Variants::Newtype(u128::MAX),
        Variants::Tuple(1, "text".into()),
        Variants::Struct {
            field: Some(Bytes::from(vec![0xff])),
        },
    ]);
    in_all(Ok::<Bytes, String>(Bytes::from(vec![])));
    in_cbor_and_messagepack(Bits(f64::from_bits(0x7ff4_0000_dead_beef)));
    in_cbor_and_messagepack(Bits(f64::from_bits(0xfff8_0000_0000_0001)));
    in_cbor_and_messagepack(Bits(f64::NEG_INFINITY));
    in_cbor_and_messagepack(vec![
        Untagged::Nothing,
        Untagged::Number(-7),
        Untagged::Text("text".into()),
        Untagged::Octets(Bytes::from(vec![0xff])),
        Untagged::Many(vec![Untagged::Nothing]),
    ]);
    let json = serde_json::json!({"a": [null, -1, 1.5, "text", {"b": []}], "": {}});
    same::<Json, JsonValue>(&json);
    in_cbor_and_messagepack(json);
}

#[test]
fn whatever_cbor_has() {
    use ciborium::Value;
    use ciborium::tag::{Accepted, Captured, Required};
    let tag = |tag, value: Value| Value::Tag(tag, Box::new(value));
    for value in [
        tag(0, "2013-03-21T20:04:00Z".into()),
        tag(1, 1_363_896_240.into()),
        tag(1, tag(1, Value::Null)),
        tag(2, Value::Bytes(vec![1; 17])),
        tag(u64::MAX, Value::Array(vec![tag(5, Value::Null), 1.into()])),
        Value::from(u128::MAX),
        Value::from(i128::MIN),
        Value::Null,
        Value::Bool(true),
        Value::Bytes(vec![0xff; 5000]),
        Value::Float(1.5),
        Value::Map(vec![
            (Value::Null, tag(7, Value::Null)),
            (1.into(), 2.into()),
            (1.into(), 3.into()),
        ]),
    ] {
        same::<Cbor, Value>(&value);
        same::<Cbor, (u8, Vec<Value>)>(&(1, vec![value.clone(), value]));
    }
    same::<Cbor, _>(&Required::<u64, 7>(1));
    same::<Cbor, _>(&Accepted::<String, 7>("text".into()));
    same::<Cbor, _>(&Captured(Some(7), Some("text".to_owned())));
    same::<Cbor, _>(&Captured(None, vec![Captured(Some(2), Buffer(vec![1]))]));
}

/// The same bytes, as the only argument, behind a descriptor and before one.
fn as_others_write_it<T: DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) -> Option<T> {
    let alone = [&b"\x81"[..], bytes].concat();
    let alone = <Cbor as Serialiser<(T,), ()>>::decode(&mut Input::new(&alone));
    let alone = alone.map(|(value,)| value);
    let came = || vec![null().into()];
    let behind = [&b"\x82\x00"[..], bytes].concat();
    let mut input = Input::with_descriptors(&behind, came());
    let behind = <Cbor as Serialiser<(Descriptor, T), ()>>::decode(&mut input);
    let (alone, behind) = match (alone, behind) {
        (Ok(alone), Ok((_, behind))) => (alone, behind),
        (Err(_), Err(_)) => return None,
        other => panic!("{bytes:x?}: {other:?}"),
    };
    let front = [&b"\x82"[..], bytes, b"\x00"].concat();
    let mut input = Input::with_descriptors(&front, came());
    let front = <Cbor as Serialiser<(T, Descriptor), ()>>::decode(&mut input);
    let (front, _) = front.unwrap();
    // Texts, because a NaN is not equal to itself.
    let texts = [&alone, &behind, &front].map(|value| format!("{value:?}"));
    assert!(
        texts.iter().all(|text| *text == texts[0]),
        "{bytes:x?}: {texts:?}"
    );
    Some(alone)
}

#[test]
fn with_patience_too() {
    let _guard = guard();
    let text = as_others_write_it::<Vec<String>>(b"\x82\x41a\x61b");
    assert_eq!(text.unwrap(), ["a", "b"]);
    let time = as_others_write_it::<JsonValue>(b"\xc1\x05");
    assert_eq!(time.unwrap(), JsonValue::from(5));
    let number = as_others_write_it::<f64>(b"\x02");
    assert_eq!(number, Some(2.0));
    let big = [&b"\x82\x41a\xc2\x50"[..], &[0xff; 16]].concat();
    assert_eq!(as_others_write_it(&big), Some(("a".to_owned(), u128::MAX)));
    let buffer = as_others_write_it::<(String, Buffer)>(b"\x82\x41a\x41\xff");
    assert_eq!(buffer, Some(("a".to_owned(), Buffer(vec![0xff]))));
    let shared = as_others_write_it::<Vec<String>>(b"\x82\xd8\x1c\x41x\xd8\x1d\x00");
    assert_eq!(shared.unwrap(), ["x", "x"]);
    let parts = as_others_write_it::<(Bytes, String)>(b"\x9f\x5f\x41a\x41b\xff\x7f\x61c\xff\xff");
    assert_eq!(parts, Some((Bytes::from(b"ab"), "c".to_owned())));
    assert_eq!(as_others_write_it::<String>(b"\x41\xff"), None);
    assert_eq!(as_others_write_it::<Vec<u8>>(b"\x82\x01"), None);
    assert_eq!(as_others_write_it::<u64>(b"\x1c"), None);
}

/// As deep as it may be, and no deeper.
#[test]
fn nesting_ends_at_the_same_level() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Tree(Vec<Self>);
    let _guard = guard();
    let mut read = Vec::new();
    for depth in 100..300 {
        let mut bytes = vec![0x81; depth];
        bytes.push(0x80);
        let tree = as_others_write_it::<Tree>(&bytes).is_some();
        let value = as_others_write_it::<ciborium::Value>(&bytes).is_some();
        read.push((tree, value));
    }
    assert_eq!(read.first(), Some(&(true, true)));
    assert_eq!(read.last(), Some(&(false, false)));
}

#[test]
fn where_it_is_malformed() {
    let _guard = guard();
    let bytes = b"\x82\x00\x1c";
    let mut input = Input::with_descriptors(bytes, vec![null().into()]);
    let beside = <Cbor as Serialiser<(Descriptor, u8), ()>>::decode(&mut input);
    let alone = <Cbor as Serialiser<(u8, u8), ()>>::decode(&mut Input::new(bytes));
    assert_eq!(refusal(beside), refusal(alone));
}

/// The initial bytes that mean something.
fn likely() -> impl Strategy<Value = u8> {
    let known = b"\x00\x18\x1b\x20\x3b\x40\x41\x42\x50\x5f\x60\x61\x62\x7f\x80\x81\x82\x9f\xa0\xa1\
        \xbf\xc0\xc2\xc3\xd8\x1c\x1d\xf4\xf6\xf7\xf9\xfa\xfb\xff";
    prop_oneof![any::<u8>(), proptest::sample::select(&known[..])]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_the_same(bytes in vec(likely(), 0..24)) {
        let _guard = guard();
        as_others_write_it::<ciborium::Value>(&bytes);
        as_others_write_it::<JsonValue>(&bytes);
        as_others_write_it::<Untagged>(&bytes);
        as_others_write_it::<Variants>(&bytes);
        as_others_write_it::<u128>(&bytes);
        as_others_write_it::<i128>(&bytes);
        as_others_write_it::<(f64, String)>(&bytes);
        as_others_write_it::<Vec<Bytes>>(&bytes);
        as_others_write_it::<Vec<Option<Buffer>>>(&bytes);
        as_others_write_it::<BTreeMap<String, ()>>(&bytes);
    }
}
