//! Events that belong to one call.

use super::super::{Form, HEADER, Hello, Limits, Replies, Role, Violation};
use super::{Caller, Notice, Reader, parcel};

const LIMITS: Limits = Limits {
    calls: 2,
    bytes: 1000,
    frame: 1000,
    descriptors: 1000,
};

/// A caller beyond hello.
fn caller() -> (Caller, Reader) {
    let mut caller = Caller::new(Some(&Hello::new(Role::Parent)), Vec::new(), LIMITS);
    let mut reader = Reader::new(Form::Full, 1000);
    let hello = Replies::hello(&Hello::new(Role::Child));
    absorb(&mut caller, &mut reader, &hello).unwrap();
    (caller, reader)
}

fn call(caller: &mut Caller) -> u32 {
    caller.call(&mut parcel(&[], &[]), ())
}

fn absorb(
    caller: &mut Caller,
    reader: &mut Reader,
    octets: &[u8],
) -> Result<Vec<Notice>, Violation> {
    let mut notices = Vec::new();
    reader.room();
    reader.buffer().extend_from_slice(octets);
    caller.absorb(reader, &mut notices)?;
    Ok(notices)
}

fn event(id: u32, text: &str) -> Vec<u8> {
    let mut frame = [&[0; HEADER], text.as_bytes()].concat();
    Replies::new(1000).call_event(id, &mut frame).unwrap();
    frame
}

fn answer(id: u32) -> Vec<u8> {
    let mut frame = vec![0; HEADER];
    Replies::new(1000).message(id, &mut frame).unwrap();
    frame
}

#[test]
fn they_come_before_the_answer_and_in_order() {
    let (mut caller, mut reader) = caller();
    let (one, two) = (call(&mut caller), call(&mut caller));
    let octets = [
        event(two, "a"),
        event(one, "b"),
        event(two, "c"),
        answer(two),
    ]
    .concat();
    assert_eq!(octets[..HEADER], [0x20, 0, 0, two as u8, 0, 0, 0, 1]);
    let notices = absorb(&mut caller, &mut reader, &octets).unwrap();
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
    let octets = [event(id, "a"), answer(id)].concat();
    assert_eq!(absorb(&mut caller, &mut reader, &octets).unwrap(), []);
}

#[test]
fn those_of_a_call_that_is_not_open_are_a_breach() {
    let broken = |id: fn(u32) -> u32, answered: bool| {
        let (mut caller, mut reader) = caller();
        let own = call(&mut caller);
        if answered {
            absorb(&mut caller, &mut reader, &answer(own)).unwrap();
        }
        absorb(&mut caller, &mut reader, &event(id(own), "a")).unwrap_err();
    };
    broken(|id| id, true);
    broken(|id| id + 1, false);
    broken(|_| 0, false);
    // One that waits for room cannot have events yet.
    let (mut caller, mut reader) = caller();
    let ids: Vec<_> = (0..3).map(|_| call(&mut caller)).collect();
    absorb(&mut caller, &mut reader, &event(ids[2], "a")).unwrap_err();
}

#[test]
fn a_long_one_is_not_made() {
    let mut frame = vec![0; HEADER + 5];
    assert_eq!(Replies::new(4).call_event(1, &mut frame), Err(4));
    assert_eq!(Replies::new(5).call_event(1, &mut frame), Ok(()));
}
