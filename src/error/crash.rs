//! How a child ended, and what is known of it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::child_id::ChildId;
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
#[derive(Clone, PartialEq, Eq)]
pub struct Crash {
    pub(crate) child: Arc<ChildId>,
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
        &self.child.worker
    }

    /// Its process id, if it was a process of ours.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.pid
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

    /// The last bytes it wrote to its standard error; empty unless
    /// [`capture_stderr`](crate::Builder::capture_stderr) was asked for.
    #[must_use]
    pub fn stderr_tail(&self) -> &[u8] {
        &self.stderr
    }
}

impl Crash {
    /// What it wrote last to its stderr, on separate lines.
    pub(crate) fn last_words(&self) -> String {
        match self.stderr_text().trim_matches('\n').trim_end() {
            "" => String::new(),
            tail => format!("; the end of its stderr:\n{tail}"),
        }
    }

    fn stderr_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stderr)
    }

    /// How it ended, behind its name. `during` says what it did meanwhile.
    pub(super) fn tell(&self, during: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.status, &self.reason, self.child.pid) {
            // The reason says more.
            (ExitStatus::Unknown, Some(_), _) => write!(f, " was given up{during}")?,
            (ExitStatus::Unknown, None, None) => write!(f, " closed the link{during}")?,
            (status, ..) => write!(f, " {status}{during}")?,
        }
        match &self.reason {
            Some(reason) => write!(f, ": {reason}")?,
            None => self.limits.explain(self.status, f)?,
        }
        f.write_str(&self.last_words())
    }
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.child, f)?;
        self.tell("", f)
    }
}

/// With the end of its stderr as text.
impl fmt::Debug for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crash")
            .field("worker", &self.child.worker)
            .field("pid", &self.child.pid)
            .field("status", &self.status)
            .field("reason", &self.reason)
            .field("over_limit", &self.over_limit())
            .field("stderr", &self.stderr_text())
            .finish()
    }
}
