//! How a child comes to its end: the state is over once the stream has ended and
//! the exit is known.

use std::io;
use std::time::Instant;

use super::deadlines::NO_CALL;
use super::delivery::Item;
use super::life::{Ending, GRACE};
use super::{Core, Reading};
use crate::exit_status::ExitStatus;

impl Core {
    /// The reader is put down; nothing will come any more.
    pub(crate) fn end_of_input(&mut self, reading: Reading) {
        if !self.life.is_greeted() {
            let rest = reading.reader.rest();
            let came = if rest.is_empty() {
                String::new()
            } else {
                format!(" after {}", crate::protocol::show(rest))
            };
            let foreign = !crate::protocol::may_be_hello(rest);
            self.life.doom(Ending::NoHello(came, foreign));
        }
        self.stop_reading(reading);
        self.life.stream_ends(Instant::now() + GRACE);
        self.proceed();
    }

    /// The reader is put down: the child has written nonsense into shared memory.
    pub(crate) fn nonsense(&mut self, reading: Reading, text: &str) {
        self.stop_reading(reading);
        self.break_off(Ending::Violation(text.to_owned()));
    }

    /// Nothing more is read, and the child is ended.
    pub(super) fn break_off(&mut self, ending: Ending) {
        self.life.doom(ending);
        self.life.stream_ends(Instant::now() + GRACE);
        self.signals.push(libc::SIGKILL);
        self.proceed();
    }

    /// The child has exited.
    pub(crate) fn exited(&mut self, status: ExitStatus, stderr: Vec<u8>) {
        self.life.exits(status, stderr);
        self.proceed();
    }

    /// The child is ended for this reason; no error of its own.
    pub(crate) fn kill(&mut self, ending: Ending) {
        self.life.doom(ending);
        self.signals.push(libc::SIGKILL);
    }

    /// The system refuses to send the child a signal, for this reason.
    pub(crate) fn cannot_signal(&mut self, signal: i32, error: &io::Error) {
        self.life.cannot_be_told(signal, error);
    }

    /// No more calls are taken; the child ends when all are done.
    pub(crate) fn close(&mut self) {
        self.life.close();
    }

    /// After this long the child is told to end, and then killed.
    pub(crate) fn close_within(&mut self, at: Instant) {
        self.life.limit(at);
    }

    /// Ends the child once its exit and the end of its stream are both known, and
    /// only once: what comes later changes nothing, and sets no alarm.
    pub(super) fn proceed(&mut self) {
        if self.life.is_over() {
            return;
        }
        let Some(known) = self.life.finish() else {
            return;
        };
        if self.caller.answered() > 0 || self.caller.may_have_started(known) {
            self.life.has_worked = true;
        }
        for id in self.caller.fail_all(known) {
            self.life.lost_one();
            self.lose(id);
        }
        if let Some(error) = self.life.report() {
            self.delivery.push(Item::Report(error));
        }
        self.delivery.finish();
        // So that the helper looks once more, and forgets the child.
        self.deadlines.insert(Instant::now(), NO_CALL);
        self.waiting.news();
        self.wake_changes();
        self.waiting.wake_all_parked();
    }

    /// The child's input may be ended now.
    pub(crate) fn may_shut_down(&mut self) -> bool {
        self.life.is_closing() && self.caller.is_flushed() && self.life.shut_down()
    }
}
