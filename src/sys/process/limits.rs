//! Resource limits, priority, process group and session.

use nix::errno::Errno;
pub(crate) use nix::sys::resource::Resource;
use nix::unistd::{Pid, getpgrp, getpid, setpgid, setsid};
use std::io;

/// Seconds of CPU time between `SIGXCPU` and `SIGKILL`.
const CPU_GRACE: u64 = 1;

/// Sets the soft and hard limit of a process: 0 for this one, otherwise the process id of a child that is not reaped. The
/// hard limit of CPU time is a second higher. A hard limit that is below `amount` stays.
pub(crate) fn set_limit(process: u32, resource: Resource, amount: u64) -> io::Result<()> {
    let ceiling = prlimit(process, resource, None)?.rlim_max;
    let mut limit = libc::rlimit {
        rlim_cur: (amount as libc::rlim_t).min(ceiling),
        rlim_max: (amount as libc::rlim_t).min(ceiling),
    };
    if resource == Resource::RLIMIT_CPU {
        limit.rlim_max = limit.rlim_cur.saturating_add(CPU_GRACE).min(ceiling);
    }
    prlimit(process, resource, Some(&limit)).map(drop)
}

/// Sets the limit `new`, if any, and returns the one before.
fn prlimit(
    process: u32,
    resource: Resource,
    new: Option<&libc::rlimit>,
) -> io::Result<libc::rlimit> {
    let mut old = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    let new = new.map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the pointers are to live limits; `new` may be null.
    let result = unsafe { libc::prlimit(process as libc::pid_t, resource as _, new, &raw mut old) };
    Errno::result(result)?;
    Ok(old)
}

/// Adds `by` to the nice value of a process as in [`set_limit`]; for 0, of the calling thread and those that it starts.
pub(crate) fn add_nice(process: u32, by: i8) -> io::Result<()> {
    Errno::clear();
    // SAFETY: the call takes two numbers.
    let now = unsafe { libc::getpriority(libc::PRIO_PROCESS, process as libc::id_t) };
    if now == -1 && Errno::last_raw() != 0 {
        return Err(Errno::last().into());
    }
    let wanted = now.saturating_add(by.into());
    // SAFETY: the call takes three numbers.
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, process as libc::id_t, wanted) };
    Errno::result(result)?;
    Ok(())
}

/// Makes this process a group leader, if it is none.
pub(crate) fn become_group_leader() -> io::Result<()> {
    if getpgrp() != getpid() {
        setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
    }
    Ok(())
}

/// Makes this process the leader of a new session, without a terminal.
pub(crate) fn become_session_leader() -> io::Result<()> {
    setsid()?;
    Ok(())
}

/// Kills the process group, if this process leads one, and exits at once.
pub(crate) fn exit_with_group(code: i32) -> ! {
    if getpgrp() == getpid() {
        // 0 is the group of the caller, so no other group is hit.
        let _ = nix::sys::signal::kill(Pid::from_raw(0), nix::sys::signal::Signal::SIGKILL);
    }
    crate::sys::exit_now(code)
}
