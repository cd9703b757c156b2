//! What a child may use of the machine.
//!
//! The limits travel in the parent's hello, and the child sets them itself, before anything of the worker's runs. So
//! they hold wherever the worker is, also behind `ssh`; nothing has to run between `fork` and `exec`; and a child that
//! cannot set one says so instead of working without. Only a child in the plain form, which has no hello, is limited
//! from outside, as soon as it runs.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::exit_status::ExitStatus;
use crate::sys::{self, Resource};

/// What the process of a child may use; for [`Builder::limits`](crate::Builder::limits).
///
/// What is not set stays as it is. A limit is kept by the system, and each ends in its own way: see the methods. No
/// limit can be raised above the hard limit that the process would have anyway.
///
/// ```
/// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
/// # fn main() -> Result<(), offspring::Error> {
/// # offspring::init();
/// use offspring::Limits;
/// use std::time::Duration;
///
/// let limits = Limits::new()
///     .memory(1 << 30)
///     .cpu_time(Duration::from_secs(60))
///     .open_files(64)
///     .core_size(0)
///     .nice(5);
/// let rpc = ECHO.builder().limits(limits).spawn()?;
/// assert_eq!(rpc.call("so").wait()?, "so");
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[must_use = "limits are for `Builder::limits`"]
pub struct Limits {
    memory: Option<u64>,
    cpu_seconds: Option<u64>,
    open_files: Option<u64>,
    file_size: Option<u64>,
    core_size: Option<u64>,
    nice: Option<i8>,
}

/// A limit that ends a child which goes over it; from [`Crash::over_limit`](crate::Crash::over_limit).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// [`Limits::memory`].
    Memory,
    /// [`Limits::cpu_time`].
    CpuTime,
    /// [`Limits::file_size`].
    FileSize,
}

impl Limits {
    /// No limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// The address space, in bytes: code, heap, stacks, and files and shared memory that are mapped
    /// (`RLIMIT_AS`). It is larger than the memory that is in use, often several times: a program of a few MB can have
    /// some 100 MB of it once it runs threads.
    ///
    /// Over it an allocation fails, which in Rust usually aborts the process, or a stack cannot grow: the child dies of
    /// `SIGABRT` or `SIGSEGV`, and the error says that its memory was limited.
    ///
    /// ```
    /// # fn fill(megabytes: String) {
    /// #     std::hint::black_box(vec![1_u8; megabytes.parse::<usize>().unwrap_or(0) << 20]);
    /// # }
    /// # offspring::worker!(FILL: fn(String) = fill);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// # use offspring::{Limit, Limits};
    /// let rpc = FILL.builder().limits(Limits::new().memory(256 << 20)).spawn()?;
    /// rpc.call("1").wait()?;
    /// let error = rpc.call("1000").wait().unwrap_err();
    /// assert_eq!(error.crash().unwrap().over_limit(), Some(Limit::Memory));
    /// # Ok(()) }
    /// ```
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// The CPU time that the child may use in its whole life, in all its threads, in whole seconds, rounded up, and at
    /// least one (`RLIMIT_CPU`). Time in which it waits does not count, nor does that of processes which it starts:
    /// each of them has as much for itself.
    ///
    /// Over it the child gets `SIGXCPU`, which ends it, and the error says so; a worker that handles that signal is
    /// killed a second of CPU time later. It is for work that runs wild; for how long one call may take there is
    /// [`Call::timeout`](crate::Call::timeout).
    pub fn cpu_time(mut self, time: Duration) -> Self {
        let begun = u64::from(time.subsec_nanos() > 0);
        self.cpu_seconds = Some(time.as_secs().saturating_add(begun).max(1));
        self
    }

    /// How many descriptors may be open, more exactly how low their numbers stay (`RLIMIT_NOFILE`). The child itself
    /// needs up to 16.
    ///
    /// Over it opening fails in the worker, with `EMFILE`, "Too many open files".
    pub fn open_files(mut self, count: u64) -> Self {
        self.open_files = Some(count);
        self
    }

