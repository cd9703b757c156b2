//! How far a child is in its life, and what is known of its end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::error::{ChildId, Crash, Error};
use crate::exit_status::ExitStatus;
use crate::parent::spawn::confinement::Confinement;
use crate::protocol::{Hello, Known, Started, TEMPLATE};
use crate::sys::LinkMemory;

/// How long a child may take to exit after it closed the link.
pub(crate) const GRACE: Duration = Duration::from_millis(250);
/// An alarm that fires so much too late says that there was a pause.
const PAUSE: Duration = Duration::from_secs(1);

/// What is expected of a child's hello.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    pub(crate) child: Arc<ChildId>,
    pub(crate) serialiser: &'static str,
    pub(crate) confinement: Confinement,
}

/// Why the parent gave a child up.
#[derive(Debug, Clone)]
pub(crate) enum Ending {
    /// It is not the worker that was meant.
    Handshake(String),
    /// It did not say hello in time.
    Silent,
    /// It ended without a hello; what came instead, and whether that cannot be
    /// the beginning of one.
    NoHello(String, bool),
    /// Its `init` failed.
    Init(String),
    /// It broke the protocol.
    Violation(String),
    /// The parent ended it, and says why.
    Killed(String),
    /// The same, because it did not exit by itself when it had closed the link.
    Hung(String),
}

/// What a child has said of itself so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its hello has not come.
    Greeting,
    /// It has said in its hello that it will run nothing.
    Refused,
    /// Its `init` runs.
    Init,
    Open,
    /// It wants no more calls.
    Retired,
}

/// The process that was started.
#[derive(Debug)]
enum Process {
    /// There is none.
    Absent,
    Runs,
    /// It cannot be killed, for this reason, and has until then to end by itself.
    Unkillable(Instant, String),
    /// It could not be killed, and its end is not waited for.
    GivenUp,
    Exited(ExitStatus),
}

/// When the child is late.
#[derive(Debug, Default)]
struct Times {
    hello: Option<Instant>,
    /// It is told to end, and then killed.
    term: Option<Instant>,
    kill: Option<Instant>,
}

/// How it ended: its stream has ended, and its exit is known.
#[derive(Debug)]
struct Over {
    crash: Arc<Crash>,
    /// For the errors of all calls: why it was given up.
    complaint: Arc<str>,
}

/// See the head of `mod.rs`.
pub(crate) struct Life {
    expected: Expected,
    hello_time: Duration,
    /// Calls run one after the other in this child.
    one_by_one: bool,
    /// What it has written arrives, however it ends: nobody is in between.
    direct: bool,
    memory: Option<Arc<LinkMemory>>,
    stage: Stage,
    closing: bool,
    shut: bool,
    times: Times,
    stream_ended: bool,
    process: Process,
    stderr: Vec<u8>,
    ending: Option<Ending>,
    over: Option<Over>,
    lost: usize,
    /// It had started a call by its end, or may have.
    pub(crate) has_worked: bool,
}

