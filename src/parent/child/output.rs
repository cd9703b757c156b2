//! The stdout and stderr of a child, where this process reads them: the last bytes are kept, or
//! a handler gets the lines.
//!
//! The reactor reads, and the thread for callbacks calls the handler. The pipe is not watched
//! until the handler has returned. So at most one batch of lines is queued, and a child that
//! writes faster than its lines are handled has to wait.

use std::fmt;
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use super::state::callback_queue::LinesCallback;
use crate::base::panics::catch_panic;
use crate::error::Error;

/// The capacity of a pipe in bytes, unless it was changed.
pub(super) const PIPE: usize = 64 << 10;
/// The largest capacity of a pipe in bytes that needs no privileges.
const PIPE_MOST: usize = 1 << 20;
/// The longest line in bytes that the handler gets in one piece.
const LONGEST: usize = 64 << 10;

/// Called with each line.
pub(crate) type OnLine = Arc<dyn Fn(&str) + Send + Sync>;

/// The use of the bytes that are read.
#[derive(Clone)]
pub(crate) enum OutputMode {
    /// This many of the last bytes are kept for the error of a crash.
    Tail(usize),
    Lines(OnLine),
}

impl fmt::Debug for OutputMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tail(bytes) => write!(f, "Tail({bytes})"),
            Self::Lines(_) => f.write_str("Lines"),
        }
    }
}

/// Reads a pipe that a child writes to.
#[derive(Debug)]
pub(crate) struct OutputReader {
    pub(super) pipe: Option<PipeReader>,
    bytes: Vec<u8>,
    purpose: OutputMode,
}

impl OutputReader {
    pub(crate) fn new(pipe: OwnedFd, purpose: OutputMode) -> io::Result<Self> {
        crate::sys::set_nonblocking(pipe.as_fd())?;
        Ok(Self {
            pipe: Some(pipe.into()),
            bytes: Vec::new(),
            purpose,
        })
    }

