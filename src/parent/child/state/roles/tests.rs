//! Every state that the rules can come into, with a few threads, a task, the
//! helper, a child that answers when it likes and a socket that is full when it
//! likes. The steps are the driver's: what it does with the lock held is one.
//!
//! What must hold: one reader and one writer at most; octets have somebody who
//! will write them; input has somebody who will read it; and from every state
//! all can still get their answers without the slow tick, without a time-out
//! and without waking for no reason.

use std::collections::HashMap;

use super::*;

/// A set of calls, one a waiter.
type Calls = u8;

/// What a waiter is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum At {
    /// To make its call.
    Start,
    /// To look for its answer, and to flush.
    Look,
    /// To send what it took from the outbox, and then to look again or not.
    Write(Calls, Then),
    Read,
    Asleep,
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Then {
    /// The call was made: let go of the lock.
    Release,
    /// What was read may have been the answer, or made room.
    Look,
    /// Nothing left to do but to wait, or to lead.
    Wait,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Waiter {
    at: At,
    /// It will not sleep, or not any more.
    woken: bool,
    task: bool,
    /// It may give up at any time.
    hasty: bool,
    /// It makes its call and goes.
    careless: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Helper {
    Idle,
    Read,
    Write(Calls),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    roles: Roles,
    waiters: Vec<Waiter>,
    helper: Helper,
    outbox: Calls,
    at_child: Calls,
    input: Calls,
    done: Calls,
    /// The leader watches for room.
    leader_writes: bool,
    full: bool,
    /// So often the socket may still become full.
    fills: u8,
}

/// An order of the rules that is not heeded, to see the exploration fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    Nothing,
    Wake,
    WatchRead,
    WatchWrite,
    Flush,
    /// Whoever gives up does not settle.
    GiveUp,
    /// Whoever has its answer does not settle.
    Answered,
}

/// The steps that nobody may rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Sure,
    Slow,
}

impl World {
    fn new(waiters: &[Waiter], fills: u8) -> Self {
        Self {
            roles: Roles::new(),
            waiters: waiters.to_vec(),
            helper: Helper::Idle,
            outbox: 0,
            at_child: 0,
            input: 0,
            done: 0,
            leader_writes: false,
            full: false,
            fills,
        }
    }

    fn settle(&mut self, broken: Broken) {
        let asleep = |waiter: &&Waiter| waiter.task && waiter.at == At::Asleep && !waiter.woken;
        let needs = Needs {
            readable: true,
            urgent: self.waiters.iter().any(|waiter| asleep(&waiter)),
            unwritten: self.outbox != 0 && !self.leader_writes,
        };
        let orders = self.roles.settle(needs);
        if let Some(heir) = orders.wake.filter(|_| broken != Broken::Wake) {
            self.waiters[heir as usize].woken = true;
        }
        // What the helper does follows from the roles: a lost order is undone.
        match broken {
            Broken::WatchRead if orders.watch_read == Some(true) => self.roles.watches_read = false,
            Broken::WatchWrite if orders.watch_write.is_some() => self.roles.watches_write = false,
            Broken::Flush if orders.flush => self.roles.flushing = false,
            _ => {}
        }
    }

    /// Takes the outbox to write it, if that is free and there is something.
    fn take_outbox(&mut self) -> Option<Calls> {
        (self.outbox != 0 && self.roles.write()).then(|| std::mem::take(&mut self.outbox))
    }

    /// The system call of a writer, and its return under the lock: the writer
    /// goes on with what came meanwhile, or is done.
    fn wrote(mut self, batch: Calls) -> Vec<(Self, Option<Calls>)> {
        let mut results = Vec::new();
        if self.fills > 0 || self.full {
            let mut blocked = self.clone();
            blocked.fills -= u8::from(!self.full);
            blocked.full = true;
            blocked.outbox |= batch;
            blocked.roles.wrote(true);
            assert_eq!(blocked.take_outbox(), None, "a full socket is tried again");
            results.push((blocked, None));
        }
        if !self.full {
            self.at_child |= batch;
            let again = self.roles.wrote(false);
            let more = if again { self.take_outbox() } else { None };
            results.push((self, more));
        }
        results
    }

    /// What was read reaches those who wait.
    fn absorb(&mut self) {
        self.done |= std::mem::take(&mut self.input);
        self.stop_reading();
        for (index, waiter) in self.waiters.iter_mut().enumerate() {
            waiter.woken |= waiter.at == At::Asleep && self.done & 1 << index != 0;
        }
    }

    fn stop_reading(&mut self) {
        self.leader_writes = false;
        self.roles.leave();
    }

    fn go(mut self, index: usize, at: At) -> Self {
        self.waiters[index].at = at;
        self
    }

    /// A waiter looks for its answer; else flushes; else leads or sleeps.
    fn look(mut self, index: usize, flushed: bool, broken: Broken) -> Self {
        if self.done & 1 << index != 0 {
            if broken != Broken::Answered {
                self.settle(broken);
            }
            return self.go(index, At::Over);
        }
        if !flushed && let Some(batch) = self.take_outbox() {
            return self.go(index, At::Write(batch, Then::Wait));
        }
        if !self.waiters[index].task && self.roles.lead() {
            self.leader_writes = self.roles.is_blocked() && self.outbox != 0;
            self.settle(broken);
            return self.go(index, At::Read);
        }
        if !self.waiters[index].task {
            self.roles.park(index as Ticket);
        }
        self = self.go(index, At::Asleep);
        self.settle(broken);
        self
    }

