//! Rules of every format over serde, and those in which they differ.
#![cfg(all(
    feature = "cbor",
    feature = "json",
    feature = "messagepack",
    feature = "postcard"
))]

mod common;

use common::{decode, encode, refusal, written};
use offspring_serialisers::{
    Bytes, BytesRef, Cbor, Format, Json, MessagePack, Octets, Postcard, SendAs,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Job {
    Idle,
    Rmdir(PathBuf),
    Move(PathBuf, PathBuf),
    Chmod { path: PathBuf, mode: Option<u32> },
    Nested(Box<Self>, ()),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Everything {
    jobs: Vec<Job>,
    map: BTreeMap<String, (i8, u64, i64)>,
    bytes: Bytes,
    list: Vec<u8>,
    letters: (char, String),
    numbers: (f32, f64, u128, i128),
    nothing: (),
    maybe: Option<Option<bool>>,
    result: Result<(), String>,
    long: String,
}

fn everything() -> Everything {
    Everything {
        jobs: vec![
            Job::Idle,
            Job::Rmdir("/a".into()),
            Job::Move("/ä".into(), "".into()),
            Job::Chmod {
                path: "x".into(),
                mode: Some(0o644),
            },
            Job::Nested(Box::new(Job::Idle), ()),
        ],
        map: [("k".into(), (-1, u64::MAX, i64::MIN))].into(),
        bytes: (0..=255).collect::<Vec<u8>>().into(),
        list: vec![0, 255],
        letters: ('☃', "\"\\\u{7f}\u{0}".into()),
        numbers: (0.1, -1e300, u64::MAX.into(), (-7).into()),
        nothing: (),
        maybe: Some(Some(true)),
        result: Err("no".into()),
        long: "long".repeat(5000),
    }
}

fn returns<S, T>(value: &T)
where
    S: offspring_serialisers::Serialiser<T> + offspring_serialisers::Serialiser<T, ()>,
    T: Debug + PartialEq,
{
    assert_eq!(
        decode::<S, T>(&written::<S, T>(value)).unwrap(),
        *value,
        "{}",
        S::NAME
    );
}

macro_rules! in_all {
    ($($test:ident<$format:ident>() $body:block)*) => {$(
        mod $test {
            use super::*;

            fn run<$format>()
            where
                $format: OverSerde,
            $body

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

/// A format for all that serde knows.
trait OverSerde: Format {
    fn write<Sent: Serialize + ?Sized>(value: &Sent) -> Vec<u8>;
    fn read<T: DeserializeOwned>(octets: &[u8]) -> Result<T, String>;

    fn round<T: Serialize + DeserializeOwned>(value: &T) -> T {
        Self::read(&Self::write(value)).unwrap()
    }
}

macro_rules! over_serde {
    ($($format:ident)*) => {$(
        impl OverSerde for $format {
            fn write<Sent: Serialize + ?Sized>(value: &Sent) -> Vec<u8> {
                encode::<Self, (), Sent>(value).unwrap()
            }

            fn read<T: DeserializeOwned>(octets: &[u8]) -> Result<T, String> {
                decode::<Self, T>(octets).map_err(|error| error.to_string())
            }
        }
    )*};
}

over_serde! { Cbor Json MessagePack Postcard }

in_all! {
    what_goes_in_comes_out<S>() {
        assert_eq!(S::round(&everything()), everything());
        assert_eq!(S::round(&(everything(),)), (everything(),));
        assert_eq!(S::round(&Job::Idle), Job::Idle);
    }

    borrowed_arguments_are_read_as_owned<S>() {
        fn form<T, A: SendAs<T>>(argument: A) -> A::Form {
            argument.into_form()
        }
        let sent = (
            form::<String, _>("text"),
            form::<PathBuf, _>(Path::new("/p")),
            form::<Vec<u16>, _>(&[1, 2, 3]),
            form::<Vec<u8>, _>([1, 2, 3]),
            form::<Bytes, _>(b"ab\xff"),
            form::<Bytes, _>("text"),
            form::<i32, _>(-3),
            form::<Job, _>(&Job::Idle),
        );
        let octets = S::write(&sent);
        type Got = (String, PathBuf, Vec<u16>, Vec<u8>, Bytes, Bytes, i32, Job);
        let got: Got = S::read(&octets).unwrap();
        let text = Bytes::from(b"text");
        let bytes = Bytes::from(b"ab\xff");
        let list = vec![1, 2, 3];
        let expected =
            ("text".into(), "/p".into(), list, vec![1, 2, 3], bytes, text, -3, Job::Idle);
        assert_eq!(got, expected);
    }

    no_arguments_are_the_empty_list<S>() {
        let octets = S::write(&());
        assert_eq!(octets, S::write(&&()));
        if S::NAME == Postcard::NAME {
            assert!(octets.is_empty());
        } else {
            assert_eq!(octets, S::write(&[0u8; 0]));
            assert!(S::read::<Vec<u8>>(&octets).unwrap().is_empty());
        }
        S::read::<()>(&octets).unwrap();
    }

    units_further_in_are_as_the_format_has_them<S>() {
        assert_eq!(S::round(&((), 1u8, ())), ((), 1, ()));
        assert_eq!(S::round(&Ok::<(), String>(())), Ok(()));
        assert_eq!(S::round(&vec![(), ()]), [(), ()]);
    }

    arguments_left_over_are_an_error<S>() {
        let octets = S::write(&(1u8, 2u8, 3u8));
        let error = S::read::<(u8, u8)>(&octets).unwrap_err();
        if S::NAME == Postcard::NAME {
            assert_eq!(error, "postcard: 1 bytes left over");
        } else {
            assert!(error.contains("wanted 2 elements, got 3"), "{error}");
        }
        assert!(S::read::<()>(&octets).unwrap_err().contains(S::NAME));
        assert!(S::read::<(u8,)>(&octets).is_err());
        assert!(S::read::<(u8, u8, u8, u8)>(&octets).is_err());
    }

    elements_left_over_further_in_are_an_error<S>() {
        let octets = S::write(&((1u8, 2u8, 3u8), 4u8));
        assert!(S::read::<((u8, u8), u8)>(&octets).is_err());
    }

    octets_left_over_are_an_error<S>() {
        for extra in [&b"\0"[..], b"1", b"\xc0", b"\x80", b"\xf6", b"\xff"] {
            let mut octets = S::write(&(1u8, "x"));
            octets.extend(extra);
            assert!(S::read::<(u8, String)>(&octets).is_err(), "{extra:x?}");
            let octets = [&S::write(&()), extra].concat();
            assert!(S::read::<()>(&octets).is_err(), "{extra:x?}");
        }
    }

    octets_cut_off_are_an_error<S>() {
        let octets = S::write(&everything());
        for length in (0..octets.len()).step_by(97) {
            assert!(S::read::<Everything>(&octets[..length]).is_err(), "{length}");
        }
    }

    octets_take_the_room_of_octets<S>() {
        let mebibyte = vec![0xfe; 1 << 20];
        let octets = S::write(&(BytesRef::from(&mebibyte[..]),));
        let room = if S::NAME == Json::NAME { 2 << 20 } else { 1 << 20 };
        assert!((room..room + 16).contains(&octets.len()), "{}", octets.len());
        let (bytes,) = S::read::<(Bytes,)>(&octets).unwrap();
        assert!(bytes.into_vec() == mebibyte);
    }

    octets_survive_where_serde_keeps_values_in_between<S>() {
        if S::NAME == Postcard::NAME {
            return; // It cannot say what it holds, so there is nothing in between.
        }
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(u8),
            Octets(Bytes),
        }
        let octets = Either::Octets(Bytes::from(vec![0, b'a', 0xff]));
        assert_eq!(S::round(&octets), octets);
    }
}

#[test]
fn empty_lists_of_arguments_to_the_byte() {
    assert_eq!(Json::write(&()), b"[]");
    assert_eq!(Cbor::write(&()), [0x80]);
    assert_eq!(MessagePack::write(&()), [0x90]);
    assert_eq!(Json::write(&((),)), b"[null]");
    assert_eq!(Cbor::write(&((),)), [0x81, 0xf6]);
    assert_eq!(MessagePack::write(&((),)), [0x91, 0xc0]);
}

#[test]
fn null_is_no_arguments() {
    Json::read::<()>(b" null ").unwrap();
    Cbor::read::<()>(&[0xf6]).unwrap();
    MessagePack::read::<()>(&[0xc0]).unwrap();
}

#[test]
fn numbers_json_cannot_say() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for error in [
            encode::<Json, (), _>(&value).unwrap_err(),
            encode::<Json, (), _>(&vec![Some((value,))]).unwrap_err(),
            encode::<Json, (), _>(&[("key", value as f32)]).unwrap_err(),
        ] {
            assert!(error.to_string().contains("has no form in JSON"), "{error}");
        }
    }
}

#[test]
fn numbers_that_are_none_travel_elsewhere() {
    assert!(Cbor::round(&f64::NAN).is_nan());
    assert!(MessagePack::round(&f32::NAN).is_nan());
    assert_eq!(Postcard::round(&f64::INFINITY), f64::INFINITY);
    assert_eq!(Cbor::round(&f32::NEG_INFINITY), f32::NEG_INFINITY);
}

#[test]
fn octets_in_json() {
    assert_eq!(
        Json::write(&BytesRef::from(&b"a\"\\\n\x08\x1f\x7f\x80\xff"[..])),
        "\"a\\\"\\\\\\n\\b\\u001f\u{7f}\u{80}ÿ\"".as_bytes()
    );
    assert_eq!(
        Json::read::<Bytes>("\"\\u00ff\"".as_bytes())
            .unwrap()
            .into_vec(),
        [0xff]
    );
    assert_eq!(Json::read::<Bytes>(b"[1, 2]").unwrap().into_vec(), [1, 2]);
    let error = Json::read::<Bytes>("\"a☃\"".as_bytes()).unwrap_err();
    assert!(error.contains("U+0000 to U+00FF"), "{error}");
}

/// As `serde_bytes` does it, without regard to `is_human_readable`.
#[test]
fn plain_serde_octets_in_json() {
    #[derive(Debug, PartialEq)]
    struct Plain(Vec<u8>);
    impl Serialize for Plain {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(&self.0)
        }
    }
    impl<'de> Deserialize<'de> for Plain {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor;
            impl serde::de::Visitor<'_> for Visitor {
                type Value = Plain;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("octets")
                }
                fn visit_byte_buf<E>(self, octets: Vec<u8>) -> Result<Plain, E> {
                    Ok(Plain(octets))
                }
            }
            deserializer.deserialize_byte_buf(Visitor)
        }
    }
    let every = Plain((0..=255).collect());
    assert_eq!(
        Json::write(&every),
        Json::write(&BytesRef::from(&every.0[..]))
    );
    assert_eq!(Json::round(&(1, every)).1, Plain((0..=255).collect()));
}

