//! Hostile bytes are an error, in bounded time and on a small stack.
#![cfg(all(
    feature = "cbor",
    feature = "json",
    feature = "messagepack",
    feature = "postcard"
))]

mod common;

use common::{decode, encode};
use offspring_serialisers::{Bytes, Cbor, Json, MessagePack, Octets, Postcard};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::PathBuf;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Tree(Vec<Self>);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Chain {
    next: Option<Box<Self>>,
}

/// A type that recurses without a byte being read, in formats that do not encode `Some`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Endless(Option<Box<Self>>);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Peano {
    Zero,
    Successor(Box<Self>),
    Both(Box<Self>, Box<Self>),
    Named { of: Box<Self> },
}

/// Reads in every format over serde; all that matters is that it comes to an end.
fn read_in_all<T: DeserializeOwned>(octets: &[u8]) {
    let _ = decode::<Cbor, T>(octets);
    let _ = decode::<Json, T>(octets);
    let _ = decode::<MessagePack, T>(octets);
    let _ = decode::<Postcard, T>(octets);
}

fn read_all_types(octets: &[u8]) {
    read_in_all::<()>(octets);
    read_in_all::<(u8, String, Vec<Option<i64>>)>(octets);
    read_in_all::<Tree>(octets);
    read_in_all::<Chain>(octets);
    read_in_all::<Endless>(octets);
    read_in_all::<Peano>(octets);
    read_in_all::<(Bytes, f64, char, i128)>(octets);
    read_in_all::<BTreeMap<String, Vec<u8>>>(octets);
    read_in_all::<Vec<(PathBuf, bool)>>(octets);
    read_in_all::<serde_json::Value>(octets);
    read_in_all::<Vec<()>>(octets);
    let _ = decode::<Octets, ()>(octets);
    let _ = decode::<Octets, Vec<Vec<u8>>>(octets);
    let _ = decode::<Octets, (String, PathBuf, [u8; 4])>(octets);
    let _ = decode::<Octets, [Bytes; 3]>(octets);
}

/// Bytes that add a level of nesting each.
#[test]
fn depth_is_an_error() {
    let deep: [&[u8]; 14] = [
        b"[",
        b"{\"next\":",
        b"{\"Successor\":",
        b"{\"Named\":{\"of\":",
        b"1",
        b"\x81",
        b"\xa1\x64next",
        b"\xa1\x69Successor",
        b"\x9f",
        b"\xc1",
        b"\x91",
        b"\x81\xa4next",
        b"\x81\xa9Successor",
        b"\x01",
    ];
    for part in deep {
        read_all_types(&part.repeat(200_000));
    }
    read_all_types(&b"\xd8\x1c\x81".repeat(100_000));
    read_all_types(&b"\x02\x01".repeat(100_000));
    read_all_types(&b"\x03".repeat(100_000));
}

#[test]
fn depth_is_named_as_the_reason() {
    let ones = [1; 100_000];
    for error in [
        decode::<Postcard, Tree>(&ones).unwrap_err(),
        decode::<Postcard, Chain>(&ones).unwrap_err(),
        decode::<Postcard, Endless>(&ones).unwrap_err(),
        decode::<Postcard, Peano>(&ones).unwrap_err(),
        decode::<Json, Endless>(b"1").unwrap_err(),
        decode::<Cbor, Endless>(&[1]).unwrap_err(),
        decode::<MessagePack, Endless>(&[1]).unwrap_err(),
        decode::<MessagePack, Tree>(&[0x91; 100_000]).unwrap_err(),
    ] {
        assert!(
            error.to_string().contains("nested deeper than 256 levels"),
            "{error}"
        );
    }
}

fn chain(length: usize) -> Chain {
    (1..length).fold(Chain { next: None }, |next, _| Chain {
        next: Some(Box::new(next)),
    })
}

