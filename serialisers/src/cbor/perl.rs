//! Normalises CBOR of other programs, such as Perl's CBOR::XS.
//!
//! Perl marks a value with several references with [tags 28 and 29](http://cbor.schmorp.de/value-sharing).
//! ciborium ignores both tags, and would decode a reference as the index that it holds. [`plain`]
//! copies the bytes without tags, and replaces each reference by the bytes of the value.

use super::Failure;
use std::ops::Range;

const SHARED: usize = 28;
const REFERENCE: usize = 29;

/// The major types: the first three bits of an item.
const UNSIGNED: u8 = 0;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const LIST: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
const BREAK: u8 = 0xff;

/// Minimum of the bytes that references may expand to; else 16 times the input.
const BY_REFERENCE: usize = 1 << 20;

/// Maximum nesting of items, as in ciborium.
const DEPTH: usize = 256;

/// The beginning of an item.
struct Head {
    kind: u8,
    /// `None` for an item of indefinite length.
    argument: Option<usize>,
    length: usize,
}

impl Head {
    fn of(bytes: &[u8]) -> Option<Self> {
        let (&initial, rest) = bytes.split_first()?;
        let (width, argument) = match initial & 0x1f {
            small @ 0..24 => (0, Some(small.into())),
            31 => (0, None),
            wide @ 24..28 => {
                let argument = rest.get(..1 << (wide - 24))?;
                let join = |sum: u64, &byte| sum << 8 | u64::from(byte);
                let joined = usize::try_from(argument.iter().fold(0, join));
                (argument.len(), Some(joined.unwrap_or(usize::MAX)))
            }
            _ => return None,
        };
        Some(Self {
            kind: initial >> 5,
            argument,
            length: 1 + width,
        })
    }
}

/// Returns whether a tag 28 or 29 is among the items.
///
/// Items of lists and maps follow their heads, so the scan need not track nesting. It skips the content
/// of strings. Malformed bytes end it: ciborium reports them.
pub(super) fn has_shared_values(mut bytes: &[u8]) -> bool {
    while let Some(head) = Head::of(bytes) {
        let content = match (head.kind, head.argument) {
            (TAG, Some(SHARED | REFERENCE)) => return true,
            (BYTES | TEXT, Some(length)) => length,
            _ => 0,
        };
        let next = head.length.saturating_add(content);
        bytes = bytes.get(next..).unwrap_or_default();
    }
    false
}

/// Returns the first element of a list, if that is a string of definite length.
pub(super) fn first_string(mut bytes: &[u8]) -> Option<&[u8]> {
    let mut in_list = false;
    loop {
        let head = Head::of(bytes)?;
        bytes = &bytes[head.length..];
        match (head.kind, head.argument) {
            (TAG, Some(tag)) if tag != REFERENCE => {}
            (LIST, _) if !in_list => in_list = true,
            (BYTES | TEXT, Some(length)) if in_list => return bytes.get(..length),
            _ => return None,
        }
    }
}

/// Returns the same value without references, and without tags except those of big integers.
pub(super) fn plain(bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut copying = Copier {
        rest: bytes,
        copy: Vec::with_capacity(bytes.len()),
        shared: Vec::new(),
        left: bytes.len().saturating_mul(16).max(BY_REFERENCE),
    };
    copying.item(0)?;
    match copying.rest.len() {
        0 => Ok(copying.copy),
        left => Err(failure(format!("{left} bytes left over"))),
    }
}

struct Copier<'a> {
    rest: &'a [u8],
    copy: Vec<u8>,
    /// The ranges of the shared values in the copy, in the order of their starts. `None` for a value that
    /// has not ended.
    shared: Vec<Option<Range<usize>>>,
    /// Number of bytes that references may still expand to.
    left: usize,
}

impl Copier<'_> {
    fn item(&mut self, depth: usize) -> Result<(), Failure> {
        if depth > DEPTH {
            return Err(failure("nested too deep"));
        }
        let head = self.head()?;
        match (head.kind, head.argument) {
            (TAG, Some(tag)) => self.tagged(tag, &head, depth),
            (BYTES | TEXT, Some(length)) => self.copy(head.length.saturating_add(length)),
            (LIST | MAP, Some(length)) => {
                self.copy(head.length)?;
                let items = length.saturating_mul(if head.kind == MAP { 2 } else { 1 });
                (0..items).try_for_each(|_| self.item(depth + 1))
            }
            (BYTES | TEXT | LIST | MAP, None) => {
                self.copy(head.length)?;
                while self.rest.first() != Some(&BREAK) {
                    let part = self.head()?.kind;
                    if head.kind < LIST && part != head.kind {
                        return Err(self.malformed());
                    }
                    self.item(depth + 1)?;
                }
                self.copy(1)
            }
            (_, Some(_)) => self.copy(head.length),
            (_, None) => Err(self.malformed()),
        }
    }

    fn tagged(&mut self, tag: usize, head: &Head, depth: usize) -> Result<(), Failure> {
        match (tag, Head::of(&self.rest[head.length..])) {
            (2 | 3, Some(Head { kind: BYTES, .. })) => self.copy(head.length)?,
            _ => self.rest = &self.rest[head.length..],
        }
        if tag == REFERENCE {
            return self.reference();
        }
        let (index, begin) = (self.shared.len(), self.copy.len());
        if tag == SHARED {
            self.shared.push(None);
        }
        self.item(depth + 1)?;
        if tag == SHARED {
            self.shared[index] = Some(begin..self.copy.len());
        }
        Ok(())
    }

    fn reference(&mut self) -> Result<(), Failure> {
        let head = self.head()?;
        let index = head.argument.filter(|_| head.kind == UNSIGNED);
        let target = index.and_then(|index| self.shared.get(index));
        let value = match target {
            None => return Err(failure("a reference to no value")),
            Some(None) => return Err(failure("a value that is part of itself, by reference")),
            Some(Some(value)) => value.clone(),
        };
        let left = self.left.checked_sub(value.len());
        self.left = left.ok_or_else(|| failure("references to far more than was sent"))?;
        self.rest = &self.rest[head.length..];
        self.copy.extend_from_within(value);
        Ok(())
    }

    fn head(&self) -> Result<Head, Failure> {
        Head::of(self.rest).ok_or_else(|| self.malformed())
    }

    fn copy(&mut self, length: usize) -> Result<(), Failure> {
        let parts = self.rest.split_at_checked(length);
        let (bytes, rest) = parts.ok_or_else(|| self.malformed())?;
        self.copy.extend_from_slice(bytes);
        self.rest = rest;
        Ok(())
    }

    fn malformed(&self) -> Failure {
        let left = self.rest.len();
        failure(format!("malformed or cut off {left} bytes before its end"))
    }
}

