//! Large data in memory files: in every format, as every part of a call, over every kind of link.

use std::fs::{self, File};
use std::io::pipe;
use std::os::fd::OwnedFd;
use std::sync::Mutex;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::ftruncate;
use offspring::{
    Bytes, Cbor, Descriptor, Error, Events, Json, MessagePack, Octets, Postcard, Rpc, SharedBytes,
    SharedMemory, Template, worker,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::support::*;

/// The type of arguments, results and events.
type Both = (SharedBytes, SharedMemory);

/// Inverts the memory, and sends it as an event of the child and of the call.
fn round(bytes: SharedBytes, memory: SharedMemory, events: &Events<Both>) -> Both {
    invert(&memory);
    events.send((bytes.clone(), memory.clone())).unwrap();
    events.progress((bytes.clone(), memory.clone())).unwrap();
    (bytes, memory)
}

fn invert(memory: &SharedMemory) {
    memory.update(.., |chunk| chunk.iter_mut().for_each(|byte| *byte = !*byte));
}

#[cfg(feature = "concurrent")]
async fn round_later(bytes: SharedBytes, memory: SharedMemory, events: &Events<Both>) -> Both {
    futures_lite::future::yield_now().await;
    round(bytes, memory, events)
}

macro_rules! rounds {
    ($($name:ident = $label:literal, $function:ident, $serialiser:ty;)*) => {$(
        worker!($name: fn(SharedBytes, SharedMemory) -> Both = $function,
            serialiser = $serialiser, events = Both, name = $label);
    )*};
}
rounds! {
    IN_OCTETS = "memory-octets", round, Octets;
    IN_CBOR = "memory-cbor", round, Cbor;
    IN_JSON = "memory-json", round, Json;
    IN_MESSAGEPACK = "memory-messagepack", round, MessagePack;
    IN_POSTCARD = "memory-postcard", round, Postcard;
}
#[cfg(feature = "concurrent")]
rounds! {
    OCTETS_AT_ONCE = "memory-octets-at-once", round_later, Octets;
    CBOR_AT_ONCE = "memory-cbor-at-once", round_later, Cbor;
    JSON_AT_ONCE = "memory-json-at-once", round_later, Json;
    MESSAGEPACK_AT_ONCE = "memory-messagepack-at-once", round_later, MessagePack;
    POSTCARD_AT_ONCE = "memory-postcard-at-once", round_later, Postcard;
}

/// Runs the test for each worker.
macro_rules! each {
    (|$worker:ident| $body:expr) => {
        each_of!(
            $worker,
            $body,
            IN_OCTETS,
            IN_CBOR,
            IN_JSON,
            IN_MESSAGEPACK,
            IN_POSTCARD
        );
        #[cfg(feature = "concurrent")]
        each_of!(
            $worker,
            $body,
            OCTETS_AT_ONCE,
            CBOR_AT_ONCE,
            JSON_AT_ONCE,
            MESSAGEPACK_AT_ONCE,
            POSTCARD_AT_ONCE
        );
    };
}

/// The name of a worker.
fn name_of(worker: &impl std::fmt::Debug) -> String {
    let text = format!("{worker:?}");
    text["Worker(".len()..]
        .split(' ')
        .next()
        .unwrap()
        .to_owned()
}

pub(crate) fn serve(name: &str) -> ! {
    each!(|worker| if name_of(worker) == name {
        worker.serve()
    });
    panic!("no worker is named {name}")
}

fn numbers(count: usize) -> Vec<u8> {
    (0..count).map(|n| (n * 7 + n / 251) as u8).collect()
}

fn inverted(octets: &[u8]) -> Vec<u8> {
    octets.iter().map(|byte| !byte).collect()
}

/// The mappings of memory files in this process, by inode number.
fn mapped() -> Vec<u64> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let files = maps.lines().filter(|line| line.contains("/memfd:"));
    files
        .map(|line| line.split_whitespace().nth(4).unwrap().parse().unwrap())
        .collect()
}

/// Returns whether nothing is mapped that was not mapped before.
fn no_more_mapped(before: &[u64]) -> bool {
    mapped().iter().all(|inode| before.contains(inode))
}

/// The memory of a link is unmapped by the last thread that used it.
fn until_mapped(before: &[u64]) {
    until(|| no_more_mapped(before));
}

