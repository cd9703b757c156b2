//! Threads that run the user's callbacks, one callback after the other.
//!
//! A child has such a thread from its first callback until it is over. A pool has one while it
//! has callbacks that belong to no child (`pool/engine.rs`). If the system refuses a thread,
//! the **spare** runs the callbacks: a thread that starts and ends with the reactor, and
//! therefore exists before any callback does. All children and pools share the spare, so a job
//! there does not wait for further callbacks. If there is no reactor, no child is left, and the
//! job runs on the thread that queued the callback. So every callback is called, whatever the
//! system refuses.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, Thread};

use crate::base::panics::catch_panic;
use crate::base::sync::Mutex;
use crate::sys::{self, PerProcess};

/// Runs callbacks. The argument says whether the thread is for this job alone, so that the job
/// may wait for further callbacks.
pub(super) type CallbackJob = Box<dyn FnOnce(bool) + Send>;

/// Sends jobs to the spare. `None` if it does not run.
static SPARE: PerProcess<Mutex<Option<Sender<CallbackJob>>>> = PerProcess::new();

thread_local! {
    static RUNS_CALLBACKS: Cell<bool> = const { Cell::new(false) };
}

/// Returns whether the calling thread runs callbacks, of any child or pool. A wait there waits for no other callback: that
/// may wait for this one, or may have to run on this thread.
pub(super) fn is_callback_thread() -> bool {
    RUNS_CALLBACKS.get()
}

fn start(run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let run = || {
        RUNS_CALLBACKS.set(true);
        sys::unblock_fault_signals();
        run();
    };
    sys::spawn_thread("offspring-callbacks", run).map(drop)
}

/// The spare. It ends when this is dropped, once it has run the jobs that were sent.
pub(super) struct Spare(Sender<CallbackJob>);

impl Spare {
    pub(super) fn start() -> io::Result<Self> {
        let (sender, jobs) = channel::<CallbackJob>();
        start(move || {
            for job in jobs {
                let _ = catch_panic(|| job(false));
            }
        })?;
        Ok(Self(sender))
    }

    /// Makes this the spare of the process.
    pub(super) fn install(self) {
        *SPARE.get().lock() = Some(self.0);
    }

    /// Ends the spare of the process.
    pub(super) fn uninstall() {
        *SPARE.get().lock() = None;
    }
}

/// The thread that runs the callbacks of a queue. The lock of the queue guards it, so a callback
/// that is queued finds the thread, or starts one.
#[derive(Debug, Default)]
pub(crate) enum CallbackThread {
    #[default]
    Absent,
    /// It is being started, and will look into the queue.
    Starting,
    Running(Thread),
}

/// How to have queued callbacks run. No lock may be held meanwhile.
pub(crate) enum CallbackWake {
    Start,
    Wake(Thread),
}

/// The next step of the thread.
pub(crate) enum NextStep {
    Again,
    Wait,
    Exit,
}

impl CallbackThread {
    /// Returns how to have the callbacks run that were queued. `None` if the thread will see
    /// them anyway.
    pub(crate) fn wake(&mut self) -> Option<CallbackWake> {
        match self {
            Self::Absent => {
                *self = Self::Starting;
                Some(CallbackWake::Start)
            }
            Self::Starting => None,
            Self::Running(thread) => Some(CallbackWake::Wake(thread.clone())),
        }
    }

    /// Notes that this thread runs the callbacks.
    pub(crate) fn begin(&mut self) {
        if !self.is_here() {
            *self = Self::Running(thread::current());
        }
    }

    /// Notes that the thread exits. A callback that is queued after this starts a thread.
    pub(crate) fn exit(&mut self) {
        *self = Self::Absent;
    }

    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// Returns whether the calling thread runs the callbacks.
    pub(crate) fn is_here(&self) -> bool {
        matches!(self, Self::Running(thread) if thread.id() == thread::current().id())
    }
}

/// Starts a thread that calls `step` for each callback. The argument of `step` says whether the
/// thread may wait for further callbacks.
pub(super) fn run_each(mut step: impl FnMut(bool) -> NextStep + Send + 'static) {
    run(Box::new(move |may_wait| {
        loop {
            match step(may_wait) {
                NextStep::Again => {}
                NextStep::Wait => thread::park(),
                NextStep::Exit => return,
            }
        }
    }));
}

/// Starts a thread that runs `job`. The caller must not hold a lock.
pub(super) fn run(job: CallbackJob) {
    let slot = Arc::new(Mutex::new(Some(job)));
    let own = Arc::clone(&slot);
    let take = |slot: &Mutex<Option<CallbackJob>>| slot.lock().take();
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

fn run_without_thread(job: CallbackJob) {
    let spare = SPARE.get().lock().clone();
    let refused = match spare {
        Some(spare) => spare.send(job).err().map(|refused| refused.0),
        None => Some(job),
    };
    if let Some(job) = refused {
        run_here(job);
    }
}

/// Runs `job` on this thread, which runs callbacks meanwhile.
fn run_here(job: CallbackJob) {
    let before = RUNS_CALLBACKS.replace(true);
    let _ = catch_panic(|| job(false));
    RUNS_CALLBACKS.set(before);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_runs_a_callback_itself_waits_for_no_other() {
        let (sender, receiver) = channel();
        assert!(!is_callback_thread());
        run_here(Box::new(move |may_wait| {
            sender.send((may_wait, is_callback_thread())).unwrap();
            panic!("on purpose");
        }));
        assert_eq!(receiver.recv(), Ok((false, true)));
        assert!(!is_callback_thread());
    }
}
