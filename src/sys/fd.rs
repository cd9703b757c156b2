//! File descriptors above 2, also in a process that has closed its standard streams.
//!
//! The kernel gives a new descriptor the lowest free number. If that is 0, 1 or 2, the program's output goes into the new
//! file. So `/dev/null` occupies the free ones of these numbers while a descriptor is created. A program that prints at
//! that moment loses its text, as it would with the number closed.

use super::{PerProcess, retry};
use crate::base::sync::Mutex;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::socket::MsgFlags;
use nix::sys::stat::Mode;
use nix::unistd::pipe2;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, Ordering};

/// The lowest number that the crate uses.
const FIRST_FD: RawFd = 3;

/// The placeholders of all threads that create descriptors now.
static PLACEHOLDERS: PerProcess<Mutex<Placeholders>> = PerProcess::new();

/// Whether one of the numbers 0 to 2 was ever found free.
static STDIO_WAS_CLOSED: AtomicBool = AtomicBool::new(false);

#[derive(Default)]
struct Placeholders {
    /// The number of threads that create descriptors.
    users: usize,
    fds: Vec<OwnedFd>,
}

/// File descriptors that were just created.
pub(super) trait NewFd: Sized {
    /// Moves them to numbers above 2. Another thread of the program may have closed one of 0 to 2 after the placeholders
    /// were opened.
    fn moved_up(self) -> nix::Result<Self>;
}

impl NewFd for OwnedFd {
    fn moved_up(self) -> nix::Result<Self> {
        if self.as_raw_fd() >= FIRST_FD {
            return Ok(self);
        }
        let number = fcntl(&self, FcntlArg::F_DUPFD_CLOEXEC(FIRST_FD))?;
        // SAFETY: the copy was just created, and no other code knows it.
        Ok(unsafe { Self::from_raw_fd(number) })
    }
}

impl NewFd for (OwnedFd, OwnedFd) {
    fn moved_up(self) -> nix::Result<Self> {
        Ok((self.0.moved_up()?, self.1.moved_up()?))
    }
}

/// Creates file descriptors with numbers above 2. The crate creates all descriptors here, except those that other code
/// returns.
pub(super) fn create<T: NewFd>(create: impl FnOnce() -> nix::Result<T>) -> nix::Result<T> {
    above_stdio(create)?.moved_up()
}

/// Calls `create` while placeholders occupy the free ones of the numbers 0 to 2.
pub(crate) fn above_stdio<T, E: From<Errno>>(
    create: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    let _hold = StdioGuard::new()?;
    create()
}

/// Keeps the placeholders open.
struct StdioGuard(&'static Mutex<Placeholders>);

impl StdioGuard {
    fn new() -> nix::Result<Self> {
        let placeholders = PLACEHOLDERS.get();
        let mut held = placeholders.lock();
        fill_stdio(&mut held.fds)?;
        held.users += 1;
        Ok(Self(placeholders))
    }
}

impl Drop for StdioGuard {
    fn drop(&mut self) {
        let mut held = self.0.lock();
        held.users -= 1;
        if held.users == 0 {
            held.fds.clear();
        }
    }
}

/// Reads from a socket by `receive`, perhaps with file descriptors. These get numbers above 2 if a lower number was ever
/// found free. Checking the numbers before each read would cost more than the read.
///
/// # Blocking
/// As `receive` with these flags.
pub(super) fn receive_above_stdio<T>(
    socket: BorrowedFd<'_>,
    flags: MsgFlags,
    mut receive: impl FnMut(MsgFlags) -> nix::Result<T>,
) -> nix::Result<T> {
    if !STDIO_WAS_CLOSED.load(Ordering::Relaxed) {
        return receive(flags);
    }
    loop {
        let received = above_stdio(|| receive(flags | MsgFlags::MSG_DONTWAIT));
        if flags.contains(MsgFlags::MSG_DONTWAIT) || !matches!(received, Err(Errno::EAGAIN)) {
            return received;
        }
        // No placeholder is open while this sleeps: the program may open a standard stream.
        let mut socket = [PollFd::new(socket, PollFlags::POLLIN)];
        retry(|| poll(&mut socket, PollTimeout::NONE))?;
    }
}

/// Moves a file descriptor of the user's, or of another process, to a number above 2.
pub(crate) fn move_above_stdio(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() >= FIRST_FD {
        return Ok(fd);
    }
    STDIO_WAS_CLOSED.store(true, Ordering::Relaxed);
    Ok(fd.moved_up()?)
}

/// Creates a pipe, and returns the end to read from and the end to write to.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(create(|| pipe2(OFlag::O_CLOEXEC))?)
}

/// Creates an eventfd with this value, in non-blocking mode.
pub(super) fn eventfd(value: u32) -> nix::Result<EventFd> {
    let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
    let counter = create(|| EventFd::from_value_and_flags(value, flags).map(OwnedFd::from))?;
    // SAFETY: it is an eventfd.
    Ok(unsafe { EventFd::from_owned_fd(counter) })
}

/// Opens closed standard streams to `/dev/null`, as the standard library does before `main`.
pub(crate) fn open_closed_stdio() {
    let mut fds = Vec::new();
    // If that fails they stay closed, which does not harm this crate.
    let _ = fill_stdio(&mut fds);
    for placeholder in fds {
        let _ = fcntl(&placeholder, FcntlArg::F_SETFD(FdFlag::empty()));
        // It stays open until the process exits.
        std::mem::forget(placeholder);
    }
}

/// Opens placeholders for the free ones of the numbers 0 to 2.
fn fill_stdio(fds: &mut Vec<OwnedFd>) -> nix::Result<()> {
    while !(0..FIRST_FD).all(is_open) {
        STDIO_WAS_CLOSED.store(true, Ordering::Relaxed);
        let placeholder = placeholder()?;
        if placeholder.as_raw_fd() < FIRST_FD {
            fds.push(placeholder);
        }
    }
    Ok(())
}

/// A number of which the system does not say whether it is open is taken to be: else it would never be found taken.
fn is_open(number: RawFd) -> bool {
    // SAFETY: `fcntl` only queries the number, and fails if it is not open.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl(fd, FcntlArg::F_GETFD) != Err(Errno::EBADF)
}

/// Opens `/dev/null`, or a socket in a sandbox without devices.
fn placeholder() -> nix::Result<OwnedFd> {
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC;
    open("/dev/null", flags, Mode::empty()).or_else(|errno| match UnixDatagram::unbound() {
        Ok(socket) => Ok(socket.into()),
        Err(_) => Err(errno),
    })
}
