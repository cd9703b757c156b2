//! Panics of the worker's code: caught, and told with place and backtrace.

use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::protocol::{Failure, FailureCode};

thread_local! {
    /// This thread runs worker's code, and wants to know of a panic.
    static WATCHED: Cell<bool> = const { Cell::new(false) };
    static CAUGHT: RefCell<Option<Failure>> = const { RefCell::new(None) };
}

/// Has panics of worker's code noted, beside what the hook before does with
/// them (usually: writes them to stderr).
pub(super) fn install_hook() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if WATCHED.get() {
            let failure = Failure {
                code: FailureCode::Panic,
                message: crate::panic_text(info.payload()),
                place: info.location().map(ToString::to_string).unwrap_or_default(),
                backtrace: Backtrace::force_capture().to_string(),
            };
            CAUGHT.with_borrow_mut(|caught| *caught = Some(failure));
        }
        before(info);
    }));
}

/// Runs the worker's code; a panic is a failure of this kind.
pub(super) fn shield<T>(code: FailureCode, run: impl FnOnce() -> T) -> Result<T, Failure> {
    let before = WATCHED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(run));
    WATCHED.set(before);
    outcome.map_err(|panic| {
        let noted = CAUGHT.take();
        let failure =
            noted.unwrap_or_else(|| Failure::new(FailureCode::Panic, crate::panic_text(&*panic)));
        // What was thrown may panic again when it is dropped.
        std::mem::forget(panic);
        Failure { code, ..failure }
    })
}