impl Life {
    /// A child that was just started; without a time for hello it is plain. `direct`:
    /// there is nobody between this child and its parent.
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
                .map_or(Process::Absent, |_| Process::Runs),
            expected,
            hello_time: hello.unwrap_or_default(),
            one_by_one: false,
            direct,
            memory,
            stage: hello.map_or(Stage::Open, |_| Stage::Greeting),
            closing: false,
            shut: false,
            times: Times {
                // A time that no clock reaches is no limit.
                hello: hello.and_then(|time| Instant::now().checked_add(time)),
                ..Times::default()
            },
            stream_ended: false,
            stderr: Vec::new(),
            ending: None,
            over: None,
            lost: 0,
            has_worked: false,
        }
    }

    /// Which child it is.
    pub(crate) fn child(&self) -> &Arc<ChildId> {
        &self.expected.child
    }

    // --- what the child says ---

    /// Checks what the child says of itself.
    pub(crate) fn greet(&mut self, hello: &Hello) -> Result<(), String> {
        if hello.field("memory") != Some(b"used") {
            self.memory = None;
        }
        self.one_by_one = hello.field("backend") == Some(b"blocking");
        self.times.hello = None;
        if hello.field("error").is_some() {
            self.stage = Stage::Refused;
            return Err(hello.text("error"));
        }
        self.stage = Stage::Init;
        let Expected {
            child,
            serialiser,
            confinement,
        } = &self.expected;
        same("worker", &child.worker, &hello.text("worker"))?;
        same("serialiser", serialiser, &hello.text("serialiser"))?;
        confinement.check(hello)
    }

    /// Its `init` is done.
    pub(crate) fn ready(&mut self) {
        if self.stage == Stage::Init {
            self.stage = Stage::Open;
        }
    }

    pub(crate) fn retire(&mut self) {
        self.stage = Stage::Retired;
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.stage == Stage::Retired
    }

    pub(crate) fn is_greeted(&self) -> bool {
        self.stage != Stage::Greeting
    }

    /// It has said in its hello why it will not work; then it is killed from here.
    pub(crate) fn refuses(&self) -> bool {
        self.stage == Stage::Refused
    }

    /// The worker's `init` is done, or why it never will be.
    pub(crate) fn readiness(&self) -> Option<Result<(), Error>> {
        match self.stage {
            Stage::Open | Stage::Retired => Some(Ok(())),
            _ => self.is_over().then(|| Err(self.lost(Started::No, false))),
        }
    }

    /// This child is known to run many calls at once, and so to drop those that
    /// are cancelled.
    pub(crate) fn drops_cancelled(&self) -> bool {
        self.is_greeted() && !self.one_by_one
    }

    // --- what the parent does ---

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
        if self.is_over() && (!self.closing || self.ending.is_some()) {
            return Some(self.lost(Started::No, true));
        }
        self.closing.then(Error::closed)
    }

    /// The parent gives the child up; the first reason stays.
    pub(crate) fn doom(&mut self, ending: Ending) {
        self.ending.get_or_insert(ending);
        if let Some(Over { crash, .. }) = &self.over {
            let (crash, complaint) = (Arc::clone(crash), self.complain(crash).into());
            self.over = Some(Over { crash, complaint });
        }
    }

    /// It was this side that ended it, for no fault of its own.
    pub(crate) fn was_killed(&self) -> bool {
        matches!(self.ending, Some(Ending::Killed(_)))
    }

    // --- the end ---

    /// Nothing will come any more; the child has until then to exit.
    pub(crate) fn stream_ends(&mut self, grace: Instant) {
        self.stream_ended = true;
        self.times.hello = None;
        if matches!(self.process, Process::Runs) {
            self.times.kill = Some(self.times.kill.map_or(grace, |at| at.min(grace)));
        }
    }

    pub(crate) fn stream_ended(&self) -> bool {
        self.stream_ended
    }

    pub(crate) fn exits(&mut self, status: ExitStatus, stderr: Vec<u8>) {
        self.times = Times::default();
        if !self.is_over() {
            self.process = Process::Exited(status);
            self.stderr = stderr;
        }
    }

    /// The process that was started is gone, or given up.
    pub(crate) fn has_exited(&self) -> bool {
        matches!(self.process, Process::Exited(_) | Process::GivenUp)
    }

    /// Nobody may be waiting, but what comes must be read.
    pub(crate) fn is_urgent(&self) -> bool {
        !self.stream_ended && self.has_exited()
    }

    /// How the process has exited, if it has.
    pub(crate) fn exit_status(&self) -> Option<ExitStatus> {
        match self.process {
            Process::Runs | Process::Unkillable(..) => None,
            Process::Absent | Process::GivenUp => Some(ExitStatus::Unknown),
            Process::Exited(status) => Some(status),
        }
    }

    /// The system refuses to send it a signal. If it was to be killed, the link is
    /// cut, and it has a second to end by itself; else it is to be killed now.
    pub(crate) fn cannot_be_told(&mut self, signal: i32, error: &io::Error) {
        let now = Instant::now();
        if signal != libc::SIGKILL {
            self.times.kill = self.times.kill.map(|_| now);
        } else if self.exit_status().is_none() {
            self.times = Times::default();
            if matches!(self.process, Process::Runs) {
                self.process = Process::Unkillable(now + GRACE * 4, error.to_string());
            }
        }
    }

    /// Whether its end is not waited for any longer, from now on.
    pub(crate) fn gives_up(&mut self, now: Instant) -> bool {
        let Process::Unkillable(at, error) = &self.process else {
            return false;
        };
        if *at > now {
            return false;
        }
        let text = format!(
            "it cannot be killed ({error}), did not end when the link was cut, and may still run"
        );
        match &mut self.ending {
            Some(Ending::Killed(why) | Ending::Hung(why)) => *why = text,
            Some(_) => {}
            None => self.ending = Some(Ending::Killed(text)),
        }
        self.process = Process::GivenUp;
        true
    }

    /// Whether it could not be killed, and its end was not waited for.
    pub(crate) fn is_given_up(&self) -> bool {
        matches!(self.process, Process::GivenUp)
    }

    // --- time ---

    /// From then on the child is told to end, and a while later killed.
    pub(crate) fn limit(&mut self, at: Instant) {
        if self.exit_status().is_none() {
            self.times.term = Some(at);
            self.times.kill = at.checked_add(GRACE * 4);
        }
    }

    /// The next time at which [`alarm`](Self::alarm) has something to say.
    pub(crate) fn next_alarm(&self) -> Option<Instant> {
        let Times { hello, term, kill } = self.times;
        let give_up = match self.process {
            Process::Unkillable(at, _) => Some(at),
            _ => None,
        };
        [hello, term, kill, give_up].into_iter().flatten().min()
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
        let Times { hello, term, kill } = &mut self.times;
        for at in [hello, term, kill] {
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
        let (ending, signal) = if due(&mut self.times.hello) {
            (Ending::Silent, libc::SIGKILL)
        } else if due(&mut self.times.kill) {
            self.times.term = None;
            let ending = if self.stream_ended {
                Ending::Hung("it closed the link but did not exit, and was killed".into())
            } else {
                Ending::Killed("it did not end in time, and was killed".into())
            };
            (ending, libc::SIGKILL)
        } else if due(&mut self.times.term) {
            let text = "it did not end in time, and was told to";
            (Ending::Killed(text.into()), libc::SIGTERM)
        } else {
            return None;
        };
        self.doom(ending);
        Some(signal)
    }

    // --- what is known ---

    /// This child has started a later call, and so is done with this one.
    pub(crate) fn has_passed(&self, ordinal: u64) -> bool {
        self.one_by_one && matches!(self.known(), Known::Count(count) if count > ordinal)
    }

    /// What is known of the calls that it has started.
    pub(crate) fn known(&self) -> Known {
        let never_ran = self.refuses() || matches!(self.ending, Some(Ending::Init(_)));
        match &self.memory {
            _ if never_ran => Known::Count(0),
            // It says hello before it runs anything. But one that can come no more
            // may have been lost on its way, and calls behind it have begun.
            None if !self.is_greeted() && (self.direct || !self.stream_ended) => Known::Count(0),
            Some(memory) => Known::Count(memory.started().load(Ordering::Acquire)),
            None if self.one_by_one && self.direct => Known::OneByOne,
            // An answer may have been lost on its way, and a later call begun.
            None => Known::Nothing,
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.is_some()
    }

    /// Once the stream has ended and the exit is known: what is known of the
    /// calls it had started.
    pub(crate) fn finish(&mut self) -> Option<Known> {
        if !self.stream_ended || self.is_over() {
            return None;
        }
        let status = self.exit_status()?;
        let crash = Crash {
            child: Arc::clone(self.child()),
            status,
            reason: match &self.ending {
                Some(Ending::Killed(text) | Ending::Hung(text)) => Some(text.clone()),
                _ => None,
            },
            stderr: std::mem::take(&mut self.stderr),
            limits: self.expected.confinement.limits,
        };
        let complaint = self.complain(&crash).into();
        let crash = Arc::new(crash);
        self.over = Some(Over { crash, complaint });
        Some(self.known())
    }

    /// Why the parent gave the child up, in words to put behind its name.
    fn complain(&self, crash: &Crash) -> String {
        let program = &self.child().program;
        match &self.ending {
            Some(Ending::Handshake(text)) => {
                format!(": the handshake with {program} failed: {text}")
            }
            Some(Ending::Silent) => {
                let time = self.hello_time;
                format!(": no hello came from {program} within {time:?}{MAY_LACK_INIT}")
            }
            Some(Ending::NoHello(came, _)) => {
                let advice = match may_lack_init(crash.status) {
                    true => MAY_LACK_INIT,
                    false => "",
                };
                let status = match (crash.status, self.child().pid) {
                    (ExitStatus::Unknown, None) => "closed the link".into(),
                    (status, _) => status.to_string(),
                };
                let stderr = crash.last_words();
                format!(": {program} {status}{came} without a hello{advice}{stderr}")
            }
            Some(Ending::Init(text)) if self.child().worker == TEMPLATE => {
                format!(" failed to get ready: {text}")
            }
            Some(Ending::Init(text)) => format!(": its init failed: {text}"),
            Some(Ending::Violation(text)) => format!(" broke the protocol: {text}"),
            Some(Ending::Killed(_) | Ending::Hung(_)) | None => String::new(),
        }
    }

    pub(crate) fn lost_one(&mut self) {
        self.lost += 1;
    }

    /// The error of what was lost with the child, `in_call` that of a call.
    pub(crate) fn lost(&self, started: Started, in_call: bool) -> Error {
        let over = self.over.as_ref();
        let Over { crash, complaint } = over.expect("a call is lost only once the child is over");
        let complaint = || Arc::clone(complaint);
        let error = match &self.ending {
            Some(Ending::Handshake(_)) => Error::handshake(complaint(), started).lasting(),
            Some(Ending::Silent) => Error::handshake(complaint(), started),
            Some(Ending::NoHello(_, foreign)) => {
                // 0: it had nothing to do. 126 and 127: what a shell, `env` or ssh
                // says of a program that is not there.
                let never = matches!(crash.status, ExitStatus::Code(0 | 126 | 127));
                let error = Error::handshake(complaint(), started);
                if *foreign || never {
                    error.lasting()
                } else {
                    error
                }
            }
            Some(Ending::Init(_)) => Error::init(complaint()),
            // How a child has crashed says more than what it garbled; SIGKILL is what
            // it gets for that.
            Some(Ending::Violation(_))
                if matches!(crash.status.signal(), None | Some(libc::SIGKILL)) =>
            {
                Error::protocol(complaint())
            }
            _ => Error::dead(Arc::clone(crash), started, in_call),
        };
        error.about(self.child())
    }

    /// What `on_error` is told at the end: nothing where all went as asked.
    pub(crate) fn report(&self) -> Option<Error> {
        let status = self.status()?;
        let asked = self.closing && (status.success() || status == ExitStatus::Unknown);
        let quiet = match self.ending {
            None => asked,
            Some(Ending::Killed(_) | Ending::Hung(_)) => true,
            Some(_) => false,
        };
        (self.lost > 0 || !quiet).then(|| self.lost(Started::Unknown, false))
    }

    /// How the process ended, once all is over.
    pub(crate) fn status(&self) -> Option<ExitStatus> {
        self.over.as_ref().map(|over| over.crash.status)
    }

    /// How the child ended, once it has, unless it never was what was meant.
    pub(crate) fn outcome(&self) -> Option<Result<ExitStatus, Error>> {
        let status = self.status()?;
        let ended = matches!(
            self.ending,
            None | Some(Ending::Killed(_) | Ending::Hung(_))
        );
        let as_meant = ended && !(self.is_given_up() && self.ending.is_some());
        Some(if as_meant {
            Ok(status)
        } else {
            Err(self.lost(Started::Unknown, false))
        })
    }
}

/// What a program may lack that says no hello.
const MAY_LACK_INIT: &str =
    "; does the program call `offspring::init()` first in `main`, or `serve`?";

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
mod tests;
