//! Events of a pool for the crate `tracing`, and the spans of calls.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, OnceLock};

use log::{LevelFilter, Log, SetLoggerError};
use offspring::logging::{self, LogEvent};
use offspring::{Events, Pool, Template, worker};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::support::*;

fn abort(_: String) {
    std::process::abort()
}
worker!(ABORTS: fn(String) = abort);
worker!(ECHO: fn(String) -> String = |text: String| text);

/// A subscriber that keeps every event as a line, after the hook was called with it.
struct Lines<Hook>(Arc<Mutex<Vec<String>>>, Hook);

/// Subscribes this process to the events of pools. Returns their lines.
fn subscribe(hook: impl Fn(&str) + Send + Sync + 'static) -> Arc<Mutex<Vec<String>>> {
    let lines = Arc::default();
    let subscriber = Lines(Arc::clone(&lines), hook);
    tracing::subscriber::set_global_default(subscriber).unwrap();
    lines
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 += &format!(" {field}={value:?}");
    }
}

impl<Hook: Fn(&str) + 'static> Subscriber for Lines<Hook> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "offspring::pool"
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        (self.1)(&line.0);
        self.0.lock().unwrap().push(line.0);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn a_pool_tells_what_it_does() {
    alone(|| {
        let lines = subscribe(|_| ());
        let pool = ABORTS.pool().quiet().begin();
        assert!(pool.call("x").wait().unwrap_err().is_child_dead());
        pool.join().wait().unwrap();
        let lines = lines.lock().unwrap().join("\n");
        let worker = "worker=\"it::traces::ABORTS\"";
        for wanted in [
            format!("DEBUG message=a child starts {worker} child=1"),
            format!("DEBUG message=a child is ready {worker} child=1"),
            format!("WARN message=a child has died {worker} child=1 status=was ended by signal 6"),
            format!("DEBUG message=the pool {worker} starting=0 idle=0 busy=0"),
        ] {
            assert!(lines.contains(&wanted), "{wanted}:\n{lines}");
        }
    });
}

/// Reading a child's memory may block for as long as the child likes, so the pool holds no lock then. With the lock
/// held, this test would not end.
#[test]
fn a_child_is_weighed_without_a_lock() {
    alone(|| {
        let asked = Arc::new(OnceLock::<Pool<fn(String) -> String>>::new());
        let pool = Arc::clone(&asked);
        let lines = subscribe(move |line| {
            if line.contains("a child is weighed")
                && let Some(pool) = pool.get()
            {
                assert_eq!(pool.status().children(), 1);
            }
        });
        let pool = ECHO.pool().max_memory(1 << 40).spawn().unwrap();
        assert!(asked.set(pool.clone()).is_ok());
        assert_eq!(pool.call("so").wait().unwrap(), "so");
        let weighed = |line: &String| line.contains("memory=") && !line.contains("memory=0");
        assert!(lines.lock().unwrap().iter().any(weighed));
        pool.join().wait().unwrap();
    });
}

/// The pool and the reactor go on.
#[test]
fn a_subscriber_that_panics() {
    alone(|| {
        subscribe(|_| panic!("do not tell me"));
        let pool = ABORTS.pool().quiet().begin();
        for _ in 0..3 {
            assert!(pool.call("x").wait().unwrap_err().is_child_dead());
        }
        let (sink, answers) = sink();
        ECHO.spawn().unwrap().call("so").on_done(sink);
        assert_eq!(answers.recv().unwrap().unwrap(), "so");
        pool.join().wait().unwrap();
    });
}

/// A subscriber that keeps all spans with their fields. Each thread keeps the spans that it is in.
#[derive(Default)]
struct Spans(Mutex<BTreeMap<u64, (String, &'static Metadata<'static>)>>);

thread_local! {
    static INSIDE: RefCell<Vec<Id>> = const { RefCell::new(Vec::new()) };
}

static SPANS: OnceLock<&'static Spans> = OnceLock::new();

