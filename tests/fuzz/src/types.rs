//! Types of every kind that serde knows, and values of them out of any bytes.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::ops::Range;
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use offspring_serialisers::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A type that is written, read, and made of any bytes.
pub(crate) trait Value:
    Serialize + DeserializeOwned + Debug + for<'a> Arbitrary<'a> + 'static
{
}

impl<T: Serialize + DeserializeOwned + Debug + for<'a> Arbitrary<'a> + 'static> Value for T {}

#[derive(Debug, Serialize, Deserialize, Arbitrary)]
pub(crate) struct Integers {
    a: (u8, u16, u32, u64),
    b: (i8, i16, i32, i64),
    c: NonZeroU16,
    d: Vec<i64>,
    e: [u32; 3],
    f: (usize, isize),
}

#[derive(Debug, Serialize, Deserialize, Arbitrary)]
pub(crate) struct Wide(u128, i128, Vec<i128>);

#[derive(Debug, Serialize, Deserialize, Arbitrary)]
pub(crate) struct Floats {
    single: f32,
    double: f64,
    more: Vec<f64>,
    perhaps: Option<f32>,
}

#[derive(Debug, Serialize, Deserialize, Arbitrary)]
pub(crate) struct Texts {
    letter: char,
    text: String,
    lent: Lent,
    bytes: ManyBytes,
    list: Vec<u8>,
    flag: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Lent(Cow<'static, str>);

impl<'a> Arbitrary<'a> for Lent {
    fn arbitrary(data: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(Self(data.arbitrary::<String>()?.into()))
    }
}

/// [`Bytes`], made of any.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct ManyBytes(Bytes);

impl<'a> Arbitrary<'a> for ManyBytes {
    fn arbitrary(data: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(Self(data.arbitrary::<Vec<u8>>()?.into()))
    }
}

#[derive(Debug, Serialize, Deserialize, Arbitrary)]
pub(crate) struct Options {
    one: Option<u8>,
    two: Option<Option<u8>>,
    three: Option<Option<Option<bool>>>,
    unit: Option<()>,
    list: Option<Vec<Option<String>>>,
    structure: Option<Unit>,
    inside: Box<Option<(Option<i8>, Option<()>)>>,
}

#[derive(Debug, Serialize, Deserialize, Arbitrary)]
pub(crate) struct Unit;

#[derive(Debug, Serialize, Deserialize, Arbitrary)]
pub(crate) struct Newtype(Option<Box<Options>>);

#[derive(Debug, Serialize, Deserialize, Arbitrary)]
pub(crate) enum Plain {
    Unit,
    Newtype(u64),
    Option(Option<u8>),
    Tuple(i8, String),
    Empty(),
    Struct { a: f64, b: Vec<Self> },
    Hollow {},
    Text(String),
    Nested(Box<Self>),
    Nothing(()),
}

#[derive(Debug, Serialize, Deserialize, Arbitrary)]
#[serde(tag = "kind")]
pub(crate) enum Tagged {
    Unit,
    Struct {
        a: u32,
        b: Option<Vec<i16>>,
        c: String,
    },
    Newtype(Inner),
}

#[derive(Debug, Serialize, Deserialize, Arbitrary)]
#[serde(tag = "t", content = "c")]
pub(crate) enum Adjacent {
    Unit,
    Newtype(i64),
    Tuple(u8, Option<bool>),
    Struct { a: String },
}

#[derive(Debug, Serialize, Deserialize, Arbitrary)]
#[serde(untagged)]
pub(crate) enum Untagged {
    Number(i64),
    Text(String),
    Pair(bool, bool),
    Struct { field: Option<u8> },
    Nothing,
}

#[derive(Debug, Serialize, Deserialize, Arbitrary)]
pub(crate) struct Inner {
    x: i32,
    y: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, Arbitrary)]
pub(crate) struct Flattened {
    before: u8,
    #[serde(flatten)]
    inner: Inner,
    #[serde(flatten)]
    kind: Tagged,
}

#[derive(Debug, Serialize, Deserialize, Arbitrary)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Attributes {
    #[serde(alias = "other")]
    aliased_field: u16,
    #[serde(rename = "type")]
    renamed: String,
    #[serde(default)]
    by_default: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    left_out: Option<u8>,
    #[serde(skip)]
    #[arbitrary(default)]
    _skipped: u64,
    #[serde(with = "as_text")]
    with: i32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    last: Vec<bool>,
}

#[derive(Debug, Serialize, Deserialize, Arbitrary)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE", rename_all_fields = "camelCase")]
pub(crate) enum Variants {
    #[serde(alias = "Nil")]
    FirstOne,
    #[serde(rename = "2")]
    SecondOne {
        some_field: u8,
        #[serde(default)]
        other_field: i8,
    },
    Third(#[serde(with = "as_text")] i32),
    #[serde(skip)]
    Never,
}

#[derive(Debug, Clone, Serialize, Deserialize, Arbitrary)]
#[serde(from = "(u8, i16)", into = "(u8, i16)")]
pub(crate) struct Converted {
    one: u8,
    two: i16,
}

impl From<(u8, i16)> for Converted {
    fn from((one, two): (u8, i16)) -> Self {
        Self { one, two }
    }
}

impl From<Converted> for (u8, i16) {
    fn from(Converted { one, two }: Converted) -> Self {
        (one, two)
    }
}

#[derive(Debug, Serialize, Deserialize, Arbitrary)]
#[serde(deny_unknown_fields)]
pub(crate) struct Strict {
    known: u8,
    #[serde(default)]
    perhaps: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, Arbitrary)]
