//! The lasting memory that this process has mapped, so that none is mapped twice.
//!
//! Page faults decide how fast memory is that comes and goes. Two things keep them away:
//!
//! - whatever is in use is found by its identity when it comes again: a result that is the caller's own memory is that
//!   memory, mapped as it is;
//! - a worker, which drops its arguments after each call, keeps the last [`KEPT`] that came.
//!
//! Only workers keep any: a parent that wants its results back keeps its handles, and would otherwise be left with
//! descriptors of children that are gone.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};

use crate::base::sync::Mutex;
use crate::startup;
use crate::sys::{Found, Identity, Lasting};

/// How many mappings a worker keeps that it does not use.
const KEPT: usize = 4;

/// The mappings of one process. An entry in `in_use` may be of one that is gone.
#[derive(Debug, Default)]
struct Registry {
    in_use: BTreeMap<Identity, Weak<Lasting>>,
    /// At so many entries those that are gone are cleared away.
    crowded: usize,
    /// The latest last.
    kept: Vec<Arc<Lasting>>,
}

/// Nothing is unmapped under the lock: that takes its time.
static REGISTRY: Mutex<Registry> = Mutex::new(Registry {
    in_use: BTreeMap::new(),
    crowded: 0,
    kept: Vec::new(),
});

/// Memory that this process has made.
pub(super) fn made(memory: Lasting) -> Arc<Lasting> {
    let memory = Arc::new(memory);
    REGISTRY.lock().enter(&memory);
    memory
}

/// Memory that has come from another process, or has come back.
pub(super) fn arrived(file: OwnedFd) -> io::Result<Arc<Lasting>> {
    let found = Found::new(file)?;
    let arrived = REGISTRY.lock().arrived(found, startup::is_at_work());
    arrived.map(|(memory, _gone)| memory)
}

impl Registry {
    /// Finds it, or maps it. Returns also what is kept no longer.
    fn arrived(
        &mut self,
        found: Found,
        keeps: bool,
    ) -> io::Result<(Arc<Lasting>, Option<Arc<Lasting>>)> {
        let known = self.in_use.get(&found.identity).and_then(Weak::upgrade);
        let memory = match known {
            Some(memory) => memory,
            None => Arc::new(found.map()?),
        };
        self.enter(&memory);
        let gone = if keeps { self.keep(&memory) } else { None };
        Ok((memory, gone))
    }

    fn enter(&mut self, memory: &Arc<Lasting>) {
        if self.in_use.len() >= self.crowded {
            self.in_use.retain(|_, memory| memory.strong_count() > 0);
            self.crowded = (2 * self.in_use.len()).max(16);
        }
        self.in_use
            .insert(memory.identity(), Arc::downgrade(memory));
    }

    fn keep(&mut self, memory: &Arc<Lasting>) -> Option<Arc<Lasting>> {
        self.kept.retain(|kept| !Arc::ptr_eq(kept, memory));
        self.kept.push(memory.clone());
        (self.kept.len() > KEPT).then(|| self.kept.remove(0))
    }
}

#[cfg(test)]
mod tests;
