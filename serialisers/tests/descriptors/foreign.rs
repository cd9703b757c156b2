//! Formats that are not ours: those that know of descriptors, and those that do not.

use crate::*;

/// Writes through our layer.
struct Knowing;

/// Writes as serde_json does it.
struct Unknowing;

/// Knows nothing of serde.
struct Bare;

impl Format for Knowing {
    const NAME: &'static str = "knowing";
}

impl Format for Unknowing {
    const NAME: &'static str = "unknowing";
}

impl Format for Bare {
    const NAME: &'static str = "bare";
}

impl<T: DeserializeOwned, V: Serialize + ?Sized> Serialiser<T, V> for Knowing {
    fn encode(value: &V, output: &mut Output<'_>) -> Result<(), Error> {
        let (octets, descriptors) = output.split();
        let mut serializer = serde_json::Serializer::pretty(octets);
        let written = descriptors.serialise(value, &mut serializer);
        written.map_err(Error::other)
    }

    fn decode(input: &mut Input<'_>) -> Result<T, Error> {
        let mut deserializer = serde_json::Deserializer::from_slice(input.bytes());
        let value = input.deserialise(&mut deserializer).map_err(Error::other)?;
        deserializer.end().map_err(Error::other)?;
        Ok(value)
    }
}

impl<T: DeserializeOwned, V: Serialize + ?Sized> Serialiser<T, V> for Unknowing {
    fn encode(value: &V, output: &mut Output<'_>) -> Result<(), Error> {
        serde_json::to_writer(output, value).map_err(Error::other)
    }

    fn decode(input: &mut Input<'_>) -> Result<T, Error> {
        serde_json::from_slice(input.bytes()).map_err(Error::other)
    }
}

impl<T: From<OwnedFd>> Serialiser<T, File> for Bare {
    fn encode(value: &File, output: &mut Output<'_>) -> Result<(), Error> {
        assert!(output.carries_descriptors());
        let duplicate = value.try_clone().map_err(Error::other)?;
        let index = output.descriptor(duplicate.into())?;
        output.bytes().extend(index.to_le_bytes());
        Ok(())
    }

    fn decode(input: &mut Input<'_>) -> Result<T, Error> {
        let index = input.bytes().try_into().map_err(Error::other)?;
        input.descriptor(u32::from_le_bytes(index)).map(T::from)
    }
}

#[test]
fn one_that_knows() {
    let _guard = guard();
    type Value = (String, Option<Descriptor<PipeReader>>, Arrived);
    let file = null();
    let either = DescriptorOrBytes {
        descriptor: file.as_fd(),
        bytes: &|| b"octets".into(),
    };
    let value = ("a", Some(Descriptor::new(said("pipe"))), either);
    let sent = write::<Knowing, Value, _>(&value).unwrap();
    drop(value);
    assert_eq!(sent.descriptors.len(), 2);
    let (_, pipe, arrived) = sent.read::<Knowing, Value>().unwrap();
    assert_eq!(heard(pipe.unwrap().into_inner()), "pipe");
    assert!(matches!(arrived, Arrived::Descriptor(_)));
    assert_eq!(write_plain::<Knowing, (), _>(&()).unwrap(), b"[]");
}

#[test]
fn one_that_does_not_know() {
    let _guard = guard();
    let value = (7, Descriptor::new(null()));
    let error = refusal(write::<Unknowing, (), _>(&value));
    assert_eq!(error, "this serialiser carries no descriptors");
    let sent = write::<Json, (), _>(&value).unwrap();
    let error = refusal(sent.read::<Unknowing, (i32, Descriptor)>());
    assert!(
        error.contains("this deserialiser carries no descriptors"),
        "{error}"
    );
    // What can do without a descriptor does.
    let value = (
        7,
        DescriptorOrBytes {
            descriptor: value.1.as_fd(),
            bytes: &|| b"octets".into(),
        },
    );
    let sent = write::<Unknowing, (i32, Arrived), _>(&value).unwrap();
    assert_eq!(sent.octets, br#"[7,[null,"octets"]]"#);
    assert!(sent.descriptors.is_empty());
    let (_, Arrived::Bytes(octets)) = sent.read::<Unknowing, (i32, Arrived)>().unwrap() else {
        panic!("a descriptor");
    };
    assert_eq!(octets, Bytes::from("octets".to_string()));
}

/// A value that has a part of it written, and read, by serde_json itself.
struct Within<T>(T);

impl<T: Serialize> Serialize for Within<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        for _ in 0..2 {
            let error = serde_json::to_string(&self.0).unwrap_err().to_string();
            assert_eq!(error, "this serialiser carries no descriptors");
        }
        self.0.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Within<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let error = serde_json::from_str::<Descriptor>("0").unwrap_err();
        assert!(error.to_string().contains("carries no descriptors"));
        T::deserialize(deserializer).map(Self)
    }
}

#[test]
fn one_that_does_not_know_within_one_that_does() {
    let _guard = guard();
    type Value = Vec<Within<Descriptor<PipeReader>>>;
    fn check<S: Serialiser<Value> + Serialiser<Value, ()>>() {
        let value = ["a", "b"].map(|text| Within(Descriptor::new(said(text))));
        let sent = write::<S, Value, Value>(&Vec::from(value)).unwrap();
        for (came, text) in sent.read::<S, Value>().unwrap().into_iter().zip(["a", "b"]) {
            assert_eq!(heard(came.0.into_inner()), text);
        }
    }
    check::<Cbor>();
    check::<Json>();
    check::<MessagePack>();
    check::<Postcard>();
    check::<Knowing>();
}

/// A value whose part is a value of ours by itself, with its own table.
struct Sealed(PipeReader);

impl Serialize for Sealed {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sent = write::<Cbor, (), _>(&DescriptorRef(self.0.as_fd())).unwrap();
        let came: Descriptor<PipeReader> = sent.read::<Cbor, _>().unwrap();
        DescriptorRef(came.as_fd()).serialize(serializer)
    }
}

#[test]
fn one_of_ours_within_another() {
    let _guard = guard();
    let value = (Sealed(said("a")), Sealed(said("b")));
    type Value = (Descriptor<PipeReader>, Descriptor<PipeReader>);
    let sent = write::<Cbor, (), _>(&value).unwrap();
    drop(value);
    let (a, b) = sent.read::<Cbor, Value>().unwrap();
    assert_eq!([a, b].map(|it| heard(it.into_inner())), ["a", "b"]);
}

#[test]
fn one_without_serde() {
    let _guard = guard();
    let sent = write::<Bare, File, File>(&null()).unwrap();
    assert_eq!(sent.octets, [0; 4]);
    let mut input = Input::with_descriptors(&sent.octets, sent.descriptors);
    let file: File = <Bare as Serialiser<File, File>>::decode(&mut input).unwrap();
    assert_eq!(heard(file), "");
    assert!(input.descriptor(0).is_err());
}
