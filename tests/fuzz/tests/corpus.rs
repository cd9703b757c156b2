//! Each target over its committed inputs, and over changes of them, which come in the same order in every run.
//!
//! `OFFSPRING_FUZZ_SECONDS` says for how long each target gets changed inputs.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use offspring_fuzz::{TARGETS, Target};

/// A generator that is the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        self.next() as usize % limit.max(1)
    }

    /// Bytes, among them those that mean something in a header.
    fn byte(&mut self) -> u8 {
        match self.below(3) {
            0 => [0, 1, 2, 0x7f, 0x80, 0xff, b'[', b'{', 0x81, 0xa1][self.below(10)],
            _ => self.next() as u8,
        }
    }
}

/// The committed inputs of a target, in the order of their names.
fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target.name);
    let entries =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn change(input: &mut Vec<u8>, others: &[Vec<u8>], random: &mut Random) {
    for _ in 0..1 + random.below(5) {
        let at = random.below(input.len() + 1);
        match random.below(7) {
            0 | 1 if at < input.len() => input[at] = random.byte(),
            2 if at < input.len() => input[at] ^= 1 << random.below(8),
            3 if at < input.len() => {
                drop(input.drain(at..(at + 1 + random.below(8)).min(input.len())))
            }
            4 => {
                let other = &others[random.below(others.len())];
                let from = random.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            5 => {
                let more: Vec<u8> = (0..random.below(40)).map(|_| random.byte()).collect();
                input.splice(at..at, more);
            }
            _ => input.insert(at, random.byte()),
        }
    }
    input.truncate(4096);
}

fn run(target: &Target, input: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target.run(input))) {
        let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
        eprintln!("the target {} with the input {hex}", target.name);
        resume_unwind(panic);
    }
}

/// Targets look at all descriptors of the process, so they run one after the other.
static PROCESS: Mutex<()> = Mutex::new(());

fn run_all(name: &str) {
    let _process = PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
    let target = &offspring_fuzz::target(name).unwrap();
    let inputs = corpus(target);
    for input in &inputs {
        run(target, input);
    }
    let set = std::env::var("OFFSPRING_FUZZ_SECONDS").ok();
    let time = Duration::from_secs(set.map_or(5, |text| text.parse().unwrap()));
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < time {
        let mut input = inputs[random.below(inputs.len())].clone();
        change(&mut input, &inputs, &mut random);
        run(target, &input);
        count += 1;
    }
    println!("{name}: {count} changed inputs");
}

macro_rules! targets {
    ($($test:ident: $name:literal)*) => {
        $(#[test]
        fn $test() {
            run_all($name);
        })*

        #[test]
        fn each_target_has_a_test() {
            let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(names, [$($name),*]);
        }
    };
}

targets! {
    caller: "caller"
    requests: "requests"
    hello: "hello"
    descriptors: "descriptors"
    ring: "ring"
    decode: "decode"
    round_trip: "round-trip"
}
