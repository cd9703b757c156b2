//! The rules, tested with simulated children and simulated time.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use super::super::super::child::pool_child::Snapshot;
use super::*;

mod single;

const MS: Duration = Duration::from_millis(1);
const US: Duration = Duration::from_micros(1);

fn config() -> PoolConfig {
    PoolConfig {
        max: vec![4],
        idle: 0,
        load: 2,
        start: 100 * MS,
        stop: 10_000 * MS,
        pause: (100 * MS, 10_000 * MS),
        calls: None,
        age: None,
        memory: None,
        queue: (1 << 16, 16 << 20),
    }
}

/// A simulated child.
#[derive(Debug, Clone, Default)]
struct Fake {
    kind: usize,
    seen: Snapshot,
    /// Calls that it has.
    calls: Vec<Ticket>,
    /// Number of calls that have started, the first of `calls`.
    begun: usize,
    /// Whether it was started.
    there: bool,
    /// Whether it was told to exit.
    closed: bool,
    leaves: bool,
    given: u64,
    eager: bool,
}

/// The error of a call that was not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Late,
    NoChild,
    Closed,
}

impl Fault {
    fn of(error: &Error) -> Self {
        match error {
            _ if error.is_timeout() => Self::Late,
            _ if error.is_closed() => Self::Closed,
            _ => Self::NoChild,
        }
    }
}

/// The outcome of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Answered,
    LostWithChild,
    Failed(Fault),
    Withdrawn,
}

/// A pool of simulated children.
struct World {
    scheduler: Scheduler<Ticket, Key>,
    config: PoolConfig,
    now: Instant,
    children: BTreeMap<Key, Fake>,
    tickets: Ticket,
    ends: BTreeMap<Ticket, End>,
    order: Vec<Ticket>,
    /// Children whose memory was asked for.
    weighings: Vec<Key>,
    over: bool,
    closing: bool,
}

impl World {
    fn new(config: PoolConfig) -> Self {
        let mut world = Self {
            scheduler: Scheduler::new(config.clone()),
            config,
            now: Instant::now(),
            children: BTreeMap::new(),
            tickets: 0,
            ends: BTreeMap::new(),
            order: Vec::new(),
            weighings: Vec::new(),
            over: false,
            closing: false,
        };
        world.step();
        world
    }

    fn step(&mut self) {
        for action in self.scheduler.step(self.now) {
            self.execute(action);
        }
        for kind in 0..self.config.max.len() {
            let works =
                |fake: &&Fake| fake.kind == kind && !fake.closed && fake.seen.ended.is_none();
            let count = self.children.values().filter(works).count();
            assert!(count <= self.config.max[kind], "{count} children");
        }
        assert!(
            self.scheduler.step(self.now).is_empty(),
            "settled is settled"
        );
        // While calls are queued, every child that could take a call is read eagerly.
        for fake in self.children.values() {
            let gives = fake.seen.ready && fake.seen.ended.is_none() && !fake.closed;
            assert!(!gives || self.scheduler.queue.calls.is_empty() || fake.eager);
        }
    }

    fn execute(&mut self, action: Action<Ticket, Key>) {
        assert!(!self.over, "{action:?} after the end");
        match action {
            Action::Start(key, kind) => {
                let fake = Fake {
                    kind,
                    ..Fake::default()
                };
                assert!(self.children.insert(key, fake).is_none());
            }
            Action::Give(ticket, key, _) => {
                let load = self.config.load;
                let fake = self.children.get_mut(&key).expect("it exists");
                assert!(
                    fake.seen.ready && fake.seen.ended.is_none() && !fake.closed && !fake.leaves
                );
                fake.calls.push(ticket);
                fake.given += 1;
                fake.seen.load = fake.calls.len();
                assert!(fake.seen.load <= load);
                assert!(self.config.calls.is_none_or(|most| fake.given <= most));
                assert!(!self.ends.contains_key(&ticket), "{ticket} is done");
                self.order.push(ticket);
            }
            Action::Close(key) => {
                let fake = self.children.get_mut(&key).expect("it exists");
                assert!(fake.calls.is_empty());
                fake.closed = true;
            }
            Action::Kill(key, _) => self.children.get_mut(&key).expect("it exists").closed = true,
            Action::Attend(key, eagerly) => {
                let fake = self.children.get_mut(&key).expect("it exists");
                assert!(eagerly || fake.calls.is_empty(), "threads wait at it");
                fake.eager = eagerly;
            }
            Action::Fail(ticket, error) => {
                self.end(ticket, End::Failed(Fault::of(&error)));
            }
            Action::Over => {
                assert!(self.closing && self.children.is_empty());
                self.over = true;
            }
            Action::Weigh(key, _) => self.weighings.push(key),
            Action::Watch(..) | Action::CloseWithin(..) | Action::Forget(_) => {}
            Action::LookAgain(_) | Action::Report(..) => {}
            Action::Ready(_) | Action::Ended(..) | Action::Changed => {}
        }
    }

    fn end(&mut self, ticket: Ticket, end: End) {
        let twice = self.ends.insert(ticket, end);
        assert!(twice.is_none(), "{ticket}: {twice:?} and {end:?}");
    }

