//! Cutting a stream of bytes into frames.

use std::collections::VecDeque;
use std::ops::Range;

use super::ancillary::{Ancillary, BatchQueue};
use super::frame::{LARGE, MAX_FAILURE, MAX_HELLO};
use super::{BufferPool, DESCRIPTORS, Form, Frame, FrameKind, HEADER, Payload, Violation};

/// Minimum number of bytes to read at once.
const READ: usize = 64 << 10;
/// Maximum number of bytes to make room for beyond those that have arrived.
const AHEAD: usize = 1 << 20;

/// The result of [`FrameReader::advance`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NextFrame {
    /// The next frame has not arrived whole.
    Short,
    /// A whole frame: see [`FrameReader::bytes`] and [`FrameReader::take`].
    Whole(Frame),
    /// A frame over the limit. Its payload is skipped.
    TooLong(Frame),
}

/// Cuts a stream of bytes into frames.
///
/// The owner appends up to [`room_in`](Self::room_in) bytes to the [buffer](Self::buffer), and the descriptors that came
/// with them by [`push_arrival`](Self::push_arrival). It then calls [`advance`](Self::advance) until that returns
/// [`NextFrame::Short`]. The current frame is valid until the next `advance`.
#[derive(Debug)]
pub(crate) struct FrameReader<D> {
    /// The form of the next frames.
    pub(crate) form: Form,
    /// Maximum length of the next messages and events, in bytes.
    pub(crate) limit: u32,
    /// Maximum length of a hello, in bytes. Default: that of a child's.
    pub(crate) hello_limit: u32,
    buffer: Vec<u8>,
    /// The range of the current frame's payload in the buffer.
    current: Range<usize>,
    /// Number of bytes to skip of a frame over the limit.
    skip: u64,
    /// Offset in the buffer up to which [`scan`](Self::scan) has looked.
    scanned: usize,
    /// Number of bytes that ever left the buffer.
    passed: u64,
    /// Maximum length of the buffer since it was taken from the pool.
    high: usize,
    /// Batches of descriptors that no announcement has claimed.
    pub(super) arrivals: BatchQueue<D>,
    /// Maximum number of descriptors that wait for their frame.
    most_descriptors: usize,
    /// The descriptors of the current frame, or of the next one if `announced`.
    ancillary: Ancillary<D>,
    announced: bool,
}

impl<D> FrameReader<D> {
    /// Creates a reader at the start of a stream. Messages and events may have up to `limit` bytes.
    pub(crate) fn new(form: Form, limit: u32) -> Self {
        Self {
            form,
            limit,
            hello_limit: MAX_HELLO,
            buffer: Vec::new(),
            current: 0..0,
            skip: 0,
            scanned: 0,
            passed: 0,
            high: 0,
            arrivals: BatchQueue {
                batches: VecDeque::new(),
                unwanted: Vec::new(),
            },
            most_descriptors: DESCRIPTORS,
            ancillary: Ancillary::default(),
            announced: false,
        }
    }

    /// Returns the maximum payload of a frame of this kind, in bytes. Zero for an unknown kind, so its payload is not waited
    /// for.
    pub(super) fn limit_of(&self, frame: Frame) -> u32 {
        match frame.kind {
            Some(FrameKind::Message | FrameKind::CallEvent) => self.limit,
            Some(FrameKind::Failed) => MAX_FAILURE,
            Some(FrameKind::Hello) => self.hello_limit,
            Some(
                FrameKind::Cancel | FrameKind::Ready | FrameKind::Descriptors | FrameKind::Retire,
            )
            | None => 0,
        }
    }

    /// Returns the buffer, to append bytes to.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Adds a batch of descriptors that came with the bytes just appended. `is_cut` is whether some are missing.
    pub(crate) fn push_arrival(&mut self, descriptors: Vec<D>, is_cut: bool) {
        self.arrivals.batches.push_back((descriptors, is_cut));
    }

    /// Sets the maximum number of descriptors that wait for their frame.
    pub(crate) fn set_most_descriptors(&mut self, most: usize) {
        self.most_descriptors = most;
    }

    /// Takes the bytes behind the current frame, and the batches of descriptors, each with whether it is cut. The stream
    /// goes on in another way.
    pub(crate) fn take_rest(&mut self) -> (Vec<u8>, Vec<(Vec<D>, bool)>) {
        let rest = self.buffer.split_off(self.current.end);
        self.scanned = self.scanned.min(self.current.end);
        (rest, self.arrivals.batches.drain(..).collect())
    }

    /// Checks the number of descriptors that wait for their frame. To be called when no whole frame is left.
    pub(super) fn check_descriptors(&self) -> Result<(), Violation> {
        let count = self.arrivals.count() + self.ancillary.count();
        let most = self.most_descriptors;
        if count <= most {
            return Ok(());
        }
        Err(Violation(format!(
            "{count} descriptors came before the message that they belong to, the limit is {most}; send them in several messages, or raise `max_descriptors`"
        )))
    }

    /// Returns the number of descriptors that no announcement has claimed.
    pub(crate) fn unclaimed(&self) -> usize {
        self.arrivals.count()
    }

