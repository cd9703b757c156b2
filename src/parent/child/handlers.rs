//! The user's callbacks of one child, and how they are called.

use super::interface::Handlers;
use super::state::callback_queue::Callback;
use crate::base::panics::catch_panic;
use crate::base::sync::Mutex;
use crate::error::Error;

/// Errors are logged, and nothing else is done.
impl Default for Handlers {
    fn default() -> Self {
        Self {
            on_event: Box::new(|_| Ok(())),
            on_error: Box::new(|error| log::error!("{error}")),
            on_destroy: None,
        }
    }
}

impl Handlers {
    /// Calls `on_destroy`, and drops the callbacks one by one, because each drop may panic.
    fn end(self) {
        let Self {
            on_event,
            mut on_error,
            on_destroy,
        } = self;
        if let Some(on_destroy) = on_destroy
            && let Err(panic) = catch_panic(on_destroy)
        {
            let _ = catch_panic(|| on_error(Error::callback(panic)));
        }
        let _ = catch_panic(|| drop(on_event));
        let _ = catch_panic(|| drop(on_error));
    }
}

/// The callbacks of one child, until the last has returned. Errors of a later callback (`on_done`
/// of a call that was done before) are logged.
pub(crate) struct ChildHandlers(Mutex<Option<Box<Handlers>>>);

impl ChildHandlers {
    pub(crate) fn new(handlers: Handlers) -> Self {
        Self(Mutex::new(Some(Box::new(handlers))))
    }

    /// Runs one callback. If it panics, `on_error` is called. Only the child's thread for
    /// callbacks calls this, so no other thread waits for the lock.
    pub(super) fn run(&self, callback: Callback) {
        let mut late = Handlers {
            on_error: Box::new(|error| log::error!("after the end of its child: {error}")),
            ..Handlers::default()
        };
        let mut handlers = self.0.lock();
        let Handlers {
            on_event, on_error, ..
        } = handlers.as_deref_mut().unwrap_or(&mut late);
        let ran = catch_panic(|| match callback {
            Callback::Event(payload) => on_event(payload).unwrap_or_else(&mut *on_error),
            Callback::Done(on_done, outcome) => on_done(outcome),
            Callback::Report(error) => on_error(error),
            Callback::Lines(lines) => lines(&mut *on_error),
        });
        if let Err(panic) = ran {
            let _ = catch_panic(|| on_error(Error::callback(panic)));
        }
    }

    /// Calls `on_destroy` after the last callback, and drops the callbacks.
    pub(super) fn end(&self) {
        let handlers = self.0.lock().take();
        if let Some(handlers) = handlers {
            handlers.end();
        }
    }
}

impl Drop for ChildHandlers {
    /// Drops the callbacks of a child that never called one. This may be any thread, even the
    /// reactor's.
    fn drop(&mut self) {
        if let Some(mut handlers) = self.0.get_mut().take() {
            let on_destroy = handlers.on_destroy.take();
            let _ = catch_panic(|| drop(on_destroy));
            handlers.end();
        }
    }
}
