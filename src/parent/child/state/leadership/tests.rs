//! Explores every state that the rules can get into, with a few threads, a task, the reactor, a
//! child that answers at any time, and a socket that becomes full at any time. The steps are those
//! of the driver: what it does while it holds the lock is one step.
//!
//! These things must hold. There are one reader and one writer at most. Something will write the
//! bytes that are unwritten, and something will read the input that has arrived. From every state
//! all threads and tasks can still get their answers without the slow tick, without a deadline,
//! and without a spurious wake-up.

use std::collections::HashMap;

use super::*;

/// A set of calls. Each waiter has one.
type Calls = u8;

/// The next step of a waiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum At {
    /// Makes its call.
    Start,
    /// Looks for its answer, and writes.
    Look,
    /// Sends what it took from the outbox, and then does the next thing.
    Write(Calls, Then),
    Read,
    Asleep,
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Then {
    /// The call was made: release the lock.
    Release,
    /// The bytes that were read may be the answer, or may have made room.
    Look,
    /// Wait, or lead.
    Wait,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Waiter {
    at: At,
    /// It does not sleep, or no longer.
    woken: bool,
    task: bool,
    /// Its deadline may be over at any time.
    hasty: bool,
    /// It makes its call and does not wait.
    careless: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Reactor {
    Idle,
    Read,
    Write(Calls),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    leadership: Leadership,
    waiters: Vec<Waiter>,
    reactor: Reactor,
    outbox: Calls,
    at_child: Calls,
    input: Calls,
    done: Calls,
    /// The leader watches for room.
    leader_writes: bool,
    full: bool,
    /// How often the socket may still become full.
    fills: u8,
}

/// An action of the rules that is not executed, so that the exploration must fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    Nothing,
    Wake,
    WatchRead,
    WatchWrite,
    Flush,
    /// A thread whose deadline is over does not apply the rules.
    GiveUp,
    /// A thread that has its answer does not apply the rules.
    Answered,
}

/// Whether a step is certain to come soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Sure,
    Slow,
}

impl World {
    fn new(waiters: &[Waiter], fills: u8) -> Self {
        Self {
            leadership: Leadership::new(),
            waiters: waiters.to_vec(),
            reactor: Reactor::Idle,
            outbox: 0,
            at_child: 0,
            input: 0,
            done: 0,
            leader_writes: false,
            full: false,
            fills,
        }
    }

    fn apply_rules(&mut self, broken: Broken) {
        let asleep = |waiter: &&Waiter| waiter.task && waiter.at == At::Asleep && !waiter.woken;
        let inputs = Inputs {
            readable: true,
            urgent: self.waiters.iter().any(|waiter| asleep(&waiter)),
            unwritten: self.outbox != 0 && !self.leader_writes,
        };
        let actions = self.leadership.apply_rules(inputs);
        if let Some(successor) = actions.wake.filter(|_| broken != Broken::Wake) {
            self.waiters[successor as usize].woken = true;
        }
        // The reactor does what the leadership says, so a lost action is undone there.
        match broken {
            Broken::WatchRead if actions.watch_read == Some(true) => {
                self.leadership.watches_read = false
            }
            Broken::WatchWrite if actions.watch_write.is_some() => {
                self.leadership.watches_write = false
            }
            Broken::Flush if actions.flush => self.leadership.flushing = false,
            _ => {}
        }
    }

    /// Takes the outbox to write it, if there is something and no other thread writes.
    fn take_outbox(&mut self) -> Option<Calls> {
        (self.outbox != 0 && self.leadership.write()).then(|| std::mem::take(&mut self.outbox))
    }

    /// The system call of a writer, and its return under the lock. The writer goes on with what
    /// was added meanwhile, or is done.
    fn wrote(mut self, batch: Calls) -> Vec<(Self, Option<Calls>)> {
        let mut results = Vec::new();
        if self.fills > 0 || self.full {
            let mut blocked = self.clone();
            blocked.fills -= u8::from(!self.full);
            blocked.full = true;
            blocked.outbox |= batch;
            blocked.leadership.wrote(true);
            assert_eq!(blocked.take_outbox(), None, "a full socket is tried again");
            results.push((blocked, None));
        }
        if !self.full {
            self.at_child |= batch;
            let again = self.leadership.wrote(false);
            let more = if again { self.take_outbox() } else { None };
            results.push((self, more));
        }
        results
    }