#[test]
fn there_and_back_in_every_format() {
    let _guard = guard();
    let before = mapped();
    for length in [0, 1, 5000, 1 << 20] {
        let octets = numbers(length);
        let bytes = SharedBytes::copy_from_slice(&octets).unwrap();
        let memory = SharedMemory::copy_from_slice(&octets).unwrap();
        each!(|worker| {
            let name = name_of(worker);
            let (rpc, events) = worker.builder().spawn_with_events().unwrap();
            let mut events = events.into_iter();
            memory.write(0, &octets);
            let mut call = rpc.call(&bytes, &memory);
            let of_call = call.events().into_iter().next().unwrap().unwrap();
            let result = call.wait().unwrap();
            let of_child = events.next().unwrap().unwrap();
            for (bytes, came) in [of_call, result, of_child] {
                assert_eq!(*bytes, octets, "{name}");
                assert!(came.is_same(&memory), "{name}");
            }
            assert_eq!(memory.to_vec(), inverted(&octets), "{name}");
            rpc.join().wait().unwrap();
        });
    }
    until_mapped(&before);
}

/// Over a link that cannot carry file descriptors, the bytes are sent and a copy arrives.
#[test]
fn over_a_command_as_octets() {
    let _guard = guard();
    let octets = numbers(5000);
    let bytes = SharedBytes::copy_from_slice(&octets).unwrap();
    let memory = SharedMemory::copy_from_slice(&octets).unwrap();
    each!(|worker| {
        let name = name_of(worker);
        let builder = worker.command(serving(&name));
        let (rpc, events) = builder.spawn_with_events().unwrap();
        let mut events = events.into_iter();
        let mut call = rpc.call(&bytes, &memory);
        let of_call = call.events().into_iter().next().unwrap().unwrap();
        let result = call.wait().unwrap();
        let of_child = events.next().unwrap().unwrap();
        for (bytes, came) in [of_call, result, of_child] {
            assert_eq!(*bytes, octets, "{name}");
            assert!(!came.is_same(&memory), "{name}");
            assert_eq!(came.to_vec(), inverted(&octets), "{name}");
        }
        rpc.join().wait().unwrap();
    });
    assert_eq!(memory.to_vec(), octets, "it was not written to");
}

/// Serialises as one value and deserialises as another.
#[derive(Debug)]
enum Told<M> {
    Truth(M),
    Lie(Descriptor),
}

impl<M: Serialize> Serialize for Told<M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Truth(memory) => memory.serialize(serializer),
            Self::Lie(file) => (Some(file), Bytes::default()).serialize(serializer),
        }
    }
}

impl<'de, M: Deserialize<'de>> Deserialize<'de> for Told<M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        M::deserialize(deserializer).map(Self::Truth)
    }
}

impl<M> Told<M> {
    fn truth(self) -> M {
        match self {
            Self::Truth(memory) => memory,
            Self::Lie(_) => unreachable!("it was read"),
        }
    }
}

/// Deep inside another value.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Data {
    name: String,
    bytes: Vec<Told<SharedBytes>>,
    memory: Option<Box<Told<SharedMemory>>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Task {
    Invert,
    /// Returns which memory files are mapped.
    Mapped,
    /// Returns where the memory is mapped.
    Place,
    /// Returns how many file descriptors are open.
    Descriptors,
    Keep,
    LetGo,
    /// Makes this many bytes of both kinds.
    Make(usize),
    /// Returns the value, and sends it as an event.
    Lie(Wrong),
    Limit(u64),
    Gate(String),
    Die,
}

/// Files that are no memory of the crate, or lack what it needs.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Wrong {
    Unsealed,
    NotAgainstWriting,
    NotAgainstShrinking,
    NotAgainstGrowing,
    Endless,
    RegularFile,
    Pipe,
    Socket,
}

const WRONG: [Wrong; 8] = [
    Wrong::Unsealed,
    Wrong::NotAgainstWriting,
    Wrong::NotAgainstShrinking,
    Wrong::NotAgainstGrowing,
    Wrong::Endless,
    Wrong::RegularFile,
    Wrong::Pipe,
    Wrong::Socket,
];

fn memory_file(size: i64, seals: SealFlag) -> OwnedFd {
    let file = memfd_create("test", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).unwrap();
    ftruncate(&file, size).unwrap();
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals)).unwrap();
    file
}