    /// Takes the descriptors of the current frame.
    pub(crate) fn take_ancillary(&mut self) -> Ancillary<D> {
        std::mem::take(&mut self.ancillary)
    }

    /// Claims the `count` descriptors that the current frame, a hello, announces itself.
    pub(crate) fn claim(&mut self, count: usize) {
        self.arrivals.claim(count, &mut self.ancillary);
    }

    /// Returns how many bytes may be appended to the buffer now.
    ///
    /// Within a large frame that is what is missing, so that the frame ends where the buffer ends and is handed out
    /// without a copy. But it is never much more than what has arrived: a length is only a claim. An empty buffer is
    /// exchanged for one of `pool`.
    pub(crate) fn room_in(&mut self, pool: &mut BufferPool) -> usize {
        self.high = self.high.max(self.buffer.len());
        self.arrivals.unwanted.clear();
        self.make_way();
        // A buffer that nothing was read into stays. The pool would count it as one that is little used.
        if self.buffer.is_empty() && (self.high > 0 || self.buffer.capacity() == 0) {
            pool.put(std::mem::take(&mut self.buffer), self.high);
            self.buffer = pool.take();
            self.high = 0;
        }
        if self.skip > 0 {
            return READ;
        }
        let frame = Frame::parse(&self.buffer, self.form);
        let end = frame.map_or(0, |frame| HEADER + frame.length as usize);
        let missing = end.saturating_sub(self.buffer.len());
        if missing <= self.buffer.len() {
            // Exact, so that the buffer does not double for the end of the frame.
            self.buffer.reserve_exact(missing);
        }
        missing.min(self.buffer.len().clamp(READ, AHEAD)).max(READ)
    }

    /// Returns whether every byte that arrived was handed out.
    pub(crate) fn is_empty(&self) -> bool {
        self.current.end == self.buffer.len() && self.skip == 0
    }

    /// Returns the bytes that arrived and were not handed out.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.buffer[self.current.end..]
    }

    /// Moves to the next frame.
    pub(crate) fn advance(&mut self) -> NextFrame {
        if !self.announced && !self.ancillary.is_empty() {
            let ancillary = self.take_ancillary();
            ancillary.discard(&mut self.arrivals.unwanted);
        }
        loop {
            let at = self.pass_over();
            let Some(frame) = Frame::parse(&self.buffer[at..], self.form) else {
                if at == self.buffer.len() {
                    self.arrivals.discard_rest();
                }
                return NextFrame::Short;
            };
            if frame.length > self.limit_of(frame) {
                self.current = at + HEADER..at + HEADER;
                self.skip = frame.length.into();
                self.announced = false;
                return NextFrame::TooLong(frame);
            }
            let end = at + HEADER + frame.length as usize;
            if self.buffer.len() < end {
                return NextFrame::Short;
            }
            self.current = at + HEADER..end;
            self.announced = frame.announces();
            if !self.announced {
                return NextFrame::Whole(frame);
            }
            self.arrivals.claim(frame.id as usize, &mut self.ancillary);
        }
    }

    /// Returns the number of bytes that ever arrived.
    pub(crate) fn received(&self) -> u64 {
        self.passed + self.buffer.len() as u64
    }

    /// Returns the payload of the current frame.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.current.clone()]
    }

    /// Takes the payload and the descriptors of the current frame. A small payload is copied, a large one takes the
    /// buffer.
    pub(crate) fn take(&mut self) -> Payload<D> {
        let ancillary = self.take_ancillary();
        let Range { start, end } = self.current;
        if end - start < LARGE || start > LARGE {
            return Payload::copy(&self.buffer[start..], end - start, ancillary);
        }
        let rest = self.buffer.split_off(end);
        self.passed += end as u64;
        let buffer = std::mem::replace(&mut self.buffer, rest);
        self.current = 0..0;
        self.scanned = self.scanned.saturating_sub(end);
        Payload::buffer(buffer, start, ancillary)
    }

    /// Calls `see` with each header that arrived since the last scan, ahead of the current frame.
    pub(crate) fn scan(&mut self, mut see: impl FnMut(Frame)) {
        let skip = usize::try_from(self.skip).unwrap_or(usize::MAX);
        let mut at = self.scanned.max(self.current.end.saturating_add(skip));
        while let Some(frame) = self
            .buffer
            .get(at..)
            .and_then(|bytes| Frame::parse(bytes, self.form))
        {
            see(frame);
            at = at.saturating_add(HEADER + frame.length as usize);
        }
        self.scanned = at;
    }

    /// Moves behind the current frame and the bytes to skip. Returns the offset of the next frame.
    fn pass_over(&mut self) -> usize {
        if self.skip == 0 {
            self.current.start = self.current.end;
            return self.current.end;
        }
        let have = (self.buffer.len() - self.current.end) as u64;
        let skipped = self.skip.min(have);
        self.skip -= skipped;
        let at = self.current.end + usize::try_from(skipped).expect("no more than the buffer");
        self.current = at..at;
        at
    }

    /// Removes what was handed out, so that the buffer starts with a header.
    fn make_way(&mut self) {
        let at = self.pass_over();
        self.scanned = self.scanned.saturating_sub(at);
        self.buffer.drain(..at);
        self.passed += at as u64;
        self.current = 0..0;
    }
}
