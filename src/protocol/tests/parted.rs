//! Long messages whose second part is received into a buffer of its own.

use super::super::reader::Step;
use super::super::{Form, Frame, Kind, announcement};
use super::{FORMS, Reader, feed};

/// So many octets in front, as the first of them says.
fn part_at(begin: &[u8], length: usize) -> Option<usize> {
    let at = 1 + usize::from(*begin.first()?);
    (at < length).then_some(at)
}

fn parting(form: Form) -> Reader {
    let mut reader = Reader::new(form, 1 << 20);
    reader.set_part_at(part_at);
    reader
}

/// Messages of these lengths, each told by its octets.
fn messages() -> Vec<Vec<u8>> {
    let lengths = [
        5, 40_000, 70_000, 0, 200_000, 32_768, 32_767, 300_000, 300_000, 1, 90_000,
    ];
    let message = |(number, length): (usize, &usize)| {
        let mut octets: Vec<u8> = (0..*length).map(|at| (at * 7 + number) as u8).collect();
        if let Some(first) = octets.first_mut() {
            *first = (number * 20) as u8;
        }
        octets
    };
    lengths.iter().enumerate().map(message).collect()
}

fn stream(messages: &[Vec<u8>]) -> Vec<u8> {
    let mut octets = Vec::new();
    for (number, message) in messages.iter().enumerate() {
        octets.extend(Frame::message(number as u32 + 1, message.len()).to_octets());
        octets.extend(message);
    }
    octets
}

/// What is taken comes out as it went in, what is not taken is gone, and whoever
/// looks ahead sees each header once, however the octets come.
#[test]
fn messages_come_out_as_they_went_in() {
    let messages = messages();
    let octets = stream(&messages);
    for form in FORMS {
        for (step, taken) in [(1000, 1), (7919, 4), (65_536, 2), (1 << 20, 1)] {
            let mut reader = parting(form);
            let (mut rest, mut seen, mut count, mut parted) = (&octets[..], Vec::new(), 0, 0);
            while !rest.is_empty() {
                let some = step.min(reader.room()).min(rest.len());
                feed(&mut reader, &rest[..some]);
                rest = &rest[some..];
                reader.scan(|frame| seen.push(frame.id as usize - 1));
                while let Step::Whole(frame) = reader.advance() {
                    assert_eq!(frame.id as usize, count + 1);
                    if count.is_multiple_of(taken) {
                        let mut payload = reader.take();
                        let tail = payload.take_tail();
                        parted += usize::from(tail.is_some());
                        let have = [&*payload, &tail.unwrap_or_default()].concat();
                        assert!(have == messages[count], "message {count} in {step}");
                    }
                    count += 1;
                }
                let at = octets.len() - rest.len();
                assert_eq!(reader.received() as usize, at);
            }
            assert!(reader.is_empty() && reader.rest().is_empty());
            assert!(parted > 0, "{step}");
            assert_eq!(count, messages.len());
            assert_eq!(seen, (0..count).collect::<Vec<_>>(), "in {step}");
        }
    }
}

/// In the middle of a message it is not the end, nor is there a whole one.
#[test]
fn the_middle_of_a_message_is_the_middle() {
    let mut reader = parting(Form::Full);
    let message = vec![0; 100_000];
    let octets = stream(&[message]);
    let mut begun = parting(Form::Full);
    feed(&mut begun, &octets[..9]);
    assert_eq!(begun.advance(), Step::Short);
    begun.room();
    assert!(begun.rest().is_empty() && !begun.is_empty());
    for piece in octets[..90_000].chunks(30_000) {
        feed(&mut reader, piece);
        assert_eq!(reader.advance(), Step::Short);
        reader.room();
        assert!(!reader.is_empty());
    }
    // Nothing of what follows gets into the message.
    assert_eq!(reader.room(), octets.len() - 90_000);
    feed(&mut reader, &octets[90_000..]);
    assert!(matches!(reader.advance(), Step::Whole(_)));
    assert!(reader.is_empty());
    // It was not taken.
    feed(&mut reader, &Frame::message(2, 0).to_octets());
    let frame = |frame: Step| matches!(frame, Step::Whole(frame) if frame.id == 2);
    assert!(frame(reader.advance()));
}

