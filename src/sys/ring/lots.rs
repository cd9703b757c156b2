//! Lots of file descriptors that came over the socket, until the bytes that announce them were read from the ring.
//!
//! The socket has two kinds of messages: a doorbell, which is one byte, and a lot, which is the place of its announcement
//! in the ring's stream, as eight bytes (the first of which is no doorbell), with the descriptors. They may come glued to
//! each other or in pieces; lots and places are in the same order.

use std::collections::VecDeque;

use crate::sys::transport::Arrival;

/// A message that only wakes.
pub(super) const DOORBELL: u8 = 0xff;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lots {
    waiting: VecDeque<Arrival>,
    places: VecDeque<u64>,
    /// The beginning of a place.
    begun: Vec<u8>,
    /// How many lots have come, modulo 2^32.
    count: u32,
}

impl Lots {
    /// Takes what a read of the socket brought.
    pub(super) fn came(&mut self, bytes: &[u8], arrivals: Vec<Arrival>) {
        self.count = self.count.wrapping_add(arrivals.len() as u32);
        self.waiting.extend(arrivals);
        for byte in bytes {
            if self.begun.is_empty() && *byte == DOORBELL {
                continue;
            }
            self.begun.push(*byte);
            if let Ok(place) = <[u8; 8]>::try_from(&self.begun[..]) {
                self.places.push_back(u64::from_be_bytes(place));
                self.begun.clear();
            }
        }
    }

    /// Hands out the lots whose announcement begins before byte `tail` of the stream.
    pub(super) fn hand_out(&mut self, tail: u64, arrivals: &mut Vec<Arrival>) {
        while self.places.front().is_some_and(|place| *place < tail)
            && let Some(lot) = self.waiting.pop_front()
        {
            self.places.pop_front();
            arrivals.push(lot);
        }
    }

    /// Returns the place of the announcement of the lot that is handed out next.
    pub(super) fn next_place(&self) -> Option<u64> {
        self.places
            .front()
            .copied()
            .filter(|_| !self.waiting.is_empty())
    }

    /// Returns whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.places.is_empty() && self.begun.is_empty()
    }

    /// Returns how many lots have come, modulo 2^32.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Returns whether lots and announcements are where they can be, of bytes read up to `tail` and written up to `head`: a
    /// lot comes before its announcement is written, and no more than one is ahead of that.
    pub(super) fn make_sense(&self, tail: u64, head: u64) -> bool {
        let early = self.places.iter().filter(|place| **place >= head).count();
        early <= 1 && self.places.iter().all(|place| *place >= tail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lot(count: usize) -> Vec<Arrival> {
        let descriptors = (0..count).map(|_| std::io::pipe().unwrap().0.into());
        vec![Arrival {
            descriptors: descriptors.collect(),
            is_cut: false,
        }]
    }

    fn handed_out(lots: &mut Lots, tail: u64) -> Vec<usize> {
        let mut arrivals = Vec::new();
        lots.hand_out(tail, &mut arrivals);
        arrivals.iter().map(|lot| lot.descriptors.len()).collect()
    }

    /// However the messages are cut, a lot comes out with the bytes that announce it.
    #[test]
    fn a_lot_waits_for_its_announcement() {
        let bytes = [
            &[DOORBELL][..],
            &100u64.to_be_bytes(),
            &[DOORBELL],
            &255u64.to_be_bytes(),
        ];
        let bytes = bytes.concat();
        for cut in 0..=bytes.len() {
            let mut lots = Lots::default();
            lots.came(&bytes[..cut], lot(1));
            lots.came(&bytes[cut..], lot(2));
            assert_eq!(lots.count(), 2);
            assert!(lots.make_sense(0, 256) && lots.make_sense(100, 255));
            assert!(!lots.make_sense(0, 100), "both are ahead");
            assert!(!lots.make_sense(101, 256), "one is behind");
            assert!(handed_out(&mut lots, 100).is_empty());
            assert_eq!(handed_out(&mut lots, 101), [1]);
            assert_eq!(handed_out(&mut lots, 300), [2]);
            assert!(handed_out(&mut lots, u64::MAX).is_empty());
        }
    }
}
