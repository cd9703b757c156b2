//! The parent's half: limits, the queue, cancels, ids, the end.

use super::super::frame::largest_id;
use super::super::{
    FailureCode, FlowLimits, Form, Frame, HEADER, Hello, Role, Started, StartedInfo,
};
use super::{CallOutcome, Caller, FORMS, FrameReader, Notice, WIDE, feed, hex, message, written};

fn plain(limits: FlowLimits) -> (Caller, FrameReader) {
    (
        Caller::new(None, Vec::new(), limits),
        FrameReader::new(Form::Plain, 1000),
    )
}

/// A caller of this form, after hello.
fn caller(form: Form) -> (Caller, FrameReader) {
    let hello = Hello::new(Role::Parent);
    let mut caller = Caller::new((form == Form::Full).then_some(&hello), Vec::new(), WIDE);
    let mut reader = FrameReader::new(form, 1000);
    if form == Form::Full {
        feed(
            &mut reader,
            &super::super::ReplyFrames::hello(&Hello::new(Role::Child)),
        );
        caller.read_frames(&mut reader, &mut Vec::new()).unwrap();
    }
    (caller, reader)
}

fn call(caller: &mut Caller, length: usize) -> u32 {
    caller.call(&mut message(&vec![0; length], &[]), ())
}

/// The child answers call `id` with `length` bytes.
fn answer(caller: &mut Caller, reader: &mut FrameReader, id: u32, length: usize) -> Vec<Notice> {
    let mut notices = Vec::new();
    feed(reader, &Frame::message(id, length).to_bytes());
    feed(reader, &vec![id as u8; length]);
    caller.read_frames(reader, &mut notices).unwrap();
    notices
}

/// Writes all that is in the outbox.
fn write(caller: &mut Caller) -> usize {
    let mut outbox = caller.take_outbox();
    let count = outbox.len();
    outbox.consume(count);
    caller.wrote(count, outbox);
    count
}

fn outcome(caller: &mut Caller, id: u32) -> CallOutcome {
    caller.collect(id, |_| true).unwrap().0
}

#[test]
fn over_the_limit_of_calls_the_first_comes_first() {
    let (mut caller, mut reader) = plain(FlowLimits { calls: 2, ..WIDE });
    let ids: Vec<_> = (0..5).map(|_| call(&mut caller, 0)).collect();
    assert_eq!((caller.open(), write(&mut caller)), (2, 2 * HEADER));
    assert!(!caller.is_flushed());
    // The third is cancelled in the queue, so the fourth is next.
    caller.cancel(ids[2]);
    assert_eq!(
        answer(&mut caller, &mut reader, ids[1], 0),
        [Notice::Completed(ids[1])]
    );
    assert_eq!((caller.open(), caller.entries()), (2, (4, 1)));
    let bytes = written(&caller.take_outbox(), 1);
    assert_eq!(bytes[..4], ids[3].to_be_bytes());
}

#[test]
fn over_the_limit_of_bytes_calls_wait_but_a_large_one_is_sent_alone() {
    let (mut caller, mut reader) = plain(FlowLimits { bytes: 100, ..WIDE });
    let large = call(&mut caller, 500);
    let small = call(&mut caller, 10);
    let more = call(&mut caller, 90);
    assert_eq!((caller.open(), caller.open_bytes()), (1, 508));
    answer(&mut caller, &mut reader, large, 0);
    assert_eq!((caller.open(), caller.open_bytes()), (1, 18));
    // A small call does not overtake a large one.
    call(&mut caller, 1);
    assert_eq!(caller.open(), 1);
    answer(&mut caller, &mut reader, small, 0);
    assert_eq!((caller.open(), caller.open_bytes()), (1, 98));
    answer(&mut caller, &mut reader, more, 0);
    assert_eq!((caller.open(), caller.open_bytes()), (1, 9));
}

#[test]
fn a_request_that_is_too_long_fails_alone() {
    let (mut caller, _) = plain(FlowLimits { frame: 10, ..WIDE });
    let (long, short) = (call(&mut caller, 11), call(&mut caller, 10));
    assert!(
        matches!(outcome(&mut caller, long), CallOutcome::NotSent(failure) if failure.code == FailureCode::TooLong)
    );
    assert!(!caller.is_done(short));
    assert_eq!((caller.open(), write(&mut caller)), (1, 18));
    caller.lower_frame_limit(5);
    let long = call(&mut caller, 6);
    assert!(caller.is_done(long));
}

#[test]
fn a_result_that_is_too_long_fails_alone_and_names_the_limit_of_results() {
    let (mut caller, mut reader) = plain(FlowLimits { frame: 10, ..WIDE });
    let (one, two) = (call(&mut caller, 0), call(&mut caller, 0));
    assert_eq!(
        answer(&mut caller, &mut reader, one, 1001),
        [Notice::Completed(one)]
    );
    let CallOutcome::Failed(failure) = outcome(&mut caller, one) else {
        panic!()
    };
    assert!(
        failure.message.contains("limit is 1000"),
        "{}",
        failure.message
    );
    answer(&mut caller, &mut reader, two, 3);
    assert!(matches!(outcome(&mut caller, two), CallOutcome::Result(bytes) if bytes.len() == 3));
    feed(&mut reader, &hex("00000000 000003e9"));
    assert!(
        caller.read_frames(&mut reader, &mut Vec::new()).is_err(),
        "an event has no call to fail"
    );
}

