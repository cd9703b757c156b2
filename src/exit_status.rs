//! How a process ended, in the terms of the system.

use std::fmt;
use std::os::unix::process::ExitStatusExt;

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
    /// There is no process of ours at the other end, or other code has reaped
    /// it (`SIGCHLD` is ignored, say).
    Unknown,
}

impl From<std::process::ExitStatus> for ExitStatus {
    /// One that says neither a code nor a signal is [`Unknown`](Self::Unknown).
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let status = std::process::Command::new("false").status()?;
    /// assert_eq!(offspring::ExitStatus::from(status), offspring::ExitStatus::Code(1));
    /// # Ok(()) }
    /// ```
    fn from(status: std::process::ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, Some(number)) => Self::Signal {
                number,
                core_dumped: status.core_dumped(),
            },
            (None, None) => Self::Unknown,
        }
    }
}

impl ExitStatus {
    /// Returns the standard library's form. `None` for [`Unknown`](Self::Unknown), which
    /// it has none for.
    ///
    /// ```
    /// use offspring::ExitStatus;
    ///
    /// let killed = ExitStatus::Signal { number: 9, core_dumped: false };
    /// for status in [ExitStatus::Code(3), killed] {
    ///     assert_eq!(status.to_std().map(ExitStatus::from), Some(status));
    /// }
    /// assert_eq!(ExitStatus::Unknown.to_std(), None);
    /// ```
    #[must_use]
    pub fn to_std(self) -> Option<std::process::ExitStatus> {
        // As `wait` gives it, see `wait(2)`.
        let raw = match self {
            Self::Code(code) => (code & 0xff) << 8,
            Self::Signal {
                number,
                core_dumped,
            } => number | if core_dumped { 0x80 } else { 0 },
            Self::Unknown => return None,
        };
        Some(std::process::ExitStatus::from_raw(raw))
    }

    /// Returns whether it exited with code 0.
    #[must_use]
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }

    /// The exit code. `None` unless it exited by itself.
    #[must_use]
    pub fn code(self) -> Option<i32> {
        match self {
            Self::Code(code) => Some(code),
            _ => None,
        }
    }

    /// The signal that ended it. `None` if none has.
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
            Self::Unknown => f.write_str("exited with unknown status"),
        }
    }
}