#[test]
fn modest_depth_is_none() {
    let chain = chain(120);
    let round = |read: Result<Chain, _>| assert_eq!(read.unwrap(), chain);
    round(decode::<Cbor, Chain>(
        &encode::<Cbor, Chain, _>(&chain).unwrap(),
    ));
    round(decode::<Json, Chain>(
        &encode::<Json, Chain, _>(&chain).unwrap(),
    ));
    round(decode::<MessagePack, Chain>(
        &encode::<MessagePack, Chain, _>(&chain).unwrap(),
    ));
    round(decode::<Postcard, Chain>(
        &encode::<Postcard, Chain, _>(&chain).unwrap(),
    ));
}

/// A list of 2^60 elements of no bytes would be counted for years.
#[test]
fn elements_without_bytes_are_counted() {
    let claim = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];
    let error = decode::<Postcard, Vec<()>>(&claim).unwrap_err();
    assert!(
        error.to_string().contains("more elements than bytes"),
        "{error}"
    );
    assert_eq!(
        decode::<Postcard, Vec<()>>(&[0x80, 0x08]).unwrap().len(),
        1024
    );
}

fn round_trips<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    assert_eq!(
        decode::<Cbor, T>(&encode::<Cbor, T, T>(value).unwrap()).unwrap(),
        *value
    );
    assert_eq!(
        decode::<Json, T>(&encode::<Json, T, T>(value).unwrap()).unwrap(),
        *value
    );
    assert_eq!(
        decode::<MessagePack, T>(&encode::<MessagePack, T, T>(value).unwrap()).unwrap(),
        *value
    );
    assert_eq!(
        decode::<Postcard, T>(&encode::<Postcard, T, T>(value).unwrap()).unwrap(),
        *value
    );
}

/// First bytes with a meaning, so that random input gets further.
fn likely() -> impl Strategy<Value = u8> {
    let known = b"[]{},:\"0\\\x80\x81\x82\x9f\xff\xd8\x1c\x1d\x91\x92\xc0\xdc\xdd\xdf\xbb\xfb\xc2";
    prop_oneof![any::<u8>(), proptest::sample::select(&known[..]), 0u8..4]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_to_an_end(octets in vec(likely(), 0..64)) {
        read_all_types(&octets);
    }

    #[test]
    fn octet_strings_round_trip(strings in vec(vec(any::<u8>(), 0..300), 0..8)) {
        let octets = encode::<Octets, Vec<Vec<u8>>, _>(&strings).unwrap();
        prop_assert_eq!(decode::<Octets, Vec<Vec<u8>>>(&octets).unwrap(), strings);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn values_round_trip(
        numbers: (i64, u64, i8, bool),
        text in ".*",
        letter: char,
        list in vec(any::<Option<u16>>(), 0..9),
        bytes in vec(any::<u8>(), 0..99),
        map in btree_map(".*", any::<(i32, ())>(), 0..5),
        float in any::<f64>().prop_filter("JSON has no more", |float| float.is_finite()),
    ) {
        round_trips(&(numbers, text, letter, list, Bytes::from(bytes), map, float));
    }

    #[test]
    fn a_changed_byte_is_read_to_an_end(at in 0usize..200, octet: u8, bytes in vec(any::<u8>(), 0..99)) {
        type Changed = (String, Vec<u32>, Bytes, BTreeMap<String, Option<i8>>);
        let map = [("key".into(), Some(1))].into();
        let value: Changed = ("text".into(), vec![1, 1 << 20], Bytes::from(bytes), map);
        for mut octets in [
            encode::<Cbor, Changed, _>(&value).unwrap(),
            encode::<Json, Changed, _>(&value).unwrap(),
            encode::<MessagePack, Changed, _>(&value).unwrap(),
            encode::<Postcard, Changed, _>(&value).unwrap(),
        ] {
            let at = at % octets.len();
            octets[at] = octet;
            read_in_all::<Changed>(&octets);
        }
    }
}
