//! Many children, starts, threads, calls, bytes.

use std::sync::Arc;
use std::thread;

use offspring::{Call, SharedMemory};

use crate::accounts::Accounts;
use crate::jobs::{Answer, COUNT, Child, Job, MANY, Start, TURN, TURN_SHARED, turn};
use crate::meter::{Meter, in_each_kind};
use crate::support::*;

const KINDS: &[&str] = &["exec", "template"];

/// A thousand children run at once, and each answers ten calls.
pub(crate) fn children_at_once() {
    in_each_kind(&children_at_once, KINDS, |kind| {
        let count = rounds(20) as usize;
        let mut meter = Meter::start(&format!("{count} children at once"), kind);
        let start = Start::new(kind);
        let children: Vec<_> = (0..count).map(|_| start.children().begin()).collect();
        for child in &children {
            child.ready().wait().unwrap();
        }
        let mut expected: Vec<_> = children.iter().map(|child| child.pid().unwrap()).collect();
        expected.extend(start.template());
        let mut alive = self::children();
        expected.sort_unstable();
        alive.sort_unstable();
        assert_eq!(alive, expected);
        let accounts = Accounts::new(10 * count);
        let numbers = 0..10 * count;
        let calls: Vec<_> = numbers
            .map(|number| children[number % count].call(Job::Number(number as u64)))
            .collect();
        for (number, call) in calls.into_iter().enumerate() {
            accounts.take(number, call.wait());
        }
        assert_eq!(accounts.check(), count);
        expected.retain(|pid| Some(*pid) != start.template());
        meter.look_at(&expected);
        let ends: Vec<_> = children.into_iter().map(|child| child.join()).collect();
        for end in ends {
            assert!(end.wait().unwrap().success());
        }
        drop(start);
        meter.finish(count);
    });
}

/// Ten thousand children, one after the other: started, called once, and waited for.
pub(crate) fn starts_and_ends() {
    in_each_kind(&starts_and_ends, KINDS, |kind| {
        let count = rounds(200) as usize;
        let mut meter = Meter::start(&format!("{count} starts and ends"), kind);
        let start = Start::new(kind);
        for number in 0..count {
            // A process id is used again some time later, so each child has separate accounts.
            let accounts = Accounts::new(1);
            let child = start.children().begin();
            let answer = child.call(Job::Number(0)).wait();
            accounts.take(0, answer);
            assert_eq!(accounts.check(), 1);
            if number == count / 2 {
                meter.look_at(&[child.pid().unwrap()]);
            }
            assert!(child.join().wait().unwrap().success());
        }
        drop(start);
        meter.finish(count);
    });
}

/// 64 threads call 64 children: each thread all of them, from another one on.
pub(crate) fn threads_and_children() {
    in_each_kind(&threads_and_children, KINDS, |kind| {
        let (count, calls) = (rounds(2).min(64) as usize, rounds(200) as usize);
        let name = format!("{count} threads, {count} children, {calls} calls of each thread");
        let mut meter = Meter::start(&name, kind);
        let start = Start::new(kind);
        let children: Vec<_> = (0..count).map(|_| start.children().begin()).collect();
        let accounts = Accounts::new(count * calls);
        thread::scope(|scope| {
            for first in 0..count {
                let (children, accounts) = (&children, &accounts);
                scope.spawn(move || {
                    for number in first * calls..(first + 1) * calls {
                        let child = &children[(first + number) % count];
                        let call = child.call(Job::Number(number as u64));
                        accounts.take(number, call.wait());
                    }
                });
            }
        });
        assert_eq!(accounts.check(), count);
        let pids: Vec<_> = children.iter().map(|child| child.pid().unwrap()).collect();
        meter.look_at(&pids);
        for child in children {
            assert!(child.join().wait().unwrap().success());
        }
        drop(start);
        meter.finish(count * calls);
    });
}

/// A million calls are in flight before the first is answered. Every other one is waited for, and the rest have callbacks.
pub(crate) fn calls_in_flight() {
    let kinds = ["blocking", "blocking, all are sent", "concurrent, all run"];
    in_each_kind(&calls_in_flight, &kinds, |kind| {
        let count = rounds(20_000) as usize;
        let mut meter = Meter::start(&format!("{count} calls in flight"), kind);
        let accounts = Arc::new(Accounts::new(count));
        let runs_all = kind.starts_with("concurrent");
        let builder = if runs_all {
            MANY.builder()
        } else {
            COUNT.builder()
        };
        let child = builder
            .when(kind != "blocking", |builder| {
                builder.max_outstanding(usize::MAX, usize::MAX)
            })
            .begin();
        let gate = Gate::new();
        let held = (!runs_all).then(|| (child.call(Job::Gate(gate.name())), gate.reached()));
        let calls = made(&child, &accounts);
        meter.look_at(&[child.pid().unwrap()]);
        let last = child.call(Job::Open);
        if let Some((held, reached)) = held {
            drop(reached);
            accounts.take_run(held.wait().unwrap());
        }
        for (index, call) in calls.into_iter().enumerate() {
            accounts.take(2 * index, call.wait());
        }
        let last = last.wait().unwrap();
        // All calls before it had begun.
        assert!(!runs_all || last.value == count as u64, "{last:?}");
        accounts.take_run(last);
        assert!(child.join().wait().unwrap().success());
        // The last callback returns before the child is gone, but what it owns is dropped later.
        until(|| Arc::strong_count(&accounts) == 1);
        assert_eq!(Arc::into_inner(accounts).unwrap().check(), 1);
        meter.finish(count);
    });
}

