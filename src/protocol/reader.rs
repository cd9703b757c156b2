//! Reading frames from a stream that comes in pieces.

use std::iter::Sum;
use std::ops::{Add, Deref, Range, Sub};

use super::ancillary::{Ancillary, Arrivals, Loss};
use super::frame::{LARGE, Longest};
use super::{BufferPool, DESCRIPTORS, Form, Frame, HEADER, Violation};

/// So many octets at most need no buffer of their own.
const FEW: usize = 46;
/// How much is read at once, at least.
const READ: usize = 64 << 10;
/// How far ahead of the arrived octets room is made, at most.
const AHEAD: usize = 1 << 20;

/// A frame that came, owned: a buffer and where the octets start in it, and the
/// descriptors that came along.
pub(crate) struct Payload<D> {
    octets: Octets,
    ancillary: Ancillary<D>,
}

enum Octets {
    /// As many as this says; the others are anything.
    Few(u8, [u8; FEW]),
    /// A buffer, and where they start in it.
    Buffer(Vec<u8>, usize),
}

/// What payloads that are kept take.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Weight {
    pub(crate) bytes: usize,
    pub(crate) descriptors: usize,
}

impl Add for Weight {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            bytes: self.bytes + other.bytes,
            descriptors: self.descriptors + other.descriptors,
        }
    }
}

impl Sub for Weight {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self {
            bytes: self.bytes - other.bytes,
            descriptors: self.descriptors - other.descriptors,
        }
    }
}

impl Sum for Weight {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

/// The octets.
impl<D> Deref for Payload<D> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match &self.octets {
            Octets::Few(count, octets) => &octets[..usize::from(*count)],
            Octets::Buffer(buffer, start) => &buffer[*start..],
        }
    }
}

impl<D: PartialEq> PartialEq for Payload<D> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other && self.ancillary == other.ancillary
    }
}

impl<D: Eq> Eq for Payload<D> {}

impl<D> Payload<D> {
    /// The descriptors that came along; whoever takes them has them.
    pub(crate) fn take_ancillary(&mut self) -> Ancillary<D> {
        std::mem::take(&mut self.ancillary)
    }

    /// What it counts for where payloads are kept: its bytes, with what there is for each, and its descriptors.
    pub(crate) fn weight(&self) -> Weight {
        Weight {
            bytes: self.len() + size_of::<Self>(),
            descriptors: self.descriptors(),
        }
    }

    /// How many descriptors came along.
    #[inline]
    pub(super) fn descriptors(&self) -> usize {
        self.ancillary.count()
    }

    /// There is no room for the descriptors that came along.
    pub(super) fn give_up_descriptors(&mut self, spent: &mut Vec<D>) {
        self.ancillary.give_up(Loss::Limit, spent);
    }

    /// It was read: its buffer can be used again.
    pub(crate) fn recycle_in(self, pool: &mut BufferPool) {
        if let Octets::Buffer(buffer, _) = self.octets
            && buffer.len() >= LARGE
        {
            let used = buffer.len();
            pool.put(buffer, used);
        }
    }

    /// A copy of the first so many octets, which are not many.
    fn copy(octets: &[u8], count: usize, ancillary: Ancillary<D>) -> Self {
        let octets = match u8::try_from(count) {
            Ok(few) if count <= FEW => Octets::Few(few, few_of(octets, count)),
            _ => Octets::Buffer(octets[..count].to_vec(), 0),
        };
        Self { octets, ancillary }
    }
}

#[cfg(test)]
impl<D> From<Vec<u8>> for Payload<D> {
    fn from(octets: Vec<u8>) -> Self {
        Self::copy(&octets, octets.len(), Ancillary::default())
    }
}

/// The first so many octets, and if possible those behind them, too: as many as
/// are known beforehand are copied faster.
fn few_of(octets: &[u8], count: usize) -> [u8; FEW] {
    octets.first_chunk().copied().unwrap_or_else(|| {
        let mut few = [0; FEW];
        few[..count].copy_from_slice(&octets[..count]);
        few
    })
}

