//! The lifecycle of a child: the phase that it is in, and the facts that are known of its end.

mod errors;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{ChildId, Crash, Error, Runner};
use crate::exit_status::ExitStatus;
use crate::parent::spawn::confinement::Confinement;
use crate::protocol::{Hello, Started, StartedInfo};
use crate::sys::LinkMemory;

/// How long a child may take to exit after it has closed the link.
pub(crate) const GRACE: Duration = Duration::from_millis(250);
/// If a timeout fires this much too late, the process was stopped or the machine suspended.
const PAUSE: Duration = Duration::from_secs(1);

/// The content that a child's hello must have.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    pub(crate) child: Arc<ChildId>,
    pub(crate) serialiser: &'static str,
    pub(crate) confinement: Confinement,
}

/// Why the parent gave the child up, or ended it.
#[derive(Debug, Clone)]
pub(crate) enum ExitCause {
    /// Its hello does not fit: it is another worker, or another version.
    Handshake(String),
    /// No hello came in time.
    Silent,
    /// It ended without a hello. `came` shows what it sent instead, and `foreign` says whether
    /// that cannot be the beginning of a hello.
    NoHello { came: String, foreign: bool },
    /// Its `init` failed.
    Init(String),
    /// It broke the protocol.
    Violation(String),
    /// The parent ended it, for this reason.
    Killed(String),
    /// The parent ended it, because it closed the link and did not exit.
    Hung(String),
}

/// How far the child has come, by what it has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    AwaitingHello,
    /// Its hello says why it will run nothing.
    Refused,
    /// Its `init` runs.
    Init,
    Open,
    /// It takes no more calls.
    Retired,
}

/// The process that was started.
#[derive(Debug)]
enum ProcessState {
    /// There is no process: the child is behind a socket, or a thread of this process.
    Absent,
    Running,
    /// It cannot be killed, for the reason `error`, and is given up at `until`.
    Unkillable {
        until: Instant,
        error: String,
    },
    /// It could not be killed, and its exit is no longer waited for.
    GivenUp,
    /// It has exited; `stderr` is what was kept of its stderr.
    Exited {
        status: ExitStatus,
        stderr: Vec<u8>,
    },
}

/// The times by which the child must have said hello, or have exited.
#[derive(Debug, Default)]
struct Timeouts {
    hello: Option<Instant>,
    /// `SIGTERM` is sent.
    term: Option<Instant>,
    /// `SIGKILL` is sent.
    kill: Option<Instant>,
}

/// How the child ended: its stream has ended, and its exit is known.
#[derive(Debug)]
struct Over {
    crash: Arc<Crash>,
    /// Why the child was given up, for the errors of its calls.
    complaint: Arc<str>,
}

/// See the module, and the head of `mod.rs`.
pub(crate) struct Lifecycle {
    expected: Expected,
    hello_time: Duration,
    /// The child runs one call after the other.
    one_by_one: bool,
    /// Nothing is between the child and this process that could lose what it has written.
    direct: bool,
    memory: Option<Arc<LinkMemory>>,
    phase: Phase,
    /// No more calls are taken, and the input ends when all calls are done.
    pub(crate) closing: bool,
    /// The child's input was ended.
    shut: bool,
    timeouts: Timeouts,
    pub(crate) stream_ended: bool,
    process: ProcessState,
    cause: Option<ExitCause>,
    over: Option<Over>,
    /// How many calls were lost with the child.
    pub(crate) lost: usize,
    /// The child may have started a call before it ended.
    pub(crate) has_worked: bool,
}

impl Lifecycle {
    /// A child that was just started. Without a time for `hello` it speaks the plain form.
    /// `direct` says that nothing is between the child and this process.
    pub(crate) fn new(
        expected: Expected,
        hello: Option<Duration>,
        memory: Option<Arc<LinkMemory>>,
        direct: bool,
    ) -> Self {
        Self {
            process: expected
                .child
                .pid
                .map_or(ProcessState::Absent, |_| ProcessState::Running),
            expected,
            hello_time: hello.unwrap_or_default(),
            one_by_one: false,
            direct,
            memory,
            phase: hello.map_or(Phase::Open, |_| Phase::AwaitingHello),
            closing: false,
            shut: false,
            timeouts: Timeouts {
                // A time that no clock reaches is no limit.
                hello: hello.and_then(|time| Instant::now().checked_add(time)),
                ..Timeouts::default()
            },
            stream_ended: false,
            cause: None,
            over: None,
            lost: 0,
            has_worked: false,
        }
    }

