//! The accounts of a scene: its ledger against the marks that its children left.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use offspring::{Error, ErrorKind, Started};

use crate::ON_PURPOSE;
use crate::faults::Shot;
use crate::figures::Figures;
use crate::job::PLAIN_FAILURE;
use crate::ledger::{Entry, Ledger, Outcome};
use crate::marks::{Mark, What};
use crate::plan::{Launch, Plan};
use crate::starts::{dead_pid, error_of};

/// The most that a death report may take: ten times the promised second.
const LATEST_REPORT: Duration = Duration::from_secs(10);

/// Whether an error of this kind says that there was no result. With the others a result that came is not wanted, or cannot
/// be read.
pub(crate) fn loses_results(kind: ErrorKind) -> bool {
    use ErrorKind as K;
    let may_have_come = [
        K::Timeout,
        K::Cancelled,
        K::WouldDeadlock,
        K::Encode,
        K::Decode,
        K::Refused,
        K::Full,
    ];
    !may_have_come.contains(&kind)
}

fn is_on_purpose(error: &Error, entry: &Entry) -> bool {
    let is_meant = |own: &offspring::Panic| own.message() == ON_PURPOSE;
    entry.terms.panics && error.panic().is_some_and(is_meant)
}

/// Signals that end each process that gets them. The runtime of Rust has a handler of `SIGSEGV`, which returns from the first
/// that another process has sent.
const SURE: [i32; 4] = [libc::SIGKILL, libc::SIGTERM, libc::SIGABRT, libc::SIGILL];

/// The marks that children left, and the signals that they were sent.
pub(crate) struct Accounts<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) ledger: &'a Ledger,
    pub(crate) marks: &'a [Mark],
    pub(crate) shots: &'a [Shot],
    /// When the scene began. Processes before that had the same ids.
    pub(crate) since: u64,
    pub(crate) figures: &'a mut Figures,
}

/// How often the jobs began and ended, by number.
pub(crate) struct Runs {
    pub(crate) began: Vec<u32>,
    pub(crate) ended: Vec<u32>,
    /// Jobs whose child made another mark after their end: so their replies had left it.
    pub(crate) left: HashSet<u32>,
    /// Children that have closed the file of marks.
    pub(crate) blind: HashSet<u64>,
    /// The processes of these.
    pub(crate) blind_pids: HashSet<u32>,
    /// The processes in which each job began.
    pub(crate) of_job: HashMap<u32, Vec<u32>>,
    /// The job that began last in each process.
    pub(crate) last: HashMap<u32, u32>,
}

