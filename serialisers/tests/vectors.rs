//! Bytes that the Perl original writes are read, and where we write the same format, we write the same.
#![cfg(all(feature = "cbor", feature = "json"))]

mod common;

use common::{decode, encode, unhex, written};
use offspring_serialisers::{Bytes, Cbor, Json, Octets};
use serde_json::Value;

fn vectors(name: &str) -> Vec<Value> {
    let path = format!("{}/tests/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn octets_of(vector: &Value, name: &str) -> Vec<u8> {
    unhex(vector[name].as_str().unwrap())
}

#[test]
fn lists_of_octet_strings() {
    for vector in vectors("octets") {
        let strings = vector["strings_hex"].as_array().unwrap();
        let strings: Vec<Vec<u8>> = strings
            .iter()
            .map(|hex| unhex(hex.as_str().unwrap()))
            .collect();
        let payload = octets_of(&vector, "payload_hex");
        assert_eq!(written::<Octets, _>(&strings), payload);
        assert_eq!(decode::<Octets, Vec<Vec<u8>>>(&payload).unwrap(), strings);
        assert!(octets_of(&vector, "call_id7_hex").ends_with(&payload));
    }
}

/// The only list whose strings are bytes, not text.
fn is_binary(vector: &Value) -> bool {
    vector["values"][0]
        .as_str()
        .is_some_and(|text| text.starts_with('\0'))
}

#[test]
fn json_is_the_same() {
    for vector in vectors("values") {
        let json = vector["json"].as_str().unwrap();
        assert_eq!(
            String::from_utf8(encode::<Json, Value, _>(&vector["values"]).unwrap()).unwrap(),
            json
        );
        assert_eq!(
            decode::<Json, Value>(json.as_bytes()).unwrap(),
            vector["values"]
        );
    }
}

#[test]
fn json_octets_are_the_same() {
    let vector = vectors("values").into_iter().find(is_binary).unwrap();
    let json = vector["json"].as_str().unwrap();
    let octets: Vec<u8> = (0..=255).collect();
    assert_eq!(
        written::<Json, _>(&(Bytes::from(octets.clone()),)),
        json.as_bytes()
    );
    assert_eq!(
        decode::<Json, (Bytes,)>(json.as_bytes())
            .unwrap()
            .0
            .into_vec(),
        octets
    );

    struct Raw(Vec<u8>);
    impl serde::Serialize for Raw {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(&self.0)
        }
    }
    assert_eq!(
        encode::<Json, Value, _>(&(Raw(octets),)).unwrap(),
        json.as_bytes()
    );
}

#[test]
fn cbor_with_text_strings_is_the_same() {
    for vector in vectors("values") {
        let Some(hex) = vector["cbor_text_strings_hex"].as_str() else {
            continue;
        };
        let octets = unhex(hex);
        let values = &vector["values"];
        assert_eq!(
            encode::<Cbor, Value, _>(values).unwrap(),
            octets,
            "{values}"
        );
        assert_eq!(decode::<Cbor, Value>(&octets).unwrap(), *values);
    }
}

#[test]
fn cbor_of_the_original_is_read() {
    for vector in vectors("values") {
        let octets = octets_of(&vector, "cbor_original_hex");
        let values = &vector["values"];
        let read = match values[0].as_str() {
            Some(_) if is_binary(&vector) => {
                let (read,) = decode::<Cbor, (Bytes,)>(&octets).unwrap();
                let text: String = read.iter().map(|&octet| char::from(octet)).collect();
                serde_json::json!([text])
            }
            Some("add") => {
                type Sum = std::collections::BTreeMap<String, Vec<u32>>;
                let sum = decode::<Cbor, (String, f64, Sum)>(&octets).unwrap();
                serde_json::to_value(sum).unwrap()
            }
            Some(_) => serde_json::to_value(decode::<Cbor, Vec<String>>(&octets).unwrap()).unwrap(),
            None if values[0].is_array() => {
                serde_json::to_value(decode::<Cbor, Vec<Vec<String>>>(&octets).unwrap()).unwrap()
            }
            None => decode::<Cbor, Value>(&octets).unwrap(),
        };
        assert_eq!(read, *values);
    }
}
