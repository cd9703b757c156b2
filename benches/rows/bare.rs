//! The bare socketpair: bytes to another process and back, with nothing above them. No header, no ids, no types.

use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, exit};
use std::time::{Duration, Instant};

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recv, recvmsg, sendmsg};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use super::timed;

const ARGUMENT: &str = "--bare";
/// How long the spinning rows look before they block.
const LONGEST: Duration = Duration::from_micros(50);

/// The bare child, if this process was started to be one.
pub fn serve_if_asked() {
    if let Some((mut socket, bytes, spins)) = asked(ARGUMENT) {
        serve(&mut socket, bytes, spins);
        exit(0)
    }
}

/// The socket of a process that was started so, a length, and whether it spins.
fn asked(argument: &str) -> Option<(UnixStream, usize, bool)> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some(argument) {
        return None;
    }
    let mut number = || arguments.next()?.parse().ok();
    let (bytes, spins) = (number().expect("a length"), number() == Some(1));
    let stdin = std::io::stdin().as_fd().try_clone_to_owned();
    let socket = UnixStream::from(stdin.expect("a descriptor"));
    Some((socket, bytes, spins))
}

/// This program, started so.
fn start(argument: &str, bytes: usize, spins: bool) -> (UnixStream, Child) {
    let (socket, other) = UnixStream::pair().expect("a socketpair");
    let child = Command::new("/proc/self/exe")
        .args([argument, &bytes.to_string(), if spins { "1" } else { "0" }])
        .stdin(OwnedFd::from(other))
        .spawn()
        .expect("this program starts");
    (socket, child)
}

/// Echoes, to the end.
fn serve(socket: &mut UnixStream, bytes: usize, spins: bool) {
    let mut buffer = vec![0; bytes];
    while read(socket, &mut buffer, spins) {
        socket.write_all(&buffer).expect("the parent reads");
    }
}

fn end(socket: &UnixStream, child: &mut Child) {
    let both = std::net::Shutdown::Both;
    socket.shutdown(both).expect("a socket");
    child.wait().expect("a child");
}

/// Fills the buffer; false at the end.
fn read(socket: &mut UnixStream, buffer: &mut [u8], spins: bool) -> bool {
    let mut filled = 0;
    let start = Instant::now();
    while spins && filled == 0 && start.elapsed() < LONGEST {
        match recv(socket.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(0) => return false,
            Ok(count) => filled = count,
            Err(_) => std::hint::spin_loop(),
        }
    }
    while filled < buffer.len() {
        match socket
            .read(&mut buffer[filled..])
            .expect("the socket works")
        {
            0 => return false,
            count => filled += count,
        }
    }
    true
}

/// A process that echoes, a message of one length after the other.
pub struct Bare {
    socket: UnixStream,
    child: Child,
    bytes: Vec<u8>,
    answer: Vec<u8>,
    spins: bool,
}

impl Bare {
    pub fn start(bytes: usize, spins: bool) -> Self {
        let (socket, child) = start(ARGUMENT, bytes, spins);
        let (bytes, answer) = (vec![7; bytes], vec![0; bytes]);
        Self {
            socket,
            child,
            bytes,
            answer,
            spins,
        }
    }

    pub fn echo(&mut self) {
        self.socket.write_all(&self.bytes).expect("the child reads");
        assert!(
            read(&mut self.socket, &mut self.answer, self.spins),
            "the child answers"
        );
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        end(&self.socket, &mut self.child);
    }
}

const FORKS: &str = "--bare-forks";

/// The bare fork server, if this process was started to be one: forks a child of its parent for each socket that comes,
/// and says which number it has.
pub fn fork_if_asked() {
    let Some((mut requests, bytes, spins)) = asked(FORKS) else {
        return;
    };
    while let Some(mut socket) = receive(&requests) {
        let flags = libc::CLONE_PARENT | libc::SIGCHLD;
        // SAFETY: this process has one thread, and so has the child, which is a copy of it.
        let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) } as i32;
        assert!(pid >= 0, "a fork");
        if pid == 0 {
            serve(&mut socket, bytes, spins);
            // SAFETY: it takes a number.
            unsafe { libc::_exit(0) };
        }
        let number = pid.to_ne_bytes();
        requests.write_all(&number).expect("the parent reads");
    }
    exit(0)
}

/// The socket of the next child.
fn receive(requests: &UnixStream) -> Option<UnixStream> {
    let mut byte = [0];
    let mut parts = [IoSliceMut::new(&mut byte)];
    let mut space = nix::cmsg_space!([RawFd; 1]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(requests.as_raw_fd(), &mut parts, Some(&mut space), flags);
    let message = message.expect("the socket works");
    let rights = message.cmsgs().expect("room for one").next()?;
    let ControlMessageOwned::ScmRights(descriptors) = rights else {
        return None;
    };
    // SAFETY: it has just come, and has no other owner.
    Some(unsafe { UnixStream::from_raw_fd(descriptors[0]) })
}

/// A process that forks.
struct Forks {
    socket: UnixStream,
    server: Child,
}

impl Forks {
    fn start(bytes: usize, spins: bool) -> Self {
        let (socket, server) = start(FORKS, bytes, spins);
        Self { socket, server }
    }

    /// A new child: the socket to it, and its number.
    fn fork(&mut self) -> (UnixStream, Pid) {
        let (socket, other) = UnixStream::pair().expect("a socketpair");
        let rights = [other.as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&rights)];
        let part = [IoSlice::new(b"f")];
        let flags = MsgFlags::empty();
        sendmsg::<()>(self.socket.as_raw_fd(), &part, &rights, flags, None).expect("it listens");
        let mut number = [0; 4];
        self.socket.read_exact(&mut number).expect("it forks");
        (socket, Pid::from_raw(i32::from_ne_bytes(number)))
    }
}

impl Drop for Forks {
    fn drop(&mut self) {
        end(&self.socket, &mut self.server);
    }
}

/// A child forked by the bare server, one echo, its end.
pub fn forks(bytes: usize, spins: bool) -> impl FnMut(u64) -> Duration {
    let mut server = Forks::start(bytes, spins);
    let (payload, mut answer) = (vec![7; bytes], vec![0; bytes]);
    move |times| {
        timed(times, || {
            let (mut socket, pid) = server.fork();
            socket.write_all(&payload).expect("the child reads");
            assert!(read(&mut socket, &mut answer, spins), "the child answers");
            drop(socket);
            waitpid(pid, None).expect("a child");
        })
    }
}

/// Echoes of this many bytes, one after the other.
pub fn echoes(bytes: usize, spins: bool) -> impl FnMut(u64) -> Duration {
    let mut bare = Bare::start(bytes, spins);
    move |times| timed(times, || bare.echo())
}

/// Echoes of this many bytes, several in each write; the time of one.
pub fn batches(bytes: usize, batch: u32, spins: bool) -> impl FnMut(u64) -> Duration {
    let mut bare = Bare::start(bytes * batch as usize, spins);
    move |times| {
        let full = times.div_ceil(batch.into());
        let taken = timed(full, || bare.echo());
        taken.mul_f64(times as f64 / (full * u64::from(batch)) as f64)
    }
}

/// A process started, one echo, its end.
pub fn starts(bytes: usize, spins: bool) -> impl FnMut(u64) -> Duration {
    move |times| timed(times, || Bare::start(bytes, spins).echo())
}
