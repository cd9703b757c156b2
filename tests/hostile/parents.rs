//! Parents that lie to a child of this crate, over the socket and over rings: it neither panics nor hangs, keeps within its
//! memory, and answers only what it was asked. Some write anything into the memory of the rings; of these no answer is checked.
//!
//! A child ends within ten seconds of the end of its link, which is tenfold slack over a second. While the link lasts it may
//! wait as long as it likes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::ftruncate;
use offspring::format::{Output, Serialiser};
use offspring::{Cbor, Descriptor, SharedBytes, SharedMemory, service, worker};

use crate::lies::*;
use crate::ring::{LENGTH, Ring};
use crate::support::*;

type Parts = (
    Descriptor,
    Option<Descriptor>,
    SharedBytes,
    Vec<SharedMemory>,
    String,
);

worker!(AT_ONCE: fn(String) -> String = async |text: String| text, name = "liars-at-once");
worker!(PARTS: fn(Parts) -> Parts = |parts: Parts| parts, name = "liars-parts", serialiser = Cbor);
worker!(NOTES: dyn Notes = Kept::default, name = "liars-notes");

service! {
    trait Notes => NotesClient {
        fn add(&mut self, text: String, times: String);
        fn all(&self) -> Vec<String>;
    }
}

#[derive(Default)]
struct Kept(Vec<String>);

impl Notes for Kept {
    fn add(&mut self, text: String, times: String) {
        self.0.extend(times.chars().take(3).map(|_| text.clone()));
        self.0.truncate(100);
    }
    fn all(&self) -> Vec<String> {
        self.0.clone()
    }
}

pub(crate) fn serve(worker: &str) -> ! {
    match worker {
        "liars-at-once" => AT_ONCE.serve(),
        "liars-parts" => PARTS.serve(),
        "liars-notes" => NOTES.serve(),
        other => unreachable!("{other}"),
    }
}

/// A call of `PARTS`, and its descriptors.
struct Part {
    call: Vec<u8>,
    table: Vec<OwnedFd>,
}

fn part() -> Part {
    let null = || Descriptor::from(OwnedFd::from(File::open("/dev/null").unwrap()));
    let bytes = SharedBytes::copy_from_slice(b"shared").unwrap();
    let memory = SharedMemory::copy_from_slice(b"shared").unwrap();
    let parts = (null(), Some(null()), bytes, vec![memory], "so".to_owned());
    let (mut call, mut table) = (Vec::new(), Vec::new());
    let mut output = Output::with_descriptors(&mut call, &mut table);
    <Cbor as Serialiser<(Parts,)>>::encode(&(parts,), &mut output).unwrap();
    Part { call, table }
}

/// A kind of child: its worker, the serialiser, the megabytes of address space that it may have.
struct Kind {
    worker: &'static str,
    serialiser: &'static str,
    memory: u64,
    /// A parent that speaks the plain form.
    is_plain: bool,
}

const KINDS: &[Kind] = &[
    Kind {
        worker: "liars",
        serialiser: "octets",
        memory: 200,
        is_plain: false,
    },
    Kind {
        worker: "liars",
        serialiser: "octets",
        memory: 200,
        is_plain: true,
    },
    Kind {
        // A thread of the C library takes much address space, and little memory.
        worker: "liars-at-once",
        serialiser: "octets",
        memory: 600,
        is_plain: false,
    },
    Kind {
        worker: "liars-parts",
        serialiser: "cbor",
        memory: 200,
        is_plain: false,
    },
    Kind {
        worker: "liars-notes",
        serialiser: "octets",
        memory: 200,
        is_plain: false,
    },
];

struct Liar<'r> {
    kind: &'static Kind,
    part: &'r Part,
    random: &'r mut Random,
    socket: UnixStream,
    child: Child,
    /// The output of the child.
    output: File,
    /// The memory that was offered, before the child has said whether it uses it.
    offered: Option<Ring>,
    ring: Option<Ring>,
    buffer: Vec<u8>,
    sent: BTreeMap<u32, Vec<u8>>,
    seen: Vec<(u32, Vec<u8>)>,
    scribbles: bool,
}

/// A memory file as a parent makes it, or a wrong one.
fn memory(length: usize, is_sealed: bool) -> OwnedFd {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let file = memfd_create(c"lies", flags).unwrap();
    ftruncate(&file, length as i64).unwrap();
    if is_sealed {
        let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals)).unwrap();
    }
    file
}

