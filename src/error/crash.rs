//! How a child ended, and what is known of it.

use std::fmt;

use crate::limits::{Limit, Limits};

/// How a child ended.
///
/// ```
/// use offspring::ExitStatus;
///
/// assert!(ExitStatus::Code(0).success());
/// assert_eq!(ExitStatus::Code(3).code(), Some(3));
/// assert_eq!(ExitStatus::Code(3).to_string(), "exited with code 3");
/// let killed = ExitStatus::Signal { number: 9, core_dumped: false };
/// assert_eq!(killed.signal(), Some(9));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExitStatus {
    /// It exited with this code.
    Code(i32),
    /// A signal ended it.
    Signal {
        /// Its number, as in `signal(7)`.
        number: i32,
        /// It left a core file.
        core_dumped: bool,
    },
    /// There is no process of ours at the other end, or somebody else reaped
    /// it (`SIGCHLD` is ignored, say).
    Unknown,
}

impl ExitStatus {
    /// It exited with code 0.
    #[must_use]
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }

    /// The exit code, unless a signal ended it.
    #[must_use]
    pub fn code(self) -> Option<i32> {
        match self {
            Self::Code(code) => Some(code),
            _ => None,
        }
    }

    /// The signal that ended it.
    #[must_use]
    pub fn signal(self) -> Option<i32> {
        match self {
            Self::Signal { number, .. } => Some(number),
            _ => None,
        }
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal {
                number,
                core_dumped,
            } => {
                let core = if *core_dumped { ", core dumped" } else { "" };
                write!(
                    f,
                    "was ended by signal {number} ({}){core}",
                    crate::sys::signal_name(*number)
                )
            }
            Self::Unknown => f.write_str("ended, nobody knows how"),
        }
    }
}

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
