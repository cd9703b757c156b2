//! Hello, the first frame of both sides, and the failure of a call. Both are lists of byte strings, each a length (a BER
//! compressed integer) and bytes.
//!
//! A list is parsed in place: no string is copied before it is read, so a list of empty strings takes no more memory than
//! its bytes. The maximum length of these frames is in [`frame`](super::frame), and is checked at the header.

use std::borrow::Cow;

use offspring_serialisers::{ListReader, Octets, Output, Serialiser};

use super::Violation;

/// The first four bytes of a stream that opens with hello: kind 15, and an id that a counter of calls reaches late. In the
/// plain form they would be the id of a call.
pub(crate) const MAGIC: u32 = 0xf0ff_5942;
/// Returns whether a stream that begins with these bytes may be that of a hello.
pub(crate) fn may_be_hello(bytes: &[u8]) -> bool {
    let magic = MAGIC.to_be_bytes();
    bytes.iter().zip(magic).all(|(byte, own)| *byte == own)
}

/// The version of the protocol. Both sides refuse any other.
pub(crate) const VERSION: u8 = 1;

/// Maximum number of fields in a hello.
const FIELDS: usize = 64;
/// Maximum number of strings in a failure. This version writes four.
const STRINGS: usize = 16;

/// Maximum length in bytes of a refusal in a hello, and of a failure's message, place and backtrace. Longer texts are cut,
/// so that the frame stays within its limit.
const REFUSAL: usize = 32 << 10;
const MESSAGE: usize = 256 << 10;
const PLACE: usize = 4 << 10;
const BACKTRACE: usize = 512 << 10;

/// The sender of a hello. It tells a program that echoes its input from a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The calling process.
    Parent = b'P' as isize,
    /// The process that runs the function.
    Child = b'C' as isize,
}

/// The first frame of a side: its role, its version, and named strings. Unknown names are ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) role: Role,
    pub(crate) version: u8,
    /// The encoded list of names and values, well-formed.
    fields: Vec<u8>,
}

impl Hello {
    /// Creates a hello without fields.
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

    /// Creates a child's hello that says why it cannot serve.
    pub(crate) fn refusal(text: &str) -> Self {
        Self::new(Role::Child).with("error", shorten(text, REFUSAL).as_bytes())
    }

    /// Returns the value of the field `name`.
    pub(crate) fn field(&self, name: &str) -> Option<&[u8]> {
        let mut strings = ListReader::new(&self.fields).map_while(Result::ok);
        loop {
            let (key, value) = (strings.next()?, strings.next()?);
            if key == name.as_bytes() {
                return Some(value);
            }
        }
    }

    /// Returns a field as text; the empty string if it is missing.
    pub(crate) fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(self.field(name).unwrap_or_default()).into_owned()
    }

    /// Returns a field as a decimal number. `None` if it is missing, or no such number.
    pub(crate) fn number(&self, name: &str) -> Option<u32> {
        std::str::from_utf8(self.field(name)?).ok()?.parse().ok()
    }

    /// Checks that it comes from a child of this version. Otherwise the bytes behind it are no answers.
    pub(crate) fn is_of_child(&self) -> Result<(), Violation> {
        if self.role == Role::Parent {
            let text = "the program sends back what it is sent (is it `cat`, or a worker that needs `plain`?)";
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

    /// Returns the payload of the frame.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let head = [self.role as u8, self.version];
        [&head, self.fields.as_slice()].concat()
    }

    /// Parses the payload of a frame. Of a hello of another version only role and version are read.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Violation> {
        let [role, version, rest @ ..] = bytes else {
            return Err(Violation(format!("a hello of {} bytes", bytes.len())));
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
    /// The request or the result was longer than one side allows.
    TooLong,
    /// The call was cancelled before it ran.
    Cancelled,
    /// The service has no such method.
    NoMethod,
    /// The child refused the call.
    Refused,
}

const CODES: [(FailureCode, &str); 7] = [
    (FailureCode::Panic, "panic"),
    (FailureCode::Decode, "decode"),
    (FailureCode::Encode, "encode"),
    (FailureCode::TooLong, "too-long"),
    (FailureCode::Cancelled, "cancelled"),
    (FailureCode::NoMethod, "no-method"),
    (FailureCode::Refused, "refused"),
];

/// The failure of a call, as the child sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub(crate) code: FailureCode,
    pub(crate) message: String,
    /// Position of a panic in the source, as `file:line:column`; else empty.
    pub(crate) place: String,
    /// The backtrace of a panic; else empty.
    pub(crate) backtrace: String,
}

impl Failure {
    /// Creates a failure that is not a panic.
    pub(crate) fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            place: String::new(),
            backtrace: String::new(),
        }
    }

    /// Creates the failure of `what`, which has `count` descriptors where `most` are allowed.
    pub(crate) fn too_many(what: &str, count: usize, most: usize) -> Self {
        let text = format!(
            "{what} holds {count} descriptors, the limit is {most}; send them in several, or raise `max_descriptors`"
        );
        Self::new(FailureCode::TooLong, text)
    }

    /// Returns the payload of the frame. Texts that are too long are cut, and say so.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
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
        let mut bytes = Vec::new();
        write_strings(&strings.each_ref().map(|text| text.as_bytes()), &mut bytes);
        bytes
    }

    /// Parses the payload of a frame. An unknown code is read as a refusal.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Violation> {
        check_strings(bytes, "failure", STRINGS)?;
        let mut strings = ListReader::new(bytes).map_while(Result::ok);
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

/// Returns `text`, cut to `most` bytes. A cut text ends with a note of its length.
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

fn write_strings(strings: &[&[u8]], bytes: &mut Vec<u8>) {
    <Octets as Serialiser<Vec<Vec<u8>>, _>>::encode(strings, &mut Output::new(bytes))
        .expect("writing to memory cannot fail");
}

/// Checks that `bytes` is a list of at most `most` strings.
fn check_strings(bytes: &[u8], what: &str, most: usize) -> Result<(), Violation> {
    for (index, string) in ListReader::new(bytes).enumerate() {
        if index == most {
            return Err(Violation(format!(
                "a {what} of more than {most} strings, which is the limit"
            )));
        }
        string.map_err(|error| Violation(error.to_string()))?;
    }
    Ok(())
}
