//! A descriptor that a program inherits by its number, for where something stands between that needs the standard
//! streams itself.
//!
//! The number alone would lead a process that finds the argument to some descriptor. The socket's inode says which is meant.

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::stat::{SFlag, fstat};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Has the command's process inherit a socket. Returns what that is to be told.
pub(crate) fn hand_down_socket(command: &mut Command, socket: OwnedFd) -> io::Result<String> {
    let told = format!("{}:{}", socket.as_raw_fd(), fstat(&socket)?.st_ino);
    let hand_down = move || {
        fcntl(&socket, FcntlArg::F_SETFD(FdFlag::empty()))?;
        Ok(())
    };
    // SAFETY: `fcntl` is async-signal-safe; the flag is the new process's own.
    unsafe { command.pre_exec(hand_down) };
    Ok(told)
}

/// The number of the socket that this process was told of, if it has inherited it and nobody has taken it.
fn find_socket(told: &str) -> Option<RawFd> {
    let (number, inode) = told.split_once(':')?;
    let number: RawFd = number.parse().ok().filter(|number| *number > 2)?;
    // SAFETY: if it is closed the call says so, and nothing else is done with it.
    let stat = fstat(unsafe { BorrowedFd::borrow_raw(number) }).ok()?;
    let is_socket = stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFSOCK.bits();
    (is_socket && stat.st_ino.to_string() == inode).then_some(number)
}

/// Returns whether the socket that this process was told of is here.
pub(crate) fn has_inherited_socket(told: &str) -> bool {
    find_socket(told).is_some()
}

/// Takes the socket that this process was told of. It is not close-on-exec.
pub(crate) fn take_inherited_socket(told: &str) -> io::Result<OwnedFd> {
    let number = find_socket(told).ok_or(io::ErrorKind::NotFound)?;
    // SAFETY: it was inherited for this, and is this very socket, so no other code of this process owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
