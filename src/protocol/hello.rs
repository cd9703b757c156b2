//! Hello, the first frame of both sides, and the failure of one call: both are
//! lists of octet strings (length as a BER compressed integer, then octets).
//!
//! What comes is read where it lies: no string is copied before it is asked for,
//! so a list of empty strings takes no more memory than its octets. How long such
//! a frame may be is said in [`frame`](super::frame), and checked at its header.

use std::borrow::Cow;

use offspring_serialisers::{ListReader, Octets, Output, Serialiser};

use super::Violation;

/// The first four octets of a stream that opens with hello: kind 15, and an id
/// that no counter reaches soon. In the plain form they would be a call's id.
pub(crate) const MAGIC: u32 = 0xf0ff_5942;
/// Whether a stream that begins so may yet become a hello.
pub(crate) fn may_be_hello(octets: &[u8]) -> bool {
    let magic = MAGIC.to_be_bytes();
    octets.iter().zip(magic).all(|(octet, own)| *octet == own)
}

/// The version of the protocol. Another one is refused by both sides.
pub(crate) const VERSION: u8 = 1;

/// The most fields of a hello.
const FIELDS: usize = 64;
/// The most strings of a failure. Today there are four.
const STRINGS: usize = 16;

/// The most bytes that are sent of why a child cannot serve, of the message of a
/// failure, of its place, and of its backtrace. Together with their lengths they
/// fit into the frame.
const REFUSAL: usize = 32 << 10;
const MESSAGE: usize = 256 << 10;
const PLACE: usize = 4 << 10;
const BACKTRACE: usize = 512 << 10;

/// Who says hello. An echo of one's own is found out by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The process that calls.
    Parent = b'P' as isize,
    /// The process that runs the function.
    Child = b'C' as isize,
}

/// What one side says of itself: its role, its version, and named strings.
///
/// Names that the other side does not know are passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) role: Role,
    pub(crate) version: u8,
    /// The list of names and values, well-formed.
    fields: Vec<u8>,
}

impl Hello {
    /// A hello without fields.
    pub(crate) fn new(role: Role) -> Self {
        Self {
            role,
            version: VERSION,
            fields: Vec::new(),
        }
    }

    /// Adds a field.
    pub(crate) fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        write_strings(&[name.as_bytes(), value.as_ref()], &mut self.fields);
        self
    }

    /// A child's hello that says why it cannot serve.
    pub(crate) fn refusal(text: &str) -> Self {
        Self::new(Role::Child).with("error", shorten(text, REFUSAL).as_bytes())
    }

    /// The octets of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&[u8]> {
        let mut strings = ListReader::new(&self.fields).map_while(Result::ok);
        loop {
            let (key, value) = (strings.next()?, strings.next()?);
            if key == name.as_bytes() {
                return Some(value);
            }
        }
    }

    /// A field as text, empty where it is missing.
    pub(crate) fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(self.field(name).unwrap_or_default()).into_owned()
    }

    /// A field as a decimal number.
    pub(crate) fn number(&self, name: &str) -> Option<u32> {
        std::str::from_utf8(self.field(name)?).ok()?.parse().ok()
    }

    /// It comes from a child of this version. Else nothing that follows may be
    /// taken for an answer.
    pub(crate) fn is_of_child(&self) -> Result<(), Violation> {
        if self.role == Role::Parent {
            let text = "the program sends back what it is sent (is it `cat`?)";
            return Err(Violation(text.into()));
        }
        if self.version != VERSION {
            return Err(Violation(format!(
                "it speaks version {} of the protocol, this side {VERSION}",
                self.version
            )));
        }
        Ok(())
    }

    /// The payload of the frame.
    pub(crate) fn to_octets(&self) -> Vec<u8> {
        let head = [self.role as u8, self.version];
        [&head, self.fields.as_slice()].concat()
    }

    /// Reads the payload of a frame. A hello of another version is read as far
    /// as its version.
    pub(crate) fn parse(octets: &[u8]) -> Result<Self, Violation> {
        let [role, version, rest @ ..] = octets else {
            return Err(Violation(format!("a hello of {} bytes", octets.len())));
        };
        let role = match role {
            b'P' => Role::Parent,
            b'C' => Role::Child,
            other => return Err(Violation(format!("a hello of the unknown role {other}"))),
        };
        let fields = if *version == VERSION {
            check_strings(rest, "hello", 2 * FIELDS)?;
            rest.to_vec()
        } else {
            Vec::new()
        };
        Ok(Self {
            role,
            version: *version,
            fields,
        })
    }
}

