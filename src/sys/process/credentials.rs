//! User, groups, capabilities and umask of this process.
//!
//! libc changes users and groups in all threads. Capabilities and "no new privileges" belong to the calling thread, and to
//! the threads that it starts later.

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Group, Uid, User, getuid, setgroups, setresgid, setresuid};
use std::io;

/// The number that `setresuid` and `setresgid` take for "unchanged".
const NO_ID: u32 = u32::MAX;

/// Returns a user's number by its name or number, and its group if the system knows the user.
///
/// # Errors
/// It is neither.
pub(crate) fn find_user(name: &str) -> Result<(u32, Option<u32>), String> {
    let number = name.parse().ok().filter(|number| *number != NO_ID);
    let found = match number {
        Some(number) => User::from_uid(Uid::from_raw(number)),
        None => User::from_name(name),
    };
    match (found, number) {
        (Ok(Some(user)), _) => Ok((user.uid.as_raw(), Some(user.gid.as_raw()))),
        (_, Some(number)) => Ok((number, None)),
        (Ok(None), None) => Err(format!("there is no user `{name}` here")),
        (Err(error), None) => Err(format!("the user `{name}` cannot be looked up: {error}")),
    }
}

/// Returns a group's number by its name or number.
///
/// # Errors
/// It is neither.
pub(crate) fn find_group(name: &str) -> Result<u32, String> {
    match name.parse() {
        Ok(number) if number != NO_ID => return Ok(number),
        _ => {}
    }
    match Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        Ok(None) => Err(format!("there is no group `{name}` here")),
        Err(error) => Err(format!("the group `{name}` cannot be looked up: {error}")),
    }
}

pub(crate) fn set_groups(groups: &[u32]) -> io::Result<()> {
    let groups: Vec<_> = groups.iter().copied().map(Gid::from_raw).collect();
    Ok(setgroups(&groups)?)
}

/// Sets the real, effective and saved group.
pub(crate) fn set_group(group: u32) -> io::Result<()> {
    let group = Gid::from_raw(group);
    Ok(setresgid(group, group, group)?)
}

/// Sets the real, effective and saved user, and drops all capabilities if that is not root. The kernel drops them by
/// itself only from a thread that was root.
pub(crate) fn set_user(user: u32) -> io::Result<()> {
    let user = Uid::from_raw(user);
    setresuid(user, user, user)?;
    if getuid().is_root() {
        return Ok(());
    }
    // Version 3 and the calling thread; effective, permitted and inheritable capabilities, two words each.
    let (mut header, none) = ([0x2008_0522_u32, 0], [0_u32; 6]);
    // SAFETY: both point to live words in the layout of version 3; the kernel may write to the header.
    let done = unsafe { libc::syscall(libc::SYS_capset, header.as_mut_ptr(), none.as_ptr()) };
    Errno::result(done)?;
    Ok(())
}

pub(crate) fn set_no_new_privileges() -> io::Result<()> {
    Ok(prctl::set_no_new_privs()?)
}

pub(crate) fn set_umask(mask: u32) {
    umask(Mode::from_bits_truncate(mask));
}
