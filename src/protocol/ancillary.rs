//! File descriptors that travel beside the bytes.
//!
//! The rules of a stream that carries them:
//!
//! * A frame with descriptors follows one announcement, a frame of the kind
//!   [`Descriptors`](super::FrameKind::Descriptors), for each batch of up to [`MOST`]. It holds the number of descriptors,
//!   and the batch is sent with its first byte. A hello announces its batch in a field.
//! * One `recvmsg` returns at most one batch, and ends with the write that the batch was sent with. The announcement starts
//!   in the bytes that it returns; bytes of earlier writes may precede it. So batches and announcements arrive in the same
//!   order.
//! * A batch of another size than announced fails that frame, and no other. So does a batch that this process had no
//!   room for, and one that could not be sent, which is announced as 0.
//! * A batch that no announcement in the bytes read so far claims is closed.

use std::collections::VecDeque;
use std::fmt;

/// Maximum number of descriptors in a batch: `SCM_MAX_FD`, the kernel's limit for one `sendmsg`.
pub(crate) const MOST: usize = 253;

/// Why descriptors of a frame are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The sender could not send them.
    Unsent,
    /// This process has no free descriptors for all of them.
    NoRoom,
    /// Their number is not the announced one.
    Mismatch,
    /// This process holds as many descriptors of unread results as `max_descriptors` allows.
    Limit,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsent => {
                "its descriptors could not be sent: too many are on their way (`RLIMIT_NOFILE` of the sender limits them)"
            }
            Self::NoRoom => {
                "its descriptors were lost: the receiver has too many open files (`RLIMIT_NOFILE` limits them)"
            }
            Self::Limit => {
                "its descriptors were closed: those of earlier results wait to be taken (`max_descriptors` limits them)"
            }
            Self::Mismatch => "its descriptors are not those that the sender announced",
        })
    }
}

/// The descriptors of one frame. The common case, none, takes one word.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ancillary<D>(Option<Box<Result<Vec<D>, Loss>>>);

impl<D> Default for Ancillary<D> {
    fn default() -> Self {
        Self(None)
    }
}

impl<D> Ancillary<D> {
    /// Returns the descriptors, or why they are missing.
    pub(crate) fn into_descriptors(self) -> Result<Vec<D>, Loss> {
        self.0.map_or(Ok(Vec::new()), |all| *all)
    }

    /// Returns the number of descriptors.
    pub(super) fn count(&self) -> usize {
        match self.0.as_deref() {
            Some(Ok(all)) => all.len(),
            Some(Err(_)) | None => 0,
        }
    }

    /// Moves the descriptors to `unwanted` and records why they are missing.
    pub(super) fn give_up(&mut self, loss: Loss, unwanted: &mut Vec<D>) {
        std::mem::replace(self, Self(Some(Box::new(Err(loss))))).discard(unwanted);
    }

    /// Returns whether no descriptor was sent and none was lost.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Moves the descriptors to `unwanted`.
    pub(super) fn discard(self, unwanted: &mut Vec<D>) {
        unwanted.extend(self.into_descriptors().unwrap_or_default());
    }

    fn extend(&mut self, batch: Result<Vec<D>, Loss>, unwanted: &mut Vec<D>) {
        let all = self.0.get_or_insert_with(|| Box::new(Ok(Vec::new())));
        match (&mut **all, batch) {
            (Ok(all), Ok(batch)) => all.extend(batch),
            (Ok(some), Err(loss)) => {
                unwanted.append(some);
                **all = Err(loss);
            }
            (Err(_), batch) => unwanted.extend(batch.unwrap_or_default()),
        }
    }
}

/// Batches that arrived and whose announcement was not read yet.
#[derive(Debug)]
pub(crate) struct BatchQueue<D> {
    /// Each with whether the process had no room for some of its descriptors.
    pub(super) batches: VecDeque<(Vec<D>, bool)>,
    /// Descriptors to close.
    pub(super) unwanted: Vec<D>,
}

impl<D> BatchQueue<D> {
    /// Returns the number of descriptors in all batches.
    pub(super) fn count(&self) -> usize {
        self.batches.iter().map(|(batch, _)| batch.len()).sum()
    }

    /// Adds the next batch to `whole`. Its announcement said `count`; 0 means that it could not be sent.
    pub(super) fn claim(&mut self, count: usize, whole: &mut Ancillary<D>) {
        let batch = match count {
            0 => Err(Loss::Unsent),
            _ => self.next(count),
        };
        whole.extend(batch, &mut self.unwanted);
    }

    fn next(&mut self, count: usize) -> Result<Vec<D>, Loss> {
        match self.batches.pop_front() {
            Some((batch, false)) if batch.len() == count => Ok(batch),
            Some((batch, is_cut)) => {
                self.unwanted.extend(batch);
                Err(if is_cut { Loss::NoRoom } else { Loss::Mismatch })
            }
            None => Err(Loss::Mismatch),
        }
    }

    /// Discards all batches: all bytes were read, so no announcement can follow.
    pub(super) fn discard_rest(&mut self) {
        let batches = self.batches.drain(..);
        self.unwanted.extend(batches.flat_map(|(batch, _)| batch));
    }
}
