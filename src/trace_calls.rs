//! The call that a record belongs to, for the crate `tracing`, with the feature of that name.
//!
//! In the child each call runs in a span, and a thread-local variable holds its id. A record that is forwarded carries the
//! id. The parent keeps the span in which each call was made, and logs a record of the child in the span of its call.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tracing::Span;

/// The span in which a call was made. Default: the current span.
#[derive(Clone)]
pub(crate) struct CallSpan(Span);

impl Default for CallSpan {
    fn default() -> Self {
        Self(Span::current())
    }
}

/// Finds the span of a call by its id.
type Find = Rc<dyn Fn(u32) -> Option<CallSpan>>;

thread_local! {
    /// Finds the span of a call of the child whose event is delivered on this thread.
    static FIND: RefCell<Option<Find>> = const { RefCell::new(None) };
    /// Id of the call that this thread of a child runs, or 0.
    static CALL: Cell<u32> = const { Cell::new(0) };
}

/// In the parent: calls `deliver` for an event of a child. `find` returns the span of a call by its id.
pub(crate) fn delivering<F>(find: impl FnOnce() -> F, deliver: impl FnOnce())
where
    F: Fn(u32) -> Option<CallSpan> + 'static,
{
    FIND.set(Some(Rc::new(find())));
    deliver();
    FIND.set(None);
}

/// In the parent: calls `log` in the span of the call with this id.
pub(crate) fn log_in(call: u32, log: impl FnOnce()) {
    let find = FIND.with_borrow(Option::clone).filter(|_| call != 0);
    match find.and_then(|find| find(call)) {
        Some(CallSpan(span)) => span.in_scope(log),
        None => log(),
    }
}

/// In a child: returns the id of the call that this thread runs, or 0.
pub(crate) fn current_call() -> u32 {
    CALL.get()
}

/// In a child: the id and the span of a call.
pub(crate) struct CallScope(u32, Span);

impl CallScope {
    pub(crate) fn new(call: u32) -> Self {
        let span = tracing::debug_span!(target: "offspring::call", "call", call);
        Self(call, span)
    }

    /// Runs a part of the call, which must not panic.
    pub(crate) fn run<T>(&self, run: impl FnOnce() -> T) -> T {
        let before = CALL.replace(self.0);
        let value = self.1.in_scope(run);
        CALL.set(before);
        value
    }
}