    /// Returns which child it is.
    pub(crate) fn child(&self) -> &Arc<ChildId> {
        &self.expected.child
    }

    // --- what the child says ---

    /// Takes the child's hello.
    ///
    /// # Errors
    /// It is not the hello that is expected. The text says why.
    pub(crate) fn accept_hello(&mut self, hello: &Hello) -> Result<(), String> {
        if hello.field("memory") != Some(b"used") {
            self.memory = None;
        }
        self.one_by_one = hello.field("backend") == Some(b"blocking");
        self.timeouts.hello = None;
        if hello.field("error").is_some() {
            self.phase = Phase::Refused;
            return Err(hello.text("error"));
        }
        self.phase = Phase::Init;
        let Expected {
            child,
            serialiser,
            confinement,
        } = &self.expected;
        same("worker", &child.worker, &hello.text("worker"))?;
        same("serialiser", serialiser, &hello.text("serialiser"))?;
        confinement.check(hello)
    }

    /// Notes that `init` is done.
    pub(crate) fn ready(&mut self) {
        if self.phase == Phase::Init {
            self.phase = Phase::Open;
        }
    }

    /// Notes that the child takes no more calls.
    pub(crate) fn retire(&mut self) {
        self.phase = Phase::Retired;
    }

    /// Returns whether `init` was done.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Retired)
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.phase == Phase::Retired
    }

    pub(crate) fn has_said_hello(&self) -> bool {
        self.phase != Phase::AwaitingHello
    }

    /// Returns whether the child's hello says why it will run nothing. It is then killed.
    pub(crate) fn refuses(&self) -> bool {
        self.phase == Phase::Refused
    }

    /// Returns `Ok` if `init` is done, or why it never will be. `None` if it is not done yet.
    pub(crate) fn readiness(&self) -> Option<Result<(), Error>> {
        if self.is_ready() {
            return Some(Ok(()));
        }
        self.is_over()
            .then(|| Err(self.error_for(Started::No, false)))
    }

    /// Returns whether the child is known to run many calls at once. It then drops cancelled
    /// calls at once.
    pub(crate) fn drops_cancelled(&self) -> bool {
        self.has_said_hello() && !self.one_by_one
    }

    // --- what the parent does ---

    /// Notes that the child's input is ended. Returns whether it was not ended before.
    pub(crate) fn shut_down(&mut self) -> bool {
        !std::mem::replace(&mut self.shut, true)
    }

    /// Returns why no call is taken. `None` if calls are taken.
    pub(crate) fn refusal(&self) -> Option<Error> {
        if self.is_over() && (!self.closing || self.cause.is_some()) {
            return Some(self.error_for(Started::No, true));
        }
        self.closing.then(Error::closed)
    }

    /// Notes why the parent gives the child up, unless there is a cause already.
    pub(crate) fn set_cause(&mut self, cause: ExitCause) {
        self.cause.get_or_insert(cause);
        if let Some(Over { crash, .. }) = &self.over {
            let (crash, complaint) = (Arc::clone(crash), self.complain(crash).into());
            self.over = Some(Over { crash, complaint });
        }
    }

    /// Returns whether the parent ended the child although the child had done nothing wrong.
    pub(crate) fn was_killed(&self) -> bool {
        matches!(self.cause, Some(ExitCause::Killed(_)))
    }

    // --- the end ---

    /// Notes the end of the stream. The child is killed at `grace` if it still runs.
    pub(crate) fn stream_ends(&mut self, grace: Instant) {
        self.stream_ended = true;
        self.timeouts.hello = None;
        if matches!(self.process, ProcessState::Running) {
            self.timeouts.kill = Some(self.timeouts.kill.map_or(grace, |at| at.min(grace)));
        }
    }

    /// Notes the exit of the process, with what was kept of its stderr.
    pub(crate) fn exited(&mut self, status: ExitStatus, stderr: Vec<u8>) {
        self.timeouts = Timeouts::default();
        if !self.is_over() {
            self.process = ProcessState::Exited { status, stderr };
        }
    }

    /// Returns whether the process has exited, or was given up.
    pub(crate) fn has_exited(&self) -> bool {
        matches!(
            self.process,
            ProcessState::Exited { .. } | ProcessState::GivenUp
        )
    }

    /// Returns whether the rest of the stream must be read even if no thread waits.
    pub(crate) fn is_urgent(&self) -> bool {
        !self.stream_ended && self.has_exited()
    }

    /// Returns how the process exited. `None` if it still runs.
    pub(crate) fn exit_status(&self) -> Option<ExitStatus> {
        match self.process {
            ProcessState::Running | ProcessState::Unkillable { .. } => None,
            ProcessState::Absent | ProcessState::GivenUp => Some(ExitStatus::Unknown),
            ProcessState::Exited { status, .. } => Some(status),
        }
    }

    /// Notes that the system refuses to send the signal. After another signal than `SIGKILL`,
    /// that is due now. After `SIGKILL`, the driver has cut the link, and the child has a
    /// second to exit.
    pub(crate) fn cannot_signal(&mut self, signal: i32, error: &io::Error) {
        let now = Instant::now();
        if signal != libc::SIGKILL {
            self.timeouts.kill = self.timeouts.kill.map(|_| now);
        } else if self.exit_status().is_none() {
            self.timeouts = Timeouts::default();
            if matches!(self.process, ProcessState::Running) {
                self.process = ProcessState::Unkillable {
                    until: now + GRACE * 4,
                    error: error.to_string(),
                };
            }
        }
    }

    /// Gives up a process that could not be killed, if its time is over. Returns whether it
    /// did.
    pub(crate) fn gives_up(&mut self, now: Instant) -> bool {
        let ProcessState::Unkillable { until, error } = &self.process else {
            return false;
        };
        if *until > now {
            return false;
        }
        let text = format!(
            "it cannot be killed ({error}), did not end when the link was cut, and may still run"
        );
        match &mut self.cause {
            Some(ExitCause::Killed(why) | ExitCause::Hung(why)) => *why = text,
            Some(_) => {}
            None => self.cause = Some(ExitCause::Killed(text)),
        }
        self.process = ProcessState::GivenUp;
        true
    }

    /// Returns whether the process could not be killed, and was given up.
    pub(crate) fn is_given_up(&self) -> bool {
        matches!(self.process, ProcessState::GivenUp)
    }

    // --- time ---

    /// Sends `SIGTERM` at `at`, and `SIGKILL` a second later.
    pub(crate) fn end_at(&mut self, at: Instant) {
        if self.exit_status().is_none() {
            self.timeouts.term = Some(at);
            self.timeouts.kill = at.checked_add(GRACE * 4);
        }
    }

    /// Returns when [`time_out`](Self::time_out) is to be called next.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let Timeouts { hello, term, kill } = self.timeouts;
        let give_up = match self.process {
            ProcessState::Unkillable { until, .. } => Some(until),
            _ => None,
        };
        [hello, term, kill, give_up].into_iter().flatten().min()
    }

    pub(crate) fn is_timeout_due(&self, now: Instant) -> bool {
        self.next_timeout().is_some_and(|at| at <= now)
    }

    /// Moves the timeouts by the time for which the reactor did not run, because the process
    /// was stopped or the machine suspended. The child may not have run either. Returns
    /// whether there was such a pause.
    fn grant_pause(&mut self, now: Instant) -> bool {
        let late = self
            .next_timeout()
            .map(|at| now.saturating_duration_since(at));
        let Some(late) = late.filter(|late| *late > PAUSE) else {
            return false;
        };
        let Timeouts { hello, term, kill } = &mut self.timeouts;
        for at in [hello, term, kill] {
            *at = at.and_then(|at| at.checked_add(late));
        }
        true
    }

    /// Returns the signal that is to be sent now, if a timeout is over.
    pub(crate) fn time_out(&mut self, now: Instant) -> Option<i32> {
        if self.grant_pause(now) {
            return None;
        }
        let due = |at: &mut Option<Instant>| at.take_if(|at| *at <= now).is_some();
        let (cause, signal) = if due(&mut self.timeouts.hello) {
            (ExitCause::Silent, libc::SIGKILL)
        } else if due(&mut self.timeouts.kill) {
            self.timeouts.term = None;
            let cause = if self.stream_ended {
                ExitCause::Hung("it closed the link but did not exit, and was killed".into())
            } else {
                ExitCause::Killed("it did not end in time, and was killed".into())
            };
            (cause, libc::SIGKILL)
        } else if due(&mut self.timeouts.term) {
            let text = "it did not end in time, and was sent SIGTERM";
            (ExitCause::Killed(text.into()), libc::SIGTERM)
        } else {
            return None;
        };
        self.set_cause(cause);
        Some(signal)
    }

    // --- what is known ---

    /// Returns whether the child has started a later call than the one at `position`, and so
    /// is done with that one.
    pub(crate) fn has_passed(&self, position: u64) -> bool {
        self.one_by_one
            && matches!(self.started_info(), StartedInfo::Count(count) if count > position)
    }

    /// Returns the calls that it has started, as far as they are known.
    pub(crate) fn started_info(&self) -> StartedInfo {
        let never_ran = self.refuses() || matches!(self.cause, Some(ExitCause::Init(_)));
        let is_over = self.stream_ended && self.exit_status().is_some();
        match &self.memory {
            _ if never_ran => StartedInfo::Count(0),
            // A call that has not started by now never starts, also in a child that runs on.
            Some(memory) if is_over => StartedInfo::Count(memory.settle_started()),
            Some(memory) => StartedInfo::Count(memory.started()),
            // A request in a link that was cut may still run.
            None if is_over && !matches!(self.process, ProcessState::Exited { .. }) => {
                StartedInfo::Nothing
            }
            // A child says hello before it runs a call. After the end of the stream, the
            // hello may have been lost on its way, and a call may have started.
            None if !self.has_said_hello() && (self.direct || !self.stream_ended) => {
                StartedInfo::Count(0)
            }
            None if self.one_by_one && self.direct => StartedInfo::OneByOne,
            // An answer may have been lost on its way, and a later call may have started.
            None => StartedInfo::Nothing,
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.is_some()
    }

    /// Ends the child if its stream has ended and its exit is known. Returns what is known of
    /// the calls that it had started; `None` if it does not end now.
    pub(crate) fn finish(&mut self) -> Option<StartedInfo> {
        if !self.stream_ended || self.is_over() {
            return None;
        }
        let status = self.exit_status()?;
        let crash = Crash {
            child: Arc::clone(self.child()),
            status,
            reason: self.reason(),
            stderr: self.take_stderr(),
            limits: self.expected.confinement.limits,
        };
        let complaint = self.complain(&crash).into();
        let crash = Arc::new(crash);
        self.over = Some(Over { crash, complaint });
        Some(self.started_info())
    }

    /// Returns why the parent ended the child, if it did.
    fn reason(&self) -> Option<String> {
        let Some(ExitCause::Killed(text) | ExitCause::Hung(text)) = &self.cause else {
            return None;
        };
        let runs_on = match self.child().runner {
            Runner::Thread => "; a thread cannot be killed, and runs until its function returns",
            _ => "",
        };
        Some(format!("{text}{runs_on}"))
    }

    fn take_stderr(&mut self) -> Vec<u8> {
        match &mut self.process {
            ProcessState::Exited { stderr, .. } => std::mem::take(stderr),
            _ => Vec::new(),
        }
    }

    /// Returns how the process ended. `None` if the child is not over.
    pub(crate) fn status(&self) -> Option<ExitStatus> {
        self.over.as_ref().map(|over| over.crash.status)
    }

    /// Returns how the child ended, or the error if the parent gave it up. `None` if it is not
    /// over.
    pub(crate) fn outcome(&self) -> Option<Result<ExitStatus, Error>> {
        let status = self.status()?;
        let ended = matches!(
            self.cause,
            None | Some(ExitCause::Killed(_) | ExitCause::Hung(_))
        );
        let as_meant = ended && !(self.is_given_up() && self.cause.is_some());
        Some(if as_meant {
            Ok(status)
        } else {
            Err(self.error_for(Started::Unknown, false))
        })
    }
}

fn same(what: &str, want: &str, have: &str) -> Result<(), String> {
    if want == have {
        return Ok(());
    }
    Err(format!("it serves the {what} `{have}`, not `{want}`"))
}

#[cfg(test)]
mod tests;
