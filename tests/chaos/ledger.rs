//! The books of the parent on each call: accepted, withdrawn, its outcome.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use offspring::Error;

use crate::job::{Reply, Tick, pattern};
use crate::marks::now;

/// The options of a call, as far as the accounts need them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Terms {
    pub(crate) repeats: u32,
    /// It has a time limit.
    pub(crate) is_timed: bool,
    /// It has no time limit, and its job does not panic.
    pub(crate) is_steady: bool,
    /// Its job panics, unless its child ends before.
    pub(crate) panics: bool,
    /// Its outcome is recorded when it comes, not when a thread gets round to it.
    pub(crate) is_prompt: bool,
    /// It is completed by a callback, registered before the child can do anything else.
    pub(crate) is_callback: bool,
    /// A callback waits for it, so it comes before the callbacks that wait behind that.
    pub(crate) is_inside: bool,
    pub(crate) wanted: u32,
    /// The length of its arguments or its reply, whichever is longer.
    pub(crate) bytes: usize,
    pub(crate) has_file: bool,
    pub(crate) has_memory: bool,
}

#[derive(Debug)]
pub(crate) enum Outcome {
    /// Of a child with this life.
    Reply(u64),
    Error(Error),
}

#[derive(Debug, Default)]
pub(crate) struct Entry {
    pub(crate) terms: Terms,
    pub(crate) is_accepted: bool,
    /// `try_call` gave the job back.
    pub(crate) is_refused: bool,
    /// The handle was dropped: there is no outcome.
    pub(crate) is_withdrawn: bool,
    /// There is no outcome to be seen.
    pub(crate) is_detached: bool,
    /// Outcomes, with the times at which they came.
    pub(crate) outcomes: Vec<(u64, Outcome)>,
}

impl Entry {
    fn is_open(&self) -> bool {
        let is_over = self.is_refused || self.is_withdrawn || self.is_detached;
        self.is_accepted && !is_over && self.outcomes.is_empty()
    }
}

/// The errors of a map that gives results as they come: of some of these jobs, one each.
#[derive(Debug, Default)]
pub(crate) struct Unplaced {
    pub(crate) numbers: Vec<u32>,
    pub(crate) errors: Vec<(u64, Error)>,
}

/// The events that came of one child, and the last reply that a callback got.
#[derive(Debug, Default, Clone, Copy)]
struct Life {
    events: u32,
    order: u32,
}

/// The jobs of one scene by number, and what went wrong.
#[derive(Debug)]
pub(crate) struct Ledger {
    entries: Vec<Mutex<Entry>>,
    lives: Mutex<HashMap<u64, Life>>,
    /// Events go to a stream, so their handlers do not come before replies.
    pub(crate) is_streamed: bool,
    pub(crate) destroyed: AtomicUsize,
    pub(crate) ticks: AtomicU32,
    pub(crate) reports: Mutex<Vec<Error>>,
    pub(crate) unplaced: Mutex<Vec<Unplaced>>,
    faults: Mutex<Vec<String>>,
}

impl Ledger {
    pub(crate) fn new(jobs: u32, is_streamed: bool) -> Self {
        Self {
            entries: (0..jobs).map(|_| Mutex::default()).collect(),
            lives: Mutex::default(),
            is_streamed,
            destroyed: AtomicUsize::new(0),
            ticks: AtomicU32::new(0),
            reports: Mutex::default(),
            unplaced: Mutex::default(),
            faults: Mutex::default(),
        }
    }

    pub(crate) fn fault(&self, text: String) {
        self.faults.lock().unwrap().push(text);
    }

    pub(crate) fn faults(&self) -> Vec<String> {
        std::mem::take(&mut *self.faults.lock().unwrap())
    }

    pub(crate) fn update<T>(&self, number: u32, change: impl FnOnce(&mut Entry) -> T) -> T {
        change(&mut self.entries[number as usize].lock().unwrap())
    }

    pub(crate) fn open(&self) -> Vec<u32> {
        let all = (0..).zip(&self.entries);
        let open = all.filter(|(_, entry)| entry.lock().unwrap().is_open());
        open.map(|(number, _)| number).collect()
    }

    /// All entries, for the accounts.
    pub(crate) fn take_entries(&self) -> Vec<Entry> {
        let take = |entry: &Mutex<Entry>| std::mem::take(&mut *entry.lock().unwrap());
        self.entries.iter().map(take).collect()
    }

    /// An event came: the next of its child.
    pub(crate) fn tick(&self, tick: Tick) {
        self.ticks.fetch_add(1, Ordering::Relaxed);
        let mut lives = self.lives.lock().unwrap();
        let seen = &mut lives.entry(tick.life).or_default().events;
        *seen += 1;
        if *seen != tick.sequence {
            self.fault(format!("event {tick:?} came as number {seen}"));
        }
    }

    pub(crate) fn events_of(&self, life: u64) -> u32 {
        self.lives
            .lock()
            .unwrap()
            .get(&life)
            .map_or(0, |life| life.events)
    }

    /// The call of this job is done.
    pub(crate) fn outcome(&self, number: u32, outcome: Result<Reply, Error>) {
        let at = now();
        let terms = self.update(number, |entry| entry.terms);
        let outcome = match outcome {
            Ok(reply) => {
                self.look(number, terms, &reply);
                Outcome::Reply(reply.life)
            }
            Err(error) => Outcome::Error(error),
        };
        self.update(number, |entry| entry.outcomes.push((at, outcome)));
    }

    /// Whether a reply is what was asked for, in its place.
    fn look(&self, number: u32, terms: Terms, reply: &Reply) {
        let mut is_right = reply.number == number && reply.is_right;
        is_right &= *reply.data == pattern(number, terms.wanted as usize);
        is_right &= reply.file.is_some() == terms.has_file;
        is_right &= reply.memory.is_some() == terms.has_memory;
        if let Some(memory) = &reply.memory {
            is_right &= memory.to_vec().iter().all(|byte| *byte == number as u8);
        }
        if !is_right {
            let (own, right) = (reply.number, reply.is_right);
            self.fault(format!("the reply to {number} is wrong: of {own}, {right}"));
        }
        self.look_at_order(number, terms, reply);
    }

    fn look_at_order(&self, number: u32, terms: Terms, reply: &Reply) {
        let mut lives = self.lives.lock().unwrap();
        let life = lives.entry(reply.life).or_default();
        let (seen, sent) = (life.events, reply.events);
        if !self.is_streamed && !terms.is_inside && seen < sent {
            self.fault(format!(
                "the reply to {number} overtook events: {seen} of {sent}"
            ));
        }
        if terms.is_callback {
            if !self.is_streamed && seen != sent {
                self.fault(format!(
                    "events overtook the reply to {number}: {seen} of {sent}"
                ));
            }
            if reply.order <= life.order {
                self.fault(format!(
                    "callbacks of {number}: {} after {}",
                    reply.order, life.order
                ));
            }
            life.order = reply.order;
        }
    }
}
