//! Every attribute of serde that the library of a format supports works here, with the same bytes.
#![cfg(all(
    feature = "cbor",
    feature = "json",
    feature = "messagepack",
    feature = "postcard"
))]

mod common;

use common::{decode, written};
use offspring_serialisers::{
    Bytes, Cbor, Descriptors, Error, Format, Input, Json, MessagePack, Output, Postcard, Serialiser,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Debug;

trait Sample: Serialize + DeserializeOwned + PartialEq + Debug {}

impl<T: Serialize + DeserializeOwned + PartialEq + Debug> Sample for T {}

/// A format of the user's that says no more of its values than postcard itself.
struct OwnPostcard;

impl Format for OwnPostcard {
    const NAME: &'static str = "own-postcard";
}

impl<T: DeserializeOwned, Sent: Serialize + ?Sized> Serialiser<T, Sent> for OwnPostcard {
    fn encode(value: &Sent, output: &mut Output<'_>) -> Result<(), Error> {
        let (octets, descriptors): (_, &mut Descriptors<'_>) = output.split();
        let flavour = postcard::ser_flavors::StdVec::new();
        let mut serializer = postcard::Serializer { output: flavour };
        let written = descriptors.serialise(value, &mut serializer);
        written.map_err(Error::other)?;
        let new = postcard::ser_flavors::Flavor::finalize(serializer.output);
        octets.extend(new.map_err(Error::other)?);
        Ok(())
    }

    fn decode(input: &mut Input<'_>) -> Result<T, Error> {
        let mut deserializer = postcard::Deserializer::from_bytes(input.bytes());
        let value = input.deserialise(&mut deserializer);
        let value = value.map_err(Error::other)?;
        let rest = deserializer.finalize().map_err(Error::other)?;
        assert!(rest.is_empty(), "bytes left over");
        Ok(value)
    }
}

fn in_postcard<T: Sample>(value: &T) {
    let plain = postcard::to_allocvec(value).unwrap();
    assert_eq!(postcard::from_bytes::<T>(&plain).unwrap(), *value);
    assert_eq!(written::<Postcard, T>(value), plain, "{value:?}");
    assert_eq!(decode::<Postcard, T>(&plain).unwrap(), *value);
    assert_eq!(written::<OwnPostcard, T>(value), plain, "{value:?}");
    assert_eq!(decode::<OwnPostcard, T>(&plain).unwrap(), *value);
}

fn in_json<T: Sample>(value: &T) {
    let plain = serde_json::to_vec(value).unwrap();
    assert_eq!(written::<Json, T>(value), plain, "{value:?}");
    assert_eq!(decode::<Json, T>(&plain).unwrap(), *value);
}

fn in_cbor<T: Sample>(value: &T) {
    let mut plain = Vec::new();
    ciborium::into_writer(value, &mut plain).unwrap();
    assert_eq!(written::<Cbor, T>(value), plain, "{value:?}");
    assert_eq!(decode::<Cbor, T>(&plain).unwrap(), *value);
}

fn in_messagepack<T: Sample>(value: &T) {
    let named = rmp_serde::to_vec_named(value).unwrap();
    assert_eq!(written::<MessagePack, T>(value), named, "{value:?}");
    assert_eq!(decode::<MessagePack, T>(&named).unwrap(), *value);
    // As it is without names.
    let plain = rmp_serde::to_vec(value).unwrap();
    if rmp_serde::from_slice::<T>(&plain).is_ok_and(|read| read == *value) {
        assert_eq!(decode::<MessagePack, T>(&plain).unwrap(), *value);
    }
}

fn where_names_are_written<T: Sample>(value: &T) {
    in_json(value);
    in_cbor(value);
    in_messagepack(value);
}

fn everywhere<T: Sample>(value: T) {
    in_postcard(&value);
    where_names_are_written(&value);
    // Further in, with something behind it that would be read wrong.
    let inside = (1u8, vec![(value, 0xffu8)], "end".to_owned());
    in_postcard(&inside);
    where_names_are_written(&inside);
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Aliased {
    #[serde(alias = "first", alias = "erste")]
    one: u32,
    #[serde(default, rename = "zwei", alias = "second")]
    two: String,
    #[serde(alias = "last")]
    three: Option<Box<Self>>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum AliasedVariants {
    #[serde(alias = "Nothing", alias = "Nil")]
    Unit,
    #[serde(alias = "New")]
    Newtype(Aliased),
    #[serde(rename = "pair", alias = "two")]
    Tuple(u8, Aliased),
    #[serde(alias = "Named")]
    Struct {
        #[serde(alias = "x", alias = "y", alias = "z")]
        field: u16,
        #[serde(alias = "w")]
        other: Bytes,
    },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE", deny_unknown_fields, default)]
struct Renamed {
    field_one: u8,
    #[serde(rename(serialize = "twice", deserialize = "twice"))]
    field_two: i64,
}

impl Default for Renamed {
    fn default() -> Self {
        Self {
            field_one: 1,
            field_two: 2,
        }
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "UPPERCASE")]
enum RenamedVariants {
    FirstOfAll { in_it: bool },
    SecondOfAll,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct Transparent {
    value: Vec<u16>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Skipping {
    before: u8,
    #[serde(skip)]
    skipped: u64,
    after: u8,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct SkippingTuple(u8, #[serde(skip)] u64, u8);

/// Nothing comes behind it, so nothing is shifted.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum SkippedLast {
    A(u8),
    B,
    #[serde(skip)]
    #[expect(dead_code, reason = "it is skipped")]
    Skipped,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "(u8, u8)", into = "(u8, u8)")]
struct Converted {
    sum: u8,
    product: u8,
}

impl From<(u8, u8)> for Converted {
    fn from((sum, product): (u8, u8)) -> Self {
        Self { sum, product }
    }
}

impl From<Converted> for (u8, u8) {
    fn from(Converted { sum, product }: Converted) -> Self {
        (sum, product)
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String")]
struct Short(String);

impl TryFrom<String> for Short {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        if text.len() > 5 {
            Err("too long")
        } else {
            Ok(Self(text))
        }
    }
}

mod as_text {
    use super::*;

    pub(super) fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct With {
    #[serde(with = "as_text", alias = "count")]
    number: u64,
    #[serde(
        serialize_with = "as_text::serialize",
        deserialize_with = "as_text::deserialize"
    )]
    other: u64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum WithVariant {
    #[serde(with = "as_text")]
    Number(u64),
}

mod elsewhere {
    #[derive(Debug, PartialEq)]
    pub(super) struct Duration {
        pub(super) seconds: u64,
        pub(super) nanos: u32,
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "elsewhere::Duration")]
struct DurationDef {
    #[serde(alias = "secs")]
    seconds: u64,
    nanos: u32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Remote(#[serde(with = "DurationDef")] elsewhere::Duration);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Borrowing {
    text: Cow<'static, str>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound = "T: Serialize + DeserializeOwned")]
struct Generic<T> {
    #[serde(alias = "item")]
    value: T,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct SometimesSkipping {
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "perhaps")]
    maybe: Option<u8>,
    list: Vec<u8>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Newtype(Aliased);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Unit;

fn aliased() -> Aliased {
    Aliased {
        one: 1,
        two: "two".into(),
        three: Some(Box::new(Aliased {
            one: u32::MAX,
            two: String::new(),
            three: None,
        })),
    }
}

#[test]
fn those_that_plain_postcard_takes() {
    everywhere(aliased());
    everywhere(Newtype(aliased()));
    everywhere(BTreeMap::from([("key".to_owned(), aliased())]));
    everywhere(Generic { value: aliased() });
    everywhere(AliasedVariants::Unit);
    everywhere(AliasedVariants::Newtype(aliased()));
    everywhere(AliasedVariants::Tuple(7, aliased()));
    everywhere(AliasedVariants::Struct {
        field: 300,
        other: Bytes::from(vec![0xff; 3]),
    });
    everywhere(Renamed::default());
    everywhere(RenamedVariants::FirstOfAll { in_it: true });
    everywhere(RenamedVariants::SecondOfAll);
    everywhere(Transparent {
        value: vec![1, 1000],
    });
    everywhere(Skipping {
        before: 1,
        skipped: 0,
        after: 2,
    });
    everywhere(SkippingTuple(1, 0, 2));
    everywhere(SkippedLast::A(1));
    everywhere(SkippedLast::B);
    everywhere(Converted { sum: 1, product: 2 });
    everywhere(Short("short".into()));
    everywhere(With {
        number: 7,
        other: u64::MAX,
    });
    everywhere(WithVariant::Number(7));
    everywhere(Remote(elsewhere::Duration {
        seconds: 1,
        nanos: 2,
    }));
    everywhere(Borrowing {
        text: "text".into(),
    });
    everywhere(Generic { value: (1u8, 2u8) });
    everywhere(SometimesSkipping {
        maybe: Some(1),
        list: vec![2],
    });
    everywhere(Unit);
}

/// The other name, by which a field or a variant may come.
#[test]
fn aliases_are_read() {
    let json = br#"{"erste":1,"second":"two","last":null}"#;
    let read = decode::<Json, Aliased>(json).unwrap();
    assert_eq!((read.one, read.two.as_str(), read.three), (1, "two", None));
    let read = decode::<Json, AliasedVariants>(br#""Nil""#).unwrap();
    assert_eq!(read, AliasedVariants::Unit);
}

/// A list has an end where it says so, also if the type has more names than fields.
#[test]
fn elements_behind_aliased_ones_are_left_over() {
    let value = (1u32, "two", None::<u8>, 4u8);
    let octets = rmp_serde::to_vec(&value).unwrap();
    let error = decode::<MessagePack, Aliased>(&octets).unwrap_err();
    assert!(
        error.to_string().contains("wanted 3 elements, got 4"),
        "{error}"
    );
    let octets = postcard::to_allocvec(&value).unwrap();
    let error = decode::<Postcard, Aliased>(&octets).unwrap_err();
    assert!(error.to_string().contains("left over"), "{error}");
    let error = decode::<Postcard, Aliased>(&octets[..2]).unwrap_err();
    assert!(error.to_string().starts_with("postcard: "), "{error}");
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(u8),
    Text(String),
    Named {
        #[serde(alias = "x")]
        field: u8,
    },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Unit,
    Named {
        #[serde(alias = "x")]
        field: u8,
    },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "content")]
enum Adjacent {
    Unit,
    Newtype(Aliased),
    Tuple(u8, u8),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Flattened {
    #[serde(alias = "a")]
    one: u8,
    #[serde(flatten)]
    rest: BTreeMap<String, u8>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Other {
    Known,
    #[serde(other)]
    Unknown,
}

/// Reads every value that plain postcard reads, and refuses every value that it refuses.
fn as_in_plain_postcard<T: Sample>(value: &T) {
    let plain = postcard::to_allocvec(value).unwrap();
    match postcard::from_bytes::<T>(&plain) {
        Ok(read) => {
            assert_eq!(read, *value);
            in_postcard(value);
        }
        Err(_) => {
            decode::<Postcard, T>(&plain).unwrap_err();
            decode::<OwnPostcard, T>(&plain).unwrap_err();
        }
    }
}

#[test]
fn those_that_it_may_take() {
    as_in_plain_postcard(&Adjacent::Unit);
    as_in_plain_postcard(&Adjacent::Newtype(aliased()));
    as_in_plain_postcard(&Adjacent::Tuple(1, 2));
    as_in_plain_postcard(&(Adjacent::Tuple(1, 2), 3u8));
    as_in_plain_postcard(&Other::Known);
    as_in_plain_postcard(&Untagged::Number(7));
    as_in_plain_postcard(&Tagged::Named { field: 1 });
}

#[test]
fn types_of_the_standard_library() {
    use std::time::{Duration, UNIX_EPOCH};
    everywhere(Duration::new(1, 2));
    everywhere(UNIX_EPOCH + Duration::from_secs(3));
    everywhere(1u8..3);
    everywhere(4u16..=5);
    everywhere(std::ops::Bound::Included(6u32));
    everywhere(std::num::NonZeroU64::MIN);
    everywhere(std::num::Wrapping(7i16));
    everywhere(std::net::Ipv6Addr::LOCALHOST);
    everywhere(std::net::SocketAddr::from(([127, 0, 0, 1], 80)));
    everywhere(std::cell::RefCell::new(Some('x')));
    everywhere(std::collections::BTreeSet::from([1i64, -1]));
    everywhere(Ok::<_, String>([1u8, 2]));
    everywhere((u128::MAX, i128::MIN));
    everywhere(Some(Some(false)));
}

#[test]
fn those_that_need_names() {
    where_names_are_written(&Untagged::Number(7));
    where_names_are_written(&Untagged::Text("text".into()));
    where_names_are_written(&Untagged::Named { field: 1 });
    where_names_are_written(&Tagged::Unit);
    where_names_are_written(&Tagged::Named { field: 1 });
    where_names_are_written(&Adjacent::Unit);
    where_names_are_written(&Adjacent::Newtype(aliased()));
    where_names_are_written(&Adjacent::Tuple(1, 2));
    where_names_are_written(&Flattened {
        one: 1,
        rest: [("two".into(), 2)].into(),
    });
    where_names_are_written(&Other::Known);
    where_names_are_written(&Other::Unknown);
    where_names_are_written(&SometimesSkipping {
        maybe: None,
        list: vec![2],
    });
}
