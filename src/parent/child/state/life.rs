//! How far a child is in its life, and what is known of its end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::error::{Crash, Error};
use crate::exit_status::ExitStatus;
use crate::parent::spawn::confinement::Confinement;
use crate::protocol::{Hello, Known, Started, TEMPLATE};
use crate::sys::Page;

/// How long a child may take to exit after it closed the link.
pub(crate) const GRACE: Duration = Duration::from_millis(250);
/// An alarm that fires so much too late says that there was a pause.
const PAUSE: Duration = Duration::from_secs(1);

/// What is expected of a child's hello.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    pub(crate) worker: String,
    pub(crate) serialiser: &'static str,
    pub(crate) confinement: Confinement,
}

/// Why the parent gave a child up.
#[derive(Debug, Clone)]
pub(crate) enum Ending {
    /// It is not the worker that was meant.
    Handshake(String),
    /// It did not say hello in time.
    Silent(String),
    /// It ended without a hello; what came instead, and whether that cannot be
    /// the beginning of one.
    NoHello(String, bool),
    /// Its `init` failed.
    Init(String),
    /// It broke the protocol.
    Violation(String),
    /// The parent ended it, and says why.
    Killed(String),
}

/// See the head of `core.rs` for the states.
pub(crate) struct Life {
    expected: Expected,
    pid: Option<u32>,
    hello_by: Option<Instant>,
    hello_time: Duration,
    greeted: bool,
    ready: bool,
    /// It wants no more calls.
    retired: bool,
    /// It has said in its hello that it will run nothing.
    refuses: bool,
    /// Calls run one after the other in this child.
    one_by_one: bool,
    /// What it has written arrives, however it ends: nobody is in between.
    direct: bool,
    page: Option<Page>,
    closing: bool,
    shut: bool,
    /// When the child is told to end, and then killed.
    term_at: Option<Instant>,
    kill_at: Option<Instant>,
    /// When a child is given up, and why it could not be killed.
    give_up: Option<(Instant, String)>,
    given_up: bool,
    stream_ended: bool,
    exit: Option<ExitStatus>,
    stderr: Vec<u8>,
    ending: Option<Ending>,
    /// Set at the end: how it ended.
    crash: Option<Arc<Crash>>,
    /// Set at the end, for the errors of all calls: why it was given up.
    complaint: Arc<str>,
    lost: usize,
    /// It had started a call by its end, or may have.
    pub(crate) has_worked: bool,
    /// It was killed from here because it did not end by itself.
    hung: bool,
}

impl Life {
    /// A child that was just started; without a time for hello it is plain.
    pub(crate) fn new(
        expected: Expected,
        pid: Option<u32>,
        hello: Option<Duration>,
        page: Option<Page>,
    ) -> Self {
        Self {
            expected,
            pid,
            // A time that no clock reaches is no limit.
            hello_by: hello.and_then(|time| Instant::now().checked_add(time)),
            hello_time: hello.unwrap_or_default(),
            greeted: hello.is_none(),
            ready: hello.is_none(),
            retired: false,
            refuses: false,
            one_by_one: false,
            direct: false,
            page,
            closing: false,
            shut: false,
            term_at: None,
            kill_at: None,
            give_up: None,
            given_up: false,
            stream_ended: false,
            exit: pid.is_none().then_some(ExitStatus::Unknown),
            stderr: Vec::new(),
            ending: None,
            crash: None,
            complaint: "".into(),
            lost: 0,
            has_worked: false,
            hung: false,
        }
    }

    /// There is nobody between this child and its parent, or there may be.
    pub(crate) fn set_direct(&mut self, direct: bool) {
        self.direct = direct;
    }

    /// Checks what the child says of itself.
    pub(crate) fn greet(&mut self, hello: &Hello) -> Result<(), String> {
        if hello.field("page") != Some(b"used") {
            self.page = None;
        }
        self.one_by_one = hello.field("backend") == Some(b"blocking");
        self.refuses = hello.field("error").is_some();
        self.greeted = true;
        self.hello_by = None;
        self.check(hello)
    }

    fn check(&self, hello: &Hello) -> Result<(), String> {
        if hello.field("error").is_some() {
            return Err(hello.text("error"));
        }
        same("worker", &self.expected.worker, &hello.text("worker"))?;
        same(
            "serialiser",
            self.expected.serialiser,
            &hello.text("serialiser"),
        )?;
        self.expected.confinement.check(hello)
    }

    pub(crate) fn ready(&mut self) {
        self.ready = true;
    }

