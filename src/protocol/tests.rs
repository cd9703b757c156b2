//! Both halves, without a link.

mod ancillary;
mod call_events;
mod caller;
mod frames;
mod pair;

use std::io::IoSlice;

use super::{BufferPool, Form, Limits};

/// What stands for a descriptor: its number.
type Fd = u32;
type Caller = super::Caller<(), Fd>;
type Notice = super::Notice<Fd>;
type Outbox = super::Outbox<Fd>;
type Outcome = super::Outcome<Fd>;
type Parcel = super::Parcel<Fd>;
type Reader = super::Reader<Fd>;

/// With buffers of their own.
impl Reader {
    fn room(&mut self) -> usize {
        self.room_in(&mut BufferPool::new())
    }
}

impl Outbox {
    fn consume(&mut self, count: usize) {
        self.consume_in(count, &mut BufferPool::new());
    }
}

/// Room for a header, then these octets, and these descriptors.
fn parcel(octets: &[u8], descriptors: &[Fd]) -> Parcel {
    let mut parcel = Parcel::in_pool(&mut BufferPool::new());
    parcel.frame.extend_from_slice(octets);
    parcel.descriptors.extend_from_slice(descriptors);
    parcel
}

/// Octets written as hex, with spaces where they help.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|digit| *digit != b' ').collect();
    let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(octet).collect()
}

/// Puts octets behind those that are there, as whoever reads does.
fn feed(reader: &mut Reader, octets: &[u8]) {
    let room = reader.room();
    assert!(
        octets.len() <= room,
        "{} into room for {room}",
        octets.len()
    );
    reader.buffer().extend_from_slice(octets);
}

/// What the first pieces of an outbox hold.
fn written(outbox: &Outbox, pieces: usize) -> Vec<u8> {
    let mut slices = vec![IoSlice::new(&[]); pieces];
    let count = outbox.slices(&mut slices);
    slices[..count]
        .iter()
        .flat_map(|slice| slice.to_vec())
        .collect()
}

const WIDE: Limits = Limits {
    calls: usize::MAX,
    bytes: usize::MAX,
    frame: 1 << 20,
    descriptors: 1000,
};

const FORMS: [Form; 2] = [Form::Plain, Form::Full];
