//! Calls that a callback makes, and waits for.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use crate::crew::Hand;
use crate::job::{Job, Tick, pattern};
use crate::ledger::{Ledger, Terms};

/// The length of a reply.
const WANTED: u32 = 100;

/// The numbers of such calls, and what they call: a handle of the child whose callback runs.
#[derive(Debug)]
pub(crate) struct Inside {
    numbers: Mutex<Range<u32>>,
    hand: Mutex<Option<Hand>>,
}

impl Inside {
    pub(crate) fn new(numbers: Range<u32>) -> Self {
        Self {
            numbers: Mutex::new(numbers),
            hand: Mutex::new(None),
        }
    }

    /// From now on callbacks call.
    pub(crate) fn open(&self, hand: &Hand) {
        *self.hand.lock().unwrap() = Some(hand.clone());
    }

    /// From now on callbacks do not call. A callback that calls already keeps its handle until it has the outcome.
    pub(crate) fn close(&self) {
        let hand = self.hand.lock().unwrap().take();
        drop(hand);
    }

    /// Returns how many calls were made, of those with numbers from `first` on.
    pub(crate) fn made(&self, first: u32) -> u32 {
        self.numbers.lock().unwrap().start - first
    }

    /// Calls after some of the events.
    pub(crate) fn call_after(&self, tick: Tick, ledger: &Arc<Ledger>) {
        if tick.sequence % 4 == 1 {
            self.call(ledger);
        }
    }

    /// Makes a call, if there is one left, and waits for it.
    pub(crate) fn call(&self, ledger: &Arc<Ledger>) {
        let hand = self.hand.lock().unwrap().clone();
        let Some(hand) = hand else { return };
        let number = self.numbers.lock().unwrap().next();
        let Some(number) = number else { return };
        let terms = Terms {
            wanted: WANTED,
            is_inside: true,
            ..Terms::default()
        };
        ledger.update(number, |entry| {
            entry.terms = terms;
            entry.is_accepted = true;
        });
        let job = Job {
            number,
            steps: Vec::new(),
            wanted: WANTED,
            data: pattern(number, 1000).into(),
            file: None,
            shared: None,
            memory: None,
        };
        let outcome = hand.call(job).wait();
        ledger.outcome(number, outcome);
    }
}
