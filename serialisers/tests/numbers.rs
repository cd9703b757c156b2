//! Numbers, `bool` and `char` in the format `Octets`: what Perl writes is read, what is written Perl reads.

mod common;

use std::fmt::Debug;

use common::{decode, refusal, unhex, written};
use offspring_serialisers::{AsOctetStrings, FromOctetStrings, Octets};
use serde_json::Value;

/// Is written as this text, and comes back, alone and in a list.
#[track_caller]
fn travels<T>(value: T, text: &str)
where
    T: AsOctetStrings + FromOctetStrings + PartialEq + Debug,
    (T, T): AsOctetStrings + FromOctetStrings,
    T: Clone,
{
    let mut bytes = vec![text.len() as u8];
    bytes.extend(text.as_bytes());
    assert_eq!(written::<Octets, T>(&value), bytes, "{value:?}");
    assert_eq!(decode::<Octets, T>(&bytes).unwrap(), value);
    let twice = bytes.repeat(2);
    assert_eq!(
        written::<Octets, (T, T)>(&(value.clone(), value.clone())),
        twice
    );
    assert_eq!(
        decode::<Octets, (T, T)>(&twice).unwrap(),
        (value.clone(), value)
    );
}

#[test]
fn text_and_back() {
    travels(0, "0");
    travels(i64::MIN, "-9223372036854775808");
    travels(u128::MAX, "340282366920938463463374607431768211455");
    travels(255_u8, "255");
    travels(-1_isize, "-1");
    travels(0.1_f32, "0.1");
    travels(-0.0, "-0");
    travels(1e15, "1000000000000000");
    travels(f64::MAX, "1.7976931348623157e308");
    travels(5e-324, "5e-324");
    travels(f64::INFINITY, "inf");
    travels(f32::NEG_INFINITY, "-inf");
    travels(true, "1");
    travels(false, "0");
    travels('a', "a");
    travels('\u{10ffff}', "\u{10ffff}");
    assert!(
        decode::<Octets, f64>(&written::<Octets, _>(&f64::NAN))
            .unwrap()
            .is_nan()
    );
}

#[test]
fn lists() {
    assert_eq!(written::<Octets, _>(&vec![1, -2, 30]), b"\x011\x02-2\x0230");
    assert_eq!(
        decode::<Octets, Vec<f64>>(b"\x011\x031e9").unwrap(),
        [1.0, 1e9]
    );
    assert_eq!(
        decode::<Octets, [bool; 3]>(b"\x011\x010\x00").unwrap(),
        [true, false, false]
    );
    // Bytes are no list of numbers, but each may be one.
    assert_eq!(written::<Octets, _>(&vec![1_u8, 2]), b"\x02\x01\x02");
    assert_eq!(written::<Octets, _>(&(1_u8, 2_u8)), b"\x011\x012");
    assert_eq!(
        decode::<Octets, (String, u8)>(b"\x01a\x013").unwrap(),
        ("a".to_owned(), 3)
    );
}

#[test]
fn what_is_no_number_is_quoted() {
    let refused = |bytes: &[u8]| refusal::<Octets, i32>(&[&[bytes.len() as u8], bytes].concat());
    assert_eq!(
        refused(b"ab"),
        r#"octets: "ab" is no i32: invalid digit found in string"#
    );
    assert_eq!(
        refused(b"3\n"),
        r#"octets: "3\n" is no i32: invalid digit found in string"#
    );
    assert_eq!(
        refused(b"3000000000"),
        r#"octets: "3000000000" is no i32: number too large to fit in target type"#
    );
    assert_eq!(
        refused(b""),
        r#"octets: "" is no i32: cannot parse integer from empty string"#
    );
    assert_eq!(
        refused(b"\xff"),
        r#"octets: "\xff" is no i32: it is not UTF-8"#
    );
    assert_eq!(
        refused(&[b'1'; 100]).len(),
        r#"octets: "…" is no i32: number too large to fit in target type"#.len() + 40
    );
    assert_eq!(
        refusal::<Octets, bool>(b"\x03yes"),
        r#"octets: "yes" is no bool: wanted 1 or 0"#
    );
    assert_eq!(
        refusal::<Octets, (u8, u8)>(b"\x011"),
        "octets: wanted 2 strings, got 1"
    );
}

fn vectors(of: &str) -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/numbers.json");
    let all: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    all[of].as_array().unwrap().clone()
}

#[test]
fn what_perl_writes_is_read() {
    let mut read = 0;
    for vector in vectors("written") {
        let bytes = unhex(vector["payload_hex"].as_str().unwrap());
        let perl = vector["perl"].as_str().unwrap();
        match perl {
            "3, 4" => assert_eq!(decode::<Octets, (i32, i32)>(&bytes).unwrap(), (3, 4)),
            "0, -1, 18446744073709551615, -9223372036854775808" => {
                let numbers = decode::<Octets, (u8, i8, u64, i64)>(&bytes).unwrap();
                assert_eq!(numbers, (0, -1, u64::MAX, i64::MIN));
            }
            "1.5, -0.25, 0.1, 1/3" => {
                let numbers = decode::<Octets, Vec<f64>>(&bytes).unwrap();
                // Perl prints 15 digits.
                assert_eq!(numbers, [1.5, -0.25, 0.1, 0.333333333333333]);
            }
            "1e15, 1e20, -1e-5, 1e300, 5e-324" => {
                let numbers = decode::<Octets, [f64; 5]>(&bytes).unwrap();
                assert_eq!(numbers, [1e15, 1e20, -1e-5, 1e300, 5e-324]);
            }
            "9**9**9, -9**9**9, -sin(9**9**9)" => {
                let (most, least, none) = decode::<Octets, (f64, f32, f64)>(&bytes).unwrap();
                assert_eq!((most, least), (f64::INFINITY, f32::NEG_INFINITY));
                assert!(none.is_nan());
            }
            "1==1, 1==0" => assert_eq!(decode::<Octets, Vec<bool>>(&bytes).unwrap(), [true, false]),
            r#""a", "Ã¤""# => {
                assert_eq!(decode::<Octets, Vec<char>>(&bytes).unwrap(), ['a', 'ä'])
            }
            "127, 128, 255" => assert_eq!(
                decode::<Octets, (i8, u8, u8)>(&bytes).unwrap(),
                (127, 128, 255)
            ),
            _ => panic!("{perl}"),
        }
        read += 1;
    }
    assert_eq!(read, 8);
}

/// Perl reads our bytes as the same numbers, printed with as many digits as it takes.
#[test]
fn perl_reads_what_is_written() {
    for vector in vectors("read") {
        let bytes = unhex(vector["payload_hex"].as_str().unwrap());
        let has = vector["perl_has"].as_str().unwrap();
        let ours = match vector["type"].as_str().unwrap() {
            "i64" => written::<Octets, i64>(&has.parse().unwrap()),
            "u64" => written::<Octets, u64>(&has.parse().unwrap()),
            "f64" => written::<Octets, f64>(&has.parse().unwrap()),
            _ => written::<Octets, bool>(&has.parse().unwrap()),
        };
        assert_eq!(ours, bytes, "{vector}");
    }
}
