//! Descriptors beside the bytes: sent, received, lost.

use std::collections::VecDeque;
use std::io::IoSlice;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use super::super::ancillary::Loss;
use super::super::frame::announcement;
use super::super::reader::NextFrame;
use super::super::{
    FlowLimits, Form, Frame, FrameKind, HEADER, Hello, ReadUpTo, ReplyFrames, RequestReader, Role,
};
use super::{CallOutcome, Caller, Fd, FrameReader, Message, Notice, Outbox, WIDE, feed, message};

const LIMIT: u32 = 100_000;

/// A frame that arrived: its bytes, and its descriptors or why they are missing.
type Came = (Vec<u8>, Result<Vec<Fd>, Loss>);

/// Models how a Unix domain socket passes descriptors: a `recvmsg` ends with the chunk that descriptors came with.
#[derive(Default)]
struct Socket(VecDeque<(Vec<u8>, Vec<Fd>)>);

impl Socket {
    /// One `sendmsg` of at most `most` bytes.
    fn send(&mut self, outbox: &mut Outbox, most: usize) {
        let mut slices = [IoSlice::new(&[]); 16];
        let count = outbox.slices(&mut slices);
        let bytes: Vec<u8> = slices[..count].iter().flat_map(|s| s.to_vec()).collect();
        let bytes = bytes[..bytes.len().min(most)].to_vec();
        let count = bytes.len();
        self.0.push_back((bytes, outbox.descriptors().to_vec()));
        outbox.consume(count);
    }

    /// One `recvmsg`. Returns whether it read anything.
    fn recv(&mut self, reader: &mut FrameReader, most: usize) -> bool {
        let mut room = reader.room().min(most);
        let mut came = false;
        while let Some((bytes, descriptors)) = self.0.front_mut() {
            let some = bytes.len().min(room);
            reader.buffer().extend(bytes.drain(..some));
            room -= some;
            came |= some > 0;
            let batch = std::mem::take(descriptors);
            let carries = !batch.is_empty();
            if carries {
                reader.push_arrival(batch, false);
            }
            if bytes.is_empty() {
                self.0.pop_front();
            }
            if carries || room == 0 {
                break;
            }
        }
        came
    }
}

/// Takes all frames that have arrived.
fn frames(reader: &mut FrameReader, came: &mut Vec<Came>) {
    loop {
        match reader.advance() {
            NextFrame::Short => return,
            NextFrame::Whole(_) => {
                let mut payload = reader.take();
                let descriptors = payload.take_ancillary().into_descriptors();
                came.push((payload.to_vec(), descriptors));
            }
            NextFrame::TooLong(_) => came.push((b"too long".to_vec(), Ok(Vec::new()))),
        }
    }
}

fn reader() -> FrameReader {
    FrameReader::new(Form::Full, LIMIT)
}

fn with_header(bytes: &[u8], descriptors: &[Fd]) -> Message {
    let mut message = message(bytes, descriptors);
    let head = Frame::message(7, bytes.len());
    message.frame[..HEADER].copy_from_slice(&head.to_bytes());
    message
}

/// Frames that this crate would not send.
fn raw(announced: &[usize], bytes: &[u8]) -> Vec<u8> {
    let mut frames: Vec<u8> = announced.iter().flat_map(|n| announcement(*n)).collect();
    frames.extend_from_slice(&with_header(bytes, &[]).frame);
    frames
}

