//! The mappings of [`SharedMemory`](super::SharedMemory) in this process, so that no file is mapped twice.
//!
//! Mapping a file costs a page fault for each page. Two things avoid that:
//!
//! - A file that is mapped already is found by its identity when it arrives again: a result that is the caller's own
//!   memory uses the caller's mapping.
//! - A worker, which drops its arguments after each call, keeps the [`RECENT`] last ones.
//!
//! Only workers keep any. A parent that needs a mapping again keeps its handle, and would otherwise hold descriptors of
//! children that have exited.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};

use crate::base::sync::Mutex;
use crate::startup;
use crate::sys::{FileId, PerProcess, SharedFile, SharedMap};

/// Maximum number of mappings that a worker keeps without a handle.
const RECENT: usize = 4;

/// The mappings of a process. Entries of `in_use` may be of mappings that are dropped.
#[derive(Debug, Default)]
struct Mappings {
    in_use: BTreeMap<FileId, Weak<SharedMap>>,
    /// Number of entries at which those of dropped mappings are removed.
    sweep_at: usize,
    /// The last ones that arrived, the latest last.
    recent: Vec<Arc<SharedMap>>,
}

/// Nothing is unmapped under the lock, because that takes long.
static MAPPINGS: PerProcess<Mutex<Mappings>> = PerProcess::new();

/// Enters a mapping that this process created.
pub(super) fn created(memory: SharedMap) -> Arc<SharedMap> {
    let memory = Arc::new(memory);
    MAPPINGS.get().lock().enter(&memory);
    memory
}

/// Maps a file that arrived, or finds its mapping.
pub(super) fn received(file: OwnedFd) -> io::Result<Arc<SharedMap>> {
    let found = SharedFile::new(file)?;
    let arrived = MAPPINGS.get().lock().received(found, startup::is_worker());
    arrived.map(|(memory, _gone)| memory)
}

impl Mappings {
    /// Finds the mapping of a file, or maps it. Also returns a mapping to drop outside of the lock.
    fn received(
        &mut self,
        found: SharedFile,
        keeps: bool,
    ) -> io::Result<(Arc<SharedMap>, Option<Arc<SharedMap>>)> {
        let known = self.in_use.get(&found.identity).and_then(Weak::upgrade);
        let memory = match known {
            Some(memory) => memory,
            None => Arc::new(found.map()?),
        };
        self.enter(&memory);
        let gone = if keeps {
            self.keep_recent(&memory)
        } else {
            None
        };
        Ok((memory, gone))
    }

    fn enter(&mut self, memory: &Arc<SharedMap>) {
        if self.in_use.len() >= self.sweep_at {
            self.in_use.retain(|_, memory| memory.strong_count() > 0);
            self.sweep_at = (2 * self.in_use.len()).max(16);
        }
        self.in_use
            .insert(memory.identity(), Arc::downgrade(memory));
    }

    fn keep_recent(&mut self, memory: &Arc<SharedMap>) -> Option<Arc<SharedMap>> {
        self.recent.retain(|kept| !Arc::ptr_eq(kept, memory));
        self.recent.push(memory.clone());
        (self.recent.len() > RECENT).then(|| self.recent.remove(0))
    }
}

#[cfg(test)]
mod tests;
