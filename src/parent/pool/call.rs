//! One call of a pool, wherever it is.
//!
//! ```text
//!            it is given to a child               it is done
//!   Queued ──────────▶ Sending ─────────▶ At ──────────────────▶ Over
//!     ▲ │                 │               │ │                      ▲
//!     │ │                 └── given back ─┘ │                      │
//!     │ │                         │         └──── cancelled ───────┤
//!     └─┼─────────────────────────┘                                │
//!       └──────────▶ Done: it failed here ─────────────────────────┘
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
use super::super::child::member::{Member, Request, Unsent};
use super::super::child::terms::{Answer, CallOptions, Callback, Completion, Requeue};
use super::aside::Job;
use crate::base::sync::{Mutex, MutexGuard};
use crate::error::Error;

/// See the module.
pub(super) struct CallState(Mutex<State>);

#[derive(Default)]
struct State {
    spot: Spot,
    /// The arguments. While they are sent, the sender has them.
    request: Option<Request>,
    /// It will not be sent again.
    is_settled: bool,
    /// What waits while it is not at a child, and may be passed on.
    waker: Option<Waker>,
    nested: bool,
    options: CallOptions,
    completion: Completion,
    /// Why a child gave it back.
    error: Option<Error>,
}

#[derive(Default)]
enum Spot {
    #[default]
    Queued,
    /// Meanwhile more was wished; it was given back.
    Sending {
        more: bool,
        back: bool,
    },
    At(ChildCall),
    Done(Answer),
    Over,
}

/// What became of an attempt to send it.
pub(super) enum Attempt {
    Sent,
    /// The child takes no calls: it waits as before.
    Waits,
    /// The child has given it back already.
    Back,
    /// It is not wanted any more.
    Dropped,
    /// No child can take it.
    Failed(Error),
}

/// Where a thread or task that waits has to look.
pub(super) enum Place {
    Here(Answer),
    There(ChildCall),
    /// Nowhere, before it is woken.
    Away,
}

/// Where a call is whose outcome is entrusted.
pub(super) enum Entrusted {
    /// The child is to be told.
    At(ChildCall),
    /// It is done, and this is the outcome.
    Done(Answer, Completion),
    Kept,
}

/// Where a call was that is cancelled.
pub(super) enum Cancelled {
    At(ChildCall),
    Queued,
    Elsewhere,
}

impl State {
    fn settle(&mut self) -> Option<Request> {
        self.is_settled = true;
        self.request.take()
    }

    /// Keeps the arguments again after they were sent, unless they are not needed
    /// any more.
    fn put_back(&mut self, request: Request) -> Option<Request> {
        if self.is_settled {
            return Some(request);
        }
        self.request.replace(request)
    }

    /// The waker to pass on, and the one to wake.
    fn take_wakers(&mut self) -> (Option<Waker>, Option<Waker>) {
        let waker = self.waker.take();
        if self.nested {
            (None, waker)
        } else {
            (waker, None)
        }
    }

    /// What a child is told to do with the outcome.
    fn completion(&self, call_back: &dyn Fn() -> Callback) -> Completion {
        match self.completion {
            Completion::Keep => Completion::Keep,
            Completion::Callback(_) => Completion::Callback(call_back()),
            Completion::Discard => Completion::Discard,
        }
    }

