//! Descriptors in lists of byte strings.

use crate::*;
use offspring_serialisers::{
    AsOctetStrings, FromOctetStrings, ListReader, ListWriter, ManyStrings, OneString,
};

type Reader = Descriptor<PipeReader>;

#[test]
fn in_lists_of_all_kinds() {
    let _guard = guard();
    let value = (String::from("text"), Reader::new(said("tuple")), vec![1u8]);
    let sent = write::<Octets, (String, Reader, Vec<u8>), _>(&value).unwrap();
    assert_eq!(sent.octets, b"\x04text\x04\0\0\0\0\x01\x01");
    let (text, reader, one): (String, Reader, Vec<u8>) = sent.read::<Octets, _>().unwrap();
    assert_eq!((text.as_str(), &one[..]), ("text", &[1][..]));
    assert_eq!(heard(reader.into_inner()), "tuple");

    for number in [0, 1, 300] {
        let value: Vec<_> = (0..number)
            .map(|i| Reader::new(said(&i.to_string())))
            .collect();
        let sent = write::<Octets, Vec<Reader>, _>(&value).unwrap();
        drop(value);
        let came = sent.read::<Octets, Vec<Reader>>().unwrap();
        assert_eq!(came.len(), number);
        for (i, reader) in came.into_iter().enumerate() {
            assert_eq!(heard(reader.into_inner()), i.to_string());
        }
    }

    let array = [Reader::new(said("a")), Reader::new(said("b"))];
    let sent = write::<Octets, [Reader; 2], _>(&array).unwrap();
    let came = sent.read::<Octets, [Reader; 2]>().unwrap();
    let heard = came.map(|reader| heard(reader.into_inner()));
    assert_eq!(heard, ["a", "b"]);
}

#[test]
fn lent_or_moved() {
    let _guard = guard();
    let file = null();
    let before = open();
    let lent = (SendAs::<Descriptor<File>>::into_form(&file),);
    let sent = write::<Octets, (Descriptor<File>,), _>(&lent).unwrap();
    assert_eq!(open(), before + 1);
    drop(sent);
    let moved: (Descriptor<File>,) = (SendAs::<Descriptor<File>>::into_form(file),);
    let sent = write::<Octets, (Descriptor<File>,), _>(&moved).unwrap();
    let again = write::<Octets, (Descriptor<File>,), _>(&(&moved.0,)).unwrap();
    drop((moved, again));
    assert_eq!(open(), before);
    sent.read::<Octets, (Descriptor<File>,)>().unwrap();
}

#[test]
fn a_link_without_any_is_an_error() {
    let _guard = guard();
    let file = Descriptor::new(null());
    let error = refusal(write_plain::<Octets, (Descriptor<File>, String), _>(&(
        &file, "text",
    )));
    assert_eq!(
        error,
        "octets: descriptors cannot be sent here: the link carries none (that of a `program` does, unless it is `plain`)"
    );
    let mut input = Input::new(b"\x04\0\0\0\0");
    let error = refusal(<Octets as Serialiser<Descriptor>>::decode(&mut input));
    assert_eq!(
        error,
        "octets: the value has a descriptor of index 0, but 0 came along"
    );
}

#[test]
fn octets_that_are_no_descriptor() {
    let _guard = guard();
    let read = |octets: &[u8]| {
        let descriptors = vec![null().into()];
        let mut input = Input::with_descriptors(octets, descriptors);
        refusal(<Octets as Serialiser<Vec<Descriptor>>>::decode(&mut input))
    };
    assert!(read(b"\x00").contains("a string of 4 bytes, got 0"));
    assert!(read(b"\x05\0\0\0\0\0").contains("a string of 4 bytes, got 5"));
    assert!(read(b"\x04\0\0\0\x01").contains("index 1, but 1 came along"));
    assert!(read(b"\x04\xff\xff\xff\xff").contains("index 4294967295"));
    assert!(read(b"\x04\0\0\0\0\x04\0\0\0\0").contains("the descriptor 0 twice"));
    assert!(read(b"\x04\0\0\0\0\x04").contains("cut off"));
}

