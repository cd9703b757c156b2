//! Threads that run the user's callbacks, one callback after the other.
//!
//! A child has such a thread from its first delivery until it is over, a pool
//! has one while it has callbacks of its own (`pool/aside.rs`). If the system
//! refuses a thread, the **spare** runs the job: a thread that starts and ends
//! with the helper, so it is there before anything can need it. All children and
//! pools share the spare, so a job there does not wait for more to do. Without a
//! helper no child is left, and a job is run where it comes from: it waits for
//! nothing. So every callback is called, whatever the system refuses.
//!
//! States of a [`Courier`]; each is left only under its lock:
//!
//! ```text
//! Idle   no thread; the handlers are here
//! Busy   a thread works, or is about to: it takes what is queued before it leaves
//! Over   on_destroy has returned, the handlers are dropped. What is delivered
//!        later (`on_done` of a call that was done before) gets a thread each time
//! ```

use std::io;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};

use super::delivery::{Item, Next};
use super::driver::Driver;
use super::wire::Wire;
use crate::error::Error;
use crate::parcel::Payload;
use crate::shielded;
use crate::sys::{self, PerProcess};

/// A job; it is told whether its thread is its own, and may wait for more to do.
pub(super) type Job = Box<dyn FnOnce(bool) + Send>;

/// The way to the spare, while there is one.
static SPARE: PerProcess<Mutex<Option<Sender<Job>>>> = PerProcess::new();

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start(run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let run = || {
        sys::take_faults();
        run();
    };
    sys::spawn_thread("offspring-callbacks", run).map(drop)
}

/// Starts the spare.
pub(super) fn start_spare() -> io::Result<()> {
    let (sender, jobs) = channel::<Job>();
    start(move || {
        for job in jobs {
            let _ = shielded(|| job(false));
        }
    })?;
    *locked(SPARE.get()) = Some(sender);
    Ok(())
}

/// The spare ends once it has run the jobs that it has.
pub(super) fn end_spare() {
    *locked(SPARE.get()) = None;
}

/// Runs `job` on a thread for callbacks. Must be called without locks.
pub(super) fn run(job: Job) {
    let slot = Arc::new(Mutex::new(Some(job)));
    let own = Arc::clone(&slot);
    let take = |slot: &Mutex<Option<Job>>| locked(slot).take();
    let started = start(move || {
        if let Some(job) = take(&own) {
            job(true);
        }
    });
    if started.is_err()
        && let Some(job) = take(&slot)
    {
        run_without_thread(job);
    }
}

fn run_without_thread(job: Job) {
    let spare = locked(SPARE.get()).clone();
    let refused = match spare {
        Some(spare) => spare.send(job).err().map(|refused| refused.0),
        None => Some(job),
    };
    if let Some(job) = refused {
        let _ = shielded(|| job(false));
    }
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
        Self(State::Idle(Box::new(handlers)).into())
    }

    /// Has what is queued delivered. Must be called without locks.
    pub(super) fn call<W: Wire>(&self, driver: Arc<Driver<W>>) {
        let handlers = {
            let mut state = locked(&self.0);
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
        run(Box::new(move |lingers| work(handlers, &driver, lingers)));
    }
}

impl Drop for Courier {
    /// Nothing was ever delivered. This may be any thread, even the helper's.
    fn drop(&mut self) {
        let state = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let State::Idle(handlers) = std::mem::replace(state, State::Over) {
            handlers.discard();
        }
    }
}

/// Delivers what is queued. Without handlers the child is over.
fn work<W: Wire>(mut handlers: Option<Box<Handlers>>, driver: &Arc<Driver<W>>, lingers: bool) {
    let courier = &driver.courier;
    *locked(&courier.0) = State::Busy(Some(thread::current()));
    driver.change(|core| core.delivery.runs_here());
    let over = deliver_all(handlers.as_deref_mut(), driver, lingers);
    if !driver.is_here() {
        // A callback has called `fork`, and this is the copy, where it returned.
        return;
    }
    if over && let Some(handlers) = handlers.take() {
        handlers.end();
        driver.change(|core| {
            core.delivery.end();
            core.delivered();
        });
    }
    {
        let mut state = locked(&courier.0);
        driver.lock().delivery.leave();
        *state = handlers.map_or(State::Over, State::Idle);
    }
    // What came since, or is over since, is the affair of another job.
    driver.change(|_| ());
}

/// Returns whether the child is over; else there is nothing to deliver now.
fn deliver_all<W: Wire>(
    mut handlers: Option<&mut Handlers>,
    driver: &Driver<W>,
    lingers: bool,
) -> bool {
    loop {
        match driver.change(|core| core.delivery.next()) {
            Next::Over => return true,
            Next::Nothing if lingers => thread::park(),
            Next::Nothing => return false,
            Next::Item(item) => {
                deliver(handlers.as_deref_mut(), item);
                if !driver.is_here() {
                    return false;
                }
                driver.change(|core| {
                    core.delivery.delivered();
                    core.delivered();
                });
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
