//! The exit codes of a child that does not reach the end of its input.

use std::io;

use crate::message::FrameReader;

/// The exit code of a child that could not work.
pub(super) const FAILED: i32 = 101;

/// Why a child ends before it serves.
#[derive(Debug)]
pub(crate) enum EarlyExit {
    /// The link does not work.
    ParentLink(io::Error),
    /// The reason was reported. The exit code.
    Reported(i32),
}

impl From<io::Error> for EarlyExit {
    fn from(error: io::Error) -> Self {
        Self::ParentLink(error)
    }
}

impl EarlyExit {
    /// Prints `text` and the error of the link, and returns the exit code.
    pub(crate) fn code(self, text: &str) -> i32 {
        match self {
            Self::Reported(code) => code,
            Self::ParentLink(error) => {
                eprintln!("offspring: {text}{error}");
                FAILED
            }
        }
    }
}

/// Returns the exit code at the end of input.
pub(super) fn exit_code_at_end(reader: &FrameReader) -> i32 {
    if reader.is_empty() {
        return 0;
    }
    eprintln!("offspring: the link to the parent was cut in the middle of a frame");
    FAILED
}

/// Returns the exit code after an error of the link: 0 if the parent is gone. An error of a system that refuses to read or
/// write is reported.
pub(super) fn exit_code_of(error: &io::Error) -> i32 {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported => {
            eprintln!("offspring: the link to the parent does not work: {error}");
            FAILED
        }
        _ => 0,
    }
}

/// Reports a violation of the protocol by the parent. Returns the exit code.
pub(super) fn report_violation(text: &str) -> i32 {
    eprintln!("offspring: the parent broke the protocol: {text}");
    FAILED
}
