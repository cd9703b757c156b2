//! Hello, the first frame of both sides, and the failure of one call: both are
//! lists of octet strings (length as a BER compressed integer, then octets).

use offspring_serialisers::{Input, Octets, Output, Serialiser};

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
    fields: Vec<(Vec<u8>, Vec<u8>)>,
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
    pub(crate) fn with(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// The octets of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&[u8]> {
        let found = self.fields.iter().find(|(key, _)| key == name.as_bytes());
        found.map(|(_, value)| value.as_slice())
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
        let mut octets = vec![self.role as u8, self.version];
        let strings = self
            .fields
            .iter()
            .flat_map(|(name, value)| [name.clone(), value.clone()]);
        write_strings(&strings.collect::<Vec<_>>(), &mut octets);
        octets
    }

    /// Reads the payload of a frame. A hello of another version is read as far
    /// as its version.
    pub(crate) fn parse(octets: &[u8]) -> Result<Self, Violation> {
        let [role, version, rest @ ..] = octets else {
            return Err(Violation(format!("a hello of {} octets", octets.len())));
        };
        let role = match role {
            b'P' => Role::Parent,
            b'C' => Role::Child,
            other => return Err(Violation(format!("a hello of the unknown role {other}"))),
        };
        let strings = if *version == VERSION {
            read_strings(rest)?
        } else {
            Vec::new()
        };
        let fields = strings
            .chunks_exact(2)
            .map(|pair| (pair[0].clone(), pair[1].clone()));
        Ok(Self {
            role,
            version: *version,
            fields: fields.collect(),
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
pub(crate) struct Failure {
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

    /// The payload of the frame.
    pub(crate) fn to_octets(&self) -> Vec<u8> {
        let code = CODES
            .iter()
            .find(|(code, _)| *code == self.code)
            .map_or("", |(_, name)| name);
        let strings = [code, &self.message, &self.place, &self.backtrace];
        let mut octets = Vec::new();
        write_strings(&strings.map(|text| text.as_bytes().to_vec()), &mut octets);
        octets
    }

    /// Reads the payload of a frame; a code of a later version is a refusal.
    pub(crate) fn parse(octets: &[u8]) -> Result<Self, Violation> {
        let strings = read_strings(octets)?;
        let text = |index: usize| {
            strings
                .get(index)
                .map(|octets| String::from_utf8_lossy(octets).into_owned())
                .unwrap_or_default()
        };
        let name = text(0);
        let code = CODES
            .iter()
            .find(|(_, known)| *known == name)
            .map_or(FailureCode::Refused, |(code, _)| *code);
        Ok(Self {
            code,
            message: text(1),
            place: text(2),
            backtrace: text(3),
        })
    }
}

fn write_strings(strings: &[Vec<u8>], octets: &mut Vec<u8>) {
    <Octets as Serialiser<Vec<Vec<u8>>, _>>::encode(strings, &mut Output::new(octets))
        .expect("octet strings in memory can be written");
}

fn read_strings(octets: &[u8]) -> Result<Vec<Vec<u8>>, Violation> {
    <Octets as Serialiser<Vec<Vec<u8>>>>::decode(&mut Input::new(octets))
        .map_err(|error| Violation(error.to_string()))
}