/// More descriptors than one `sendmsg` takes are sent in several batches, each before its frame, and each the first chunk
/// of a write.
#[test]
fn many_go_in_lots() {
    let all: Vec<Fd> = (0..600).collect();
    let mut outbox = Outbox::default();
    outbox.push(&mut with_header(b"before", &[]));
    outbox.push(&mut with_header(b"many", &all));
    outbox.push(&mut with_header(b"behind", &[]));
    let mut socket = Socket::default();
    let mut batches = Vec::new();
    while !outbox.is_empty() {
        batches.push(outbox.descriptors().len());
        socket.send(&mut outbox, usize::MAX);
    }
    assert_eq!(batches, [0, 253, 253, 94]);
    let (mut reader, mut came) = (reader(), Vec::new());
    while socket.recv(&mut reader, usize::MAX) {
        frames(&mut reader, &mut came);
    }
    assert_eq!(came[0], (b"before".to_vec(), Ok(Vec::new())));
    assert_eq!(came[1], (b"many".to_vec(), Ok(all)));
    assert_eq!(came[2], (b"behind".to_vec(), Ok(Vec::new())));
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::SourceParallel("tests/proptest-regressions"))),
        ..ProptestConfig::default()
    })]

    /// Whatever is written and read at once, each frame has its own descriptors.
    #[test]
    fn each_frame_gets_its_own(
        sizes in prop::collection::vec((0..2000usize, prop_oneof![3 => Just(0), 1 => 1..600usize]), 1..20),
        writes in prop::collection::vec(1..3000usize, 1..20),
        reads in prop::collection::vec(1..3000usize, 1..20),
    ) {
        let mut next: Fd = 0;
        let mut outbox = Outbox::default();
        let mut want: Vec<Came> = Vec::new();
        for (length, count) in sizes {
            let descriptors: Vec<Fd> = (0..count as Fd).map(|n| next + n).collect();
            next += count as Fd;
            let bytes = vec![length as u8; length];
            outbox.push(&mut with_header(&bytes, &descriptors));
            want.push((bytes, Ok(descriptors)));
        }
        let (mut writes, mut reads) = (writes.into_iter().cycle(), reads.into_iter().cycle());
        let (mut socket, mut reader, mut came) = (Socket::default(), reader(), Vec::new());
        loop {
            let writes = writes.next().unwrap();
            if !outbox.is_empty() {
                socket.send(&mut outbox, writes);
            }
            let read = socket.recv(&mut reader, reads.next().unwrap());
            frames(&mut reader, &mut came);
            if !read && outbox.is_empty() {
                break;
            }
        }
        prop_assert_eq!(came, want);
        let mut unwanted = Vec::new();
        unwanted.append(&mut reader.arrivals.unwanted);
        prop_assert_eq!(unwanted, Vec::<Fd>::new());
    }
}

/// A false announcement, or a batch without room in this process, fails its frame only. The next frame has its own
/// descriptors.
#[test]
fn a_loss_is_that_of_one_frame() {
    use Loss::{Mismatch, NoRoom, Unsent};
    let none: &[Fd] = &[];
    let table = [
        ("too few", vec![2], vec![(&[1][..], false)], Mismatch),
        ("too many", vec![2], vec![(&[1, 2, 3][..], false)], Mismatch),
        (
            "none of two batches",
            vec![1, 1],
            vec![(&[1][..], false)],
            Mismatch,
        ),
        ("cut", vec![2], vec![(&[1][..], true)], NoRoom),
        ("all cut", vec![2], vec![(none, true)], NoRoom),
        ("as many, but cut", vec![1], vec![(&[1][..], true)], NoRoom),
        ("not sent", vec![0], vec![], Unsent),
        (
            "the second not sent",
            vec![1, 0],
            vec![(&[1][..], false)],
            Unsent,
        ),
        (
            "the first not sent",
            vec![0, 1],
            vec![(&[1][..], false)],
            Unsent,
        ),
    ];
    for (name, announced, batches, loss) in table {
        let (mut reader, mut came) = (reader(), Vec::new());
        feed(&mut reader, &raw(&announced, b"bad"));
        let mut count = 0;
        for (batch, is_cut) in batches {
            count += batch.len();
            reader.push_arrival(batch.to_vec(), is_cut);
        }
        frames(&mut reader, &mut came);
        assert_eq!(came.pop(), Some((b"bad".to_vec(), Err(loss))), "{name}");
        let mut unwanted = Vec::new();
        unwanted.append(&mut reader.arrivals.unwanted);
        assert_eq!(unwanted.len(), count, "{name}");
        feed(&mut reader, &raw(&[1], b"good"));
        reader.push_arrival(vec![9], false);
        frames(&mut reader, &mut came);
        assert_eq!(came.pop(), Some((b"good".to_vec(), Ok(vec![9]))), "{name}");
    }
}

/// Descriptors that are not announced, or not taken, are closed.
#[test]
fn descriptors_that_are_not_taken_are_given_up() {
    let unwanted = |reader: &mut FrameReader| {
        let mut unwanted = Vec::new();
        unwanted.append(&mut reader.arrivals.unwanted);
        unwanted
    };
    let mut came = Vec::new();
    let mut reader = reader();
    feed(&mut reader, &raw(&[], b"x"));
    reader.push_arrival(vec![1, 2], false);
    frames(&mut reader, &mut came);
    assert_eq!((unwanted(&mut reader), reader.unclaimed()), (vec![1, 2], 0));
    // A frame that has arrived in part may announce them.
    let announced = raw(&[1], b"y");
    feed(&mut reader, &announced[..5]);
    reader.push_arrival(vec![3], false);
    frames(&mut reader, &mut came);
    assert_eq!((unwanted(&mut reader), reader.unclaimed()), (vec![], 1));
    feed(&mut reader, &announced[5..]);
    frames(&mut reader, &mut came);
    assert_eq!(came.pop(), Some((b"y".to_vec(), Ok(vec![3]))));
    // A frame that is not taken, and a frame that is too long.
    for bytes in [vec![], vec![0; LIMIT as usize + 1]] {
        let announced = raw(&[2], &bytes);
        feed(&mut reader, &announced[..2 * HEADER]);
        reader.push_arrival(vec![4, 5], false);
        assert!(!matches!(reader.advance(), NextFrame::Short));
        assert!(matches!(reader.advance(), NextFrame::Short));
        assert_eq!(unwanted(&mut reader), [4, 5]);
    }
}