    fn submit(&mut self) -> Ticket {
        self.tickets = self.scheduler.ticket();
        self.scheduler.submit(self.tickets, self.tickets, 1, None);
        self.step();
        self.tickets
    }

    fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        // Steps at each alarm.
        while let Some(at) = self.scheduler.alarm.filter(|at| *at <= end) {
            self.now = at.max(self.now + Duration::from_nanos(1));
            self.step();
        }
        self.now = end;
        self.step();
    }

    fn observe(&mut self, key: Key) {
        let Some(fake) = self.children.get(&key) else {
            return;
        };
        let seen = fake.seen.clone();
        let gone = seen.gone;
        self.scheduler.observed(key, seen, self.now);
        if gone {
            self.children.remove(&key);
        }
        self.step();
    }

    /// Reports that a child was started.
    fn arrive(&mut self, key: Key) {
        if let Some(fake) = self.children.get_mut(&key)
            && !std::mem::replace(&mut fake.there, true)
        {
            self.scheduler.started(key, key);
        }
    }

    fn ready(&mut self, key: Key) {
        let Some(fake) = self.children.get_mut(&key) else {
            return;
        };
        fake.seen.ready |= fake.seen.ended.is_none();
        self.arrive(key);
        self.observe(key);
    }

    fn answer(&mut self, key: Key) {
        let Some(fake) = self.children.get_mut(&key) else {
            return;
        };
        if fake.calls.is_empty() || fake.seen.ended.is_some() {
            return;
        }
        let ticket = fake.calls.remove(0);
        fake.begun = fake.begun.saturating_sub(1);
        fake.seen.load -= 1;
        fake.seen.answered += 1;
        self.end(ticket, End::Answered);
        self.observe(key);
    }

    /// Runs calls of 50 µs for `time`, with a queue that is never empty.
    fn rush(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            while !self.closing && self.scheduler.queue.calls.len() < 50 {
                self.submit();
            }
            let keys: Vec<_> = self.children.keys().copied().collect();
            for key in keys {
                self.begin(key);
                self.answer(key);
            }
            self.advance(50 * US);
        }
    }

    fn begin(&mut self, key: Key) {
        if let Some(fake) = self.children.get_mut(&key) {
            fake.begun = fake.calls.len().min(fake.begun + 1);
        }
    }

    fn die(&mut self, key: Key) {
        let Some(fake) = self.children.get_mut(&key) else {
            return;
        };
        if !fake.there {
            let error = fake.seen.unfit.clone();
            let error = error.unwrap_or_else(|| Error::start("it fails"));
            self.children.remove(&key);
            self.scheduler.failed(key, error, self.now);
            return self.step();
        }
        if fake.seen.ended.is_some() {
            return;
        }
        let mut calls = std::mem::take(&mut fake.calls);
        let back = calls.split_off(std::mem::take(&mut fake.begun).min(calls.len()));
        fake.seen.worked = !calls.is_empty() || fake.seen.answered > 0;
        (fake.seen.load, fake.seen.ended) = (0, Some(ExitStatus::Code(1)));
        for ticket in calls {
            self.end(ticket, End::LostWithChild);
        }
        for ticket in back {
            self.scheduler.submit(ticket, ticket, 1, None);
        }
        self.observe(key);
    }

    /// Reports that a child could not be started, permanently if `hopeless`.
    fn fail(&mut self, key: Key, hopeless: bool) {
        let error = match hopeless {
            true => Error::start("it cannot be").permanent(),
            false => Error::start("it fails"),
        };
        let fake = self.children.get_mut(&key).expect("it starts");
        fake.seen.unfit = Some(error);
        self.die(key);
    }

    fn gone(&mut self, key: Key) {
        if let Some(fake) = self.children.get_mut(&key) {
            fake.seen.gone = fake.seen.ended.is_some();
        }
        self.observe(key);
    }

    fn retire(&mut self, key: Key) {
        if let Some(fake) = self.children.get_mut(&key) {
            (fake.seen.retired, fake.leaves) = (true, true);
        }
        self.arrive(key);
        self.observe(key);
    }

    fn withdraw(&mut self, ticket: Ticket) {
        let at_a_child = self
            .children
            .values()
            .any(|fake| fake.calls.contains(&ticket));
        if (1..=self.tickets).contains(&ticket) && !at_a_child && !self.ends.contains_key(&ticket) {
            self.scheduler.withdraw(ticket);
            self.end(ticket, End::Withdrawn);
            self.step();
        }
    }

    /// Makes all starting children ready, until none is left.
    fn settle_in(&mut self) {
        loop {
            let all = self.children.iter();
            let starts = all.filter(|(_, fake)| !fake.seen.ready && fake.seen.ended.is_none());
            let keys: Vec<_> = starts.map(|(key, _)| *key).collect();
            if keys.is_empty() {
                return;
            }
            keys.into_iter().for_each(|key| self.ready(key));
        }
    }

    /// Returns the child that has this call.
    fn holder(&self, ticket: Ticket) -> (Key, &Fake) {
        let mut all = self.children.iter();
        let found = all.find(|(_, fake)| fake.calls.contains(&ticket));
        found
            .map(|(key, fake)| (*key, fake))
            .expect("a child has it")
    }

    fn nth(&self, n: usize) -> Key {
        let keys: Vec<_> = self.children.keys().copied().collect();
        keys.get(n % keys.len().max(1)).copied().unwrap_or(0)
    }

    fn weighed(&mut self, key: Key, memory: u64) {
        self.scheduler.weighed(key, Some(memory));
        self.step();
    }

    /// Closes the pool, answers all calls, and steps until the pool is over.
    fn let_it_end(&mut self) {
        self.closing = true;
        self.scheduler.close(None);
        self.step();
        for _ in 0..10_000 {
            if self.over {
                return;
            }
            let keys: Vec<_> = self.children.keys().copied().collect();
            for key in keys {
                self.ready(key);
                self.answer(key);
                if self.children.get(&key).is_some_and(|fake| fake.closed) {
                    self.die(key);
                }
                self.gone(key);
            }
            self.advance(100 * MS);
        }
        panic!("it does not end: {:?}", self.scheduler);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Submit,
    Advance(u64),
    Rush(u64),
    Ready(usize),
    Begin(usize),
    Answer(usize),
    Die(usize),
    Gone(usize),
    Retire(usize),
    Withdraw(Ticket),
    Deadline(Ticket, u64),
    Close,
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    let nth = 0..8_usize;
    prop_oneof![
        6 => Just(Step::Submit),
        3 => (0..500_u64).prop_map(Step::Advance),
        1 => (0..8_u64).prop_map(Step::Rush),
        4 => nth.clone().prop_map(Step::Ready),
        3 => nth.clone().prop_map(Step::Begin),
        4 => nth.clone().prop_map(Step::Answer),
        3 => nth.clone().prop_map(Step::Die),
        2 => nth.clone().prop_map(Step::Gone),
        1 => nth.prop_map(Step::Retire),
        1 => (1..60_u64).prop_map(Step::Withdraw),
        1 => (1..60_u64, 0..300_u64).prop_map(|(ticket, ms)| Step::Deadline(ticket, ms)),
    ]
}

