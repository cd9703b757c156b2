//! Tests that span several files, or need a separate process.

mod child_link;
mod descriptors;
mod link;
mod memory;
mod poller;
mod process;
mod registry;
mod signals;
mod stdio;

use super::{ChildLink, Link, LinkMemory, ParentLink, Process, Rings};
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::pipe2;
use std::collections::BTreeSet;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// The variable that is set in a process that runs the body of one test.
const BODY: &str = "OFFSPRING_TEST_BODY";

/// Runs a test in a separate process, because signals and the table of file descriptors belong to the process.
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

/// Returns the command that runs one test of this folder.
fn again(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a path"));
    command.args(["--exact", "--nocapture", &format!("sys::tests::{name}")]);
    command.env(BODY, "1").stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs `body`, and fails the test if it does not end within 20 s.
fn soon<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    thread::spawn(move || done.send(body()));
    result
        .recv_timeout(Duration::from_secs(20))
        .expect("it ends, and without a panic")
}

/// Returns both ends of a link over a socket, over two pipes, and over rings.
fn all_kinds() -> [(ParentLink, ChildLink); 3] {
    [over_socket(), over_pipes(), over_rings()]
}

fn over_rings() -> (ParentLink, ChildLink) {
    let (link, port) = over_socket();
    let (ours, fd) = LinkMemory::create().expect("memory");
    let theirs = LinkMemory::open(fd).expect("the same memory");
    let link = link.with_rings(Some(Rings::of_parent(ours.into())));
    link.accept_rings(&[], Vec::new());
    port.use_rings(Rings::of_child(theirs.into()));
    (link, port)
}

fn over_socket() -> (ParentLink, ChildLink) {
    let (link, theirs) = ParentLink::pair().expect("a socket pair");
    (link, ChildLink::from_socket(theirs).expect("a port"))
}

fn over_pipes() -> (ParentLink, ChildLink) {
    let ((to_child, from_parent), (to_parent, from_child)) = (pipe(), pipe());
    let link = ParentLink::from_pair(to_parent, from_parent).expect("a link");
    (
        link,
        ChildLink::from_pair(to_child, from_child).expect("a port"),
    )
}

/// Starts a program.
fn spawn(command: &mut Command) -> std::io::Result<Process> {
    Ok(super::spawn(command, |_| Ok(()))?.keep())
}

/// Returns the end to read from and the end to write to.
fn pipe() -> (OwnedFd, OwnedFd) {
    pipe2(OFlag::O_CLOEXEC).expect("a pipe")
}

/// Returns the numbers of all open file descriptors.
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

/// Returns the file descriptors that a program started now would inherit.
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

/// Sets the soft limit of open files. For a test in a separate process.
fn limit_descriptors(count: u64) {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, count, hard).unwrap();
}
