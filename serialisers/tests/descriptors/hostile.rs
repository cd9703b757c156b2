//! Hostile bytes, and a process that has too many open files.

use crate::*;
use std::sync::atomic::{AtomicBool, Ordering};

fn attempt<S: Serialiser<T, ()>, T>(octets: &[u8], came: usize) -> Result<T, Error> {
    let descriptors = (0..came).map(|_| null().into()).collect();
    S::decode(&mut Input::with_descriptors(octets, descriptors))
}

type Two = (Descriptor, Descriptor);

#[test]
fn indexes_that_are_wrong() {
    let _guard = guard();
    let wrong = "the value has a descriptor of index";
    for (error, expected) in [
        (refusal(attempt::<Json, Two>(b"[0,2]", 2)), wrong),
        (refusal(attempt::<Cbor, Two>(b"\x82\x00\x02", 2)), wrong),
        (
            refusal(attempt::<MessagePack, Two>(b"\x92\x00\x02", 2)),
            wrong,
        ),
        (refusal(attempt::<Postcard, Two>(b"\x00\x02", 2)), wrong),
        (refusal(attempt::<Json, Two>(b"[4294967295,0]", 2)), wrong),
        (refusal(attempt::<Json, Two>(b"[1,1]", 2)), "1 twice"),
        (refusal(attempt::<Cbor, Two>(b"\x82\x01\x01", 2)), "1 twice"),
        (
            refusal(attempt::<MessagePack, Two>(b"\x92\x01\x01", 2)),
            "1 twice",
        ),
        (refusal(attempt::<Postcard, Two>(b"\x01\x01", 2)), "1 twice"),
        (refusal(attempt::<Json, Two>(b"[-1,0]", 2)), "json: "),
        (
            refusal(attempt::<Json, Two>(b"[4294967296,0]", 2)),
            "json: ",
        ),
        (refusal(attempt::<Json, Two>(b"[null,0]", 2)), "json: "),
        (refusal(attempt::<Json, Two>(b"[\"0\",0]", 2)), "json: "),
        (refusal(attempt::<Cbor, Two>(b"\x82\x20\x00", 2)), "cbor: "),
        (
            refusal(attempt::<Json, (Arrived,)>(b"[[0,\"octets\"]]", 1)),
            "both",
        ),
        (
            refusal(attempt::<Json, (Arrived,)>(b"[[1,\"\"]]", 1)),
            wrong,
        ),
    ] {
        assert!(error.contains(expected), "{error}");
    }
}

/// Whatever the bytes are, each descriptor that arrived is taken once or closed.
#[test]
fn octets_of_all_kinds() {
    let _guard = guard();
    type Value = (Descriptor, Option<Descriptor>, Vec<Descriptor>, Arrived);
    for length in 0..7 {
        for number in 0..3usize.pow(length) {
            let digit = |at| [0x00, 0x01, 0x92][number / 3usize.pow(at) % 3];
            let octets: Vec<u8> = (0..length).map(digit).collect();
            let _ = attempt::<Postcard, Value>(&octets, 3);
            let _ = attempt::<MessagePack, Value>(&octets, 3);
        }
    }
}

/// While one thread has its descriptors read and written, another knows no way to them.
#[test]
fn threads_do_not_mix_up_theirs() {
    let _guard = guard();
    let stop = AtomicBool::new(false);
    let round = |name: &'static str| {
        for i in 0..500 {
            let text = format!("{name}{i}");
            let value = (Descriptor::new(said(&text)), &text);
            type Value = (Descriptor<PipeReader>, String);
            let sent = write::<Cbor, Value, _>(&value).unwrap();
            drop(value);
            let (reader, text) = sent.read::<Cbor, Value>().unwrap();
            assert_eq!(heard(reader.into_inner()), text);
        }
    };
    let guess = || {
        let mut number = 0u64;
        while !stop.load(Ordering::Relaxed) {
            let octets = number.to_string();
            let error = serde_json::from_str::<Descriptor>(&octets).unwrap_err();
            assert!(error.to_string().contains("carries no descriptors"));
            number = number.wrapping_mul(6364136223846793005).wrapping_add(1);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(guess);
        let rounds = ["a", "b"].map(|name| scope.spawn(move || round(name)));
        let outcomes = rounds.map(|round| round.join());
        stop.store(true, Ordering::Relaxed);
        outcomes.into_iter().for_each(Result::unwrap);
    });
}

/// Asks for a descriptor, and does not take it.
#[derive(Debug)]
struct Thief<const PANICS: bool>;

impl<'de, const PANICS: bool> Deserialize<'de> for Thief<PANICS> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<const PANICS: bool>;
        impl<'de, const PANICS: bool> serde::de::Visitor<'de> for Visitor<PANICS> {
            type Value = Thief<PANICS>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a descriptor")
            }

            fn visit_newtype_struct<D: serde::Deserializer<'de>>(
                self,
                content: D,
            ) -> Result<Self::Value, D::Error> {
                assert!(!PANICS, "as it should");
                assert!(u64::deserialize(content).is_err());
                Ok(Thief)
            }
        }
        deserializer.deserialize_newtype_struct("offspring::Descriptor", Visitor)
    }
}

#[test]
fn what_is_handed_over_and_not_taken_is_closed() {
    let _guard = guard();
    let left = || {
        let error = serde_json::from_str::<Descriptor>("0").unwrap_err();
        assert!(error.to_string().contains("carries no descriptors"));
    };
    attempt::<Json, Thief<false>>(b"0", 1).unwrap();
    left();
    let panics = || attempt::<Json, Thief<true>>(b"0", 1);
    assert!(std::panic::catch_unwind(panics).is_err());
    left();
    // The next gets its own.
    let two = attempt::<Json, (Thief<false>, Descriptor)>(b"[0,1]", 2);
    left();
    drop(two.unwrap());
}

/// In a separate process, because the limit affects all threads.
#[test]
fn too_many_open() {
    let _guard = guard();
    const CHILD: &str = "OFFSPRING_SERIALISERS_TOO_MANY_OPEN";
    if std::env::var_os(CHILD).is_some() {
        return fill_up();
    }
    let program = std::env::current_exe().unwrap();
    let script =
        "ulimit -n 64; exec \"$0\" --exact descriptors::hostile::too_many_open --nocapture";
    let output = std::process::Command::new("/bin/sh")
        .args(["-c", script])
        .arg(program)
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("it was full"), "{output:?}");
}

fn fill_up() {
    let value = vec![Descriptor::new(null())];
    let mut full = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        full.push(file);
    }
    let errors = [
        refusal(write::<Cbor, (), _>(&value)),
        refusal(write::<Json, (), _>(&value)),
        refusal(write::<MessagePack, (), _>(&value)),
        refusal(write::<Postcard, (), _>(&value)),
        refusal(write::<Octets, (), _>(&value)),
    ];
    drop(full.pop());
    // There is room for one of two.
    let two = (&value[0], &value[0]);
    refusal(write::<Cbor, (), _>(&two));
    drop(File::open("/dev/null").expect("a descriptor is free again"));
    drop(full);
    for error in errors {
        assert!(
            error.contains("a descriptor cannot be duplicated: ") && error.contains("os error 24"),
            "{error}"
        );
    }
    println!("it was full");
}
