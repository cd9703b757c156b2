//! Open descriptors in values: in every format, at every depth, and never one too many.
//!
//! The tests count the descriptors of this process, so one runs at a time.
#![cfg(all(
    feature = "cbor",
    feature = "json",
    feature = "messagepack",
    feature = "postcard"
))]

use offspring_serialisers::{
    Arrived, Bytes, Cbor, Descriptor, DescriptorOrBytes, DescriptorRef, Error, Format, Input, Json,
    MessagePack, Octets, Output, Postcard, SendAs, Serialiser,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard};

mod descriptors {
    mod beside;
    mod foreign;
    mod hostile;
    mod octets;
    mod over_serde;
}

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Returns the open descriptors, without those of the harness.
fn open() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// As many descriptors are open when this is dropped as when it was made.
struct Guard {
    before: usize,
    _alone: MutexGuard<'static, ()>,
}

fn guard() -> Guard {
    let alone = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    Guard {
        before: open(),
        _alone: alone,
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(open(), self.before, "descriptors are open that were not");
        }
    }
}

/// An encoded value.
struct Sent {
    octets: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

fn write<S: Serialiser<T, V>, T, V: ?Sized>(value: &V) -> Result<Sent, Error> {
    let (mut octets, mut descriptors) = (Vec::new(), Vec::new());
    let mut output = Output::with_descriptors(&mut octets, &mut descriptors);
    match S::encode(value, &mut output) {
        Ok(()) => Ok(Sent {
            octets,
            descriptors,
        }),
        Err(error) => {
            assert!(descriptors.is_empty(), "{error}");
            Err(error)
        }
    }
}

fn write_plain<S: Serialiser<T, V>, T, V: ?Sized>(value: &V) -> Result<Vec<u8>, Error> {
    let mut octets = Vec::new();
    S::encode(value, &mut Output::new(&mut octets))?;
    Ok(octets)
}

impl Sent {
    fn read<S: Serialiser<T, ()>, T>(self) -> Result<T, Error> {
        let mut input = Input::with_descriptors(&self.octets, self.descriptors);
        S::decode(&mut input)
    }
}

fn refusal<T>(outcome: Result<T, Error>) -> String {
    outcome.err().expect("an error").to_string()
}

/// A pipe with this in it; its other end is closed.
fn said(text: &str) -> PipeReader {
    let (reader, mut writer) = pipe().unwrap();
    writer.write_all(text.as_bytes()).unwrap();
    reader
}

fn heard(mut reader: impl Read) -> String {
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    text
}

fn null() -> File {
    File::open("/dev/null").unwrap()
}
