//! Rules of every format over serde.

use crate::*;
use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A format for all that serde knows.
trait OverSerde: Format {
    fn write<V: Serialize + ?Sized>(value: &V) -> Result<Sent, Error>;
    fn write_plain<V: Serialize + ?Sized>(value: &V) -> Result<Vec<u8>, Error>;
    fn read<T: DeserializeOwned>(sent: Sent) -> Result<T, Error>;

    fn round<V: Serialize + ?Sized, T: DeserializeOwned>(value: &V) -> T {
        Self::read(Self::write(value).unwrap()).unwrap()
    }
}

macro_rules! over_serde {
    ($($format:ident)*) => {$(
        impl OverSerde for $format {
            fn write<V: Serialize + ?Sized>(value: &V) -> Result<Sent, Error> {
                write::<Self, (), V>(value)
            }

            fn write_plain<V: Serialize + ?Sized>(value: &V) -> Result<Vec<u8>, Error> {
                write_plain::<Self, (), V>(value)
            }

            fn read<T: DeserializeOwned>(sent: Sent) -> Result<T, Error> {
                sent.read::<Self, T>()
            }
        }
    )*};
}

over_serde! { Cbor Json MessagePack Postcard }

macro_rules! in_all {
    ($($test:ident<$format:ident>() $body:block)*) => {$(
        mod $test {
            use super::*;

            fn run<$format: OverSerde>() $body

            #[test]
            fn cbor() {
                run::<Cbor>();
            }

            #[test]
            fn json() {
                run::<Json>();
            }

            #[test]
            fn messagepack() {
                run::<MessagePack>();
            }

            #[test]
            fn postcard() {
                run::<Postcard>();
            }
        }
    )*};
}

#[derive(Serialize, Deserialize)]
enum Job {
    Idle,
    Copy(Descriptor<PipeReader>, Descriptor<PipeWriter>),
    Log {
        name: String,
        #[serde(with = "offspring_serialisers::descriptor")]
        to: PipeWriter,
    },
    Newtype(Descriptor),
}

#[derive(Serialize, Deserialize)]
struct Deep {
    jobs: Vec<Job>,
    named: BTreeMap<String, Descriptor<PipeReader>>,
    some: Option<Option<Descriptor<PipeReader>>>,
    none: Option<Descriptor>,
    result: Result<(), Box<(u8, Descriptor<PipeReader>)>>,
    newtype: Wrapped,
    text: String,
}

#[derive(Serialize, Deserialize)]
struct Wrapped(Descriptor<PipeReader>);

/// Panics when it is written.
struct Panics;

impl Serialize for Panics {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("as it should");
    }
}

/// Panics when it is read.
#[derive(Debug)]
struct PanicsLater;

impl<'de> Deserialize<'de> for PanicsLater {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("as it should");
    }
}

/// Fails when it is written.
struct Fails;

impl Serialize for Fails {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("as it should"))
    }
}

