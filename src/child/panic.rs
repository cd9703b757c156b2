//! Panics of the worker's code: caught, and told with place and backtrace.
//!
//! Only the hook learns the place and the backtrace of a panic, and only the catch learns which panic ends the call. A
//! panic that the hook has seen may have been caught inside the call, and `resume_unwind` starts a panic that no hook
//! sees. So the text is that of the payload which ends the call, and place and backtrace are told only if the hook has
//! seen this payload on this thread during this call:
//!
//! * A text is the same if it has the same type, the same address and the same bytes. The heap buffer of a `String`
//!   moves with the payload from the hook to the catch, and so keeps its address.
//! * A payload that is no text has nothing to be known by. It is taken to be the same if it has the same type, and the
//!   hook has seen no other panic with that type during this call.

use std::any::{Any, TypeId};
use std::backtrace::Backtrace;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};

use crate::protocol::{Failure, FailureCode};

/// The most panics of one call that are remembered: the latest.
const REMEMBERED: usize = 8;

thread_local! {
    /// The panics that the hook has seen since the innermost [`shield`] of this thread began. `None` outside of one.
    static SEEN: RefCell<Option<Vec<Seen>>> = const { RefCell::new(None) };
}

/// A panic that the hook has seen.
struct Seen {
    kind: TypeId,
    text: Option<(*const u8, String)>,
    place: String,
    backtrace: String,
}

impl Seen {
    fn new(info: &PanicHookInfo<'_>) -> Self {
        let payload = info.payload();
        Self {
            kind: payload.type_id(),
            text: text(payload).map(|text| (text.as_ptr(), text.to_owned())),
            place: info.location().map(ToString::to_string).unwrap_or_default(),
            backtrace: Backtrace::force_capture().to_string(),
        }
    }

    /// Whether this was the panic with that payload, as far as it can be told.
    fn is_of(&self, payload: &(dyn Any + Send), alone: bool) -> bool {
        let own = self.text.as_ref().map(|(at, text)| (*at, text.as_str()));
        let same = own == text(payload).map(|text| (text.as_ptr(), text));
        self.kind == payload.type_id() && same && (own.is_some() || alone)
    }
}

/// The text of a payload, if it is one.
fn text(payload: &(dyn Any + Send)) -> Option<&str> {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

/// Has panics of worker's code noted, beside what the hook before does with
/// them (usually: writes them to stderr).
pub(super) fn install_hook() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        // A thread that is ending may have dropped it.
        let is_shielded = SEEN.try_with(|seen| seen.borrow().is_some());
        if is_shielded.unwrap_or(false) {
            remember(Seen::new(info));
        }
        before(info);
    }));
}

fn remember(panic: Seen) {
    SEEN.with_borrow_mut(|seen| {
        let Some(seen) = seen else { return };
        if seen.len() == REMEMBERED {
            seen.remove(0);
        }
        seen.push(panic);
    });
}

/// Runs the worker's code; a panic is a failure of this kind.
pub(super) fn shield<T>(code: FailureCode, run: impl FnOnce() -> T) -> Result<T, Failure> {
    let outer = SEEN.replace(Some(Vec::new()));
    let outcome = catch_unwind(AssertUnwindSafe(run));
    let seen = SEEN.replace(outer).unwrap_or_default();
    outcome.map_err(|payload| {
        let failure = failure(code, &*payload, seen);
        crate::discard_panic(payload);
        failure
    })
}

fn failure(code: FailureCode, payload: &(dyn Any + Send), mut seen: Vec<Seen>) -> Failure {
    let mut failure = Failure::new(code, crate::panic_text(payload));
    let alike = seen.iter().filter(|panic| panic.kind == payload.type_id());
    let alone = alike.count() == 1;
    let own = seen.iter().rposition(|panic| panic.is_of(payload, alone));
    if let Some(own) = own.map(|index| seen.swap_remove(index)) {
        (failure.place, failure.backtrace) = (own.place, own.backtrace);
    }
    failure
}