impl Subscriber for &'static Spans {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut line = Line(span.metadata().name().to_owned());
        span.record(&mut line);
        let mut all = self.0.lock().unwrap();
        let id = all.len() as u64 + 1;
        all.insert(id, (line.0, span.metadata()));
        Id::from_u64(id)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, id: &Id) {
        INSIDE.with_borrow_mut(|all| all.push(id.clone()));
    }
    fn exit(&self, _: &Id) {
        INSIDE.with_borrow_mut(|all| all.pop());
    }
    fn current_span(&self) -> tracing_core::span::Current {
        match INSIDE.with_borrow(|all| all.last().cloned()) {
            Some(id) => {
                let metadata = self.0.lock().unwrap()[&id.into_u64()].1;
                tracing_core::span::Current::new(id, metadata)
            }
            None => tracing_core::span::Current::none(),
        }
    }
}

/// Sets `Spans` as the subscriber of this process.
fn know_spans() {
    let spans = SPANS.get_or_init(|| Box::leak(Box::default()));
    let _ = tracing::subscriber::set_global_default(*spans);
}

/// The innermost span that this thread is in.
fn inside() -> String {
    let Some(id) = INSIDE.with_borrow(|all| all.last().cloned()) else {
        return "none".into();
    };
    SPANS.get().unwrap().0.lock().unwrap()[&id.into_u64()]
        .0
        .clone()
}

/// A logger that keeps each text with the span in which it was logged.
struct Keeper(Mutex<Vec<(String, String)>>);

static KEEPER: Keeper = Keeper(Mutex::new(Vec::new()));

impl Log for Keeper {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        let line = (record.args().to_string(), inside());
        self.0.lock().unwrap().push(line);
    }
    fn flush(&self) {}
}

fn forward(events: &Events<LogEvent>) -> Result<(), SetLoggerError> {
    know_spans();
    logging::forward(events, LevelFilter::Info)?;
    log::info!("init");
    Ok(())
}

fn say(_: &mut (), text: String) -> String {
    log::info!("{text}");
    inside()
}

worker!(SAY: fn(String) -> String = say, init() = forward, events = LogEvent);

#[cfg(feature = "concurrent")]
async fn say_slowly(_: &(), text: String) -> String {
    for _ in 0..3 {
        smol::Timer::after(std::time::Duration::from_millis(5)).await;
        log::info!("{text}");
    }
    inside()
}

#[cfg(feature = "concurrent")]
worker!(SAY_SLOWLY: fn(String) -> String = say_slowly, init() = forward, events = LogEvent);

type Says = offspring::Rpc<fn(String) -> String, offspring::Octets, LogEvent>;

/// Makes calls in spans, and checks that `times` records of each are logged in its span.
fn calls_in_spans(rpc: &Says, times: usize) {
    let call = |n: u32| tracing::info_span!("caller", n).in_scope(|| rpc.call(n.to_string()));
    let calls: Vec<_> = (0..5).map(call).collect();
    assert_eq!(inside(), "none");
    for answer in answers(calls) {
        // The child runs the call in a different span.
        assert!(answer.starts_with("call call="), "{answer}");
    }
    rpc.call("in none").wait().unwrap();
    let lines = std::mem::take(&mut *KEEPER.0.lock().unwrap());
    for n in 0..5 {
        let line = (n.to_string(), format!("caller n={n}"));
        let count = lines.iter().filter(|own| **own == line).count();
        assert_eq!(count, times, "{lines:?}");
    }
    let in_none = lines.iter().filter(|(_, span)| span == "none");
    assert!(in_none.clone().count() >= times, "{lines:?}");
    for (text, _) in in_none {
        assert!(["init", "in none"].contains(&&**text), "{text}");
    }
}

/// A record that a child logs while it runs a call is logged in the span in which the call was made.
#[test]
fn records_come_out_in_the_span_of_their_call() {
    alone(|| {
        know_spans();
        log::set_logger(&KEEPER).unwrap();
        log::set_max_level(LevelFilter::Info);
        let template = Template::builder().start().unwrap();
        let handle = |record: LogEvent| record.log();
        let pool = SAY.pool().max(2).on_event(handle).begin();
        calls_in_spans(&pool, 1);
        pool.join().wait().unwrap();
        for builder in [SAY.builder(), SAY.template(&template)] {
            calls_in_spans(&builder.on_event(handle).begin(), 1);
        }
        #[cfg(feature = "concurrent")]
        calls_in_spans(&SAY_SLOWLY.builder().on_event(handle).begin(), 3);
    });
}
