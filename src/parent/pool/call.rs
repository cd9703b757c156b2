//! One call of a pool, wherever it is.
//!
//! ```text
//!         it is given to a child      it is done, or cancelled
//!   Queued ──────────────────────▶ At ─────────────────────────▶ Over
//!    ▲ │                           │                              ▲
//!    └─┼──────── given back ───────┘                              │
//!      └─────────────▶ Done: it failed here ──────────────────────┘
//! ```
//!
//! While it is *At* a child, a thread or task that waits for it waits there, and
//! has its events, order and callbacks as if there were no pool. Else its waker is
//! kept here, and passed on with the call. The one exception is a callback of a
//! child that waits: it must ask its child itself, and is woken to do so.
//!
//! What the user wishes of a call is kept here in any case, since the call may
//! have to be sent once more; and so are its arguments, until that is certain not
//! to happen.

use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use super::super::child::call::ChildCall;
use super::super::child::member::{Member, Request};
use super::super::child::terms::{Answer, CallOptions, Callback, Completion, Requeue, Wishes};
use super::aside::Job;
use crate::base::sync::{Mutex, MutexGuard};
use crate::error::Error;
use crate::trace_calls::CallSpan;

/// See the module.
pub(super) struct CallState(Mutex<State>);

#[derive(Default)]
struct State {
    spot: Spot,
    /// The arguments, until it is certain that they will not be sent again.
    request: Option<Request>,
    /// What waits while it is not at a child, and may be passed on.
    waker: Option<Waker>,
    nested: bool,
    options: CallOptions,
    completion: Completion,
    /// Why a child gave it back.
    error: Option<Error>,
    span: CallSpan,
}

/// Where a call is.
#[derive(Default)]
pub(super) enum Spot {
    #[default]
    Queued,
    At(ChildCall),
    Done(Answer),
    Over,
}

/// What became of an attempt to send it.
pub(super) enum Attempt {
    Sent,
    /// The child takes no calls: it waits as before.
    Waits,
    /// It is not wanted any more.
    Dropped,
    /// No child can take it.
    Failed(Error),
}

impl State {
    /// Returns the waker to pass on, and the waker to wake now.
    fn take_wakers(&mut self) -> (Option<Waker>, Option<Waker>) {
        let waker = self.waker.take();
        if self.nested {
            (None, waker)
        } else {
            (waker, None)
        }
    }

    /// The child that has it.
    fn child(&self) -> Option<ChildCall> {
        match &self.spot {
            Spot::At(call) => Some(call.clone()),
            Spot::Queued | Spot::Done(_) | Spot::Over => None,
        }
    }
}