/// Why a call failed in the child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureCode {
    /// The function panicked.
    Panic,
    /// The arguments could not be decoded.
    Decode,
    /// The result could not be encoded.
    Encode,
    /// The request or its result was longer than a side allows.
    TooLong,
    /// It was cancelled before it ran.
    Cancelled,
    /// The child refused it, for the reason given.
    Refused,
}

const CODES: [(FailureCode, &str); 6] = [
    (FailureCode::Panic, "panic"),
    (FailureCode::Decode, "decode"),
    (FailureCode::Encode, "encode"),
    (FailureCode::TooLong, "too-long"),
    (FailureCode::Cancelled, "cancelled"),
    (FailureCode::Refused, "refused"),
];

/// The failure of one call, as the child tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub(crate) code: FailureCode,
    pub(crate) message: String,
    /// Where in the source a panic was, `file:line:column`; else empty.
    pub(crate) place: String,
    /// The backtrace of a panic; else empty.
    pub(crate) backtrace: String,
}

impl Failure {
    /// A failure that is not a panic.
    pub(crate) fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            place: String::new(),
            backtrace: String::new(),
        }
    }

    /// A message goes along with more descriptors than the other side takes.
    pub(crate) fn too_many(what: &str, count: usize, most: usize) -> Self {
        let text = format!(
            "{what} holds {count} descriptors, the limit is {most}; send them in several, or raise `max_descriptors`"
        );
        Self::new(FailureCode::TooLong, text)
    }

    /// The payload of the frame; what is too long for it is cut off, and says so.
    pub(crate) fn to_octets(&self) -> Vec<u8> {
        let code = CODES
            .iter()
            .find(|(code, _)| *code == self.code)
            .map_or("", |(_, name)| name);
        let strings = [
            code.into(),
            shorten(&self.message, MESSAGE),
            shorten(&self.place, PLACE),
            shorten(&self.backtrace, BACKTRACE),
        ];
        let mut octets = Vec::new();
        write_strings(&strings.each_ref().map(|text| text.as_bytes()), &mut octets);
        octets
    }

    /// Reads the payload of a frame; a code of a later version is a refusal.
    pub(crate) fn parse(octets: &[u8]) -> Result<Self, Violation> {
        check_strings(octets, "failure", STRINGS)?;
        let mut strings = ListReader::new(octets).map_while(Result::ok);
        let mut text = || String::from_utf8_lossy(strings.next().unwrap_or_default()).into_owned();
        let name = text();
        let code = CODES
            .iter()
            .find(|(_, known)| *known == name)
            .map_or(FailureCode::Refused, |(code, _)| *code);
        Ok(Self {
            code,
            message: text(),
            place: text(),
            backtrace: text(),
        })
    }
}

/// At most `most` bytes of a text; if it is longer, the last of them say so.
fn shorten(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return text.into();
    }
    let note = format!(" … (cut off, of {} bytes)", text.len());
    let mut end = most - note.len();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    (text[..end].to_owned() + &note).into()
}

fn write_strings(strings: &[&[u8]], octets: &mut Vec<u8>) {
    <Octets as Serialiser<Vec<Vec<u8>>, _>>::encode(strings, &mut Output::new(octets))
        .expect("octet strings in memory can be written");
}

/// Makes sure that this is a list of at most `most` strings.
fn check_strings(octets: &[u8], what: &str, most: usize) -> Result<(), Violation> {
    for (index, string) in ListReader::new(octets).enumerate() {
        if index == most {
            return Err(Violation(format!(
                "a {what} of more than {most} strings, which is the limit"
            )));
        }
        string.map_err(|error| Violation(error.to_string()))?;
    }
    Ok(())
}
