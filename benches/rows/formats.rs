//! The formats: a value encoded, decoded, and in a whole call, which does both twice.

use std::hint::black_box;
use std::time::Duration;

use offspring::format::{Input, Output, Serialiser};
use offspring::{Bytes, Cbor, Json, MessagePack, Octets, Postcard, Worker, worker};
use serde::{Deserialize, Serialize};

use super::{Group, timed};

/// A record that a real program might send, 64 at once.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Record {
    id: u64,
    name: String,
    score: f64,
    tags: Vec<String>,
    active: bool,
    blob: Bytes,
}

fn records() -> Vec<Record> {
    (0..64u64)
        .map(|i| Record {
            id: 1_000_000_007 * (i + 1),
            name: format!("record-name-{i:04}"),
            score: i as f64 * 1.618_033_988_7 + 0.25,
            tags: vec![format!("tag{i:02}"), "alpha".into(), "beta".into()],
            active: i % 2 == 0,
            blob: (0..64u64)
                .map(|j| (i * 7 + j * 13) as u8)
                .collect::<Vec<_>>()
                .into(),
        })
        .collect()
}

fn same<T>(value: T) -> T {
    value
}

macro_rules! workers {
    ($($small:ident $large:ident $format:ident;)*) => {$(
        worker!($small: fn(String) -> String = same, serialiser = $format);
        worker!($large: fn(Bytes) -> Bytes = same, serialiser = $format);
    )*};
}
workers!(
    SMALL_OCTETS LARGE_OCTETS Octets;
    SMALL_POSTCARD LARGE_POSTCARD Postcard;
    SMALL_MESSAGEPACK LARGE_MESSAGEPACK MessagePack;
    SMALL_CBOR LARGE_CBOR Cbor;
    SMALL_JSON LARGE_JSON Json;
);
worker!(RECORDS_POSTCARD: fn(Vec<Record>) -> Vec<Record> = same, serialiser = Postcard);
worker!(RECORDS_MESSAGEPACK: fn(Vec<Record>) -> Vec<Record> = same, serialiser = MessagePack);
worker!(RECORDS_CBOR: fn(Vec<Record>) -> Vec<Record> = same, serialiser = Cbor);
worker!(RECORDS_JSON: fn(Vec<Record>) -> Vec<Record> = same, serialiser = Json);

fn encoded<S: Serialiser<T>, T>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    S::encode(value, &mut Output::new(&mut bytes)).expect("it has a form");
    bytes
}

fn encodes<S: Serialiser<T>, T>(value: T) -> impl FnMut(u64) -> Duration {
    let mut bytes = Vec::new();
    move |times| {
        timed(times, || {
            bytes.clear();
            S::encode(black_box(&value), &mut Output::new(&mut bytes)).expect("it has a form");
            black_box(&bytes);
        })
    }
}

fn decodes<S: Serialiser<T>, T: PartialEq>(value: T) -> impl FnMut(u64) -> Duration {
    let bytes = encoded::<S, T>(&value);
    assert!(S::decode(&mut Input::new(&bytes)).expect("its own form") == value);
    move |times| {
        timed(times, || {
            let value = S::decode(&mut Input::new(black_box(&bytes)));
            black_box(value.expect("its own form"));
        })
    }
}

fn calls<S, T>(value: T, worker: &'static Echo<S, T>) -> impl FnMut(u64) -> Duration
where
    S: Serialiser<T> + for<'a> Serialiser<(T,), (&'a T,)>,
    T: PartialEq + 'static,
{
    let rpc = worker.spawn().expect("a child");
    assert!(rpc.call(&value).wait().expect("an answer") == value);
    move |times| timed(times, || drop(rpc.call(&value).wait().expect("an answer")))
}

type Echo<S, T> = Worker<fn(T) -> T, S>;

/// A group for one value, and the rows of each format.
struct Value<T> {
    group: Group,
    value: T,
}

impl<T: Clone + PartialEq + 'static> Value<T> {
    /// The bare rows carry as many bytes as postcard makes of it.
    fn new(name: &'static str, value: T) -> Self
    where
        Postcard: Serialiser<T>,
    {
        let bytes = encoded::<Postcard, T>(&value).len();
        Self {
            group: Group::new(name, bytes),
            value,
        }
    }

    fn format<S>(self, worker: &'static Echo<S, T>) -> Self
    where
        S: Serialiser<T> + for<'a> Serialiser<(T,), (&'a T,)>,
    {
        let Self { group, value } = self;
        let values = [(); 3].map(|()| value.clone());
        let [first, second, third] = values;
        let group = group
            .row(&format!("{}: encode", S::NAME), || encodes::<S, T>(first))
            .row(&format!("{}: decode", S::NAME), || decodes::<S, T>(second))
            .row(&format!("{}: call", S::NAME), || calls(third, worker));
        Self { group, value }
    }
}

pub fn groups() -> Vec<Group> {
    let small = Value::new("a text of 32 bytes", "x".repeat(32))
        .format(&SMALL_OCTETS)
        .format(&SMALL_POSTCARD)
        .format(&SMALL_MESSAGEPACK)
        .format(&SMALL_CBOR)
        .format(&SMALL_JSON);
    let structured = Value::new("64 records", records())
        .format(&RECORDS_POSTCARD)
        .format(&RECORDS_MESSAGEPACK)
        .format(&RECORDS_CBOR)
        .format(&RECORDS_JSON);
    // Of all values, as JSON writes some of them in one byte, some in two, and some in six.
    let bytes: Vec<u8> = (0..1 << 20).map(|n: u32| n as u8).collect();
    let large = Value::new("1 MiB of bytes", Bytes::from(bytes))
        .format(&LARGE_OCTETS)
        .format(&LARGE_POSTCARD)
        .format(&LARGE_MESSAGEPACK)
        .format(&LARGE_CBOR)
        .format(&LARGE_JSON);
    vec![small.group, structured.group, large.group]
}