in_all! {
    what_is_open_comes_out<S>() {
        let _guard = guard();
        let (pipe,): (Descriptor<PipeReader>,) = S::round(&(Descriptor::new(said("pipe")),));
        assert_eq!(heard(pipe.into_inner()), "pipe");
        let owned: Descriptor = S::round(&Descriptor::new(OwnedFd::from(said("owned"))));
        assert_eq!(heard(PipeReader::from(owned.into_inner())), "owned");
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut theirs: Descriptor<UnixStream> = S::round(&Descriptor::new(theirs));
        theirs.write_all(b"socket").unwrap();
        drop(theirs);
        assert_eq!(heard(ours), "socket");
        let file: Descriptor<File> = S::round(&Descriptor::new(null()));
        assert_eq!(heard(file.into_inner()), "");
    }

    at_every_depth<S>() {
        let _guard = guard();
        let (reader, writer) = pipe().unwrap();
        let (log, to) = pipe().unwrap();
        let sent = Deep {
            jobs: vec![
                Job::Idle,
                Job::Copy(said("copied").into(), writer.into()),
                Job::Log { name: "log".into(), to },
                Job::Newtype(OwnedFd::from(said("newtype")).into()),
            ],
            named: [("a".into(), said("map a").into()), ("b".into(), said("map b").into())].into(),
            some: Some(Some(said("some").into())),
            none: None,
            result: Err(Box::new((7, said("result").into()))),
            newtype: Wrapped(said("wrapped").into()),
            text: "text".into(),
        };
        let mut came: Deep = S::round(&sent);
        drop(sent);
        for name in ["a", "b"] {
            let reader = came.named.remove(name).unwrap();
            assert_eq!(heard(reader.into_inner()), format!("map {name}"));
        }
        assert_eq!(heard(came.some.unwrap().unwrap().into_inner()), "some");
        assert!(came.none.is_none());
        let (seven, result) = *came.result.unwrap_err();
        assert_eq!((seven, heard(result.into_inner())), (7, "result".into()));
        assert_eq!(heard(came.newtype.0.into_inner()), "wrapped");
        assert_eq!(came.text, "text");
        for job in came.jobs {
            match job {
                Job::Idle => {}
                Job::Copy(from, mut to) => to.write_all(heard(from.into_inner()).as_bytes()).unwrap(),
                Job::Log { name, mut to } => to.write_all(name.as_bytes()).unwrap(),
                Job::Newtype(owned) => {
                    assert_eq!(heard(PipeReader::from(owned.into_inner())), "newtype");
                }
            }
        }
        assert_eq!((heard(reader), heard(log)), ("copied".into(), "log".into()));
    }

    any_number<S>() {
        let _guard = guard();
        for number in [0, 1, 2, 300] {
            let sent: Vec<_> = (0..number).map(|i| Descriptor::new(said(&i.to_string()))).collect();
            let came: Vec<Descriptor<PipeReader>> = S::round(&sent);
            assert_eq!(came.len(), number);
            drop(sent);
            for (i, reader) in came.into_iter().enumerate() {
                assert_eq!(heard(reader.into_inner()), i.to_string());
            }
        }
    }

    lent_or_moved<S>() {
        let _guard = guard();
        let file = null();
        let before = open();
        let forms = (SendAs::<Descriptor<File>>::into_form(&file),);
        let (came,): (Descriptor<File>,) = S::round(&forms);
        assert_eq!(open(), before + 1);
        drop(came);
        let form: Descriptor<File> = SendAs::<Descriptor<File>>::into_form(file);
        let came: Descriptor<File> = S::round(&(&form));
        drop(form);
        assert_eq!(open(), before);
        assert_eq!(heard(came.into_inner()), "");
    }

    those_not_wanted_are_closed<S>() {
        let _guard = guard();
        if S::NAME == Postcard::NAME {
            return; // It cannot pass over a field.
        }
        #[derive(Serialize)]
        struct New { a: Descriptor<File>, b: (Descriptor<File>, Descriptor<File>) }
        #[derive(Deserialize)]
        struct Old { a: Descriptor<File> }
        let file = || Descriptor::new(null());
        let before = open();
        let old: Old = S::round(&New { a: file(), b: (file(), file()) });
        assert_eq!(open(), before + 1);
        drop(old.a);
    }

    a_link_without_any_is_an_error<S>() {
        let _guard = guard();
        let value = (1, Some(Descriptor::new(null())));
        let error = refusal(S::write_plain(&value));
        assert!(error.starts_with(S::NAME) && error.contains("the link carries none"), "{error}");
        let sent = Sent { octets: S::write(&value).unwrap().octets, descriptors: vec![] };
        let error = refusal(S::read::<(i32, Option<Descriptor>)>(sent));
        assert!(error.starts_with(S::NAME) && error.contains("0 came along"), "{error}");
    }

    what_fails_leaves_nothing<S>() {
        let _guard = guard();
        let file = || Descriptor::new(null());
        refusal(S::write(&(file(), Fails)));
        let sent = S::write(&(file(), "text")).unwrap();
        refusal(S::read::<(Descriptor, Option<Vec<bool>>)>(sent));
        let sent = S::write(&(file(), 1, 2)).unwrap();
        refusal(S::read::<(Descriptor, i32)>(sent));
    }

    a_panic_leaves_nothing<S>() {
        let _guard = guard();
        let value = (Descriptor::new(null()), Panics);
        assert!(catch_unwind(AssertUnwindSafe(|| S::write(&value))).is_err());
        let sent = S::write(&(Descriptor::new(null()), 7)).unwrap();
        let read = AssertUnwindSafe(|| S::read::<(Descriptor, PanicsLater)>(sent));
        assert!(catch_unwind(read).is_err());
        drop(value);
        // And all is well afterwards.
        let _: Descriptor = S::round(&Descriptor::new(null()));
    }

    descriptor_or_octets<S>() {
        let _guard = guard();
        let reader = said("through the descriptor");
        let octets: Vec<u8> = (0..=255).collect();
        let value = DescriptorOrBytes { descriptor: reader.as_fd(), bytes: &|| Cow::from(&octets) };
        let sent = S::write(&(1u8, [value, value])).unwrap();
        assert!(sent.octets.len() < 20, "{}", sent.octets.len());
        assert_eq!(sent.descriptors.len(), 2);
        let (one, [first, second]): (u8, [Arrived; 2]) = S::read(sent).unwrap();
        let (Arrived::Descriptor(first), Arrived::Descriptor(second)) = (first, second) else {
            panic!("octets");
        };
        assert_eq!((one, heard(PipeReader::from(first))), (1, "through the descriptor".into()));
        assert_eq!(heard(PipeReader::from(second)), "");
        let octets_sent = S::write_plain(&(1u8, value)).unwrap();
        let sent = Sent { octets: octets_sent, descriptors: vec![] };
        let (_, Arrived::Bytes(came)): (u8, _) = S::read(sent).unwrap() else {
            panic!("a descriptor");
        };
        assert_eq!(*came, octets);
    }
}

