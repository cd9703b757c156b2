//! Threads that run the user's callbacks, one callback after the other.
//!
//! A child has such a thread from its first delivery until it is over, a pool
//! has one while it has callbacks that belong to no child (`pool/aside.rs`). If the system
//! refuses a thread, the **spare** runs the job: a thread that starts and ends
//! with the helper, so it is there before anything can need it. All children and
//! pools share the spare, so a job there does not wait for more to do. Without a
//! helper no child is left, and a job is run where it comes from: it waits for
//! nothing. So every callback is called, whatever the system refuses.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, Thread};

use crate::base::panics::shielded;
use crate::base::sync::Mutex;
use crate::sys::{self, PerProcess};

/// A job; it is told whether its thread is its own, and may wait for more to do.
pub(super) type Job = Box<dyn FnOnce(bool) + Send>;

/// The way to the spare, while there is one.
static SPARE: PerProcess<Mutex<Option<Sender<Job>>>> = PerProcess::new();

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
    *SPARE.get().lock() = Some(sender);
    Ok(())
}

/// The spare ends once it has run the jobs that it has.
pub(super) fn end_spare() {
    *SPARE.get().lock() = None;
}

/// Whether a thread runs the callbacks of an owner. It stands behind the lock of the
/// owner's queue, so whatever is queued finds the thread, or starts one.
#[derive(Debug, Default)]
pub(crate) enum Runner {
    /// There is none.
    #[default]
    Absent,
    /// It will begin, and look.
    Called,
    Runs(Thread),
}

/// How to have callbacks run that were queued. To be done without locks.
pub(crate) enum Call {
    Start,
    Wake(Thread),
}

/// What a thread does next.
pub(crate) enum Next {
    Again,
    Wait,
    Leave,
}

impl Runner {
    /// Something was queued.
    pub(crate) fn call(&mut self) -> Option<Call> {
        match self {
            Self::Absent => {
                *self = Self::Called;
                Some(Call::Start)
            }
            Self::Called => None,
            Self::Runs(thread) => Some(Call::Wake(thread.clone())),
        }
    }

    /// This thread runs the callbacks until it leaves.
    pub(crate) fn begin(&mut self) {
        if !self.is_here() {
            *self = Self::Runs(thread::current());
        }
    }

    /// The thread leaves. What is queued after this must call again.
    pub(crate) fn leave(&mut self) {
        *self = Self::Absent;
    }

    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// Returns whether this is the thread.
    pub(crate) fn is_here(&self) -> bool {
        matches!(self, Self::Runs(thread) if thread.id() == thread::current().id())
    }
}

/// Runs one callback after the other, each by a call of `step`, on a thread for
/// callbacks. `step` is told whether the thread may wait for more.
pub(super) fn run_each(mut step: impl FnMut(bool) -> Next + Send + 'static) {
    run(Box::new(move |may_wait| {
        loop {
            match step(may_wait) {
                Next::Again => {}
                Next::Wait => thread::park(),
                Next::Leave => return,
            }
        }
    }));
}

/// Runs `job` on a thread for callbacks. Must be called without locks.
pub(super) fn run(job: Job) {
    let slot = Arc::new(Mutex::new(Some(job)));
    let own = Arc::clone(&slot);
    let take = |slot: &Mutex<Option<Job>>| slot.lock().take();
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
    let spare = SPARE.get().lock().clone();
    let refused = match spare {
        Some(spare) => spare.send(job).err().map(|refused| refused.0),
        None => Some(job),
    };
    if let Some(job) = refused {
        let _ = shielded(|| job(false));
    }
}
