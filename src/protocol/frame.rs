//! Frames: the header, reading them from a stream that comes in pieces, and
//! queueing them for a stream that takes them in pieces.

use crate::spare;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::{Deref, Range};

/// The octets of a header: `id` and `length`, big-endian `u32` each.
pub(crate) const HEADER: usize = 8;

/// A frame longer than this travels as a piece of its own, uncopied.
const LARGE: usize = 32 << 10;
/// How much is read at once, at least.
const READ: usize = 64 << 10;
/// How far ahead of the arrived octets room is made, at most.
const AHEAD: usize = 1 << 20;

const KIND_SHIFT: u32 = 28;
const ID_MASK: u32 = (1 << KIND_SHIFT) - 1;

/// Which of the two forms is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The original's: ids of 32 bits, calls, results and events only.
    Plain,
    /// Ours: a kind in the top four bits of the id.
    Full,
}

/// What a frame of the full form is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A call, a result, or (id 0, from the child) an event.
    Message = 0,
    /// From the child: the call failed; the octets say how.
    Failed = 1,
    /// From the child: an event of this call, which is not answered yet.
    CallEvent = 2,
    /// From the parent: the answer to this call is no longer wanted.
    Cancel = 3,
    /// From the child: `init` is done.
    Ready = 4,
    /// From the child: it wants no more calls.
    Retire = 5,
    /// The first frame of either side.
    Hello = 15,
}

impl Kind {
    fn from_bits(bits: u32) -> Option<Self> {
        [
            Self::Message,
            Self::Failed,
            Self::CallEvent,
            Self::Cancel,
            Self::Ready,
            Self::Retire,
            Self::Hello,
        ]
        .into_iter()
        .find(|kind| *kind as u32 == bits)
    }
}

/// A header, decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    /// What it is; in the plain form always a message. `None`: a kind this
    /// version does not know.
    pub(crate) kind: Option<Kind>,
    /// Whose it is.
    pub(crate) id: u32,
    /// How many octets follow.
    pub(crate) length: u32,
}

impl Frame {
    /// The header of a message.
    pub(crate) fn message(id: u32, length: usize) -> Self {
        Self::of(Kind::Message, id, length)
    }

    /// The header of a frame of this kind.
    ///
    /// The length was checked against a limit, and limits are `u32`.
    pub(crate) fn of(kind: Kind, id: u32, length: usize) -> Self {
        let length = u32::try_from(length).expect("the length was checked against a limit");
        Self {
            kind: Some(kind),
            id,
            length,
        }
    }

    /// The octets of the header.
    pub(crate) fn to_octets(self) -> [u8; HEADER] {
        let kind = self.kind.map_or(0, |kind| (kind as u32) << KIND_SHIFT);
        let mut octets = [0; HEADER];
        octets[..4].copy_from_slice(&(kind | self.id).to_be_bytes());
        octets[4..].copy_from_slice(&self.length.to_be_bytes());
        octets
    }

    fn parse(octets: &[u8], form: Form) -> Option<Self> {
        let id = u32::from_be_bytes(octets.get(..4)?.try_into().ok()?);
        let length = u32::from_be_bytes(octets.get(4..HEADER)?.try_into().ok()?);
        Some(match form {
            Form::Plain => Self {
                kind: Some(Kind::Message),
                id,
                length,
            },
            Form::Full => Self {
                kind: Kind::from_bits(id >> KIND_SHIFT),
                id: id & ID_MASK,
                length,
            },
        })
    }
}

/// The largest id of a form.
pub(crate) fn largest_id(form: Form) -> u32 {
    match form {
        Form::Plain => u32::MAX,
        Form::Full => ID_MASK,
    }
}

/// The octets of one frame, owned: a buffer and where they start in it.
#[derive(Default, Clone, PartialEq, Eq)]
pub(crate) struct Payload {
    buffer: Vec<u8>,
    start: usize,
}

impl Deref for Payload {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.buffer[self.start..]
    }
}

