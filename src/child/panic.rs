//! Panics of the worker's code, turned into failures with place and backtrace.
//!
//! The panic hook knows the place and backtrace of a panic; the catch knows which panic has ended the call. The call may
//! have caught a panic that the hook has seen, and `resume_unwind` does not run the hook. So the text comes from the
//! payload that has ended the call. Place and backtrace are added only if the hook has seen this payload on this thread
//! during this call:
//!
//! * Two string payloads are the same if they have the same type, address and bytes. The heap buffer of a `String` keeps
//!   its address while the payload moves from the hook to the catch.
//! * Other payloads cannot be compared. They count as the same if they have the same type, and the hook has seen no other
//!   panic with that type during this call.

use std::any::{Any, TypeId};
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

use crate::base::panics::{discard_panic, panic_text, text};
use crate::protocol::{Failure, FailureCode};

/// The most panics of one call that are recorded: the latest.
const REMEMBERED: usize = 8;

thread_local! {
    /// How many [`catch_as_failure`]s this thread is in, and how many panics it remembers: every call looks at these two, and at
    /// nothing else unless one panicked.
    static CATCHES: Cell<(u32, usize)> = const { Cell::new((0, 0)) };
    /// The panics that the hook has seen since the outermost shield of this thread began, each with the shield that it
    /// came in. Those of a shield go when it ends.
    static SEEN: RefCell<Vec<(u32, SeenPanic)>> = const { RefCell::new(Vec::new()) };
}

/// A panic that the hook has seen.
struct SeenPanic {
    kind: TypeId,
    text: Option<(*const u8, String)>,
    place: String,
    backtrace: String,
}

impl SeenPanic {
    fn new(info: &PanicHookInfo<'_>) -> Self {
        let payload = info.payload();
        Self {
            kind: payload.type_id(),
            text: text(payload).map(|text| (text.as_ptr(), text.to_owned())),
            place: info.location().map(ToString::to_string).unwrap_or_default(),
            backtrace: Backtrace::force_capture().to_string(),
        }
    }

    /// Returns whether this is the panic with that payload; `alone` if it is the only one with its type.
    fn is_of(&self, payload: &(dyn Any + Send), alone: bool) -> bool {
        let own = self.text.as_ref().map(|(at, text)| (*at, text.as_str()));
        let same = own == text(payload).map(|text| (text.as_ptr(), text));
        self.kind == payload.type_id() && same && (own.is_some() || alone)
    }
}

/// Installs the hook that records panics of the worker's code. It calls the hook before, which usually prints to stderr.
pub(super) fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let (depth, _) = CATCHES.get();
            if depth > 0 {
                remember(depth, SeenPanic::new(info));
            }
            before(info);
        }));
    });
}

fn remember(depth: u32, panic: SeenPanic) {
    // A thread that exits may have dropped the list.
    let _ = SEEN.try_with(|seen| {
        let mut seen = seen.borrow_mut();
        let first = seen.partition_point(|(other, _)| *other < depth);
        if seen.len() - first == REMEMBERED {
            seen.remove(first);
        }
        seen.push((depth, panic));
        CATCHES.set((depth, seen.len()));
    });
}

/// Takes the panics that came in this shield, which ends.
fn take_seen(depth: u32) -> Vec<SeenPanic> {
    let own = SEEN.try_with(|seen| {
        let mut seen = seen.borrow_mut();
        let first = seen.partition_point(|(other, _)| *other < depth);
        let own = seen.split_off(first);
        CATCHES.set((depth, seen.len()));
        own
    });
    own.unwrap_or_default()
        .into_iter()
        .map(|(_, panic)| panic)
        .collect()
}

/// Runs the worker's code, and turns a panic into a failure with this code.
pub(super) fn catch_as_failure<T>(
    code: FailureCode,
    run: impl FnOnce() -> T,
) -> Result<T, Failure> {
    let (outer, remembered) = CATCHES.get();
    CATCHES.set((outer + 1, remembered));
    let outcome = catch_unwind(AssertUnwindSafe(run));
    let (_, all) = CATCHES.get();
    let outcome = match outcome {
        Ok(value) if all == remembered => Ok(value),
        outcome => end_of_catch(code, outcome, take_seen(outer + 1)),
    };
    CATCHES.set((outer, remembered));
    outcome
}

/// The end of a shield in which there was a panic, caught or not.
#[cold]
fn end_of_catch<T>(
    code: FailureCode,
    outcome: std::thread::Result<T>,
    seen: Vec<SeenPanic>,
) -> Result<T, Failure> {
    outcome.map_err(|payload| {
        let failure = failure(code, &*payload, seen);
        discard_panic(payload);
        failure
    })
}

fn failure(code: FailureCode, payload: &(dyn Any + Send), mut seen: Vec<SeenPanic>) -> Failure {
    let mut failure = Failure::new(code, panic_text(payload));
    let alike = seen.iter().filter(|panic| panic.kind == payload.type_id());
    let alone = alike.count() == 1;
    let own = seen.iter().rposition(|panic| panic.is_of(payload, alone));
    if let Some(own) = own.map(|index| seen.swap_remove(index)) {
        (failure.place, failure.backtrace) = (own.place, own.backtrace);
    }
    failure
}
