//! How a child ended, and what is known of it.

use std::fmt;

use crate::exit_status::ExitStatus;
use crate::limits::{Limit, Limits};

/// What is known of the end of a child.
///
/// ```
/// # fn leave(code: String) {
/// #     std::process::exit(code.parse().unwrap_or(0))
/// # }
/// # offspring::worker!(LEAVE: fn(String) = leave);
/// # fn main() -> Result<(), offspring::Error> {
/// # offspring::init();
/// let rpc = LEAVE.spawn()?;
/// let error = rpc.call("3").wait().unwrap_err();
/// let crash = error.crash().expect("it is one");
/// assert_eq!(crash.status().code(), Some(3));
/// assert_eq!(crash.pid(), rpc.pid());
/// println!("{crash}: {}", crash.worker());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crash {
    pub(crate) worker: String,
    pub(crate) pid: Option<u32>,
    pub(crate) status: ExitStatus,
    /// Why the parent ended it, if it did.
    pub(crate) reason: Option<String>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) limits: Limits,
}

impl Crash {
    /// The name of the worker it ran.
    #[must_use]
    pub fn worker(&self) -> &str {
        &self.worker
    }

    /// Its process id, if it was a process of ours.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// How it ended.
    #[must_use]
    pub fn status(&self) -> ExitStatus {
        self.status
    }

    /// Why this side ended it, if it did: in words, for people.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// The limit that it has probably gone over, by the way it ended: one of
    /// [`Builder::limits`](crate::Builder::limits).
    ///
    /// ```
    /// # fn spin() { loop { std::hint::spin_loop() } }
    /// # offspring::worker!(SPIN: fn() = spin);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// use offspring::{Limit, Limits};
    /// use std::time::Duration;
    ///
    /// let limits = Limits::new().cpu_time(Duration::from_secs(1));
    /// let rpc = SPIN.builder().limits(limits).spawn()?;
    /// let error = rpc.call().wait().unwrap_err();
    /// assert_eq!(error.crash().unwrap().over_limit(), Some(Limit::CpuTime));
    /// assert!(error.to_string().contains("CPU time"));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn over_limit(&self) -> Option<Limit> {
        let own_doing = self.reason.is_none();
        self.limits.exceeded(self.status).filter(|_| own_doing)
    }

    /// The last octets it wrote to its standard error; empty unless
    /// [`capture_stderr`](crate::Builder::capture_stderr) was asked for.
    #[must_use]
    pub fn stderr_tail(&self) -> &[u8] {
        &self.stderr
    }
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the child of `{}`", self.worker)?;
        if let Some(pid) = self.pid {
            write!(f, " (process {pid})")?;
        }
        // The reason says more than an unknown status.
        if self.status != ExitStatus::Unknown || self.reason.is_none() {
            write!(f, " {}", self.status)?;
        }
        if let Some(reason) = &self.reason {
            write!(f, ": {reason}")?;
        }
        if self.reason.is_none() {
            self.limits.explain(self.status, f)?;
        }
        let tail = String::from_utf8_lossy(&self.stderr);
        match tail.trim_end() {
            "" => Ok(()),
            tail => write!(f, "; the end of its stderr:\n{tail}"),
        }
    }
}
