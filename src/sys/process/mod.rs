//! Processes: starting them by exec or fork, their end, and what a child does to itself before it works.
//!
//! Not here: signals and threads of this process (`thread`), and what a child and its parent say to each other (`link`).

pub(super) mod credentials;
pub(super) mod fork;
pub(super) mod fork_server;
pub(super) mod inherited_socket;
pub(super) mod limits;
pub(super) mod pidfd;
pub(super) mod spawn;
pub(super) mod stdio;