impl<'r> Liar<'r> {
    fn begin(kind: &'static Kind, part: &'r Part, random: &'r mut Random, scribbles: bool) -> Self {
        let (socket, theirs) = UnixStream::pair().unwrap();
        let output = memfd_create(c"output", MFdFlags::MFD_CLOEXEC).unwrap();
        let output = File::from(output);
        let mut command = serving(kind.worker);
        command
            .stdin(OwnedFd::from(theirs))
            .stdout(output.try_clone().unwrap())
            .stderr(output.try_clone().unwrap());
        let most = kind.memory << 20;
        // A child that believes too much ends with a signal.
        let limit = move || Ok(setrlimit(Resource::RLIMIT_AS, most, most)?);
        // SAFETY: one system call, which is safe after `fork`.
        unsafe { command.pre_exec(limit) };
        Self {
            kind,
            part,
            random,
            socket,
            child: command.begin(),
            output,
            offered: None,
            ring: None,
            buffer: Vec::new(),
            sent: BTreeMap::new(),
            seen: Vec::new(),
            scribbles,
        }
    }

    /// Says hello, and waits for the child's.
    fn greet(&mut self) {
        let offers = self.scribbles || self.random.below(2) == 0;
        let honest = self.scribbles || self.random.below(2) == 0;
        let hello = self.hello(offers, honest);
        let is_good = honest || self.random.below(10) > 0;
        let file = match self.random.below(if is_good { 1 } else { 3 }) {
            0 => memory(LENGTH, is_good),
            1 => memory(LENGTH - 1, true),
            _ => File::open("/dev/null").unwrap().into(),
        };
        self.offered = (offers && is_good).then(|| Ring::of_parent(&file));
        let count = usize::from(offers && (is_good || self.random.below(3) > 0));
        send_with(&self.socket, &hello, &[file.as_raw_fd()][..count]);
        let start = Instant::now();
        while self.seen.is_empty() && !is_cut(&self.socket) {
            // It takes its stdout for the link, perhaps.
            if !honest && start.elapsed() > Duration::from_millis(100) {
                break;
            }
            assert!(start.elapsed() < soon(), "it does not answer hello");
            self.read();
            thread::yield_now();
        }
    }

    fn hello(&mut self, offers: bool, honest: bool) -> Vec<u8> {
        let odd = garbage(self.random);
        let odd = &odd[..odd.len().min(100)];
        let mut fields: Vec<&[u8]> = vec![b"link", b"socket"];
        let mut add = |name: &'static [u8], value: &'static [u8], often: u64, lies: u64| {
            if self.random.below(3) < often {
                let lies = !honest && self.random.below(lies) == 0;
                fields.extend([name, if lies { odd } else { value }]);
            }
        };
        add(b"worker", self.kind.worker.as_bytes(), 3, 60);
        add(b"serialiser", self.kind.serialiser.as_bytes(), 3, 60);
        add(b"max-message", b"1000", 1, 8);
        add(b"max-descriptors", b"5", 1, 8);
        add(b"carries", b"descriptors", 2, 8);
        add(b"init", b"", 1, 8);
        add(b"spin", b"no", 1, 8);
        add(b"limits", b"files=200", 1, 8);
        if offers {
            add(b"descriptors", b"memory", 3, 20);
            add(b"rings", b"offered", 3, 20);
        }
        if !honest && self.random.below(10) == 0 {
            fields.extend([odd, b"value"]);
        }
        let mut hello = [&b"P\x01"[..], &strings(&fields)].concat();
        if !honest && self.random.below(30) == 0 {
            let at = self.random.below(hello.len() as u64) as usize;
            hello[at] = self.random.next() as u8;
        }
        frame(0xf0ff_5942, &hello)
    }

    fn read(&mut self) {
        match &mut self.ring {
            None => receive_into(&mut self.buffer, &self.socket),
            Some(ring) => {
                receive_into(&mut Vec::new(), &self.socket);
                ring.read(&mut self.buffer, &self.socket);
            }
        }
        let new = frames(&mut self.buffer);
        let uses =
            |frame: &(u32, Vec<u8>)| frame.1.windows(10).any(|part| part == b"rings\x04used");
        if self.ring.is_none() && new.iter().any(|frame| frame.0 >> 28 == 15 && uses(frame)) {
            self.ring = self.offered.take();
        }
        self.seen.extend(new);
    }