impl Payload {
    /// It was read: its buffer can be used again.
    pub(crate) fn recycle(self) {
        let used = self.buffer.len();
        spare::put(self.buffer, used);
    }
}

impl From<Vec<u8>> for Payload {
    fn from(buffer: Vec<u8>) -> Self {
        Self { buffer, start: 0 }
    }
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Payload({} octets)", self.len())
    }
}

/// What [`Reader::advance`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// More octets are needed.
    Short,
    /// A whole frame: see [`Reader::octets`] and [`Reader::take`].
    Whole(Frame),
    /// A frame over the limit, whose octets are read past.
    TooLong(Frame),
}

/// Turns a stream that comes in pieces into frames.
///
/// Whoever reads puts octets behind the [buffer](Self::buffer), as many as
/// [`room`](Self::room) says, and then calls [`advance`](Self::advance) until
/// it is short. The current frame stays valid until the next `advance`.
#[derive(Debug)]
pub(crate) struct Reader {
    form: Form,
    /// The longest frame taken.
    limit: u32,
    buffer: Vec<u8>,
    /// The octets of the current frame, in the buffer.
    current: Range<usize>,
    /// Octets of a frame over the limit that are still to come.
    skip: u64,
    /// Up to where [`scan`](Self::scan) has looked.
    scanned: usize,
    /// How many octets have left the buffer, ever.
    passed: u64,
    /// How much of the buffer was used since it was taken.
    high: usize,
}

impl Reader {
    /// A reader at the start of a stream.
    pub(crate) fn new(form: Form, limit: u32) -> Self {
        Self {
            form,
            limit,
            buffer: Vec::new(),
            current: 0..0,
            skip: 0,
            scanned: 0,
            passed: 0,
            high: 0,
        }
    }

    /// From the next frame on, this form is spoken.
    pub(crate) fn set_form(&mut self, form: Form) {
        self.form = form;
    }

    /// The form that is spoken.
    pub(crate) fn form(&self) -> Form {
        self.form
    }

    /// The longest frame taken.
    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }

    /// Where octets are put: behind what is there.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// How many octets may be put into the buffer now.
    ///
    /// In the middle of a large frame it is what is missing (so that the frame
    /// ends where the buffer ends and can be handed out uncopied), but never
    /// much more than what has come already: a claimed length costs nothing.
    pub(crate) fn room(&mut self) -> usize {
        self.high = self.high.max(self.buffer.len());
        self.make_way();
        self.change_buffer();
        let have = self.buffer.len();
        match Frame::parse(&self.buffer, self.form) {
            Some(frame) if self.skip == 0 => {
                let missing = (HEADER + frame.length as usize).saturating_sub(have);
                if missing > READ {
                    missing.min(have.clamp(READ, AHEAD))
                } else {
                    missing.max(READ)
                }
            }
            _ => READ,
        }
    }

    /// Nothing of a frame has come that was not handed out.
    pub(crate) fn is_empty(&self) -> bool {
        self.current.end == self.buffer.len() && self.skip == 0
    }

    /// What came and was not handed out, as it is.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.buffer[self.current.end..]
    }

    /// Looks for the next frame.
    pub(crate) fn advance(&mut self) -> Step {
        let at = self.pass_over();
        let Some(frame) = Frame::parse(&self.buffer[at..], self.form) else {
            return Step::Short;
        };
        if frame.length > self.limit {
            self.current = at + HEADER..at + HEADER;
            self.skip = frame.length.into();
            return Step::TooLong(frame);
        }
        let end = at + HEADER + frame.length as usize;
        if self.buffer.len() < end {
            return Step::Short;
        }
        self.current = at + HEADER..end;
        Step::Whole(frame)
    }

    /// The frame after the current one is there, too.
    pub(crate) fn has_whole(&self) -> bool {
        let rest = self.rest();
        Frame::parse(rest, self.form)
            .is_some_and(|frame| self.skip == 0 && rest.len() >= HEADER + frame.length as usize)
    }

    /// How many octets have come, ever.
    pub(crate) fn received(&self) -> u64 {
        self.passed + self.buffer.len() as u64
    }

    /// The octets of the current frame.
    pub(crate) fn octets(&self) -> &[u8] {
        &self.buffer[self.current.clone()]
    }

    /// The octets of the current frame, owned: a large one takes the buffer
    /// with it, a small one is copied.
    pub(crate) fn take(&mut self) -> Payload {
        let Range { start, end } = self.current;
        if end - start < LARGE || start > LARGE {
            return self.octets().to_vec().into();
        }
        let rest = self.buffer.split_off(end);
        self.passed += end as u64;
        let buffer = std::mem::replace(&mut self.buffer, rest);
        self.current = 0..0;
        self.scanned = 0;
        Payload { buffer, start }
    }

    /// Looks ahead: shows each header that has come since the last look.
    pub(crate) fn scan(&mut self, mut see: impl FnMut(Frame)) {
        let skip = usize::try_from(self.skip).unwrap_or(usize::MAX);
        let mut at = self.scanned.max(self.current.end.saturating_add(skip));
        while let Some(frame) = self
            .buffer
            .get(at..)
            .and_then(|octets| Frame::parse(octets, self.form))
        {
            see(frame);
            at = at.saturating_add(HEADER + frame.length as usize);
        }
        self.scanned = at;
    }

    /// Steps behind the current frame and what is skipped; where the next is.
    fn pass_over(&mut self) -> usize {
        let have = (self.buffer.len() - self.current.end) as u64;
        let skipped = self.skip.min(have);
        self.skip -= skipped;
        let at = self.current.end + usize::try_from(skipped).expect("no more than the buffer");
        self.current = at..at;
        at
    }

    /// With nothing half read, the buffer is anybody's.
    fn change_buffer(&mut self) {
        if self.buffer.is_empty() {
            spare::put(std::mem::take(&mut self.buffer), self.high);
            self.buffer = spare::take();
            self.high = 0;
        }
    }

    /// Drops what was handed out, so that the buffer starts with a header.
    fn make_way(&mut self) {
        let at = self.pass_over();
        self.scanned = self.scanned.saturating_sub(at);
        self.buffer.drain(..at);
        self.passed += at as u64;
        self.current = 0..0;
    }
}

