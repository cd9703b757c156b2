//! Values that a format cannot represent: an error where that is seen, another value where it is not.
#![cfg(all(
    feature = "cbor",
    feature = "json",
    feature = "messagepack",
    feature = "postcard"
))]

mod common;

use common::{decode, encode, refusal, written};
use offspring_serialisers::{Cbor, Json, MessagePack, Postcard};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::marker::PhantomData;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Newtype<T>(T);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct Transparent<T> {
    inner: T,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Named<T> {
    field: T,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Unit;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Nothing,
    Number(u8),
}

fn refused<S, T>(value: &T)
where
    S: offspring_serialisers::Serialiser<T>,
    T: Debug,
{
    let error = encode::<S, T, T>(value).expect_err(&format!("{value:?}"));
    let text = error.to_string();
    assert!(text.starts_with(S::NAME), "{text}");
    assert!(text.contains("would be read as `None`"), "{text}");
}

fn returns<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let json = written::<Json, T>(value);
    assert_eq!(decode::<Json, T>(&json).unwrap(), *value);
    let cbor = written::<Cbor, T>(value);
    assert_eq!(decode::<Cbor, T>(&cbor).unwrap(), *value);
    let messagepack = written::<MessagePack, T>(value);
    assert_eq!(decode::<MessagePack, T>(&messagepack).unwrap(), *value);
    in_postcard(value);
}

fn in_postcard<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let octets = written::<Postcard, T>(value);
    assert_eq!(octets, postcard::to_allocvec(value).unwrap());
    assert_eq!(decode::<Postcard, T>(&octets).unwrap(), *value);
}

/// Whole, and anywhere further in.
fn loses_a_level<T>(value: fn() -> T)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    fn each<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
        refused::<Json, T>(value);
        refused::<Cbor, T>(value);
        refused::<MessagePack, T>(value);
    }
    each(&value());
    each(&(value(),));
    each(&vec![value()]);
    each(&Named { field: value() });
    each(&Newtype(value()));
    each(&Ok::<_, ()>(value()));
    each(&BTreeMap::from([("key".to_owned(), value())]));
    each(&Some(value()));
}

#[test]
fn a_null_in_some_is_refused() {
    loses_a_level(|| Some(()));
    loses_a_level(|| Some(None::<u8>));
    loses_a_level(|| Some(Some(None::<u8>)));
    loses_a_level(|| Some(Box::new(None::<String>)));
    loses_a_level(|| Some(Newtype(())));
    loses_a_level(|| Some(Newtype(None::<u8>)));
    loses_a_level(|| Newtype(Some(Newtype(Newtype(None::<u8>)))));
    loses_a_level(|| Some(Transparent { inner: None::<u8> }));
    loses_a_level(|| Some(Value::Null));
    loses_a_level(|| Some(Untagged::Nothing));
    let in_postcard_alone: Vec<Option<Option<()>>> = vec![None, Some(None), Some(Some(()))];
    in_postcard(&in_postcard_alone);
    in_postcard(&Some(Newtype(None::<u8>)));
}

/// MessagePack writes an empty list for a unit struct, which is no null.
#[test]
fn a_unit_struct_in_some_is_refused_where_it_is_a_null() {
    refused::<Json, _>(&Some(Unit));
    refused::<Cbor, _>(&Some(Unit));
    refused::<Cbor, _>(&Some(PhantomData::<u8>));
    let octets = written::<MessagePack, _>(&vec![Some(Unit), None]);
    let read = decode::<MessagePack, Vec<Option<Unit>>>(&octets).unwrap();
    assert_eq!(read, [Some(Unit), None]);
    in_postcard(&Some(Unit));
}

#[test]
fn what_is_no_null_may_be_in_some() {
    returns(&None::<()>);
    returns(&None::<Option<u8>>);
    returns(&Some(Some(Some(7))));
    returns(&Some(Some(String::new())));
    returns(&Some(Newtype(Some(1u8))));
    returns(&Some((None::<u8>, ())));
    returns(&Some(vec![None, Some(1u8)]));
    returns(&Some(Named { field: None::<u8> }));
    returns(&Some(Ok::<(), String>(())));
    returns(&Some([None::<u8>]));
    returns(&(Some(1u8), None::<u8>, ()));
    returns(&Some(BTreeMap::from([(1u8, None::<u8>)])));
    let value = Some(Value::from(vec![Value::Null]));
    let read: Option<Value> = decode::<Json, _>(&written::<Json, _>(&value)).unwrap();
    assert_eq!(read, value);
}

