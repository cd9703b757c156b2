//! The byte stream between parent and child: both ends of it, and the socket or pipes below them.
//!
//! Not here: the rings in shared memory, which a local link uses instead of the socket (`ring`), and frames
//! (`protocol`).

mod child;
mod parent;
mod transport;

pub(crate) use self::child::ChildLink;
pub(crate) use self::parent::{Link, ParentLink, set_nonblocking};
#[cfg(test)]
pub(crate) use self::transport::MAX_DESCRIPTORS;
pub(crate) use self::transport::{FdBatch, ReadMode};
pub(in crate::sys) use self::transport::{Transport, control_words, recv_with, send};
