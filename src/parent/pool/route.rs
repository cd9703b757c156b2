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
//! While it is *At* a child, whoever waits for it waits there, and has its
//! events, order and callbacks as if there were no pool. Else he is kept here,
//! and passed on with the call. The one exception is a callback of a child that
//! waits: it must ask its child itself, and is woken to do so.
//!
//! What the user wishes of a call is kept here in any case, since the call may
//! have to be sent once more.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Instant;

use super::kept::Kept;
use super::plan::Ticket;
use super::shared::{News, Shared};
use crate::base::sync::{Mutex, MutexGuard};
use crate::error::Error;
use crate::parent::child::member::{Callback, Here, Member, Owner, Request, Then, Unsent, Wishes};
use crate::parent::target::{Answer, Calls, NextEvent, Resident};

/// See the module.
pub(super) struct Route {
    pool: Arc<Shared>,
    pub(super) ticket: Ticket,
    /// How many octets of arguments it has.
    pub(super) length: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    spot: Spot,
    kept: Kept<Request>,
    /// Who waits while it is not at a child, and may be passed on.
    waker: Option<Waker>,
    nested: bool,
    callback: Option<Callback>,
    forget: bool,
    deadline: Option<Instant>,
    kills: bool,
    events: bool,
    /// So often it may run again.
    repeats: u32,
    /// Why a child gave it back.
    error: Option<Error>,
    /// While it is sent: more was wished; it was given back.
    more: bool,
    back: bool,
}

