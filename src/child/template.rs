//! The template: a process that loads what its parent names, and then does
//! nothing but fork.
//!
//! ```text
//!  hello ──▶ hello back ──▶ preload ──▶ ready ──▶ fork, fork, fork …
//!                                                  │
//!                                     in the child ▼
//!                                     hello, as if exec had brought it here
//! ```
//!
//! To its parent it is a child like others until it is ready; after that the
//! link only says that it is there. Requests come over a socket of their own
//! (`sys/control.rs`), each with the link of the child to be. What that child
//! differs in comes with its own hello, over its own link: the template knows
//! nothing of it. So there is nothing that one child could inherit from the
//! request of another.
//!
//! It goes with its parent, at once: while it preloads the kernel sees to it,
//! afterwards the end of the requests is the end.

use std::os::fd::OwnedFd;
use std::process::exit;
use std::sync::Arc;

use offspring_serialisers::{Format, Input, Octets, Serialiser};

use super::outgoing::Outgoing;
use super::session::{Backend, FAILED, Session};
use crate::protocol::{Failure, FailureCode, TEMPLATE};
use crate::sys::{self, Birth, Requests};

/// What the parent is told of how calls run here: they do not.
const BACKEND: Backend = Backend {
    name: Some("template"),
    start: || Ok(()),
};

impl Session {
    /// The session itself, unless the parent wants a template: then this is one,
    /// and gives the session of each child that it forks, in that child.
    pub(crate) fn unless_template(self) -> Self {
        if self.hello.text("worker") != TEMPLATE {
            return self;
        }
        Self::of_fork(be_template(self))
            .unwrap_or_else(|stop| exit(stop.code("the link to the parent does not work: ", 1)))
    }
}

/// Returns in each child.
fn be_template(mut session: Session) -> Birth {
    if std::os::unix::process::parent_id() == 0 {
        let code = session.refuse(
            "the template is in another namespace of process ids than its parent (after `unshare(CLONE_NEWPID)`), and cannot fork children for it: start them without a template",
        );
        exit(code);
    }
    let (control, page) = (session.take("control").pop(), session.take("forks").pop());
    let greeting = session.greet(TEMPLATE, Octets::NAME, &BACKEND, true);
    let (conversation, (list, descriptors)) = greeting.unwrap_or_else(|code| exit(code));
    let prepared = control
        .zip(page)
        .ok_or_else(|| "the parent has not sent what a template needs".to_owned())
        .and_then(|(control, page)| Requests::new(control, page).map_err(|error| error.to_string()))
        .and_then(|requests| {
            prepare(&requests, &list, descriptors)?;
            Ok(requests)
        });
    match prepared {
        Ok(requests) => {
            if conversation.ready().is_err() {
                exit(0);
            }
            // All that is left is the link, which says that this process is
            // there. What a child would have to free, it would have to copy.
            let _link = Arc::into_inner(conversation.outgoing).and_then(Outgoing::into_port);
            drop(conversation.reader);
            drop(conversation.requests);
            drop(list);
            requests.serve()
        }
        Err(text) => {
            // It fails if the parent is gone.
            let _ = conversation
                .outgoing
                .unfit(&Failure::new(FailureCode::Refused, text));
            exit(FAILED)
        }
    }
}

/// Runs what is to be preloaded.
fn prepare(requests: &Requests, list: &[u8], descriptors: Vec<OwnedFd>) -> Result<(), String> {
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
    sys::flush_streams();
    with_parent(false)
}

fn preload(
    name: &str,
    origin: &str,
    arguments: &[u8],
    descriptors: Vec<OwnedFd>,
) -> Result<(), String> {
    let found = crate::base::registry::find("preload", sys::preloads(), name, origin)?;
    crate::base::panics::shielded(|| found.load(arguments, descriptors))
        .unwrap_or_else(|panic| Err(format!("it panicked: {panic}")))
        .map_err(|text| format!("`{name}` could not be preloaded: {text}"))
}
