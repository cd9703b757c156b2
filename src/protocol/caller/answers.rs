//! The child's frames: answers, events, hello.

use super::super::hello::may_be_hello;
use super::super::reader::NextFrame;
use super::super::{Failure, Form, Frame, FrameKind, FrameReader, Hello, Violation};
use super::limits::too_long;
use super::{CallOutcome, Caller, EntryState, Notice, ReadUpTo, show};

/// The meaning of a frame to the owner: `None` if it has none.
type Found<D> = Result<Option<Notice<D>>, Violation>;

impl<W, D> Caller<W, D> {
    /// Handles all frames that have arrived, and appends what they mean to `notices`. Stops behind a hello, so that the
    /// owner can check it first.
    pub(crate) fn read_frames(
        &mut self,
        reader: &mut FrameReader<D>,
        notices: &mut Vec<Notice<D>>,
    ) -> Result<ReadUpTo, Violation> {
        if self.awaits_hello && !may_be_hello(reader.rest()) {
            return Err(Violation(format!(
                "instead of a hello came {}",
                show(reader.rest())
            )));
        }
        loop {
            let notice = match reader.advance() {
                NextFrame::Short => break,
                NextFrame::Whole(frame) => self.frame(frame, reader)?,
                NextFrame::TooLong(frame) => self.too_long_answer(frame, reader)?,
            };
            let is_hello = matches!(notice, Some(Notice::Hello(_)));
            notices.extend(notice);
            if is_hello {
                return Ok(ReadUpTo::Hello);
            }
        }
        if self.form == Form::Plain {
            // No frame announces any.
            reader.arrivals.discard_rest();
        }
        // Otherwise the next `room_in` would close them, under a lock of the owner.
        self.unwanted.append(&mut reader.arrivals.unwanted);
        self.refill();
        reader.check_descriptors()?;
        Ok(ReadUpTo::All)
    }

    fn frame(&mut self, frame: Frame, reader: &mut FrameReader<D>) -> Found<D> {
        let greeted = !self.awaits_hello;
        Ok(Some(match frame.kind {
            Some(FrameKind::Message) if !greeted => {
                return Err(Violation("a message before hello".into()));
            }
            Some(FrameKind::Message) if frame.id == 0 => Notice::Event(reader.take()),
            Some(FrameKind::Message) => {
                return self.complete(frame, CallOutcome::Result(reader.take()));
            }
            Some(FrameKind::CallEvent) => return self.call_event(frame.id, reader),
            Some(FrameKind::Failed) => {
                let failure = Failure::parse(reader.bytes())?;
                if frame.id != 0 {
                    return self.complete(frame, CallOutcome::Failed(failure.into()));
                }
                Notice::Unfit(failure)
            }
            Some(FrameKind::Ready) => Notice::Ready,
            Some(FrameKind::Retire) if greeted => Notice::Retired,
            Some(FrameKind::Hello) if !greeted => {
                // A worker in the plain form takes the parent's hello for a call, and answers it.
                let plain = |Violation(text)| {
                    Violation(format!(
                        "{text} (a worker that knows no hello needs `plain`)"
                    ))
                };
                let hello = Hello::parse(reader.bytes()).map_err(plain)?;
                hello.is_of_child()?;
                self.awaits_hello = false;
                Notice::Hello(hello)
            }
            _ => return Err(frame.misplaced("child")),
        }))
    }

    /// Handles an event of call `id`. It is dropped if the call was cancelled or has expired.
    fn call_event(&mut self, id: u32, reader: &mut FrameReader<D>) -> Found<D> {
        match self.table.get(id).map(|slot| &slot.state) {
            Some(EntryState::Sent(_)) => Ok(Some(Notice::CallEvent(id, reader.take()))),
            Some(EntryState::Expired(..) | EntryState::Abandoned(_)) => Ok(None),
            Some(EntryState::Queued(..) | EntryState::Done(_)) | None => Err(Violation(format!(
                "an event of the call {id}, which is not open"
            ))),
        }
    }

    fn too_long_answer(&mut self, frame: Frame, reader: &FrameReader<D>) -> Found<D> {
        if frame.id == 0 || frame.kind != Some(FrameKind::Message) {
            return Err(frame.too_long(reader.limit_of(frame)));
        }
        let failure = too_long("the result", frame.length as usize, reader.limit);
        self.complete(frame, CallOutcome::Failed(failure.into()))
    }

    fn complete(&mut self, frame: Frame, mut outcome: CallOutcome<D>) -> Found<D> {
        let id = frame.id;
        let unasked = || {
            let printed = frame.printed();
            Violation(format!(
                "an answer to the call {id}, which is not open{printed}"
            ))
        };
        let slot = self.table.get_mut(id).ok_or_else(unasked)?;
        let (sent, notice) = match slot.state {
            EntryState::Sent(sent) => {
                outcome.keep(&mut self.kept, self.limits.descriptors, &mut self.unwanted);
                slot.state = EntryState::Done(outcome);
                (sent, Some(Notice::Completed(id)))
            }
            EntryState::Expired(sent, started) => {
                slot.state = EntryState::Done(CallOutcome::Expired(started));
                self.discard_outcome(outcome);
                (sent, None)
            }
            EntryState::Abandoned(sent) => {
                self.table.remove(id);
                self.discard_outcome(outcome);
                (sent, None)
            }
            EntryState::Queued(..) | EntryState::Done(_) => return Err(unasked()),
        };
        self.sending.open -= 1;
        self.sending.open_bytes -= sent.bytes;
        self.answered += 1;
        Ok(notice)
    }
}
