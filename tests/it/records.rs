//! Log records of a child, sent among its events in every serde format.

use std::convert::Infallible;
use std::sync::mpsc::channel;

use log::LevelFilter;
use offspring::logging::{self, LogEvent};
use offspring::{Events, worker};
use serde::{Deserialize, Serialize};

use crate::support::*;

/// Events of a worker, of which log records are one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Event {
    Done(u32),
    Nothing,
    Log(LogEvent),
}

impl From<LogEvent> for Event {
    fn from(record: LogEvent) -> Self {
        Self::Log(record)
    }
}

pub(crate) fn set_up(events: &Events<Event>) -> Result<(), Infallible> {
    logging::forward(events, LevelFilter::Debug).expect("no other logger");
    log::warn!(target: "the setting up", "caf\u{e9} \u{0}\n\"{}\"", 7);
    Ok(())
}

pub(crate) fn work(_: &mut (), text: String, events: &Events<Event>) {
    events.send(Event::Nothing).unwrap();
    for n in 0..3 {
        log::debug!(target: "work", "{text} {n}");
        log::trace!(target: "work", "below the level");
        events.send(Event::Done(n)).unwrap();
    }
    log::error!(target: "", "{}", "");
}

/// The records that `set_up` and `work` send, in order.
fn expected() -> Vec<String> {
    let mut all = vec![
        "WARN the setting up: caf\u{e9} \u{0}\n\"7\"".into(),
        "Nothing".into(),
    ];
    for n in 0..3 {
        all.push(format!("DEBUG work: so {n}"));
        all.push(format!("Done({n})"));
    }
    all.push("ERROR : ".into());
    all
}

macro_rules! in_format {
    ($name:ident, $format:ty) => {
        #[test]
        fn $name() {
            worker!(LOGS: fn(String) = work, init() = set_up, events = Event, serialiser = $format,
                name = concat!("it::records::", stringify!($name)));
            let _guard = guard();
            let (sender, events) = channel();
            let handler = move |event: Event| sender.send(event).unwrap();
            let rpc = LOGS.on_event(handler).begin();
            rpc.call("so").wait().unwrap();
            rpc.join().wait().unwrap();
            let told = events.iter().map(|event| match event {
                Event::Log(record) => record.to_string(),
                other => format!("{other:?}"),
            });
            assert_eq!(told.collect::<Vec<_>>(), expected());
        }
    };
}

in_format!(in_a_format_of_ones_own, Json);
#[cfg(feature = "cbor")]
in_format!(in_cbor, offspring::Cbor);
#[cfg(feature = "json")]
in_format!(in_json, offspring::Json);
#[cfg(feature = "messagepack")]
in_format!(in_messagepack, offspring::MessagePack);
#[cfg(feature = "postcard")]
in_format!(in_postcard, offspring::Postcard);