    fn then(mut self, index: usize, then: Then, broken: Broken) -> Self {
        match then {
            Then::Release => {
                self.settle(broken);
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
            self.settle(broken);
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
                    world.roles.unblock();
                }
                world.absorb();
                sure(world.flush(index, Then::Look, broken));
            }
            At::Asleep if waiter.woken => {
                let mut world = self.clone();
                world.waiters[index].woken = false;
                world.roles.unpark(index as Ticket);
                sure(world.go(index, At::Look));
            }
            _ => {}
        }
        // Time-outs, and waking for no reason.
        let mut slow = |world| next.push((Sort::Slow, world));
        if waiter.at == At::Read && waiter.hasty {
            let mut world = self.clone();
            world.stop_reading();
            slow(world.give_up(index, broken));
        }
        if waiter.at == At::Asleep && !waiter.task {
            let mut world = self.clone();
            world.waiters[index].woken = false;
            world.roles.unpark(index as Ticket);
            slow(world.clone().go(index, At::Look));
            if waiter.hasty {
                slow(world.give_up(index, broken));
            }
        }
    }

    fn helper_flush(mut self, broken: Broken) -> Self {
        match self.take_outbox() {
            Some(batch) => self.helper = Helper::Write(batch),
            None => {
                self.helper = Helper::Idle;
                self.settle(broken);
            }
        }
        self
    }

    fn helper_steps(&self, broken: Broken, next: &mut Vec<(Sort, Self)>) {
        let mut push = |sort, world| next.push((sort, world));
        match self.helper {
            Helper::Read => {
                let mut world = self.clone();
                world.absorb();
                push(Sort::Sure, world.helper_flush(broken));
            }
            Helper::Write(batch) => {
                for (mut world, more) in self.clone().wrote(batch) {
                    world.helper = more.map_or(Helper::Idle, Helper::Write);
                    if more.is_none() {
                        world.settle(broken);
                    }
                    push(Sort::Sure, world);
                }
            }
            Helper::Idle => {
                if self.roles.watches_read && self.input != 0 {
                    let mut world = self.clone();
                    if world.roles.help() {
                        world.helper = Helper::Read;
                    } else {
                        world.settle(broken);
                    }
                    push(Sort::Sure, world);
                }
                if self.roles.watches_write && !self.full {
                    let mut world = self.clone();
                    world.roles.unblock();
                    push(Sort::Sure, world.helper_flush(broken));
                }
                if self.roles.flushing {
                    let mut world = self.clone();
                    world.roles.flushed();
                    push(Sort::Sure, world.helper_flush(broken));
                }
                if self.roles.ticking {
                    let mut world = self.clone();
                    world.roles.looked();
                    push(Sort::Slow, world.helper_flush(broken));
                }
            }
        }
    }

    fn steps(&self, broken: Broken) -> Vec<(Sort, Self)> {
        let mut next = Vec::new();
        (0..self.waiters.len()).for_each(|index| self.waiter_steps(index, broken, &mut next));
        self.helper_steps(broken, &mut next);
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
        let readers = count(|at| at == At::Read) + usize::from(self.helper == Helper::Read);
        let writers = count(|at| matches!(at, At::Write(..)))
            + usize::from(matches!(self.helper, Helper::Write(_)));
        let awake = count(|at| matches!(at, At::Look | At::Write(_, Then::Look | Then::Wait))) > 0
            || self
                .waiters
                .iter()
                .any(|waiter| waiter.at == At::Asleep && waiter.woken);
        let Roles {
            reading,
            watches_read,
            watches_write,
            ticking,
            flushing,
            ..
        } = self.roles;
        if readers > 1 || (readers == 1) != (reading != Reading::Nobody) {
            return Err("there is one reader, or none");
        }
        if writers > 1 || (writers == 1) != self.roles.writing {
            return Err("there is one writer, or none");
        }
        if self.outbox != 0
            && !(awake || writers > 0 || watches_write || flushing || self.leader_writes)
        {
            return Err("octets will never be written");
        }
        if readers == 0 && !(awake || writers > 0 || watches_read || ticking) && self.started() {
            return Err("input will never be read");
        }
        let summoned = |(index, waiter): (usize, &Waiter)| {
            waiter.at == At::Asleep && waiter.woken && self.done & 1 << index == 0
        };
        if self
            .waiters
            .iter()
            .enumerate()
            .filter(|waiter| summoned(*waiter))
            .count()
            > 1
        {
            return Err("one heir is woken at a time");
        }
        if let Some(heir) = self.roles.heir {
            let heir = self.waiters[heir as usize];
            if !(heir.at == At::Asleep && heir.woken) {
                return Err("the heir does not come");
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

/// Visits every state; gives their number.
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
    // From where can all be over, by sure steps alone?
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
        Some(at) => Err(format!("somebody waits for ever: {:#?}", states[at])),
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
fn no_state_leaves_anybody_waiting() {
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
fn three_threads_leave_nobody_waiting() {
    explore(World::new(&[THREAD, THREAD, HASTY], 0), Broken::Nothing).unwrap();
}

#[test]
fn an_order_that_is_not_heeded_is_found_out() {
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
