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
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

use crate::protocol::{Failure, FailureCode};

/// The most panics of one call that are remembered: the latest.
const REMEMBERED: usize = 8;

thread_local! {
    /// How many [`shield`]s this thread is in, and how many panics it remembers: every call looks at these two, and at
    /// nothing else unless one panicked.
    static SHIELDS: Cell<(u32, usize)> = const { Cell::new((0, 0)) };
    /// The panics that the hook has seen since the outermost shield of this thread began, each with the shield that it
    /// came in. Those of a shield go when it ends.
    static SEEN: RefCell<Vec<(u32, Seen)>> = const { RefCell::new(Vec::new()) };
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
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let (shield, _) = SHIELDS.get();
            if shield > 0 {
                remember(shield, Seen::new(info));
            }
            before(info);
        }));
    });
}

fn remember(shield: u32, panic: Seen) {
    // A thread that is ending may have dropped the list.
    let _ = SEEN.try_with(|seen| {
        let mut seen = seen.borrow_mut();
        let first = seen.partition_point(|(other, _)| *other < shield);
        if seen.len() - first == REMEMBERED {
            seen.remove(first);
        }
        seen.push((shield, panic));
        SHIELDS.set((shield, seen.len()));
    });
}

/// Takes the panics that came in this shield, which ends.
fn take_seen(shield: u32) -> Vec<Seen> {
    let own = SEEN.try_with(|seen| {
        let mut seen = seen.borrow_mut();
        let first = seen.partition_point(|(other, _)| *other < shield);
        let own = seen.split_off(first);
        SHIELDS.set((shield, seen.len()));
        own
    });
    own.unwrap_or_default()
        .into_iter()
        .map(|(_, panic)| panic)
        .collect()
}

/// Runs the worker's code; a panic is a failure of this kind.
pub(super) fn shield<T>(code: FailureCode, run: impl FnOnce() -> T) -> Result<T, Failure> {
    let (outer, remembered) = SHIELDS.get();
    SHIELDS.set((outer + 1, remembered));
    let outcome = catch_unwind(AssertUnwindSafe(run));
    let (_, all) = SHIELDS.get();
    let outcome = match outcome {
        Ok(value) if all == remembered => Ok(value),
        outcome => end_of_shield(code, outcome, take_seen(outer + 1)),
    };
    SHIELDS.set((outer, remembered));
    outcome
}

/// The end of a shield in which there was a panic, caught or not.
#[cold]
fn end_of_shield<T>(
    code: FailureCode,
    outcome: std::thread::Result<T>,
    seen: Vec<Seen>,
) -> Result<T, Failure> {
    outcome.map_err(|payload| {
        let failure = failure(code, &*payload, seen);
        crate::base::panics::discard_panic(payload);
        failure
    })
}

fn failure(code: FailureCode, payload: &(dyn Any + Send), mut seen: Vec<Seen>) -> Failure {
    let mut failure = Failure::new(code, crate::base::panics::panic_text(payload));
    let alike = seen.iter().filter(|panic| panic.kind == payload.type_id());
    let alone = alike.count() == 1;
    let own = seen.iter().rposition(|panic| panic.is_of(payload, alone));
    if let Some(own) = own.map(|index| seen.swap_remove(index)) {
        (failure.place, failure.backtrace) = (own.place, own.backtrace);
    }
    failure
}