/// As others may read them.
#[test]
fn what_is_written() {
    let _guard = guard();
    let file = null();
    let one = &DescriptorRef(file.as_fd());
    let three = (one, Some(one), [one]);
    assert_eq!(Json::write(&three).unwrap().octets, b"[0,1,[2]]");
    assert_eq!(Cbor::write(&three).unwrap().octets, [0x83, 0, 1, 0x81, 2]);
    assert_eq!(
        MessagePack::write(&three).unwrap().octets,
        [0x93, 0, 1, 0x91, 2]
    );
    assert_eq!(Postcard::write(&three).unwrap().octets, [0, 1, 1, 2]);
    let either = DescriptorOrBytes {
        descriptor: file.as_fd(),
        bytes: &|| b"ab".into(),
    };
    assert_eq!(Json::write(&either).unwrap().octets, b"[0,\"\"]");
    assert_eq!(Json::write_plain(&either).unwrap(), b"[null,\"ab\"]");
    assert_eq!(Cbor::write(&either).unwrap().octets, [0x82, 0, 0x40]);
    assert_eq!(Postcard::write(&either).unwrap().octets, [1, 0, 0]);
    assert_eq!(Postcard::write_plain(&either).unwrap(), b"\0\x02ab");
}

#[test]
fn indexes_count_from_where_the_value_begins() {
    let _guard = guard();
    let (mut octets, mut descriptors) = (Vec::new(), vec![OwnedFd::from(null())]);
    let mut output = Output::with_descriptors(&mut octets, &mut descriptors);
    assert_eq!(output.descriptor(null().into()).unwrap(), 0);
    let value = Descriptor::new(null());
    <Json as Serialiser<(), _>>::encode(&value, &mut output).unwrap();
    <Octets as Serialiser<(), _>>::encode(&value, &mut output).unwrap();
    assert_eq!(output.descriptor(null().into()).unwrap(), 3);
    assert_eq!(octets, b"1\x04\0\0\0\x02");
    assert_eq!(descriptors.len(), 5);
}

