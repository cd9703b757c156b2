//! Descriptors that are above the standard streams, also in a process that has closed some of these.
//!
//! The system gives a new descriptor the lowest number that is free. If that is 0, 1 or 2, what the program prints goes
//! into the new file. So the free ones of these numbers are taken by `/dev/null` while a descriptor is created: a
//! program that prints at that moment loses its text, as it would with the number closed.

use super::retry;
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
const FIRST: RawFd = 3;

/// What holds the free ones of the numbers 0 to 2, for all threads that create descriptors now.
static HELD: Mutex<Held> = Mutex::new(Held {
    users: 0,
    placeholders: Vec::new(),
});

/// Whether a number was found to be free at some time: then others may be, too.
static FOUND_FREE: AtomicBool = AtomicBool::new(false);

struct Held {
    /// How many threads create descriptors.
    users: usize,
    placeholders: Vec<OwnedFd>,
}

/// Descriptors that were just created.
pub(super) trait Created: Sized {
    /// Moves them to numbers above 2: another thread of the program may have had one of the numbers 0 to 2 for a moment,
    /// just when the free ones were taken, and have given it back.
    fn raised(self) -> nix::Result<Self>;
}

impl Created for OwnedFd {
    fn raised(self) -> nix::Result<Self> {
        if self.as_raw_fd() >= FIRST {
            return Ok(self);
        }
        let number = fcntl(&self, FcntlArg::F_DUPFD_CLOEXEC(FIRST))?;
        // SAFETY: the copy was just made, and nothing else knows it.
        Ok(unsafe { Self::from_raw_fd(number) })
    }
}

impl Created for (OwnedFd, OwnedFd) {
    fn raised(self) -> nix::Result<Self> {
        Ok((self.0.raised()?, self.1.raised()?))
    }
}

/// Creates descriptors, with numbers above 2. All descriptors of the crate are created here, but for those that come out
/// of other code's hands.
pub(super) fn create<T: Created>(create: impl FnOnce() -> nix::Result<T>) -> nix::Result<T> {
    above_streams(create)?.raised()
}

/// Calls `create`, whose descriptors get numbers above 2, while the free ones of the lower numbers are taken.
pub(crate) fn above_streams<T, E: From<Errno>>(
    create: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    let _hold = Hold::new()?;
    create()
}

/// Keeps the numbers taken.
struct Hold;

impl Hold {
    fn new() -> nix::Result<Self> {
        let mut held = HELD.lock();
        fill(&mut held.placeholders)?;
        held.users += 1;
        Ok(Self)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = HELD.lock();
        held.users -= 1;
        if held.users == 0 {
            held.placeholders.clear();
        }
    }
}

/// Reads from a socket by `receive`, perhaps with descriptors. These get numbers above 2, as far as it is
/// known that lower ones are free: to ask for that each time would cost more than to read.
///
/// # Blocking
/// As `receive` with these flags.
pub(super) fn receive_above<T>(
    socket: BorrowedFd<'_>,
    flags: MsgFlags,
    mut receive: impl FnMut(MsgFlags) -> nix::Result<T>,
) -> nix::Result<T> {
    if !FOUND_FREE.load(Ordering::Relaxed) {
        return receive(flags);
    }
    loop {
        let received = above_streams(|| receive(flags | MsgFlags::MSG_DONTWAIT));
        if flags.contains(MsgFlags::MSG_DONTWAIT) || !matches!(received, Err(Errno::EAGAIN)) {
            return received;
        }
        // Nothing holds the numbers meanwhile: the program may want them.
        let mut socket = [PollFd::new(socket, PollFlags::POLLIN)];
        retry(|| poll(&mut socket, PollTimeout::NONE))?;
    }
}

/// Moves a descriptor that another process has sent, or the user has given, to a number above 2.
pub(crate) fn raise(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() >= FIRST {
        return Ok(fd);
    }
    FOUND_FREE.store(true, Ordering::Relaxed);
    Ok(fd.raised()?)
}

/// Two ends of a pipe: the one to read from, and the one to write to.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(create(|| pipe2(OFlag::O_CLOEXEC))?)
}

/// A counter that another thread can wake this one by.
pub(super) fn eventfd(value: u32) -> nix::Result<EventFd> {
    let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
    let counter = create(|| EventFd::from_value_and_flags(value, flags).map(OwnedFd::from))?;
    // SAFETY: it was made as one.
    Ok(unsafe { EventFd::from_owned_fd(counter) })
}

/// Opens closed standard streams to `/dev/null`, as the standard library does before `main`.
pub(crate) fn open_streams() {
    let mut placeholders = Vec::new();
    // Where that fails they stay closed, which is no harm to this crate.
    let _ = fill(&mut placeholders);
    for placeholder in placeholders {
        let _ = fcntl(&placeholder, FcntlArg::F_SETFD(FdFlag::empty()));
        // It belongs to the process from now on.
        std::mem::forget(placeholder);
    }
}

/// Takes those of the numbers 0 to 2 that are free.
fn fill(placeholders: &mut Vec<OwnedFd>) -> nix::Result<()> {
    while !(0..FIRST).all(is_open) {
        FOUND_FREE.store(true, Ordering::Relaxed);
        let placeholder = placeholder()?;
        if placeholder.as_raw_fd() < FIRST {
            placeholders.push(placeholder);
        }
    }
    Ok(())
}

fn is_open(number: RawFd) -> bool {
    // SAFETY: the number is only asked about, and that it is not open is an answer, too.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl(fd, FcntlArg::F_GETFD).is_ok()
}

/// Takes whatever is written, and reads as empty. A sandbox without devices has to do with a socket.
fn placeholder() -> nix::Result<OwnedFd> {
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC;
    open("/dev/null", flags, Mode::empty()).or_else(|errno| match UnixDatagram::unbound() {
        Ok(socket) => Ok(socket.into()),
        Err(_) => Err(errno),
    })
}
