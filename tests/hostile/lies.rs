//! The common parts of peers that lie: bytes, frames, and whether the other side has read them.
//!
//! A lie counts if it was told over a link that was open, and read by the other side. To a parent it counts only while a call
//! was open. Where a lie has ended the link, those behind it do not count, and peer and link are replaced by others.

use std::io::IoSlice;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use crate::ring::Ring;
use crate::support::*;

/// How many lies are told in each test.
pub(crate) fn lies() -> u64 {
    let set = std::env::var("OFFSPRING_TEST_LIES").ok();
    set.map_or(20_000, |text| text.parse().unwrap())
}

/// The most that is allocated at one time by both ends: `max_message`, `max_events` and buffers, many times over.
pub(crate) const MOST: usize = 32 << 20;

/// A descriptor to send copies of: stderr, which is always open.
pub(crate) const SOME: RawFd = 2;

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Counts the panics of this process from now on, in any thread. Returns a function that fails if there was one.
pub(crate) fn without_panics() -> impl Fn() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.fetch_add(1, Ordering::SeqCst);
            before(panic);
        }));
    });
    let before = PANICS.load(Ordering::SeqCst);
    move || assert_eq!(PANICS.load(Ordering::SeqCst), before, "a thread panicked")
}

/// Sends bytes with these descriptors, if there is room and a reader.
///
/// Returns whether all of them were sent.
pub(crate) fn send_with(socket: &UnixStream, bytes: &[u8], descriptors: &[RawFd]) -> bool {
    let rights = [ControlMessage::ScmRights(descriptors)];
    let control = if descriptors.is_empty() {
        &[][..]
    } else {
        &rights[..]
    };
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    let parts = [IoSlice::new(bytes)];
    let sent = sendmsg::<()>(socket.as_raw_fd(), &parts, control, flags, None);
    sent == Ok(bytes.len())
}

/// The same, with copies of [`SOME`].
pub(crate) fn send_nonblocking(socket: &UnixStream, bytes: &[u8], copies: usize) -> bool {
    send_with(socket, bytes, &vec![SOME; copies])
}

/// Returns byte strings one behind the other, each with its length.
pub(crate) fn strings(all: &[&[u8]]) -> Vec<u8> {
    let mut list = Vec::new();
    for text in all {
        assert!(text.len() < 128);
        list.push(text.len() as u8);
        list.extend_from_slice(text);
    }
    list
}

pub(crate) fn frame(id: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&id.to_be_bytes(), &length, payload].concat()
}

/// A header whose length is not that of the payload, for the most part.
pub(crate) fn frame_of_any_length(random: &mut Random, id: u32, payload: &[u8]) -> Vec<u8> {
    let length = (random.next() as u32).to_be_bytes();
    [&id.to_be_bytes(), &length, payload].concat()
}

/// Frames out of a buffer; what is too long to be one is left.
pub(crate) fn frames(buffer: &mut Vec<u8>) -> Vec<(u32, Vec<u8>)> {
    let number = |part: &[u8]| u32::from_be_bytes(part.try_into().unwrap());
    let mut found = Vec::new();
    while buffer.len() >= 8 && buffer.len() - 8 >= number(&buffer[4..8]) as usize {
        let end = 8 + number(&buffer[4..8]) as usize;
        let one: Vec<u8> = buffer.drain(..end).collect();
        found.push((number(&one[..4]), one[8..].to_vec()));
    }
    found
}

/// Bytes of any kind, for the most part short.
pub(crate) fn garbage(random: &mut Random) -> Vec<u8> {
    let length = if random.below(50) == 0 {
        random.below(20_000)
    } else {
        random.below(30)
    };
    (0..length).map(|_| random.next() as u8).collect()
}

/// Adds what has come over the socket.
pub(crate) fn receive_into(buffer: &mut Vec<u8>, socket: &UnixStream) {
    let mut bytes = [0; 65_536];
    while let Ok(count @ 1..) =
        nix::sys::socket::recv(socket.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT)
    {
        buffer.extend(&bytes[..count]);
    }
}

/// Returns whether the other side has cut the link.
pub(crate) fn is_cut(socket: &UnixStream) -> bool {
    let mut poll = libc::pollfd {
        fd: socket.as_raw_fd(),
        events: libc::POLLRDHUP,
        revents: 0,
    };
    // SAFETY: one entry, which lives as long as the call.
    unsafe { libc::poll(&raw mut poll, 1, 0) };
    poll.revents & (libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR) != 0
}

/// Returns whether the other side has read all that was sent over the socket.
fn is_read(socket: &UnixStream) -> bool {
    let mut count: libc::c_int = 0;
    // SAFETY: the kernel writes one number.
    unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut count) };
    count == 0
}

/// Waits until the other side has read all, or has cut the link. Returns whether it has read all.
pub(crate) fn is_heard(
    socket: &UnixStream,
    ring: Option<&Ring>,
    mut meanwhile: impl FnMut(),
) -> bool {
    let start = Instant::now();
    loop {
        if is_cut(socket) {
            return false;
        }
        if ring.is_none_or(Ring::is_read) && is_read(socket) {
            return true;
        }
        assert!(start.elapsed() < soon(), "it does not read");
        meanwhile();
        thread::yield_now();
    }
}

/// The same for a peer that scribbles: where the counters are wrong, nothing says when they are looked at.
pub(crate) fn has_had_a_turn(socket: &UnixStream, ring: &Ring) {
    let start = Instant::now();
    while start.elapsed() < Duration::from_micros(300) && !is_cut(socket) && !ring.is_read() {
        thread::yield_now();
    }
}
