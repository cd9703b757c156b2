//! The template: a process that preloads values and then only forks.
//!
//! ```text
//!  hello ──▶ hello back ──▶ preload ──▶ ready ──▶ fork, fork, fork …
//!                                                  │
//!                                     in the child ▼
//!                                     hello, as if exec had brought it here
//! ```
//!
//! Until it is ready, its parent treats it as any child. Afterwards the link only shows that the template is alive.
//! Requests come over a separate socket (`sys/process/fork_server.rs`), each with the link of the new child. The child's
//! environment, directory and streams come with the hello over that link, so no child inherits anything from the request
//! of another.
//!
//! The template exits with its parent, at once: while it preloads, the kernel kills it; afterwards it exits at the end of
//! the requests.

use std::os::fd::OwnedFd;
use std::process::exit;
use std::sync::Arc;

use offspring_serialisers::{Format, Input, Octets, Serialiser};

use super::exit_code::FAILED;
use super::handshake::{Backend, Handshake};
use crate::protocol::{Failure, FailureCode, TEMPLATE};
use crate::sys::{self, ChildLink, ForkServer, ForkedChild};

/// The backend, as the template's hello names it: it runs no calls.
const BACKEND: Backend = Backend {
    name: Some("template"),
    start: || Ok(()),
};

impl Handshake {
    /// Returns the handshake itself, unless the parent asks for a template. A template serves here, and returns the
    /// handshake of a child in each child that it forks.
    pub(crate) fn serve_if_template(self) -> Self {
        if self.hello.text("worker") != TEMPLATE {
            return self;
        }
        Self::from_fork(serve_as_template(self))
            .unwrap_or_else(|stop| exit(stop.code("the link to the parent does not work: ")))
    }
}

/// Serves as a template. Returns in each child.
fn serve_as_template(mut handshake: Handshake) -> ForkedChild {
    if std::os::unix::process::parent_id() == 0 {
        let code = handshake.refuse(
            "the template is in another namespace of process ids than its parent (after `unshare(CLONE_NEWPID)`), and cannot fork children for it: start them without a template",
        );
        exit(code);
    }
    let control = handshake.take("control").pop();
    let control = control.zip(handshake.take("forks").pop());
    let greeting = handshake.answer_hello(TEMPLATE, Octets::NAME, &BACKEND, true);
    let (conn, (list, descriptors)) = greeting.unwrap_or_else(|code| exit(code));
    let prepared = || -> Result<ForkServer, String> {
        let (control, page) = control.ok_or("the parent has not sent what a template needs")?;
        let requests = ForkServer::new(control, page).map_err(|error| error.to_string())?;
        prepare(&requests, &list, descriptors)?;
        Ok(requests)
    };
    match prepared() {
        Ok(requests) => {
            if let Err(unsent) = conn.ready() {
                exit(unsent.exit_code());
            }
            // The open link shows the parent that this process is alive. Memory that a child would free is freed here,
            // because freeing it in the child would copy its pages.
            drop(conn.reply_writer);
            let _link = Arc::into_inner(conn.link).map(ChildLink::without_rings);
            drop(conn.reader);
            drop(conn.requests);
            drop(list);
            requests.serve()
        }
        Err(text) => {
            // It fails if the parent has exited.
            let _ = conn
                .reply_writer
                .init_failed(&Failure::new(FailureCode::Refused, text));
            exit(FAILED)
        }
    }
}

/// Runs the preload functions.
fn prepare(requests: &ForkServer, list: &[u8], descriptors: Vec<OwnedFd>) -> Result<(), String> {
    let with_parent = |on| {
        requests
            .die_with_parent(on)
            .map_err(|error| format!("it cannot watch its parent: {error}"))
    };
    with_parent(true)?;
    let list: Vec<Vec<u8>> = <Octets as Serialiser<Vec<Vec<u8>>>>::decode(&mut Input::new(list))
        .map_err(|error| error.to_string())?;
    let mut descriptors = descriptors.into_iter();
    for item in list.chunks_exact(4) {
        let text = |index: usize| String::from_utf8_lossy(&item[index]);
        let count = text(2).parse().unwrap_or(0);
        let own = descriptors.by_ref().take(count).collect();
        preload(&text(0), &text(1), &item[3], own)?;
    }
    sys::flush_stdio();
    with_parent(false)
}

fn preload(
    name: &str,
    origin: &str,
    arguments: &[u8],
    descriptors: Vec<OwnedFd>,
) -> Result<(), String> {
    let found = crate::base::registry::find("preload", sys::preloads(), name, origin)?;
    crate::base::panics::catch_panic(|| found.load(arguments, descriptors))
        .unwrap_or_else(|panic| Err(format!("it panicked: {panic}")))
        .map_err(|text| format!("`{name}` could not be preloaded: {text}"))
}
