//! Forwarding the log of a child to its parent.
//!
//! A record is an event like any other, [`LogEvent`]: by itself, or inside the
//! worker's own type of events, if that is `From<LogEvent>`. In the child
//! [`forward`] has every record of the `log` crate sent; in the parent
//! [`LogEvent::log`] gives it to the parent's logger.
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
//!     // What a child logs before its `init` is kept.
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

/// How many records are kept before they can be sent.
const KEPT: usize = 1024;

/// A record of the `log` crate on its way to the parent.
///
/// It travels in every format; as [`Octets`](crate::Octets) it is four strings,
/// for the others the feature `serde` (which each of them brings) is needed.
///
/// ```
/// use offspring::logging::LogEvent;
///
/// // Beside events of another kind:
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
    /// How important it is.
    pub level: Level,
    /// What it is about; the module, if nothing else was said.
    pub target: String,
    /// The text.
    pub message: String,
    /// The call that it belongs to, by the child's number of it; 0: to none that is known.
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

    /// Gives it to this process's logger, as if it had been logged here.
    ///
    /// With the feature `tracing` that happens in the span in which the call was made that has logged it, if this is
    /// called in [`on_event`](crate::Builder::on_event).
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
        list.push(self.level.as_str().as_bytes());
        list.push(self.target.as_bytes());
        list.push(self.message.as_bytes());
        list.push(self.call.to_string().as_bytes());
    }
}

impl FromOctetStrings for LogEvent {
    type Number = ManyStrings;

    fn read_strings(list: &mut ListReader<'_>) -> Result<Self, SerialiserError> {
        let level: String = list.take_as(4)?;
        let level = level
            .parse()
            .map_err(|_| SerialiserError::new(format!("octets: `{level}` is no level of a log")))?;
        let mut event = Self::new(level, list.take_as(4)?, list.take_as(4)?);
        let call: String = list.take_as(4)?;
        event.call = call.parse().map_err(|_| {
            SerialiserError::new(format!("octets: `{call}` is no number of a call"))
        })?;
        Ok(event)
    }
}

type Sink = Box<dyn Fn(LogEvent) + Send + Sync>;

/// The logger of a child.
struct Forwarder {
    sink: OnceLock<Sink>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    records: VecDeque<LogEvent>,
    lost: usize,
}

static FORWARDER: Forwarder = Forwarder {
    sink: OnceLock::new(),
    kept: Mutex::new(Kept {
        records: VecDeque::new(),
        lost: 0,
    }),
};

impl Forwarder {
    /// Becomes the logger, unless it is.
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
        let mut kept = self.kept.lock();
        if let Some(sink) = self.sink.get() {
            drop(kept);
            return sink(record);
        }
        if kept.records.len() < KEPT {
            kept.records.push_back(record);
        } else {
            kept.lost += 1;
        }
    }

    /// Sends what was kept, and then lets all records go there.
    fn open(&self, sink: Sink) {
        loop {
            let mut kept = self.kept.lock();
            let Kept { records, lost } = std::mem::take(&mut *kept);
            if records.is_empty() && lost == 0 {
                // The first one stays, as with every logger.
                let _ = self.sink.set(sink);
                return;
            }
            // Sending is foreign code, and may log.
            drop(kept);
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

    /// A record is on its way when `log` returns.
    fn flush(&self) {}
}

/// In a child: from now on all records up to `level`, and those that were
/// [kept](keep_in_child), are sent as events.
///
/// To be called in the worker's `init`, or in its function. Later calls change
/// the level only. A record that cannot be sent, because the parent is gone or
/// it is longer than the parent takes, is dropped. Where events are sent, it
/// may block as [`Events::send`] does.
///
/// # Errors
///
/// This process has another logger already.
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

/// Keeps what this process logs, up to `level`, until [`forward`] can send it;
/// does nothing unless this process was started to be a child of this program.
/// To be called first in `main`, before [`init`](crate::init).
///
/// The first 1024 records are kept; if there are more, the parent is told how
/// many were lost.
///
/// ```
/// // First in `main`:
/// offspring::logging::keep_in_child(log::LevelFilter::Info);
/// offspring::init();
/// // Only the parent comes here, and has a logger of its own.
/// ```
pub fn keep_in_child(level: LevelFilter) {
    if crate::startup::role() == crate::startup::Role::Child {
        // With another logger `forward` will say so.
        let _ = keep(level);
    }
}

/// Like [`keep_in_child`], for a program that is nothing but a worker: before
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
            kept: Mutex::default(),
        };
        for n in 0..KEPT + 5 {
            forwarder.keep(record(&n.to_string()));
        }
        let seen: &'static Mutex<Vec<String>> = Box::leak(Box::default());
        forwarder.open(Box::new(|record| seen.lock().push(record.message)));
        forwarder.keep(record("later"));
        let seen = seen.lock();
        assert_eq!(seen.len(), KEPT + 2);
        assert!((0..KEPT).all(|n| seen[n] == n.to_string()));
        assert!(seen[KEPT].starts_with("5 records"));
        assert_eq!(seen[KEPT + 1], "later");
    }
}
