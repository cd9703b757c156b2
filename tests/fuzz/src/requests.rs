//! The child's half: requests out of any bytes, with descriptors beside them. However these are cut into pieces, the same
//! comes out.

use std::collections::BTreeSet;

use arbitrary::Unstructured;

use crate::protocol::{
    Failure, FailureCode, Form, HEADER, Hello, MAX_PARENT_HELLO, ReplyFrames, Request,
    RequestReader, Violation, announcement,
};
use crate::token::{Reader, Tokens, feed};

/// A request, and the bytes and descriptors of a call. `None` if the latter were lost.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Call(u32, Vec<u8>, Option<Vec<u32>>),
    Other(Request),
    Broken(Violation),
}

pub(crate) fn run(data: &[u8]) {
    let _ = play(&mut Unstructured::new(data));
}

fn play(data: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let limit = *data.choose(&[0, 20, 1000, 1 << 20, u32::MAX])?;
    let is_cut_early = data.arbitrary()?;
    let stream = stream(data)?;
    let whole = read(limit, &stream, |_| usize::MAX, false);
    let pieces = read(limit, &stream, |_| 1, false);
    compare(&whole, &pieces);
    let mut lengths = data.bytes(data.len().min(64))?.iter().cycle();
    let cut = |_| {
        lengths
            .next()
            .map_or(1, |length| usize::from(*length).max(1))
    };
    compare(&whole, &read(limit, &stream, cut, true));
    if is_cut_early {
        answers(&whole, limit);
    }
    Ok(())
}

/// Checks that input which was cut differently differs in nothing except which calls were cancelled before they ran.
fn compare(one: &[Seen], other: &[Seen]) {
    let is_cancelled = |seen: &Seen, by: u32| {
        let Seen::Other(Request::Refuse(id, failure)) = seen else {
            return false;
        };
        *id == by && failure.code == FailureCode::Cancelled
    };
    assert_eq!(one.len(), other.len(), "{one:?}, {other:?}");
    for (one, other) in one.iter().zip(other) {
        let is_same = match (one, other) {
            (Seen::Call(id, ..), refused) | (refused, Seen::Call(id, ..)) => {
                one == other || is_cancelled(refused, *id)
            }
            _ => one == other,
        };
        assert!(is_same, "{one:?}, {other:?}");
    }
}

/// Descriptors that come with the byte at `at`: their number, and whether some of them were cut off.
#[derive(Debug)]
struct Lot {
    at: usize,
    count: usize,
    is_cut: bool,
}

#[derive(Debug, Default)]
struct Stream {
    bytes: Vec<u8>,
    lots: Vec<Lot>,
    /// Each announcement has its lot. Otherwise it depends on the pieces which lot is closed unclaimed.
    is_honest: bool,
}

/// Whole frames for the most part, since random bytes do not get far.
fn stream(data: &mut Unstructured<'_>) -> arbitrary::Result<Stream> {
    let (mut stream, mut lots, mut is_honest) = (Vec::new(), Vec::new(), true);
    while !data.is_empty() && stream.len() < 4 << 10 {
        let kind = data.int_in_range(0..=11)?;
        if kind > 9 {
            lots.extend(announce(data, &mut stream)?);
            continue;
        }
        is_honest &= kind < 7;
        let payload = match kind {
            0 => vec![],
            1 => [&b"P\x01"[..], data.arbitrary::<&[u8]>()?].concat(),
            _ => data.arbitrary::<&[u8]>()?.to_vec(),
        };
        let id: u32 = match kind {
            0 => 3 << 28 | data.int_in_range(0..=4)?,
            1 => 0xf0ff_5942,
            2..=6 => data.int_in_range(0..=4)?,
            7 => 5 << 28 | data.int_in_range(0..=300)?,
            _ => data.arbitrary()?,
        };
        let length = if kind == 8 {
            data.arbitrary()?
        } else {
            payload.len() as u32
        };
        if kind == 9 {
            stream.extend(payload);
        } else {
            stream.extend(id.to_be_bytes());
            stream.extend(length.to_be_bytes());
            stream.extend(payload);
        }
    }
    Ok(Stream {
        bytes: stream,
        lots,
        is_honest,
    })
}

