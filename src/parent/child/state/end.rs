//! The end of a child: it is over once its stream has ended and its exit is known.

use std::time::Instant;

use super::callback_queue::Callback;
use super::deadlines::NO_CALL;
use super::lifecycle::{ExitCause, GRACE};
use super::{ChildState, LinkReader};
use crate::error::Error;
use crate::exit_status::ExitStatus;
use crate::protocol::Started;

impl ChildState {
    /// Takes the reader back after the end of the stream.
    pub(crate) fn handle_end(&mut self, reader: LinkReader) {
        if !self.lifecycle.has_said_hello() {
            let rest = reader.frames.rest();
            let came = if rest.is_empty() {
                String::new()
            } else {
                format!(" after {}", crate::protocol::show(rest))
            };
            let foreign = !crate::protocol::may_be_hello(rest);
            self.lifecycle
                .set_cause(ExitCause::NoHello { came, foreign });
        }
        self.stop_reading(reader);
        self.lifecycle.stream_ends(Instant::now() + GRACE);
        self.proceed();
    }

    /// Gives the child up because it broke the protocol in this way.
    pub(crate) fn violated(&mut self, why: impl ToString) {
        self.break_off(ExitCause::Violation(why.to_string()));
    }

    /// Stops reading, and kills the child.
    pub(super) fn break_off(&mut self, cause: ExitCause) {
        self.lifecycle.set_cause(cause);
        self.lifecycle.stream_ends(Instant::now() + GRACE);
        self.signals.push(libc::SIGKILL);
        self.proceed();
    }

    /// Notes the exit of the child, with what was kept of its stderr.
    pub(crate) fn exited(&mut self, status: ExitStatus, stderr: Vec<u8>) {
        self.lifecycle.exited(status, stderr);
        self.proceed();
    }

    /// Kills the child. The errors of its calls say `why`.
    pub(crate) fn kill(&mut self, why: impl Into<String>) {
        self.lifecycle.set_cause(ExitCause::Killed(why.into()));
        self.signals.push(libc::SIGKILL);
    }

    /// Returns `Ok` if the child is ready, or why it never will be. `None` if it is not ready
    /// yet.
    pub(crate) fn readiness(&self) -> Option<Result<(), Error>> {
        self.unless_deadlock(self.lifecycle.readiness())
    }

    /// Returns how the child ended, once its callbacks have returned.
    pub(crate) fn end(&self) -> Option<Result<ExitStatus, Error>> {
        let delivered = self.callbacks.is_over() || self.callbacks.is_running_here();
        self.unless_deadlock(self.lifecycle.outcome().filter(|_| delivered))
    }

    /// Returns an error in place of `None`, if this is a callback and nothing is read before
    /// it returns.
    fn unless_deadlock<T>(&self, found: Option<Result<T, Error>>) -> Option<Result<T, Error>> {
        let would_deadlock = found.is_none() && self.callbacks.would_deadlock_here();
        if would_deadlock {
            let error = Error::would_deadlock(Started::No);
            Some(Err(error.about(self.lifecycle.child())))
        } else {
            found
        }
    }

    /// Takes no more calls. The child ends when all calls are done, or is told to at `until`.
    pub(crate) fn close(&mut self, until: Option<Instant>) {
        self.lifecycle.closing = true;
        if let Some(at) = until {
            self.lifecycle.end_at(at);
        }
    }

    /// Ends the child if its exit and the end of its stream are both known. It ends once:
    /// later news changes nothing and sets no timeout.
    pub(super) fn proceed(&mut self) {
        if self.lifecycle.is_over() {
            return;
        }
        let Some(known) = self.lifecycle.finish() else {
            return;
        };
        let ran = self.caller.may_have_started(known);
        if self.caller.answered() > 0 || ran {
            self.lifecycle.has_worked = true;
        }
        let by_itself = self.lifecycle.is_ready() && !self.lifecycle.was_killed();
        let received = match by_itself && !ran {
            true => self.caller.first_sent(),
            false => None,
        };
        for id in self.caller.fail_all(known) {
            self.lifecycle.lost += 1;
            self.handle_lost(id, received == Some(id));
        }
        if let Some(error) = self.lifecycle.report() {
            self.callbacks.push(Callback::Report(error));
        }
        self.callbacks.finish();
        // The reactor then looks once more, and deregisters the child.
        self.deadlines.insert(Instant::now(), NO_CALL);
        self.waiters.wake_pool();
        self.waiters.wake_changes();
        self.waiters.wake_all_parked();
    }

    /// Returns whether the child's input is to be ended now. It is so once.
    pub(crate) fn may_shut_down(&mut self) -> bool {
        self.lifecycle.closing && self.caller.is_flushed() && self.lifecycle.shut_down()
    }
}
