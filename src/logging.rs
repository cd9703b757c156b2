//! Forwarding the log of a child to its parent.
//!
//! A record is sent as an event, a [`LogEvent`], or as the worker's own type of events, if that is `From<LogEvent>`. In the
//! child, [`forward`] sends every record of the `log` crate. In the parent, [`LogEvent::log`] passes it to the logger.
//!
//! ```
//! use log::LevelFilter;
//! use offspring::logging::{self, LogEvent};
//! use offspring::{Events, worker};
//!
//! fn set_up(events: &Events<LogEvent>) -> Result<(), log::SetLoggerError> {
//!     logging::forward(events, LevelFilter::Info)
//! }
//! fn work(_: &mut (), text: String) -> String {
//!     log::info!("{} bytes", text.len());
//!     text
//! }
//! worker!(WORK: fn(String) -> String = work, init() = set_up, events = LogEvent);
//!
//! fn main() -> Result<(), offspring::Error> {
//!     // Records that a child logs before its `init` are kept.
//!     logging::keep_in_child(LevelFilter::Info);
//!     offspring::init();
//!     let rpc = WORK.on_event(|record: LogEvent| record.log()).spawn()?;
//!     assert_eq!(rpc.call("so").wait()?, "so");
//!     Ok(())
//! }
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::sync::OnceLock;

use log::{Level, LevelFilter, Log, Metadata, Record, SetLoggerError};
use offspring_serialisers::{
    AsOctetStrings, Error as SerialiserError, FromOctetStrings, ListReader, ListWriter, ManyStrings,
};

use crate::base::sync::Mutex;
use crate::child::Events;
use crate::trace_calls::{current_call, log_in};

/// Maximum number of records to keep until they can be sent.
const MAX_EARLY: usize = 1024;

/// A record of the `log` crate, sent to the parent.
///
/// Every format carries it. The default format encodes it as four strings. The other formats need the feature `serde`,
/// which each of them enables.
///
/// ```
/// use offspring::logging::LogEvent;
///
/// // One type for log records and other events:
/// enum Event {
///     Done(u32),
///     Log(LogEvent),
/// }
/// impl From<LogEvent> for Event {
///     fn from(record: LogEvent) -> Self {
///         Self::Log(record)
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogEvent {
    /// The level.
    pub level: Level,
    /// The target. Default: the path of the module that logged it.
    pub target: String,
    /// The formatted message.
    pub message: String,
    /// Id of the call that logged it, 0 if unknown.
    pub(crate) call: u32,
}

impl LogEvent {
    pub(crate) fn new(level: Level, target: String, message: String) -> Self {
        Self {
            level,
            target,
            message,
            call: current_call(),
        }
    }

    /// Puts together what is sent of a record.
    pub(crate) fn from_parts(parts: (String, String, String, u32)) -> Result<Self, String> {
        let (level, target, message, call) = parts;
        let wrong = |_| format!("`{level}` is no log level");
        let record = Self::new(level.parse().map_err(wrong)?, target, message);
        Ok(Self { call, ..record })
    }

    /// Logs the record with this process's logger.
    ///
    /// With the feature `tracing`, and within [`on_event`](crate::Builder::on_event), the record is logged in the span in
    /// which its call was made.
    ///
    /// ```
    /// # use offspring::logging::{self, LogEvent};
    /// # fn set_up(events: &offspring::Events<LogEvent>) -> Result<(), log::SetLoggerError> {
    /// #     logging::forward(events, log::LevelFilter::Info)
    /// # }
    /// # offspring::worker!(WORK: fn() = |_: &mut ()| log::info!("so"), init() = set_up, events = LogEvent);
    /// # fn main() -> Result<(), offspring::Error> {
    /// # offspring::init();
    /// let rpc = WORK.on_event(|record: LogEvent| record.log()).spawn()?;
    /// rpc.call().wait()
    /// # }
    /// ```
    pub fn log(&self) {
        log_in(self.call, || self.log_here());
    }

