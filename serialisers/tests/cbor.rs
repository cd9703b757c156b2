//! Values that CBOR reads and never writes.
#![cfg(feature = "cbor")]

mod common;

use common::{decode, refusal, unhex, written};
use offspring_serialisers::{Bytes, Cbor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Tree(Vec<Self>);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Point,
    Circle { radius: f64 },
    Line(String, char),
}

fn read<T: serde::de::DeserializeOwned>(hex: &str) -> T {
    decode::<Cbor, T>(&unhex(hex)).unwrap()
}

/// An item that is a list or a string of that length.
fn head(kind: u8, length: usize) -> [u8; 5] {
    let [a, b, c, d] = u32::try_from(length).unwrap().to_be_bytes();
    [kind << 5 | 26, a, b, c, d]
}

#[test]
fn octets_where_text_is_wanted() {
    assert_eq!(
        read::<(String, char)>("82 43 616263 41 78".replace(' ', "").as_str()),
        ("abc".into(), 'x')
    );
    assert_eq!(read::<Shape>("45506f696e74"), Shape::Point);
    assert_eq!(
        read::<Shape>("a146436972636c65a14672616469757302"),
        Shape::Circle { radius: 2.0 }
    );
    assert_eq!(
        read::<Shape>("a1444c696e65824161 4162".replace(' ', "").as_str()),
        Shape::Line("a".into(), 'b')
    );
    assert!(read::<BTreeMap<String, bool>>("a14161f5")["a"]);
    assert_eq!(
        read::<(Option<std::path::PathBuf>,)>("81412f")
            .0
            .unwrap()
            .as_os_str(),
        "/"
    );
    assert!(refusal::<Cbor, String>(&unhex("41ff")).contains("expected a string"));
}

#[test]
fn octets_where_octets_are_wanted_in_the_tree() {
    let (text, list, bytes): (String, Vec<u8>, Bytes) = read("834161420102420304");
    assert_eq!(
        (text.as_str(), list, bytes.into_vec()),
        ("a", vec![1, 2], vec![3, 4])
    );
}

#[test]
fn long_text_as_octets() {
    let octets = [&head(2, 100_000)[..], &[b'x'; 100_000]].concat();
    assert_eq!(decode::<Cbor, String>(&octets).unwrap().len(), 100_000);
}

#[test]
fn integers_where_numbers_are_wanted() {
    assert_eq!(
        read::<Vec<f64>>("8302 20 fa3fc00000".replace(' ', "").as_str()),
        [2.0, -1.0, 1.5]
    );
    assert_eq!(read::<(f32, f64)>("82f93e00f97c00"), (1.5, f64::INFINITY));
}

#[test]
fn big_integers_in_the_tree() {
    let (text, big, small): (String, u128, i128) =
        read("834161c249010000000000000000c349010000000000000000");
    assert_eq!((text.as_str(), big, small), ("a", 1 << 64, -1 - (1 << 64)));
}

#[test]
fn shared_values_are_copied() {
    assert_eq!(
        read::<Vec<Vec<String>>>("82d81c814178d81d00"),
        [["x"], ["x"]]
    );
    assert_eq!(
        read::<(String, String)>("82d81c4178d81d00"),
        ("x".into(), "x".into())
    );
    // The outer list is value 0, so the inner one is value 1.
    assert_eq!(read::<Vec<Vec<u32>>>("d81c82d81c8107d81d01"), [[7], [7]]);
    assert_eq!(
        read::<BTreeMap<String, Option<u8>>>("a2d81c4161d81c054162d81d01")
            .into_values()
            .collect::<Vec<_>>(),
        [Some(5), Some(5)]
    );
}

#[test]
fn a_reference_is_no_number() {
    assert_eq!(read::<(u32, u32)>("82d81c07d81d00"), (7, 7));
    assert!(refusal::<Cbor, u32>(&unhex("d81d00")).contains("reference to no value"));
    assert!(
        refusal::<Cbor, (u32, u32)>(&unhex("82d81c07d81d01")).contains("reference to no value")
    );
}

#[test]
fn cycles_are_errors() {
    for hex in ["d81c81d81d00", "d81cd81d00", "d81c81d81c81d81d00"] {
        let error = refusal::<Cbor, Tree>(&unhex(hex));
        assert!(error.contains("part of itself"), "{hex}: {error}");
    }
    // Each refers to the other, so the first refers to what is yet to come.
    let error = refusal::<Cbor, Tree>(&unhex("82d81cd81d01d81cd81d00"));
    assert!(error.contains("reference to no value"), "{error}");
}