/// Where a message is said to be parted may not have come yet: then it is not parted.
#[test]
fn a_first_part_that_is_not_there_yet() {
    let octets = stream(&[vec![7; 100_000]]);
    for at in [
        |begin: &[u8], _| Some(begin.len() + 1),
        |_: &[u8], length| Some(length),
    ] {
        let mut reader = Reader::new(Form::Full, 1 << 20);
        reader.set_part_at(at);
        for piece in octets.chunks(60_000) {
            assert_eq!(reader.advance(), Step::Short);
            reader.room();
            feed(&mut reader, piece);
        }
        assert!(matches!(reader.advance(), Step::Whole(_)));
        let mut payload = reader.take();
        assert!(payload.take_tail().is_none());
        assert!(*payload == [7; 100_000]);
    }
}

/// Its buffer is the message's own, and no larger.
#[test]
fn a_part_is_handed_out_uncopied() {
    let mut reader = parting(Form::Full);
    let octets = stream(&[vec![0; 300_000], vec![0; 300_000]]);
    let mut rest = &octets[..];
    while !rest.is_empty() {
        let some = reader.room().min(rest.len());
        feed(&mut reader, &rest[..some]);
        rest = &rest[some..];
        while let Step::Whole(_) = reader.advance() {
            let place = reader.buffer().as_ptr();
            let tail = reader.take().take_tail().unwrap();
            assert_eq!((tail.as_ptr(), tail.len()), (place, 299_999));
            assert!(tail.capacity() <= 300_000, "{}", tail.capacity());
        }
    }
}

/// Only as much room is made at once as octets have come in the last message.
#[test]
fn its_length_is_only_a_claim() {
    let mut reader = Reader::new(Form::Full, u32::MAX);
    reader.set_part_at(part_at);
    for came in [0, 100_000] {
        let mut head = Frame::message(1, 1 << 30).to_octets().to_vec();
        head.extend([0; 1000]);
        feed(&mut reader, &head);
        assert_eq!(reader.advance(), Step::Short);
        reader.room();
        assert!(reader.buffer().capacity() <= 2 * came + (128 << 10));
        reader = Reader::new(Form::Full, u32::MAX);
        reader.set_part_at(part_at);
        for piece in stream(&[vec![0; 100_000]]).chunks(60_000) {
            feed(&mut reader, piece);
            if reader.advance() != Step::Short {
                reader.take();
            }
        }
    }
}

/// What is too long is passed over, and what is no message is left whole.
#[test]
fn only_messages_that_are_not_too_long_are_parted() {
    let mut reader = parting(Form::Full);
    let failed = Frame::of(Kind::Failed, 1, 100_000).to_octets();
    let long = Frame::message(2, (1 << 20) + 1).to_octets();
    let octets = [
        &failed[..],
        &[7; 100_000],
        &long,
        &vec![7; (1 << 20) + 1],
        &announcement(0),
        &stream(&[vec![0; 100_000]]),
    ];
    let octets = octets.concat();
    let (mut rest, mut kinds) = (&octets[..], Vec::new());
    while !rest.is_empty() {
        let some = reader.room().min(rest.len()).min(50_000);
        feed(&mut reader, &rest[..some]);
        rest = &rest[some..];
        loop {
            match reader.advance() {
                Step::Short => break,
                Step::TooLong(frame) => kinds.push((frame.length as usize, None)),
                Step::Whole(frame) => {
                    let mut payload = reader.take();
                    let lost = payload.take_ancillary().into_descriptors().is_err();
                    kinds.push((
                        frame.length as usize,
                        Some((payload.take_tail().is_some(), lost)),
                    ));
                }
            }
        }
    }
    let want = [
        (100_000, Some((false, false))),
        ((1 << 20) + 1, None),
        (100_000, Some((true, true))),
    ];
    assert_eq!(kinds, want);
}