impl Wrong {
    /// One kind for `SharedBytes`, another for `SharedMemory`.
    fn make(self, sealed: bool) -> Descriptor {
        let (steady, write) = (
            SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW,
            SealFlag::F_SEAL_WRITE,
        );
        let seals = if sealed { steady | write } else { steady };
        let file = match self {
            Self::Unsealed => memory_file(9000, SealFlag::empty()),
            // The other kind has a seal that this one must not have.
            Self::NotAgainstWriting => memory_file(9000, seals ^ write),
            Self::NotAgainstShrinking => memory_file(9000, seals - SealFlag::F_SEAL_SHRINK),
            Self::NotAgainstGrowing => memory_file(9000, seals - SealFlag::F_SEAL_GROW),
            Self::Endless => memory_file(i64::MAX - 4095, seals),
            Self::RegularFile => File::open("/proc/self/exe").unwrap().into(),
            Self::Pipe => pipe().unwrap().0.into(),
            Self::Socket => std::os::unix::net::UnixStream::pair().unwrap().0.into(),
        };
        Descriptor::new(file)
    }

    fn data(self) -> [Data; 2] {
        let bytes = Data {
            bytes: vec![Told::Lie(self.make(true))],
            ..Data::default()
        };
        let memory = Data {
            memory: Some(Box::new(Told::Lie(self.make(false)))),
            ..Data::default()
        };
        [bytes, memory]
    }
}

static KEPT: Mutex<Vec<Data>> = Mutex::new(Vec::new());

fn act(task: Task, mut data: Data, events: &Events<Data>) -> Data {
    match task {
        Task::Invert => {
            if let Some(Told::Truth(memory)) = data.memory.as_deref() {
                invert(memory);
            }
            return data;
        }
        Task::Mapped => data.name = format!("{:?}", mapped()),
        Task::Place => {
            let Some(Told::Truth(memory)) = data.memory.as_deref() else {
                panic!("none came")
            };
            // SAFETY: the bytes are never read.
            data.name = format!("{:p}", unsafe { memory.as_slice() });
        }
        Task::Descriptors => data.name = descriptors().len().to_string(),
        Task::Keep => {
            KEPT.lock().unwrap().push(data);
            return Data::default();
        }
        Task::LetGo => KEPT.lock().unwrap().clear(),
        Task::Make(length) => {
            let octets = numbers(length);
            let memory = SharedMemory::copy_from_slice(&octets).unwrap();
            data.memory = Some(Box::new(Told::Truth(memory)));
            data.bytes = vec![Told::Truth(SharedBytes::try_from(octets).unwrap())];
            return data;
        }
        Task::Lie(wrong) => {
            let [bytes, memory] = wrong.data();
            for data in wrong.data() {
                events.send(data).unwrap();
            }
            return if data.name == "bytes" { bytes } else { memory };
        }
        Task::Limit(soft) => {
            let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
            setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
        }
        Task::Gate(gate) => wait_here_at(gate),
        Task::Die => std::process::abort(),
    }
    Data {
        name: data.name,
        ..Data::default()
    }
}

macro_rules! acts {
    ($($name:ident $serialiser:ty;)*) => {$(
        worker!($name: fn(Task, Data) -> Data = act, serialiser = $serialiser, events = Data);
    )*};
}
acts! {
    ACT_CBOR Cbor;
    ACT_JSON Json;
    ACT_MESSAGEPACK MessagePack;
    ACT Postcard;
}

#[cfg(feature = "concurrent")]
async fn act_later(task: Task, data: Data, events: &Events<Data>) -> Data {
    act(task, data, events)
}
#[cfg(feature = "concurrent")]
worker!(ACT_AT_ONCE: fn(Task, Data) -> Data = act_later, serialiser = Postcard, events = Data);

macro_rules! each_act {
    (|$worker:ident| $body:expr) => {
        each_of!($worker, $body, ACT_CBOR, ACT_JSON, ACT_MESSAGEPACK, ACT);
        #[cfg(feature = "concurrent")]
        each_of!($worker, $body, ACT_AT_ONCE);
    };
}

type Act = Rpc<fn(Task, Data) -> Data, Postcard, Data>;