/// An announcement with its descriptors, a few too many or too few now and then.
fn announce(data: &mut Unstructured<'_>, stream: &mut Vec<u8>) -> arbitrary::Result<Option<Lot>> {
    let said = data.int_in_range(0..=3)?;
    let (lies, is_cut) = (data.ratio(1, 8)?, data.ratio(1, 8)?);
    let count = if lies { 1 + (said + 1) % 4 } else { said };
    let at = stream.len();
    stream.extend(announcement(said));
    Ok((said > 0).then_some(Lot { at, count, is_cut }))
}

/// All requests that come out, up to the first breach.
fn read(limit: u32, all: &Stream, mut cut: impl FnMut(usize) -> usize, ahead: bool) -> Vec<Seen> {
    let tokens = Tokens::default();
    let (mut stream, mut lots) = (&all.bytes[..], all.lots.iter().peekable());
    let mut reader = Reader::new(Form::Plain, limit);
    reader.set_most_descriptors(usize::MAX);
    reader.hello_limit = MAX_PARENT_HELLO;
    let (mut requests, mut seen) = (RequestReader::default(), Vec::new());
    while !stream.is_empty() {
        let (now, later) = stream.split_at(cut(stream.len()).min(stream.len()));
        let left = feed(&mut reader, now).len();
        let end = all.bytes.len() - later.len() - left;
        while let Some(lot) = lots.next_if(|lot| lot.at < end) {
            reader.push_arrival(tokens.some(lot.count), lot.is_cut);
        }
        stream = &stream[now.len() - left..];
        debug_assert!(stream.len() >= later.len());
        if ahead {
            requests.note_cancels(&mut reader);
        }
        loop {
            let one = match requests.next(&mut reader) {
                Ok(None) => break,
                Ok(Some(Request::Call(id))) => {
                    let came = reader.take_ancillary().into_descriptors().ok();
                    let numbers = came.filter(|_| all.is_honest);
                    let numbers = numbers.map(|came| came.iter().map(|one| one.number).collect());
                    Seen::Call(id, reader.bytes().to_vec(), numbers)
                }
                Ok(Some(other)) => Seen::Other(other),
                Err(violation) => Seen::Broken(violation),
            };
            assert!(reader.bytes().len() <= limit as usize || !matches!(one, Seen::Call(..)));
            let is_end = matches!(one, Seen::Broken(_));
            seen.push(one);
            if is_end {
                drop(reader);
                tokens.assert_none();
                return seen;
            }
        }
    }
    let calls = seen
        .iter()
        .filter(|one| matches!(one, Seen::Call(..) | Seen::Other(Request::Refuse(..))));
    assert_eq!(requests.started(), calls.count() as u64);
    drop(reader);
    tokens.assert_none();
    seen
}

/// Checks that each answer of a child is a frame, whatever it was asked.
fn answers(seen: &[Seen], limit: u32) {
    let replies = ReplyFrames::new(limit);
    for one in seen {
        let frame = match one {
            Seen::Call(id, bytes, _) => {
                let mut frame = [&[0; HEADER], &bytes[..]].concat();
                assert_eq!(
                    replies.message(*id, &mut frame).is_ok(),
                    bytes.len() <= limit as usize
                );
                frame
            }
            Seen::Other(Request::Refuse(id, failure)) => ReplyFrames::failed(*id, failure),
            Seen::Other(Request::Hello(hello)) => ReplyFrames::hello(hello),
            Seen::Other(Request::Cancel(id)) => {
                ReplyFrames::failed(*id, &Failure::new(FailureCode::Cancelled, "so"))
            }
            Seen::Other(Request::Call(_)) => unreachable!("it is a call"),
            Seen::Broken(violation) => ReplyFrames::hello(&Hello::refusal(&violation.0)),
        };
        assert!(frame.len() >= HEADER);
    }
    let kept: BTreeSet<_> = [ReplyFrames::ready(), ReplyFrames::retire()].into();
    assert_eq!(kept.len(), 2);
}
