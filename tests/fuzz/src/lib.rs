//! The targets of the fuzzer, and the rules that hold for any input. `run` starts it, `tests/corpus.rs` repeats what was found.
//!
//! The modules of the crate that see bytes of another process are private, so they are compiled anew here, from the same
//! files. Nothing in them knows of it.

#[allow(dead_code, unused_imports, reason = "a part of it is fuzzed")]
#[path = "../../../src/base/mod.rs"]
mod base;
#[allow(dead_code, unused_imports, reason = "a part of it is fuzzed")]
#[path = "../../../src/exit_status.rs"]
mod exit_status;
#[allow(dead_code, unused_imports, reason = "a part of it is fuzzed")]
#[path = "../../../src/protocol/mod.rs"]
mod protocol;
#[allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "a part of it is fuzzed"
)]
#[path = "../../../src/sys/mod.rs"]
mod sys;

/// Files whose modules lie in a folder beside them.
#[path = "../../../src"]
mod beside {
    #[allow(dead_code, reason = "a part of it is fuzzed")]
    pub(crate) mod memory;
    mod memory_serde;
}
use beside::memory;

mod startup {
    /// A process that is no worker keeps no memory that it has no handle of.
    pub(crate) fn is_worker() -> bool {
        false
    }
}

mod allocator;
mod caller;
mod decode;
mod descriptors;
mod hello;
mod requests;
mod ring;
mod round_trip;
mod token;
mod types;

/// A name, and what is done with an input.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    pub name: &'static str,
    body: fn(&[u8]),
    /// How many bytes may be allocated at once for each byte of the input, beyond [`BASE`].
    factor: usize,
}

/// How many bytes a target may have allocated at once, whatever the input is: a reader makes room for 64 KiB, and a
/// mebibyte ahead of a long frame.
const BASE: usize = 4 << 20;

pub const TARGETS: &[Target] = &[
    Target {
        name: "caller",
        body: caller::run,
        factor: 64,
    },
    Target {
        name: "requests",
        body: requests::run,
        factor: 64,
    },
    Target {
        name: "hello",
        body: hello::run,
        factor: 64,
    },
    Target {
        name: "descriptors",
        body: descriptors::run,
        factor: 256,
    },
    Target {
        name: "ring",
        body: ring::run,
        factor: 64,
    },
    Target {
        name: "decode",
        body: decode::run,
        factor: 1024,
    },
    Target {
        name: "round-trip",
        body: round_trip::run,
        factor: 1024,
    },
];

/// Returns the target of this name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().copied().find(|target| target.name == name)
}

impl Target {
    /// Runs it once.
    ///
    /// # Panics
    /// Something did not hold, or too much memory was allocated.
    pub fn run(&self, data: &[u8]) {
        let most = BASE + self.factor * data.len();
        let peak = allocator::peak_of(|| (self.body)(data));
        assert!(
            peak <= most,
            "{peak} bytes were allocated at once for an input of {}, at most {most} may be",
            data.len()
        );
    }
}
