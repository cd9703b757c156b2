//! The child that an error names.

use std::fmt;

use crate::protocol::TEMPLATE;

/// A worker, and the process that runs it. A pool has no process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChildId {
    pub(crate) worker: String,
    pub(crate) pid: Option<u32>,
    /// The program that was run, for errors about it.
    pub(crate) program: String,
    pub(crate) runner: Runner,
}

/// The way a worker is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runner {
    /// As this program, by `exec` or `fork`.
    Own,
    /// As this program, by the command of `prefix`.
    Prefix,
    /// As another program.
    Other,
    /// As a thread of this process, which cannot be killed.
    Thread,
}

impl ChildId {
    /// Names the worker, and no process.
    pub(crate) fn of_worker(worker: &str) -> Self {
        Self {
            worker: worker.to_owned(),
            pid: None,
            program: String::new(),
            runner: Runner::Own,
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
