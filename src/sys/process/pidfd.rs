//! Waiting for, reaping and signalling a child through its pidfd.
//!
//! There is no handler of `SIGCHLD`, no signal to a process id, and no wait for a process that is not ours.

use crate::base::sync::Mutex;
use crate::exit_status::ExitStatus;
use crate::sys::fd::{create, eventfd};
use crate::sys::poll::poll_fd;
use crate::sys::retry;
use nix::errno::Errno;
use nix::poll::PollFlags;
use std::io;
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Instant;

/// A child of this process.
///
/// Dropping it does not kill the child, and leaves a zombie if the child was not reaped.
#[derive(Debug)]
pub(crate) struct Process {
    pid: u32,
    pidfd: OwnedFd,
    /// Locked while reaping, so that a thread does not take another thread's reaping for that of other code.
    status: Mutex<Option<ExitStatus>>,
}

impl Process {
    /// Opens a child that was just started and that this crate has not waited for.
    ///
    /// If other code has already reaped it, its status is unknown. Another process that has got its process id since is
    /// never touched.
    pub(in crate::sys) fn open(pid: u32) -> io::Result<Self> {
        match open_pidfd(pid) {
            Ok(pidfd) => Self::new(pid, pidfd, None).check_is_child(),
            Err(Errno::ESRCH) => Self::already_reaped(pid),
            Err(errno) => Err(pidfd_error(errno)),
        }
    }

    /// Puts the fields together.
    fn new(pid: u32, pidfd: OwnedFd, status: Option<ExitStatus>) -> Self {
        Self {
            pid,
            pidfd,
            status: Mutex::new(status),
        }
    }

    /// Returns a child that other code has reaped, with an always readable descriptor as its pidfd.
    fn already_reaped(pid: u32) -> io::Result<Self> {
        let ready = eventfd(1)?;
        let copy = ready.as_fd().try_clone_to_owned()?;
        Ok(Self::new(pid, copy, Some(ExitStatus::Unknown)))
    }

    /// Checks that this is a child of this process: another one lives, and cannot be waited for.
    fn check_is_child(self) -> io::Result<Self> {
        match wait(self.pidfd(), libc::WNOWAIT) {
            Err(Errno::ECHILD) if !self.is_over()? => Self::already_reaped(self.pid),
            _ => Ok(self),
        }
    }

    /// Returns the child's process id, for display: after the child is reaped another process may have it.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns the pidfd, which is readable once the child has exited.
    pub(crate) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Waits until the child exits or the deadline comes, and returns whether it has exited.
    ///
    /// # Blocking
    /// Until then.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> io::Result<bool> {
        poll_fd(self.pidfd(), PollFlags::POLLIN, deadline)
    }

    /// Returns whether the child has exited, reaped or not.
    pub(crate) fn is_over(&self) -> io::Result<bool> {
        self.wait(Some(Instant::now()))
    }

    /// Reaps the child if it has exited, and returns its status: `None` while it runs. Later calls return the same.
    pub(crate) fn try_reap(&self) -> io::Result<Option<ExitStatus>> {
        let mut status = self.status.lock();
        if status.is_none() {
            *status = self.reap()?;
        }
        Ok(*status)
    }

    /// Calls `waitid` once. `ECHILD` counts only once the pidfd says that the child has exited.
    fn reap(&self) -> io::Result<Option<ExitStatus>> {
        match wait(self.pidfd(), 0) {
            Err(Errno::ECHILD) => Ok(self.is_over()?.then_some(ExitStatus::Unknown)),
            result => Ok(result?),
        }
    }

    /// Sends the signal with this number. A child that has exited is no error.
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

/// A child that was just started: killed and reaped if it is dropped before [`keep`](Self::keep).
#[derive(Debug)]
pub(crate) struct KillOnDrop(Option<Process>);

impl KillOnDrop {
    pub(in crate::sys) fn new(process: Process) -> Self {
        Self(Some(process))
    }

    /// Returns the child, which the caller reaps from now on.
    pub(crate) fn keep(mut self) -> Process {
        self.0.take().expect("it is kept once")
    }
}

impl Deref for KillOnDrop {
    type Target = Process;
    fn deref(&self) -> &Process {
        self.0.as_ref().expect("it was not kept")
    }
}

impl Drop for KillOnDrop {
    /// # Blocking
    /// Until it has exited.
    fn drop(&mut self) {
        let Some(process) = self.0.take() else { return };
        // A child that already runs as another user is not waited for: it exits when it finds its link closed.
        if process.signal(libc::SIGKILL).is_ok() {
            let _ = process.wait(None).and_then(|_| process.try_reap());
        }
    }
}

/// Opens a pidfd, which is close-on-exec.
fn open_pidfd(pid: u32) -> nix::Result<OwnedFd> {
    // SAFETY: the call takes two numbers.
    let call = || Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) });
    // SAFETY: the descriptor is new, and no other code knows it.
    create(|| call().map(|fd| unsafe { OwnedFd::from_raw_fd(fd as _) }))
}

/// Says what the system lacks.
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

/// Returns how a child has exited, without waiting: `None` if it has not. nix fails here for real-time signals.
fn wait(pidfd: BorrowedFd<'_>, flags: i32) -> nix::Result<Option<ExitStatus>> {
    let flags = flags | libc::WEXITED | libc::WNOHANG;
    let id = pidfd.as_raw_fd() as libc::id_t;
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: the pointer is to a live `siginfo_t`.
    let mut call = || unsafe { libc::waitid(libc::P_PIDFD, id, info.as_mut_ptr(), flags) };
    retry(|| Errno::result(call()))?;
    // SAFETY: zeros are a valid `siginfo_t`, and the kernel writes a valid one.
    let info = unsafe { info.assume_init() };
    // SAFETY: the kernel has written the fields of a child's exit, or they are still zero.
    let (pid, value) = unsafe { (info.si_pid(), info.si_status()) };
    Ok((pid != 0).then(|| status(info.si_code, value)))
}

/// Turns the fields of `siginfo_t` into a status.
fn status(code: i32, value: i32) -> ExitStatus {
    match code {
        libc::CLD_EXITED => ExitStatus::Code(value),
        code => ExitStatus::Signal {
            number: value,
            core_dumped: code == libc::CLD_DUMPED,
        },
    }
}

/// Sends a signal through a pidfd.
fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> nix::Result<()> {
    let details = ptr::null::<libc::siginfo_t>();
    let (call, fd) = (libc::SYS_pidfd_send_signal, pidfd.as_raw_fd());
    // SAFETY: the descriptor is open; a null pointer asks for the `siginfo_t` that `kill` would send.
    let result = unsafe { libc::syscall(call, fd, signal, details, 0) };
    Errno::result(result).map(drop)
}
