//! Makes the deliveries of one child, in their order.
//!
//! States of a [`Courier`]; each is left only under its lock:
//!
//! ```text
//! Idle   no thread; the handlers are here
//! Busy   a thread works, or is about to: it takes what is queued before it leaves
//! Over   on_destroy has returned, the handlers are dropped. What is delivered
//!        later (`on_done` of a call that was done before) gets a thread each time
//! ```

use std::sync::Arc;
use std::thread::{self, Thread};

use super::state::delivery::{Item, Next};
use crate::base::panics::shielded;
use crate::base::sync::Mutex;
use crate::error::Error;
use crate::parcel::Payload;
use crate::parent::callbacks;

/// The deliveries of a child, as its courier sees them.
pub(crate) trait Deliveries: Send + Sync + 'static {
    /// Who makes them.
    fn courier(&self) -> &Courier;
    /// This is the process that made the child.
    fn is_here(&self) -> bool;
    /// This thread makes them from now on.
    fn runs_here(&self);
    /// The next one.
    fn next(&self) -> Next;
    /// The one that was taken last is made.
    fn delivered(&self);
    /// The last callback of all has returned.
    fn ended(&self);
    /// This thread leaves. Called under a lock, so nothing may follow from it yet.
    fn leave(&self);
    /// Does what follows from it.
    fn look_again(&self);
}

/// What is called with the bytes of an event.
pub(crate) type OnEvent = Box<dyn FnMut(Payload) -> Result<(), Error> + Send>;

/// The user's callbacks.
pub(crate) struct Handlers {
    pub(crate) on_event: OnEvent,
    pub(crate) on_error: Box<dyn FnMut(Error) + Send>,
    pub(crate) on_destroy: Option<Box<dyn FnOnce() + Send>>,
}

impl Handlers {
    /// Calls `on_destroy`, and drops what the user gave, each by itself: any of it
    /// may panic.
    fn end(self) {
        let Self {
            on_event,
            mut on_error,
            on_destroy,
        } = self;
        if let Some(on_destroy) = on_destroy
            && let Err(panic) = shielded(on_destroy)
        {
            let _ = shielded(|| on_error(Error::callback(panic)));
        }
        let _ = shielded(|| drop(on_event));
        let _ = shielded(|| drop(on_error));
    }

    /// Drops what the user gave, none of which is called.
    fn discard(mut self) {
        let on_destroy = self.on_destroy.take();
        let _ = shielded(|| drop(on_destroy));
        self.end();
    }
}

/// Makes the deliveries of one child. See the module.
pub(crate) struct Courier(Mutex<State>);

enum State {
    Idle(Box<Handlers>),
    /// The thread, once it runs.
    Busy(Option<Thread>),
    Over,
}

impl std::fmt::Debug for Courier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Courier")
    }
}

impl Courier {
    pub(crate) fn new(handlers: Handlers) -> Self {
        Self(Mutex::new(State::Idle(Box::new(handlers))))
    }

    /// Has what is queued delivered. Must be called without locks.
    pub(crate) fn call<D: Deliveries>(&self, child: Arc<D>) {
        let handlers = {
            let mut state = self.0.lock();
            match std::mem::replace(&mut *state, State::Busy(None)) {
                State::Idle(handlers) => Some(handlers),
                State::Over => None,
                State::Busy(thread) => {
                    thread.iter().for_each(Thread::unpark);
                    *state = State::Busy(thread);
                    return;
                }
            }
        };
        callbacks::run(Box::new(move |lingers| work(handlers, &*child, lingers)));
    }
}

impl Drop for Courier {
    /// Nothing was ever delivered. This may be any thread, even the helper's.
    fn drop(&mut self) {
        let state = self.0.get_mut();
        if let State::Idle(handlers) = std::mem::replace(state, State::Over) {
            handlers.discard();
        }
    }
}

/// Delivers what is queued. Without handlers the child is over.
fn work(mut handlers: Option<Box<Handlers>>, child: &impl Deliveries, lingers: bool) {
    let courier = child.courier();
    *courier.0.lock() = State::Busy(Some(thread::current()));
    child.runs_here();
    let over = deliver_all(handlers.as_deref_mut(), child, lingers);
    if !child.is_here() {
        // A callback has called `fork`, and this is the copy, where it returned.
        return;
    }
    if over && let Some(handlers) = handlers.take() {
        handlers.end();
        child.ended();
    }
    {
        let mut state = courier.0.lock();
        child.leave();
        *state = handlers.map_or(State::Over, State::Idle);
    }
    // What came since, or is over since, is the affair of another job.
    child.look_again();
}

/// Returns whether the child is over; else there is nothing to deliver now.
fn deliver_all(
    mut handlers: Option<&mut Handlers>,
    child: &impl Deliveries,
    lingers: bool,
) -> bool {
    loop {
        match child.next() {
            Next::Over => return true,
            Next::Nothing if lingers => thread::park(),
            Next::Nothing => return false,
            Next::Item(item) => {
                deliver(handlers.as_deref_mut(), item);
                if !child.is_here() {
                    return false;
                }
                child.delivered();
            }
        }
    }
}

/// Delivers one item; a panic of a callback goes to `on_error`.
fn deliver(handlers: Option<&mut Handlers>, item: Item) {
    let mut late = Handlers {
        on_event: Box::new(|_| Ok(())),
        on_error: Box::new(|error| log::error!("after the end of its child: {error}")),
        on_destroy: None,
    };
    let Handlers {
        on_event, on_error, ..
    } = handlers.unwrap_or(&mut late);
    let delivered = shielded(|| match item {
        Item::Event(payload) => on_event(payload).unwrap_or_else(&mut *on_error),
        Item::Done(callback, outcome) => callback(outcome),
        Item::Report(error) => on_error(error),
    });
    if let Err(panic) = delivered {
        let _ = shielded(|| on_error(Error::callback(panic)));
    }
}