#[test]
fn those_that_come_out_close_on_exec() {
    let _guard = guard();
    let came: Descriptor<File> = Json::round(&Descriptor::new(null()));
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", came.as_raw_fd())).unwrap();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = u32::from_str_radix(flags.unwrap().trim(), 8).unwrap();
    assert_ne!(flags & 0o2000000, 0, "{info}");
}

/// The original writes all strings as bytes, so the first try would fail behind the
/// descriptor.
#[test]
fn cbor_of_perl_with_a_descriptor() {
    let _guard = guard();
    let octets = b"\x83\x00\x44text\x01".to_vec();
    let descriptors = vec![said("first").into(), said("second").into()];
    type Value = (Descriptor<PipeReader>, String, Descriptor<PipeReader>);
    let sent = Sent {
        octets,
        descriptors,
    };
    let (first, text, second) = Cbor::read::<Value>(sent).unwrap();
    let heard = [first, second].map(|reader| heard(reader.into_inner()));
    assert_eq!(
        (text.as_str(), heard),
        ("text", ["first".into(), "second".into()])
    );
}

#[test]
fn cbor_with_shared_values_and_a_descriptor() {
    let _guard = guard();
    // [0, shared "text", the same again]
    let octets = b"\x83\x00\xd8\x1c\x64text\xd8\x1d\x00".to_vec();
    let descriptors = vec![said("first").into()];
    let sent = Sent {
        octets,
        descriptors,
    };
    type Value = (Descriptor<PipeReader>, String, String);
    let (first, text, again) = Cbor::read::<Value>(sent).unwrap();
    assert_eq!(heard(first.into_inner()), "first");
    assert_eq!((text.as_str(), again.as_str()), ("text", "text"));
    // [shared 0, the same again]: there is one owner.
    let octets = b"\x82\xd8\x1c\x00\xd8\x1d\x00".to_vec();
    let descriptors = vec![said("first").into()];
    let sent = Sent {
        octets,
        descriptors,
    };
    let error = refusal(Cbor::read::<[Descriptor; 2]>(sent));
    assert!(error.contains("the descriptor 0 twice"), "{error}");
}

/// serde reads such a value before it knows what it is.
#[test]
fn what_serde_keeps_in_between_is_an_error() {
    let _guard = guard();
    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Either {
        Descriptor(Descriptor),
    }
    #[derive(Serialize, Deserialize)]
    struct Flat {
        #[serde(flatten)]
        inner: Inner,
    }
    #[derive(Serialize, Deserialize)]
    struct Inner {
        file: Descriptor,
    }
    let file = || Descriptor::new(OwnedFd::from(null()));
    let sent = Json::write(&Either::Descriptor(file())).unwrap();
    refusal(Json::read::<Either>(sent));
    let inner = Inner { file: file() };
    let sent = Json::write(&Flat { inner }).unwrap();
    let error = refusal(Json::read::<Flat>(sent));
    assert!(error.contains("carries no descriptors"), "{error}");
}

#[test]
fn streams_of_all_kinds() {
    let _guard = guard();
    fn form<T, A: SendAs<T>>(argument: A) -> A::Form {
        argument.into_form()
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (theirs, _) = listener.accept().unwrap();
    let sent = (
        form::<Descriptor<TcpListener>, _>(&listener),
        form::<Descriptor<TcpStream>, _>(theirs),
        form::<Descriptor<TcpStream>, _>(ours.as_fd()),
    );
    type Value = (
        Descriptor<TcpListener>,
        Descriptor<TcpStream>,
        Descriptor<TcpStream>,
    );
    let (_, mut theirs, came): Value = Cbor::round(&sent);
    drop(sent);
    theirs.write_all(b"hello").unwrap();
    drop((theirs, ours));
    let mut hello = [0; 5];
    (&*came).read_exact(&mut hello).unwrap();
    assert_eq!(&hello, b"hello");
}
