//! Tests of both halves, without a link.

mod ancillary;
mod call_events;
mod caller;
mod frames;
mod pair;

use std::io::IoSlice;

use super::{BufferPool, FlowLimits, Form};

/// A descriptor in these tests is a number.
type Fd = u32;
type Caller = super::Caller<(), Fd>;
type Notice = super::Notice<Fd>;
type Outbox = super::Outbox<Fd>;
type CallOutcome = super::CallOutcome<Fd>;
type Message = super::Message<Fd>;
type FrameReader = super::FrameReader<Fd>;

/// Each with a new pool of buffers.
impl FrameReader {
    fn room(&mut self) -> usize {
        self.room_in(&mut BufferPool::new())
    }
}

impl Outbox {
    fn consume(&mut self, count: usize) {
        self.consume_in(count, &mut BufferPool::new());
    }
}

/// A message with room for a header, these bytes and descriptors.
fn message(bytes: &[u8], descriptors: &[Fd]) -> Message {
    let mut message = Message::in_pool(&mut BufferPool::new());
    message.frame.extend_from_slice(bytes);
    message.descriptors.extend_from_slice(descriptors);
    message
}

/// Parses hexadecimal bytes; spaces are ignored.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|digit| *digit != b' ').collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// Appends bytes to the reader's buffer.
fn feed(reader: &mut FrameReader, bytes: &[u8]) {
    let room = reader.room();
    assert!(bytes.len() <= room, "{} into room for {room}", bytes.len());
    reader.buffer().extend_from_slice(bytes);
}

/// Returns the bytes of the first `chunks` of an outbox.
fn written(outbox: &Outbox, chunks: usize) -> Vec<u8> {
    let mut slices = vec![IoSlice::new(&[]); chunks];
    let count = outbox.slices(&mut slices);
    slices[..count]
        .iter()
        .flat_map(|slice| slice.to_vec())
        .collect()
}

const WIDE: FlowLimits = FlowLimits {
    calls: usize::MAX,
    bytes: usize::MAX,
    frame: 1 << 20,
    descriptors: 1000,
};

const FORMS: [Form; 2] = [Form::Plain, Form::Full];