/// An announcement has no payload and no impossible number.
#[test]
fn an_announcement_has_no_bytes_and_a_limited_count() {
    for (id, length) in [(254, 0), (1, 1)] {
        let mut reader = reader();
        feed(
            &mut reader,
            &Frame::of(FrameKind::Descriptors, id, length).to_bytes(),
        );
        feed(&mut reader, &vec![0; length]);
        let (NextFrame::Whole(frame) | NextFrame::TooLong(frame)) = reader.advance() else {
            panic!("it is no frame")
        };
        assert_eq!(frame.kind, Some(FrameKind::Descriptors));
    }
}

/// If the system refuses to send a batch, the other side is told, and nothing else is lost.
#[test]
fn a_lot_that_cannot_be_sent_is_given_up() {
    let mut outbox = Outbox::default();
    assert!(!outbox.give_up_descriptors());
    outbox.push(&mut with_header(b"one", &[1, 2]));
    outbox.push(&mut with_header(b"two", &[3]));
    let length = outbox.len();
    assert!(outbox.give_up_descriptors() && outbox.len() == length);
    assert!(!outbox.give_up_descriptors(), "there are none now");
    let (mut socket, mut reader, mut came) = (Socket::default(), reader(), Vec::new());
    while !outbox.is_empty() {
        socket.send(&mut outbox, usize::MAX);
    }
    while socket.recv(&mut reader, usize::MAX) {
        frames(&mut reader, &mut came);
    }
    let want = [
        (b"one".to_vec(), Err(Loss::Unsent)),
        (b"two".to_vec(), Ok(vec![3])),
    ];
    assert_eq!(came, want);
}

/// However a call ends, its descriptors are handed out to be closed if they are not taken, and only then.
#[test]
fn what_a_call_leaves_is_handed_out() {
    let narrow = FlowLimits { calls: 1, ..WIDE };
    let mut caller = Caller::new(None, Vec::new(), narrow);
    let sent = caller.call(&mut message(b"a", &[1]), ());
    let queued = caller.call(&mut message(b"b", &[2]), ());
    let late = caller.call(&mut message(b"c", &[3]), ());
    let kept = caller.call(&mut message(b"d", &[4]), ());
    caller.cancel(queued);
    assert_eq!(caller.take_unwanted(), [2]);
    caller.expire(late, super::super::Started::Unknown);
    assert_eq!(caller.take_unwanted(), [3]);
    caller.cancel(sent);
    assert!(caller.take_unwanted().is_empty(), "it is on its way");
    caller.fail_all(super::super::StartedInfo::Nothing);
    assert_eq!(caller.take_unwanted(), [4]);
    assert!(caller.is_done(kept));

    // Answers to calls that were cancelled.
    let mut caller = full();
    let mut reader = reader();
    let ids: Vec<u32> = (0..4)
        .map(|_| caller.call(&mut message(b"x", &[]), ()))
        .collect();
    caller.cancel(ids[0]);
    caller.expire(ids[1], super::super::Started::Yes);
    let mut notices: Vec<Notice> = Vec::new();
    for (id, descriptor) in ids.iter().zip(10..) {
        feed(&mut reader, &announcement(1));
        feed(&mut reader, &Frame::message(*id, 0).to_bytes());
        reader.push_arrival(vec![descriptor], false);
        caller.read_frames(&mut reader, &mut notices).unwrap();
    }
    assert_eq!(caller.take_unwanted(), [10, 11]);
    caller.cancel(ids[2]);
    assert_eq!(caller.take_unwanted(), [12]);
    let Some((CallOutcome::Result(mut payload), ())) = caller.collect(ids[3], |()| true) else {
        panic!("it was answered")
    };
    assert_eq!(payload.take_ancillary().into_descriptors(), Ok(vec![13]));
    assert!(caller.take_unwanted().is_empty());
}

/// A parent after hello.
fn full() -> Caller {
    use super::super::{Hello, ReplyFrames, Role};
    let mut caller = Caller::new(Some(&Hello::new(Role::Parent)), Vec::new(), WIDE);
    let mut reader = reader();
    feed(&mut reader, &ReplyFrames::hello(&Hello::new(Role::Child)));
    caller.read_frames(&mut reader, &mut Vec::new()).unwrap();
    caller
}