/// Frames on their way out: small ones share a piece, a large one is a piece.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pieces: VecDeque<Vec<u8>>,
    /// How much of the first piece is written.
    written: usize,
    length: usize,
}

impl Outbox {
    /// How many octets are waiting.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Nothing is waiting.
    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Queues a frame whose header is in place. A large one takes the buffer,
    /// of a small one the buffer is left for further use.
    pub(crate) fn push(&mut self, frame: &mut Vec<u8>) {
        self.length += frame.len();
        if frame.len() >= LARGE {
            self.pieces.push_back(std::mem::take(frame));
        } else {
            self.open_piece().extend_from_slice(frame);
        }
    }

    /// Queues a frame that is built from its parts.
    pub(crate) fn push_parts(&mut self, head: Frame, octets: &[u8]) {
        self.length += HEADER + octets.len();
        let piece = self.open_piece();
        piece.extend_from_slice(&head.to_octets());
        piece.extend_from_slice(octets);
    }

    fn open_piece(&mut self) -> &mut Vec<u8> {
        if self.pieces.back().is_none_or(|piece| piece.len() >= LARGE) {
            self.pieces.push_back(spare::take());
        }
        self.pieces.back_mut().expect("one was just pushed")
    }

    /// The first pieces, for one `writev`: how many of `slices` are set.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            let from = if count == 0 { self.written } else { 0 };
            *slice = IoSlice::new(&piece[from..]);
            count += 1;
        }
        count
    }

    /// So many octets were written.
    pub(crate) fn consume(&mut self, mut count: usize) {
        self.length -= count;
        while count > 0 {
            let left = self.pieces[0].len() - self.written;
            if count < left {
                self.written += count;
                return;
            }
            count -= left;
            self.written = 0;
            let piece = self.pieces.pop_front().expect("a piece was written");
            let used = piece.len();
            spare::put(piece, used);
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

    /// Forgets everything: nobody will read it.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