    /// Completes the calls whose answers were read.
    fn handle_bytes(&mut self) {
        self.done |= std::mem::take(&mut self.input);
        self.stop_reading();
        for (index, waiter) in self.waiters.iter_mut().enumerate() {
            waiter.woken |= waiter.at == At::Asleep && self.done & 1 << index != 0;
        }
    }

    fn stop_reading(&mut self) {
        self.leader_writes = false;
        self.leadership.leave();
    }

    fn go(mut self, index: usize, at: At) -> Self {
        self.waiters[index].at = at;
        self
    }

    /// A waiter looks for its answer. If it is not there, the waiter writes, leads, or sleeps.
    fn look(mut self, index: usize, flushed: bool, broken: Broken) -> Self {
        if self.done & 1 << index != 0 {
            if broken != Broken::Answered {
                self.apply_rules(broken);
            }
            return self.go(index, At::Over);
        }
        if !flushed && let Some(batch) = self.take_outbox() {
            return self.go(index, At::Write(batch, Then::Wait));
        }
        if !self.waiters[index].task && self.leadership.take_reading(ReaderRole::Leader) {
            self.leader_writes = self.leadership.blocked && self.outbox != 0;
            self.apply_rules(broken);
            return self.go(index, At::Read);
        }
        if !self.waiters[index].task {
            self.leadership.park(index as ParkedId);
        }
        self = self.go(index, At::Asleep);
        self.apply_rules(broken);
        self
    }

    fn then(mut self, index: usize, then: Then, broken: Broken) -> Self {
        match then {
            Then::Release => {
                self.apply_rules(broken);
                let careless = self.waiters[index].careless;
                self.go(index, if careless { At::Over } else { At::Look })
            }
            Then::Look => self.go(index, At::Look),
            Then::Wait => self.look(index, true, broken),
        }
    }

    fn flush(mut self, index: usize, then: Then, broken: Broken) -> Self {
        match self.take_outbox() {
            Some(batch) => self.go(index, At::Write(batch, then)),
            None => self.then(index, then, broken),
        }
    }

    fn give_up(mut self, index: usize, broken: Broken) -> Self {
        if broken != Broken::GiveUp {
            self.apply_rules(broken);
        }
        self.go(index, At::Over)
    }

    fn waiter_steps(&self, index: usize, broken: Broken, next: &mut Vec<(Sort, Self)>) {
        let waiter = self.waiters[index];
        let mut sure = |world| next.push((Sort::Sure, world));
        match waiter.at {
            At::Start => {
                let mut world = self.clone();
                world.outbox |= 1 << index;
                sure(world.clone().flush(index, Then::Release, broken));
                sure(world.then(index, Then::Release, broken));
            }
            At::Look => sure(self.clone().look(index, false, broken)),
            At::Write(batch, then) => {
                for (world, more) in self.clone().wrote(batch) {
                    sure(match more {
                        Some(batch) => world.go(index, At::Write(batch, then)),
                        None => world.then(index, then, broken),
                    });
                }
            }
            At::Read if self.input != 0 || self.leader_writes && !self.full => {
                let mut world = self.clone();
                if self.leader_writes && !self.full {
                    world.leadership.blocked = false;
                }
                world.handle_bytes();
                sure(world.flush(index, Then::Look, broken));
            }
            At::Asleep if waiter.woken => {
                let mut world = self.clone();
                world.waiters[index].woken = false;
                world.leadership.unpark(index as ParkedId);
                sure(world.go(index, At::Look));
            }
            _ => {}
        }
        // Deadlines, and spurious wake-ups.
        let mut slow = |world| next.push((Sort::Slow, world));
        if waiter.at == At::Read && waiter.hasty {
            let mut world = self.clone();
            world.stop_reading();
            slow(world.give_up(index, broken));
        }
        if waiter.at == At::Asleep && !waiter.task {
            let mut world = self.clone();
            world.waiters[index].woken = false;
            world.leadership.unpark(index as ParkedId);
            slow(world.clone().go(index, At::Look));
            if waiter.hasty {
                slow(world.give_up(index, broken));
            }
        }
    }

