//! Events that belong to one call.

use super::super::{FlowLimits, Form, HEADER, Hello, ReplyFrames, Role, Violation};
use super::{Caller, FrameReader, Notice, message};

const LIMITS: FlowLimits = FlowLimits {
    calls: 2,
    bytes: 1000,
    frame: 1000,
    descriptors: 1000,
};

/// A caller after hello.
fn caller() -> (Caller, FrameReader) {
    let mut caller = Caller::new(Some(&Hello::new(Role::Parent)), Vec::new(), LIMITS);
    let mut reader = FrameReader::new(Form::Full, 1000);
    let hello = ReplyFrames::hello(&Hello::new(Role::Child));
    read_frames(&mut caller, &mut reader, &hello).unwrap();
    (caller, reader)
}

fn call(caller: &mut Caller) -> u32 {
    caller.call(&mut message(&[], &[]), ())
}

fn read_frames(
    caller: &mut Caller,
    reader: &mut FrameReader,
    bytes: &[u8],
) -> Result<Vec<Notice>, Violation> {
    let mut notices = Vec::new();
    reader.room();
    reader.buffer().extend_from_slice(bytes);
    caller.read_frames(reader, &mut notices)?;
    Ok(notices)
}

fn event(id: u32, text: &str) -> Vec<u8> {
    let mut frame = [&[0; HEADER], text.as_bytes()].concat();
    ReplyFrames::new(1000).call_event(id, &mut frame).unwrap();
    frame
}

fn answer(id: u32) -> Vec<u8> {
    let mut frame = vec![0; HEADER];
    ReplyFrames::new(1000).message(id, &mut frame).unwrap();
    frame
}

#[test]
fn they_come_before_the_answer_and_in_order() {
    let (mut caller, mut reader) = caller();
    let (one, two) = (call(&mut caller), call(&mut caller));
    let bytes = [
        event(two, "a"),
        event(one, "b"),
        event(two, "c"),
        answer(two),
    ]
    .concat();
    assert_eq!(bytes[..HEADER], [0x20, 0, 0, two as u8, 0, 0, 0, 1]);
    let notices = read_frames(&mut caller, &mut reader, &bytes).unwrap();
    let event = |id, text: &str| Notice::CallEvent(id, text.as_bytes().to_vec().into());
    assert_eq!(
        notices,
        [
            event(two, "a"),
            event(one, "b"),
            event(two, "c"),
            Notice::Completed(two)
        ]
    );
}

#[test]
fn those_of_a_cancelled_call_are_dropped() {
    let (mut caller, mut reader) = caller();
    let id = call(&mut caller);
    caller.cancel(id);
    let bytes = [event(id, "a"), answer(id)].concat();
    assert_eq!(read_frames(&mut caller, &mut reader, &bytes).unwrap(), []);
}

#[test]
fn those_of_a_call_that_is_not_open_are_a_breach() {
    let broken = |id: fn(u32) -> u32, answered: bool| {
        let (mut caller, mut reader) = caller();
        let own = call(&mut caller);
        if answered {
            read_frames(&mut caller, &mut reader, &answer(own)).unwrap();
        }
        read_frames(&mut caller, &mut reader, &event(id(own), "a")).unwrap_err();
    };
    broken(|id| id, true);
    broken(|id| id + 1, false);
    broken(|_| 0, false);
    // A call in the queue cannot have events.
    let (mut caller, mut reader) = caller();
    let ids: Vec<_> = (0..3).map(|_| call(&mut caller)).collect();
    read_frames(&mut caller, &mut reader, &event(ids[2], "a")).unwrap_err();
}

#[test]
fn a_long_one_is_not_made() {
    let mut frame = vec![0; HEADER + 5];
    assert_eq!(ReplyFrames::new(4).call_event(1, &mut frame), Err(4));
    assert_eq!(ReplyFrames::new(5).call_event(1, &mut frame), Ok(()));
}
