//! Long octet strings that are moved instead of copied: the octets are the same, and so are the
//! values, for every type that can be one and wherever it stands.

use offspring_serialisers::{
    Bytes, Error, Format, FromOctetStrings, Input, ListReader, ManyStrings, Octets, Output,
    Serialiser, Tail,
};
use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt::Debug;
use std::path::{Path, PathBuf};

const LONG: usize = 100_000;

/// What is written in two parts, and whether there is a second.
fn moved<T: Clone>(value: &T) -> (Vec<u8>, bool)
where
    Octets: Serialiser<T>,
{
    let (mut octets, mut tail) = (Vec::new(), Vec::new());
    let mut output = Output::new(&mut octets).and_tail(&mut tail);
    <Octets as Serialiser<T>>::encode_taking(&mut value.clone(), &mut output).unwrap();
    let is_parted = !tail.is_empty();
    octets.append(&mut tail);
    (octets, is_parted)
}

/// What is read of octets that came in two parts, if they do.
fn read<T>(octets: &[u8]) -> Result<T, Error>
where
    Octets: Serialiser<T, ()>,
{
    let begin = &octets[..octets.len().min(50_000)];
    let at = Octets::tail_at(begin, octets.len());
    let (head, tail) = octets.split_at(at.unwrap_or(octets.len()));
    let tail = at.map(|_| Tail::new(tail.to_vec()));
    let mut input = Input::new(head).and_tail(tail.as_ref());
    <Octets as Serialiser<T, ()>>::decode(&mut input)
}

fn check<T: Clone + PartialEq + Debug>(value: T, writes_two: bool, reads_two: bool)
where
    Octets: Serialiser<T> + Serialiser<T, ()>,
{
    let mut plain = Vec::new();
    <Octets as Serialiser<T>>::encode(&value, &mut Output::new(&mut plain)).unwrap();
    let (octets, is_parted) = moved(&value);
    assert!(octets == plain);
    assert_eq!(is_parted, writes_two, "{}", std::any::type_name::<T>());
    let begin = &octets[..octets.len().min(50_000)];
    assert_eq!(Octets::tail_at(begin, octets.len()).is_some(), reads_two);
    assert!(read::<T>(&octets).unwrap() == value);
}

#[test]
fn every_string_that_is_long() {
    let text = "ä".repeat(LONG);
    check(text.clone(), true, true);
    check(text.clone().into_bytes(), true, true);
    check(Bytes(text.clone().into_bytes()), true, true);
    check(PathBuf::from(&text), true, true);
    check(OsString::from(&text), true, true);
    check((text.clone(),), true, true);
    check(
        (String::from("short"), text.clone().into_bytes()),
        true,
        true,
    );
    // What cannot give its octets away is copied.
    check(text.clone().into_boxed_str(), false, true);
    check(text.clone().into_bytes().into_boxed_slice(), false, true);
    check(Box::<Path>::from(Path::new(&text)), false, true);
    check(Cow::<'static, str>::Owned(text.clone()), false, true);
    check([7; LONG], false, true);
    check(vec![text.clone()], false, true);
}

#[test]
fn what_is_short_or_not_at_the_end_is_not_parted() {
    check("short".to_owned(), false, false);
    check(String::new(), false, false);
    check((), false, false);
    let text = "x".repeat(LONG);
    check((text.clone(), 7.to_string()), false, false);
    check((text.clone(), String::new()), false, false);
    check((text.clone(), text.clone()), true, false);
    let many = ["1"; 7].map(str::to_owned);
    check([many.to_vec(), vec![text.clone()]].concat(), false, true);
    check(
        [many.to_vec(), many.to_vec(), vec![text]].concat(),
        false,
        false,
    );
}

/// A type may look at the strings as it likes, also twice.
#[derive(PartialEq, Debug)]
struct Twice(Vec<u8>, usize);

impl FromOctetStrings for Twice {
    type Number = ManyStrings;

    fn read_strings(list: &mut ListReader<'_>) -> Result<Self, Error> {
        let again = list.clone();
        let first = list.take_as(1)?;
        let length = again.map(|string| string.map_or(0, <[u8]>::len)).sum();
        Ok(Self(first, length))
    }
}

#[test]
fn a_reader_that_is_copied_reads_the_same() {
    let octets = moved(&vec![7_u8; LONG]).0;
    let twice = read::<Twice>(&octets).unwrap();
    assert!(twice == Twice(vec![7; LONG], LONG));
    let list: Vec<Vec<u8>> = read(&octets).unwrap();
    assert!(list == [[7; LONG]]);
}

#[test]
fn errors_are_the_same() {
    let octets = moved(&vec![0xff_u8; LONG]).0;
    for error in [
        read::<String>(&octets).unwrap_err(),
        read::<(String,)>(&octets).unwrap_err(),
    ] {
        assert!(error.to_string().contains("is not UTF-8"), "{error}");
    }
    let error = read::<()>(&octets).unwrap_err();
    assert_eq!(error.to_string(), "octets: wanted 0 strings, got 1");
    let error = read::<(Bytes, Bytes)>(&octets).unwrap_err();
    assert_eq!(error.to_string(), "octets: wanted 2 strings, got 1");
}

/// Whoever writes behind a string that was moved gets it in its place.
#[test]
fn what_is_written_behind_comes_behind() {
    use std::io::Write;
    let (mut octets, mut tail) = (Vec::new(), Vec::new());
    let mut output = Output::new(&mut octets).and_tail(&mut tail);
    let encode = <Octets as Serialiser<Vec<u8>>>::encode_taking;
    encode(&mut vec![7; LONG], &mut output).unwrap();
    output.write_all(b"a").unwrap();
    encode(&mut vec![8; LONG], &mut output).unwrap();
    output.octets().push(b'b');
    encode(&mut vec![9; LONG], &mut output).unwrap();
    octets.append(&mut tail);
    let string = |fill| moved(&vec![fill; LONG]).0;
    let want = [&string(7)[..], b"a", &string(8), b"b", &string(9)];
    assert!(octets == want.concat());
}

/// Lengths that lie are found out as they are elsewhere.
#[test]
fn where_a_string_begins_is_never_beyond_what_there_is() {
    for begin in [
        &[][..],
        &[0x80],
        &[0xff; 20],
        b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        &[0x86, 0x8d],
        b"\x05a",
        &[0x86, 0x8d, 0x20],
        &[0; 100],
    ] {
        for length in [0, 5, 100_003, 100_000, usize::MAX] {
            let at = Octets::tail_at(begin, length);
            assert_eq!(
                at,
                (begin == [0x86, 0x8d, 0x20] && length == 100_003).then_some(3)
            );
        }
    }
}
