//! The child's half: requests in, replies out.
//!
//! The two halves are separate types because one loop reads requests, but any thread writes replies and events.
//!
//! The first four bytes decide on the form. A child answers every request exactly once, with a result or a failure. The
//! plain form has no frame for a failure: there the child writes what is finished, and exits.

use std::collections::HashSet;

use super::frame::MAX_HELLO;
use super::hello::MAGIC;
use super::reader::NextFrame;
use super::{Failure, FailureCode, Form, Frame, FrameKind, FrameReader, HEADER, Hello, Violation};

/// A request of the parent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// The parent's hello, which opens the full form.
    Hello(Hello),
    /// Run this call. Its arguments are [`FrameReader::bytes`].
    Call(u32),
    /// Answer this call with this failure.
    Refuse(u32, Failure),
    /// Stop this call if it runs. It still has to be answered.
    Cancel(u32),
}

/// The reading half.
#[derive(Debug, Default)]
pub(crate) struct RequestReader {
    /// The first four bytes have decided on the form.
    begun: bool,
    /// The parent's hello was read.
    greeted: bool,
    /// Ids whose cancel was scanned and not returned by `next`.
    cancelled: HashSet<u32>,
    /// Number of calls ever returned by `next`, to run or to refuse.
    started: u64,
}

impl RequestReader {
    /// To be called after bytes have come: notes which of the calls that
    /// are still to start were cancelled.
    pub(crate) fn note_cancels<D>(&mut self, reader: &mut FrameReader<D>) {
        if self.begun && reader.form == Form::Full {
            reader.scan(|frame| {
                if frame.kind == Some(FrameKind::Cancel) {
                    self.cancelled.insert(frame.id);
                }
            });
        }
    }

    /// Returns the next request. `None` if no whole frame is left.
    pub(crate) fn next<D>(
        &mut self,
        reader: &mut FrameReader<D>,
    ) -> Result<Option<Request>, Violation> {
        if !self.has_begun(reader) {
            return Ok(None);
        }
        let frame = match reader.advance() {
            NextFrame::Short => return reader.check_descriptors().map(|()| None),
            NextFrame::Whole(frame) => frame,
            NextFrame::TooLong(frame) => {
                return self.too_long(frame, reader.limit_of(frame)).map(Some);
            }
        };
        self.request(frame, reader).map(Some)
    }

    /// Returns the number of calls ever returned by [`next`](Self::next), to run or to refuse.
    pub(crate) fn started(&self) -> u64 {
        self.started
    }

    /// Calls whose cancel was read and is still to come out of [`next`](Self::next):
    /// those that run can be stopped at once.
    pub(crate) fn withdrawn(&self) -> impl Iterator<Item = u32> + '_ {
        self.cancelled.iter().copied()
    }

    /// Returns whether enough bytes have arrived to know the form, and sets it in `reader`.
    pub(crate) fn has_begun<D>(&mut self, reader: &mut FrameReader<D>) -> bool {
        if self.begun {
            return true;
        }
        let Some(first) = reader.rest().first_chunk::<4>() else {
            return false;
        };
        self.begun = true;
        if u32::from_be_bytes(*first) == MAGIC {
            reader.form = Form::Full;
            self.note_cancels(reader);
        }
        true
    }

    fn request<D>(&mut self, frame: Frame, reader: &FrameReader<D>) -> Result<Request, Violation> {
        match frame.kind {
            Some(FrameKind::Message) if frame.id == 0 => {
                Err(Violation("a call with the id 0".into()))
            }
            Some(FrameKind::Message) if reader.form == Form::Full && !self.greeted => {
                Err(Violation("a call before hello".into()))
            }
            Some(FrameKind::Message) => Ok(self.call(frame.id)),
            Some(FrameKind::Cancel) => {
                self.cancelled.remove(&frame.id);
                Ok(Request::Cancel(frame.id))
            }
            Some(FrameKind::Hello) if !self.greeted => {
                self.greeted = true;
                Hello::parse(reader.bytes()).map(Request::Hello)
            }
            _ => Err(frame.misplaced("parent")),
        }
    }

    fn call(&mut self, id: u32) -> Request {
        self.started += 1;
        if self.cancelled.contains(&id) {
            return refuse(id, FailureCode::Cancelled, "cancelled before it ran");
        }
        Request::Call(id)
    }

    fn too_long(&mut self, frame: Frame, limit: u32) -> Result<Request, Violation> {
        if frame.kind != Some(FrameKind::Message) || frame.id == 0 {
            return Err(frame.too_long(limit));
        }
        self.started += 1;
        let text = format!(
            "the request has {} bytes, more than the child takes",
            frame.length
        );
        Ok(refuse(frame.id, FailureCode::TooLong, text))
    }
}

fn refuse(id: u32, code: FailureCode, text: impl Into<String>) -> Request {
    Request::Refuse(id, Failure::new(code, text))
}

/// The writing half: encodes frames. The owner writes them, whole and in order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReplyFrames {
    limit: u32,
}

impl ReplyFrames {
    /// `limit` is the maximum payload of a message or event, in bytes.
    pub(crate) fn new(limit: u32) -> Self {
        Self { limit }
    }

    /// Writes the header of a result, or of an event if `id` is 0, into the first bytes of `frame`. The error is the
    /// limit, if the payload exceeds it.
    pub(crate) fn message(self, id: u32, frame: &mut [u8]) -> Result<(), u32> {
        self.write_header(FrameKind::Message, id, frame)
    }

    /// Writes the header of an event of call `id`, which must not be answered yet (full form only). The error is the
    /// limit, if the payload exceeds it.
    pub(crate) fn call_event(self, id: u32, frame: &mut [u8]) -> Result<(), u32> {
        self.write_header(FrameKind::CallEvent, id, frame)
    }

    fn write_header(self, kind: FrameKind, id: u32, frame: &mut [u8]) -> Result<(), u32> {
        let length = frame.len() - HEADER;
        if length > self.limit as usize {
            return Err(self.limit);
        }
        frame[..HEADER].copy_from_slice(&Frame::of(kind, id, length).to_bytes());
        Ok(())
    }

    /// Returns the frame that says that call `id` failed (full form only).
    pub(crate) fn failed(id: u32, failure: &Failure) -> Vec<u8> {
        frame(FrameKind::Failed, id, &failure.to_bytes())
    }

    /// Returns the frame that says that `init` is done.
    pub(crate) fn ready() -> Vec<u8> {
        frame(FrameKind::Ready, 0, &[])
    }

    /// Returns the frame that says that the child takes no more calls.
    pub(crate) fn retire() -> Vec<u8> {
        frame(FrameKind::Retire, 0, &[])
    }

    /// Returns the child's hello. One over the limit is replaced by a refusal that says so.
    pub(crate) fn hello(hello: &Hello) -> Vec<u8> {
        let mut bytes = hello.to_bytes();
        if bytes.len() > MAX_HELLO as usize {
            let length = bytes.len();
            let text = format!("its hello would have {length} bytes, the limit is {MAX_HELLO}");
            bytes = Hello::refusal(&text).to_bytes();
        }
        frame(FrameKind::Hello, MAGIC & 0x0fff_ffff, &bytes)
    }
}

fn frame(kind: FrameKind, id: u32, bytes: &[u8]) -> Vec<u8> {
    let mut frame = Frame::of(kind, id, bytes.len()).to_bytes().to_vec();
    frame.extend_from_slice(bytes);
    frame
}