fn with(memory: &SharedMemory) -> Data {
    Data {
        memory: Some(Box::new(Told::Truth(memory.clone()))),
        ..Data::default()
    }
}

fn memory_of(data: Data) -> SharedMemory {
    data.memory.unwrap().truth()
}

/// Returns the report of the child.
fn asked(rpc: &Act, task: Task) -> String {
    rpc.call(task, Data::default()).wait().unwrap().name
}

/// The memory files that the child has mapped since its start.
fn mapped_there(rpc: &Act, at_first: &str) -> usize {
    let count = |text: &str| text.split(',').count();
    count(&asked(rpc, Task::Mapped)) - count(at_first)
}

#[test]
fn as_parts_of_something_else() {
    let _guard = guard();
    let octets = numbers(10_000);
    each_act!(|worker| {
        let rpc = worker.spawn().unwrap();
        let memory = SharedMemory::copy_from_slice(&octets).unwrap();
        let bytes = (0..300).map(|n| SharedBytes::copy_from_slice(&octets[..n]).unwrap());
        let data = Data {
            name: "name".into(),
            bytes: bytes.map(Told::Truth).collect(),
            memory: Some(Box::new(Told::Truth(memory.clone()))),
        };
        let back = rpc.call(Task::Invert, data).wait().unwrap();
        assert_eq!(back.name, "name");
        assert_eq!(back.bytes.len(), 300);
        for (n, bytes) in back.bytes.into_iter().enumerate() {
            assert_eq!(*bytes.truth(), octets[..n]);
        }
        assert!(back.memory.unwrap().truth().is_same(&memory));
        assert_eq!(memory.to_vec(), inverted(&octets));
        // The memory that the child has made.
        let made = rpc.call(Task::Make(5000), Data::default()).wait().unwrap();
        assert_eq!(memory_of(made).to_vec(), octets[..5000]);
        rpc.join().wait().unwrap();
    });
}

/// The pages stay mapped although a worker drops its arguments after each call.
#[test]
fn what_comes_again_is_still_mapped() {
    let _guard = guard();
    let rpc = ACT.spawn().unwrap();
    let at_first = asked(&rpc, Task::Mapped);
    let memory = SharedMemory::new(1 << 20).unwrap();
    let place = || rpc.call(Task::Place, with(&memory)).wait().unwrap().name;
    let first = place();
    let there = asked(&rpc, Task::Mapped);
    let open = asked(&rpc, Task::Descriptors);
    assert_eq!(mapped_there(&rpc, &at_first), 1, "although it is not used");
    for _ in 0..rounds(20) {
        assert_eq!(place(), first);
        assert_eq!(asked(&rpc, Task::Mapped), there);
    }
    assert_eq!(asked(&rpc, Task::Descriptors), open);
    // A result is not mapped anew either.
    let here = mapped();
    let back = rpc.call(Task::Invert, with(&memory)).wait().unwrap();
    assert!(no_more_mapped(&here));
    assert!(memory_of(back).is_same(&memory));
}

#[test]
fn a_worker_keeps_four_and_no_more() {
    let _guard = guard();
    let rpc = ACT.spawn().unwrap();
    let at_first = asked(&rpc, Task::Mapped);
    let open: usize = asked(&rpc, Task::Descriptors).parse().unwrap();
    let memories: Vec<_> = (0..6).map(|_| SharedMemory::new(10_000).unwrap()).collect();
    let keeps_four = || {
        assert_eq!(mapped_there(&rpc, &at_first), 4);
        assert_eq!(asked(&rpc, Task::Descriptors), (open + 4).to_string());
    };
    for memory in &memories {
        rpc.call(Task::Invert, with(memory)).wait().unwrap();
    }
    keeps_four();
    // Memory that is never sent again is unmapped as well, and so is memory that was given away.
    drop(memories);
    for _ in 0..6 {
        let given = Data {
            memory: Some(Box::new(Told::Truth(SharedMemory::new(10_000).unwrap()))),
            ..Data::default()
        };
        rpc.call(Task::Place, given).wait().unwrap();
    }
    keeps_four();
}