impl Accounts<'_> {
    pub(crate) fn check(mut self) -> Vec<String> {
        let mut entries = self.ledger.take_entries();
        let runs = self.runs(entries.len());
        for unplaced in self.ledger.unplaced.lock().unwrap().drain(..) {
            runs.place(&mut entries, unplaced);
        }
        for (number, entry) in (0..).zip(&entries) {
            self.entry(number, entry, &runs);
        }
        self.starts(&entries, &runs);
        self.events();
        self.long_calls(&entries);
        self.reports();
        self.ledger.faults()
    }

    fn runs(&self, count: usize) -> Runs {
        let mut runs = Runs {
            began: vec![0; count],
            ended: vec![0; count],
            left: HashSet::new(),
            blind: HashSet::new(),
            blind_pids: HashSet::new(),
            of_job: HashMap::new(),
            last: HashMap::new(),
        };
        let mut last: HashMap<u64, Mark> = HashMap::new();
        for mark in self.marks {
            let number = mark.job as usize;
            match mark.what {
                What::Began => {
                    runs.began[number] += 1;
                    runs.of_job.entry(mark.job).or_default().push(mark.pid);
                    runs.last.insert(mark.pid, mark.job);
                }
                What::Ended => runs.ended[number] += 1,
                What::Closing => {
                    runs.blind.insert(mark.life);
                    runs.blind_pids.insert(mark.pid);
                }
                What::Dying | What::Grandchild | What::Inner | What::Nested => {}
            }
            let before = last.insert(mark.life, *mark);
            if let Some(before) = before.filter(|before| before.what == What::Ended) {
                runs.left.insert(before.job);
            }
        }
        runs
    }

    fn entry(&mut self, number: u32, entry: &Entry, runs: &Runs) {
        let (began, ended) = (runs.began[number as usize], runs.ended[number as usize]);
        let wrong = |is_wrong: bool, what: &str| {
            if is_wrong {
                let text = format!(
                    "job {number} began {began} and ended {ended} times, {what}: {entry:?}"
                );
                self.ledger.fault(text);
            }
        };
        if !entry.is_accepted || entry.is_refused {
            return wrong(began > 0, "but was not accepted");
        }
        wrong(began > 1 + entry.terms.repeats, "more often than it may");
        if entry.is_withdrawn || entry.is_detached {
            wrong(
                !entry.outcomes.is_empty(),
                "and has an outcome without a handle",
            );
            let is_lost =
                entry.is_detached && entry.terms.is_steady && self.plan.is_calm() && ended == 0;
            wrong(is_lost, "but was detached where nothing dies");
            self.figures.add("calls withdrawn or detached", 1);
            return;
        }
        wrong(entry.outcomes.len() != 1, "and is not done once");
        let Some((at, outcome)) = entry.outcomes.first() else {
            return;
        };
        match outcome {
            Outcome::Reply(life) => {
                self.figures.add("replies", 1);
                if runs.blind.contains(life) {
                    return;
                }
                wrong(ended == 0 || entry.terms.panics, "but has a reply");
                wrong(began != 1 && entry.terms.repeats == 0, "but has a reply");
            }
            Outcome::Error(error) => {
                wrong(
                    error.started() == Started::No && began > 0,
                    "but is said not to have started",
                );
                let is_lost = loses_results(error.kind()) && !self.plan.cuts_links();
                wrong(
                    is_lost && runs.left.contains(&number),
                    "and its reply had left the child",
                );
                let is_meant = began > ended && is_on_purpose(error, entry);
                let is_panic = error.kind() == ErrorKind::Panic && runs.blind.is_empty();
                wrong(is_panic && !is_meant, "and did not panic on purpose");
                self.error(number, entry, error, *at, !runs.blind.is_empty());
            }
        }
    }

    /// `is_blind`: a child has closed all its descriptors, which other jobs of the child then miss.
    fn error(&mut self, number: u32, entry: &Entry, error: &Error, at: u64, is_blind: bool) {
        self.figures.add(&format!("errors: {:?}", error.kind()), 1);
        self.figures
            .add(&format!("started: {:?}", error.started()), 1);
        let is_known = error.started() != Started::Unknown;
        let misses = is_blind && matches!(error.kind(), ErrorKind::Encode | ErrorKind::Decode);
        // The parent closes while the callback runs; or the callback waits for what lies behind it.
        let is_inside = entry.terms.is_inside
            && matches!(error.kind(), ErrorKind::Closed | ErrorKind::WouldDeadlock);
        let may_be = misses || is_inside || self.plan.may_fail(error.kind(), entry.terms.is_timed);
        if !may_be || !(is_known || is_inside || self.plan.may_be_unknown(error)) {
            self.ledger.fault(format!(
                "job {number}: {error} ({:?}): {entry:?}",
                error.started()
            ));
        }
        self.cause(number, error);
        let Some(pid) = dead_pid(error) else {
            return;
        };
        if entry.terms.is_prompt && error.started() == Started::Yes {
            self.time(number, pid, at);
        }
    }

    /// Holds the time of an outcome against the first moment at which its child was sure to die.
    fn time(&mut self, number: u32, pid: u32, at: u64) {
        let shots = self.shots.iter().filter(|shot| shot.pid == pid);
        let shots = shots.filter(|shot| SURE.contains(&shot.signal));
        let own = self.marks.iter().filter(|mark| mark.pid == pid);
        let own = own.filter(|mark| self.is_sure(mark));
        let moments = shots
            .map(|shot| shot.at)
            .chain(own.map(|mark| mark.at))
            .filter(|moment| (self.since..at).contains(moment));
        let Some(first) = moments.min() else {
            return;
        };
        let took = Duration::from_nanos(at - first);
        self.figures
            .add("slowest death report (µs)", took.as_micros() as u64);
        if took > LATEST_REPORT {
            self.ledger
                .fault(format!("job {number}: its child died {took:?} before"));
        }
    }

    /// Whether a job ends its child without fail, and at the time of this mark.
    fn is_sure(&self, mark: &Mark) -> bool {
        // The system may refuse the thread that raises the signal, and the memory whose end is the end of a child.
        let may_fail = self.plan.profile.is_short() || self.plan.limited;
        let is_exit = mark.detail >= 1000;
        let is_signal = SURE.contains(&(mark.detail as i32));
        mark.what == What::Dying && !may_fail && (is_exit || is_signal)
    }

    /// A report names a signal that was sent, or what a job did.
    fn cause(&self, number: u32, error: &Error) {
        let Some(crash) = error.crash() else {
            return;
        };
        let Some(pid) = crash.pid() else {
            return;
        };
        let own = crash.status();
        let told = match (own.signal(), own.code()) {
            (Some(signal), _) => signal as u32,
            (_, Some(code)) => 1000 + code as u32,
            _ => return,
        };
        let of_pid = || self.marks.iter().filter(|mark| mark.pid == pid);
        let is_shot = self
            .shots
            .iter()
            .any(|shot| shot.pid == pid && shot.signal as u32 == told);
        let is_own = of_pid().any(|mark| mark.what == What::Dying && mark.detail == told);
        let has_closed = of_pid().any(|mark| mark.what == What::Closing);
        // In the plain form a job that fails ends its child.
        let is_failure = self.plan.launch == Launch::Plain
            && told == 1000 + PLAIN_FAILURE
            && self.plan.may_fail(ErrorKind::Decode, false);
        let is_ours = self.plan.ends_children() || crash.reason().is_some() || is_failure;
        if !(is_shot || is_own || has_closed || is_ours) {
            self.ledger
                .fault(format!("job {number}: there is no cause for: {error}"));
        }
    }

    /// Events that a child sent before its last mark have arrived, whatever ended it.
    fn events(&mut self) {
        if !self.plan.is_local() || self.plan.cuts_links() {
            return;
        }
        for mark in self.marks.iter().filter(|mark| mark.what == What::Ended) {
            let seen = self.ledger.events_of(mark.life);
            if seen < mark.detail {
                let text = format!("events are lost: {seen} of {} came: {mark:?}", mark.detail);
                self.ledger.fault(text);
            }
        }
    }

    /// Counts the children that died while a long call of theirs was open.
    fn long_calls(&mut self, entries: &[Entry]) {
        let long = entries.iter().filter(|entry| entry.terms.bytes > 128 << 10);
        let pids = long.filter_map(|entry| dead_pid(error_of(entry)?));
        let children = pids.collect::<HashSet<_>>().len() as u64;
        self.figures.add(
            "children that died with a call of more than 128 KiB open",
            children,
        );
    }

    fn reports(&mut self) {
        for error in self.ledger.reports.lock().unwrap().iter() {
            self.figures.add("reports", 1);
            if matches!(
                error.kind(),
                ErrorKind::Protocol | ErrorKind::UnhandledEvent
            ) {
                self.ledger.fault(format!("reported: {error}"));
            }
        }
    }
}