    /// Sends bytes with descriptors. Returns whether all were sent.
    fn send(&mut self, bytes: &[u8], descriptors: &[RawFd]) -> bool {
        let Some(ring) = &mut self.ring else {
            return send_with(&self.socket, bytes, descriptors);
        };
        if !descriptors.is_empty() {
            let place = ring.place() + self.random.below(20) / 19;
            send_with(&self.socket, &place.to_be_bytes(), descriptors);
            ring.add_lot();
        }
        ring.write(bytes, &self.socket)
    }

    /// Tells lies until it has told enough, or the child has gone. Returns how many of them the child has read.
    fn tell(&mut self, most: u64) -> u64 {
        let mut told = 0;
        while told < most {
            let (mut lies, mut is_whole) = (0, true);
            for _ in 0..1 + self.random.below(6) {
                let is_open = !is_cut(&self.socket);
                let (is_lie, is_sent) = self.say();
                is_whole &= is_sent;
                lies += u64::from(is_open && is_lie);
                self.read();
                if let Some(ring) = self.ring.as_ref().filter(|_| self.scribbles) {
                    has_had_a_turn(&self.socket, ring);
                }
            }
            let is_heard = self.scribbles || self.is_heard();
            // One of them was heard where the child has gone.
            told += if is_heard { lies } else { lies.min(1) };
            // What follows half a frame would be the rest of it.
            if !is_whole || is_cut(&self.socket) {
                break;
            }
        }
        told
    }

    fn is_heard(&mut self) -> bool {
        let (socket, ring) = (self.socket.try_clone().unwrap(), self.ring.take());
        let (buffer, seen) = (&mut self.buffer, &mut self.seen);
        // A child whose link is full reads nothing. Its answers over rings are short of that.
        let drain = || {
            if ring.is_none() {
                receive_into(buffer, &socket);
                seen.extend(frames(buffer));
            }
        };
        let is_heard = is_heard(&socket, ring.as_ref(), drain);
        self.ring = ring;
        is_heard
    }

    /// Says one thing. Returns whether it is a lie, and whether it was sent.
    fn say(&mut self) -> (bool, bool) {
        let scribbles = self.scribbles && self.random.below(3) > 0;
        if let Some(ring) = self.ring.as_ref().filter(|_| scribbles) {
            ring.scribble(self.random, &self.socket);
            return (true, true);
        }
        let id = 1 + self.random.below(0x0fff_fffe) as u32;
        if self.random.below(4) == 0 {
            let (count, bytes) = self.call();
            self.sent.insert(id, bytes.clone());
            return (false, self.send_call(id, &bytes, count));
        }
        let payload = garbage(self.random);
        (true, self.lie(id, payload))
    }

    fn lie(&mut self, id: u32, payload: Vec<u8>) -> bool {
        match self.random.below(100) {
            0..40 => {
                let (_, mut bytes) = self.call();
                for _ in 0..self.random.below(3) {
                    let at = self.random.below(bytes.len() as u64) as usize;
                    bytes[at] = self.random.next() as u8;
                }
                bytes.truncate(bytes.len() - (self.random.below(20) / 19) as usize);
                self.sent.insert(id, bytes.clone());
                let count = self.random.below(6) as usize;
                self.send_call(id, &bytes, count)
            }
            40..60 => {
                self.sent.insert(id, payload.clone());
                self.send(&frame(id, &payload), &[])
            }
            60..75 => {
                let id = self.noted(3 << 28 | id);
                self.send(&frame(id, &[]), &[])
            }
            75..83 => {
                let sent = self.sent.keys().next().copied();
                let id = self.noted(3 << 28 | sent.unwrap_or(1));
                self.send(&frame(id, &[]), &[])
            }
            83..95 => {
                let (said, sent) = (self.random.below(4), self.random.below(4) as usize);
                let header = frame(self.noted(5 << 28 | said as u32), &[]);
                self.send(&header, &vec![SOME; sent])
            }
            95 => {
                let id = (1 + self.random.below(15) as u32) << 28 | id;
                self.sent.insert(id, payload.clone());
                self.send(&frame(id, &payload), &[])
            }
            96 => {
                self.sent.insert(id, Vec::new());
                let bytes = frame_of_any_length(self.random, id, &payload);
                self.send(&bytes, &[])
            }
            // Of a kind that there is not: else it would be a call.
            97 if !self.kind.is_plain => self.send(&[&[0x90], &payload[..]].concat(), &[]),
            98 if !self.kind.is_plain => {
                let hello = self.hello(false, false);
                self.send(&hello, &[])
            }
            _ => {
                let id = self.noted(3 << 28 | id);
                self.send(&frame(id, &payload), &[])
            }
        }
    }

