//! What a pool tells the crate `tracing`.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, OnceLock};

use offspring::worker;
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