    pub(crate) fn retire(&mut self) {
        self.retired = true;
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired
    }

    /// It was this side that ended it, for no fault of its own.
    pub(crate) fn was_killed(&self) -> bool {
        matches!(self.ending, Some(Ending::Killed(_))) && !self.hung
    }

    pub(crate) fn is_greeted(&self) -> bool {
        self.greeted
    }

    /// The worker's `init` is done, or why it never will be.
    pub(crate) fn readiness(&self) -> Option<Result<(), Error>> {
        match &self.crash {
            _ if self.ready => Some(Ok(())),
            Some(_) => Some(Err(self.lost(Started::No))),
            None => None,
        }
    }

    pub(crate) fn close(&mut self) {
        self.closing = true;
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing
    }

    /// The input is ended now, for the first time?
    pub(crate) fn shut_down(&mut self) -> bool {
        !std::mem::replace(&mut self.shut, true)
    }

    /// Why no call is taken any more.
    pub(crate) fn refusal(&self) -> Option<Error> {
        match self.crash {
            _ if self.closing && self.ending.is_none() => Some(Error::closed()),
            Some(_) => Some(self.lost(Started::No)),
            None => self.closing.then(Error::closed),
        }
    }

    /// Nobody may be waiting, but what comes must be read.
    pub(crate) fn is_urgent(&self) -> bool {
        !self.stream_ended && self.has_exited()
    }

    /// The process that was started is gone.
    pub(crate) fn has_exited(&self) -> bool {
        self.exit.is_some() && self.pid.is_some()
    }

    /// How the process has exited, if it has.
    pub(crate) fn exit_status(&self) -> Option<ExitStatus> {
        self.exit
    }

    /// It has said in its hello why it will not work; then it is killed from here.
    pub(crate) fn refuses(&self) -> bool {
        self.refuses
    }

    pub(crate) fn stream_ended(&self) -> bool {
        self.stream_ended
    }

    pub(crate) fn is_over(&self) -> bool {
        self.crash.is_some()
    }

    /// The parent gives the child up; the first reason stays.
    pub(crate) fn doom(&mut self, ending: Ending) {
        self.ending.get_or_insert(ending);
        if self.is_over() {
            self.complaint = self.complain().into();
        }
    }

    /// This child is known to run many calls at once, and so to drop those that
    /// are cancelled.
    pub(crate) fn drops_cancelled(&self) -> bool {
        self.greeted && !self.one_by_one
    }

    /// This child has started a later call, and so is done with this one.
    pub(crate) fn has_passed(&self, ordinal: u64) -> bool {
        self.one_by_one && matches!(self.known(), Known::Count(count) if count > ordinal)
    }

    /// What the child had finished but not written, if so many octets came.
    pub(crate) fn rescue(&self, received: u64) -> Vec<u8> {
        self.page
            .as_ref()
            .map_or_else(Vec::new, |page| page.rescue(received))
    }

    /// Nothing will come any more; the child has until then to exit.
    pub(crate) fn stream_ends(&mut self, grace: Instant) {
        self.stream_ended = true;
        self.hello_by = None;
        if self.exit.is_none() && self.give_up.is_none() {
            self.kill_at = Some(self.kill_at.map_or(grace, |at| at.min(grace)));
        }
    }

    pub(crate) fn exits(&mut self, status: ExitStatus, stderr: Vec<u8>) {
        self.exit = Some(status);
        self.stderr = stderr;
        (self.term_at, self.kill_at, self.hello_by) = (None, None, None);
        self.give_up = None;
    }

    /// The system refuses to send it a signal. If it was to be killed, the link is
    /// cut, and it has a second to end by itself; else it is to be killed now.
    pub(crate) fn cannot_be_told(&mut self, signal: i32, error: &io::Error) {
        let now = Instant::now();
        if signal != libc::SIGKILL {
            self.kill_at = self.kill_at.map(|_| now);
        } else if self.exit.is_none() {
            (self.term_at, self.kill_at, self.hello_by) = (None, None, None);
            let until = now + GRACE * 4;
            self.give_up.get_or_insert((until, error.to_string()));
        }
    }

    /// Whether its end is not waited for any longer, from now on.
    pub(crate) fn gives_up(&mut self, now: Instant) -> bool {
        let Some((_, error)) = self.give_up.take_if(|(at, _)| *at <= now) else {
            return false;
        };
        if matches!(self.ending, None | Some(Ending::Killed(_))) {
            self.ending = Some(Ending::Killed(format!(
                "it cannot be killed ({error}), did not end when the link was cut, and may still run"
            )));
        }
        self.given_up = true;
        self.exit = Some(ExitStatus::Unknown);
        true
    }

