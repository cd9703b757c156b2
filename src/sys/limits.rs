//! What a process may use, and which group and session it belongs to.

use nix::errno::Errno;
pub(crate) use nix::sys::resource::Resource;
use nix::unistd::{Pid, getpgrp, getpid, setpgid, setsid};
use std::io;

/// How long a process may go on that handles `SIGXCPU`, in seconds of CPU time.
const CPU_GRACE: u64 = 1;

/// Limits a process: this one for 0, else a child that nobody has reaped, whose number is its own. The limit is soft
/// and hard, except that of CPU time, whose hard one comes a second later. A hard limit is never raised: one that is
/// lower than what is wanted stays.
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

/// Sets a limit, if one is given; gives the one there was.
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
    // SAFETY: the pointers are to live limits, or null where nothing is to be set.
    let result = unsafe { libc::prlimit(process as libc::pid_t, resource as _, new, &raw mut old) };
    Errno::result(result)?;
    Ok(old)
}

/// Makes a process give way to others, by so much more than it does now: the thread that calls for 0, and those that it
/// starts from now on; else a child as in [`set_limit`].
pub(crate) fn be_nicer(process: u32, by: i8) -> io::Result<()> {
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

/// Makes this process the leader of a group of its own, if it is not.
pub(crate) fn lead_group() -> io::Result<()> {
    if getpgrp() != getpid() {
        setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
    }
    Ok(())
}

/// Makes this process the leader of a session of its own, without a terminal.
pub(crate) fn lead_session() -> io::Result<()> {
    setsid()?;
    Ok(())
}

/// Ends this process at once, and with it the group that it leads, if it leads one.
pub(crate) fn exit_group_now(code: i32) -> ! {
    if getpgrp() == getpid() {
        // The group of the caller has no number that could be a stranger's.
        let _ = nix::sys::signal::kill(Pid::from_raw(0), nix::sys::signal::Signal::SIGKILL);
    }
    super::exit_now(code)
}