pub(crate) enum WithOther {
    One,
    Two,
    #[serde(other)]
    Other,
}

#[derive(Debug, Serialize, Deserialize, Arbitrary)]
#[serde(tag = "kind")]
pub(crate) enum TaggedWithOther {
    One {
        a: u8,
    },
    #[serde(other)]
    Other,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub(crate) struct Even(u16);

impl TryFrom<u16> for Even {
    type Error = String;

    fn try_from(number: u16) -> Result<Self, String> {
        let is_even = number.is_multiple_of(2);
        is_even
            .then_some(Self(number))
            .ok_or_else(|| format!("{number} is odd"))
    }
}

impl From<Even> for u16 {
    fn from(Even(number): Even) -> Self {
        number
    }
}

impl<'a> Arbitrary<'a> for Even {
    fn arbitrary(data: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(Self(data.arbitrary::<u16>()? & !1))
    }
}

#[derive(Debug, Default, Serialize, Deserialize, Arbitrary)]
#[serde(default)]
pub(crate) struct AllByDefault {
    number: i32,
    text: String,
    list: Vec<Option<u8>>,
}

#[derive(Debug, Serialize, Deserialize, Arbitrary)]
pub(crate) struct FlattenedMap {
    before: u8,
    #[serde(flatten)]
    rest: BTreeMap<String, Option<i64>>,
}

#[derive(Debug, Serialize, Deserialize, Arbitrary)]
pub(crate) enum UntaggedVariant {
    Unit,
    Number(u8),
    #[serde(untagged)]
    Text(String),
    #[serde(untagged)]
    Pair(bool, i8),
}

/// Fields that are written and not read, or the reverse: of a type that holds nothing, so that nothing is lost.
#[expect(dead_code, reason = "one of them is read by nothing")]
#[derive(Debug, Serialize, Deserialize, Arbitrary)]
pub(crate) struct OneWay {
    number: u8,
    #[serde(skip_deserializing)]
    written: (),
    #[serde(skip_serializing, default)]
    read: (),
    last: Option<u8>,
}

mod as_text {
    use super::*;

    pub(super) fn serialize<S: Serializer>(number: &i32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Arbitrary)]
pub(crate) enum Key {
    One,
    Two,
}

#[derive(Debug, Serialize, Deserialize, Arbitrary)]
pub(crate) struct Maps {
    by_text: BTreeMap<String, Option<u8>>,
    by_number: BTreeMap<i16, Vec<u8>>,
    by_letter: BTreeMap<char, ()>,
    by_flag: BTreeMap<bool, u8>,
    by_key: BTreeMap<Key, BTreeMap<u8, String>>,
    set: BTreeSet<u64>,
}

#[derive(Debug, Serialize, Deserialize, Arbitrary)]
pub(crate) struct Others {
    time: Duration,
    address: IpAddr,
    range: Range<u16>,
    result: Result<u8, String>,
    results: Vec<Result<(), ()>>,
    converted: Converted,
}

#[derive(Debug, Serialize, Deserialize, Arbitrary)]
pub(crate) struct Tree {
    value: Option<i8>,
    branches: Vec<Self>,
}

pub(crate) type Everything = (Vec<Plain>, Option<Box<Adjacent>>, Newtype, Maps, Attributes);

/// Does this for the type of that number, of all.
macro_rules! for_each_type {
    ($which:expr, $do:ident ($($argument:expr),*)) => {
        for_each_type!(@ $which, $do ($($argument),*):
            0 Integers, 1 Wide, 2 Floats, 3 Texts, 4 Options, 5 Unit, 6 Newtype, 7 Plain, 8 Tagged, 9 Adjacent, 10 Untagged,
            11 Flattened, 12 Attributes, 13 Variants, 14 Maps, 15 Others, 16 Tree, 17 Everything, 18 (), 19 Vec<()>, 20 u8,
            21 (String,), 22 (Plain, Option<Plain>), 23 Vec<Untagged>, 24 Option<()>, 25 Vec<(i64, Floats)>,
            26 Strict, 27 Vec<WithOther>, 28 Vec<TaggedWithOther>, 29 (Even, Vec<Even>), 30 AllByDefault, 31 FlattenedMap,
            32 Vec<UntaggedVariant>, 33 Vec<OneWay>)
    };
    (@ $which:expr, $do:ident $arguments:tt: $($number:literal $type:ty),*) => {
        match $which % 34 {
            $($number => for_each_type!(@call $do $type, $arguments),)*
            _ => unreachable!(),
        }
    };
    (@call $do:ident $type:ty, ($($argument:expr),*)) => { $do::<$type>($($argument),*) };
}
pub(crate) use for_each_type;
