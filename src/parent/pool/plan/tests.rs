//! The rules, against children that are only thought of, in a time that is.

use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);

fn rules() -> Rules {
    Rules {
        max: vec![4],
        idle: 0,
        load: 2,
        start: 100 * MS,
        stop: 10_000 * MS,
        pause: (100 * MS, 10_000 * MS),
        calls: None,
        age: None,
        memory: None,
    }
}

/// A child as it would be.
#[derive(Debug, Clone, Default)]
struct Fake {
    launcher: usize,
    seen: Seen,
    /// Calls that it has; the first so many have started.
    calls: Vec<Ticket>,
    begun: usize,
    /// It was started, and told to end.
    there: bool,
    closed: bool,
    leaves: bool,
    given: u64,
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Answered,
    LostWithChild,
    Failed(Fault),
    Withdrawn,
}

/// A pool whose children do what they are told to.
struct World {
    plan: Plan,
    rules: Rules,
    now: Instant,
    children: BTreeMap<Key, Fake>,
    tickets: Ticket,
    ends: BTreeMap<Ticket, End>,
    order: Vec<Ticket>,
    over: bool,
    closing: bool,
}

impl World {
    fn new(rules: Rules) -> Self {
        let mut world = Self {
            plan: Plan::new(rules.clone()),
            rules,
            now: Instant::now(),
            children: BTreeMap::new(),
            tickets: 0,
            ends: BTreeMap::new(),
            order: Vec::new(),
            over: false,
            closing: false,
        };
        world.settle();
        world
    }

    fn settle(&mut self) {
        for order in self.plan.settle(self.now) {
            self.obey(order);
        }
        for launcher in 0..self.rules.max.len() {
            let works =
                |fake: &&Fake| fake.launcher == launcher && !fake.closed && !fake.seen.ended;
            let count = self.children.values().filter(works).count();
            assert!(count <= self.rules.max[launcher], "{count} children");
        }
        assert!(self.plan.settle(self.now).is_empty(), "settled is settled");
    }

    fn obey(&mut self, order: Order) {
        assert!(!self.over, "{order:?} after the end");
        match order {
            Order::Start(key, launcher) => {
                let fake = Fake {
                    launcher,
                    ..Fake::default()
                };
                assert!(self.children.insert(key, fake).is_none());
            }
            Order::Give(ticket, key) => {
                let load = self.rules.load;
                let fake = self.children.get_mut(&key).expect("it is there");
                assert!(fake.seen.ready && !fake.seen.ended && !fake.closed && !fake.leaves);
                fake.calls.push(ticket);
                fake.given += 1;
                fake.seen.load = fake.calls.len();
                assert!(fake.seen.load <= load);
                assert!(self.rules.calls.is_none_or(|most| fake.given <= most));
                assert!(!self.ends.contains_key(&ticket), "{ticket} is done");
                self.order.push(ticket);
            }
            Order::Close(key) => {
                let fake = self.children.get_mut(&key).expect("it is there");
                assert!(fake.calls.is_empty());
                fake.closed = true;
            }
            Order::Kill(key) => self.children.get_mut(&key).expect("it is there").closed = true,
            Order::Eager(key, _) => assert!(self.children.contains_key(&key)),
            Order::Fail(ticket, fault) => self.end(ticket, End::Failed(fault)),
            Order::Over => {
                assert!(self.closing && self.children.is_empty());
                self.over = true;
            }
        }
    }

    fn end(&mut self, ticket: Ticket, end: End) {
        let twice = self.ends.insert(ticket, end);
        assert!(twice.is_none(), "{ticket}: {twice:?} and {end:?}");
    }

    fn submit(&mut self) -> Ticket {
        self.tickets += 1;
        self.plan.submit(self.tickets, None);
        self.settle();
        self.tickets
    }

    fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        // As the alarm would have it.
        while let Some(at) = self.plan.alarm().filter(|at| *at <= end) {
            self.now = at.max(self.now + Duration::from_nanos(1));
            self.settle();
        }
        self.now = end;
        self.settle();
    }

    fn look(&mut self, key: Key) {
        let Some(fake) = self.children.get(&key) else {
            return;
        };
        let seen = fake.seen;
        self.plan.saw(key, &seen, self.now);
        if seen.gone {
            self.children.remove(&key);
        }
        self.settle();
    }

    fn ready(&mut self, key: Key) {
        let Some(fake) = self.children.get_mut(&key) else {
            return;
        };
        if !fake.there {
            fake.there = true;
            self.plan.started(key);
        }
        let fake = self.children.get_mut(&key).expect("it is there");
        fake.seen.ready |= !fake.seen.ended;
        self.look(key);
    }

    fn answer(&mut self, key: Key) {
        let Some(fake) = self.children.get_mut(&key) else {
            return;
        };
        if fake.calls.is_empty() || fake.seen.ended {
            return;
        }
        let ticket = fake.calls.remove(0);
        fake.begun = fake.begun.saturating_sub(1);
        fake.seen.load -= 1;
        fake.seen.answered += 1;
        self.end(ticket, End::Answered);
        self.look(key);
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
            self.children.remove(&key);
            self.plan.failed(key, self.now);
            return self.settle();
        }
        if fake.seen.ended {
            return;
        }
        let mut calls = std::mem::take(&mut fake.calls);
        let back = calls.split_off(std::mem::take(&mut fake.begun).min(calls.len()));
        (fake.seen.load, fake.seen.ended) = (0, true);
        for ticket in calls {
            self.end(ticket, End::LostWithChild);
        }
        for ticket in back {
            self.plan.submit_again(ticket, None);
        }
        self.look(key);
    }

    fn gone(&mut self, key: Key) {
        if let Some(fake) = self.children.get_mut(&key) {
            fake.seen.gone = fake.seen.ended;
        }
        self.look(key);
    }

    fn retire(&mut self, key: Key) {
        if let Some(fake) = self.children.get_mut(&key) {
            (fake.seen.retired, fake.leaves) = (true, true);
        }
        self.look(key);
    }

    fn withdraw(&mut self, ticket: Ticket) {
        let at_a_child = self
            .children
            .values()
            .any(|fake| fake.calls.contains(&ticket));
        if (1..=self.tickets).contains(&ticket) && !at_a_child && !self.ends.contains_key(&ticket) {
            self.plan.withdraw(ticket);
            self.end(ticket, End::Withdrawn);
            self.settle();
        }
    }

    fn nth(&self, n: usize) -> Key {
        let keys: Vec<_> = self.children.keys().copied().collect();
        keys.get(n % keys.len().max(1)).copied().unwrap_or(0)
    }

    /// Everything goes well from now on.
    fn let_it_end(&mut self) {
        self.closing = true;
        self.plan.close();
        self.settle();
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
        panic!("it does not end: {:?}", self.plan);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Submit,
    Advance(u64),
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

fn any_rules() -> impl Strategy<Value = Rules> {
    let max = prop::collection::vec(1..4_usize, 1..3);
    let times = (0..3_u64, 0..3_u64, 0..2_u64);
    let leave = (prop::option::of(1..5_u64), prop::option::of(1..400_u64));
    (max, 0..3_usize, 1..4_usize, times, leave).prop_map(|(max, idle, load, times, leave)| Rules {
        max,
        idle,
        load,
        start: 50 * times.0 as u32 * MS,
        stop: 100 * times.1 as u32 * MS,
        pause: (100 * times.2 as u32 * MS, 1000 * times.2 as u32 * MS),
        calls: leave.0,
        age: leave.1.map(Duration::from_millis),
        memory: None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Whatever happens in whatever order, each call has one end, and the pool
    /// ends when it is closed. What is asserted all along is in `World`.
    #[test]
    fn no_call_is_lost_or_run_twice(
        rules in any_rules(),
        steps in prop::collection::vec(step(), 0..120),
        last in prop_oneof![2 => Just(Step::Close), 1 => Just(Step::Kill)],
    ) {
        let mut world = World::new(rules);
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
        Step::Ready(n) => world.ready(world.nth(n)),
        Step::Begin(n) => world.begin(world.nth(n)),
        Step::Answer(n) => world.answer(world.nth(n)),
        Step::Die(n) => world.die(world.nth(n)),
        Step::Gone(n) => world.gone(world.nth(n)),
        Step::Retire(n) => world.retire(world.nth(n)),
        Step::Withdraw(ticket) => world.withdraw(ticket),
        Step::Deadline(ticket, ms) => {
            let at = world.now + Duration::from_millis(ms);
            world.plan.set_deadline(ticket, at);
            world.settle();
        }
        Step::Close => world.let_it_end(),
        Step::Kill => {
            world.closing = true;
            world.plan.kill();
            world.settle();
            let keys: Vec<_> = world.children.keys().copied().collect();
            for key in keys {
                world.ready(key);
                world.die(key);
                world.gone(key);
            }
        }
    }
}

fn count(world: &World) -> usize {
    world.plan.counts().starting + world.plan.counts().idle + world.plan.counts().busy
}

/// `start`: the first at once, the others one by one, and only while calls wait.
#[test]
fn it_grows_slowly() {
    let mut world = World::new(rules());
    assert_eq!(count(&world), 0);
    world.submit();
    assert_eq!(count(&world), 1);
    world.ready(1);
    for _ in 0..9 {
        world.submit();
    }
    world.advance(99 * MS);
    assert_eq!(count(&world), 1);
    for expected in [2, 3, 4, 4] {
        world.advance(MS);
        world.ready(expected as Key);
        assert_eq!(count(&world), expected);
        world.advance(99 * MS);
    }
}

/// `stop`: one in that time, down to `idle`, the one first that rested longest.
#[test]
fn it_shrinks_slowly() {
    let mut world = World::new(Rules {
        idle: 1,
        start: Duration::ZERO,
        load: 1,
        ..rules()
    });
    assert_eq!(count(&world), 1);
    for _ in 0..4 {
        world.submit();
    }
    for key in 1..=4 {
        world.ready(key);
    }
    for key in [3, 1, 2, 4] {
        world.advance(MS);
        world.answer(key);
    }
    assert_eq!(world.plan.counts().idle, 4);
    let mut closed = Vec::new();
    for _ in 0..5 {
        world.advance(10_000 * MS);
        closed.push(world.children.values().filter(|fake| fake.closed).count());
    }
    assert_eq!(closed, [1, 2, 3, 3, 3]);
    assert!(!world.children[&4].closed && world.children[&3].closed);
}

/// After a failure it waits, each time twice as long, and tells the callers
/// after the fifth.
#[test]
fn it_backs_off() {
    let mut world = World::new(rules());
    let start = world.now;
    let ticket = world.submit();
    let mut waits = Vec::new();
    for key in 1..=9 {
        if key > 5 {
            assert!(world.ends.contains_key(&(key - 5)));
            world.submit();
        }
        let before = world.now;
        while !world.children.contains_key(&key) {
            assert!(world.now < start + 100_000 * MS);
            world.advance(MS);
        }
        waits.push((world.now - before).as_millis());
        assert!(
            !world
                .ends
                .contains_key(&(if key > 5 { key - 4 } else { ticket }))
        );
        world.die(key);
    }
    assert_eq!(waits, [0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000]);
    assert_eq!(world.ends[&ticket], End::Failed(Fault::NoChild));
}

/// A child that has worked is replaced at once; and one that could not start is
/// not held against the next.
#[test]
fn who_has_worked_is_replaced_at_once() {
    let mut world = World::new(rules());
    world.submit();
    world.ready(1);
    world.answer(1);
    world.advance(1000 * MS);
    world.die(1);
    world.submit();
    assert!(world.children.contains_key(&2));
    // One that never did is not.
    world.ready(2);
    world.begin(2);
    world.die(2);
    world.submit();
    assert!(!world.children.contains_key(&3));
    world.advance(100 * MS);
    assert!(world.children.contains_key(&3));
}

/// With one call for each child, those that die of theirs are seldom in a row.
#[test]
fn an_answer_ends_the_backing_off() {
    let mut world = World::new(Rules {
        max: vec![1],
        load: 1,
        calls: Some(1),
        ..rules()
    });
    for key in [1, 3, 5] {
        world.submit();
        world.advance(100 * MS);
        world.ready(key);
        world.begin(key);
        world.die(key);
        world.gone(key);
        world.submit();
        world.advance(99 * MS);
        assert!(!world.children.contains_key(&(key + 1)));
        world.advance(MS);
        assert!(world.children.contains_key(&(key + 1)), "{key}");
        world.ready(key + 1);
        world.answer(key + 1);
        world.die(key + 1);
        world.gone(key + 1);
    }
}

/// The least to do, the first kind, the last used.
#[test]
fn who_gets_a_call() {
    let mut world = World::new(Rules {
        max: vec![2, 2],
        idle: 4,
        ..rules()
    });
    for key in 1..=4 {
        world.ready(key);
    }
    let given = |world: &mut World| {
        let ticket = world.submit();
        let of = world
            .children
            .iter()
            .find(|(_, fake)| fake.calls.contains(&ticket));
        of.map(|(key, _)| *key)
    };
    let first: Vec<_> = (0..9).map(|_| given(&mut world)).collect();
    let here: BTreeSet<_> = first[..2].iter().flatten().copied().collect();
    assert_eq!(here, BTreeSet::from([1, 2]));
    let there: BTreeSet<_> = first[2..4].iter().flatten().copied().collect();
    assert_eq!(there, BTreeSet::from([3, 4]));
    assert!(first[4..8].iter().all(Option::is_some) && first[8].is_none());
    world.answer(3);
    assert_eq!(world.order.last(), Some(&9));
    world.answer(1);
    assert_eq!(given(&mut world), Some(1));
}

/// A launcher that fails makes way for the next one.
#[test]
fn a_second_kind_steps_in() {
    let mut world = World::new(Rules {
        max: vec![1, 1],
        ..rules()
    });
    world.submit();
    world.die(1);
    assert_eq!(world.children[&2].launcher, 1);
    for key in 2..=10 {
        assert!(world.ends.is_empty());
        while !world.children.contains_key(&key) {
            world.advance(MS);
        }
        world.die(key);
    }
    assert_eq!(world.ends[&1], End::Failed(Fault::NoChild));
}

/// Who takes too long to start is not counted on.
#[test]
fn a_slow_start() {
    let mut world = World::new(rules());
    world.submit();
    world.advance(900 * MS);
    assert_eq!(count(&world), 1);
    world.advance(300 * MS);
    assert_eq!(count(&world), 2);
    world.ready(2);
    assert_eq!(world.order, [1]);
}