    /// More is wished. Returns the child that is to be told.
    fn more(&mut self) -> Option<ChildCall> {
        match &mut self.spot {
            Spot::At(call) => Some(call.clone()),
            Spot::Sending { more, .. } => {
                *more = true;
                None
            }
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
    pub(super) fn send(
        &self,
        child: &Member,
        owner: Arc<dyn Requeue>,
        call_back: &dyn Fn() -> Callback,
    ) -> Attempt {
        let mut state = self.lock();
        if !matches!(state.spot, Spot::Queued) {
            return Attempt::Dropped;
        }
        state.spot = Spot::Sending {
            more: false,
            back: false,
        };
        let request = state
            .request
            .take()
            .expect("what waits to be sent is there");
        let (mut waker, nested) = state.take_wakers();
        let (options, completion) = (state.options, state.completion(call_back));
        drop(state);
        let sent = child.send(&request, owner, options, completion, &mut waker);
        let spent = self.lock().put_back(request);
        drop(spent);
        let attempt = match sent {
            Ok(call) => self.arrive(call, call_back),
            Err(unsent) => self.stay(unsent, waker),
        };
        nested.into_iter().for_each(Waker::wake);
        attempt
    }

    /// It was not sent.
    fn stay(&self, unsent: Unsent, waker: Option<Waker>) -> Attempt {
        let mut state = self.lock();
        if !matches!(state.spot, Spot::Sending { .. }) {
            return Attempt::Dropped;
        }
        state.spot = Spot::Queued;
        if state.waker.is_none() {
            state.waker = waker;
        }
        match unsent {
            Unsent::Ended => Attempt::Waits,
            Unsent::Never(error) => Attempt::Failed(error),
        }
    }

    /// It was sent; now for what was said of it meanwhile.
    fn arrive(&self, call: ChildCall, call_back: &dyn Fn() -> Callback) -> Attempt {
        loop {
            let mut state = self.lock();
            let Spot::Sending { more, back } = &mut state.spot else {
                drop(state);
                call.cancel();
                return Attempt::Sent;
            };
            let (more, back) = (std::mem::take(more), *back);
            if back {
                state.spot = Spot::Queued;
                return Attempt::Back;
            }
            if !more {
                state.spot = Spot::At(call);
                return Attempt::Sent;
            }
            let (waker, nested) = state.take_wakers();
            let (options, completion) = (state.options, state.completion(call_back));
            drop(state);
            call.wish(options, completion, waker);
            nested.into_iter().for_each(Waker::wake);
        }
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
        let request = state.settle();
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
        let (_, nested) = {
            let mut state = self.lock();
            if !state.nested {
                return;
            }
            state.take_wakers()
        };
        nested.into_iter().for_each(Waker::wake);
    }

    /// Says where to look for what it brings, but not at the child from which it
    /// has `moved`. If that is nowhere, the waker is woken when it is worth looking
    /// again; whether it is that of a callback of a child is said with it.
    pub(super) fn find(&self, moved: Option<&ChildCall>, enlisted: Option<(Waker, bool)>) -> Place {
        let mut state = self.lock();
        match &state.spot {
            Spot::Done(_) => {
                let Spot::Done(answer) = std::mem::replace(&mut state.spot, Spot::Over) else {
                    unreachable!("it was just seen");
                };
                return Place::Here(answer);
            }
            Spot::At(call) if !moved.is_some_and(|old| old.is(call)) => {
                return Place::There(call.clone());
            }
            Spot::Sending { .. } | Spot::Queued | Spot::At(_) => {}
            Spot::Over => panic!("the result of this call was taken before"),
        }
        if let Some((waker, nested)) = enlisted {
            state.more();
            state.nested = nested;
            let old = state.waker.replace(waker);
            drop(state);
            drop(old);
        }
        Place::Away
    }

    /// Puts an outcome back, which is not what was looked for.
    pub(super) fn put_back(&self, answer: Answer) {
        self.lock().spot = Spot::Done(answer);
    }

    /// Changes what is wished. Returns the child that is to be told.
    pub(super) fn update(&self, change: &dyn Fn(&mut CallOptions)) -> Option<ChildCall> {
        let mut state = self.lock();
        change(&mut state.options);
        state.more()
    }

    /// Returns whether it takes room in the pool if its handle goes.
    pub(super) fn needs_room(&self) -> bool {
        !matches!(self.lock().spot, Spot::At(_) | Spot::Done(_))
    }

    /// The child that has it.
    pub(super) fn at(&self) -> Option<ChildCall> {
        match &self.lock().spot {
            Spot::At(call) => Some(call.clone()),
            _ => None,
        }
    }

    /// Says what becomes of the outcome.
    pub(super) fn entrust(&self, completion: Completion) -> Entrusted {
        let mut state = self.lock();
        if let Spot::Done(_) = state.spot
            && let Spot::Done(answer) = std::mem::replace(&mut state.spot, Spot::Over)
        {
            return Entrusted::Done(answer, completion);
        }
        state.completion = completion;
        state.more().map_or(Entrusted::Kept, Entrusted::At)
    }

    /// It is not wanted any more.
    pub(super) fn cancel(&self) -> Cancelled {
        let mut state = self.lock();
        let spot = std::mem::replace(&mut state.spot, Spot::Over);
        let completion = std::mem::take(&mut state.completion);
        let spent = (state.waker.take(), completion, state.settle());
        drop(state);
        drop(spent);
        match spot {
            Spot::At(call) => Cancelled::At(call),
            Spot::Queued => Cancelled::Queued,
            Spot::Sending { .. } | Spot::Done(_) | Spot::Over => Cancelled::Elsewhere,
        }
    }

    /// A child has given it back; it may have started it. Returns whether it waits
    /// again.
    pub(super) fn lost(&self, error: Error, started: bool) -> bool {
        let mut state = self.lock();
        let repeats = &mut state.options.repeats;
        *repeats = repeats.saturating_sub(u32::from(started));
        state.error = Some(error);
        match &mut state.spot {
            Spot::Sending { back, .. } => *back = true,
            Spot::At(_) => {
                let left = std::mem::take(&mut state.spot);
                drop(state);
                // It may be the last of its child.
                drop(left);
                return true;
            }
            Spot::Queued | Spot::Done(_) | Spot::Over => {}
        }
        false
    }

    /// It will not be sent again.
    pub(super) fn settle(&self) {
        let request = self.lock().settle();
        drop(request);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parcel::Parcel;

    /// An answer may come while the sender still has what it sends.
    #[test]
    fn what_was_settled_meanwhile_is_not_kept() {
        let request = || Request::new(&mut Parcel::new());
        let mut state = State::default();
        assert!(state.put_back(request()).is_none());
        let sent = state.request.take().expect("it was kept");
        assert!(state.settle().is_none());
        assert!(state.put_back(sent).is_some());
        assert!(state.settle().is_none());
    }
}
