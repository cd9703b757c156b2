//! How a process ended, in the terms of the system.

use std::fmt;

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
