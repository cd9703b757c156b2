//! The end of a child, seen and told through its pidfd.
//!
//! There is no handler of `SIGCHLD`, no signal to a number, and no wait for a process that is not ours.

use super::high::{create, eventfd};
use super::poll::poll;
use super::retry;
use crate::base::sync::Mutex;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use std::io;
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Instant;

/// How a child has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// It has exited with this code.
    Exited(i32),
    /// A signal has killed it.
    Signalled {
        /// The number of the signal.
        signal: i32,
        /// Whether there is a core dump.
        core: bool,
    },
    /// Nobody can say: somebody else reaped it, or `SIGCHLD` is ignored.
    Unknown,
}

/// A child of this process.
///
/// Dropping it does not end the child, and leaves a zombie if the child was not reaped.
#[derive(Debug)]
pub(crate) struct Process {
    pid: u32,
    pidfd: OwnedFd,
    /// Held while reaping, so that of two threads none takes the other's success for a stranger's.
    status: Mutex<Option<Status>>,
}

impl Process {
    /// Takes charge of a child that was just started and that nobody here has waited for.
    ///
    /// If it has already vanished, because somebody else reaps whatever they can get, its status is unknown; a
    /// stranger that has got its number meanwhile is never touched.
    pub(super) fn open(pid: u32) -> io::Result<Self> {
        match open_pidfd(pid) {
            Ok(pidfd) => Self::new(pid, pidfd, None).unless_stranger(),
            Err(Errno::ESRCH) => Self::vanished(pid),
            Err(errno) => Err(pidfd_error(errno)),
        }
    }

    /// The fields put together.
    fn new(pid: u32, pidfd: OwnedFd, status: Option<Status>) -> Self {
        Self {
            pid,
            pidfd,
            status: Mutex::new(status),
        }
    }

    /// A child that is gone; a descriptor that is always readable stands for its pidfd.
    fn vanished(pid: u32) -> io::Result<Self> {
        let ready = eventfd(1)?;
        let copy = ready.as_fd().try_clone_to_owned()?;
        Ok(Self::new(pid, copy, Some(Status::Unknown)))
    }

    /// A process that lives and cannot be waited for is no child of ours.
    fn unless_stranger(self) -> io::Result<Self> {
        match wait(self.pidfd(), libc::WNOWAIT) {
            Err(Errno::ECHILD) if !self.is_over()? => Self::vanished(self.pid),
            _ => Ok(self),
        }
    }

    /// The child's number, to be shown; it may be somebody else's once the child is reaped.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// A descriptor that is readable once the child has ended.
    pub(crate) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Waits until the child has ended, or the deadline has come.
    ///
    /// # Blocking
    /// Until then.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> io::Result<bool> {
        poll(
            &mut [PollFd::new(self.pidfd(), PollFlags::POLLIN)],
            deadline,
        )
    }

    /// Whether the child has ended, reaped or not.
    pub(crate) fn is_over(&self) -> io::Result<bool> {
        self.wait(Some(Instant::now()))
    }

    /// Reaps the child if it has ended, and tells how; `None` while it runs. Later calls tell the same.
    pub(crate) fn try_reap(&self) -> io::Result<Option<Status>> {
        let mut status = self.status.lock();
        if status.is_none() {
            *status = self.reap()?;
        }
        Ok(*status)
    }

    /// One look. That there is no child to wait for counts only once the pidfd says that it has ended.
    fn reap(&self) -> io::Result<Option<Status>> {
        match wait(self.pidfd(), 0) {
            Err(Errno::ECHILD) => Ok(self.is_over()?.then_some(Status::Unknown)),
            result => Ok(result?),
        }
    }

    /// Sends a signal, by its number; a child that has ended does not mind.
    pub(crate) fn signal(&self, signal: i32) -> io::Result<()> {
        let status = self.status.lock();
        if status.is_some() {
            return Ok(());
        }
        match send_signal(self.pidfd(), signal) {
            Err(Errno::ESRCH) => Ok(()),
            result => Ok(result?),
        }
    }
}

/// A child that was just started: ended and reaped if it is dropped before it is [kept](Self::keep).
#[derive(Debug)]
pub(crate) struct Fresh(Option<Process>);

impl Fresh {
    pub(super) fn new(process: Process) -> Self {
        Self(Some(process))
    }

    /// Somebody looks after it from now on.
    pub(crate) fn keep(mut self) -> Process {
        self.0.take().expect("it is kept once")
    }
}

impl Deref for Fresh {
    type Target = Process;
    fn deref(&self) -> &Process {
        self.0.as_ref().expect("it was not kept")
    }
}

impl Drop for Fresh {
    /// # Blocking
    /// Until it has ended.
    fn drop(&mut self) {
        let Some(process) = self.0.take() else { return };
        // One that has become another user's already is not waited for; it will find that nobody is there.
        if process.signal(libc::SIGKILL).is_ok() {
            let _ = process.wait(None).and_then(|_| process.try_reap());
        }
    }
}

/// Opens a pidfd, which the kernel makes close-on-exec.
fn open_pidfd(pid: u32) -> nix::Result<OwnedFd> {
    // SAFETY: the call takes two numbers.
    let call = || Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) });
    // SAFETY: the descriptor is new, and nothing else knows it.
    create(|| call().map(|fd| unsafe { OwnedFd::from_raw_fd(fd as _) }))
}

/// Says what is missing.
fn pidfd_error(errno: Errno) -> io::Error {
    match errno {
        Errno::ENOSYS | Errno::EPERM => io::Error::new(
            io::ErrorKind::Unsupported,
            format!(
                "pidfd_open: {errno}; offspring needs Linux 5.4 or newer, and a sandbox that permits pidfds"
            ),
        ),
        errno => errno.into(),
    }
}

/// Asks how a child has ended, without waiting. Not by way of nix, which fails for real-time signals.
fn wait(pidfd: BorrowedFd<'_>, flags: i32) -> nix::Result<Option<Status>> {
    let flags = flags | libc::WEXITED | libc::WNOHANG;
    let id = pidfd.as_raw_fd() as libc::id_t;
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: the pointer is to room for one `siginfo_t`.
    let mut call = || unsafe { libc::waitid(libc::P_PIDFD, id, info.as_mut_ptr(), flags) };
    retry(|| Errno::result(call()))?;
    // SAFETY: all zeros is a valid `siginfo_t`, and so is what the kernel made of it.
    let info = unsafe { info.assume_init() };
    // SAFETY: these fields are those of a child's end, or still zero.
    let (pid, value) = unsafe { (info.si_pid(), info.si_status()) };
    Ok((pid != 0).then(|| status(info.si_code, value)))
}

/// Tells the ways to end apart.
fn status(code: i32, value: i32) -> Status {
    match code {
        libc::CLD_EXITED => Status::Exited(value),
        code => Status::Signalled {
            signal: value,
            core: code == libc::CLD_DUMPED,
        },
    }
}

/// Sends a signal through a pidfd.
fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> nix::Result<()> {
    let details = ptr::null::<libc::siginfo_t>();
    // SAFETY: the descriptor is open; a null pointer asks for the details that `kill` would give.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            details,
            0,
        )
    };
    Errno::result(result).map(drop)
}

/// The name of a signal, `SIGSEGV` say, or `real-time` where it has none.
pub(crate) fn signal_name(signal: i32) -> &'static str {
    nix::sys::signal::Signal::try_from(signal).map_or("real-time", nix::sys::signal::Signal::as_str)
}
