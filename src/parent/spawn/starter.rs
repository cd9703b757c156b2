//! A thread that processes are started from, and that stays as long as they do.
//!
//! The thread that starts a process leaves its mark on it twice. The process
//! inherits from it: CPU affinity, priority and scheduling, namespaces,
//! capabilities, seccomp filters. And for the kernel it is the parent: a
//! parent-death signal (`PR_SET_PDEATHSIG`, `bwrap --die-with-parent`,
//! `setpriv --pdeathsig`) comes when that thread ends, not when the program does.
//!
//! So each pool has a starter for each kind of children, each template has one,
//! and so has each child that is another program or a command. The thread is
//! created by the thread that builds the pool, starts the template, or calls
//! `spawn`, and inherits all of the above from it, whichever thread later finds
//! that a child is needed. It ends when the last owner of the [`Starter`] is
//! gone: its pool or template, and each child until that has exited.
//!
//! The thread blocks all signals, since they are the program's. Children get the
//! mask of the thread that created it.

use std::io;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{ThreadId, current};

use super::super::maker::Maker;
use crate::base::panics::shielded;
use crate::error::Error;
use crate::sys::{self, Mask};

type Job = Box<dyn FnOnce() + Send>;

/// See the module.
pub(crate) struct Starter {
    jobs: Sender<Job>,
    thread: ThreadId,
    /// What the thread that created it blocked.
    mask: Mask,
    maker: Maker,
}

impl std::fmt::Debug for Starter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Starter")
    }
}

impl Starter {
    /// Creates the thread for one child. `None` where the calling thread can start
    /// processes, but no threads: after `unshare(CLONE_NEWPID)`.
    pub(crate) fn for_child() -> Result<Option<Arc<Self>>, Error> {
        match Self::create() {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(None),
            created => created.map(Some).map_err(refused),
        }
    }

    /// Creates the thread, which inherits from this one.
    pub(crate) fn new() -> Result<Arc<Self>, Error> {
        Self::create().map_err(refused)
    }

    fn create() -> io::Result<Arc<Self>> {
        let (jobs, queue) = channel::<Job>();
        let run = move || {
            sys::hand_down_own_mask();
            queue.into_iter().for_each(|job| drop(shielded(job)));
        };
        let thread = sys::spawn_thread("offspring-start", run)?;
        Ok(Arc::new(Self {
            jobs,
            thread: thread.id(),
            mask: sys::caller_mask(),
            maker: Maker::this(),
        }))
    }

    /// Has the thread run this, behind what it was given before.
    pub(crate) fn push(&self, job: impl FnOnce() + Send + 'static) {
        // The thread takes jobs as long as this exists.
        let _ = self.jobs.send(Box::new(job));
    }

    /// Runs this on the thread, and returns the result; `None` if it panicked. On
    /// the thread itself, and in a copy of the process that has no such thread,
    /// it runs at once.
    ///
    /// Meanwhile the thread has the signal mask of the calling thread, which
    /// waits: so it takes no signal that the calling thread could not take.
    ///
    /// # Blocking
    /// Until it has run.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        if self.is_here() || !self.maker.is_this() {
            return Some(job());
        }
        let (sender, receiver) = channel();
        let mask = sys::caller_mask();
        self.push(move || {
            let before = mask.set();
            let value = shielded(job);
            before.set();
            // The caller waits for it.
            let _ = value.map(|value| sender.send(value));
        });
        receiver.recv().ok()
    }

    /// Whether this is the thread.
    fn is_here(&self) -> bool {
        current().id() == self.thread
    }

    /// Has the command's process block the signals that it should, where the
    /// thread starts it by itself: `run` sees to it for a thread that waits.
    pub(crate) fn hand_down_mask(&self, command: &mut Command) {
        self.mask.hand_down(command);
    }

    /// The signals that children block, as text for this program.
    pub(crate) fn mask(&self) -> String {
        self.mask.to_text()
    }
}

fn refused(error: io::Error) -> Error {
    let advice = if error.kind() == io::ErrorKind::WouldBlock {
        " (is the limit of processes and threads reached, RLIMIT_NPROC or pids.max?)"
    } else {
        ""
    };
    let text = format_args!("there is no thread to start it from{advice}");
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
        // What it was given before is done; then nothing holds the sender.
        assert_eq!(receiver.iter().collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn it_takes_no_signals_but_lends_itself_to_a_caller() {
        let starter = Starter::new().unwrap();
        let (sender, receiver) = channel();
        starter.push(move || sender.send(Mask::current().to_text()).unwrap());
        assert_eq!(receiver.recv().unwrap(), {
            let all = thread::spawn(|| {
                Mask::all().set();
                Mask::current().to_text()
            });
            all.join().unwrap()
        });
        let own = Mask::current().to_text();
        assert_eq!(starter.run(|| Mask::current().to_text()), Some(own));
    }
}
