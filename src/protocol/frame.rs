//! The header of a frame.

use super::Violation;
use super::ancillary::MOST;

/// Length of a header in bytes: `id` and `length`, big-endian `u32` each.
pub(crate) const HEADER: usize = 8;

/// Minimum length in bytes of a frame that is queued and handed out without a copy.
pub(super) const LARGE: usize = 32 << 10;

/// Maximum length of a child's hello, in bytes. It has a few short fields.
pub(super) const MAX_HELLO: u32 = 64 << 10;
/// Maximum length of a parent's hello, in bytes. It carries the arguments of `init`.
pub(crate) const MAX_PARENT_HELLO: u32 = 1 << 30;
/// Maximum length of a failure, in bytes. It holds texts for people.
pub(super) const MAX_FAILURE: u32 = 1 << 20;

const KIND_SHIFT: u32 = 28;
const ID_MASK: u32 = (1 << KIND_SHIFT) - 1;

/// The two forms of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// That of the Perl original: ids of 32 bits; calls, results and events only.
    Plain,
    /// That of this crate: the top four bits of the id are a kind.
    Full,
}

/// The kinds of frames in the full form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameKind {
    /// A call, a result, or (id 0, from the child) an event.
    Message = 0,
    /// From the child: the call failed. The payload is a `Failure`.
    Failed = 1,
    /// From the child: an event of a call that is not answered.
    CallEvent = 2,
    /// From the parent: the call is cancelled. It is answered all the same.
    Cancel = 3,
    /// From the child: `init` is done.
    Ready = 4,
    /// Announces a batch of descriptors of the next frame. The id is their number. The batch is sent with the first byte
    /// of this frame. 0: the batch could not be sent.
    Descriptors = 5,
    /// From the child: it takes no more calls.
    Retire = 6,
    /// The first frame of either side.
    Hello = 15,
}

impl FrameKind {
    fn from_bits(bits: u32) -> Option<Self> {
        Some(match bits {
            0 => Self::Message,
            1 => Self::Failed,
            2 => Self::CallEvent,
            3 => Self::Cancel,
            4 => Self::Ready,
            5 => Self::Descriptors,
            6 => Self::Retire,
            15 => Self::Hello,
            _ => return None,
        })
    }
}

/// A decoded header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The kind; in the plain form always a message. `None` for a kind that this version does not know.
    pub(crate) kind: Option<FrameKind>,
    /// The id of the call that it belongs to, or 0.
    pub(crate) id: u32,
    /// Length of the payload, in bytes.
    pub(crate) length: u32,
}

impl Frame {
    /// Creates the header of a message.
    pub(crate) fn message(id: u32, length: usize) -> Self {
        Self::of(FrameKind::Message, id, length)
    }

    /// Creates the header of a frame of this kind. The length must fit into a `u32`, as all limits do.
    pub(crate) fn of(kind: FrameKind, id: u32, length: usize) -> Self {
        let length = u32::try_from(length).expect("the length was checked against a limit");
        Self {
            kind: Some(kind),
            id,
            length,
        }
    }

    /// Returns the encoded header.
    pub(crate) fn to_bytes(self) -> [u8; HEADER] {
        let kind = self.kind.map_or(0, |kind| (kind as u32) << KIND_SHIFT);
        let mut bytes = [0; HEADER];
        bytes[..4].copy_from_slice(&(kind | self.id).to_be_bytes());
        bytes[4..].copy_from_slice(&self.length.to_be_bytes());
        bytes
    }

    /// Shows a header that is text, to follow what is wrong with its id. Empty if it is none.
    pub(super) fn printed(self) -> String {
        let header = self.to_bytes();
        let is_text = |byte: &&u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~');
        match header.iter().take_while(is_text).count() {
            // Ids in the wrong byte order can have a byte of text.
            0 | 1 => String::new(),
            count => format!(
                ": it begins with \"{}\": does the worker print to stdout?",
                header[..count].escape_ascii()
            ),
        }
    }

    /// Describes a frame that `sender` must not send here.
    pub(super) fn misplaced(self, sender: &str) -> Violation {
        Violation(match self.kind {
            Some(kind) => format!("a frame of kind {kind:?}, which a {sender} does not send here"),
            None => "a frame of a kind that this version does not know".into(),
        })
    }

    /// Describes a frame that is longer than `limit` bytes.
    pub(super) fn too_long(self, limit: u32) -> Violation {
        let what = match self.kind {
            Some(FrameKind::Message) => "an event",
            Some(FrameKind::CallEvent) => "an event of a call",
            Some(FrameKind::Hello) => "a hello",
            Some(FrameKind::Failed) => "a failure",
            Some(kind) => &format!("a frame of kind {kind:?}"),
            None => return self.misplaced(""),
        };
        let length = self.length;
        Violation(format!("{what} of {length} bytes, the limit is {limit}"))
    }

    /// Returns whether it is a valid announcement of descriptors.
    pub(super) fn announces(self) -> bool {
        self.kind == Some(FrameKind::Descriptors) && self.length == 0 && self.id as usize <= MOST
    }

    pub(super) fn parse(bytes: &[u8], form: Form) -> Option<Self> {
        let id = u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?);
        let length = u32::from_be_bytes(bytes.get(4..HEADER)?.try_into().ok()?);
        Some(match form {
            Form::Plain => Self {
                kind: Some(FrameKind::Message),
                id,
                length,
            },
            Form::Full => Self {
                kind: FrameKind::from_bits(id >> KIND_SHIFT),
                id: id & ID_MASK,
                length,
            },
        })
    }
}

/// Returns the largest id of a form.
pub(crate) fn largest_id(form: Form) -> u32 {
    match form {
        Form::Plain => u32::MAX,
        Form::Full => ID_MASK,
    }
}

/// Returns the frame that announces `count` descriptors.
pub(crate) fn announcement(count: usize) -> [u8; HEADER] {
    let id = u32::try_from(count).expect("no more than MOST");
    Frame {
        kind: Some(FrameKind::Descriptors),
        id,
        length: 0,
    }
    .to_bytes()
}