#[test]
fn nothing_stays_mapped_or_open() {
    let _guard = guard();
    let before = mapped();
    let rpc = ACT.spawn().unwrap();
    let (there, open) = (asked(&rpc, Task::Mapped), asked(&rpc, Task::Descriptors));
    let (here, open_here) = (mapped(), descriptors().len());
    for _ in 0..rounds(50) {
        let octets = SharedBytes::copy_from_slice(&[7; 5000]).unwrap();
        let data = Data {
            bytes: vec![Told::Truth(octets.clone()), Told::Truth(octets)],
            ..Data::default()
        };
        rpc.call(Task::Invert, data).wait().unwrap();
        drop(rpc.call(Task::Make(5000), Data::default()).wait().unwrap());
        // A result that is not decoded.
        rpc.call(Task::Make(5000), Data::default())
            .detach()
            .unwrap();
    }
    assert_eq!(asked(&rpc, Task::Mapped), there);
    assert_eq!(asked(&rpc, Task::Descriptors), open);
    assert!(no_more_mapped(&here));
    assert_eq!(descriptors().len(), open_here);
    rpc.join().wait().unwrap();
    until_mapped(&before);
}

/// A file that is no memory, or could change while it is read, fails that call, at either end.
#[test]
fn lies_are_found_out() {
    let _guard = guard();
    let before = mapped();
    each_act!(|worker| {
        let (rpc, events) = worker.builder().spawn_with_events().unwrap();
        let mut events = events.into_iter();
        let well = || {
            let memory = SharedMemory::copy_from_slice(b"well").unwrap();
            let back = rpc.call(Task::Invert, with(&memory)).wait().unwrap();
            assert_eq!(memory_of(back).to_vec(), inverted(b"well"));
        };
        for wrong in WRONG {
            for data in wrong.data() {
                let error = rpc.call(Task::Invert, data).wait().unwrap_err();
                assert!(error.is_decode(), "{wrong:?}: {error}");
                well();
            }
            for name in ["bytes", "memory"] {
                let data = Data {
                    name: name.into(),
                    ..Data::default()
                };
                let error = rpc.call(Task::Lie(wrong), data).wait().unwrap_err();
                assert!(error.is_decode(), "{wrong:?}: {error}");
                well();
                for _ in 0..2 {
                    let error = events.next().unwrap().unwrap_err();
                    assert!(error.is_decode(), "{wrong:?}: {error}");
                }
            }
        }
        rpc.join().wait().unwrap();
    });
    until_mapped(&before);
}

#[test]
fn one_thing_for_many() {
    let _guard = guard();
    let octets = numbers(1 << 20);
    let before = mapped();
    let bytes = SharedBytes::copy_from_slice(&octets).unwrap();
    let inode = mapped()
        .into_iter()
        .find(|inode| !before.contains(inode))
        .unwrap();
    let data = || Data {
        bytes: vec![Told::Truth(bytes.clone())],
        ..Data::default()
    };
    let children: Vec<_> = (0..8).map(|_| ACT.spawn().unwrap()).collect();
    let kept: Vec<_> = children
        .iter()
        .map(|rpc| rpc.call(Task::Keep, data()))
        .collect();
    answers(kept);
    for rpc in &children {
        let there = asked(rpc, Task::Mapped);
        assert!(
            there.contains(&inode.to_string()),
            "{there} without {inode}"
        );
    }
    // The maker drops it, and the others still have it. Here it is sent back.
    let back = children[0].call(Task::Invert, data()).wait().unwrap();
    drop(bytes);
    assert_eq!(*back.bytes.into_iter().next().unwrap().truth(), octets);
    for rpc in children {
        asked(&rpc, Task::LetGo);
        assert!(!asked(&rpc, Task::Mapped).contains(&inode.to_string()));
        rpc.join().wait().unwrap();
    }
    until_mapped(&before);
}

#[test]
fn a_child_that_dies_with_it_takes_nothing_along() {
    let _guard = guard();
    let before = mapped();
    let memory = SharedMemory::copy_from_slice(&numbers(100_000)).unwrap();
    for _ in 0..rounds(3).min(10) {
        let rpc = ACT.builder().quiet().begin();
        rpc.call(Task::Keep, with(&memory)).wait().unwrap();
        let made = rpc.call(Task::Make(3000), Data::default());
        let died = rpc.call(Task::Die, with(&memory));
        assert!(died.wait().unwrap_err().is_child_dead());
        // The memory that the child made outlives it.
        let made = made.wait().unwrap();
        assert_eq!(memory_of(made).to_vec(), numbers(3000));
        rpc.join().wait().unwrap();
    }
    let rpc = ACT.spawn().unwrap();
    rpc.call(Task::Invert, with(&memory)).wait().unwrap();
    assert_eq!(memory.to_vec(), inverted(&numbers(100_000)));
    rpc.join().wait().unwrap();
    drop(memory);
    until_mapped(&before);
}

