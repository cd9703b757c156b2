//! Tests of what needs more than one file, or a process of its own.

mod descriptors;
mod link;
mod memory;
mod poller;
mod port;
mod process;
mod registry;
mod signals;
mod streams;

use super::{Link, LinkMemory, Port, Process, Rings};
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::unistd::pipe2;
use std::collections::BTreeSet;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Set in a process that was started to run the body of one test.
const BODY: &str = "OFFSPRING_TEST_BODY";

/// Runs a test alone in a process: for what is one for all threads, such as signals and the table of descriptors.
fn alone(name: &str, body: impl FnOnce()) {
    if std::env::var_os(BODY).is_some() {
        return body();
    }
    let output = again(name).output().expect("the test binary runs again");
    assert!(
        output.status.success(),
        "{name}: {}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    assert!(
        text(&output.stdout).contains("1 passed"),
        "there is no test {name}"
    );
}

/// This test binary, told to run one test of this folder.
fn again(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a path"));
    command.args(["--exact", "--nocapture", &format!("sys::tests::{name}")]);
    command.env(BODY, "1").stdin(Stdio::null());
    command
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// Runs what must come to an end, and fails the test if it does not.
fn soon<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    thread::spawn(move || done.send(body()));
    result
        .recv_timeout(Duration::from_secs(20))
        .expect("it ends, and without a panic")
}

/// A link over a socket with its port, one over two pipes, and one over rings.
fn all_kinds() -> [(Link, Port); 3] {
    [over_socket(), over_pipes(), over_rings()]
}

fn over_rings() -> (Link, Port) {
    let (link, port) = over_socket();
    let (ours, fd) = LinkMemory::create().expect("memory");
    let theirs = LinkMemory::open(fd).expect("the same memory");
    let link = link.with_rings(Some(Rings::of_parent(ours.into())));
    link.accept_rings(&[], Vec::new());
    port.use_rings(Rings::of_child(theirs.into()));
    (link, port)
}

fn over_socket() -> (Link, Port) {
    let (link, theirs) = Link::pair().expect("a socket pair");
    (link, Port::from_socket(theirs).expect("a port"))
}

fn over_pipes() -> (Link, Port) {
    let ((to_child, from_parent), (to_parent, from_child)) = (pipe(), pipe());
    let link = Link::from_pair(to_parent, from_parent).expect("a link");
    (link, Port::from_pair(to_child, from_child).expect("a port"))
}

/// Starts a program that needs nothing more.
fn spawn(command: &mut Command) -> std::io::Result<Process> {
    Ok(super::spawn(command, |_| Ok(()))?.keep())
}

/// The end to read from, and the end to write to.
fn pipe() -> (OwnedFd, OwnedFd) {
    pipe2(OFlag::O_CLOEXEC).expect("a pipe")
}

/// The numbers of all open descriptors.
fn open_descriptors() -> BTreeSet<RawFd> {
    let list = std::fs::read_dir("/proc/self/fd").expect("/proc");
    let numbers = list.map(|entry| {
        entry
            .expect("an entry")
            .file_name()
            .to_str()
            .expect("a number")
            .parse()
            .unwrap()
    });
    let listed: BTreeSet<RawFd> = numbers.collect();
    // The one that the list itself was read through is closed by now.
    listed
        .into_iter()
        .filter(|&number| flags_of(number).is_some())
        .collect()
}

/// Those that a program started now would inherit.
fn inheritable() -> BTreeSet<RawFd> {
    let inherits =
        |number: &RawFd| flags_of(*number).is_some_and(|flags| !flags.contains(FdFlag::FD_CLOEXEC));
    open_descriptors().into_iter().filter(inherits).collect()
}

fn flags_of(number: RawFd) -> Option<FdFlag> {
    // SAFETY: the number is only asked about, and an error is an answer too.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl(fd, FcntlArg::F_GETFD)
        .ok()
        .map(FdFlag::from_bits_retain)
}

fn set_nonblocking(fd: BorrowedFd<'_>) {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL).unwrap());
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).unwrap();
    assert!(fd.as_raw_fd() > 2);
}

/// Lowers the highest number that a new descriptor can get; for a test that runs alone.
fn limit_descriptors(count: u64) {
    let limit = libc::rlimit {
        rlim_cur: count,
        rlim_max: count,
    };
    // SAFETY: the pointer is to a live limit.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
}