mod null_or_absent {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T: Serialize, S: Serializer>(
        value: &Option<Option<T>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(inner) => inner.serialize(serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Option<T>>, D::Error> {
        Option::deserialize(deserializer).map(Some)
    }
}

/// `None` is left out, `Some(None)` is null.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Patch {
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "null_or_absent"
    )]
    name: Option<Option<u8>>,
}

#[test]
fn a_field_may_tell_null_from_absent() {
    for name in [None, Some(None), Some(Some(7))] {
        let patch = Patch { name };
        let json = written::<Json, Patch>(&patch);
        assert_eq!(decode::<Json, Patch>(&json).unwrap(), patch);
        let cbor = written::<Cbor, Patch>(&patch);
        assert_eq!(decode::<Cbor, Patch>(&cbor).unwrap(), patch);
        let messagepack = written::<MessagePack, Patch>(&patch);
        assert_eq!(decode::<MessagePack, Patch>(&messagepack).unwrap(), patch);
    }
}

/// In bytes of another program a null is the outer `None`.
#[test]
fn a_null_is_read_as_the_outer_none() {
    assert_eq!(decode::<Json, Option<Option<u8>>>(b"null").unwrap(), None);
    assert_eq!(decode::<Cbor, Option<()>>(&[0xf6]).unwrap(), None);
    let read = decode::<MessagePack, Option<Option<u8>>>(&[0xc0]);
    assert_eq!(read.unwrap(), None);
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Skipping {
    #[serde(default, skip_serializing_if = "is_zero")]
    first: u8,
    second: Vec<u8>,
}

fn is_zero(number: &u8) -> bool {
    *number == 0
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum SkippingVariant {
    Variant {
        #[serde(default, skip_serializing_if = "is_zero")]
        first: u8,
        second: Vec<u8>,
    },
}

#[test]
fn a_field_that_is_left_out_of_postcard_is_refused() {
    let skipping = |first| Skipping {
        first,
        second: vec![1, 9],
    };
    let error = encode::<Postcard, Skipping, _>(&skipping(0)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "postcard: `Skipping` leaves its field `first` out (`skip_serializing_if`), and the next \
         one would be read in its place: write all fields, or take `Cbor`, `Json` or `MessagePack`"
    );
    let error = encode::<Postcard, (u8, Vec<Skipping>), _>(&(1, vec![skipping(0)])).unwrap_err();
    assert!(error.to_string().contains("`first`"), "{error}");
    let variant = |first| SkippingVariant::Variant {
        first,
        second: vec![1, 9],
    };
    let error = encode::<Postcard, SkippingVariant, _>(&variant(0)).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("`Variant` leaves its field `first` out"),
        "{error}"
    );
    returns(&skipping(7));
    returns(&variant(7));
    let json = written::<Json, _>(&skipping(0));
    assert_eq!(json, br#"{"second":[1,9]}"#);
    assert_eq!(decode::<Json, Skipping>(&json).unwrap(), skipping(0));
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Unit,
    Named { field: u8 },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Flattened {
    #[serde(flatten)]
    rest: BTreeMap<String, u8>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct FlattenedStruct {
    before: u8,
    #[serde(flatten)]
    rest: Named<u8>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum UntaggedVariant {
    Known(u8),
    #[serde(untagged)]
    Unknown(u16),
}

fn needs_kinds<T: Serialize + DeserializeOwned + Debug>(value: &T) {
    for error in [
        refusal::<Postcard, T>(&written::<Postcard, T>(value)),
        refusal::<Postcard, (u8, T)>(&encode::<Postcard, (u8, T), _>(&(1u8, value)).unwrap()),
        refusal::<Postcard, Vec<T>>(&encode::<Postcard, Vec<T>, _>(&[value, value][..]).unwrap()),
    ] {
        assert!(
            error.starts_with("postcard: the type wants to know"),
            "{error}"
        );
        assert!(error.contains("`untagged`"), "{error}");
        assert!(
            error.contains("take `Cbor`, `Json` or `MessagePack`"),
            "{error}"
        );
    }
}

/// They are written, and refused where they are to be read.
#[test]
fn a_type_that_wants_to_know_what_comes_is_refused_by_postcard() {
    needs_kinds(&Untagged::Nothing);
    needs_kinds(&Untagged::Number(7));
    needs_kinds(&Tagged::Unit);
    needs_kinds(&Tagged::Named { field: 7 });
    needs_kinds(&UntaggedVariant::Known(7));
    needs_kinds(&Value::Null);
    needs_kinds(&Value::from(7));
    needs_kinds(&ciborium::Value::from(7));
    // Such a part that does not come is not asked for.
    in_postcard(&None::<Untagged>);
    in_postcard(&Vec::<Value>::new());
}

#[test]
fn a_length_that_is_not_known_is_refused_by_postcard() {
    let flattened = Flattened {
        rest: [("one".to_owned(), 1)].into(),
    };
    let inside = FlattenedStruct {
        before: 1,
        rest: Named { field: 2 },
    };
    for error in [
        encode::<Postcard, Flattened, _>(&flattened).unwrap_err(),
        encode::<Postcard, FlattenedStruct, _>(&inside).unwrap_err(),
        encode::<Postcard, (u8, Vec<FlattenedStruct>), _>(&(1, vec![inside])).unwrap_err(),
    ] {
        let error = error.to_string();
        assert!(error.contains("`flatten`"), "{error}");
        assert!(
            error.contains("take `Cbor`, `Json` or `MessagePack`"),
            "{error}"
        );
    }
    let error = refusal::<Postcard, Flattened>(&[1, 1, b'a', 1]);
    assert!(error.contains("`flatten`"), "{error}");
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum SkippedVariant {
    A(u8),
    #[serde(skip)]
    B,
    C(u8),
    D(u8),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct SkippingTuple(
    #[serde(default, skip_serializing_if = "is_zero")] u8,
    #[serde(default)] Vec<u8>,
);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct WriteOnly {
    #[serde(skip_deserializing)]
    first: u8,
    second: u8,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct ReadOnly {
    #[serde(skip_serializing, default)]
    first: u8,
    second: u8,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
struct TaggedStruct {
    field: u8,
}

/// Nothing of this can be seen: the side that writes counts in another way than the side that
/// reads. "Which serialiser", in the README, says so. Where names are written all is well.
#[test]
fn what_postcard_loses_unseen() {
    type Skip = SkippedVariant;
    let octets = written::<Postcard, _>(&Skip::C(7));
    assert_eq!(decode::<Postcard, Skip>(&octets).unwrap(), Skip::D(7));
    let octets = written::<Postcard, _>(&Skip::D(7));
    assert!(refusal::<Postcard, Skip>(&octets).starts_with("postcard: "));
    in_postcard(&Skip::A(7));

    let octets = written::<Postcard, _>(&SkippingTuple(0, vec![1, 9]));
    let read = decode::<Postcard, SkippingTuple>(&octets).unwrap();
    assert_eq!(read, SkippingTuple(2, vec![9]));

    let value = WriteOnly {
        first: 1,
        second: 2,
    };
    let octets = written::<Postcard, _>(&(value, 0xffu8));
    assert!(refusal::<Postcard, (WriteOnly, u8)>(&octets).contains("left over"));
    let value = ReadOnly {
        first: 1,
        second: 2,
    };
    let octets = written::<Postcard, _>(&(value, 0xffu8, 3u8));
    let error = refusal::<Postcard, (ReadOnly, u8, u8)>(&octets);
    assert!(error.starts_with("postcard: "), "{error}");

    let octets = written::<Postcard, _>(&TaggedStruct { field: 7 });
    assert_eq!(octets, b"\x0cTaggedStruct\x07");
    assert!(refusal::<Postcard, TaggedStruct>(&octets).contains("left over"));

    let json = written::<Json, _>(&(Skip::C(7), Skip::D(7)));
    let read = decode::<Json, (Skip, Skip)>(&json).unwrap();
    assert_eq!(read, (Skip::C(7), Skip::D(7)));
}

/// A value of the variant itself is refused, by serde.
#[test]
fn a_skipped_variant_is_refused() {
    let error = encode::<Postcard, SkippedVariant, _>(&SkippedVariant::B).unwrap_err();
    assert!(error.to_string().contains("serde is to skip"), "{error}");
    let error = encode::<Json, SkippedVariant, _>(&SkippedVariant::B).unwrap_err();
    assert!(
        error.to_string().contains("cannot be serialized"),
        "{error}"
    );
}
