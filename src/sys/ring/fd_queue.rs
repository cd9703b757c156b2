//! Batches of file descriptors that came over the socket, until the bytes that announce them are read from the ring.
//!
//! The socket carries two kinds of messages. A doorbell is one byte. A batch is the position of its announcement in the
//! ring's stream, as eight bytes in big-endian order, with the file descriptors. The first of the eight is never a doorbell.
//! A read may return several messages, or a part of one; batches and positions keep their order.

use std::collections::VecDeque;

use crate::sys::link::FdBatch;

/// The byte of a doorbell.
pub(super) const DOORBELL: u8 = 0xff;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct FdQueue {
    waiting: VecDeque<FdBatch>,
    places: VecDeque<u64>,
    /// The first bytes of a position.
    partial: Vec<u8>,
    /// The number of batches received, modulo 2^32.
    count: u32,
}

impl FdQueue {
    /// Adds what a read of the socket returned.
    pub(super) fn received(&mut self, bytes: &[u8], batches: Vec<FdBatch>) {
        self.count = self.count.wrapping_add(batches.len() as u32);
        self.waiting.extend(batches);
        for byte in bytes {
            if self.partial.is_empty() && *byte == DOORBELL {
                continue;
            }
            self.partial.push(*byte);
            if let Ok(place) = <[u8; 8]>::try_from(&self.partial[..]) {
                self.places.push_back(u64::from_be_bytes(place));
                self.partial.clear();
            }
        }
    }

    /// Moves the batches whose announcement begins before byte `tail` of the stream to `batches`.
    pub(super) fn take_due(&mut self, tail: u64, batches: &mut Vec<FdBatch>) {
        while self.places.front().is_some_and(|place| *place < tail)
            && let Some(batch) = self.waiting.pop_front()
        {
            self.places.pop_front();
            batches.push(batch);
        }
    }

    /// Returns the position of the announcement of the next batch. `None` if no batch is complete.
    pub(super) fn next_place(&self) -> Option<u64> {
        self.places
            .front()
            .copied()
            .filter(|_| !self.waiting.is_empty())
    }

    /// Returns whether no batch and no part of a message waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.places.is_empty() && self.partial.is_empty()
    }

    /// Returns the number of batches received, modulo 2^32.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Returns whether an honest peer can have sent these batches, if bytes are read up to `tail` and written up to `head`:
    /// no announcement is before `tail`, and at most one is at `head` or later.
    pub(super) fn are_consistent(&self, tail: u64, head: u64) -> bool {
        let early = self.places.iter().filter(|place| **place >= head).count();
        early <= 1 && self.places.iter().all(|place| *place >= tail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(count: usize) -> Vec<FdBatch> {
        let descriptors = (0..count).map(|_| std::io::pipe().unwrap().0.into());
        vec![FdBatch {
            descriptors: descriptors.collect(),
            is_truncated: false,
        }]
    }

    fn handed_out(queue: &mut FdQueue, tail: u64) -> Vec<usize> {
        let mut batches = Vec::new();
        queue.take_due(tail, &mut batches);
        batches
            .iter()
            .map(|batch| batch.descriptors.len())
            .collect()
    }

    /// A batch comes out with the bytes that announce it, wherever reads split the messages.
    #[test]
    fn a_batch_waits_for_its_announcement() {
        let bytes = [
            &[DOORBELL][..],
            &100u64.to_be_bytes(),
            &[DOORBELL],
            &255u64.to_be_bytes(),
        ];
        let bytes = bytes.concat();
        for cut in 0..=bytes.len() {
            let mut queue = FdQueue::default();
            queue.received(&bytes[..cut], batch(1));
            queue.received(&bytes[cut..], batch(2));
            assert_eq!(queue.count(), 2);
            assert!(queue.are_consistent(0, 256) && queue.are_consistent(100, 255));
            assert!(!queue.are_consistent(0, 100), "both are ahead");
            assert!(!queue.are_consistent(101, 256), "one is behind");
            assert!(handed_out(&mut queue, 100).is_empty());
            assert_eq!(handed_out(&mut queue, 101), [1]);
            assert_eq!(handed_out(&mut queue, 300), [2]);
            assert!(handed_out(&mut queue, u64::MAX).is_empty());
        }
    }
}