    /// Reads what is in the pipe, but not much more than `most` bytes, because the child may write
    /// as fast as this reads. Returns whether the pipe has ended.
    pub(super) fn drain(&mut self, most: usize) -> bool {
        let mut piece = [0; 4096];
        let mut count = 0;
        while count < most {
            let Some(pipe) = &mut self.pipe else {
                return true;
            };
            match pipe.read(&mut piece) {
                Ok(0) => return true,
                Ok(came) => {
                    count += came;
                    self.bytes.extend_from_slice(&piece[..came]);
                    self.shorten(2);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
        false
    }

    /// Cuts the tail once it has `times` the number of bytes that are kept. So the bytes that are
    /// kept are not moved for each piece that is read.
    fn shorten(&mut self, times: usize) {
        if let OutputMode::Tail(keep) = self.purpose
            && self.bytes.len() > times * keep.max(4096 * (times - 1))
        {
            self.bytes.drain(..self.bytes.len() - keep);
        }
    }

    /// Reads the rest, because the child has exited. Returns the tail, and the last lines.
    pub(super) fn end(&mut self) -> (Vec<u8>, Option<LinesCallback>) {
        self.drain(PIPE_MOST);
        self.shorten(1);
        match self.purpose {
            OutputMode::Tail(_) => (self.bytes.clone(), None),
            OutputMode::Lines(_) => (Vec::new(), self.take_lines(true, || ())),
        }
    }

    /// Takes the lines that are complete. Once the handler has returned, `then` is called. At the
    /// end, the rest counts as a line as well.
    pub(super) fn take_lines(
        &mut self,
        is_end: bool,
        then: impl FnOnce() + Send + 'static,
    ) -> Option<LinesCallback> {
        let OutputMode::Lines(handler) = &self.purpose else {
            return None;
        };
        let newline = self.bytes.iter().rposition(|byte| *byte == b'\n');
        let mut end = newline.map_or(0, |at| at + 1);
        // A line that has not ended keeps a byte, so its last piece is never empty.
        end += (self.bytes.len() - end).saturating_sub(1) / LONGEST * LONGEST;
        let rest = self
            .bytes
            .split_off(if is_end { self.bytes.len() } else { end });
        let lines = std::mem::replace(&mut self.bytes, rest);
        let handler = Arc::clone(handler);
        (!lines.is_empty()).then(|| -> LinesCallback {
            Box::new(move |on_error| {
                call_handler(&lines, &*handler, on_error);
                then();
            })
        })
    }
}

/// Calls the handler with each line. If it panics, it gets the next line all the same.
fn call_handler(
    lines: &[u8],
    handler: &(dyn Fn(&str) + Send + Sync),
    on_error: &mut dyn FnMut(Error),
) {
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let empty: &[&[u8]] = if line.is_empty() { &[b""] } else { &[] };
        for piece in line.chunks(LONGEST).chain(empty.iter().copied()) {
            let text = String::from_utf8_lossy(piece);
            if let Err(panic) = catch_panic(|| handler(&text)) {
                on_error(Error::callback(panic));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::sync::Mutex;
    use std::io::{PipeWriter, Write};

    fn reader(purpose: OutputMode) -> (OutputReader, PipeWriter) {
        let (read, write) = io::pipe().unwrap();
        let size = nix::fcntl::FcntlArg::F_SETPIPE_SZ(PIPE_MOST as i32);
        nix::fcntl::fcntl(&write, size).unwrap();
        (OutputReader::new(read.into(), purpose).unwrap(), write)
    }

    /// X80: a child that writes as fast as it is read does not keep the reactor busy.
    #[test]
    fn stderr_is_read_in_turns() {
        let (mut reader, mut write) = reader(OutputMode::Tail(3 * PIPE));
        let all: Vec<u8> = (0..PIPE_MOST).map(|n| (n % 251) as u8).collect();
        write.write_all(&all).unwrap();
        assert!(!reader.drain(PIPE));
        assert_eq!(reader.bytes, all[..PIPE]);
        while reader.bytes.len() < 5 * PIPE {
            assert!(!reader.drain(PIPE));
        }
        assert!(!reader.drain(PIPE_MOST));
        assert!(reader.bytes.len() <= 6 * PIPE + 4096);
        assert_eq!(reader.end().0, all[PIPE_MOST - 3 * PIPE..]);
        drop(write);
        assert!(reader.drain(PIPE));
    }

    /// The lines of `text`, which is read in pieces of `size` bytes.
    fn lines(text: &[u8], size: usize) -> Vec<String> {
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let own = Arc::clone(&lines);
        let handler = move |line: &str| own.lock().push(line.to_owned());
        let (mut reader, mut write) = reader(OutputMode::Lines(Arc::new(handler)));
        let run = |output: Option<LinesCallback>| {
            if let Some(output) = output {
                output(&mut |error| panic!("{error}"));
            }
        };
        for piece in text.chunks(size) {
            write.write_all(piece).unwrap();
            reader.drain(PIPE_MOST);
            run(reader.take_lines(false, || ()));
            assert!(reader.bytes.len() <= LONGEST);
        }
        run(reader.end().1);
        std::mem::take(&mut *lines.lock())
    }

    /// The lines do not depend on the pieces in which they are read.
    #[test]
    fn lines_are_cut_in_one_way() {
        let long = |count: usize| "x".repeat(count);
        let pieces = |count: usize, last: usize| {
            let mut all = vec![long(LONGEST); count];
            all.push(long(last));
            all
        };
        for (text, wanted) in [
            (String::new(), vec![]),
            ("one\n".into(), vec!["one".into()]),
            (
                "\n\none\r\n\ntwo".into(),
                ["", "", "one\r", "", "two"].map(String::from).to_vec(),
            ),
            (long(LONGEST), pieces(0, LONGEST)),
            (long(LONGEST) + "\n", pieces(0, LONGEST)),
            (long(2 * LONGEST) + "\n", pieces(1, LONGEST)),
            (long(2 * LONGEST), pieces(1, LONGEST)),
            (long(2 * LONGEST + 1) + "\n", pieces(2, 1)),
        ] {
            for size in [1000, LONGEST, LONGEST + 1, PIPE_MOST] {
                assert_eq!(
                    lines(text.as_bytes(), size),
                    wanted,
                    "{} by {size}",
                    text.len()
                );
            }
            assert!(text.len() > 100 || lines(text.as_bytes(), 1) == wanted);
        }
        assert_eq!(lines(b"a\xffb\n", 1), ["a\u{fffd}b"]);
    }
}
