//! The payload of a frame that arrived.

use std::iter::Sum;
use std::ops::{Add, Deref, Sub};

use super::BufferPool;
use super::ancillary::{Ancillary, Loss};
use super::frame::LARGE;

/// Maximum length of a payload that is stored inline, in bytes. With it a `Payload` takes 56 bytes.
const INLINE: usize = 46;

/// The payload of a frame, owned, and its descriptors.
pub(crate) struct Payload<D> {
    bytes: PayloadBytes,
    ancillary: Ancillary<D>,
}

enum PayloadBytes {
    /// Their number, and an array that begins with them.
    Inline(u8, [u8; INLINE]),
    /// A buffer, and the offset at which they start.
    Buffer(Vec<u8>, usize),
}

/// The size of payloads in a queue.
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

/// To the bytes.
impl<D> Deref for Payload<D> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match &self.bytes {
            PayloadBytes::Inline(count, bytes) => &bytes[..usize::from(*count)],
            PayloadBytes::Buffer(buffer, start) => &buffer[*start..],
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
    /// Takes the descriptors.
    pub(crate) fn take_ancillary(&mut self) -> Ancillary<D> {
        std::mem::take(&mut self.ancillary)
    }

    /// Returns what it takes in a queue: its bytes and those of the entry, and its descriptors.
    pub(crate) fn weight(&self) -> Weight {
        Weight {
            bytes: self.len() + size_of::<Self>(),
            descriptors: self.descriptors(),
        }
    }

    /// Returns the number of descriptors.
    #[inline]
    pub(super) fn descriptors(&self) -> usize {
        self.ancillary.count()
    }

    /// Moves the descriptors to `unwanted`, because the limit for them is reached.
    pub(super) fn give_up_descriptors(&mut self, unwanted: &mut Vec<D>) {
        self.ancillary.give_up(Loss::Limit, unwanted);
    }

    /// Puts a large buffer into `pool`.
    pub(crate) fn recycle_in(self, pool: &mut BufferPool) {
        if let PayloadBytes::Buffer(buffer, _) = self.bytes
            && buffer.len() >= LARGE
        {
            let used = buffer.len();
            pool.put(buffer, used);
        }
    }

    /// Takes a buffer in which the payload starts at `start`.
    pub(super) fn buffer(buffer: Vec<u8>, start: usize, ancillary: Ancillary<D>) -> Self {
        Self {
            bytes: PayloadBytes::Buffer(buffer, start),
            ancillary,
        }
    }

    /// Copies the first `count` of `bytes`.
    pub(super) fn copy(bytes: &[u8], count: usize, ancillary: Ancillary<D>) -> Self {
        let bytes = match u8::try_from(count) {
            Ok(few) if count <= INLINE => PayloadBytes::Inline(few, inline(bytes, count)),
            _ => PayloadBytes::Buffer(bytes[..count].to_vec(), 0),
        };
        Self { bytes, ancillary }
    }
}

#[cfg(test)]
impl<D> From<Vec<u8>> for Payload<D> {
    fn from(bytes: Vec<u8>) -> Self {
        Self::copy(&bytes, bytes.len(), Ancillary::default())
    }
}

/// Returns an array that begins with the first `count` of `bytes`. Where there are enough bytes it copies the whole array,
/// because a copy of constant length is faster.
fn inline(bytes: &[u8], count: usize) -> [u8; INLINE] {
    bytes.first_chunk().copied().unwrap_or_else(|| {
        let mut few = [0; INLINE];
        few[..count].copy_from_slice(&bytes[..count]);
        few
    })
}

impl<D> std::fmt::Debug for Payload<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Payload({} bytes)", self.len())
    }
}