#[test]
fn paths_that_are_not_text() {
    use std::os::unix::ffi::OsStrExt;
    let path = Path::new(std::ffi::OsStr::from_bytes(b"/\xff"));
    for error in [
        encode::<Cbor, (), _>(path).unwrap_err(),
        encode::<Json, (), _>(path).unwrap_err(),
        encode::<MessagePack, (), _>(path).unwrap_err(),
        encode::<Postcard, (), _>(path).unwrap_err(),
    ] {
        let error = error.to_string();
        assert!(
            error.contains("UTF-8") && error.contains("`Bytes`"),
            "{error}"
        );
    }
    let octets = encode::<Octets, PathBuf, _>(path).unwrap();
    assert_eq!(decode::<Octets, PathBuf>(&octets).unwrap(), path);
}

#[test]
fn fields_may_be_added_where_they_have_names() {
    #[derive(Serialize)]
    struct New {
        a: u8,
        b: u8,
    }
    #[derive(Deserialize)]
    struct Old {
        a: u8,
    }
    let new = New { a: 1, b: 2 };
    assert_eq!(Cbor::read::<Old>(&Cbor::write(&new)).unwrap().a, 1);
    assert_eq!(Json::read::<Old>(&Json::write(&new)).unwrap().a, 1);
    assert_eq!(
        MessagePack::read::<Old>(&MessagePack::write(&new))
            .unwrap()
            .a,
        1
    );
}

