//! Two children, each called by its thread, for functions of different lengths: whether spinning takes the CPU
//! from those who need it.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use offspring::{Builder, Octets, worker};

use super::Row;

/// Uses this many microseconds of CPU.
fn work(microseconds: Vec<u8>) -> Vec<u8> {
    let wanted = u32::from_le_bytes(microseconds.try_into().expect("four bytes"));
    let wanted = Duration::from_micros(wanted.into());
    let start = used();
    while !wanted.is_zero() && used() - start < wanted {
        std::hint::spin_loop();
    }
    Vec::new()
}

/// The CPU time of this thread.
fn used() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
    time.expect("every system has it").into()
}

async fn work_later(microseconds: Vec<u8>) -> Vec<u8> {
    work(microseconds)
}

worker!(BLOCKING: fn(Vec<u8>) -> Vec<u8> = work);
worker!(CONCURRENT: fn(Vec<u8>) -> Vec<u8> = work_later);

type Children = Builder<fn(Vec<u8>) -> Vec<u8>, Octets>;

/// The same with spinning off and on.
pub struct Pair {
    pub name: String,
    pub off: Row,
    pub on: Row,
}

fn two(children: fn() -> Children, spin: bool, microseconds: u32) -> Row {
    Row::new("", move || {
        let both = [(); 2].map(|()| children().spin(spin).spawn().expect("a child"));
        move |times| {
            let call = |at: u64| {
                let bytes = microseconds.to_le_bytes();
                let answer = both[at as usize].call(&bytes[..]).wait();
                assert!(answer.expect("an answer").is_empty());
            };
            super::in_threads(2, times, call)
        }
    })
}

/// All of them.
pub fn pairs() -> Vec<Pair> {
    type Kind = (&'static str, fn() -> Children);
    let kinds: [Kind; 2] = [
        ("blocking", || BLOCKING.builder()),
        ("concurrent", || CONCURRENT.builder()),
    ];
    let mut pairs = Vec::new();
    for (kind, children) in kinds {
        for microseconds in [0, 5, 20, 50, 200, 2000] {
            pairs.push(Pair {
                name: format!("{kind}, {microseconds} µs"),
                off: two(children, false, microseconds),
                on: two(children, true, microseconds),
            });
        }
    }
    pairs
}
