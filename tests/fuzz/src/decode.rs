//! Every decoder on any bytes, with and without descriptors: an end, no descriptor left, and a value that is read is
//! written and read again as the same, and is what the plain library reads.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};

use arbitrary::Unstructured;
use offspring_serialisers::{
    Bytes, Cbor, Descriptor, Format, Input, Json, MessagePack, Octets, Output, Postcard,
    Serialiser, WorkerError,
};
use serde::{Deserialize, Serialize};

use crate::memory::{SharedBytes, SharedMemory};
use crate::round_trip::{Plainly, image};
use crate::types::*;

thread_local! {
    static NULL: File = File::open("/dev/null").unwrap();
    /// Files that a peer may send in the place of memory: no memory file, a file that no process may change, and a file that
    /// both may.
    static FILES: [OwnedFd; 3] = [
        NULL.with(|null| null.try_clone().unwrap().into()),
        file_of(&SharedBytes::copy_from_slice(b"so").unwrap()),
        file_of(&SharedMemory::copy_from_slice(b"so").unwrap()),
    ];
}

fn file_of<T>(memory: &T) -> OwnedFd
where
    Octets: Serialiser<T>,
{
    let (mut bytes, mut table) = (Vec::new(), Vec::new());
    Octets::encode(
        memory,
        &mut Output::with_descriptors(&mut bytes, &mut table),
    )
    .unwrap();
    table.pop().expect("it is backed by a file")
}

pub(crate) fn run(data: &[u8]) {
    FILES.with(|_| ());
    let lowest = || NULL.with(|null| null.try_clone().unwrap().as_raw_fd());
    let before = lowest();
    let data = &mut Unstructured::new(data);
    if let (Ok(which), Ok(count)) = (data.arbitrary::<u8>(), data.int_in_range(0..=3)) {
        let bytes = data.take_rest_ref();
        for_each_type!(which, in_each_format(bytes));
        with_descriptors(bytes, count);
        others(bytes, count);
    }
    assert_eq!(lowest(), before, "a descriptor is left open");
}

trait Rest<'a> {
    fn take_rest_ref(&mut self) -> &'a [u8];
}

impl<'a> Rest<'a> for Unstructured<'a> {
    fn take_rest_ref(&mut self) -> &'a [u8] {
        self.bytes(self.len()).expect("as many as there are")
    }
}

fn in_each_format<T: Value>(bytes: &[u8]) {
    in_one::<Cbor, T>(bytes);
    in_one::<Json, T>(bytes);
    in_one::<MessagePack, T>(bytes);
    in_one::<Postcard, T>(bytes);
}

fn in_one<F: Plainly, T: Value>(bytes: &[u8]) {
    let Ok(value) = F::own_read::<T>(bytes) else {
        return;
    };
    if let Some(plain) = F::read::<T>(bytes) {
        assert!(
            image(&plain) == image(&value),
            "{}: {value:?}, plainly {plain:?}",
            F::NAME
        );
    }
    // What it cannot write is refused, and not lost.
    if let Ok(written) = F::own_write(&value) {
        let again = F::own_read::<T>(&written)
            .unwrap_or_else(|error| panic!("{}: {value:?}: {error}", F::NAME));
        assert!(
            image(&again) == image(&value),
            "{}: {value:?} is {again:?} afterwards",
            F::NAME
        );
    }
}

/// A value that holds descriptors here and there.
#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    first: Descriptor,
    #[serde(default)]
    perhaps: Option<Descriptor>,
    #[serde(default)]
    list: Vec<Kept>,
    #[serde(default)]
    number: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Either {
    Kept(Kept),
    Number(i64),
    Text(String),
}

#[derive(Debug, Serialize, Deserialize)]
enum Kept {
    Open(Descriptor),
    Both(Descriptor, Option<Descriptor>),
    Not,
}

/// Three different files, in an order that the bytes choose.
fn open(bytes: &[u8], count: usize) -> Vec<OwnedFd> {
    let first = bytes.last().map_or(0, |byte| usize::from(*byte));
    let file = |number: usize| FILES.with(|files| files[number % 3].try_clone().unwrap());
    (first..first + count).map(file).collect()
}

/// Reads with that many descriptors beside, and if it is a value writes it.
fn read<F, T: std::fmt::Debug>(bytes: &[u8], count: usize)
where
    F: Serialiser<T>,
{
    let mut input = Input::with_descriptors(bytes, open(bytes, count));
    if let Ok(value) = F::decode(&mut input) {
        let (mut written, mut table) = (Vec::new(), Vec::new());
        if F::encode(
            &value,
            &mut Output::with_descriptors(&mut written, &mut table),
        )
        .is_ok()
        {
            let again = F::decode(&mut Input::with_descriptors(&written, table));
            let again = again.unwrap_or_else(|error| panic!("{}: {value:?}: {error}", F::NAME));
            drop((value, again));
        }
    }
}

fn with_descriptors(bytes: &[u8], count: usize) {
    macro_rules! all {
        ($($type:ty),*) => {$(
            read::<Cbor, $type>(bytes, count);
            read::<Json, $type>(bytes, count);
            read::<MessagePack, $type>(bytes, count);
            read::<Postcard, $type>(bytes, count);
        )*};
    }
    all!(
        Descriptor,
        Holder,
        Vec<Kept>,
        (Kept, u8, Option<Descriptor>),
        SharedBytes,
        SharedMemory,
        Vec<(u8, SharedBytes, Option<SharedMemory>)>
    );
    macro_rules! named {
        ($($type:ty),*) => {$(
            read::<Cbor, $type>(bytes, count);
            read::<Json, $type>(bytes, count);
            read::<MessagePack, $type>(bytes, count);
        )*};
    }
    named!(Vec<Either>);
}

/// The format of strings, errors of workers, and the names of methods.
fn others(bytes: &[u8], count: usize) {
    read::<Octets, Vec<Vec<u8>>>(bytes, count);
    read::<Octets, (String, u64, i16, bool, char)>(bytes, count);
    read::<Octets, [Bytes; 3]>(bytes, count);
    read::<Octets, ()>(bytes, count);
    read::<Octets, u128>(bytes, count);
    read::<Octets, Descriptor>(bytes, count);
    read::<Octets, Vec<Descriptor>>(bytes, count);
    read::<Octets, (Descriptor, String)>(bytes, count);
    read::<Octets, SharedBytes>(bytes, count);
    read::<Octets, (SharedMemory, Vec<u8>)>(bytes, count);
    let _ = (
        Octets::method(bytes),
        Cbor::method(bytes),
        Json::method(bytes),
    );
    let _ = (MessagePack::method(bytes), Postcard::method(bytes));
    macro_rules! errors {
        ($($format:ident),*) => {$( read::<$format, Result<u8, WorkerError>>(bytes, count); )*};
    }
    errors!(Cbor, Json, MessagePack, Postcard);
}
