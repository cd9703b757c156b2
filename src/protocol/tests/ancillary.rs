//! Descriptors beside the octets: what goes along, comes along, and is lost.

use std::collections::VecDeque;
use std::io::IoSlice;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use super::super::ancillary::Loss;
use super::super::frame::announcement;
use super::super::reader::Step;
use super::super::{Absorbed, Form, Frame, HEADER, Hello, Kind, Limits, Replies, Requests, Role};
use super::{Caller, Fd, Notice, Outbox, Outcome, Parcel, Reader, WIDE, feed, parcel};

const LIMIT: u32 = 100_000;

/// What came of one frame: its octets, and its descriptors or why there are none.
type Came = (Vec<u8>, Result<Vec<Fd>, Loss>);

/// A socket of the Unix domain as far as descriptors go: a piece that some came
/// with ends what is read with it.
#[derive(Default)]
struct Socket(VecDeque<(Vec<u8>, Vec<Fd>)>);

impl Socket {
    /// One `sendmsg` of at most so many octets.
    fn send(&mut self, outbox: &mut Outbox, most: usize) {
        let mut slices = [IoSlice::new(&[]); 16];
        let count = outbox.slices(&mut slices);
        let octets: Vec<u8> = slices[..count].iter().flat_map(|s| s.to_vec()).collect();
        let octets = octets[..octets.len().min(most)].to_vec();
        let count = octets.len();
        self.0.push_back((octets, outbox.descriptors().to_vec()));
        outbox.consume(count);
    }

    /// One `recvmsg`; false if there was nothing.
    fn recv(&mut self, reader: &mut Reader, most: usize) -> bool {
        let mut room = reader.room().min(most);
        let mut came = false;
        while let Some((octets, descriptors)) = self.0.front_mut() {
            let some = octets.len().min(room);
            reader.buffer().extend(octets.drain(..some));
            room -= some;
            came |= some > 0;
            let lot = std::mem::take(descriptors);
            let carries = !lot.is_empty();
            if carries {
                reader.push_arrival(lot, false);
            }
            if octets.is_empty() {
                self.0.pop_front();
            }
            if carries || room == 0 {
                break;
            }
        }
        came
    }
}

/// Takes all frames that have come.
fn frames(reader: &mut Reader, came: &mut Vec<Came>) {
    loop {
        match reader.advance() {
            Step::Short => return,
            Step::Whole(_) => {
                let mut payload = reader.take();
                let descriptors = payload.take_ancillary().into_descriptors();
                came.push((payload.to_vec(), descriptors));
            }
            Step::TooLong(_) => came.push((b"too long".to_vec(), Ok(Vec::new()))),
        }
    }
}

fn reader() -> Reader {
    Reader::new(Form::Full, LIMIT)
}

fn message(octets: &[u8], descriptors: &[Fd]) -> Parcel {
    let mut parcel = parcel(octets, descriptors);
    let head = Frame::message(7, octets.len());
    parcel.frame[..HEADER].copy_from_slice(&head.to_octets());
    parcel
}

/// Frames as a peer of ours would not send them.
fn raw(announced: &[usize], octets: &[u8]) -> Vec<u8> {
    let mut frames: Vec<u8> = announced.iter().flat_map(|n| announcement(*n)).collect();
    frames.extend_from_slice(&message(octets, &[]).frame);
    frames
}

/// More than the kernel takes at once goes in several lots, each before what it
/// belongs to, and each the first of what is written together.
#[test]
fn many_go_in_lots() {
    let all: Vec<Fd> = (0..600).collect();
    let mut outbox = Outbox::default();
    outbox.push(&mut message(b"before", &[]));
    outbox.push(&mut message(b"many", &all));
    outbox.push(&mut message(b"behind", &[]));
    let mut socket = Socket::default();
    let mut lots = Vec::new();
    while !outbox.is_empty() {
        lots.push(outbox.descriptors().len());
        socket.send(&mut outbox, usize::MAX);
    }
    assert_eq!(lots, [0, 253, 253, 94]);
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

    /// Whatever is written and read at once: each frame has what was sent along
    /// with it.
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
            let octets = vec![length as u8; length];
            outbox.push(&mut message(&octets, &descriptors));
            want.push((octets, Ok(descriptors)));
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
        let mut spent = Vec::new();
        reader.take_spent(&mut spent);
        prop_assert_eq!(spent, Vec::<Fd>::new());
    }
}

