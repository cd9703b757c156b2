//! The child's half: requests in, replies out.
//!
//! The two are apart because they are used apart: one loop reads requests, but
//! replies and events are written from wherever they are made.
//!
//! A child decides on the first four octets which form is spoken. It answers
//! every request exactly once, with a result or a failure; in the plain form,
//! which has no frame for a failure, it writes what is finished and ends.

use std::collections::HashSet;

use super::frame::LONGEST_HELLO;
use super::hello::MAGIC;
use super::reader::Step;
use super::{Failure, FailureCode, Form, Frame, HEADER, Hello, Kind, Parcel, Reader, Violation};

/// What the parent asks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// The parent opens the full form.
    Hello(Hello),
    /// Run this call; its arguments are [`Reader::octets`].
    Call(u32),
    /// This call cannot run, for this reason: answer so.
    Refuse(u32, Failure),
    /// Stop this call if it is running; its answer is still due.
    Cancel(u32),
}

/// The reading half.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    /// The first four octets were seen.
    begun: bool,
    /// A hello came.
    greeted: bool,
    /// Calls whose cancel was read before they were started.
    cancelled: HashSet<u32>,
    /// Calls handed out or refused, ever.
    started: u64,
}

impl Requests {
    /// To be called after octets have come: notes which of the calls that
    /// are still to start were cancelled.
    pub(crate) fn look_ahead<D>(&mut self, reader: &mut Reader<D>) {
        if self.begun && reader.form() == Form::Full {
            reader.scan(|frame| {
                if frame.kind == Some(Kind::Cancel) {
                    self.cancelled.insert(frame.id);
                }
            });
        }
    }

    /// The next thing to do, or `None` if more octets are needed.
    pub(crate) fn next<D>(&mut self, reader: &mut Reader<D>) -> Result<Option<Request>, Violation> {
        if !self.has_begun(reader) {
            return Ok(None);
        }
        let frame = match reader.advance() {
            Step::Short => return reader.check_descriptors().map(|()| None),
            Step::Whole(frame) => frame,
            Step::TooLong(frame) => {
                return self.too_long(frame, reader.limit_of(frame)).map(Some);
            }
        };
        self.request(frame, reader).map(Some)
    }

    /// How many calls have been started or passed over, ever.
    pub(crate) fn started(&self) -> u64 {
        self.started
    }

    /// Calls whose cancel was read and is still to come out of [`next`](Self::next):
    /// those that run can be stopped at once.
    pub(crate) fn withdrawn(&self) -> impl Iterator<Item = u32> + '_ {
        self.cancelled.iter().copied()
    }

    /// Enough has come to know which form is spoken: [`Reader::form`].
    pub(crate) fn has_begun<D>(&mut self, reader: &mut Reader<D>) -> bool {
        if self.begun {
            return true;
        }
        let Some(first) = reader.rest().first_chunk::<4>() else {
            return false;
        };
        self.begun = true;
        if u32::from_be_bytes(*first) == MAGIC {
            reader.set_form(Form::Full);
            self.look_ahead(reader);
        }
        true
    }

    fn request<D>(&mut self, frame: Frame, reader: &Reader<D>) -> Result<Request, Violation> {
        match frame.kind {
            Some(Kind::Message) if frame.id == 0 => Err(Violation("a call with the id 0".into())),
            Some(Kind::Message) if reader.form() == Form::Full && !self.greeted => {
                Err(Violation("a call before hello".into()))
            }
            Some(Kind::Message) => Ok(self.call(frame.id)),
            Some(Kind::Cancel) => {
                self.cancelled.remove(&frame.id);
                Ok(Request::Cancel(frame.id))
            }
            Some(Kind::Hello) if !self.greeted => {
                self.greeted = true;
                Hello::parse(reader.octets()).map(Request::Hello)
            }
            _ => Err(frame.misplaced("parent")),
        }
    }

    fn call(&mut self, id: u32) -> Request {
        self.started += 1;
        if self.cancelled.contains(&id) {
            return Request::Refuse(
                id,
                Failure::new(FailureCode::Cancelled, "cancelled before it ran"),
            );
        }
        Request::Call(id)
    }

    fn too_long(&mut self, frame: Frame, limit: u32) -> Result<Request, Violation> {
        if frame.kind != Some(Kind::Message) || frame.id == 0 {
            return Err(frame.too_long(limit));
        }
        self.started += 1;
        let text = format!(
            "the request has {} bytes, more than the child takes",
            frame.length
        );
        Ok(Request::Refuse(
            frame.id,
            Failure::new(FailureCode::TooLong, text),
        ))
    }
}

/// The writing half: it makes frames; their owner writes them, whole and in
/// order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Replies {
    limit: u32,
}

impl Replies {
    /// Frames may have at most so many octets.
    pub(crate) fn new(limit: u32) -> Self {
        Self { limit }
    }

    /// Makes a result, or (id 0) an event, of room for a header and octets.
    /// Says how many octets are the most if these are more.
    pub(crate) fn message(self, id: u32, frame: &mut [u8]) -> Result<(), u32> {
        let length = frame.len();
        self.head(Kind::Message, id, frame, length)
    }

    /// Makes a result of a frame that may be in two parts, in the same way.
    pub(crate) fn result<D>(self, id: u32, parcel: &mut Parcel<D>) -> Result<(), u32> {
        let length = parcel.len();
        self.head(Kind::Message, id, &mut parcel.frame, length)
    }

    /// Makes an event of this call (full form only), which must not be answered
    /// yet, of room for a header and octets. Says how many octets are the most
    /// if these are more.
    pub(crate) fn call_event(self, id: u32, frame: &mut [u8]) -> Result<(), u32> {
        let length = frame.len();
        self.head(Kind::CallEvent, id, frame, length)
    }

    fn head(self, kind: Kind, id: u32, frame: &mut [u8], length: usize) -> Result<(), u32> {
        let length = length - HEADER;
        if length > self.limit as usize {
            return Err(self.limit);
        }
        frame[..HEADER].copy_from_slice(&Frame::of(kind, id, length).to_octets());
        Ok(())
    }

    /// Makes the frame that says that a call failed (full form only).
    pub(crate) fn failed(id: u32, failure: &Failure) -> Vec<u8> {
        frame(Kind::Failed, id, &failure.to_octets())
    }

    /// Makes the frame that says that `init` is done.
    pub(crate) fn ready() -> Vec<u8> {
        frame(Kind::Ready, 0, &[])
    }

    /// Makes the frame that says that no more calls are wanted.
    pub(crate) fn retire() -> Vec<u8> {
        frame(Kind::Retire, 0, &[])
    }

    /// Makes the answer to a hello. One that no parent would take says so instead.
    pub(crate) fn hello(hello: &Hello) -> Vec<u8> {
        let mut octets = hello.to_octets();
        if octets.len() > LONGEST_HELLO as usize {
            let length = octets.len();
            let text = format!("its hello would have {length} bytes, the limit is {LONGEST_HELLO}");
            octets = Hello::refusal(&text).to_octets();
        }
        frame(Kind::Hello, MAGIC & 0x0fff_ffff, &octets)
    }
}

fn frame(kind: Kind, id: u32, octets: &[u8]) -> Vec<u8> {
    let mut frame = Frame::of(kind, id, octets.len()).to_octets().to_vec();
    frame.extend_from_slice(octets);
    frame
}
