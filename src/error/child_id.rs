//! The child that an error names.

use std::fmt;

use crate::protocol::TEMPLATE;

/// A worker, and the process that runs it. A pool has no process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChildId {
    pub(crate) worker: String,
    pub(crate) pid: Option<u32>,
    /// The program that was run, for handshake errors.
    pub(crate) program: String,
    /// The advice if that sends no hello. `None`: to read its stderr.
    pub(crate) advice: Option<&'static str>,
    /// It is a thread of this process, which cannot be killed.
    pub(crate) is_thread: bool,
}

impl ChildId {
    /// Names the worker, and no process.
    pub(crate) fn of_worker(worker: &str) -> Self {
        Self {
            worker: worker.to_owned(),
            pid: None,
            program: String::new(),
            advice: None,
            is_thread: false,
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
