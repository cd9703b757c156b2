//! Lots of descriptors and their announcements: what is honest arrives with its frame, a lot that is not as announced is
//! the loss of its frame alone, and everything else is closed.

use std::collections::VecDeque;

use arbitrary::Unstructured;

use crate::protocol::{
    Caller, FlowLimits, Form, Hello, Notice, ReadUpTo, ReplyFrames, Role, announcement,
};
use crate::token::{Reader, Token, Tokens, feed};

pub(crate) fn run(data: &[u8]) {
    let tokens = Tokens::default();
    let _ = play(&mut Unstructured::new(data), &tokens);
    tokens.assert_none();
}

/// A lot as it comes, and what of it is not as announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, arbitrary::Arbitrary)]
enum Lie {
    None,
    TooMany,
    TooFew,
    Cut,
}

/// Bytes, and what comes with the first of them.
type Piece = (Vec<u8>, Option<(Vec<Token>, bool)>);

/// An event that is due: its descriptors, or a loss.
type Due = (u32, Option<Vec<u32>>);

fn play(data: &mut Unstructured<'_>, tokens: &Tokens) -> arbitrary::Result<()> {
    let (mut pieces, mut due) = (VecDeque::<Piece>::new(), VecDeque::<Due>::new());
    let hello = [
        ReplyFrames::hello(&Hello::new(Role::Child)),
        ReplyFrames::ready(),
    ]
    .concat();
    pieces.push_back((hello, None));
    for number in 0..data.int_in_range(1..=12)? {
        event(data, tokens, number, &mut pieces, &mut due)?;
    }
    deliver(data, pieces, &mut due)?;
    assert!(due.is_empty(), "{due:?} did not come");
    Ok(())
}

fn event(
    data: &mut Unstructured<'_>,
    tokens: &Tokens,
    number: u32,
    pieces: &mut VecDeque<Piece>,
    due: &mut VecDeque<Due>,
) -> arbitrary::Result<()> {
    let mut own = Some(Vec::new());
    for _ in 0..data.int_in_range(0..=3)? {
        let count: usize = if data.ratio(1, 16)? {
            253
        } else {
            data.int_in_range(0..=4)?
        };
        let lie = if data.ratio(1, 4)? {
            data.arbitrary()?
        } else {
            Lie::None
        };
        let sent = match lie {
            Lie::TooMany => count + 1,
            Lie::TooFew => count.saturating_sub(1).max(usize::from(count == 1) * 2),
            Lie::None | Lie::Cut => count,
        };
        // A batch that could not be sent is announced as 0.
        let lot = (count > 0).then(|| (tokens.some(sent), lie == Lie::Cut));
        let numbers: Vec<u32> = lot
            .iter()
            .flat_map(|(all, _)| all.iter().map(|one| one.number))
            .collect();
        match &mut own {
            Some(all) if lie == Lie::None && count > 0 => all.extend(numbers),
            _ => own = None,
        }
        pieces.push_back((announcement(count).to_vec(), lot));
    }
    let padding = vec![0; data.int_in_range(0..=100)?];
    let payload = [&number.to_be_bytes()[..], &padding].concat();
    let frame = [&[0; 4], &(payload.len() as u32).to_be_bytes(), &payload[..]].concat();
    pieces.push_back((frame, None));
    due.push_back((number, own));
    Ok(())
}

/// As a socket does: a read ends before the next lot, and may end anywhere.
fn deliver(
    data: &mut Unstructured<'_>,
    mut pieces: VecDeque<Piece>,
    due: &mut VecDeque<Due>,
) -> arbitrary::Result<()> {
    let limits = FlowLimits {
        calls: 1,
        bytes: 1,
        frame: 1,
        descriptors: 10_000,
    };
    let mut caller = Caller::<(), Token>::new(Some(&Hello::new(Role::Parent)), Vec::new(), limits);
    let mut reader = Reader::new(Form::Full, 1000);
    reader.set_most_descriptors(10_000);
    let mut notices = Vec::new();
    while !pieces.is_empty() {
        let (mut bytes, mut has_lot) = (Vec::new(), false);
        while let Some((piece, lot)) = pieces.front_mut() {
            // What stands before a lot may be glued to it, nothing behind it is.
            if has_lot {
                break;
            }
            if let Some((all, is_cut)) = lot.take() {
                reader.push_arrival(all, is_cut);
                has_lot = true;
            }
            if data.ratio(1, 4)? && piece.len() > 1 {
                let count = data.int_in_range(1..=piece.len() - 1)?;
                bytes.extend(piece.drain(..count));
                break;
            }
            bytes.append(piece);
            pieces.pop_front();
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            rest = feed(&mut reader, rest);
            while caller
                .read_frames(&mut reader, &mut notices)
                .expect("nothing breaks the protocol")
                == ReadUpTo::Hello
            {}
        }
        check(&mut notices, due);
    }
    Ok(())
}

fn check(notices: &mut Vec<Notice<Token>>, due: &mut VecDeque<Due>) {
    for notice in notices.drain(..) {
        if let Notice::Event(mut payload) = notice {
            let (number, own) = due.pop_front().expect("no more are sent");
            assert_eq!(payload[..4], number.to_be_bytes());
            let came = payload.take_ancillary().into_descriptors().ok();
            let came = came.map(|all| all.iter().map(|one| one.number).collect::<Vec<_>>());
            assert_eq!(came, own, "of event {number}");
        }
    }
}
