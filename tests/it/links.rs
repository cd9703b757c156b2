//! Whether a call that was lost with its child had started, over each kind of link: the table of `docs/reliability.md`.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use offspring::{Builder, Rpc, Started, Template};

use crate::support::*;

type Work = fn(Job) -> Result<String, String>;

/// Loses a running call and a call that was sent after it. Returns what each error says about its start.
fn lost(rpc: &Rpc<Work, Json, u32>, end: impl FnOnce()) -> [Started; 2] {
    let (_temp, gate) = Temp::with_gate();
    let runs = rpc.call(Job::Both(
        Box::new(Job::Gate(gate.name())),
        Box::new(Job::Abort),
    ));
    let open = gate.reached();
    let mut waits = rpc.call(Job::Len("sent".into()));
    // A thread that waits sends all calls that are queued.
    let error = waits.wait_timeout(Duration::from_millis(10)).unwrap_err();
    assert!(error.is_timeout(), "{error}");
    end();
    drop(open);
    [runs, waits].map(|call| quickly(|| call.wait()).unwrap_err().started())
}

fn crashes(builder: Builder<Work, Json, u32>) -> [Started; 2] {
    let rpc = builder.begin();
    rpc.ready().wait().unwrap();
    let started = lost(&rpc, || ());
    assert!(!rpc.join().wait().unwrap().success());
    started
}

const EXACT: [Started; 2] = [Started::Yes, Started::No];
const UNKNOWN: [Started; 2] = [Started::Unknown, Started::Unknown];

#[test]
fn children_of_this_machine_count_what_they_start() {
    let _guard = guard();
    assert_eq!(crashes(WORK.builder()), EXACT);
    assert_eq!(crashes(WORK.program(serving("work"))), EXACT);
    let template = Template::builder().start().unwrap();
    assert_eq!(crashes(WORK.template(&template)), EXACT);
}

#[test]
fn a_worker_at_a_socket_counts_too() {
    let _guard = guard();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut child = serving("work").stdin(OwnedFd::from(theirs)).begin();
    let rpc = WORK.builder().socket(ours).begin();
    rpc.ready().wait().unwrap();
    assert_eq!(lost(&rpc, || ()), EXACT);
    let _ = rpc.join().wait();
    child.wait().unwrap();
}

/// A process between parent and child may have lost an answer.
#[test]
fn behind_a_command_it_is_unknown() {
    let _guard = guard();
    assert_eq!(crashes(WORK.command(serving("work"))), UNKNOWN);
}

#[test]
fn the_plain_form_does_not_tell() {
    let _guard = guard();
    assert_eq!(crashes(WORK.program(serving("work")).plain()), UNKNOWN);
}

/// A worker's thread runs on after `kill`; the program does not end.
#[test]
fn a_thread_counts_too() {
    let _guard = guard();
    let (_temp, gate) = Temp::with_gate();
    let rpc = WORK.builder().in_process().begin();
    let runs = rpc.call(Job::LonelyGate(gate.name()));
    let open = gate.reached();
    let mut waits = rpc.call(Job::Len("sent".into()));
    assert!(waits.wait_timeout(Duration::from_millis(10)).is_err());
    rpc.kill();
    let started = [runs, waits].map(|call| quickly(|| call.wait()).unwrap_err().started());
    assert_eq!(started, EXACT);
    drop(open);
    let _ = rpc.join().wait();
}
