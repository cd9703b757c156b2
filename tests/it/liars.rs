//! Peers that lie: about file descriptors, lengths, and themselves.

use std::io::{IoSlice, PipeReader, Read, Write, pipe};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use offspring::format::{Output, Serialiser};
use offspring::{Descriptor, Postcard, worker};

use crate::descriptors::Task;
use crate::peers::{Peer, frame, send_with};
use crate::support::*;

worker!(
    /// Served only by the peers in this file.
    PIPE: fn() -> Descriptor<PipeReader>
        = || -> Descriptor<PipeReader> { unreachable!("it is another one's") },
    name = "peer"
);

/// An announcement, and the lots that are then sent. Each lot is sent with the announcement at its
/// place, and further lots with the frame itself.
type Lie = (&'static str, &'static [u32], &'static [usize]);

const LIES: &[Lie] = &[
    ("too few", &[2], &[1]),
    ("too many", &[1], &[2]),
    ("none", &[1], &[0]),
    ("none of the second lot", &[1, 1], &[1, 0]),
    ("none of the first lot", &[1, 1], &[0, 1]),
    ("it could not send them", &[0], &[0]),
    ("not announced", &[], &[1]),
    ("many, not announced", &[], &[253]),
    ("more than announced", &[1], &[1, 3]),
    ("far too many", &[253], &[1]),
];

/// Sends a frame with these announcements and lots.
fn tell(socket: &UnixStream, (_, announced, lots): Lie, frame: &[u8]) {
    let (reader, _writer) = pipe().unwrap();
    let mut lots = lots.iter().copied();
    for count in announced {
        let header = [(5 << 28 | count).to_be_bytes(), [0; 4]].concat();
        send_with(
            socket,
            &header,
            reader.as_raw_fd(),
            lots.next().unwrap_or(0),
        );
    }
    send_with(socket, frame, reader.as_raw_fd(), lots.next().unwrap_or(0));
}

const HONEST: Lie = ("honest", &[1], &[1]);

/// Whether a frame with one file descriptor arrives that is sent so. Further file descriptors are only
/// closed.
fn is_whole((_, announced, lots): Lie) -> bool {
    announced == [1] && lots[0] == 1
}

#[test]
fn a_child_that_lies() {
    let _guard = guard();
    let before = descriptors().len();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let rpc = PIPE.builder().socket(ours).quiet().begin();
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut peer = Peer(theirs);
            peer.greet();
            for lie in LIES {
                for what in [*lie, HONEST] {
                    let (id, _) = peer.frame();
                    // The index 0, as a byte string.
                    tell(&peer.0, what, &frame(id, &[4, 0, 0, 0, 0]));
                }
            }
            assert_eq!(peer.0.read(&mut [0]).unwrap(), 0);
        });
        rpc.ready().wait().unwrap();
        let open = descriptors().len();
        assert!(open > before);
        for lie in LIES {
            match rpc.call().wait() {
                Ok(_) => assert!(is_whole(*lie), "{}", lie.0),
                Err(error) => assert!(error.is_decode() && !is_whole(*lie), "{}: {error}", lie.0),
            }
            rpc.call().wait().unwrap();
            // The peer closes its pipe a little after it has sent it.
            until(|| descriptors().len() == open);
        }
        rpc.join().wait().unwrap();
    });
}

/// The bytes of a call of this worker with one file descriptor.
fn counting(id: u32) -> Vec<u8> {
    let (mut bytes, mut table) = (Vec::new(), Vec::new());
    let (reader, _writer) = pipe().unwrap();
    let arguments = (Task::Count, vec![Descriptor::<OwnedFd>::new(reader.into())]);
    let output = &mut Output::with_descriptors(&mut bytes, &mut table);
    <Postcard as Serialiser<(Task, Vec<Descriptor>)>>::encode(&arguments, output).unwrap();
    frame(id, &bytes)
}

