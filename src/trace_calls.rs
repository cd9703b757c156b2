//! Which call a record belongs to, for the crate `tracing`: with the feature of that name.
//!
//! In the child each call runs in a span, and the thread that runs it knows its id. A record that is forwarded takes the
//! id along. In the parent the span that a call was made in is kept with the call, and a record of the child is given to
//! the logger inside it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tracing::Span;

/// The span that a call was made in. Default: that of this thread.
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
    /// The child whose event is delivered on this thread.
    static FIND: RefCell<Option<Find>> = const { RefCell::new(None) };
    /// The call that this thread of a child runs; else 0.
    static CALL: Cell<u32> = const { Cell::new(0) };
}

/// In the parent: delivers what a child has sent.
pub(crate) fn delivering<F>(find: impl FnOnce() -> F, deliver: impl FnOnce())
where
    F: Fn(u32) -> Option<CallSpan> + 'static,
{
    FIND.set(Some(Rc::new(find())));
    deliver();
    FIND.set(None);
}

/// In the parent: gives a record of a child to the logger.
pub(crate) fn log_in(call: u32, log: impl FnOnce()) {
    let find = FIND.with_borrow(Option::clone).filter(|_| call != 0);
    match find.and_then(|find| find(call)) {
        Some(CallSpan(span)) => span.in_scope(log),
        None => log(),
    }
}

/// In a child: the call that this thread runs; 0 if it runs none.
pub(crate) fn current_call() -> u32 {
    CALL.get()
}

/// In a child: what one call runs in.
pub(crate) struct CallScope(u32, Span);

impl CallScope {
    pub(crate) fn new(call: u32) -> Self {
        let span = tracing::debug_span!(target: "offspring::call", "call", call);
        Self(call, span)
    }

    /// Runs a piece of the call. It must not panic.
    pub(crate) fn run<T>(&self, run: impl FnOnce() -> T) -> T {
        let before = CALL.replace(self.0);
        let value = self.1.in_scope(run);
        CALL.set(before);
        value
    }
}
