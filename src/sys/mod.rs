//! The operating system: the one module with `unsafe` and with conditions on the target.
//!
//! System calls go through `nix`, or through `libc` where `nix` lacks them. Three rules hold throughout: a call that a
//! signal interrupts is repeated, a file descriptor is created close-on-exec and above 2 (`fd.rs`), and no call raises
//! `SIGPIPE` or `SIGXFSZ` (`thread/suppress.rs`).
//!
//! The promises need Linux 5.4 or newer (waiting through a pidfd).

#[cfg(not(target_os = "linux"))]
compile_error!(
    "offspring works on Linux only: it rests on pidfds, epoll, eventfds and sealed memory files"
);

mod fd;
mod fork_id;
mod link;
mod memory;
mod poll;
mod process;
mod registry;
mod ring;
#[cfg(test)]
mod tests;
mod thread;

pub(crate) use fd::{above_stdio, open_closed_stdio, pipe};
pub(crate) use fork_id::{PerProcess, fork_id};
#[cfg(test)]
pub(crate) use link::MAX_DESCRIPTORS;
pub(crate) use link::{ChildLink, FdBatch, Link, ParentLink, ReadMode, set_nonblocking};
pub use memory::SharedMemory;
pub(crate) use memory::{FileId, SealedMap, SharedFile, SharedMap};
#[cfg(test)]
pub(crate) use poll::Readiness;
pub(crate) use poll::{Interest, PollEvent, Poller, check_async_io, has_epoll};
pub(crate) use process::credentials::{
    find_group, find_user, set_group, set_groups, set_no_new_privileges, set_umask, set_user,
};
pub(crate) use process::fork::{SingleThreaded, count_lasting_threads};
pub(crate) use process::fork_server::{ForkClient, ForkOutcome, ForkServer, ForkedChild};
pub(crate) use process::inherited_socket::{
    has_inherited_socket, inherit_socket, take_inherited_socket,
};
pub(crate) use process::limits::{
    Resource, add_nice, become_group_leader, become_session_leader, exit_with_group, set_limit,
};
pub(crate) use process::pidfd::{KillOnDrop, Process};
pub(crate) use process::spawn::{
    cannot_enter_directory, explain_failed_spawn, is_permanent, name_limit, own_program, spawn,
};
pub(crate) use process::stdio::{
    cpus, enter, exit_now, flush_stdio, is_stdout, null, open_directory, set_stdio,
    set_thread_name, take_stdin, take_stdout,
};
pub use registry::RegistryEntry;
pub(crate) use registry::{preloads, registrations};
pub(crate) use ring::{LinkMemory, Rings, coarse_clock};
pub(crate) use thread::{
    SignalMask, children_inherit_own_mask, ignore_sigpipe, mask_for_children, spawn_small_thread,
    spawn_thread, unblock_fault_signals, with_signals_blocked,
};

use nix::errno::Errno;
use std::io;

/// Repeats a call while signals interrupt it (`EINTR`).
fn retry<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

/// Returns whether file descriptors were not sent because too many are in flight (`ETOOMANYREFS`).
pub(crate) fn is_too_many_fds_in_flight(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ETOOMANYREFS)
}

/// Returns whether a write failed because the other side has closed the link, or has exited.
pub(crate) fn is_gone_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected};
    matches!(error.kind(), BrokenPipe | ConnectionReset | NotConnected)
}

/// Turns `EAGAIN` into `None`.
fn unless_blocked<T>(result: nix::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::EAGAIN) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}