/// Ten references to ten references to ten … Only the number of bytes bounds the type.
#[test]
fn references_do_not_multiply() {
    let mut octets = head(4, 20).to_vec();
    octets.extend([0xd8, 0x1c, 0x8a].into_iter().chain([0x80; 10]));
    for level in 0..19 {
        octets.extend([0xd8, 0x1c, 0x8a]);
        octets.extend([0xd8, 0x1d, level].repeat(10));
    }
    let error = refusal::<Cbor, Tree>(&octets);
    assert!(error.contains("far more than was sent"), "{error}");
}

/// A list in which each value refers to the previous one.
#[test]
fn references_lead_on() {
    let length = 100_000;
    let mut octets = head(4, length + 1).to_vec();
    octets.extend([0xd8, 0x1c, 0x80]);
    for index in 0..length {
        octets.extend([0xd8, 0x1c, 0xd8, 0x1d, 0x1a]);
        octets.extend(u32::try_from(index).unwrap().to_be_bytes());
    }
    let Tree(list) = decode::<Cbor, Tree>(&octets).unwrap();
    assert_eq!(list.len(), length + 1);
}

#[test]
fn references_do_not_lead_deeper_than_values_may_be() {
    // Each list holds the previous one by reference, which takes no more bytes than the list itself.
    let mut octets = head(4, 300).to_vec();
    octets.extend([0xd8, 0x1c, 0x80]);
    for index in 0..299u16 {
        let [high, low] = index.to_be_bytes();
        octets.extend([0xd8, 0x1c, 0x81, 0xd8, 0x1d, 0x19, high, low]);
    }
    let error = refusal::<Cbor, Tree>(&octets);
    assert!(error.contains("nested"), "{error}");
}

/// Integers as floats, lists as structs, bytes as names: what Perl's types do not distinguish.
#[test]
fn what_follows_octets_for_text() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Point {
        name: String,
        x: f32,
    }
    let point = |x| Point {
        name: "a".into(),
        x,
    };
    assert_eq!(read::<Point>("82416103"), point(3.0));
    assert_eq!(read::<Point>("a2446e616d6541614178fa3fc00000"), point(1.5));
    assert_eq!(
        read::<Vec<Point>>("81a2417820446e616d656161"),
        [point(-1.0)]
    );
    assert_eq!(read::<(String, Bytes)>("8241616162").1.into_vec(), b"b");
    assert_eq!(
        read::<Shape>("bf444c696e658241614162ff"),
        Shape::Line("a".into(), 'b')
    );
    for hex in [
        "a245506f696e74f645506f696e74f6",
        "a0",
        "45506f696e",
        "07",
        "f6",
    ] {
        refusal::<Cbor, Shape>(&unhex(hex));
    }
    assert_eq!(
        read::<(String, Shape)>("824161a145506f696e74f6").1,
        Shape::Point
    );
}

#[test]
fn lists_without_a_length() {
    assert_eq!(read::<(u8, u8)>("9f0102ff"), (1, 2));
    assert_eq!(
        read::<Vec<(u8, u8)>>("9f9f0102ff9f0304ffff"),
        [(1, 2), (3, 4)]
    );
    assert_eq!(read::<Vec<Vec<u8>>>("9f9f01ff80ff"), [&[1][..], &[]]);
    read::<()>("9fff");
    assert!(refusal::<Cbor, (u8, u8)>(&unhex("9f010203ff")).contains("wanted 2 elements, got 3"));
    assert!(decode::<Cbor, (u8, u8)>(&unhex("9f0102")).is_err());
}

#[test]
fn floats_are_32_or_64_bits() {
    assert_eq!(written::<Cbor, _>(&1.5f64), unhex("fa3fc00000"));
    assert_eq!(written::<Cbor, _>(&0.1f64), unhex("fb3fb999999999999a"));
    assert_eq!(written::<Cbor, _>(&(1.5f32, 1u8)), unhex("82fa3fc0000001"));
}

#[test]
fn tags_of_others_are_looked_through() {
    assert_eq!(read::<(u32, String)>("82c101c06161"), (1, "a".into()));
    assert_eq!(read::<(u32, String)>("82c101c04161"), (1, "a".into()));
}
