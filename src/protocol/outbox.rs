//! Queueing frames for a stream that takes them in pieces.

use std::collections::VecDeque;
use std::io::IoSlice;

use super::ancillary::MOST;
use super::frame::LARGE;
use super::{BufferPool, Frame, HEADER, announcement};

/// A frame that is to go: room for a header, then bytes; and the descriptors that go along.
#[derive(Debug)]
#[allow(
    unreachable_pub,
    reason = "with the feature `concurrent` macros hand it through"
)]
pub struct Parcel<D> {
    pub(crate) frame: Vec<u8>,
    pub(crate) descriptors: Vec<D>,
}

impl<D> Default for Parcel<D> {
    /// Not even room for a header.
    fn default() -> Self {
        Self {
            frame: Vec::new(),
            descriptors: Vec::new(),
        }
    }
}

impl<D> Parcel<D> {
    /// Room for a header, in a buffer of this pool.
    pub(crate) fn in_pool(pool: &mut BufferPool) -> Self {
        let mut frame = pool.take();
        frame.extend_from_slice(&[0; HEADER]);
        Self {
            frame,
            ..Self::default()
        }
    }

    /// How many octets it has, the header included.
    pub(crate) fn len(&self) -> usize {
        self.frame.len()
    }

    /// It was sent, or is not wanted: its buffer can be used again.
    pub(crate) fn recycle_in(self, pool: &mut BufferPool) {
        let used = self.frame.len();
        pool.put(self.frame, used);
    }
}

/// Frames on their way out: small ones share a piece, a large one is a piece.
///
/// Descriptors go with the first octet of a piece, one lot at a time: a piece
/// that has some is the first of what is written together.
#[derive(Debug)]
pub(crate) struct Outbox<D> {
    pieces: VecDeque<Piece<D>>,
    /// How much of the first piece is written.
    written: usize,
    length: usize,
}

#[derive(Debug)]
struct Piece<D> {
    octets: Vec<u8>,
    descriptors: Vec<D>,
}

impl<D> From<Vec<u8>> for Piece<D> {
    fn from(octets: Vec<u8>) -> Self {
        Self {
            octets,
            descriptors: Vec::new(),
        }
    }
}

impl<D> Default for Outbox<D> {
    fn default() -> Self {
        Self {
            pieces: VecDeque::new(),
            written: 0,
            length: 0,
        }
    }
}

impl<D> Outbox<D> {
    /// How many octets are waiting.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Nothing is waiting.
    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Queues a frame whose header is in place. A large one takes the buffer, and
    /// so does the first of a piece; of others the buffer is left for further use.
    pub(crate) fn push(&mut self, parcel: &mut Parcel<D>) {
        if !parcel.descriptors.is_empty() {
            self.announce(&mut parcel.descriptors);
        }
        self.length += parcel.len();
        let frame = &mut parcel.frame;
        match self.open_piece() {
            Some(piece) if frame.len() < LARGE => piece.extend_from_slice(frame),
            _ => self.pieces.push_back(std::mem::take(frame).into()),
        }
    }

    /// Queues the frames that say what goes along with the next.
    fn announce(&mut self, descriptors: &mut Vec<D>) {
        while !descriptors.is_empty() {
            let rest = descriptors.split_off(descriptors.len().min(MOST));
            let lot = std::mem::replace(descriptors, rest);
            self.length += HEADER;
            self.pieces.push_back(Piece {
                octets: announcement(lot.len()).to_vec(),
                descriptors: lot,
            });
        }
    }

    /// Queues a frame that is built from its parts.
    pub(crate) fn push_parts(&mut self, head: Frame, octets: &[u8]) {
        self.length += HEADER + octets.len();
        let header = head.to_octets();
        match self.open_piece() {
            Some(piece) => piece.extend([&header, octets].into_iter().flatten()),
            None => self.pieces.push_back([&header, octets].concat().into()),
        }
    }

    /// Queues the first frame of all, built from its parts.
    pub(crate) fn push_first(&mut self, head: Frame, octets: &[u8], descriptors: Vec<D>) {
        debug_assert!(self.is_empty(), "else they would go with another frame");
        self.push_parts(head, octets);
        if let Some(piece) = self.pieces.front_mut() {
            piece.descriptors = descriptors;
        }
    }

    /// The last piece, if more may be added to it.
    fn open_piece(&mut self) -> Option<&mut Vec<u8>> {
        let last = self.pieces.back_mut().map(|piece| &mut piece.octets);
        last.filter(|octets| octets.len() < LARGE)
    }

    /// The first pieces, for one `writev`: how many of `slices` are set.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            if count > 0 && !piece.descriptors.is_empty() {
                break;
            }
            let from = if count == 0 { self.written } else { 0 };
            *slice = IoSlice::new(&piece.octets[from..]);
            count += 1;
        }
        count
    }

    /// What goes along with the first octet of them.
    pub(crate) fn descriptors(&self) -> &[D] {
        self.pieces.front().map_or(&[], |piece| &piece.descriptors)
    }

    /// They cannot be sent: the other side is told so, and nothing else is lost.
    /// False if there are none that were announced.
    pub(crate) fn give_up_descriptors(&mut self) -> bool {
        let Some(piece) = self.pieces.front_mut() else {
            return false;
        };
        let announced = announcement(piece.descriptors.len());
        if piece.descriptors.is_empty() || !piece.octets.starts_with(&announced) {
            return false;
        }
        piece.descriptors.clear();
        piece.octets[..HEADER].copy_from_slice(&announcement(0));
        true
    }

    /// `count` bytes were written; buffers of which all were go into the pool.
    pub(crate) fn consume_in(&mut self, mut count: usize, pool: &mut BufferPool) {
        self.length -= count;
        while count > 0 {
            let first = &mut self.pieces[0];
            first.descriptors = Vec::new();
            let left = first.octets.len() - self.written;
            if count < left {
                self.written += count;
                return;
            }
            count -= left;
            self.written = 0;
            let piece = self.pieces.pop_front().expect("a piece was written").octets;
            let used = piece.len();
            pool.put(piece, used);
        }
    }

    /// Puts what came back unwritten in front of what was queued meanwhile.
    pub(crate) fn put_back(&mut self, mut unwritten: Self) {
        self.length += unwritten.length;
        if self.pieces.is_empty() || !unwritten.pieces.is_empty() {
            self.written = unwritten.written;
            unwritten.pieces.append(&mut self.pieces);
            self.pieces = unwritten.pieces;
        }
    }

    /// Puts bytes in front of all that is queued.
    pub(crate) fn put_in_front(&mut self, bytes: Vec<u8>) {
        self.length += bytes.len();
        if let Some(first) = self.pieces.front_mut() {
            first.octets.drain(..std::mem::take(&mut self.written));
        }
        self.pieces.push_front(bytes.into());
    }

    /// Forgets everything: nobody will read it.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
