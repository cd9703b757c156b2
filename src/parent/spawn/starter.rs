//! A thread that starts processes, and lives as long as they do.
//!
//! A process depends on the thread that starts it in two ways. It inherits CPU affinity, priority and scheduling, namespaces,
//! capabilities and seccomp filters. And the kernel treats the thread as the parent: a parent-death signal
//! (`PR_SET_PDEATHSIG`, `bwrap --die-with-parent`, `setpriv --pdeathsig`) is sent when that thread exits, and not when the
//! program does.
//!
//! So each pool has a starter for each kind of children, each template has one, and each child that is another program or a
//! command has one. The thread is created by the thread that builds the pool, starts the template, or calls `spawn`, and
//! inherits the above from it. It does not matter which thread later needs a child. The starter exits when the last owner of
//! the [`Starter`] is gone. Owners are the pool or template, and each child until it has exited.
//!
//! The thread blocks all signals, because signals are the program's concern. Children get the signal mask of the thread that
//! created the starter.

use std::io;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{ThreadId, current};

use super::super::creator::Creator;
use crate::base::panics::catch_panic;
use crate::error::Error;
use crate::sys::{self, SignalMask};

type Job = Box<dyn FnOnce() + Send>;

/// A handle of the thread: see the module.
pub(crate) struct Starter {
    jobs: Sender<Job>,
    thread: ThreadId,
    /// The signal mask of the thread that created the starter.
    mask: SignalMask,
    creator: Creator,
}

impl std::fmt::Debug for Starter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Starter")
    }
}

impl Starter {
    /// Creates the thread for a single child. `None` if the calling thread can start processes but no threads, which is so
    /// after `unshare(CLONE_NEWPID)`.
    pub(crate) fn for_child() -> Result<Option<Arc<Self>>, Error> {
        match Self::create() {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(None),
            created => created.map(Some).map_err(refused),
        }
    }

    /// Creates the thread, which inherits from the calling thread.
    pub(crate) fn new() -> Result<Arc<Self>, Error> {
        Self::create().map_err(refused)
    }

    fn create() -> io::Result<Arc<Self>> {
        let (jobs, queue) = channel::<Job>();
        let run = move || {
            sys::children_inherit_own_mask();
            queue.into_iter().for_each(|job| drop(catch_panic(job)));
        };
        let thread = sys::spawn_thread("offspring-start", run)?;
        Ok(Arc::new(Self {
            jobs,
            thread: thread.id(),
            mask: sys::mask_for_children(),
            creator: Creator::current(),
        }))
    }

    /// Queues `job` for the thread.
    pub(crate) fn push(&self, job: impl FnOnce() + Send + 'static) {
        // The thread receives jobs while `self` exists.
        let _ = self.jobs.send(Box::new(job));
    }

    /// Runs `job` on the thread, and returns its result. `None` if it panicked. On the thread itself, and in a forked copy of
    /// the process, which lacks the thread, `job` runs at once.
    ///
    /// While `job` runs, the thread has the signal mask of the waiting caller. It therefore takes no signal that the caller has
    /// blocked.
    ///
    /// # Blocking
    /// Until `job` has run.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        if self.is_here() || !self.creator.is_current() {
            return Some(job());
        }
        let (sender, receiver) = channel();
        let mask = sys::mask_for_children();
        self.push(move || {
            let before = mask.set();
            let value = catch_panic(job);
            before.set();
            // The caller waits for the value.
            let _ = value.map(|value| sender.send(value));
        });
        receiver.recv().ok()
    }

    /// Returns whether the calling thread is the starter.
    fn is_here(&self) -> bool {
        current().id() == self.thread
    }

    /// Gives `command` the signal mask of the thread that created the starter. Only for jobs that were [pushed](Self::push):
    /// [`run`](Self::run) uses the mask of the caller.
    pub(crate) fn hand_down_mask(&self, command: &mut Command) {
        self.mask.apply_to(command);
    }

    /// Returns the signal mask for children, as an argument for this program.
    pub(crate) fn mask(&self) -> String {
        self.mask.to_hex()
    }
}

fn refused(error: io::Error) -> Error {
    let limit = sys::name_limit(&error);
    let text = format_args!("there is no thread to start it from{limit}");
    Error::start(text).caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn it_runs_one_job_after_the_other_and_ends_with_its_last_owner() {
        let starter = Starter::new().unwrap();
        let (sender, receiver) = channel();
        for n in 0..3 {
            let sender = sender.clone();
            starter.push(move || sender.send(n).unwrap());
        }
        let own = Arc::clone(&starter);
        let inner = move || own.run(|| current().id());
        let thread = starter.run(inner).unwrap().unwrap();
        assert_ne!(thread, current().id());
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(starter.run(|| -> u8 { panic!("a start may") }), None);
        starter.push(move || sender.send(3).unwrap());
        drop(starter);
        // The queued job runs, and then the last sender is dropped.
        assert_eq!(receiver.iter().collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn it_takes_no_signals_but_lends_itself_to_a_caller() {
        let starter = Starter::new().unwrap();
        let (sender, receiver) = channel();
        starter.push(move || sender.send(SignalMask::current().to_hex()).unwrap());
        assert_eq!(receiver.recv().unwrap(), {
            let all = thread::spawn(|| {
                SignalMask::all().set();
                SignalMask::current().to_hex()
            });
            all.join().unwrap()
        });
        let own = SignalMask::current().to_hex();
        assert_eq!(starter.run(|| SignalMask::current().to_hex()), Some(own));
    }
}