    /// How long a file may become that the child writes, in bytes (`RLIMIT_FSIZE`).
    ///
    /// Over it the child gets `SIGXFSZ`, which ends it, and the error says so; in a worker that ignores that signal the
    /// write fails, with `EFBIG`, "File too large". [`SharedBytes`](crate::SharedBytes) and
    /// [`SharedMemory`](crate::SharedMemory) (with 4096 bytes that it needs itself) beyond the limit are an error of their
    /// constructor.
    pub fn file_size(mut self, bytes: u64) -> Self {
        self.file_size = Some(bytes);
        self
    }

    /// How long a core file may become, in bytes (`RLIMIT_CORE`); 0: none is written, if the system writes them to
    /// files at all.
    pub fn core_size(mut self, bytes: u64) -> Self {
        self.core_size = Some(bytes);
        self
    }

    /// Gives way to other processes where they want the same CPU: by so much more than this process does, up to 19 in
    /// all. Less than 0 is for those who may.
    pub fn nice(mut self, by: i8) -> Self {
        self.nice = Some(by);
        self
    }

    /// Those that the system sets as a resource of a process.
    fn resources(&mut self) -> [(&'static str, Resource, &mut Option<u64>); 5] {
        [
            ("memory", Resource::RLIMIT_AS, &mut self.memory),
            ("cpu", Resource::RLIMIT_CPU, &mut self.cpu_seconds),
            ("files", Resource::RLIMIT_NOFILE, &mut self.open_files),
            ("file-size", Resource::RLIMIT_FSIZE, &mut self.file_size),
            ("core", Resource::RLIMIT_CORE, &mut self.core_size),
        ]
    }

    /// The amounts that are set, with the names under which they travel.
    fn amounts(mut self) -> Vec<(&'static str, Resource, u64)> {
        let all = self.resources().into_iter();
        all.filter_map(|(name, resource, amount)| Some((name, resource, (*amount)?)))
            .collect()
    }

    /// As the hello has it: `memory=1000,nice=5`, say; empty without limits.
    pub(crate) fn to_text(self) -> String {
        let amounts = self.amounts().into_iter();
        let mut words: Vec<_> = amounts
            .map(|(name, _, amount)| format!("{name}={amount}"))
            .collect();
        words.extend(self.nice.map(|by| format!("nice={by}")));
        words.join(",")
    }

    /// Reads what a parent wants; a limit that is not known cannot be kept.
    fn parse(text: &str) -> Result<Self, String> {
        let mut limits = Self::default();
        for word in text.split(',').filter(|word| !word.is_empty()) {
            limits
                .take(word)
                .ok_or_else(|| format!("this worker does not know the limit `{word}`"))?;
        }
        Ok(limits)
    }

    fn take(&mut self, word: &str) -> Option<()> {
        let (name, amount) = word.split_once('=')?;
        if name == "nice" {
            self.nice = Some(amount.parse().ok()?);
            return Some(());
        }
        let mut all = self.resources().into_iter();
        let (.., place) = all.find(|(own, ..)| *own == name)?;
        *place = Some(amount.parse().ok()?);
        Some(())
    }

    /// Sets them for a process: for this one by the number 0, or for a child that was just started.
    pub(crate) fn set(self, process: u32) -> Result<(), String> {
        let describe = |name: &str, error: io::Error| format!("the limit `{name}`: {error}");
        for (name, resource, amount) in self.amounts() {
            sys::set_limit(process, resource, amount).map_err(|error| describe(name, error))?;
        }
        if let Some(by) = self.nice {
            sys::be_nicer(process, by).map_err(|error| describe("nice", error))?;
        }
        Ok(())
    }

    /// The limit that a child with this end has probably gone over. A shell, and much that runs commands, says 128 and
    /// the signal where what it ran was ended by one.
    pub(crate) fn exceeded(self, status: ExitStatus) -> Option<Limit> {
        let signal = match status {
            ExitStatus::Code(code) => code - 128,
            ExitStatus::Signal { number, .. } => number,
            ExitStatus::Unknown => return None,
        };
        match signal {
            libc::SIGXCPU => self.cpu_seconds.map(|_| Limit::CpuTime),
            libc::SIGABRT | libc::SIGSEGV => self.memory.map(|_| Limit::Memory),
            libc::SIGXFSZ => self.file_size.map(|_| Limit::FileSize),
            _ => None,
        }
    }

    /// Says which limit it was, and what to do, in words to be put behind how the child ended.
    pub(crate) fn explain(self, status: ExitStatus, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let amount = |amount: Option<u64>| amount.unwrap_or_default();
        match self.exceeded(status) {
            Some(Limit::CpuTime) => write!(
                f,
                "; its CPU time was limited to {} s in all (if the work needs more, raise `Limits::cpu_time`, or start a new child more often)",
                amount(self.cpu_seconds)
            ),
            Some(Limit::Memory) => write!(
                f,
                "; its memory was limited to {} bytes, and so ends an allocation or a stack that finds no more (if the work needs more, raise `Limits::memory`)",
                amount(self.memory)
            ),
            Some(Limit::FileSize) => write!(
                f,
                "; the files it writes were limited to {} bytes (if the work needs more, raise `Limits::file_size`)",
                amount(self.file_size)
            ),
            None if status.signal() == Some(libc::SIGKILL) && self.cpu_seconds.is_some() => write!(
                f,
                "; its CPU time was limited to {} s in all, and a child that handles SIGXCPU is killed a second later, but somebody else may have killed it",
                amount(self.cpu_seconds)
            ),
            None => Ok(()),
        }
    }
}

/// In a child: sets what the parent wants of this process.
pub(crate) fn obey(text: &str) -> Result<(), String> {
    Limits::parse(text)?.set(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Limits {
        Limits::new()
            .memory(u64::MAX)
            .cpu_time(Duration::from_millis(1))
            .open_files(7)
            .file_size(8)
            .core_size(0)
            .nice(-3)
    }

    #[test]
    fn limits_travel_as_text() {
        let text = "memory=18446744073709551615,cpu=1,files=7,file-size=8,core=0,nice=-3";
        assert_eq!(all().to_text(), text);
        assert_eq!(Limits::parse(text), Ok(all()));
        assert_eq!(Limits::new().to_text(), "");
        assert_eq!(Limits::parse(""), Ok(Limits::new()));
    }

    #[test]
    fn what_is_not_known_is_an_error() {
        for text in ["cows=3", "memory", "memory=x", "nice=200", "cpu=-1"] {
            let error = Limits::parse(text).unwrap_err();
            assert!(error.contains(text), "{error}");
        }
    }

    #[test]
    fn seconds_are_rounded_up() {
        let seconds = |time| Limits::new().cpu_time(time).cpu_seconds;
        assert_eq!(seconds(Duration::ZERO), Some(1));
        assert_eq!(seconds(Duration::from_secs(2)), Some(2));
        assert_eq!(seconds(Duration::from_millis(2001)), Some(3));
        assert_eq!(seconds(Duration::MAX), Some(u64::MAX));
    }

    #[test]
    fn an_end_points_at_a_limit_that_was_set() {
        let signal = |number| ExitStatus::Signal {
            number,
            core_dumped: false,
        };
        for (number, limit) in [
            (libc::SIGXCPU, Some(Limit::CpuTime)),
            (libc::SIGXFSZ, Some(Limit::FileSize)),
            (libc::SIGABRT, Some(Limit::Memory)),
            (libc::SIGTERM, None),
        ] {
            assert_eq!(all().exceeded(signal(number)), limit);
            assert_eq!(all().exceeded(ExitStatus::Code(128 + number)), limit);
            assert_eq!(Limits::new().exceeded(signal(number)), None);
        }
        assert_eq!(all().exceeded(ExitStatus::Code(0)), None);
        assert_eq!(all().exceeded(ExitStatus::Unknown), None);
    }
}