#[test]
fn a_cancelled_call_is_never_reported_and_keeps_its_id_until_it_is_answered() {
    for form in FORMS {
        let (mut caller, mut reader) = caller(form);
        write(&mut caller);
        caller.start_ids_at(largest_id(form) - 1);
        let cancelled = call(&mut caller, 0);
        caller.cancel(cancelled);
        caller.cancel(cancelled);
        let frames = if form == Form::Full { 2 } else { 1 };
        assert_eq!(write(&mut caller), frames * HEADER, "one call, one cancel");
        // The counter wraps and skips the id.
        caller.start_ids_at(cancelled);
        let next = call(&mut caller, 0);
        assert_ne!(next, cancelled);
        assert_eq!(answer(&mut caller, &mut reader, cancelled, 5), []);
        assert_eq!((caller.open(), caller.entries()), (1, (1, 0)));
        assert!(!caller.is_done(next));
        caller.start_ids_at(cancelled);
        assert_eq!(call(&mut caller, 0), cancelled);
    }
}

#[test]
fn a_cancel_in_every_state_leaves_nothing_behind() {
    let (mut caller, mut reader) = plain(FlowLimits { calls: 1, ..WIDE });
    let done = call(&mut caller, 0);
    answer(&mut caller, &mut reader, done, 0);
    caller.cancel(done);
    assert_eq!(caller.entries(), (0, 0));
    let sent = call(&mut caller, 0);
    let queued: Vec<_> = (0..100_000).map(|_| call(&mut caller, 0)).collect();
    queued.into_iter().rev().for_each(|id| caller.cancel(id));
    assert_eq!(caller.entries(), (1, 0));
    caller.cancel(sent);
    answer(&mut caller, &mut reader, sent, 0);
    assert_eq!(caller.entries(), (0, 0));
    caller.cancel(sent);
    assert!(caller.collect(sent, |()| true).is_none());
}

#[test]
fn ids_near_the_top_wrap_and_pass_over_those_in_use() {
    for form in FORMS {
        let (mut caller, mut reader) = caller(form);
        let held = call(&mut caller, 0);
        caller.start_ids_at(largest_id(form) - 1);
        let ids: Vec<_> = (0..4).map(|_| call(&mut caller, 0)).collect();
        assert_eq!(held, 1);
        assert_eq!(ids, [largest_id(form) - 1, largest_id(form), 2, 3]);
        for id in ids.into_iter().chain([held]) {
            assert_eq!(
                answer(&mut caller, &mut reader, id, 2),
                [Notice::Completed(id)]
            );
            assert!(
                matches!(outcome(&mut caller, id), CallOutcome::Result(bytes) if *bytes == [id as u8; 2])
            );
        }
    }
}

#[test]
fn what_is_known_of_lost_calls() {
    let lost = |known, write_so_much: Option<usize>| {
        let (mut caller, mut reader) = plain(FlowLimits { calls: 4, ..WIDE });
        let ids: Vec<_> = (0..5).map(|_| call(&mut caller, 0)).collect();
        if let Some(count) = write_so_much {
            let mut outbox = caller.take_outbox();
            outbox.consume(count);
            caller.wrote(count, outbox);
        } else {
            // A writer has taken the bytes, and has not reported back.
            drop(caller.take_outbox());
        }
        answer(&mut caller, &mut reader, ids[0], 0);
        caller.cancel(ids[1]);
        let lost = caller.fail_all(known);
        assert_eq!(lost, ids[2..]);
        assert_eq!(caller.unwritten(), 0);
        let started = |id| match caller.collect(id, |_| true) {
            Some((CallOutcome::Lost(started), ())) => started,
            other => panic!("{other:?}"),
        };
        let started: Vec<_> = lost.into_iter().map(started).collect();
        assert!(matches!(
            outcome(&mut caller, ids[0]),
            CallOutcome::Result(_)
        ));
        assert_eq!(caller.entries(), (0, 0));
        <[Started; 3]>::try_from(started).unwrap()
    };
    use Started::{No, Unknown, Yes};
    assert_eq!(lost(StartedInfo::Count(3), Some(4 * HEADER)), [Yes, No, No]);
    assert_eq!(
        lost(StartedInfo::Count(4), Some(4 * HEADER)),
        [Yes, Yes, No]
    );
    assert_eq!(
        lost(StartedInfo::Count(4), None),
        [Yes, Yes, No],
        "written, but not noted yet"
    );
    assert_eq!(lost(StartedInfo::Nothing, None), [Unknown, Unknown, No]);
    assert_eq!(
        lost(StartedInfo::Nothing, Some(4 * HEADER)),
        [Unknown, Unknown, No]
    );
    assert_eq!(
        lost(StartedInfo::Nothing, Some(4 * HEADER - 1)),
        [Unknown, No, No]
    );
    // The second, cancelled, may be running.
    assert_eq!(lost(StartedInfo::OneByOne, Some(4 * HEADER)), [No, No, No]);
}