impl<D> std::fmt::Debug for Payload<D> {
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
/// [`room_in`](Self::room_in) says, and then calls [`advance`](Self::advance) until
/// it is short. The current frame stays valid until the next `advance`.
/// Descriptors that came with the octets [arrive](Self::arrivals) beside them.
#[derive(Debug)]
pub(crate) struct Reader<D> {
    form: Form,
    /// The longest frames taken.
    longest: Longest,
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
    /// Descriptors that came.
    arrivals: Arrivals<D>,
    /// How many may wait for their frame.
    most_descriptors: usize,
    /// Those of the current frame; of the next, if it is announced.
    ancillary: Ancillary<D>,
    announced: bool,
}

impl<D> Reader<D> {
    /// A reader at the start of a stream, of messages and events of at most `limit`
    /// bytes.
    pub(crate) fn new(form: Form, limit: u32) -> Self {
        Self {
            form,
            longest: Longest::new(limit),
            buffer: Vec::new(),
            current: 0..0,
            skip: 0,
            scanned: 0,
            passed: 0,
            high: 0,
            arrivals: Arrivals::default(),
            most_descriptors: DESCRIPTORS,
            ancillary: Ancillary::default(),
            announced: false,
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

    /// From the next frame on, messages and events so long are taken.
    pub(crate) fn set_limit(&mut self, limit: u32) {
        self.longest.message = limit;
    }

    /// The longest message or event taken.
    pub(crate) fn limit(&self) -> u32 {
        self.longest.message
    }

    /// The hello that comes is a parent's.
    pub(crate) fn await_parent(&mut self) {
        self.longest.await_parent();
    }

    /// The longest payload taken of such a frame.
    pub(super) fn limit_of(&self, frame: Frame) -> u32 {
        self.longest.of(frame.kind)
    }

    /// Where octets are put: behind what is there.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// These descriptors came with the octets just put; of a lot that is cut some
    /// are missing.
    pub(crate) fn push_arrival(&mut self, descriptors: Vec<D>, is_cut: bool) {
        self.arrivals.push(descriptors, is_cut);
    }

    /// From now on `most` descriptors may wait for their frame.
    pub(crate) fn set_most_descriptors(&mut self, most: usize) {
        self.most_descriptors = most;
    }

    /// What follows the current frame comes in another way: hands out the bytes behind it, and the lots of descriptors
    /// that came, each with whether it is cut.
    pub(crate) fn take_rest(&mut self) -> (Vec<u8>, Vec<(Vec<D>, bool)>) {
        let rest = self.buffer.split_off(self.current.end);
        self.scanned = self.scanned.min(self.current.end);
        (rest, self.arrivals.take_lots())
    }

    /// Nothing here is an announcement: what came is to be closed.
    pub(super) fn spend_arrivals(&mut self) {
        self.arrivals.spend_rest();
    }

    /// No more descriptors wait for their frame than may. To be called when no whole frame is left.
    pub(super) fn check_descriptors(&self) -> Result<(), Violation> {
        let (count, most) = (
            self.arrivals.count() + self.ancillary.count(),
            self.most_descriptors,
        );
        if count <= most {
            return Ok(());
        }
        Err(Violation(format!(
            "{count} descriptors came before the message that they belong to, the limit is {most}; send them in several messages, or raise `max_descriptors`"
        )))
    }

    /// How many descriptors have come that no frame has claimed.
    pub(crate) fn unclaimed(&self) -> usize {
        self.arrivals.count()
    }

    /// The descriptors of the current frame; whoever takes them has them.
    pub(crate) fn take_ancillary(&mut self) -> Ancillary<D> {
        std::mem::take(&mut self.ancillary)
    }

    /// Descriptors that nobody wants, to be closed; else they are when
    /// [`room_in`](Self::room_in) is asked for.
    pub(crate) fn take_spent(&mut self, spent: &mut Vec<D>) {
        self.arrivals.take_spent(spent);
    }

    /// The current frame says by itself that so many came with its first octet.
    pub(crate) fn claim(&mut self, count: usize) {
        self.arrivals.claim(count, &mut self.ancillary);
    }

    /// How many octets may be put into the buffer now.
    ///
    /// In the middle of a large frame it is what is missing (so that the frame
    /// ends where the buffer ends and can be handed out uncopied), but never
    /// much more than what has come already: a claimed length costs nothing.
    /// With nothing half read, the buffer is changed for the last of the pool.
    pub(crate) fn room_in(&mut self, pool: &mut BufferPool) -> usize {
        self.high = self.high.max(self.buffer.len());
        self.arrivals.close_spent();
        self.make_way();
        if self.buffer.is_empty() {
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
            // So that the buffer does not double once more for the last of it.
            self.buffer.reserve_exact(missing);
        }
        missing.min(self.buffer.len().clamp(READ, AHEAD)).max(READ)
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
        if !self.announced && !self.ancillary.is_empty() {
            let unwanted = self.take_ancillary();
            self.arrivals.spend(unwanted);
        }
        loop {
            let at = self.pass_over();
            let Some(frame) = Frame::parse(&self.buffer[at..], self.form) else {
                if at == self.buffer.len() {
                    self.arrivals.spend_rest();
                }
                return Step::Short;
            };
            if frame.length > self.limit_of(frame) {
                self.current = at + HEADER..at + HEADER;
                self.skip = frame.length.into();
                self.announced = false;
                return Step::TooLong(frame);
            }
            let end = at + HEADER + frame.length as usize;
            if self.buffer.len() < end {
                return Step::Short;
            }
            self.current = at + HEADER..end;
            self.announced = frame.announces();
            if !self.announced {
                return Step::Whole(frame);
            }
            self.arrivals.claim(frame.id as usize, &mut self.ancillary);
        }
    }

    /// How many octets have come, ever.
    pub(crate) fn received(&self) -> u64 {
        self.passed + self.buffer.len() as u64
    }

    /// The bytes of the current frame.
    pub(crate) fn octets(&self) -> &[u8] {
        &self.buffer[self.current.clone()]
    }

    /// The octets of the current frame, owned: a large one takes the buffer
    /// with it, a small one is copied.
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
        Payload {
            octets: Octets::Buffer(buffer, start),
            ancillary,
        }
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

    /// Drops what was handed out, so that the buffer starts with a header.
    fn make_way(&mut self) {
        let at = self.pass_over();
        self.scanned = self.scanned.saturating_sub(at);
        self.buffer.drain(..at);
        self.passed += at as u64;
        self.current = 0..0;
    }
}
