//! The end of a child.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::child_id::{ChildId, Runner};
use crate::exit_status::ExitStatus;
use crate::limits::{Limit, Limits};

/// How a child ended.
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
    /// Why the parent killed it, if it did.
    pub(crate) reason: Option<String>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) limits: Limits,
}

impl Crash {
    /// Returns the name of the worker.
    ///
    /// ```
    /// # fn f(error: &offspring::Error) -> Option<()> {
    /// println!("{} has crashed", error.crash()?.worker());
    /// # Some(()) }
    /// ```
    #[must_use]
    pub fn worker(&self) -> &str {
        &self.child.worker
    }

    /// Returns its process id. `None` if it was no child process of this one, but behind a socket, for example.
    ///
    /// ```
    /// # fn f(error: &offspring::Error) -> Option<()> {
    /// println!("process {:?} has crashed", error.crash()?.pid());
    /// # Some(()) }
    /// ```
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.pid
    }

    /// Returns its exit status.
    ///
    /// ```
    /// fn was_killed(error: &offspring::Error) -> bool {
    ///     error.crash().is_some_and(|crash| crash.status().signal() == Some(9))
    /// }
    /// ```
    #[must_use]
    pub fn status(&self) -> ExitStatus {
        self.status
    }

    /// Returns why the parent killed it, as a text for people. `None` if it ended by itself.
    ///
    /// ```
    /// # fn f(error: &offspring::Error) -> Option<()> {
    /// println!("the parent has killed it: {}", error.crash()?.reason()?);
    /// # Some(()) }
    /// ```
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Returns which of its [`limits`](crate::Builder::limits) it has probably exceeded, by its exit status.
    /// `None` for `SIGSEGV`: most come from a bad pointer, few from a stack that cannot grow.
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

    /// Returns the last bytes that it wrote to its standard error. Empty without
    /// [`capture_stderr`](crate::Builder::capture_stderr).
    ///
    /// ```
    /// # fn complain() {
    /// #     eprintln!("no disk");
    /// #     std::process::exit(3)
    /// # }
    /// # offspring::worker!(COMPLAIN: fn() = complain);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = COMPLAIN.builder().capture_stderr(100).spawn()?;
    /// let error = rpc.call().wait().unwrap_err();
    /// assert_eq!(error.crash().unwrap().stderr_tail(), b"no disk\n");
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn stderr_tail(&self) -> &[u8] {
        &self.stderr
    }

    /// Returns the captured end of its stderr, to append to an error.
    pub(crate) fn stderr_note(&self) -> String {
        match self.stderr_text().trim_matches('\n').trim_end() {
            "" => String::new(),
            tail => format!("; the end of its stderr:\n{tail}"),
        }
    }

    fn stderr_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stderr)
    }

    /// Writes how it ended, to follow its name. `during` is a clause on the call.
    pub(super) fn fmt_end(&self, during: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.status, &self.reason, self.child.pid) {
            // The reason follows.
            (ExitStatus::Unknown, Some(_), _) => write!(f, " was given up{during}")?,
            (ExitStatus::Unknown, None, None) => write!(f, " closed the link{during}")?,
            (status, ..) => {
                // The worker may have ended otherwise than the prefix, which runs it.
                if self.child.runner == Runner::Prefix {
                    write!(f, ": {}", self.child.program)?;
                }
                write!(f, " {status}{during}")?;
            }
        }
        match &self.reason {
            Some(reason) => write!(f, ": {reason}")?,
            None => self.limits.explain(self.status, f)?,
        }
        f.write_str(&self.stderr_note())
    }
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.child, f)?;
        self.fmt_end("", f)
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