/// The child is killed while the memory is on its way.
#[test]
fn a_child_that_is_killed_before_it_looks() {
    let _guard = guard();
    let before = mapped();
    let gate = Gate::new();
    let rpc = ACT.builder().quiet().begin();
    let first = rpc.call(Task::Gate(gate.name()), Data::default());
    let _open = gate.reached();
    let memory = SharedMemory::new(100_000).unwrap();
    let calls: Vec<_> = (0..5)
        .map(|_| rpc.call(Task::Invert, with(&memory)))
        .collect();
    rpc.kill();
    assert!(first.wait().unwrap_err().is_child_dead());
    for call in calls {
        assert!(call.wait().unwrap_err().is_child_dead());
    }
    rpc.join().wait().unwrap();
    assert_eq!(memory.to_vec(), [0; 100_000]);
    drop(memory);
    until_mapped(&before);
}

#[test]
fn without_descriptors_it_is_the_call_that_fails() {
    let _guard = guard();
    let rpc = ACT.spawn().unwrap();
    let memory = SharedMemory::new(9).unwrap();
    rpc.call(Task::Limit(3), Data::default()).wait().unwrap();
    let error = rpc.call(Task::Invert, with(&memory)).wait().unwrap_err();
    assert!(error.is_decode(), "{error}");
    rpc.call(Task::Limit(100), Data::default()).wait().unwrap();
    rpc.call(Task::Invert, with(&memory)).wait().unwrap();
    assert_eq!(memory.to_vec(), [255; 9]);
}

#[test]
fn without_descriptors_here_it_is_the_call_that_fails() {
    alone(|| {
        let _guard = guard();
        let rpc = ACT.spawn().unwrap();
        let memory = SharedMemory::new(9).unwrap();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        rpc.ready().wait().unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, 3, hard).unwrap();
        assert!(SharedMemory::new(9).is_err());
        assert!(SharedBytes::copy_from_slice(b"a").is_err());
        let error = rpc.call(Task::Invert, with(&memory)).wait().unwrap_err();
        assert!(error.is_encode(), "{error}");
        setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
        rpc.call(Task::Invert, with(&memory)).wait().unwrap();
        rpc.join().wait().unwrap();
    });
}

/// A peer that writes meanwhile changes the bytes, and nothing else.
#[test]
fn both_may_write_at_once() {
    let _guard = guard();
    let rpc = ACT.spawn().unwrap();
    let memory = SharedMemory::new(1 << 20).unwrap();
    memory.fill(0x55);
    let call = |_| rpc.call(Task::Invert, with(&memory));
    let calls: Vec<_> = (0..10).map(call).collect();
    for round in 0..100 {
        memory.update(round..round + 70_000, |chunk| chunk.fill(0x55));
        memory.scan(.., |chunk| {
            assert!(chunk.iter().all(|byte| [0x55, 0xaa].contains(byte)));
        });
    }
    answers(calls);
}

worker!(PLACES: fn(SharedBytes, SharedMemory) -> (u64, u64) = places);

fn places(sealed: SharedBytes, memory: SharedMemory) -> (u64, u64) {
    // SAFETY: only the address is used.
    let shared = unsafe { memory.as_slice() };
    (sealed.as_ptr() as u64, shared.as_ptr() as u64)
}

/// Numbers can be read in place.
#[test]
fn lie_at_the_start_of_a_page() {
    let _guard = guard();
    for length in [1, 5000, 1 << 20] {
        let sealed = SharedBytes::copy_from_slice(&numbers(length)).unwrap();
        let memory = SharedMemory::new(length).unwrap();
        let (one, two) = places(sealed.clone(), memory.clone());
        let rpc = PLACES.spawn().unwrap();
        let (three, four) = rpc.call(&sealed, &memory).wait().unwrap();
        for place in [one, two, three, four] {
            assert_eq!(place % 4096, 0, "{length}");
        }
    }
}

