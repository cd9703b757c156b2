//! Frames: what the header says.

use super::Violation;
use super::ancillary::MOST;

/// The octets of a header: `id` and `length`, big-endian `u32` each.
pub(crate) const HEADER: usize = 8;

/// A frame longer than this travels as a piece of its own, uncopied.
pub(super) const LARGE: usize = 32 << 10;

/// The longest hello of a child, in bytes. It is a few short fields.
pub(super) const LONGEST_HELLO: u32 = 64 << 10;
/// The longest hello of a parent, in bytes. It carries the arguments of `init`.
pub(crate) const LONGEST_PARENT_HELLO: u32 = 1 << 30;
/// The longest failure, in bytes. It is texts for people.
pub(super) const LONGEST_FAILURE: u32 = 1 << 20;

/// The longest payload of each kind of frame, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Longest {
    /// Of messages and events of calls.
    pub(super) message: u32,
    hello: u32,
}

impl Longest {
    pub(super) fn new(message: u32) -> Self {
        Self {
            message,
            hello: LONGEST_HELLO,
        }
    }

    /// The hello is a parent's.
    pub(super) fn await_parent(&mut self) {
        self.hello = LONGEST_PARENT_HELLO;
    }

    /// The longest payload of such a frame. The payload of a kind that is not known is not waited for.
    pub(super) fn of(self, kind: Option<Kind>) -> u32 {
        match kind {
            Some(Kind::Message | Kind::CallEvent) => self.message,
            Some(Kind::Failed) => LONGEST_FAILURE,
            Some(Kind::Hello) => self.hello,
            Some(Kind::Cancel | Kind::Ready | Kind::Descriptors | Kind::Retire) | None => 0,
        }
    }
}

const KIND_SHIFT: u32 = 28;
const ID_MASK: u32 = (1 << KIND_SHIFT) - 1;

/// Which of the two forms is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The original's: ids of 32 bits, calls, results and events only.
    Plain,
    /// Ours: a kind in the top four bits of the id.
    Full,
}

/// What a frame of the full form is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A call, a result, or (id 0, from the child) an event.
    Message = 0,
    /// From the child: the call failed; the octets say how.
    Failed = 1,
    /// From the child: an event of this call, which is not answered yet.
    CallEvent = 2,
    /// From the parent: the answer to this call is no longer wanted.
    Cancel = 3,
    /// From the child: `init` is done.
    Ready = 4,
    /// Before another frame: so many descriptors (the id) travel with it, sent
    /// with the first octet of this one. 0: they could not be sent.
    Descriptors = 5,
    /// From the child: it wants no more calls.
    Retire = 6,
    /// The first frame of either side.
    Hello = 15,
}

impl Kind {
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

/// A header, decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    /// What it is; in the plain form always a message. `None`: a kind this
    /// version does not know.
    pub(crate) kind: Option<Kind>,
    /// Whose it is.
    pub(crate) id: u32,
    /// How many octets follow.
    pub(crate) length: u32,
}

impl Frame {
    /// The header of a message.
    pub(crate) fn message(id: u32, length: usize) -> Self {
        Self::of(Kind::Message, id, length)
    }

    /// The header of a frame of this kind.
    ///
    /// The length was checked against a limit, and limits are `u32`.
    pub(crate) fn of(kind: Kind, id: u32, length: usize) -> Self {
        let length = u32::try_from(length).expect("the length was checked against a limit");
        Self {
            kind: Some(kind),
            id,
            length,
        }
    }

    /// The octets of the header.
    pub(crate) fn to_octets(self) -> [u8; HEADER] {
        let kind = self.kind.map_or(0, |kind| (kind as u32) << KIND_SHIFT);
        let mut octets = [0; HEADER];
        octets[..4].copy_from_slice(&(kind | self.id).to_be_bytes());
        octets[4..].copy_from_slice(&self.length.to_be_bytes());
        octets
    }

    /// What breaks the protocol in a frame that `sender` does not send here.
    pub(super) fn misplaced(self, sender: &str) -> Violation {
        Violation(match self.kind {
            Some(kind) => format!("a frame of kind {kind:?}, which a {sender} does not send here"),
            None => "a frame of a kind that this version does not know".into(),
        })
    }

    /// What breaks the protocol in a frame that is longer than this.
    pub(super) fn too_long(self, limit: u32) -> Violation {
        let Self { kind, length, .. } = self;
        Violation(match kind {
            Some(Kind::Message) => format!("an event of {length} bytes, the limit is {limit}"),
            Some(Kind::CallEvent) => {
                format!("an event of a call of {length} bytes, the limit is {limit}")
            }
            Some(Kind::Hello) => format!("a hello of {length} bytes, the limit is {limit}"),
            Some(Kind::Failed) => format!("a failure of {length} bytes, the limit is {limit}"),
            Some(kind) => {
                format!("a frame of kind {kind:?} of {length} bytes, the limit is {limit}")
            }
            None => "a frame of a kind that this version does not know".into(),
        })
    }

    /// It says what goes along with the next frame.
    pub(super) fn announces(self) -> bool {
        self.kind == Some(Kind::Descriptors) && self.length == 0 && self.id as usize <= MOST
    }

    pub(super) fn parse(octets: &[u8], form: Form) -> Option<Self> {
        let id = u32::from_be_bytes(octets.get(..4)?.try_into().ok()?);
        let length = u32::from_be_bytes(octets.get(4..HEADER)?.try_into().ok()?);
        Some(match form {
            Form::Plain => Self {
                kind: Some(Kind::Message),
                id,
                length,
            },
            Form::Full => Self {
                kind: Kind::from_bits(id >> KIND_SHIFT),
                id: id & ID_MASK,
                length,
            },
        })
    }
}

/// The largest id of a form.
pub(crate) fn largest_id(form: Form) -> u32 {
    match form {
        Form::Plain => u32::MAX,
        Form::Full => ID_MASK,
    }
}

/// The frame that says that so many descriptors go along with the next.
pub(crate) fn announcement(count: usize) -> [u8; HEADER] {
    let id = u32::try_from(count).expect("no more than MOST");
    Frame {
        kind: Some(Kind::Descriptors),
        id,
        length: 0,
    }
    .to_octets()
}
