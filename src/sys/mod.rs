//! What only the operating system can do: the one place with `unsafe` and with conditions on the target.
//!
//! Every call here goes through `nix`, or through `libc` where `nix` lacks it. Three rules hold throughout: a call that
//! a signal interrupts is made again, a descriptor is close-on-exec from birth and above 2
//! (`high.rs`), and nothing raises `SIGPIPE`
//! or `SIGXFSZ` (`raised.rs`).
//!
//! The promises need Linux 5.4 or newer (waiting through a pidfd).

#[cfg(not(target_os = "linux"))]
compile_error!(
    "offspring works on Linux only: it rests on pidfds, epoll, eventfds and sealed memory files"
);

mod control;
mod fork;
mod high;
mod inherited;
mod limits;
mod lineage;
mod link;
mod mask;
mod memory;
mod poll;
mod poller;
mod port;
mod raised;
mod reap;
mod registry;
mod rights;
mod ring;
mod spawn;
mod streams;
#[cfg(test)]
mod tests;
mod thread;
mod transport;

pub(crate) use control::{Answer, Birth, ForkClient, Requests};
pub(crate) use fork::{Alone, lasting_threads};
#[allow(
    unused_imports,
    reason = "only the concurrent backend has descriptors created by others"
)]
pub(crate) use high::above_streams;
pub(crate) use high::{open_streams, pipe};
pub(crate) use inherited::{hand_down_socket, has_inherited_socket, take_inherited_socket};
pub(crate) use limits::{Resource, be_nicer, exit_group_now, lead_group, lead_session, set_limit};
pub(crate) use lineage::{PerProcess, process};
pub(crate) use link::{Link, set_nonblocking};
pub(crate) use mask::Mask;
pub use memory::SharedMemory;
pub(crate) use memory::{Found, Identity, Lasting, Sealed};
pub(crate) use poll::{Interest, Ready};
pub(crate) use poller::{PollEvent, Poller};
pub(crate) use port::Port;
pub(crate) use raised::ignore_sigpipe;
pub(crate) use reap::{Fresh, Process, Status, signal_name};
pub use registry::Registration;
pub(crate) use registry::{preloads, registrations};
pub(crate) use rights::{
    find_group, find_user, refuse_new_privileges, set_group, set_groups, set_umask, set_user,
};
pub(crate) use ring::{LinkMemory, Rings};
pub(crate) use spawn::{is_lasting, no_directory, own_program, spawn, why_not_started};
pub(crate) use streams::{
    cpus, enter, exit_now, flush_streams, is_stdout, null, open_directory, put_stream,
    set_thread_name, take_stdin, take_stdout,
};
#[allow(
    unused_imports,
    reason = "only the concurrent backend starts threads of others"
)]
pub(crate) use thread::with_signals_blocked;
pub(crate) use thread::{
    caller_mask, hand_down_own_mask, spawn_small_thread, spawn_thread, take_faults,
};
#[cfg(test)]
pub(crate) use transport::MAX_DESCRIPTORS;
pub(crate) use transport::{Arrival, ReadMode};

use nix::errno::Errno;
use std::io;

/// Makes a call again for as long as signals interrupt it.
fn retry<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

/// Descriptors were not sent because too many are on their way that nobody has received.
pub(crate) fn is_too_many_in_flight(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ETOOMANYREFS)
}

/// Tells a call that would have blocked from one that failed.
fn unless_blocked<T>(result: nix::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::EAGAIN) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}
