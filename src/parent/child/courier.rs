//! The user's callbacks of one child, and the delivery of one item to them.

use super::state::delivery::Item;
use super::terms::Handlers;
use crate::base::panics::shielded;
use crate::base::sync::Mutex;
use crate::error::Error;

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

/// The callbacks of one child, until the last has returned. What is delivered later
/// (`on_done` of a call that was done before) has none to complain to.
pub(crate) struct Courier(Mutex<Option<Box<Handlers>>>);

impl std::fmt::Debug for Courier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Courier")
    }
}

impl Courier {
    pub(crate) fn new(handlers: Handlers) -> Self {
        Self(Mutex::new(Some(Box::new(handlers))))
    }

    /// Delivers one item; a panic of a callback goes to `on_error`. Only the thread
    /// for callbacks does it, so the lock holds nobody up.
    pub(super) fn deliver(&self, item: Item) {
        let mut late = Handlers {
            on_event: Box::new(|_| Ok(())),
            on_error: Box::new(|error| log::error!("after the end of its child: {error}")),
            on_destroy: None,
        };
        let mut handlers = self.0.lock();
        let Handlers {
            on_event, on_error, ..
        } = handlers.as_deref_mut().unwrap_or(&mut late);
        let delivered = shielded(|| match item {
            Item::Event(payload) => on_event(payload).unwrap_or_else(&mut *on_error),
            Item::Done(callback, outcome) => callback(outcome),
            Item::Report(error) => on_error(error),
            Item::Output(lines) => lines(&mut *on_error),
        });
        if let Err(panic) = delivered {
            let _ = shielded(|| on_error(Error::callback(panic)));
        }
    }

    /// The last delivery was made.
    pub(super) fn end(&self) {
        let handlers = self.0.lock().take();
        if let Some(handlers) = handlers {
            handlers.end();
        }
    }
}

impl Drop for Courier {
    /// Nothing was ever delivered. This may be any thread, even the helper's.
    fn drop(&mut self) {
        if let Some(handlers) = self.0.get_mut().take() {
            handlers.discard();
        }
    }
}
