//! The exit status of a process.

use std::fmt;
use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::Signal;

/// The exit status of a child.
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
    /// It called `exit` with this code.
    Code(i32),
    /// A signal ended it.
    Signal {
        /// Number of the signal, see `signal(7)`.
        number: i32,
        /// Whether it dumped core.
        core_dumped: bool,
    },
    /// The child is not a process of this one (behind a socket, for example), or other code has reaped it, or `SIGCHLD` is
    /// ignored.
    Unknown,
}

impl From<std::process::ExitStatus> for ExitStatus {
    /// A status with neither code nor signal becomes [`Unknown`](Self::Unknown).
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
    /// Converts to the type of the standard library. `None` for [`Unknown`](Self::Unknown).
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
        // The encoding of `wait(2)`.
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
    ///
    /// ```
    /// assert!(!offspring::ExitStatus::Code(3).success());
    /// ```
    #[must_use]
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }

    /// Returns the exit code. `None` if a signal ended it, or its status is unknown.
    ///
    /// ```
    /// assert_eq!(offspring::ExitStatus::Code(3).code(), Some(3));
    /// ```
    #[must_use]
    pub fn code(self) -> Option<i32> {
        match self {
            Self::Code(code) => Some(code),
            _ => None,
        }
    }

    /// Returns the signal that ended it. `None` if it exited, or its status is unknown.
    ///
    /// ```
    /// assert_eq!(offspring::ExitStatus::Code(3).signal(), None);
    /// ```
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
                    signal_name(*number)
                )
            }
            Self::Unknown => f.write_str("exited with unknown status"),
        }
    }
}

/// Returns the name of a signal, such as `SIGSEGV`, or `real-time` if it has none.
fn signal_name(number: i32) -> &'static str {
    Signal::try_from(number).map_or("real-time", Signal::as_str)
}
