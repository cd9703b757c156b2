//! The marks that children leave in a file. They say which jobs ran, whichever process died.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use nix::time::{ClockId, clock_gettime};

/// Returns the nanoseconds of the clock that all processes share.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap();
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// A job starts.
    Began,
    /// A job ends. `detail`: how many events its child had sent.
    Ended,
    /// A job ends its child, or has something that will: then `at` is the time of that. `detail`: the signal, or 1000 and the
    /// exit code.
    Dying,
    /// A job closed all descriptors of its child.
    Closing,
    /// A job started a process that holds the link. `detail`: its id.
    Grandchild,
    /// A job started a child of its child.
    Inner,
    /// A child of its child has answered a job.
    Nested,
}

const WHATS: [What; 7] = [
    What::Began,
    What::Ended,
    What::Dying,
    What::Closing,
    What::Grandchild,
    What::Inner,
    What::Nested,
];

/// One record of the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    pub(crate) what: What,
    pub(crate) pid: u32,
    /// Tells the children apart that had one process id.
    pub(crate) life: u64,
    pub(crate) job: u32,
    pub(crate) detail: u32,
    pub(crate) at: u64,
}

const LENGTH: usize = 32;

impl Mark {
    fn bytes(&self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[0] = self.what as u8;
        bytes[4..8].copy_from_slice(&self.pid.to_ne_bytes());
        bytes[8..16].copy_from_slice(&self.life.to_ne_bytes());
        bytes[16..20].copy_from_slice(&self.job.to_ne_bytes());
        bytes[20..24].copy_from_slice(&self.detail.to_ne_bytes());
        bytes[24..32].copy_from_slice(&self.at.to_ne_bytes());
        bytes
    }

    fn of(bytes: &[u8; LENGTH]) -> Self {
        let four = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
        let eight = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
        Self {
            what: WHATS[usize::from(bytes[0])],
            pid: four(4),
            life: eight(8),
            job: four(16),
            detail: four(20),
            at: eight(24),
        }
    }

    /// Appends the mark with one write, so that it stands whole among those of other processes.
    pub(crate) fn leave(&self, file: &File) -> io::Result<()> {
        (&mut &*file).write_all(&self.bytes())
    }
}

/// Returns all marks, in the order in which they were made.
pub(crate) fn read(path: &Path) -> Vec<Mark> {
    let mut bytes = Vec::new();
    let mut file = crate::patiently(|| File::open(path));
    file.read_to_end(&mut bytes).unwrap();
    let (marks, rest) = bytes.as_chunks::<LENGTH>();
    assert!(rest.is_empty(), "a mark is not whole");
    marks.iter().map(Mark::of).collect()
}