fn any_config() -> impl Strategy<Value = PoolConfig> {
    let max = prop::collection::vec(1..4_usize, 1..3);
    let times = (0..3_u64, 0..3_u64, 0..2_u64);
    let leave = (prop::option::of(1..5_u64), prop::option::of(1..400_u64));
    (
        max,
        0..3_usize,
        prop_oneof![1..4_usize, 1..40_usize],
        times,
        leave,
    )
        .prop_map(|(max, idle, load, times, leave)| PoolConfig {
            max,
            idle,
            load,
            start: 50 * times.0 as u32 * MS,
            stop: 100 * times.1 as u32 * MS,
            pause: (100 * times.2 as u32 * MS, 1000 * times.2 as u32 * MS),
            calls: leave.0,
            age: leave.1.map(Duration::from_millis),
            memory: None,
            ..config()
        })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        failure_persistence: Some(Box::new(FileFailurePersistence::SourceParallel("tests/proptest-regressions"))),
        ..ProptestConfig::default()
    })]

    /// For any inputs in any order, each call has one outcome, and the pool ends when it is closed. `World` has the
    /// invariants that are asserted in each step.
    #[test]
    fn no_call_is_lost_or_run_twice(
        config in any_config(),
        steps in prop::collection::vec(step(), 0..120),
        last in prop_oneof![2 => Just(Step::Close), 1 => Just(Step::Kill)],
    ) {
        let mut world = World::new(config);
        for step in steps {
            take(&mut world, step);
        }
        take(&mut world, last);
        world.let_it_end();
        for ticket in 1..=world.tickets {
            prop_assert!(world.ends.contains_key(&ticket), "call {} is lost", ticket);
        }
    }
}

fn take(world: &mut World, step: Step) {
    match step {
        Step::Submit => drop(world.submit()),
        Step::Advance(ms) => world.advance(Duration::from_millis(ms)),
        Step::Rush(ms) => world.rush(Duration::from_millis(ms)),
        Step::Ready(n) => world.ready(world.nth(n)),
        Step::Begin(n) => world.begin(world.nth(n)),
        Step::Answer(n) => world.answer(world.nth(n)),
        Step::Die(n) => world.die(world.nth(n)),
        Step::Gone(n) => world.gone(world.nth(n)),
        Step::Retire(n) => world.retire(world.nth(n)),
        Step::Withdraw(ticket) => world.withdraw(ticket),
        Step::Deadline(ticket, ms) => {
            let at = world.now + Duration::from_millis(ms);
            world.scheduler.set_deadline(ticket, Some(at));
            world.step();
        }
        Step::Close => world.let_it_end(),
        Step::Kill => {
            world.closing = true;
            world.scheduler.kill("`kill` was called");
            world.step();
            let keys: Vec<_> = world.children.keys().copied().collect();
            for key in keys {
                world.ready(key);
                world.die(key);
                world.gone(key);
            }
        }
    }
}