#[test]
fn octet_strings_count() {
    returns::<Octets, _>(&());
    returns::<Octets, _>(&(String::new(), vec![0u8; 300], PathBuf::from("/"), *b"abcd"));
    returns::<Octets, _>(&[vec![1u8], vec![]]);
    returns::<Octets, _>(&String::from("one"));
    let three = written::<Octets, _>(&["a", "b", "c"].map(String::from));
    assert_eq!(
        refusal::<Octets, (String, String)>(&three),
        "octets: wanted 2 strings, got 3"
    );
    assert_eq!(
        refusal::<Octets, String>(&three),
        "octets: wanted 1 string, got 3"
    );
    assert_eq!(
        refusal::<Octets, ()>(&three),
        "octets: wanted 0 strings, got 3"
    );
    assert_eq!(
        refusal::<Octets, [String; 4]>(&three),
        "octets: wanted 4 strings, got 3"
    );
    assert!(refusal::<Octets, String>(b"\x01\xff").contains("not UTF-8"));
    assert_eq!(
        refusal::<Octets, [u8; 2]>(b"\x01a"),
        "octets: wanted a string of 2 bytes, got 1"
    );
    let sent = encode::<Octets, Vec<String>, _>(&["a", "b", "c"][..]).unwrap();
    assert_eq!(sent, three);
    assert_eq!(
        encode::<Octets, (Vec<u8>,), _>(&(SendAs::<Vec<u8>>::into_form("a"),)).unwrap(),
        b"\x01a"
    );
}

#[cfg(feature = "bytes")]
#[test]
fn bytes_of_another_crate() {
    let theirs = bytes::Bytes::from_static(b"ab\xff");
    let ours = Bytes::from(theirs.clone());
    assert_eq!(ours, Bytes::from(b"ab\xff"));
    assert_eq!(bytes::Bytes::from(ours.clone()), theirs);
    let form: BytesRef<'_> = offspring_serialisers::SendAs::<Bytes>::into_form(&theirs);
    assert_eq!(*form, *ours);
    let form: Bytes = offspring_serialisers::SendAs::<Bytes>::into_form(theirs);
    assert_eq!(form, ours);
}
