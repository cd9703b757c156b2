//! Descriptors beside the octets.
//!
//! The rules of a stream that carries them:
//!
//! * Before a frame that descriptors go along with stands one of the kind
//!   [`Descriptors`](super::Kind::Descriptors) for each lot of up to [`MOST`],
//!   with their number; the lot is sent with the first octet of it. A hello
//!   names its own lot, in a field.
//! * So each lot that comes belongs to an announcement that starts in the octets
//!   that came with it. Whatever stands before that may be glued to it, nothing
//!   behind it is. Lots and announcements are in the same order.
//! * A lot that is not what was announced is the loss of that frame, and of no
//!   other. So is a lot that found no room in this process, and one that could
//!   not be sent (announced as 0).
//! * What came and was not announced in the octets read so far is closed.

use std::collections::VecDeque;
use std::fmt;

/// The most descriptors of one lot: what the kernel sends with one message.
pub(crate) const MOST: usize = 253;

/// Why not all descriptors of a frame are here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The sender could not send them.
    Unsent,
    /// This process could not open so many.
    NoRoom,
    /// The sender announced others than it sent.
    Mismatch,
    /// This process already keeps as many as it may.
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

/// The descriptors of one frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ancillary<D>(Option<Box<Result<Vec<D>, Loss>>>);

impl<D> Default for Ancillary<D> {
    fn default() -> Self {
        Self(None)
    }
}

impl<D> Ancillary<D> {
    /// The descriptors, or why they are not here.
    pub(crate) fn into_descriptors(self) -> Result<Vec<D>, Loss> {
        self.0.map_or(Ok(Vec::new()), |all| *all)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        match self.0.as_deref() {
            Some(Ok(all)) => all.len(),
            Some(Err(_)) | None => 0,
        }
    }

    /// They are not here, for this reason.
    pub(super) fn give_up(&mut self, loss: Loss, spent: &mut Vec<D>) {
        std::mem::replace(self, Self(Some(Box::new(Err(loss))))).spend(spent);
    }

    /// There are none, and none were lost.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Nobody wants them.
    pub(super) fn spend(self, spent: &mut Vec<D>) {
        spent.extend(self.into_descriptors().unwrap_or_default());
    }

    fn extend(&mut self, lot: Result<Vec<D>, Loss>, spent: &mut Vec<D>) {
        let all = self.0.get_or_insert_with(|| Box::new(Ok(Vec::new())));
        match (&mut **all, lot) {
            (Ok(all), Ok(lot)) => all.extend(lot),
            (Ok(some), Err(loss)) => {
                spent.append(some);
                **all = Err(loss);
            }
            (Err(_), lot) => spent.extend(lot.unwrap_or_default()),
        }
    }
}

/// Lots that came and whose announcement was not read yet.
#[derive(Debug)]
pub(crate) struct Arrivals<D> {
    lots: VecDeque<Lot<D>>,
    count: usize,
    /// Descriptors that nobody wants.
    spent: Vec<D>,
}

#[derive(Debug)]
struct Lot<D> {
    descriptors: Vec<D>,
    /// There were more, for which there was no room.
    is_cut: bool,
}

impl<D> Default for Arrivals<D> {
    fn default() -> Self {
        Self {
            lots: VecDeque::new(),
            count: 0,
            spent: Vec::new(),
        }
    }
}

impl<D> Arrivals<D> {
    /// A lot came; of one that is cut some are missing.
    pub(crate) fn push(&mut self, descriptors: Vec<D>, is_cut: bool) {
        self.count += descriptors.len();
        self.lots.push_back(Lot {
            descriptors,
            is_cut,
        });
    }

    /// How many descriptors are here.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Hands out the lots, each with whether it is cut.
    pub(super) fn take_lots(&mut self) -> Vec<(Vec<D>, bool)> {
        self.count = 0;
        let lots = self.lots.drain(..);
        lots.map(|lot| (lot.descriptors, lot.is_cut)).collect()
    }

    /// The next lot was announced, as one of so many; 0: it was not sent.
    pub(super) fn claim(&mut self, count: usize, whole: &mut Ancillary<D>) {
        let lot = if count == 0 {
            Err(Loss::Unsent)
        } else {
            self.next(count)
        };
        whole.extend(lot, &mut self.spent);
    }

    fn next(&mut self, count: usize) -> Result<Vec<D>, Loss> {
        let mut lot = self.lots.pop_front().ok_or(Loss::Mismatch)?;
        self.count -= lot.descriptors.len();
        if lot.descriptors.len() == count && !lot.is_cut {
            return Ok(lot.descriptors);
        }
        self.spent.append(&mut lot.descriptors);
        Err(if lot.is_cut {
            Loss::NoRoom
        } else {
            Loss::Mismatch
        })
    }

    /// Nobody took these.
    pub(super) fn spend(&mut self, ancillary: Ancillary<D>) {
        ancillary.spend(&mut self.spent);
    }

    /// All octets were read, so nobody will ask for what is left.
    pub(super) fn spend_rest(&mut self) {
        for lot in self.lots.drain(..) {
            self.spent.extend(lot.descriptors);
        }
        self.count = 0;
    }

    /// Drops what nobody wants.
    pub(super) fn close_spent(&mut self) {
        self.spent.clear();
    }

    /// What nobody wants.
    pub(super) fn take_spent(&mut self, spent: &mut Vec<D>) {
        spent.append(&mut self.spent);
    }
}
