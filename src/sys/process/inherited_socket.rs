//! A socket that a program inherits by its number, for a program behind a prefix that needs the standard streams itself.
//!
//! The number alone could refer to another file in a process that finds the argument later. So the socket's inode is
//! passed with it.

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::stat::{SFlag, fstat};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Lets the command's process inherit a socket. Returns the text `NUMBER:INODE` for that process.
pub(crate) fn inherit_socket(command: &mut Command, socket: OwnedFd) -> io::Result<String> {
    let told = format!("{}:{}", socket.as_raw_fd(), fstat(&socket)?.st_ino);
    let hand_down = move || {
        fcntl(&socket, FcntlArg::F_SETFD(FdFlag::empty()))?;
        Ok(())
    };
    // SAFETY: `fcntl` is async-signal-safe; the flag is the new process's own.
    unsafe { command.pre_exec(hand_down) };
    Ok(told)
}

/// Returns the number of the socket in `told`, if this process has it open.
fn find_socket(told: &str) -> Option<RawFd> {
    let (number, inode) = told.split_once(':')?;
    let number: RawFd = number.parse().ok().filter(|number| *number > 2)?;
    // SAFETY: `fstat` only queries the number, and fails if it is not open.
    let stat = fstat(unsafe { BorrowedFd::borrow_raw(number) }).ok()?;
    let is_socket = stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFSOCK.bits();
    (is_socket && stat.st_ino.to_string() == inode).then_some(number)
}

/// Returns whether this process has the socket in `told` open.
pub(crate) fn has_inherited_socket(told: &str) -> bool {
    find_socket(told).is_some()
}

/// Takes the socket in `told`. It is not close-on-exec.
pub(crate) fn take_inherited_socket(told: &str) -> io::Result<OwnedFd> {
    let number = find_socket(told).ok_or(io::ErrorKind::NotFound)?;
    // SAFETY: it was inherited for this crate, so no other code of this process owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