/// Makes a call for each entry of the accounts, and returns those without a callback.
fn made(child: &Child, accounts: &Arc<Accounts>) -> Vec<Call<Answer>> {
    let mut calls = Vec::new();
    for number in 0..accounts.len() {
        let call = child.call(Job::Number(number as u64));
        if number % 2 == 0 {
            calls.push(call);
        } else {
            let accounts = Arc::clone(accounts);
            call.on_done(move |outcome| accounts.take(number, outcome));
        }
    }
    calls
}

/// A mebibyte of random bytes.
struct Piece(Vec<u8>);

impl Piece {
    fn new() -> Self {
        let mut random = Random::new();
        let words = (0..1 << 17).flat_map(|_| random.next().to_le_bytes());
        Self(words.collect())
    }

    /// Returns the bytes with this number in front.
    fn numbered(&mut self, number: usize) -> &[u8] {
        self.0[..8].copy_from_slice(&number.to_le_bytes());
        &self.0
    }
}

/// A gigabyte, which the child changes and returns.
pub(crate) fn bytes_there_and_back() {
    let kinds = ["calls of 1 MiB", "one call", "shared memory"];
    in_each_kind(&bytes_there_and_back, &kinds, |kind| {
        let mib = rounds(21).min(1024) as usize;
        let mut meter = Meter::start(&format!("{mib} MiB there and back"), kind);
        match kind {
            "calls of 1 MiB" => in_pieces(mib, &mut meter),
            "one call" => in_one_call(mib, &mut meter),
            _ => in_shared_memory(mib, &mut meter),
        }
        meter.finish(mib);
    });
}

fn in_pieces(mib: usize, meter: &mut Meter) {
    let (mut piece, child) = (Piece::new(), TURN.spawn().unwrap());
    let mut sent = Piece(piece.0.clone());
    let calls = child.map((0..mib).map(|number| sent.numbered(number).to_vec()));
    let mut count = 0;
    for (number, answer) in calls.into_iter().enumerate() {
        assert!(turn(answer.unwrap()) == piece.numbered(number), "{number}");
        count += 1;
    }
    assert_eq!(count, mib);
    meter.look_at(&[child.pid().unwrap()]);
    assert!(child.join().wait().unwrap().success());
}

fn in_one_call(mib: usize, meter: &mut Meter) {
    let builder = TURN.builder().max_message(u32::MAX);
    let (mut piece, child) = (Piece::new(), builder.begin());
    let mut bytes = Vec::with_capacity(mib << 20);
    for number in 0..mib {
        bytes.extend_from_slice(piece.numbered(number));
    }
    let answer = turn(child.call(bytes).wait().unwrap());
    meter.look_at(&[child.pid().unwrap()]);
    assert_eq!(answer.len(), mib << 20);
    for (number, part) in answer.chunks(1 << 20).enumerate() {
        assert!(part == piece.numbered(number), "{number}");
    }
    assert!(child.join().wait().unwrap().success());
}

fn in_shared_memory(mib: usize, meter: &mut Meter) {
    let (mut piece, child) = (Piece::new(), TURN_SHARED.spawn().unwrap());
    let memory = SharedMemory::new(mib << 20).unwrap();
    for number in 0..mib {
        memory.write(number << 20, piece.numbered(number));
    }
    let memory = child.call(memory).wait().unwrap();
    meter.look_at(&[child.pid().unwrap()]);
    let mut part = vec![0; 1 << 20];
    for number in 0..mib {
        memory.read(number << 20, &mut part);
        part = turn(part);
        assert!(part == piece.numbered(number), "{number}");
    }
    assert!(child.join().wait().unwrap().success());
}

/// A pool of 200 children is called by 16 threads.
pub(crate) fn pools() {
    in_each_kind(&pools, KINDS, |kind| {
        let (size, count) = (rounds(4) as usize, rounds(2000) as usize);
        let mut meter = Meter::start(&format!("a pool of {size}, {count} calls"), kind);
        let start = Start::new(kind);
        let pool = start.children().pool().max(size).idle(size).begin();
        until(|| pool.status().idle == size);
        let accounts = Accounts::new(count);
        let threads = 16;
        thread::scope(|scope| {
            for first in 0..threads {
                let (pool, accounts) = (&pool, &accounts);
                scope.spawn(move || {
                    let own = || (first..count).step_by(threads);
                    let jobs = own().map(|number| Job::Number(number as u64));
                    // As many as its part of the children takes.
                    let answers = pool.map(jobs).window(2 * size.div_ceil(threads));
                    for (number, outcome) in own().zip(answers) {
                        accounts.take(number, outcome);
                    }
                });
            }
        });
        let lives = accounts.check();
        assert!(lives <= size, "{lives} children");
        let mut pids = children();
        pids.retain(|pid| Some(*pid) != start.template());
        assert_eq!(pids.len(), size);
        meter.look_at(&pids);
        let status = pool.status();
        assert_eq!((status.started, status.failed), (size as u64, 0));
        pool.join().wait().unwrap();
        drop(start);
        meter.finish(count);
    });
}
