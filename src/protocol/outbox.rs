//! The queue of frames to write.

use std::collections::VecDeque;
use std::io::IoSlice;

use super::ancillary::MOST;
use super::frame::LARGE;
use super::{BufferPool, Frame, HEADER, announcement};

/// A frame to send, or several, and the descriptors of the first. The buffer of a frame starts with room for the header.
#[derive(Debug)]
#[allow(
    unreachable_pub,
    reason = "with the feature `concurrent` macros hand it through"
)]
pub struct Message<D> {
    pub(crate) frame: Vec<u8>,
    pub(crate) descriptors: Vec<D>,
}

impl<D> Default for Message<D> {
    /// An empty buffer, without room for a header.
    fn default() -> Self {
        Self {
            frame: Vec::new(),
            descriptors: Vec::new(),
        }
    }
}

impl<D> From<Vec<u8>> for Message<D> {
    fn from(frame: Vec<u8>) -> Self {
        Self {
            frame,
            ..Self::default()
        }
    }
}

impl<D> Message<D> {
    /// Takes a buffer from `pool`, with room for a header.
    pub(crate) fn in_pool(pool: &mut BufferPool) -> Self {
        let mut frame = pool.take();
        frame.extend_from_slice(&[0; HEADER]);
        frame.into()
    }

    /// Returns the number of bytes, header included.
    pub(crate) fn len(&self) -> usize {
        self.frame.len()
    }

    /// Gives the buffer back to `pool`.
    pub(crate) fn recycle_in(self, pool: &mut BufferPool) {
        let used = self.frame.len();
        pool.put(self.frame, used);
    }
}

/// Frames to write. Small frames share a chunk, a frame of [`LARGE`] bytes or more is a chunk.
///
/// A batch of descriptors is sent with the first byte of its chunk. So a chunk with descriptors is the first of a
/// `writev`.
#[derive(Debug)]
pub(crate) struct Outbox<D> {
    chunks: VecDeque<Message<D>>,
    /// Number of bytes of the first chunk that are written.
    written: usize,
    length: usize,
}

impl<D> Default for Outbox<D> {
    fn default() -> Self {
        Self {
            chunks: VecDeque::new(),
            written: 0,
            length: 0,
        }
    }
}

impl<D> Outbox<D> {
    /// Returns the number of bytes to write.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Returns whether all bytes are written.
    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Queues a frame whose header is in place. A large frame, and the first frame of a chunk, take the buffer. Others
    /// are copied, and the buffer stays in `message`.
    pub(crate) fn push(&mut self, message: &mut Message<D>) {
        if !message.descriptors.is_empty() {
            self.announce(&mut message.descriptors);
        }
        self.length += message.len();
        let frame = &mut message.frame;
        match self.open_chunk() {
            Some(chunk) if frame.len() < LARGE => chunk.extend_from_slice(frame),
            _ => self.chunks.push_back(std::mem::take(frame).into()),
        }
    }

    /// Queues the announcements of the next frame's descriptors, with the batches.
    fn announce(&mut self, descriptors: &mut Vec<D>) {
        while !descriptors.is_empty() {
            let rest = descriptors.split_off(descriptors.len().min(MOST));
            let batch = std::mem::replace(descriptors, rest);
            self.length += HEADER;
            self.chunks.push_back(Message {
                frame: announcement(batch.len()).to_vec(),
                descriptors: batch,
            });
        }
    }

    /// Queues a frame of this header and payload.
    pub(crate) fn push_parts(&mut self, head: Frame, bytes: &[u8]) {
        self.length += HEADER + bytes.len();
        let header = head.to_bytes();
        match self.open_chunk() {
            Some(chunk) => chunk.extend([&header, bytes].into_iter().flatten()),
            None => self.chunks.push_back([&header, bytes].concat().into()),
        }
    }

    /// Queues the first frame of the stream, with its descriptors.
    pub(crate) fn push_first(&mut self, head: Frame, bytes: &[u8], descriptors: Vec<D>) {
        debug_assert!(self.is_empty(), "else they would go with another frame");
        self.push_parts(head, bytes);
        if let Some(chunk) = self.chunks.front_mut() {
            chunk.descriptors = descriptors;
        }
    }

    /// Returns the last chunk if frames may be added to it.
    fn open_chunk(&mut self) -> Option<&mut Vec<u8>> {
        let last = self.chunks.back_mut().map(|chunk| &mut chunk.frame);
        last.filter(|frame| frame.len() < LARGE)
    }

    /// Sets `slices` to the first chunks, for one `writev`, and returns how many are set.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
            if count > 0 && !chunk.descriptors.is_empty() {
                break;
            }
            let from = if count == 0 { self.written } else { 0 };
            *slice = IoSlice::new(&chunk.frame[from..]);
            count += 1;
        }
        count
    }

    /// Returns the descriptors to send with the first byte of [`slices`](Self::slices).
    pub(crate) fn descriptors(&self) -> &[D] {
        self.chunks.front().map_or(&[], |chunk| &chunk.descriptors)
    }

    /// Replaces the announcement of the first batch by one that says the batch could not be sent, and closes the batch.
    /// Returns whether there was such a batch.
    pub(crate) fn give_up_descriptors(&mut self) -> bool {
        let Some(chunk) = self.chunks.front_mut() else {
            return false;
        };
        let announced = announcement(chunk.descriptors.len());
        if chunk.descriptors.is_empty() || !chunk.frame.starts_with(&announced) {
            return false;
        }
        chunk.descriptors.clear();
        chunk.frame[..HEADER].copy_from_slice(&announcement(0));
        true
    }

    /// Removes the first `count` bytes, which were written. Buffers that are written whole go into `pool`.
    pub(crate) fn consume_in(&mut self, mut count: usize, pool: &mut BufferPool) {
        self.length -= count;
        while count > 0 {
            let first = &mut self.chunks[0];
            first.descriptors = Vec::new();
            let left = first.frame.len() - self.written;
            if count < left {
                self.written += count;
                return;
            }
            count -= left;
            self.written = 0;
            let chunk = self.chunks.pop_front().expect("a chunk was written").frame;
            let used = chunk.len();
            pool.put(chunk, used);
        }
    }

    /// Puts `unwritten` in front of what was queued since.
    pub(crate) fn put_back(&mut self, mut unwritten: Self) {
        self.length += unwritten.length;
        if self.chunks.is_empty() || !unwritten.chunks.is_empty() {
            self.written = unwritten.written;
            unwritten.chunks.append(&mut self.chunks);
            self.chunks = unwritten.chunks;
        }
    }

    /// Drops all frames: the other side will not read them.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