    fn log_here(&self) {
        let metadata = Metadata::builder()
            .level(self.level)
            .target(&self.target)
            .build();
        if self.level > log::max_level() || !log::logger().enabled(&metadata) {
            return;
        }
        let mut record = Record::builder();
        record.metadata(metadata);
        log::logger().log(&record.args(format_args!("{}", self.message)).build());
    }
}

impl From<&Record<'_>> for LogEvent {
    fn from(record: &Record<'_>) -> Self {
        let (target, message) = (record.target().to_owned(), record.args().to_string());
        Self::new(record.level(), target, message)
    }
}

/// `LEVEL target: message`.
impl fmt::Display for LogEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.level, self.target, self.message)
    }
}

impl AsOctetStrings for LogEvent {
    type Number = ManyStrings;

    fn write_strings(&self, list: &mut ListWriter<'_>) {
        let (target, message) = (&self.target, &self.message);
        (self.level.as_str(), target, message, self.call).write_strings(list);
    }
}

impl FromOctetStrings for LogEvent {
    type Number = ManyStrings;

    fn read_strings(list: &mut ListReader<'_>) -> Result<Self, SerialiserError> {
        let parts = FromOctetStrings::read_strings(list)?;
        Self::from_parts(parts).map_err(|text| SerialiserError::new(format!("octets: {text}")))
    }
}

type Sink = Box<dyn Fn(LogEvent) + Send + Sync>;

/// The logger of a child. It keeps records until it has a sink.
struct Forwarder {
    sink: OnceLock<Sink>,
    early: Mutex<Early>,
}

#[derive(Default)]
struct Early {
    records: VecDeque<LogEvent>,
    lost: usize,
}

static FORWARDER: Forwarder = Forwarder {
    sink: OnceLock::new(),
    early: Mutex::new(Early {
        records: VecDeque::new(),
        lost: 0,
    }),
};

impl Forwarder {
    /// Installs this logger, unless it is installed already.
    fn install(&'static self, level: LevelFilter) -> Result<(), SetLoggerError> {
        static INSTALLED: Mutex<bool> = Mutex::new(false);
        let mut installed = INSTALLED.lock();
        if !*installed {
            log::set_logger(self)?;
            *installed = true;
        }
        log::set_max_level(level);
        Ok(())
    }

    fn keep(&self, record: LogEvent) {
        let mut early = self.early.lock();
        if let Some(sink) = self.sink.get() {
            drop(early);
            return sink(record);
        }
        if early.records.len() < MAX_EARLY {
            early.records.push_back(record);
        } else {
            early.lost += 1;
        }
    }

    /// Sends the records that were kept, and then sets the sink.
    fn open(&self, sink: Sink) {
        loop {
            let mut early = self.early.lock();
            let Early { records, lost } = std::mem::take(&mut *early);
            if records.is_empty() && lost == 0 {
                // The first sink stays, as `log` keeps the first logger.
                let _ = self.sink.set(sink);
                return;
            }
            // The sink may log, so the lock is not held.
            drop(early);
            records.into_iter().for_each(&sink);
            if lost > 0 {
                let text =
                    format!("{lost} records were logged before they could be sent, and are lost");
                sink(LogEvent::new(Level::Warn, module_path!().into(), text));
            }
        }
    }
}

impl Log for Forwarder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let record = LogEvent::from(record);
        match self.sink.get() {
            Some(sink) => sink(record),
            None => self.keep(record),
        }
    }

    /// Does nothing: when `log` returns, the record is sent.
    fn flush(&self) {}
}

/// Sends all records up to `level` as events, from now on, and those that were [kept](keep_in_child).
///
/// To be called in a child: in the worker's `init`, or in its function. Later calls only change the level. A record that
/// cannot be sent is dropped: the parent has closed the link, or the record exceeds the parent's limit. Logging may block,
/// as [`Events::send`] does.
///
/// # Errors
///
/// This process has another logger already.
///
/// ```
/// use offspring::Events;
/// use offspring::logging::{self, LogEvent};
///
/// /// The `init` of a worker.
/// fn set_up(events: &Events<LogEvent>) -> Result<(), log::SetLoggerError> {
///     logging::forward(events, log::LevelFilter::Info)
/// }
/// # offspring::worker!(WORK: fn() = |_: &mut ()| log::info!("so"), init() = set_up, events = LogEvent);
/// # fn main() -> Result<(), offspring::Error> {
/// # offspring::init();
/// # let rpc = WORK.on_event(|record: LogEvent| record.log()).spawn()?;
/// # rpc.call().wait()
/// # }
/// ```
pub fn forward<E>(events: &Events<E>, level: LevelFilter) -> Result<(), SetLoggerError>
where
    E: From<LogEvent> + 'static,
{
    FORWARDER.install(level)?;
    if FORWARDER.sink.get().is_none() {
        let events = events.clone();
        FORWARDER.open(Box::new(move |record| drop(events.send(record.into()))));
    }
    Ok(())
}

