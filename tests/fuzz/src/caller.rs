//! The parent's half, against a child that says what it likes: each call is done once, by an answer that bears its id or
//! by the child's end; no other call is; what came along with anything is closed.

use std::collections::BTreeMap;
use std::io::IoSlice;

use arbitrary::Unstructured;

use crate::protocol::{
    BufferPool, CallOutcome, Caller, Failure, FailureCode, FlowLimits, Form, Hello, Notice,
    ReadUpTo, ReplyFrames, Role, Started, StartedInfo, announcement,
};
use crate::token::{Reader, Token, Tokens, feed, parcel};

pub(crate) fn run(data: &[u8]) {
    let tokens = Tokens::default();
    if let Ok(mut model) = Model::new(&mut Unstructured::new(data), &tokens) {
        // The end of the input is the end of the child.
        let _ = model.play(&mut Unstructured::new(data));
        model.end(data.len());
    }
    tokens.assert_none();
}

/// The expected state of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Open,
    Done,
    Expired,
}

struct Model<'t> {
    caller: Caller<(), Token>,
    reader: Reader,
    limits: FlowLimits,
    calls: BTreeMap<u32, Call>,
    tokens: &'t Tokens,
    /// Calls that are not in `calls` any more, and whose answer may come.
    given_up: Vec<u32>,
    broken: bool,
    notices: Vec<Notice<Token>>,
}

impl<'t> Model<'t> {
    fn new(data: &mut Unstructured<'_>, tokens: &'t Tokens) -> arbitrary::Result<Self> {
        let limits = FlowLimits {
            calls: data.int_in_range(1..=8)?,
            bytes: data.int_in_range(1..=300)?,
            frame: *data.choose(&[0, 10, 1000, u32::MAX])?,
            descriptors: data.int_in_range(0..=20)?,
        };
        let hello = data
            .arbitrary::<bool>()?
            .then(|| Hello::new(Role::Parent).with("worker", "w"));
        let form = if hello.is_some() {
            Form::Full
        } else {
            Form::Plain
        };
        let own = if hello.is_some() {
            tokens.some(data.int_in_range(0..=3)?)
        } else {
            Vec::new()
        };
        let mut reader = Reader::new(form, *data.choose(&[0, 20, 1000, u32::MAX])?);
        reader.set_most_descriptors(limits.descriptors);
        Ok(Self {
            caller: Caller::new(hello.as_ref(), own, limits),
            reader,
            limits,
            calls: BTreeMap::new(),
            tokens,
            given_up: Vec::new(),
            broken: false,
            notices: Vec::new(),
        })
    }

    fn play(&mut self, data: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        while !data.is_empty() && !self.broken {
            match data.int_in_range(0..=15)? {
                0..=2 => self.call(data)?,
                3 => self.cancel(data)?,
                4 => self.expire(data)?,
                5 => self.write(data)?,
                6 => self.collect(),
                7 => {
                    let count = data.int_in_range(0..=4)?;
                    self.reader
                        .push_arrival(self.tokens.some(count), data.arbitrary()?);
                }
                8 => self.feed(data.arbitrary::<&[u8]>()?),
                _ => {
                    let bytes = self.said(data)?;
                    self.feed(&bytes);
                }
            }
            let (open, entries) = (self.caller.open(), self.calls.len() + self.given_up.len());
            assert!(open <= self.limits.calls && open <= entries, "{open}");
        }
        Ok(())
    }

    fn call(&mut self, data: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        let bytes = data.arbitrary::<&[u8]>()?;
        let descriptors = self.tokens.some(data.int_in_range(0..=3)?);
        let mut parcel = parcel(bytes, descriptors);
        let would_wait = self.caller.would_wait(&parcel);
        let is_refused = bytes.len() > self.limits.frame as usize
            || parcel.descriptors.len() > self.limits.descriptors;
        let id = self.caller.call(&mut parcel, ());
        let state = if is_refused { Call::Done } else { Call::Open };
        assert_eq!(self.calls.insert(id, state), None, "the id {id} is in use");
        assert!(
            !self.given_up.contains(&id),
            "the answer of {id} may still come"
        );
        assert_eq!(self.caller.is_done(id), is_refused);
        assert_eq!(self.caller.is_queued(id), would_wait);
        Ok(())
    }

    fn any(&self, data: &mut Unstructured<'_>) -> arbitrary::Result<Option<(u32, Call)>> {
        let which = data.choose_index(self.calls.len().max(1))?;
        Ok(self.calls.iter().nth(which).map(|(id, call)| (*id, *call)))
    }

    fn cancel(&mut self, data: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        if let Some((id, call)) = self.any(data)? {
            let was_sent = call != Call::Done && !self.caller.is_queued(id);
            self.caller.cancel(id);
            self.calls.remove(&id);
            self.given_up.extend(
                was_sent
                    .then_some(id)
                    .filter(|id| !self.caller.is_done(*id)),
            );
        }
        Ok(())
    }

    fn expire(&mut self, data: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        if let Some((id, call)) = self.any(data)? {
            let expires = self.caller.expire(id, Started::Unknown);
            assert_eq!(expires, call == Call::Open);
            if expires {
                self.calls.insert(id, Call::Expired);
            }
        }
        Ok(())
    }