impl CallState {
    pub(super) fn new(request: Request) -> Self {
        Self(Mutex::new(State {
            request: Some(request),
            ..State::default()
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.lock().options.deadline
    }

    /// Sends it to this child. `call_back` makes what calls
    /// [`call_back`](Self::call_back).
    ///
    /// The lock is held until the child has the call, and let go under the lock of
    /// the child: so nothing is said of the call while it is on its way, and what
    /// follows from it follows without both locks.
    pub(super) fn send(
        &self,
        child: &Member,
        owner: Arc<dyn Requeue>,
        call_back: impl FnOnce() -> Callback,
    ) -> Attempt {
        let mut state = self.lock();
        let parcel = match (&state.spot, &state.request) {
            (Spot::Queued, Some(request)) => request.copy(),
            _ => return Attempt::Dropped,
        };
        let parcel = match parcel {
            Ok(parcel) => parcel,
            Err(error) => return Attempt::Failed(error),
        };
        let mut nested = None;
        let sent = child.send(parcel, owner, |call| {
            state.spot = Spot::At(call);
            let waker;
            (waker, nested) = state.take_wakers();
            let completion = match state.completion {
                Completion::Keep => Completion::Keep,
                Completion::Callback(_) => Completion::Callback(call_back()),
                Completion::Discard => Completion::Discard,
            };
            let (options, span) = (state.options, state.span.clone());
            drop(state);
            Wishes {
                options,
                completion,
                waker,
                span,
            }
        });
        nested.into_iter().for_each(Waker::wake);
        if sent { Attempt::Sent } else { Attempt::Waits }
    }

    /// Its outcome is there, and this is a thread for callbacks.
    pub(super) fn call_back(&self, answer: Answer) {
        let completion = {
            let mut state = self.lock();
            state.spot = Spot::Over;
            std::mem::take(&mut state.completion)
        };
        if let Completion::Callback(callback) = completion {
            callback(answer);
        }
    }

    /// It will not be run, for this reason, unless there is an older one and the
    /// pool was closed. Any thread. Returns what is to run on a thread for
    /// callbacks.
    pub(super) fn fail(&self, error: Error) -> Option<Job> {
        let mut state = self.lock();
        if matches!(state.spot, Spot::Over | Spot::Done(_)) {
            return None;
        }
        let older = state.error.take().filter(|_| error.is_closed());
        let error = older.unwrap_or(error);
        let waker = state.waker.take();
        let request = state.request.take();
        let completion = std::mem::take(&mut state.completion);
        let mut job: Option<Job> = None;
        state.spot = match completion {
            Completion::Keep => Spot::Done(Err(error)),
            Completion::Discard => Spot::Over,
            Completion::Callback(callback) => {
                job = Some(Box::new(move || callback(Err(error))));
                Spot::Over
            }
        };
        drop(state);
        drop(request);
        waker.into_iter().for_each(Waker::wake);
        job
    }

    /// A callback of a child that waits here shall look again.
    pub(super) fn wake_nested(&self) {
        let (_, nested) = match self.lock() {
            mut state if state.nested => state.take_wakers(),
            _ => return,
        };
        nested.into_iter().for_each(Waker::wake);
    }

    /// Says where to look for what it brings, but not at the child from which it
    /// has `moved`. If that is nowhere, it is `Queued`, and the waker is woken when
    /// it is worth looking again; whether it is that of a callback of a child is
    /// said with it.
    pub(super) fn find(&self, moved: Option<&ChildCall>, enlisted: Option<(Waker, bool)>) -> Spot {
        let mut state = self.lock();
        match &state.spot {
            Spot::Done(_) => return std::mem::replace(&mut state.spot, Spot::Over),
            Spot::At(call) if !moved.is_some_and(|old| old.is(call)) => {
                return Spot::At(call.clone());
            }
            Spot::Queued | Spot::At(_) => {}
            Spot::Over => panic!("the result of this call was taken before"),
        }
        if let Some((waker, nested)) = enlisted {
            state.nested = nested;
            let old = state.waker.replace(waker);
            drop(state);
            drop(old);
        }
        Spot::Queued
    }

    /// Puts an outcome back, which is not what was looked for.
    pub(super) fn put_back(&self, answer: Answer) {
        self.lock().spot = Spot::Done(answer);
    }

    /// Changes what is wished. Returns the child that is to be told.
    pub(super) fn update(&self, change: &dyn Fn(&mut CallOptions)) -> Option<ChildCall> {
        let mut state = self.lock();
        change(&mut state.options);
        state.child()
    }

    /// Returns whether it takes room in the pool if its handle goes.
    pub(super) fn needs_room(&self) -> bool {
        !matches!(self.lock().spot, Spot::At(_) | Spot::Done(_))
    }

    /// The child that has it.
    pub(super) fn child(&self) -> Option<ChildCall> {
        self.lock().child()
    }

    /// Says what becomes of the outcome. Returns the child that is to be told; if
    /// the outcome is there, that, and `completion` is left.
    pub(super) fn entrust(&self, completion: &mut Completion) -> Spot {
        let mut state = self.lock();
        if let Spot::Done(_) = state.spot {
            return std::mem::replace(&mut state.spot, Spot::Over);
        }
        state.completion = std::mem::take(completion);
        state.child().map_or(Spot::Queued, Spot::At)
    }

    /// It is not wanted any more. Returns where it was.
    pub(super) fn cancel(&self) -> Spot {
        let mut state = self.lock();
        let spot = std::mem::replace(&mut state.spot, Spot::Over);
        let completion = std::mem::take(&mut state.completion);
        let spent = (state.waker.take(), completion, state.request.take());
        drop(state);
        drop(spent);
        spot
    }

    /// A child has given it back; it may have started it. Returns whether it waits
    /// again.
    pub(super) fn lost(&self, error: Error, started: bool) -> bool {
        let mut state = self.lock();
        let repeats = &mut state.options.repeats;
        *repeats = repeats.saturating_sub(u32::from(started));
        state.error = Some(error);
        let waits = matches!(state.spot, Spot::At(_));
        if waits {
            let left = std::mem::take(&mut state.spot);
            drop(state);
            // It may be the last of its child.
            drop(left);
        }
        waits
    }

    /// It will not be sent again.
    pub(super) fn settle(&self) {
        let request = self.lock().request.take();
        drop(request);
    }
}
