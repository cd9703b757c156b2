//! The bare socketpair: octets to another process and back, with nothing above them. No header, no ids, no types.

use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, exit};
use std::time::{Duration, Instant};

use nix::sys::socket::{MsgFlags, recv};

use super::timed;

const ARGUMENT: &str = "--bare";
/// How long the spinning rows look before they block.
const LONGEST: Duration = Duration::from_micros(50);

/// The bare child, if this process was started to be one.
pub fn serve_if_asked() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some(ARGUMENT) {
        return;
    }
    let mut number = || arguments.next()?.parse().ok();
    let (octets, spins) = (number().expect("a length"), number() == Some(1));
    let stdin = std::io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .expect("a descriptor");
    let mut socket = UnixStream::from(stdin);
    let mut buffer = vec![0; octets];
    while read(&mut socket, &mut buffer, spins) {
        socket.write_all(&buffer).expect("the parent reads");
    }
    exit(0)
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
    octets: Vec<u8>,
    answer: Vec<u8>,
    spins: bool,
}

impl Bare {
    pub fn start(octets: usize, spins: bool) -> Self {
        let (socket, other) = UnixStream::pair().expect("a socketpair");
        let child = Command::new("/proc/self/exe")
            .args([ARGUMENT, &octets.to_string(), if spins { "1" } else { "0" }])
            .stdin(OwnedFd::from(other))
            .spawn()
            .expect("this program starts");
        let (octets, answer) = (vec![7; octets], vec![0; octets]);
        Self {
            socket,
            child,
            octets,
            answer,
            spins,
        }
    }

    pub fn echo(&mut self) {
        self.socket
            .write_all(&self.octets)
            .expect("the child reads");
        assert!(
            read(&mut self.socket, &mut self.answer, self.spins),
            "the child answers"
        );
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.socket
            .shutdown(std::net::Shutdown::Both)
            .expect("a socket");
        self.child.wait().expect("a child");
    }
}

/// Echoes of so many octets, one after the other.
pub fn echoes(octets: usize, spins: bool) -> impl FnMut(u64) -> Duration {
    let mut bare = Bare::start(octets, spins);
    move |times| timed(times, || bare.echo())
}

/// Echoes of so many octets, so many in each write; the time of one.
pub fn batches(octets: usize, batch: u32, spins: bool) -> impl FnMut(u64) -> Duration {
    let mut bare = Bare::start(octets * batch as usize, spins);
    move |times| {
        let full = times.div_ceil(batch.into());
        let taken = timed(full, || bare.echo());
        taken.mul_f64(times as f64 / (full * u64::from(batch)) as f64)
    }
}

/// A process started, one echo, its end.
pub fn starts(octets: usize) -> impl FnMut(u64) -> Duration {
    move |times| timed(times, || Bare::start(octets, false).echo())
}
