/// Whether a tag 28 or 29 is among the items. ciborium looks through both, and would take a
/// reference for the number that it refers to.
///
/// Items follow each other whatever they are part of, so there is no nesting to follow, and
/// strings are stepped over. Malformed octets end the search: they will be found out by others.
pub(super) fn has_shared_values(mut octets: &[u8]) -> bool {
    while let Some((&initial, rest)) = octets.split_first() {
        let Some((argument, rest)) = argument(initial, rest) else {
            return false;
        };
        octets = match (initial >> 5, argument) {
            (6, 28 | 29) => return true,
            (2 | 3, length) if initial & 0x1f != 0x1f => match rest.get(length..) {
                Some(rest) => rest,
                None => return false,
            },
            _ => rest,
        };
    }
    false
}

/// What stands in or after the initial octet.
fn argument(initial: u8, octets: &[u8]) -> Option<(usize, &[u8])> {
    let width = match initial & 0x1f {
        small @ 0..24 => return Some((small.into(), octets)),
        31 => return Some((0, octets)),
        wide @ 24..28 => 1 << (wide - 24),
        _ => return None,
    };
    let (argument, rest) = octets.split_at_checked(width)?;
    let join = |sum: u64, &octet| sum << 8 | u64::from(octet);
    Some((argument.iter().fold(0, join).try_into().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::has_shared_values;

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
        assert!(yes.iter().all(|octets| has_shared_values(octets)));
        assert!(!no.iter().any(|octets| has_shared_values(octets)));
    }
}
