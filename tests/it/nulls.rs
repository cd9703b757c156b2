//! Nulls as results, events and arguments, in every format over serde.

use std::sync::mpsc::channel;

use offspring::{Events, worker};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::support::*;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Either {
    Nothing,
    Text(String),
}

/// Sends the argument as an event, and returns it.
pub(crate) fn echo(value: Value, events: &Events<Value>) -> Value {
    events.send(value.clone()).unwrap();
    events.progress(value.clone()).unwrap();
    value
}

pub(crate) fn either(value: Either, events: &Events<Either>) -> Either {
    events.send(value.clone()).unwrap();
    value
}

/// Without arguments, result and events: these are empty lists.
pub(crate) fn nothing(events: &Events<()>) {
    events.send(()).unwrap();
}

macro_rules! in_format {
    ($name:ident, $format:ty) => {
        mod $name {
            use super::*;

            worker!(ECHO: fn(Value) -> Value = echo, events = Value, serialiser = $format);
            worker!(WHOLE: fn(..Value) -> Value = echo, events = Value, serialiser = $format);
            worker!(EITHER: fn(Either) -> Either = either, events = Either, serialiser = $format);
            worker!(NOTHING: fn() = nothing, events = (), serialiser = $format);
            worker!(UNIT: fn(..()) -> () = |(): ()| (), serialiser = $format);
            #[cfg(feature = "concurrent")]
            worker!(LATER: fn(..Value) -> Value = async |value: Value| value, serialiser = $format);

            fn values() -> [Value; 3] {
                [Value::Null, Value::Array(vec![]), vec![Value::Null].into()]
            }

            #[test]
            fn results_events_and_arguments() {
                let _guard = guard();
                let (sender, events) = channel();
                let whole = sender.clone();
                let send = move |value| sender.send(value).unwrap();
                let rpc = ECHO.on_event(send).begin();
                let send = move |value| whole.send(value).unwrap();
                let rpc_whole = WHOLE.on_event(send).begin();
                for value in values() {
                    let mut call = rpc.call(&value);
                    let progress: Vec<_> = call.events().into_iter().map(Result::unwrap).collect();
                    assert_eq!(progress, std::slice::from_ref(&value));
                    assert_eq!(call.wait().unwrap(), value);
                    assert_eq!(events.recv().unwrap(), value);
                    assert_eq!(rpc_whole.call(value.clone()).wait().unwrap(), value);
                    assert_eq!(events.recv().unwrap(), value);
                    assert_eq!(rpc_whole.call(&value).wait().unwrap(), value);
                    assert_eq!(events.recv().unwrap(), value);
                }
                rpc.join().wait().unwrap();
                rpc_whole.join().wait().unwrap();
            }

            #[test]
            fn units_of_untagged_enums() {
                let _guard = guard();
                let (sender, events) = channel();
                let rpc = EITHER.on_event(move |value| sender.send(value).unwrap());
                let rpc = rpc.begin();
                for value in [Either::Nothing, Either::Text("text".into())] {
                    assert_eq!(rpc.call(&value).wait().unwrap(), value);
                    assert_eq!(events.recv().unwrap(), value);
                }
                rpc.join().wait().unwrap();
            }

            #[test]
            fn the_unit_type() {
                let _guard = guard();
                let (sender, events) = channel();
                let rpc = NOTHING.on_event(move |value: ()| sender.send(value).unwrap());
                let rpc = rpc.begin();
                rpc.call().wait().unwrap();
                events.recv().unwrap();
                rpc.join().wait().unwrap();
                let rpc = UNIT.spawn().unwrap();
                rpc.call(()).wait().unwrap();
                rpc.call(&()).wait().unwrap();
                rpc.join().wait().unwrap();
            }

            #[cfg(feature = "concurrent")]
            #[test]
            fn in_a_concurrent_child() {
                let _guard = guard();
                let rpc = LATER.spawn().unwrap();
                for value in values() {
                    assert_eq!(rpc.call(&value).wait().unwrap(), value);
                }
                rpc.join().wait().unwrap();
            }
        }
    };
}

pub(crate) fn text_of(value: Either) -> String {
    format!("{value:?}")
}

pub(crate) fn maybe(text: String) -> Option<Option<String>> {
    Some(Some(text).filter(|text| !text.is_empty()))
}

worker!(TAKES: fn(Either) -> String = text_of, serialiser = offspring::Postcard);
worker!(GIVES: fn(String) -> Either = Either::Text, serialiser = offspring::Postcard);
worker!(MAYBE: fn(String) -> Option<Option<String>> = maybe, serialiser = offspring::Json);

/// The error has a text, whichever side finds it, and the child lives.
#[test]
fn what_a_format_cannot_say() {
    let _guard = guard();
    let rpc = TAKES.spawn().unwrap();
    for value in [Either::Nothing, Either::Text("text".into())] {
        let error = rpc.call(&value).wait().unwrap_err().to_string();
        assert!(error.contains("`untagged`"), "{error}");
        assert!(
            error.contains("take `Cbor`, `Json` or `MessagePack`"),
            "{error}"
        );
    }
    rpc.join().wait().unwrap();
    let rpc = GIVES.spawn().unwrap();
    for text in ["", "text"] {
        let error = rpc.call(text).wait().unwrap_err().to_string();
        assert!(error.contains("`untagged`"), "{error}");
        assert!(
            error.contains("take `Cbor`, `Json` or `MessagePack`"),
            "{error}"
        );
    }
    rpc.join().wait().unwrap();
    let rpc = MAYBE.spawn().unwrap();
    let error = rpc.call("").wait().unwrap_err().to_string();
    assert!(error.contains("would be read as `None`"), "{error}");
    let text = rpc.call("text").wait().unwrap();
    assert_eq!(text, Some(Some("text".into())));
}

in_format!(in_cbor, offspring::Cbor);
in_format!(in_json, offspring::Json);
in_format!(in_messagepack, offspring::MessagePack);
in_format!(in_a_format_of_ones_own, Json);