    fn write(&mut self, data: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        let mut outbox = self.caller.take_outbox();
        let mut slices = [IoSlice::new(&[]); 8];
        let count = outbox.slices(&mut slices);
        let there: usize = slices[..count].iter().map(|slice| slice.len()).sum();
        let gives_up = data.arbitrary::<bool>()? && outbox.give_up_descriptors();
        assert!(!gives_up || outbox.descriptors().is_empty());
        let written = data.int_in_range(0..=there)?;
        outbox.consume_in(written, &mut BufferPool::new());
        self.caller.wrote(written, outbox);
        Ok(())
    }

    /// A frame of a child, honest or not.
    fn said(&mut self, data: &mut Unstructured<'_>) -> arbitrary::Result<Vec<u8>> {
        let known: Vec<u32> = self
            .calls
            .keys()
            .copied()
            .chain(self.given_up.iter().copied())
            .collect();
        let id = match data.int_in_range(0..=7)? {
            0 => 0,
            1 => data.int_in_range(0..=20)?,
            2 => data.arbitrary()?,
            _ if known.is_empty() => 0,
            _ => *data.choose(&known)?,
        };
        let payload = data.arbitrary::<&[u8]>()?;
        let kind: u32 = match data.int_in_range(0..=11)? {
            0 => {
                return Ok(ReplyFrames::failed(
                    id & 0x0fff_ffff,
                    &Failure::new(FailureCode::Panic, "so"),
                ));
            }
            1 => return Ok(ReplyFrames::hello(&Hello::new(Role::Child))),
            2 => return Ok(ReplyFrames::ready()),
            3 => return Ok(ReplyFrames::retire()),
            4 | 5 => {
                // With what it announces, or not.
                let count = data.int_in_range(0..=4)?;
                if data.ratio(7, 8)? && count > 0 {
                    self.reader.push_arrival(self.tokens.some(count), false);
                }
                return Ok(announcement(count).to_vec());
            }
            6 => 2,
            7 => data.int_in_range(0..=15)?,
            _ => 0,
        };
        let length = if data.ratio(1, 8)? {
            data.arbitrary()?
        } else {
            payload.len() as u32
        };
        Ok([
            &(kind << 28 | id).to_be_bytes(),
            &length.to_be_bytes(),
            payload,
        ]
        .concat())
    }

    fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() && !self.broken {
            rest = feed(&mut self.reader, rest);
            self.read();
        }
    }

    fn read(&mut self) {
        let queued: Vec<u32> = self
            .calls
            .keys()
            .copied()
            .filter(|id| self.caller.is_queued(*id))
            .collect();
        loop {
            let absorbed = self.caller.read_frames(&mut self.reader, &mut self.notices);
            let notices = std::mem::take(&mut self.notices);
            for notice in notices {
                self.noticed(notice, &queued);
            }
            match absorbed {
                Ok(ReadUpTo::All) => break,
                Ok(ReadUpTo::Hello) => {}
                Err(violation) => {
                    assert!(violation.0.len() < 2000, "{violation:?}");
                    self.broken = true;
                    break;
                }
            }
        }
        self.given_up.retain(|id| !self.caller.is_done(*id));
    }

    fn noticed(&mut self, notice: Notice<Token>, queued: &[u32]) {
        match notice {
            Notice::Completed(id) => {
                let call = self.calls.insert(id, Call::Done);
                assert_eq!(call, Some(Call::Open), "an answer to {id}");
                assert!(!queued.contains(&id), "{id} was not sent");
            }
            Notice::CallEvent(id, _) => {
                assert!(!queued.contains(&id), "{id} was not sent");
                // It may be answered behind that.
                assert!(
                    self.calls
                        .get(&id)
                        .is_some_and(|call| *call != Call::Expired)
                );
            }
            Notice::Hello(hello) => assert_eq!(hello.role, Role::Child),
            Notice::Ready | Notice::Retired | Notice::Unfit(_) | Notice::Event(_) => {}
        }
    }

    fn collect(&mut self) {
        let done: Vec<u32> = self
            .calls
            .keys()
            .copied()
            .filter(|id| self.caller.is_done(*id))
            .collect();
        for id in done {
            let call = self.calls.remove(&id);
            assert!(self.caller.collect(id, |()| false).is_none());
            let (outcome, ()) = self.caller.collect(id, |()| true).expect("it is done");
            match outcome {
                CallOutcome::Expired(_) => assert_eq!(call, Some(Call::Expired)),
                CallOutcome::Result(_) | CallOutcome::Failed(_) | CallOutcome::NotSent(_) => {
                    assert_eq!(call, Some(Call::Done))
                }
                CallOutcome::Lost(_) => assert!(self.broken),
            }
            if call == Some(Call::Expired) && !self.caller.is_done(id) {
                self.given_up.push(id);
            }
        }
    }

    /// The child is gone: what is open is lost, once.
    fn end(&mut self, seed: usize) {
        self.broken = true;
        let known = [
            StartedInfo::Nothing,
            StartedInfo::OneByOne,
            StartedInfo::Count(seed as u64 % 5),
        ][seed % 3];
        let open: Vec<u32> = self
            .calls
            .iter()
            .filter(|(_, call)| **call == Call::Open)
            .map(|(id, _)| *id)
            .collect();
        assert_eq!(self.caller.fail_all(known), open);
        for id in &open {
            assert!(self.caller.lost(*id).is_some());
        }
        self.collect();
        assert!(self.calls.is_empty(), "{:?} are not done", self.calls);
        assert_eq!(self.caller.unanswered(), 0);
        assert!(self.caller.fail_all(known).is_empty());
    }
}