fn failure(why: impl Into<String>) -> Failure {
    Failure::Bytes(why.into())
}

#[cfg(test)]
mod tests {
    use super::{first_string, has_shared_values, plain};

    #[test]
    fn finds_tags_and_nothing_else() {
        let yes: [&[u8]; 4] = [
            b"\xd8\x1d\x00",
            b"\x82\x41x\xd8\x1c\x01",
            b"\xa1\x61a\x5f\x42\xd8\x1d\xff\xd9\x00\x1d\x00",
            b"\xdb\0\0\0\0\0\0\0\x1d\x00",
        ];
        let no: [&[u8]; 7] = [
            b"",
            b"\x42\xd8\x1d",
            b"\x62\xd8\x1d",
            b"\x19\xd8\x1d",
            b"\xfb\xd8\x1d\xd8\x1d\xd8\x1d\xd8\x1d",
            b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff\xd8\x1d",
            b"\x1c\xd8\x1d",
        ];
        assert!(yes.iter().all(|bytes| has_shared_values(bytes)));
        assert!(!no.iter().any(|bytes| has_shared_values(bytes)));
    }

    #[test]
    fn what_is_well_formed_is_copied() {
        let plain = |bytes: &[u8]| plain(bytes).ok();
        let same: [&[u8]; 10] = [
            b"\x17",
            b"\x39\x01\x02",
            b"\x42\xd8\x1d",
            b"\x5f\x41a\x40\xff",
            b"\x7f\x61a\xff",
            b"\x82\x80\x9f\xf6\xff",
            b"\xa1\x61a\xbf\x01\x02\xff",
            b"\xc2\x41\x01",
            b"\xc3\x5f\x41\x01\xff",
            b"\xfb\0\0\0\0\0\0\0\0",
        ];
        for bytes in same {
            assert_eq!(plain(bytes).as_deref(), Some(bytes));
        }
        assert_eq!(plain(b"\xc1\xc2\x05"), Some(b"\x05".into()));
        let shared = b"\x83\xd8\x1c\x82\xd8\x1c\x41x\xd8\x1d\x01\xd8\x1d\x00\xd8\x1d\x01";
        assert_eq!(
            plain(shared).unwrap(),
            b"\x83\x82\x41x\x41x\x82\x41x\x41x\x41x"
        );
    }

    #[test]
    fn the_first_string_of_a_list() {
        let lists: [&[u8]; 5] = [
            b"\x82\x61a\x01",
            b"\x81\x41a",
            b"\x9f\x61a\xff",
            b"\xd8\x1c\x82\xd8\x1c\x61a\x01",
            b"\x98\x02\x78\x01a",
        ];
        for bytes in lists {
            assert_eq!(first_string(bytes), Some(&b"a"[..]), "{bytes:x?}");
        }
        let wrong: [&[u8]; 7] = [
            b"",
            b"\x80",
            b"\x81",
            b"\x61a",
            b"\x81\x01",
            b"\x81\x62a",
            b"\x81\x81\x61a",
        ];
        assert!(wrong.iter().all(|bytes| first_string(bytes).is_none()));
    }

    #[test]
    fn what_is_malformed_is_an_error() {
        let wrong: [&[u8]; 15] = [
            b"",
            b"\x1c",
            b"\x1f",
            b"\xff",
            b"\x19\x01",
            b"\x42a",
            b"\x82\x01",
            b"\xa1\x01",
            b"\x9f\x01",
            b"\x5f\x61a\xff",
            b"\x5f\xc1\x41a\xff",
            b"\xc1",
            b"\xdf\x00",
            b"\xd8\x1d\x20",
            b"\x00\x00",
        ];
        for bytes in wrong {
            assert!(plain(bytes).is_err(), "{bytes:x?}");
        }
        assert!(plain(&[0x9b; 1000]).is_err());
        assert!(plain(&[0x81; 1000]).is_err());
        assert!(plain(&[0xc1; 1000]).is_err());
    }
}