/// What a peer that lies, or a process that can open no more, makes of a frame is
/// its loss, and the next frame's descriptors are its own.
#[test]
fn a_loss_is_that_of_one_frame() {
    use Loss::{Mismatch, NoRoom, Unsent};
    let none: &[Fd] = &[];
    let table = [
        ("too few", vec![2], vec![(&[1][..], false)], Mismatch),
        ("too many", vec![2], vec![(&[1, 2, 3][..], false)], Mismatch),
        (
            "none of two lots",
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
    for (name, announced, lots, loss) in table {
        let (mut reader, mut came) = (reader(), Vec::new());
        feed(&mut reader, &raw(&announced, b"bad"));
        let mut count = 0;
        for (lot, is_cut) in lots {
            count += lot.len();
            reader.push_arrival(lot.to_vec(), is_cut);
        }
        frames(&mut reader, &mut came);
        assert_eq!(came.pop(), Some((b"bad".to_vec(), Err(loss))), "{name}");
        let mut spent = Vec::new();
        reader.take_spent(&mut spent);
        assert_eq!(spent.len(), count, "{name}");
        feed(&mut reader, &raw(&[1], b"good"));
        reader.push_arrival(vec![9], false);
        frames(&mut reader, &mut came);
        assert_eq!(came.pop(), Some((b"good".to_vec(), Ok(vec![9]))), "{name}");
    }
}

/// Nobody announces them, or wants them: they do not stay.
#[test]
fn what_nobody_takes_is_given_up() {
    let spent = |reader: &mut Reader| {
        let mut spent = Vec::new();
        reader.take_spent(&mut spent);
        spent
    };
    let mut came = Vec::new();
    let mut reader = reader();
    feed(&mut reader, &raw(&[], b"x"));
    reader.push_arrival(vec![1, 2], false);
    frames(&mut reader, &mut came);
    assert_eq!((spent(&mut reader), reader.unclaimed()), (vec![1, 2], 0));
    // They may still be announced by what has come in part.
    let announced = raw(&[1], b"y");
    feed(&mut reader, &announced[..5]);
    reader.push_arrival(vec![3], false);
    frames(&mut reader, &mut came);
    assert_eq!((spent(&mut reader), reader.unclaimed()), (vec![], 1));
    feed(&mut reader, &announced[5..]);
    frames(&mut reader, &mut came);
    assert_eq!(came.pop(), Some((b"y".to_vec(), Ok(vec![3]))));
    // A frame that nobody looks at, and one that is too long.
    for octets in [vec![], vec![0; LIMIT as usize + 1]] {
        let announced = raw(&[2], &octets);
        feed(&mut reader, &announced[..2 * HEADER]);
        reader.push_arrival(vec![4, 5], false);
        assert!(!matches!(reader.advance(), Step::Short));
        assert!(matches!(reader.advance(), Step::Short));
        assert_eq!(spent(&mut reader), [4, 5]);
    }
}

/// An announcement is nothing but that.
#[test]
fn an_announcement_has_no_octets_and_no_more_than_a_lot() {
    for (id, length) in [(254, 0), (1, 1)] {
        let mut reader = reader();
        feed(
            &mut reader,
            &Frame::of(Kind::Descriptors, id, length).to_octets(),
        );
        feed(&mut reader, &vec![0; length]);
        let (Step::Whole(frame) | Step::TooLong(frame)) = reader.advance() else {
            panic!("it is no frame")
        };
        assert_eq!(frame.kind, Some(Kind::Descriptors));
    }
}

/// The system refuses to send a lot: the other side is told, and nothing else is
/// lost.
#[test]
fn a_lot_that_cannot_be_sent_is_given_up() {
    let mut outbox = Outbox::default();
    assert!(!outbox.give_up_descriptors());
    outbox.push(&mut message(b"one", &[1, 2]));
    outbox.push(&mut message(b"two", &[3]));
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

/// However a call ends without its descriptors being wanted, they are handed out
/// to be closed, and those that are wanted are not.
#[test]
fn what_a_call_leaves_is_handed_out() {
    let narrow = Limits { calls: 1, ..WIDE };
    let mut caller = Caller::new(None, Vec::new(), narrow);
    let sent = caller.call(&mut parcel(b"a", &[1]), ());
    let queued = caller.call(&mut parcel(b"b", &[2]), ());
    let late = caller.call(&mut parcel(b"c", &[3]), ());
    let kept = caller.call(&mut parcel(b"d", &[4]), ());
    caller.cancel(queued);
    assert_eq!(caller.take_spent(), [2]);
    caller.expire(late, super::super::Started::Unknown);
    assert_eq!(caller.take_spent(), [3]);
    caller.cancel(sent);
    assert!(caller.take_spent().is_empty(), "it is on its way");
    caller.fail_all(super::super::Known::Nothing);
    assert_eq!(caller.take_spent(), [4]);
    assert!(caller.is_done(kept));

    // Answers that nobody wants any more.
    let mut caller = full();
    let mut reader = reader();
    let ids: Vec<u32> = (0..4)
        .map(|_| caller.call(&mut parcel(b"x", &[]), ()))
        .collect();
    caller.cancel(ids[0]);
    caller.expire(ids[1], super::super::Started::Yes);
    let mut notices: Vec<Notice> = Vec::new();
    for (id, descriptor) in ids.iter().zip(10..) {
        feed(&mut reader, &announcement(1));
        feed(&mut reader, &Frame::message(*id, 0).to_octets());
        reader.push_arrival(vec![descriptor], false);
        caller.absorb(&mut reader, &mut notices).unwrap();
    }
    assert_eq!(caller.take_spent(), [10, 11]);
    caller.cancel(ids[2]);
    assert_eq!(caller.take_spent(), [12]);
    let Some((Outcome::Result(mut payload), ())) = caller.collect(ids[3], |()| true) else {
        panic!("it was answered")
    };
    assert_eq!(payload.take_ancillary().into_descriptors(), Ok(vec![13]));
    assert!(caller.take_spent().is_empty());
}

/// A parent after hello.
fn full() -> Caller {
    use super::super::{Hello, Replies, Role};
    let mut caller = Caller::new(Some(&Hello::new(Role::Parent)), Vec::new(), WIDE);
    let mut reader = reader();
    feed(&mut reader, &Replies::hello(&Hello::new(Role::Child)));
    caller.absorb(&mut reader, &mut Vec::new()).unwrap();
    caller
}

/// X84: descriptors whose message has not come are counted, announced or not.
#[test]
fn descriptors_without_a_message_have_a_limit() {
    let announced = [&announcement(2)[..], &announcement(2)].concat();
    let begun = Frame::message(0, 100).to_octets().to_vec();
    for octets in [announced, begun] {
        let hello = Hello::new(Role::Parent);
        let mut caller = Caller::new(Some(&hello), Vec::new(), WIDE);
        let mut reader = reader();
        reader.set_most_descriptors(4);
        feed(&mut reader, &Replies::hello(&Hello::new(Role::Child)));
        let mut notices = Vec::new();
        let mut absorb = |reader: &mut Reader| loop {
            match caller.absorb(reader, &mut notices) {
                Ok(Absorbed::Hello) => {}
                other => return other.map(drop),
            }
        };
        for lot in octets.chunks(HEADER) {
            feed(&mut reader, lot);
            reader.push_arrival(vec![1, 2], false);
        }
        assert_eq!(absorb(&mut reader), Ok(()));
        feed(&mut reader, &Frame::message(0, 100).to_octets());
        reader.push_arrival(vec![3, 4, 5], false);
        let error = absorb(&mut reader).unwrap_err();
        assert!(error.0.contains("the limit is 4"), "{error:?}");
        assert!(error.0.contains("`max_descriptors`"), "{error:?}");
    }
    // The same of a parent's.
    let mut requests = Requests::default();
    let mut reader = Reader::new(Form::Plain, LIMIT);
    reader.set_most_descriptors(4);
    feed(&mut reader, &[0, 0, 0, 1, 0, 0, 0, 9]);
    reader.push_arrival(vec![1; 4], false);
    assert_eq!(requests.next(&mut reader), Ok(None));
    reader.push_arrival(vec![1], false);
    assert!(requests.next(&mut reader).is_err());
}

/// X84: in the plain form none is announced, so none is kept.
#[test]
fn descriptors_in_the_plain_form_are_handed_out_at_once() {
    let mut caller = Caller::new(None, Vec::new(), WIDE);
    let mut reader = Reader::new(Form::Plain, LIMIT);
    feed(&mut reader, &[0; 3]);
    reader.push_arrival(vec![1, 2], false);
    assert_eq!(
        caller.absorb(&mut reader, &mut Vec::new()),
        Ok(Absorbed::All)
    );
    assert_eq!(caller.take_spent(), [1, 2]);
}

/// X84: results that wait keep no more descriptors than the limit, however they
/// are collected; a request with more is refused.
#[test]
fn descriptors_of_results_that_wait_have_a_limit() {
    let narrow = Limits {
        descriptors: 3,
        ..WIDE
    };
    let hello = Hello::new(Role::Parent);
    let mut caller = Caller::new(Some(&hello), Vec::new(), narrow);
    let mut reader = reader();
    feed(&mut reader, &Replies::hello(&Hello::new(Role::Child)));
    let mut notices = Vec::new();
    assert_eq!(
        caller.absorb(&mut reader, &mut notices),
        Ok(Absorbed::Hello)
    );
    for _ in 0..3 {
        let ids: Vec<u32> = (0..4)
            .map(|_| caller.call(&mut parcel(b"", &[]), ()))
            .collect();
        for id in &ids {
            feed(&mut reader, &announcement(1));
            reader.push_arrival(vec![*id], false);
            feed(&mut reader, &Frame::message(*id, 0).to_octets());
            assert_eq!(caller.absorb(&mut reader, &mut notices), Ok(Absorbed::All));
        }
        // The last had no room.
        assert_eq!(caller.take_spent(), ids[3..]);
        let mut result = |id| match caller.collect(id, |()| true) {
            Some((Outcome::Result(payload), ())) => Some(payload),
            _ => None,
        };
        let mut last = result(ids[3]).unwrap();
        assert_eq!(last.take_ancillary().into_descriptors(), Err(Loss::Limit));
        let mut first = result(ids[0]).unwrap();
        assert_eq!(first.take_ancillary().into_descriptors(), Ok(vec![ids[0]]));
        assert!(result(ids[1]).is_some());
        caller.cancel(ids[2]);
        assert_eq!(caller.take_spent(), [ids[2]]);
    }
    let id = caller.call(&mut parcel(b"", &[1, 2, 3, 4]), ());
    let Some((Outcome::Failed(failure), ())) = caller.collect(id, |_| true) else {
        panic!("it is refused");
    };
    assert!(failure.message.contains("4 descriptors, the limit is 3"));
}