/// The errors are typed and travel between threads like all others.
#[test]
fn are_for_all_threads() {
    fn travels<T: Send + Sync + 'static>() {}
    travels::<(SharedBytes, SharedMemory, Error)>();
}

/// Limits the length of files, in this process and its children.
fn limit_files(length: u64) {
    let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, length, hard).unwrap();
}

/// Calls a child of every kind. If the memory of a link is too long, the link has none.
fn children_work() {
    let rpc = WORK.spawn().unwrap();
    let echo = || echo("x");
    assert_eq!(rpc.call(echo()).wait().unwrap(), Ok("x".into()));
    rpc.join().wait().unwrap();
    let pool = WORK.pool().max(2).begin();
    let calls: Vec<_> = (0..20).map(|_| pool.call(echo())).collect();
    for call in calls {
        assert_eq!(call.wait().unwrap(), Ok("x".into()));
    }
    pool.join().wait().unwrap();
}

fn from_template() -> Result<(), Error> {
    let template = Template::builder().start()?;
    let rpc = WORK.template(&template).spawn()?;
    let echo = echo("x");
    assert_eq!(rpc.call(echo).wait()?, Ok("x".into()));
    rpc.join().wait().map(drop)
}

#[track_caller]
fn too_long<T: std::fmt::Debug>(made: std::io::Result<T>) {
    let error = made.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::FileTooLarge);
    let text = error.to_string();
    assert!(
        text.contains("ulimit -f") && text.contains("Limits::file_size"),
        "{text}"
    );
}

/// X67: no process is killed because a memory file would be too long.
#[test]
fn where_files_may_not_be_long() {
    alone(|| {
        let _guard = guard();
        for (length, has_template) in [(1 << 20, true), (300_000, true), (1000, false), (0, false)]
        {
            limit_files(length);
            children_work();
            let error = from_template().err().map(|error| error.to_string());
            assert_eq!(error.is_none(), has_template, "{error:?}");
            assert!(error.is_none_or(|error| error.contains("ulimit -f")));
            let long = length as usize + 1;
            too_long(SharedBytes::copy_from_slice(&numbers(long)));
            too_long(SharedBytes::build(long, |_| ()));
            too_long(SharedMemory::new(long));
            too_long(SharedMemory::copy_from_slice(&numbers(long)));
            let ends = SharedBytes::copy_from_slice(&numbers(long - 1));
            assert_eq!(ends.unwrap().len(), long - 1);
        }
    });
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Long {
    Children,
    Template,
    Bytes(usize),
    Panic(usize),
}

fn make_long(task: Long) -> Result<SharedBytes, String> {
    match task {
        Long::Children => children_work(),
        Long::Template => from_template().map_err(|error| error.to_string())?,
        Long::Bytes(length) => {
            return SharedBytes::copy_from_slice(&numbers(length))
                .map_err(|error| error.to_string());
        }
        Long::Panic(length) => return Ok(SharedBytes::copy_from_slice(&numbers(length)).unwrap()),
    }
    SharedBytes::copy_from_slice(b"").map_err(|error| error.to_string())
}

worker!(MAKE_LONG: fn(Long) -> Result<SharedBytes, String> = make_long, serialiser = Cbor);

/// X67: the same in a worker whose files are limited.
#[test]
fn in_a_worker_that_may_not_write_long_files() {
    let _guard = guard();
    let template = Template::builder().start().unwrap();
    for builder in [MAKE_LONG.builder(), MAKE_LONG.template(&template)] {
        let limits = offspring::Limits::new().file_size(5000);
        let rpc = builder.limits(limits).quiet().begin();
        let call = |task| rpc.call(task).wait();
        assert_eq!(call(Long::Bytes(5000)).unwrap().unwrap().len(), 5000);
        let text = call(Long::Bytes(5001)).unwrap().unwrap_err();
        assert!(text.contains("Limits::file_size"), "{text}");
        assert!(call(Long::Children).unwrap().is_ok());
        let text = call(Long::Template).unwrap().unwrap_err();
        assert!(text.contains("Limits::file_size"), "{text}");
        let error = call(Long::Panic(5001)).unwrap_err();
        assert!(error.to_string().contains("Limits::file_size"), "{error}");
        rpc.join().wait().unwrap();
    }
}
