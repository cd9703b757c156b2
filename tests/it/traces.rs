//! What a pool tells the crate `tracing`, and the spans of calls.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, OnceLock};

use log::{LevelFilter, Log, SetLoggerError};
use offspring::logging::{self, LogEvent};
use offspring::{Events, Template, worker};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::support::*;

fn abort(_: String) {
    std::process::abort()
}
worker!(ABORTS: fn(String) = abort);
worker!(ECHO: fn(String) -> String = |text: String| text);

/// Keeps every event as a line.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

/// Is called when a child is weighed.
static WEIGHED: OnceLock<Box<dyn Fn() + Send + Sync>> = OnceLock::new();

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 += &format!(" {field}={value:?}");
    }
}

impl Subscriber for Lines {
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
        if line.0.contains("a child is weighed")
            && let Some(call) = WEIGHED.get()
        {
            call();
        }
        self.0.lock().unwrap().push(line.0);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn a_pool_tells_what_it_does() {
    alone(|| {
        let lines = Lines::default();
        tracing::subscriber::set_global_default(lines.clone()).unwrap();
        let pool = ABORTS.pool().quiet().begin();
        assert!(pool.call("x").wait().unwrap_err().is_child_dead());
        pool.join().wait().unwrap();
        let lines = lines.0.lock().unwrap().join("\n");
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

/// To read how much memory a child has may take as long as the child likes. If the
/// pool's lock were held meanwhile, this would not end.
#[test]
fn a_child_is_weighed_without_a_lock() {
    alone(|| {
        let lines = Lines::default();
        tracing::subscriber::set_global_default(lines.clone()).unwrap();
        let pool = ECHO.pool().max_memory(1 << 40).spawn().unwrap();
        let other = pool.clone();
        let asks = move || assert_eq!(other.status().children(), 1);
        assert!(WEIGHED.set(Box::new(asks)).is_ok());
        assert_eq!(pool.call("so").wait().unwrap(), "so");
        let weighed = |line: &String| line.contains("memory=") && !line.contains("memory=0");
        assert!(lines.0.lock().unwrap().iter().any(weighed));
        pool.join().wait().unwrap();
    });
}

/// Knows the spans that there are, with their fields, and those that a thread is in.
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

/// From now on spans are known in this process.
fn know_spans() {
    let spans = SPANS.get_or_init(|| Box::leak(Box::default()));
    let _ = tracing::subscriber::set_global_default(*spans);
}

/// The span that this thread is in.
fn inside() -> String {
    let Some(id) = INSIDE.with_borrow(|all| all.last().cloned()) else {
        return "none".into();
    };
    SPANS.get().unwrap().0.lock().unwrap()[&id.into_u64()]
        .0
        .clone()
}

/// A logger that keeps each text with the span that it came in.
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

/// Makes calls in spans, which this many records come out in.
fn calls_in_spans(rpc: &Says, times: usize) {
    let call = |n: u32| tracing::info_span!("caller", n).in_scope(|| rpc.call(n.to_string()));
    let calls: Vec<_> = (0..5).map(call).collect();
    assert_eq!(inside(), "none");
    for answer in answers(calls) {
        // In the child it goes on as another span.
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

/// What a child logs while it runs a call comes out in the span that the call was made in.
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
