//! Nothing is allocated that was only claimed: a few octets cost a few octets of memory.
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

fn within(name: &str, octets: &[u8], read: impl FnOnce()) {
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    read();
    let taken = MEMORY.peak_usage().saturating_sub(before);
    assert!(taken < ALLOWED, "{name}: {octets:x?} took {taken} octets");
}

fn claim<T: DeserializeOwned>(octets: &[u8]) {
    within("cbor", octets, || {
        assert!(decode::<Cbor, T>(octets).is_err())
    });
    within("json", octets, || {
        assert!(decode::<Json, T>(octets).is_err())
    });
    within("messagepack", octets, || {
        assert!(decode::<MessagePack, T>(octets).is_err())
    });
    within("postcard", octets, || {
        assert!(decode::<Postcard, T>(octets).is_err())
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
    for octets in claims {
        claim::<String>(octets);
        claim::<Bytes>(octets);
        claim::<Vec<u8>>(octets);
        claim::<Vec<u64>>(octets);
        claim::<Vec<[u64; 32]>>(octets);
        claim::<Vec<()>>(octets);
        claim::<Vec<Vec<Vec<Vec<u8>>>>>(&octets.repeat(4));
        claim::<HashMap<u64, [u64; 16]>>(octets);
        claim::<BTreeMap<String, String>>(octets);
        claim::<serde_json::Value>(octets);
        within("octets", octets, || {
            let _ = decode::<Octets, Vec<Vec<u8>>>(octets);
            let _ = decode::<Octets, Bytes>(octets);
        });
    }
}