#[test]
fn a_parent_that_lies() {
    let _guard = guard();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut child = serving("fds").stdin(OwnedFd::from(theirs)).begin();
    let mut peer = Peer(ours);
    let fields = ["worker", "fds", "serialiser", "postcard", "link", "socket"];
    peer.0.write_all(&hello(b'P', 1, &fields)).unwrap();
    assert_eq!(peer.frame().0, 0xf0ff_5942);
    assert_eq!(peer.frame().0, 4 << 28);
    let mut counts = Vec::new();
    for (id, lie) in (1..).zip(LIES) {
        tell(&peer.0, *lie, &counting(id));
        let (answered, payload) = peer.frame();
        if is_whole(*lie) {
            assert_eq!(answered, id, "{}", lie.0);
        } else {
            assert_eq!(answered, 1 << 28 | id, "{}", lie.0);
            assert!(payload.starts_with(b"\x06decode"), "{}", lie.0);
        }
        tell(&peer.0, HONEST, &counting(id));
        let (answered, payload) = peer.frame();
        assert_eq!(answered, id, "after {}", lie.0);
        counts.push(payload);
    }
    // The same number of file descriptors is open each time.
    counts.dedup();
    assert_eq!(counts.len(), 1, "{counts:?}");
    drop(peer);
    assert!(child.wait().unwrap().success());
}

/// A child refuses a parent of another version, and names both versions.
#[test]
fn a_parent_of_another_version() {
    let _guard = guard();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.write_all(&hello(b'P', 2, &[])).unwrap();
    let output = serving("fds").stdin(OwnedFd::from(theirs)).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(101));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    // Its hello is on stdout, because the parent's has not said that the link is a socket.
    let text = String::from_utf8_lossy(&output.stdout);
    let wanted = "the parent speaks version 2 of the protocol, this worker 1";
    assert!(text.contains(wanted), "{text}");
}

/// A child whose link is cut in the middle of a frame, before and after hello, does not blame the parent.
#[test]
fn a_child_whose_link_is_cut() {
    let _guard = guard();
    let fields = ["worker", "fds", "serialiser", "postcard", "link", "socket"];
    let hello = hello(b'P', 1, &fields);
    for sent in [&hello[..hello.len() - 1], &[&hello[..], &[0; 3]].concat()] {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(sent).unwrap();
        ours.shutdown(Shutdown::Write).unwrap();
        let output = serving("fds").stdin(OwnedFd::from(theirs)).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(101));
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(!text.contains("broke the protocol"), "{text}");
        let places = ["in the middle of a frame", "in the middle of hello"];
        assert!(places.iter().any(|place| text.contains(place)), "{text}");
    }
}

/// Resets the peak of this process's resident memory. Returns a function that reads the peak in bytes.
fn memory_of(act: impl FnOnce()) -> usize {
    let status = |name: &str| {
        let text = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        let number = line.split_whitespace().nth(1).unwrap();
        number.parse::<usize>().unwrap() << 10
    };
    // Sets the peak to the present value.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status("VmRSS:");
    act();
    status("VmHWM:").saturating_sub(before)
}

worker!(
    /// Served only by the peers in this file.
    TOLD: fn(String) -> String = |text: String| text,
    name = "peer",
    events = String,
);

/// A child that sends this before, or after, its hello, while that many calls are open. Returns the error
/// of the last call.
fn told(calls: usize, greets: bool, says: Vec<u8>) -> offspring::Error {
    let (ours, theirs) = UnixStream::pair().unwrap();
    // Over rings, no call arrives before hello.
    let rpc = TOLD.builder().socket(ours).rings(false).quiet().begin();
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut peer = Peer(theirs);
            if greets {
                peer.greet();
            }
            for _ in 0..calls + usize::from(!greets) {
                peer.frame();
            }
            // The parent may have closed the link before it has read everything.
            let _ = peer.0.write_all(&says);
            let _ = peer.0.shutdown(std::net::Shutdown::Write);
            while peer.0.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {}
        });
        let calls: Vec<_> = (0..calls).map(|_| rpc.call("so")).collect();
        let errors: Vec<_> = calls
            .into_iter()
            .map(|call| call.wait().unwrap_err())
            .collect();
        // The peer waits for this.
        drop(rpc);
        errors.last().unwrap().clone()
    })
}

