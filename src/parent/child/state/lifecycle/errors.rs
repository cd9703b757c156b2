//! The errors of a child that has ended.

use std::sync::Arc;

use super::{ExitCause, Lifecycle, Over};
use crate::error::{Crash, Error, Runner};
use crate::exit_status::ExitStatus;
use crate::protocol::{Started, TEMPLATE};

/// The exit code of a worker that could not work, and of a panic in Rust.
const FAILED: i32 = 101;

/// Returns the question to ask if a program sends no hello. `None` if its stderr says more.
fn question(runner: Runner) -> Option<&'static str> {
    match runner {
        Runner::Own => Some("; does the program call `offspring::init()` first in `main`?"),
        Runner::Other => {
            Some("; does the worker's program call `serve` in `main`, as in `WORKER.serve()`?")
        }
        Runner::Prefix => None,
        Runner::Thread => Some(""),
    }
}

/// Returns the advice for a program that ended with this crash, without a hello; `None` is to read its stderr. Empty if a
/// signal ended it, or if its code is that of a command that could not run the program (125 to 127) or reports a signal (128
/// and above, and 255 of `ssh`).
fn advice(crash: &Crash) -> Option<&'static str> {
    let runner = crash.child.runner;
    match crash.status {
        ExitStatus::Code(FAILED) => None,
        ExitStatus::Code(125..) | ExitStatus::Signal { .. } => Some(""),
        ExitStatus::Code(1..) if runner == Runner::Other => None,
        ExitStatus::Code(_) | ExitStatus::Unknown => question(runner),
    }
}

/// Returns the remedy for a worker that took the hello for a call. Empty if the program ended in another way.
fn plain(crash: &Crash) -> &'static str {
    match crash.status {
        ExitStatus::Code(FAILED) => "",
        ExitStatus::Code(1..125) if crash.child.runner == Runner::Other => {
            " (a worker that knows no hello needs `plain`)"
        }
        _ => "",
    }
}

/// Returns the advice, and what was kept of stderr. The advice to read stderr is left out if stderr is in the error.
fn note(advice: Option<&str>, plain: &str, crash: &Crash) -> String {
    let stderr = crash.stderr_note();
    let read_stderr = match stderr.is_empty() {
        true => "; its stderr may say why",
        false => "",
    };
    advice.unwrap_or(read_stderr).to_owned() + plain + &stderr
}

impl Lifecycle {
    /// Says why the parent gave the child up. The text follows the child's name.
    pub(super) fn complain(&self, crash: &Crash) -> String {
        let program = &self.child().program;
        match &self.cause {
            Some(ExitCause::Handshake(text)) => {
                format!(": the handshake with {program} failed: {text}")
            }
            Some(ExitCause::Silent) => {
                let time = self.hello_time;
                let note = note(question(crash.child.runner), "", crash);
                format!(": no hello came from {program} within {time:?}{note}")
            }
            Some(ExitCause::NoHello { came, .. }) => {
                let note = note(advice(crash), plain(crash), crash);
                let status = match (crash.status, self.child().pid) {
                    (ExitStatus::Unknown, None) => "closed the link".into(),
                    (status, _) => status.to_string(),
                };
                format!(": {program} {status}{came} without a hello{note}")
            }
            Some(ExitCause::Init(text)) if self.child().worker == TEMPLATE => {
                format!(" failed to get ready: {text}")
            }
            Some(ExitCause::Init(text)) => format!(": its init failed: {text}"),
            Some(ExitCause::Violation(text)) => format!(" broke the protocol: {text}"),
            Some(ExitCause::Killed(_) | ExitCause::Hung(_)) | None => String::new(),
        }
    }

    /// Returns the error for what was lost with the child. `in_call` says that it was a call.
    ///
    /// # Panics
    /// If the child is not over.
    pub(crate) fn error_for(&self, started: Started, in_call: bool) -> Error {
        let over = self.over.as_ref();
        let Over { crash, complaint } = over.expect("a call is lost only once the child is over");
        let complaint = || Arc::clone(complaint);
        let error = match &self.cause {
            Some(ExitCause::Handshake(_)) => Error::handshake(complaint(), started).permanent(),
            Some(ExitCause::Silent) => Error::handshake(complaint(), started),
            Some(ExitCause::NoHello { foreign, .. }) => {
                // 0: the program had nothing to do. 126 and 127: a shell, `env` or ssh did not
                // find the program.
                let never = matches!(crash.status, ExitStatus::Code(0 | 126 | 127));
                let error = Error::handshake(complaint(), started);
                if *foreign || never {
                    error.permanent()
                } else {
                    error
                }
            }
            Some(ExitCause::Init(_)) => Error::init(complaint()),
            // A child that breaks the protocol is killed. If another signal ended it, that
            // says more than the broken protocol.
            Some(ExitCause::Violation(_))
                if matches!(crash.status.signal(), None | Some(libc::SIGKILL)) =>
            {
                Error::protocol(complaint())
            }
            _ => Error::dead(Arc::clone(crash), started, in_call),
        };
        error.about(self.child())
    }

    /// Returns the error of a call that was cancelled because its time is up.
    pub(crate) fn error_of_expired(&self, started: Started) -> Error {
        let mut error = Error::expired(started).about(self.child());
        if started == Started::Yes && self.one_by_one {
            error = error.and_goes_on();
        }
        if self.was_killed() {
            error = error.and_killed();
        }
        error
    }

    /// Returns what `on_error` is told at the end. `None` if the child ended as asked, and no
    /// call was lost.
    pub(crate) fn report(&self) -> Option<Error> {
        let status = self.status()?;
        let asked = self.closing && (status.success() || status == ExitStatus::Unknown);
        let quiet = match self.cause {
            None => asked,
            Some(ExitCause::Killed(_) | ExitCause::Hung(_)) => true,
            Some(_) => false,
        };
        (self.lost > 0 || !quiet).then(|| self.error_for(Started::Unknown, false))
    }
}
