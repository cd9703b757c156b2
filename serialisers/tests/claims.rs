//! A length is only a claim: a few bytes of input allocate little memory.
#![cfg(all(
    feature = "cbor",
    feature = "json",
    feature = "messagepack",
    feature = "postcard"
))]

mod common;

use common::decode;
use offspring_serialisers::{Bytes, Cbor, Json, MessagePack, Octets, Postcard};
use peak_alloc::PeakAlloc;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, HashMap};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Room for a few of the elements is made at once, in each of the lists.
const ALLOWED: usize = 256 << 10;

fn within(name: &str, bytes: &[u8], read: impl FnOnce()) {
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    read();
    let taken = MEMORY.peak_usage().saturating_sub(before);
    assert!(taken < ALLOWED, "{name}: {bytes:x?} took {taken} bytes");
}

fn claim<T: DeserializeOwned>(bytes: &[u8]) {
    within("cbor", bytes, || assert!(decode::<Cbor, T>(bytes).is_err()));
    within("json", bytes, || assert!(decode::<Json, T>(bytes).is_err()));
    within("messagepack", bytes, || {
        assert!(decode::<MessagePack, T>(bytes).is_err())
    });
    within("postcard", bytes, || {
        assert!(decode::<Postcard, T>(bytes).is_err())
    });
}

/// The only test here, since it measures the whole process.
#[test]
fn lengths_are_not_believed() {
    let claims: [&[u8]; 15] = [
        b"\x80\x80\x80\x80\x80\x80\x80\x80\x10",
        b"\x80\x80\x80\x80\x01",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x5b\x10\0\0\0\0\0\0\0",
        b"\x5a\x40\0\0\0",
        b"\x7b\x10\0\0\0\0\0\0\0",
        b"\x7a\x40\0\0\0",
        b"\x9b\x10\0\0\0\0\0\0\0",
        b"\x9a\x40\0\0\0",
        b"\xbb\x10\0\0\0\0\0\0\0",
        b"\xc6\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xd8\x1c\x9b\x10\0\0\0\0\0\0\0",
    ];
    for bytes in claims {
        claim::<String>(bytes);
        claim::<Bytes>(bytes);
        claim::<Vec<u8>>(bytes);
        claim::<Vec<u64>>(bytes);
        claim::<Vec<[u64; 32]>>(bytes);
        claim::<Vec<()>>(bytes);
        claim::<Vec<Vec<Vec<Vec<u8>>>>>(&bytes.repeat(4));
        claim::<HashMap<u64, [u64; 16]>>(bytes);
        claim::<BTreeMap<String, String>>(bytes);
        claim::<serde_json::Value>(bytes);
        within("octets", bytes, || {
            let _ = decode::<Octets, Vec<Vec<u8>>>(bytes);
            let _ = decode::<Octets, Bytes>(bytes);
        });
    }
}