    fn reactor_flush(mut self, broken: Broken) -> Self {
        match self.take_outbox() {
            Some(batch) => self.reactor = Reactor::Write(batch),
            None => {
                self.reactor = Reactor::Idle;
                self.apply_rules(broken);
            }
        }
        self
    }

    fn reactor_steps(&self, broken: Broken, next: &mut Vec<(Sort, Self)>) {
        let mut push = |sort, world| next.push((sort, world));
        match self.reactor {
            Reactor::Read => {
                let mut world = self.clone();
                world.handle_bytes();
                push(Sort::Sure, world.reactor_flush(broken));
            }
            Reactor::Write(batch) => {
                for (mut world, more) in self.clone().wrote(batch) {
                    world.reactor = more.map_or(Reactor::Idle, Reactor::Write);
                    if more.is_none() {
                        world.apply_rules(broken);
                    }
                    push(Sort::Sure, world);
                }
            }
            Reactor::Idle => {
                if self.leadership.watches_read && self.input != 0 {
                    let mut world = self.clone();
                    if world.leadership.take_reading(ReaderRole::Reactor) {
                        world.reactor = Reactor::Read;
                    } else {
                        world.apply_rules(broken);
                    }
                    push(Sort::Sure, world);
                }
                if self.leadership.watches_write && !self.full {
                    let mut world = self.clone();
                    world.leadership.blocked = false;
                    push(Sort::Sure, world.reactor_flush(broken));
                }
                if self.leadership.flushing {
                    let mut world = self.clone();
                    world.leadership.flushing = false;
                    push(Sort::Sure, world.reactor_flush(broken));
                }
                if self.leadership.ticking {
                    let mut world = self.clone();
                    world.leadership.ticking = false;
                    push(Sort::Slow, world.reactor_flush(broken));
                }
            }
        }
    }

    fn steps(&self, broken: Broken) -> Vec<(Sort, Self)> {
        let mut next = Vec::new();
        (0..self.waiters.len()).for_each(|index| self.waiter_steps(index, broken, &mut next));
        self.reactor_steps(broken, &mut next);
        for index in 0..self.waiters.len() {
            if self.at_child & 1 << index != 0 {
                let mut world = self.clone();
                world.at_child &= !(1 << index);
                world.input |= 1 << index;
                next.push((Sort::Sure, world));
            }
        }
        if self.full {
            let mut world = self.clone();
            world.full = false;
            next.push((Sort::Sure, world));
        }
        next
    }

    fn check(&self) -> Result<(), &'static str> {
        let count = |is: fn(At) -> bool| self.waiters.iter().filter(|waiter| is(waiter.at)).count();
        let readers = count(|at| at == At::Read) + usize::from(self.reactor == Reactor::Read);
        let writers = count(|at| matches!(at, At::Write(..)))
            + usize::from(matches!(self.reactor, Reactor::Write(_)));
        let awake = count(|at| matches!(at, At::Look | At::Write(_, Then::Look | Then::Wait))) > 0
            || self
                .waiters
                .iter()
                .any(|waiter| waiter.at == At::Asleep && waiter.woken);
        let Leadership {
            reading,
            watches_read,
            watches_write,
            ticking,
            flushing,
            ..
        } = self.leadership;
        if readers > 1 || (readers == 1) != (reading != ReaderRole::Free) {
            return Err("there is one reader, or none");
        }
        if writers > 1 || (writers == 1) != self.leadership.writing {
            return Err("there is one writer, or none");
        }
        if self.outbox != 0
            && !(awake || writers > 0 || watches_write || flushing || self.leader_writes)
        {
            return Err("bytes will never be written");
        }
        if readers == 0 && !(awake || writers > 0 || watches_read || ticking) && self.started() {
            return Err("input will never be read");
        }
        let woken = |(index, waiter): (usize, &Waiter)| {
            waiter.at == At::Asleep && waiter.woken && self.done & 1 << index == 0
        };
        if self
            .waiters
            .iter()
            .enumerate()
            .filter(|waiter| woken(*waiter))
            .count()
            > 1
        {
            return Err("one successor is woken at a time");
        }
        if let Some(successor) = self.leadership.successor {
            let successor = self.waiters[successor as usize];
            if !(successor.at == At::Asleep && successor.woken) {
                return Err("the successor does not come");
            }
        }
        Ok(())
    }

    fn started(&self) -> bool {
        self.waiters
            .iter()
            .any(|waiter| !matches!(waiter.at, At::Start))
    }

    fn is_over(&self) -> bool {
        self.outbox == 0 && self.waiters.iter().all(|waiter| waiter.at == At::Over)
    }
}

