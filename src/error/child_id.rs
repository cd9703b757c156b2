//! Which child an error tells of.

use std::fmt;

use crate::protocol::TEMPLATE;

/// The worker, and the process that runs it; a pool has no process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChildId {
    pub(crate) worker: String,
    pub(crate) pid: Option<u32>,
    /// What was run, for the errors of a child that is not what was meant.
    pub(crate) program: String,
}

impl ChildId {
    /// All children of a worker.
    pub(crate) fn of_worker(worker: &str) -> Self {
        Self {
            worker: worker.to_owned(),
            pid: None,
            program: String::new(),
        }
    }
}

/// ``worker `NAME` (process 7)``.
impl fmt::Display for ChildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.worker.as_str() {
            TEMPLATE => f.write_str("the template")?,
            name => write!(f, "worker `{name}`")?,
        }
        match self.pid {
            Some(pid) => write!(f, " (process {pid})"),
            None => Ok(()),
        }
    }
}