    /// In the plain form each frame is a call.
    fn noted(&mut self, id: u32) -> u32 {
        if self.kind.is_plain {
            self.sent.insert(id, Vec::new());
        }
        id
    }

    /// The number of descriptors, and the arguments of a call that is as it should be.
    fn call(&mut self) -> (usize, Vec<u8>) {
        let text = garbage(self.random);
        let text: Vec<u8> = text.iter().take(100).map(|byte| byte & 0x7f).collect();
        match self.kind.worker {
            "liars-parts" => (self.part.table.len(), self.part.call.clone()),
            "liars-notes" if self.random.below(2) == 0 => (0, strings(&[b"all"])),
            "liars-notes" => (0, strings(&[b"add", &text, b"so"])),
            _ => (0, strings(&[&text])),
        }
    }

    fn send_call(&mut self, id: u32, bytes: &[u8], count: usize) -> bool {
        let table = self.part.table.iter().map(AsRawFd::as_raw_fd).cycle();
        let descriptors: Vec<_> = table.take(count).collect();
        let is_announced = count > 0 && !self.kind.is_plain;
        let call = frame(id, bytes);
        if is_announced {
            let header = frame(5 << 28 | count as u32, &[]);
            self.send(&header, &descriptors) && self.send(&call, &[])
        } else {
            self.send(&call, &[])
        }
    }

    /// Ends the link, and waits for the child's end.
    fn end(&mut self) -> ExitStatus {
        self.socket.shutdown(Shutdown::Write).unwrap();
        let start = Instant::now();
        loop {
            self.read();
            if let Some(status) = self.child.try_wait().unwrap() {
                self.read();
                return status;
            }
            assert!(start.elapsed() < soon(), "it does not end");
            thread::sleep(Duration::from_micros(100));
        }
    }

    fn check(mut self, status: ExitStatus) {
        let mut text = Vec::new();
        self.output.seek(SeekFrom::Start(0)).unwrap();
        self.output.read_to_end(&mut text).unwrap();
        let text = String::from_utf8_lossy(&text);
        let is_fine = status.signal().is_none() && !text.contains("panicked at");
        assert!(is_fine, "{}: {status}, {text}", self.kind.worker);
        assert!([0, 1, 2, 101].contains(&status.code().unwrap()), "{status}");
        if self.scribbles {
            return;
        }
        let echoes = ["liars", "liars-at-once"].contains(&self.kind.worker);
        for (id, payload) in self.seen {
            let of_call = id & 0x0fff_ffff;
            match id >> 28 {
                // The result is one string, as the argument was.
                _ if self.kind.is_plain => assert_eq!(self.sent.get(&id), Some(&payload), "{id:x}"),
                0 if echoes => assert_eq!(self.sent.get(&id), Some(&payload), "{id:x}"),
                0 | 1 => assert!(
                    of_call == 0 || self.sent.contains_key(&of_call),
                    "an answer to {id:x}"
                ),
                4 => {}
                // Descriptors in a result.
                5 if !echoes => {}
                15 => {}
                _ => panic!("{id:x}"),
            }
        }
    }
}

/// A parent that lies to one child. Returns how many lies there were.
fn lies_to(part: &Part, random: &mut Random, scribbles: bool) -> u64 {
    let kinds: Vec<_> = KINDS
        .iter()
        .filter(|kind| !scribbles || !kind.is_plain)
        .collect();
    let kind = kinds[random.below(kinds.len() as u64) as usize];
    let mut liar = Liar::begin(kind, part, random, scribbles);
    if !kind.is_plain {
        liar.greet();
    }
    let told = liar.tell(200);
    let status = liar.end();
    liar.check(status);
    told
}

fn go_through(scribbles: bool, most: u64) {
    let _guard = guard();
    let part = part();
    let (mut random, mut told, mut children) = (Random::new(), 0, 0);
    println!("seed {}", random.0);
    while told < most {
        told += lies_to(&part, &mut random, scribbles);
        children += 1;
    }
    println!("{told} lies to {children} children");
}

#[test]
fn parents_that_lie() {
    go_through(false, lies());
}

#[test]
fn parents_that_scribble() {
    go_through(true, lies() / 2);
}