/// X84: descriptors whose message has not arrived are counted, announced or not.
#[test]
fn descriptors_without_a_message_have_a_limit() {
    let announced = [&announcement(2)[..], &announcement(2)].concat();
    let begun = Frame::message(0, 100).to_bytes().to_vec();
    for bytes in [announced, begun] {
        let hello = Hello::new(Role::Parent);
        let mut caller = Caller::new(Some(&hello), Vec::new(), WIDE);
        let mut reader = reader();
        reader.set_most_descriptors(4);
        feed(&mut reader, &ReplyFrames::hello(&Hello::new(Role::Child)));
        let mut notices = Vec::new();
        let mut read_frames = |reader: &mut FrameReader| loop {
            match caller.read_frames(reader, &mut notices) {
                Ok(ReadUpTo::Hello) => {}
                other => return other.map(drop),
            }
        };
        for batch in bytes.chunks(HEADER) {
            feed(&mut reader, batch);
            reader.push_arrival(vec![1, 2], false);
        }
        assert_eq!(read_frames(&mut reader), Ok(()));
        feed(&mut reader, &Frame::message(0, 100).to_bytes());
        reader.push_arrival(vec![3, 4, 5], false);
        let error = read_frames(&mut reader).unwrap_err();
        assert!(error.0.contains("the limit is 4"), "{error:?}");
        assert!(error.0.contains("`max_descriptors`"), "{error:?}");
    }
    // The same for a parent's descriptors.
    let mut requests = RequestReader::default();
    let mut reader = FrameReader::new(Form::Plain, LIMIT);
    reader.set_most_descriptors(4);
    feed(&mut reader, &[0, 0, 0, 1, 0, 0, 0, 9]);
    reader.push_arrival(vec![1; 4], false);
    assert_eq!(requests.next(&mut reader), Ok(None));
    reader.push_arrival(vec![1], false);
    assert!(requests.next(&mut reader).is_err());
}

/// X84: in the plain form no descriptor is announced, so none is kept.
#[test]
fn descriptors_in_the_plain_form_are_handed_out_at_once() {
    let mut caller = Caller::new(None, Vec::new(), WIDE);
    let mut reader = FrameReader::new(Form::Plain, LIMIT);
    feed(&mut reader, &[0; 3]);
    reader.push_arrival(vec![1, 2], false);
    assert_eq!(
        caller.read_frames(&mut reader, &mut Vec::new()),
        Ok(ReadUpTo::All)
    );
    assert_eq!(caller.take_unwanted(), [1, 2]);
}

/// X84: uncollected results hold no more descriptors than the limit, however they are collected. A request with more is
/// refused.
#[test]
fn descriptors_of_results_that_wait_have_a_limit() {
    let narrow = FlowLimits {
        descriptors: 3,
        ..WIDE
    };
    let hello = Hello::new(Role::Parent);
    let mut caller = Caller::new(Some(&hello), Vec::new(), narrow);
    let mut reader = reader();
    feed(&mut reader, &ReplyFrames::hello(&Hello::new(Role::Child)));
    let mut notices = Vec::new();
    assert_eq!(
        caller.read_frames(&mut reader, &mut notices),
        Ok(ReadUpTo::Hello)
    );
    for _ in 0..3 {
        let ids: Vec<u32> = (0..4)
            .map(|_| caller.call(&mut message(b"", &[]), ()))
            .collect();
        for id in &ids {
            feed(&mut reader, &announcement(1));
            reader.push_arrival(vec![*id], false);
            feed(&mut reader, &Frame::message(*id, 0).to_bytes());
            assert_eq!(
                caller.read_frames(&mut reader, &mut notices),
                Ok(ReadUpTo::All)
            );
        }
        // The last one was over the limit.
        assert_eq!(caller.take_unwanted(), ids[3..]);
        let mut result = |id| match caller.collect(id, |()| true) {
            Some((CallOutcome::Result(payload), ())) => Some(payload),
            _ => None,
        };
        let mut last = result(ids[3]).unwrap();
        assert_eq!(last.take_ancillary().into_descriptors(), Err(Loss::Limit));
        let mut first = result(ids[0]).unwrap();
        assert_eq!(first.take_ancillary().into_descriptors(), Ok(vec![ids[0]]));
        assert!(result(ids[1]).is_some());
        caller.cancel(ids[2]);
        assert_eq!(caller.take_unwanted(), [ids[2]]);
    }
    let id = caller.call(&mut message(b"", &[1, 2, 3, 4]), ());
    let Some((CallOutcome::NotSent(failure), ())) = caller.collect(id, |_| true) else {
        panic!("it is refused");
    };
    assert!(failure.message.contains("4 descriptors, the limit is 3"));
}