/// Visits every state, and returns their number.
fn explore(start: World, broken: Broken) -> Result<usize, String> {
    let mut numbers = HashMap::from([(start.clone(), 0)]);
    let mut states = vec![start];
    let mut sure_from: Vec<Vec<usize>> = vec![Vec::new()];
    let mut at = 0;
    while at < states.len() {
        let state = states[at].clone();
        state
            .check()
            .map_err(|rule| format!("{rule}: {state:#?}"))?;
        for (sort, next) in state.steps(broken) {
            let number = *numbers.entry(next).or_insert_with_key(|next| {
                states.push(next.clone());
                sure_from.push(Vec::new());
                states.len() - 1
            });
            if sort == Sort::Sure {
                sure_from[number].push(at);
            }
        }
        at += 1;
    }
    // The states from which all can be over by sure steps alone.
    let mut ends = vec![false; states.len()];
    let mut todo: Vec<_> = (0..states.len())
        .filter(|at| states[*at].is_over())
        .collect();
    while let Some(at) = todo.pop() {
        if !std::mem::replace(&mut ends[at], true) {
            todo.extend(&sure_from[at]);
        }
    }
    match ends.iter().position(|ends| !ends) {
        Some(at) => Err(format!("a waiter waits for ever: {:#?}", states[at])),
        None => Ok(states.len()),
    }
}

const THREAD: Waiter = Waiter {
    at: At::Start,
    woken: false,
    task: false,
    hasty: false,
    careless: false,
};
const HASTY: Waiter = Waiter {
    hasty: true,
    ..THREAD
};
const TASK: Waiter = Waiter {
    task: true,
    ..THREAD
};

const CARELESS: Waiter = Waiter {
    careless: true,
    ..THREAD
};

#[test]
fn no_state_leaves_a_waiter_waiting() {
    let worlds: [(&[Waiter], u8); 10] = [
        (&[CARELESS, CARELESS], 2),
        (&[CARELESS, HASTY], 2),
        (&[CARELESS, TASK], 2),
        (&[THREAD], 2),
        (&[TASK], 2),
        (&[THREAD, THREAD], 2),
        (&[THREAD, HASTY], 2),
        (&[TASK, HASTY], 2),
        (&[TASK, TASK], 1),
        (&[THREAD, HASTY, TASK], 0),
    ];
    for (waiters, fills) in worlds {
        let count = explore(World::new(waiters, fills), Broken::Nothing);
        assert!(count.unwrap() > 10);
    }
}

#[test]
fn three_threads_all_get_their_answers() {
    explore(World::new(&[THREAD, THREAD, HASTY], 0), Broken::Nothing).unwrap();
}

#[test]
fn an_action_that_is_not_executed_is_found_out() {
    for broken in [
        Broken::Wake,
        Broken::WatchRead,
        Broken::WatchWrite,
        Broken::Flush,
        Broken::GiveUp,
        Broken::Answered,
    ] {
        let found = [[TASK, HASTY], [THREAD, HASTY], [CARELESS, CARELESS]]
            .into_iter()
            .any(|waiters| explore(World::new(&waiters, 1), broken).is_err());
        assert!(found, "{broken:?}");
    }
}