#[test]
fn descriptor_or_octets() {
    let _guard = guard();
    let reader = said("through the descriptor");
    let value = DescriptorOrBytes {
        descriptor: reader.as_fd(),
        bytes: &|| b"octets".into(),
    };
    let sent = write::<Octets, (Arrived, String), _>(&(value, "x")).unwrap();
    assert_eq!(sent.octets, b"\x05\0\0\0\0\0\x01x");
    let (Arrived::Descriptor(came), _): (_, String) = sent.read::<Octets, _>().unwrap() else {
        panic!("octets");
    };
    assert_eq!(heard(PipeReader::from(came)), "through the descriptor");
    let octets = write_plain::<Octets, (Arrived, String), _>(&(value, "x")).unwrap();
    assert_eq!(octets, b"\x07\x01octets\x01x");
    let descriptors = Vec::new();
    let sent = Sent {
        octets,
        descriptors,
    };
    let (Arrived::Bytes(came), _): (_, String) = sent.read::<Octets, _>().unwrap() else {
        panic!("a descriptor");
    };
    assert_eq!(*came, b"octets");
    for octets in [&b"\0"[..], b"\x01\x02", b"\x01\0", b"\x05\0\0\0\0\x01"] {
        let mut input = Input::with_descriptors(octets, vec![null().into()]);
        refusal(<Octets as Serialiser<Arrived, ()>>::decode(&mut input));
    }
}

/// A list of a type of one's own.
struct Log(String, File);

impl AsOctetStrings for Log {
    type Number = ManyStrings;

    fn write_strings(&self, list: &mut ListWriter<'_>) {
        list.push(self.0.as_bytes());
        list.push_descriptor(self.1.as_fd());
    }
}

impl FromOctetStrings for Log {
    type Number = ManyStrings;

    fn read_strings(list: &mut ListReader<'_>) -> Result<Self, Error> {
        let name = list.take_as(2)?;
        let file: Descriptor<File> = list.take_as(2)?;
        Ok(Self(name, file.into_inner()))
    }
}

/// An element of a type of one's own.
struct Element(File);

impl AsOctetStrings for Element {
    type Number = OneString;

    fn write_strings(&self, list: &mut ListWriter<'_>) {
        list.push_descriptor(self.0.as_fd());
    }
}

impl FromOctetStrings for Element {
    type Number = OneString;

    fn read_strings(list: &mut ListReader<'_>) -> Result<Self, Error> {
        let string = list.take_string()?;
        Ok(Self(list.descriptor(string)?.into()))
    }
}

#[test]
fn types_of_ones_own() {
    let _guard = guard();
    let sent = write::<Octets, Log, _>(&Log("name".into(), null())).unwrap();
    let Log(name, file) = sent.read::<Octets, _>().unwrap();
    assert_eq!((name, heard(file)), ("name".into(), "".into()));
    let pair = (Element(null()), String::from("x"));
    let sent = write::<Octets, (Element, String), _>(&pair).unwrap();
    let (Element(file), _): (_, String) = sent.read::<Octets, _>().unwrap();
    assert_eq!(heard(file), "");
}

#[test]
fn the_first_error_is_told_and_nothing_is_left() {
    let _guard = guard();
    struct Thrice(File);
    impl AsOctetStrings for Thrice {
        type Number = ManyStrings;

        fn write_strings(&self, list: &mut ListWriter<'_>) {
            list.push_descriptor(self.0.as_fd());
            assert!(!list.carries_descriptors());
            list.push(b"x");
            list.push_descriptor(self.0.as_fd());
        }
    }
    let error = refusal(write_plain::<Octets, (), _>(&Thrice(null())));
    assert!(error.contains("the link carries none"), "{error}");
}