#[derive(Default)]
enum Spot {
    #[default]
    Queued,
    Sending,
    At(Arc<Member>, u32),
    Done(Answer),
    Over,
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Wakes this thread.
pub(super) fn this_thread() -> Waker {
    Waker::from(Arc::new(Unpark(std::thread::current())))
}

/// What became of an attempt to send it.
pub(super) enum Attempt {
    Sent,
    /// The child takes no calls: it waits as before.
    Waits,
    /// Nobody wants it any more.
    Dropped,
}

/// Where somebody who waits has to look.
enum Place {
    Here(Answer),
    There(Arc<Member>, u32),
    /// He was enlisted.
    Nowhere,
}

impl Route {
    pub(super) fn new(pool: &Arc<Shared>, ticket: Ticket, request: Request) -> Arc<Self> {
        Arc::new(Self {
            pool: Arc::clone(pool),
            ticket,
            length: request.len(),
            state: Mutex::new(State {
                kept: Kept::new(request),
                ..State::default()
            }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.lock().deadline
    }

    /// Sends it to this child.
    pub(super) fn send(self: &Arc<Self>, member: &Arc<Member>) -> Attempt {
        let (request, (mut wishes, nested)) = {
            let mut state = self.lock();
            if !matches!(state.spot, Spot::Queued) {
                return Attempt::Dropped;
            }
            let request = state.kept.take();
            state.spot = Spot::Sending;
            (request, self.wishes(&mut state))
        };
        let owner: Arc<dyn Owner> = Arc::clone(self) as _;
        let sent = member.send(&request, owner, &mut wishes);
        let spent = self.lock().kept.put(request);
        drop(spent);
        let attempt = match sent {
            Ok(id) => {
                self.arrive(member, id);
                Attempt::Sent
            }
            Err(Unsent::Ended) => self.stay(wishes.waker),
            Err(Unsent::Never(error)) => {
                self.stay(wishes.waker);
                self.fail(error, false);
                Attempt::Dropped
            }
        };
        nested.into_iter().for_each(Waker::wake);
        attempt
    }

    fn stay(&self, waker: Option<Waker>) -> Attempt {
        let mut state = self.lock();
        if !matches!(state.spot, Spot::Sending) {
            return Attempt::Dropped;
        }
        state.spot = Spot::Queued;
        if state.waker.is_none() {
            state.waker = waker;
        }
        Attempt::Waits
    }

    /// It was sent; now for what was said of it meanwhile.
    fn arrive(self: &Arc<Self>, member: &Arc<Member>, id: u32) {
        loop {
            let (wishes, nested) = {
                let mut state = self.lock();
                if !matches!(state.spot, Spot::Sending) {
                    drop(state);
                    return member.calls().cancel(id);
                }
                if std::mem::take(&mut state.back) {
                    state.spot = Spot::Queued;
                    drop(state);
                    return self.pool.tell(News::Back(Arc::clone(self)));
                }
                if !std::mem::take(&mut state.more) {
                    state.spot = Spot::At(Arc::clone(member), id);
                    return;
                }
                self.wishes(&mut state)
            };
            member.wish(id, wishes);
            nested.into_iter().for_each(Waker::wake);
        }
    }

    /// What goes with it to a child, and who is not passed on but woken.
    fn wishes(self: &Arc<Self>, state: &mut State) -> (Wishes, Option<Waker>) {
        let nested = if state.nested {
            state.waker.take()
        } else {
            None
        };
        let then = if state.forget {
            Then::Forget
        } else if state.callback.is_some() {
            let own = Arc::clone(self);
            Then::call(Box::new(move |answer| own.call_back(answer)))
        } else {
            Then::Collect
        };
        let wishes = Wishes {
            waker: state.waker.take(),
            then,
            deadline: state.deadline,
            kills: state.kills,
            events: state.events,
            again: state.repeats > 0,
        };
        (wishes, nested)
    }

    /// Its outcome is there, and this is a thread for callbacks.
    fn call_back(&self, answer: Answer) {
        let callback = {
            let mut state = self.lock();
            state.spot = Spot::Over;
            state.callback.take()
        };
        if let Some(callback) = callback {
            callback(answer);
        }
    }

    /// It will not be run, for this reason, unless there is an older one. Any
    /// thread.
    pub(super) fn fail(self: &Arc<Self>, error: Error, older: bool) {
        let mut state = self.lock();
        if matches!(state.spot, Spot::Over | Spot::Done(_)) {
            return;
        }
        let error = state.error.take().filter(|_| older).unwrap_or(error);
        let waker = state.waker.take();
        let request = state.kept.settle();
        if state.callback.is_some() {
            drop(state);
            let own = Arc::clone(self);
            self.pool.aside(Box::new(move || own.call_back(Err(error))));
        } else {
            state.spot = if state.forget {
                Spot::Over
            } else {
                Spot::Done(Err(error))
            };
            drop(state);
        }
        drop(request);
        waker.into_iter().for_each(Waker::wake);
    }

    /// A callback of a child that waits here shall look again.
    pub(super) fn wake_nested(&self) {
        let waker = {
            let mut state = self.lock();
            if state.nested {
                state.waker.take()
            } else {
                None
            }
        };
        waker.into_iter().for_each(Waker::wake);
    }

    /// Where to look; or this one is woken when it is worth looking again.
    /// `moved`: it is not there any more.
    fn find(&self, moved: Option<&(Arc<Member>, u32)>, waker: impl FnOnce() -> Waker) -> Place {
        let away = |spot: &Spot| matches!(spot, Spot::Queued | Spot::Sending);
        let mut nested = None;
        let mut state = self.lock();
        if moved.is_some() || away(&state.spot) {
            drop(state);
            nested = Some(self.pool.is_calling_back_here());
            state = self.lock();
        }
        match &state.spot {
            Spot::Done(_) => {
                let Spot::Done(answer) = std::mem::replace(&mut state.spot, Spot::Over) else {
                    unreachable!("it was just seen");
                };
                return Place::Here(answer);
            }
            Spot::At(member, id) => {
                let same = |(old, at): &(Arc<Member>, u32)| Arc::ptr_eq(old, member) && at == id;
                if !moved.is_some_and(same) {
                    return Place::There(Arc::clone(member), *id);
                }
            }
            Spot::Sending | Spot::Queued => {}
            Spot::Over => panic!("the result of this call was taken before"),
        }
        let Some(nested) = nested else {
            // It has just come back.
            drop(state);
            return self.find(moved, waker);
        };
        state.more |= matches!(state.spot, Spot::Sending);
        state.nested = nested;
        let old = state.waker.replace(waker());
        drop(state);
        drop(old);
        if nested && self.pool.is_stuck_here() {
            self.cancel(0);
            return Place::Here(Err(Error::stuck()));
        }
        Place::Nowhere
    }

    fn wait_at<T>(
        &self,
        until: Option<Instant>,
        here: impl Fn(Answer) -> T,
        there: impl Fn(&Member, u32) -> Option<Here<T>>,
        watch: impl Fn(&Member, u32, &mut Context<'_>) -> Poll<Here<T>>,
    ) -> Option<T> {
        let mut moved = None;
        loop {
            // While calls wait the helper reads; to take the reading from it, and
            // give it back, would cost more than it brings.
            if self.pool.is_crowded() {
                let waker = this_thread();
                let mut context = Context::from_waker(&waker);
                if let Poll::Ready(found) = self.poll_at(&mut context, &here, &watch) {
                    return Some(found);
                }
                if until.is_some_and(|until| until <= Instant::now()) {
                    return None;
                }
                crate::base::sync::park_until(until);
                continue;
            }
            match self.find(moved.as_ref(), this_thread) {
                Place::Here(answer) => return Some(here(answer)),
                Place::There(member, id) => match there(&member, id)? {
                    Here::Found(found) => return Some(found),
                    Here::Moved => moved = Some((member, id)),
                },
                Place::Nowhere => {
                    crate::base::sync::park_until(until);
                    if until.is_some_and(|until| until <= Instant::now()) {
                        return None;
                    }
                }
            }
        }
    }

    fn poll_at<T>(
        &self,
        context: &mut Context<'_>,
        here: impl Fn(Answer) -> T,
        there: impl Fn(&Member, u32, &mut Context<'_>) -> Poll<Here<T>>,
    ) -> Poll<T> {
        let waker = self.pool.gathered(context.waker());
        let context = &mut Context::from_waker(&waker);
        let mut moved = None;
        loop {
            match self.find(moved.as_ref(), || waker.clone()) {
                Place::Here(answer) => return Poll::Ready(here(answer)),
                Place::There(member, id) => match there(&member, id, context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Here::Found(found)) => return Poll::Ready(found),
                    Poll::Ready(Here::Moved) => moved = Some((member, id)),
                },
                Place::Nowhere => return Poll::Pending,
            }
        }
    }

    /// Changes what is wished, and says where it is if it is at a child.
    fn wish(&self, change: impl FnOnce(&mut State)) -> Option<(Arc<Member>, u32)> {
        let mut state = self.lock();
        change(&mut state);
        state.more |= matches!(state.spot, Spot::Sending);
        match &state.spot {
            Spot::At(member, id) => Some((Arc::clone(member), *id)),
            _ => None,
        }
    }

    /// It failed before anybody said what to do with the outcome.
    fn take_done(&self) -> Option<Answer> {
        let mut state = self.lock();
        match std::mem::take(&mut state.spot) {
            Spot::Done(answer) => {
                state.spot = Spot::Over;
                Some(answer)
            }
            other => {
                state.spot = other;
                None
            }
        }
    }
}

fn event_of(answer: Answer, route: &Route) -> NextEvent {
    // It is the result, not an event: back with it.
    route.lock().spot = Spot::Done(answer);
    NextEvent::End
}

impl Resident for Route {
    fn is_here(&self) -> bool {
        self.pool.maker.is_this()
    }
    fn refuse(self: Arc<Self>, callback: Callback, error: Error) {
        self.pool.aside(Box::new(move || callback(Err(error))));
    }
}

impl Calls for Route {
    fn wait(&self, _: u32, until: Option<Instant>) -> Option<Answer> {
        self.wait_at(
            until,
            |answer| answer,
            |member, id| member.wait(id, until),
            |member, id, context| member.poll(id, context),
        )
    }

    fn poll(&self, _: u32, context: &mut Context<'_>) -> Poll<Answer> {
        self.poll_at(
            context,
            |answer| answer,
            |member, id, context| member.poll(id, context),
        )
    }

    fn ask_for_events(&self, _: u32) {
        if let Some((member, id)) = self.wish(|state| state.events = true) {
            member.calls().ask_for_events(id);
        }
    }

    fn wait_event(&self, _: u32, until: Option<Instant>) -> Option<NextEvent> {
        self.wait_at(
            until,
            |answer| event_of(answer, self),
            |member, id| member.wait_event(id, until),
            |member, id, context| member.poll_event(id, context),
        )
    }

    fn poll_event(&self, _: u32, context: &mut Context<'_>) -> Poll<NextEvent> {
        self.poll_at(
            context,
            |answer| event_of(answer, self),
            |member, id, context| member.poll_event(id, context),
        )
    }

    fn cancel(&self, _: u32) {
        let (spot, wanted) = {
            let mut state = self.lock();
            let spot = std::mem::replace(&mut state.spot, Spot::Over);
            (
                spot,
                (
                    state.waker.take(),
                    state.callback.take(),
                    state.kept.settle(),
                ),
            )
        };
        drop(wanted);
        match spot {
            Spot::At(member, id) => member.calls().cancel(id),
            Spot::Queued => self.pool.tell(News::Withdraw(self.ticket)),
            Spot::Sending | Spot::Done(_) | Spot::Over => {}
        }
    }

    fn then_call(self: Arc<Self>, _: u32, callback: Callback) {
        if let Some(answer) = self.take_done() {
            return self.pool.aside(Box::new(move || callback(answer)));
        }
        if let Some((member, id)) = self.wish(|state| state.callback = Some(callback)) {
            let own = Arc::clone(&self);
            member.then_call(id, Box::new(move |answer| own.call_back(answer)));
        }
    }

    /// What is at a child has room: a child is given no more than its load.
    fn then_forget(&self, _: u32) -> bool {
        let is_away = !matches!(self.lock().spot, Spot::At(..));
        if self.take_done().is_none() && is_away && self.pool.has_too_many() {
            return false;
        }
        if let Some((member, id)) = self.wish(|state| state.forget = true) {
            member.then_forget(id);
        }
        true
    }

    fn set_deadline(&self, _: u32, at: Instant) {
        match self.wish(|state| state.deadline = Some(at)) {
            Some((member, id)) => member.calls().set_deadline(id, at),
            None => self.pool.tell(News::Deadline(self.ticket, at)),
        }
    }

    fn expire(&self, _: u32) {
        let at = self.wish(|_| ());
        match at {
            Some((member, id)) => member.calls().expire(id),
            None => self.pool.tell(News::Time),
        }
    }

    fn kill_on_cancel(&self, _: u32) {
        if let Some((member, id)) = self.wish(|state| state.kills = true) {
            member.calls().kill_on_cancel(id);
        }
    }

    fn repeat(&self, _: u32, times: u32) {
        let at = self.wish(|state| state.repeats = times);
        if let Some((member, id)) = at.filter(|_| times > 0) {
            member.repeat(id);
        }
    }
}

impl Owner for Route {
    fn settled(&self) {
        let request = self.lock().kept.settle();
        drop(request);
    }

    fn returned(self: Arc<Self>, error: Error, started: bool) {
        let mut state = self.lock();
        if started {
            state.repeats = state.repeats.saturating_sub(1);
        }
        state.error = Some(error);
        match state.spot {
            Spot::Sending => state.back = true,
            Spot::At(..) => {
                let left = std::mem::take(&mut state.spot);
                drop(state);
                // It may be the last of its child.
                drop(left);
                self.pool.tell(News::Back(Arc::clone(&self)));
            }
            Spot::Queued | Spot::Done(_) | Spot::Over => {}
        }
    }
}