    /// Whether it could not be killed, and its end was not waited for.
    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up
    }

    /// From then on the child is told to end, and a while later killed.
    pub(crate) fn limit(&mut self, at: Instant) {
        if self.exit.is_none() {
            self.term_at = Some(at);
            self.kill_at = at.checked_add(GRACE * 4);
        }
    }

    /// The next time at which [`alarm`](Self::alarm) has something to say.
    pub(crate) fn next_alarm(&self) -> Option<Instant> {
        let give_up_at = self.give_up.as_ref().map(|(at, _)| *at);
        [self.hello_by, self.term_at, self.kill_at, give_up_at]
            .into_iter()
            .flatten()
            .min()
    }

    pub(crate) fn is_alarm_due(&self, now: Instant) -> bool {
        self.next_alarm().is_some_and(|at| at <= now)
    }

    /// Grants the child the time for which the helper did not run, because the
    /// process was stopped or the machine suspended: the child may not have run
    /// either. Returns whether there was such a pause.
    fn grant_pause(&mut self, now: Instant) -> bool {
        let late = self
            .next_alarm()
            .map(|at| now.saturating_duration_since(at));
        let Some(late) = late.filter(|late| *late > PAUSE) else {
            return false;
        };
        for at in [&mut self.hello_by, &mut self.term_at, &mut self.kill_at] {
            *at = at.and_then(|at| at.checked_add(late));
        }
        true
    }

    /// The signal that is due now.
    pub(crate) fn alarm(&mut self, now: Instant) -> Option<i32> {
        if self.grant_pause(now) {
            return None;
        }
        let due = |at: &mut Option<Instant>| at.take_if(|at| *at <= now).is_some();
        if due(&mut self.hello_by) {
            let time = self.hello_time;
            self.doom(Ending::Silent(format!(
                "no hello came within {time:?}; does the program call `offspring::init()` first in `main`, or `serve`?"
            )));
            return Some(libc::SIGKILL);
        }
        if due(&mut self.kill_at) {
            self.hung = self.stream_ended && self.ending.is_none();
            let text = if self.stream_ended {
                "it closed the link but did not exit, and was killed"
            } else {
                "it did not end in time, and was killed"
            };
            self.doom(Ending::Killed(text.into()));
            self.term_at = None;
            return Some(libc::SIGKILL);
        }
        if due(&mut self.term_at) {
            self.doom(Ending::Killed(
                "it did not end in time, and was told to".into(),
            ));
            return Some(libc::SIGTERM);
        }
        None
    }

    /// Once the stream has ended and the exit is known: what is known of the
    /// calls it had started.
    pub(crate) fn finish(&mut self) -> Option<Known> {
        let status = self
            .exit
            .filter(|_| self.stream_ended && self.crash.is_none())?;
        self.crash = Some(Arc::new(Crash {
            worker: self.expected.worker.clone(),
            pid: self.pid,
            status,
            reason: match &self.ending {
                Some(Ending::Killed(text)) => Some(text.clone()),
                _ => None,
            },
            stderr: std::mem::take(&mut self.stderr),
            limits: self.expected.confinement.limits,
        }));
        self.complaint = self.complain().into();
        Some(self.known())
    }

    /// Why the parent gave the child up, in words.
    fn complain(&self) -> String {
        match &self.ending {
            Some(Ending::Handshake(text) | Ending::Silent(text) | Ending::Violation(text)) => {
                text.clone()
            }
            Some(Ending::NoHello(came, _)) => {
                let crash = self.crash.as_deref();
                let advice = if crash.is_some_and(|crash| may_lack_init(crash.status)) {
                    "; does the program call `offspring::init()` first in `main`, or `serve`?"
                } else {
                    ""
                };
                let crash = crash.map(ToString::to_string).unwrap_or_default();
                format!("{crash}{came} without a hello{advice}")
            }
            Some(Ending::Init(text)) if self.expected.worker == TEMPLATE => {
                format!("the template failed to get ready: {text}")
            }
            Some(Ending::Init(text)) => format!("the worker's init failed: {text}"),
            Some(Ending::Killed(_)) | None => String::new(),
        }
    }

    /// What is known of the calls that it has started.
    pub(crate) fn known(&self) -> Known {
        let never_ran = self.refuses || matches!(self.ending, Some(Ending::Init(_)));
        match &self.page {
            _ if never_ran => Known::Count(0),
            // It says hello before it runs anything. But one that can come no more
            // may have been lost on its way, and calls behind it have begun.
            None if !self.greeted && (self.direct || !self.stream_ended) => Known::Count(0),
            Some(page) => Known::Count(page.started().load(Ordering::Acquire)),
            None if self.one_by_one && self.direct => Known::OneByOne,
            // An answer may have been lost on its way, and a later call begun.
            None => Known::Nothing,
        }
    }

    pub(crate) fn lost_one(&mut self) {
        self.lost += 1;
    }

    /// The error of a call that was lost with the child.
    pub(crate) fn lost(&self, started: Started) -> Error {
        let crash = || {
            self.crash
                .clone()
                .expect("a call is lost only once the child is over")
        };
        let complaint = || Arc::clone(&self.complaint);
        match &self.ending {
            Some(Ending::Handshake(_)) => Error::handshake(complaint(), started, true),
            Some(Ending::Silent(_)) => Error::handshake(complaint(), started, false),
            Some(Ending::NoHello(_, foreign)) => {
                // 0: it had nothing to do. 126 and 127: what a shell, `env` or ssh
                // says of a program that is not there.
                let never = matches!(crash().status, ExitStatus::Code(0 | 126 | 127));
                Error::handshake(complaint(), started, *foreign || never)
            }
            Some(Ending::Init(_)) => Error::init(complaint()),
            // How a child has crashed says more than what it garbled.
            Some(Ending::Violation(_)) if self.has_crashed() => Error::dead(crash(), started),
            Some(Ending::Violation(_)) => Error::protocol(complaint()),
            Some(Ending::Killed(_)) | None => Error::dead(crash(), started),
        }
    }

    /// A signal has ended it, other than the one that it gets for a violation.
    fn has_crashed(&self) -> bool {
        let signal = self.crash.as_ref().and_then(|crash| crash.status.signal());
        signal.is_some_and(|signal| signal != libc::SIGKILL)
    }

    /// What `on_error` is told at the end: nothing where all went as asked.
    pub(crate) fn report(&self) -> Option<Error> {
        let crash = self.crash.as_ref()?;
        let asked = self.closing && (crash.status.success() || crash.status == ExitStatus::Unknown);
        let killed = matches!(self.ending, Some(Ending::Killed(_)));
        let quiet = self.lost == 0 && (asked && self.ending.is_none() || killed);
        (!quiet).then(|| self.lost(Started::Unknown))
    }

    /// How the process ended, once all is over.
    pub(crate) fn status(&self) -> Option<ExitStatus> {
        self.crash.as_ref().map(|crash| crash.status)
    }

    /// How the child ended, once it has, unless it never was what was meant.
    pub(crate) fn outcome(&self) -> Option<Result<ExitStatus, Error>> {
        let crash = self.crash.as_ref()?;
        Some(match self.ending {
            Some(Ending::Killed(_)) if self.given_up => Err(self.lost(Started::Unknown)),
            None | Some(Ending::Killed(_)) => Ok(crash.status),
            Some(_) => Err(self.lost(Started::Unknown)),
        })
    }
}

/// Whether a child that has ended so, without a hello, may have run to its end
/// because its `main` does not go to work. One that a signal has ended has not,
/// nor has a command that says by its code that it could run nothing (125 to 127)
/// or what has ended it (from 128 on, and 255 of `ssh`).
fn may_lack_init(status: ExitStatus) -> bool {
    match status {
        ExitStatus::Code(code) => code < 125,
        ExitStatus::Signal { .. } => false,
        ExitStatus::Unknown => true,
    }
}

fn same(what: &str, want: &str, have: &str) -> Result<(), String> {
    if want == have {
        return Ok(());
    }
    Err(format!("it serves the {what} `{have}`, not `{want}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// X72: the time for which nothing ran is granted once more.
    #[test]
    fn a_pause_is_not_held_against_the_child() {
        let hello = Duration::from_secs(10);
        let expected = Expected {
            worker: "paused".into(),
            serialiser: "octets",
            confinement: Confinement::default(),
        };
        let mut life = Life::new(expected, Some(1), Some(hello), None);
        let start = life.next_alarm().unwrap();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(life.alarm(at(100)), None);
        assert_eq!(life.next_alarm(), Some(at(100)));
        assert_eq!(life.alarm(at(100)), Some(libc::SIGKILL));
    }
}
