//! Resource limits of a child.
//!
//! The limits are sent in the parent's hello, and the child sets them itself, before any code of the worker runs. So they
//! hold wherever the worker runs, also behind `ssh`, nothing has to run between `fork` and `exec`, and a child that
//! cannot set a limit refuses to serve. A child in the plain form has no hello: the parent sets its limits as soon as it
//! runs.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::exit_status::ExitStatus;
use crate::sys::{self, Resource};

/// Resource limits of a child's process; for [`Builder::limits`](crate::Builder::limits).
///
/// Default: those that the process inherits. The kernel enforces each limit in another way: see the methods. No limit can
/// be raised above the inherited hard limit.
///
/// There is no limit of the number of processes: `RLIMIT_NPROC` counts all processes of the user, and so also those that are
/// no children. A cgroup (`pids.max`) counts those of a child alone.
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

/// A limit that ends a child which exceeds it; from [`Crash::over_limit`](crate::Crash::over_limit).
///
/// ```
/// use offspring::{Error, Limit};
///
/// fn needs_more_memory(error: &Error) -> bool {
///     error.crash().and_then(|crash| crash.over_limit()) == Some(Limit::Memory)
/// }
/// ```
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
    /// Creates limits that change nothing.
    ///
    /// ```
    /// assert_eq!(offspring::Limits::new(), offspring::Limits::default());
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Maximum address space, in bytes (`RLIMIT_AS`): code, heap, stacks, mapped files and shared memory. It is often several
    /// times the memory in use: a program of a few MB can have some 100 MB of it once it runs threads.
    ///
    /// Beyond it an allocation fails, which in Rust usually aborts the process (`SIGABRT`), or a stack cannot grow
    /// (`SIGSEGV`, which more often comes from a bad pointer). The error says that its memory was limited.
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

    /// Maximum CPU time of all threads of the child over its whole life, in seconds, rounded up, minimum 1 (`RLIMIT_CPU`).
    /// Time in which the child waits does not count. Processes that it starts have the same limit each.
    ///
    /// Beyond it the child gets `SIGXCPU`, which ends it, and the error says so. A worker that handles that signal is
    /// killed a second of CPU time later. The limit is for code that may not end. For the time of a single call use
    /// [`Call::timeout`](crate::Call::timeout).
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// use offspring::Limits;
    /// use std::time::Duration;
    ///
    /// let limits = Limits::new().cpu_time(Duration::from_secs(60));
    /// assert_eq!(ECHO.builder().limits(limits).spawn()?.call("so").wait()?, "so");
    /// # Ok(()) }
    /// ```
    pub fn cpu_time(mut self, time: Duration) -> Self {
        let begun = u64::from(time.subsec_nanos() > 0);
        self.cpu_seconds = Some(time.as_secs().saturating_add(begun).max(1));
        self
    }

    /// Upper bound of file descriptor numbers, and so of the number of open descriptors (`RLIMIT_NOFILE`). The crate needs
    /// up to 16 of them in a child.
    ///
    /// Beyond it opening a file fails in the worker, with `EMFILE`, "Too many open files".
    ///
    /// ```
    /// # fn open(_: String) -> String {
    /// #     let files: Result<Vec<_>, _> = (0..100).map(|_| std::fs::File::open("/dev/null")).collect();
    /// #     files.map_or_else(|error| error.to_string(), |_| "opened".into())
    /// # }
    /// # offspring::worker!(OPEN: fn(String) -> String = open);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = OPEN.builder().limits(offspring::Limits::new().open_files(64)).spawn()?;
    /// assert!(rpc.call("100").wait()?.starts_with("Too many open files"));
    /// # Ok(()) }
    /// ```
    pub fn open_files(mut self, count: u64) -> Self {
        self.open_files = Some(count);
        self
    }

    /// Maximum size of a file that the child writes, in bytes (`RLIMIT_FSIZE`).
    ///
    /// Beyond it the child gets `SIGXFSZ`, which ends it, and the error says so. In a worker that ignores that signal the
    /// write fails, with `EFBIG`, "File too large". The constructors of [`SharedBytes`](crate::SharedBytes) and
    /// [`SharedMemory`](crate::SharedMemory), which adds 4096 bytes, fail beyond the limit.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let limits = offspring::Limits::new().file_size(1 << 30);
    /// assert_eq!(ECHO.builder().limits(limits).spawn()?.call("so").wait()?, "so");
    /// # Ok(()) }
    /// ```
    pub fn file_size(mut self, bytes: u64) -> Self {
        self.file_size = Some(bytes);
        self
    }

    /// Maximum size of a core file, in bytes (`RLIMIT_CORE`). With 0 none is written. It has no effect where the system pipes
    /// core dumps to a program.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let limits = offspring::Limits::new().core_size(0);
    /// assert_eq!(ECHO.builder().limits(limits).spawn()?.call("so").wait()?, "so");
    /// # Ok(()) }
    /// ```
    pub fn core_size(mut self, bytes: u64) -> Self {
        self.core_size = Some(bytes);
        self
    }

    /// Adds `by` to the nice value that the child inherits, as `nice(2)`. The maximum is 19, the lowest priority. A negative
    /// `by` needs `CAP_SYS_NICE` or `RLIMIT_NICE`.
    ///
    /// ```
    /// # offspring::worker!(ECHO: fn(String) -> String = |text: String| text);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let limits = offspring::Limits::new().nice(5);
    /// assert_eq!(ECHO.builder().limits(limits).spawn()?.call("so").wait()?, "so");
    /// # Ok(()) }
    /// ```
    pub fn nice(mut self, by: i8) -> Self {
        self.nice = Some(by);
        self
    }

    /// Returns those that are set by `setrlimit`, with their names in hello.
    fn resources(&mut self) -> [(&'static str, Resource, &mut Option<u64>); 5] {
        [
            ("memory", Resource::RLIMIT_AS, &mut self.memory),
            ("cpu", Resource::RLIMIT_CPU, &mut self.cpu_seconds),
            ("files", Resource::RLIMIT_NOFILE, &mut self.open_files),
            ("file-size", Resource::RLIMIT_FSIZE, &mut self.file_size),
            ("core", Resource::RLIMIT_CORE, &mut self.core_size),
        ]
    }

    /// Returns the limits that are set, with their names in hello.
    fn amounts(mut self) -> Vec<(&'static str, Resource, u64)> {
        let all = self.resources().into_iter();
        all.filter_map(|(name, resource, amount)| Some((name, resource, (*amount)?)))
            .collect()
    }

    /// Returns the field of hello, such as `memory=1000,nice=5`. Empty without limits.
    pub(crate) fn to_text(self) -> String {
        let amounts = self.amounts().into_iter();
        let mut words: Vec<_> = amounts
            .map(|(name, _, amount)| format!("{name}={amount}"))
            .collect();
        words.extend(self.nice.map(|by| format!("nice={by}")));
        words.join(",")
    }

    /// Parses the field of hello. An unknown limit is an error.
    fn parse(text: &str) -> Result<Self, String> {
        let mut limits = Self::default();
        for word in text.split(',').filter(|word| !word.is_empty()) {
            limits
                .parse_word(word)
                .ok_or_else(|| format!("this worker does not know the limit `{word}`"))?;
        }
        Ok(limits)
    }

    fn parse_word(&mut self, word: &str) -> Option<()> {
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

    /// Sets the limits of `process`; 0 is this process.
    pub(crate) fn set(self, process: u32) -> Result<(), String> {
        let describe = |name: &str, error: io::Error| format!("the limit `{name}`: {error}");
        for (name, resource, amount) in self.amounts() {
            sys::set_limit(process, resource, amount).map_err(|error| describe(name, error))?;
        }
        if let Some(by) = self.nice {
            sys::add_nice(process, by).map_err(|error| describe("nice", error))?;
        }
        Ok(())
    }

    /// Returns the limit that a child of this exit status has probably exceeded. A `SIGSEGV` is no sign of a limit, because
    /// most come from a bad pointer.
    pub(crate) fn exceeded(self, status: ExitStatus) -> Option<Limit> {
        match signal(status)? {
            libc::SIGXCPU => self.cpu_seconds.map(|_| Limit::CpuTime),
            libc::SIGABRT => self.memory.map(|_| Limit::Memory),
            libc::SIGXFSZ => self.file_size.map(|_| Limit::FileSize),
            _ => None,
        }
    }

    /// Writes which limit it was, and what to do, to follow the exit status.
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
                "; its memory was limited to {} bytes, and a failed allocation ends a process like this (if the work needs more, raise `Limits::memory`)",
                amount(self.memory)
            ),
            Some(Limit::FileSize) => write!(
                f,
                "; the files it writes were limited to {} bytes (if the work needs more, raise `Limits::file_size`)",
                amount(self.file_size)
            ),
            None if status.signal() == Some(libc::SIGKILL) && self.cpu_seconds.is_some() => write!(
                f,
                "; its CPU time was limited to {} s in all, and a child that handles SIGXCPU is killed a second later, but another process may have killed it",
                amount(self.cpu_seconds)
            ),
            None if signal(status) == Some(libc::SIGSEGV) && self.memory.is_some() => write!(
                f,
                "; a bad pointer ends a process like this, or a stack that cannot grow: its memory was limited to {} bytes (`Limits::memory`)",
                amount(self.memory)
            ),
            None => Ok(()),
        }
    }
}

/// Returns the signal that ended a child. A shell exits with 128 plus the number of the signal that ended its command.
fn signal(status: ExitStatus) -> Option<i32> {
    match status {
        ExitStatus::Code(code) => Some(code - 128),
        ExitStatus::Signal { number, .. } => Some(number),
        ExitStatus::Unknown => None,
    }
}

/// In a child: sets the limits of the parent's hello for this process.
pub(crate) fn apply(text: &str) -> Result<(), String> {
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
            (libc::SIGSEGV, None),
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
