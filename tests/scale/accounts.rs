//! The accounts of the calls of a scene.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};

use offspring::Error;

use crate::jobs::{Answer, value_of};

/// Which calls were answered, and which runs of each child. A number is a call's place among those of the scene.
#[derive(Debug)]
pub(crate) struct Accounts {
    /// How often each call was answered.
    answers: Vec<AtomicU8>,
    lives: Mutex<BTreeMap<u32, Runs>>,
    /// The faults. Callbacks keep them instead of panicking.
    faults: Mutex<Vec<String>>,
}

/// The runs of one child whose answers have come.
#[derive(Debug, Default)]
struct Runs {
    seen: Vec<bool>,
    count: usize,
}

impl Accounts {
    pub(crate) fn new(calls: usize) -> Self {
        Self {
            answers: (0..calls).map(|_| AtomicU8::new(0)).collect(),
            lives: Mutex::default(),
            faults: Mutex::default(),
        }
    }

    /// Returns the number of calls.
    pub(crate) fn len(&self) -> usize {
        self.answers.len()
    }

    /// Takes the outcome of the call of this number.
    pub(crate) fn take(&self, number: usize, outcome: Result<Answer, Error>) {
        match outcome {
            Ok(answer) => {
                self.take_run(answer);
                self.answers[number].fetch_add(1, Ordering::Relaxed);
                if answer.value != value_of(number as u64) {
                    self.fault(format!("call {number}: {answer:?}"));
                }
            }
            Err(error) => self.fault(format!("call {number}: {error}")),
        }
    }

    /// Takes the answer of a call that has no number.
    pub(crate) fn take_run(&self, answer: Answer) {
        let mut lives = self.lives.lock().unwrap();
        let runs = lives.entry(answer.life).or_default();
        let serial = answer.serial as usize;
        if runs.seen.len() <= serial {
            runs.seen.resize(serial + 1, false);
        }
        runs.count += 1;
        if std::mem::replace(&mut runs.seen[serial], true) {
            drop(lives);
            self.fault(format!("one run is answered twice: {answer:?}"));
        }
    }

    fn fault(&self, text: String) {
        self.faults.lock().unwrap().push(text);
    }

    /// Fails unless each call was answered once with its value, and each run of each child too. Returns how many children
    /// there were.
    pub(crate) fn check(self) -> usize {
        let faults = self.faults.into_inner().unwrap();
        let few = &faults[..faults.len().min(5)];
        assert!(few.is_empty(), "{} faults: {few:#?}", faults.len());
        for (number, count) in self.answers.into_iter().enumerate() {
            let count = count.into_inner();
            assert_eq!(count, 1, "call {number} was answered {count} times");
        }
        let lives = self.lives.into_inner().unwrap();
        for (life, runs) in &lives {
            let (answers, ran) = (runs.count, runs.seen.len());
            assert_eq!(answers, ran, "answers and runs of child {life}");
        }
        lives.len()
    }
}