/// Keeps the records that a child logs, up to `level`, until [`forward`] sends them. Call it first in `main`, before
/// [`init`](crate::init). Does nothing in a process that was not started as a child of this program.
///
/// The first 1024 records are kept. If there are more, a record says how many were lost.
///
/// ```
/// // First in `main`:
/// offspring::logging::keep_in_child(log::LevelFilter::Info);
/// offspring::init();
/// // Only the parent gets here, and installs its logger.
/// ```
pub fn keep_in_child(level: LevelFilter) {
    if crate::startup::role() == crate::startup::ProcessRole::Child {
        // `forward` returns the error of another logger.
        let _ = keep(level);
    }
}

/// Like [`keep_in_child`], for a program that is only a worker. To be called before
/// [`Worker::serve`](crate::Worker::serve).
///
/// # Errors
///
/// This process has another logger already.
///
/// ```no_run
/// # use offspring::logging::LogEvent;
/// # fn set_up(events: &offspring::Events<LogEvent>) -> Result<(), log::SetLoggerError> {
/// #     offspring::logging::forward(events, log::LevelFilter::Info)
/// # }
/// # offspring::worker!(WORK: fn() = |_: &mut ()| (), init() = set_up, events = LogEvent);
/// fn main() {
///     offspring::logging::keep(log::LevelFilter::Info).expect("there is no other logger");
///     log::info!("this comes too early to be sent");
///     WORK.serve()
/// }
/// ```
pub fn keep(level: LevelFilter) -> Result<(), SetLoggerError> {
    FORWARDER.install(level)
}

#[cfg(test)]
mod tests {
    use offspring_serialisers::{Input, Octets, Output, Serialiser};
    use std::sync::Arc;

    use super::*;

    fn record(message: &str) -> LogEvent {
        LogEvent::new(Level::Warn, "disk".into(), message.into())
    }

    #[test]
    fn it_travels_as_octet_strings() {
        let mut bytes = Vec::new();
        let mut sent = record("full");
        sent.call = 17;
        <Octets as Serialiser<LogEvent>>::encode(&sent, &mut Output::new(&mut bytes)).unwrap();
        assert_eq!(bytes, b"\x04WARN\x04disk\x04full\x0217");
        let come = <Octets as Serialiser<LogEvent>>::decode(&mut Input::new(&bytes)).unwrap();
        assert_eq!(come, sent);
        for odd in [
            b"\x01a\x00\x00\x010".as_slice(),
            b"\x04WARN\x00\x00\x01a",
            b"\x04WARN\x00\x00",
        ] {
            <Octets as Serialiser<LogEvent>>::decode(&mut Input::new(odd)).unwrap_err();
        }
    }

    #[test]
    fn what_is_logged_too_early_is_kept_in_order_and_within_limits() {
        let forwarder = Forwarder {
            sink: OnceLock::new(),
            early: Mutex::default(),
        };
        for n in 0..MAX_EARLY + 5 {
            forwarder.keep(record(&n.to_string()));
        }
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = Arc::clone(&seen);
        forwarder.open(Box::new(move |record| log.lock().push(record.message)));
        forwarder.keep(record("later"));
        let seen = seen.lock();
        assert_eq!(seen.len(), MAX_EARLY + 2);
        assert!((0..MAX_EARLY).all(|n| seen[n] == n.to_string()));
        assert!(seen[MAX_EARLY].starts_with("5 records"));
        assert_eq!(seen[MAX_EARLY + 1], "later");
    }
}
