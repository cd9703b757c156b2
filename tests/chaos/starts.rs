//! Whether errors say rightly which calls had started, and of which items the errors of a map are.

use std::collections::HashMap;

use offspring::{Crash, Error, ErrorKind, Started};

use crate::accounts::{Accounts, Runs, loses_results};
use crate::ledger::{Entry, Outcome, Unplaced};

pub(crate) fn dead_pid(error: &Error) -> Option<u32> {
    error.crash().and_then(Crash::pid)
}

pub(crate) fn error_of(entry: &Entry) -> Option<&Error> {
    match entry.outcomes.first() {
        Some((_, Outcome::Error(error))) => Some(error),
        _ => None,
    }
}

impl Runs {
    /// Gives each error of a map to an item without a result that fits it. Errors that fit fewer items come first.
    pub(crate) fn place(&self, entries: &mut [Entry], unplaced: Unplaced) {
        let Unplaced {
            mut numbers,
            mut errors,
        } = unplaced;
        errors.sort_by_key(|(_, error)| match error.started() {
            _ if error.kind() == ErrorKind::Panic => 0,
            Started::No => 1,
            _ if !loses_results(error.kind()) => 2,
            _ => 3,
        });
        for (at, error) in errors {
            let fits = |number: &u32| self.fit(*number, &entries[*number as usize], &error);
            let Some(best) = (0..numbers.len()).max_by_key(|place| fits(&numbers[*place])) else {
                return;
            };
            let entry = &mut entries[numbers.swap_remove(best) as usize];
            entry.is_withdrawn = false;
            entry.outcomes.push((at, Outcome::Error(error)));
        }
    }

    /// How well the error fits the job.
    fn fit(&self, number: u32, entry: &Entry, error: &Error) -> u32 {
        let at = number as usize;
        let (has_begun, has_ended) = (self.began[at] > 0, self.ended[at] > 0);
        let pids = self.of_job.get(&number);
        let is_in = |pid| pids.is_some_and(|pids| pids.contains(&pid));
        match error.started() {
            _ if error.kind() == ErrorKind::Panic => {
                u32::from(entry.terms.panics && !has_ended) + u32::from(has_begun)
            }
            Started::No => u32::from(!has_begun),
            _ => {
                let is_of_pid = dead_pid(error).is_some_and(is_in);
                // A reply that left its child and has no outcome came, and could not be read.
                4 * u32::from(self.left.contains(&number) != loses_results(error.kind()))
                    + 2 * u32::from(has_begun)
                    + u32::from(is_of_pid)
            }
        }
    }
}

impl Accounts<'_> {
    /// A call that had started and has no mark is the one that its child counted last.
    pub(crate) fn starts(&self, entries: &[Entry], runs: &Runs) {
        let mut without: HashMap<Option<u32>, Vec<u32>> = HashMap::new();
        for (number, entry) in (0..).zip(entries) {
            let Some(error) = error_of(entry) else {
                continue;
            };
            let pid = dead_pid(error);
            // Of a repeated call it is not known which child had started it.
            let is_repeated = self.plan.is_pool() && entry.terms.repeats > 0;
            let is_blind = match pid {
                Some(pid) => runs.blind_pids.contains(&pid),
                None => !runs.blind.is_empty(),
            };
            let is_marked = runs.began[number as usize] > 0;
            if error.started() != Started::Yes || is_marked || is_repeated || is_blind {
                continue;
            }
            match error.kind() {
                // A call that is given up is not told that its arguments could not be read.
                ErrorKind::Timeout if self.plan.may_fail(ErrorKind::Decode, false) => {}
                ErrorKind::ChildDead | ErrorKind::Timeout | ErrorKind::WouldDeadlock => {
                    let child = pid.filter(|_| !self.plan.is_single());
                    without.entry(child).or_default().push(number);
                }
                _ => self.no_start(number, entry),
            }
            if self.has_run_another(pid, entries, runs) {
                self.no_start(number, entry);
            }
        }
        for (child, numbers) in without {
            // Without a process id they may be of many children of a pool.
            let is_of_one = child.is_some() || self.plan.is_single();
            for number in numbers.iter().skip(1).filter(|_| is_of_one) {
                self.no_start(*number, &entries[*number as usize]);
            }
        }
    }

    /// Whether the process, which runs one call after the other, ended in a call that had begun.
    fn has_run_another(&self, pid: Option<u32>, entries: &[Entry], runs: &Runs) -> bool {
        let Some((pid, last)) = pid.and_then(|pid| Some((pid, *runs.last.get(&pid)?))) else {
            return false;
        };
        let is_lost = |error: &Error| {
            let is_dead = error.kind() == ErrorKind::ChildDead;
            is_dead && dead_pid(error) == Some(pid)
        };
        self.plan.is_one_by_one()
            && runs.ended[last as usize] == 0
            && error_of(&entries[last as usize]).is_some_and(is_lost)
    }

    fn no_start(&self, number: u32, entry: &Entry) {
        let text = format!("job {number} is said to have started, and has no mark: {entry:?}");
        self.ledger.fault(text);
    }
}