/// X80: what a child sends takes a small multiple of its length in memory, and little time. What exceeds
/// a limit is refused, and the error names the limit.
#[test]
fn small_lies_take_little_memory() {
    alone(|| {
        const MB: usize = 1 << 20;
        let failure = |code: &str, message: &[u8]| {
            let mut list = vec![code.len() as u8];
            list.extend(code.as_bytes());
            let length = message.len();
            list.extend([
                0x80 | (length >> 14) as u8,
                0x80 | (length >> 7) as u8 & 0x7f,
            ]);
            list.push((length & 0x7f) as u8);
            list.extend(message);
            list
        };
        let failed = |length| frame(1 << 28 | 1, &vec![0; length]);
        let panic = |id| frame(id, &failure("panic", &vec![0xff; MB - 100]));
        let ready = frame(4 << 28, &vec![0; 64 * MB]);
        let many = |id, count| [frame(id, &[]).repeat(count), frame(9, &[])].concat();
        let hello = |length| frame(0xf0ff_5942, &[b"C\x01".to_vec(), vec![0; length]].concat());
        let long_hello = [0xf0ff_5942_u32, u32::MAX].map(u32::to_be_bytes).concat();
        let mut refusal = b"C\x01\x05error\x83\xf4\x00".to_vec();
        refusal.extend([0xff; 0xfa00]);
        let refusal = frame(0xf0ff_5942, &refusal);
        // Calls, whether the child says hello, what it sends, the error, memory in MB.
        type Row = (usize, bool, Vec<u8>, &'static str, usize);
        let table: Vec<Row> = vec![
            (1, true, failed(64 * MB), "the limit is 1048576", 16),
            (1, true, failed(MB), "more than 16 strings", 16),
            (1, false, hello(64 * MB), "the limit is 65536", 16),
            (1, false, hello(60_000), "more than 128 strings", 16),
            (1, false, long_hello, "the limit is 65536", 16),
            (5000, false, refusal, "\u{fffd}\u{fffd}", 32),
            (5000, true, panic(1 << 28), "init failed", 32),
            (1, true, panic(1 << 28 | 1), "panicked", 32),
            (1, true, many(4 << 28, 100_000), "call 9", 16),
            (1, true, many(6 << 28, 100_000), "call 9", 16),
            (1, true, many(0, 100_000), "call 9", 64),
            (1, true, many(2 << 28 | 1, 1_000_000), "call 9", 32),
            (1, true, ready, "the limit is 0", 16),
        ];
        // What the first call takes in any case.
        told(5000, true, frame(9, &[]));
        for (index, (calls, greets, says, words, most)) in table.into_iter().enumerate() {
            let taken = memory_of(|| {
                let error = quickly(|| told(calls, greets, says)).to_string();
                let start: String = error.chars().take(300).collect();
                assert!(error.contains(words), "{index}: {start}");
            });
            assert!(taken < most * MB, "{index} took {taken} bytes");
        }
    });
}

/// X80: an error text of a child arrives, cut off if it is too long.
#[test]
fn long_texts_of_a_child_are_cut_off() {
    let _guard = guard();
    const LONG: usize = 10 << 20;
    worker!(LONG_PANIC: fn() = || -> () { panic!("{}", "x".repeat(LONG)) });
    worker!(LONG_INIT: fn() = |_: &mut ()| (), init() = || Err::<(), _>("x".repeat(LONG)));
    let (one, two) = (
        LONG_PANIC
            .builder()
            .stderr(offspring::Stdio::null())
            .begin(),
        LONG_INIT.builder().quiet().begin(),
    );
    for error in [one.call().wait(), one.call().wait(), two.call().wait()] {
        let text = error.unwrap_err().to_string();
        assert!(text.contains("xxx") && text.ends_with("(cut off, of 10485760 bytes)"));
        assert!((100_000..1 << 20).contains(&text.len()), "{}", text.len());
    }
    one.join().wait().unwrap();
    let _ = two.join().wait();
}

/// X84: file descriptors that belong to no message, or to a message that never ends.
#[test]
fn a_child_that_floods_descriptors() {
    alone(|| {
        let _guard = guard();
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
        let announcement = [(5 << 28 | 253_u32).to_be_bytes(), [0; 4]].concat();
        let long = frame(0, &[0; 1000]);
        // What 253 file descriptors each are sent with.
        let floods: [Vec<Vec<u8>>; 3] = [
            vec![announcement; 60],
            long[..60].iter().map(|byte| vec![*byte]).collect(),
            vec![frame(0, &[]); 60],
        ];
        for (index, flood) in floods.into_iter().enumerate() {
            for plain in [false, true] {
                if plain && index == 0 {
                    continue;
                }
                let (ours, theirs) = UnixStream::pair().unwrap();
                let builder = TOLD.builder().socket(ours).on_event(|_| ()).quiet();
                let builder = builder.when(plain, |own| own.plain());
                let rpc = builder.begin();
                let call = rpc.call("so");
                let before = descriptors().len();
                let error = thread::scope(|scope| {
                    let peer = scope.spawn(|| {
                        let mut peer = Peer(theirs);
                        if !plain {
                            peer.greet();
                        }
                        peer.frame();
                        let (reader, _writer) = pipe().unwrap();
                        for bytes in &flood {
                            let rights = [reader.as_raw_fd(); 253];
                            let rights = [ControlMessage::ScmRights(&rights)];
                            let socket = peer.0.as_raw_fd();
                            let parts = [IoSlice::new(bytes)];
                            // The parent may have closed its end.
                            if sendmsg::<()>(socket, &parts, &rights, MsgFlags::MSG_NOSIGNAL, None)
                                .is_err()
                            {
                                break;
                            }
                        }
                        let _ = peer.0.shutdown(std::net::Shutdown::Write);
                        while peer.0.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {}
                    });
                    let error = call.wait().unwrap_err();
                    rpc.join().wait().unwrap_or(offspring::ExitStatus::Unknown);
                    peer.join().unwrap();
                    error
                });
                let text = error.to_string();
                // File descriptors after a complete frame, or in the plain form, are closed at once.
                let breaks = index < 2 && !plain;
                assert_eq!(error.is_protocol(), breaks, "{index}, {plain}: {text}");
                if breaks {
                    assert!(
                        text.contains("the limit is 1024") && text.contains("`max_descriptors`"),
                        "{text}"
                    );
                    let number = text.split(' ').find_map(|word| word.parse::<usize>().ok());
                    assert!(number.unwrap() <= 1024 + 253, "{text}");
                }
                until(|| descriptors().len() <= before);
            }
        }
    });
}

/// X84: a child closes the link of a parent that floods it.
#[test]
fn a_parent_that_floods_descriptors() {
    let _guard = guard();
    for most in [None, Some("300")] {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut child = serving("fds")
            .stdin(OwnedFd::from(theirs))
            .stderr(std::process::Stdio::null())
            .begin();
        let mut peer = Peer(ours);
        let mut fields = vec!["worker", "fds", "serialiser", "postcard", "link", "socket"];
        fields.extend(most.iter().flat_map(|most| ["max-descriptors", *most]));
        peer.0.write_all(&hello(b'P', 1, &fields)).unwrap();
        assert_eq!(peer.frame().0, 0xf0ff_5942);
        assert_eq!(peer.frame().0, 4 << 28);
        let (reader, _writer) = pipe().unwrap();
        let lots = if most.is_some() { 2 } else { 5 };
        let rights = [reader.as_raw_fd(); 253];
        for byte in &frame(1, &[0; 1000])[..lots] {
            let rights = [ControlMessage::ScmRights(&rights)];
            let parts = [IoSlice::new(std::slice::from_ref(byte))];
            let sent = sendmsg::<()>(
                peer.0.as_raw_fd(),
                &parts,
                &rights,
                MsgFlags::MSG_NOSIGNAL,
                None,
            );
            assert!(sent.is_ok());
        }
        assert_eq!(peer.0.read(&mut [0]).unwrap_or(0), 0);
        assert_eq!(child.wait().unwrap().code(), Some(101));
    }
}
