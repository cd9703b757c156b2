//! Children that lie to their parent: no panic, no hang, no more memory than the limits, and no answer believed to a call
//! that was not made. Some write anything into the memory of the rings; of these the answers are not checked.
//!
//! Each operation of the parent has to take less than ten seconds, which is tenfold slack over a second. A wait is among
//! them, because no child here lives for long.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use offspring::{Call, Rpc, worker};

use crate::lies::*;
use crate::memory::peak_of;
use crate::ring::Ring;
use crate::support::*;

worker!(LIARS: fn(String) -> String = |text: String| text, name = "liars", events = String);

pub(crate) fn serve() -> ! {
    LIARS.serve()
}

/// The most lies of one child.
const MOST_OF_ONE: u64 = 200;

/// How a child lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// With frames, descriptors, and its hello.
    Frames,
    /// With frames of the plain form.
    Plain,
    /// It also writes anything anywhere in the memory.
    Scribbles,
}

/// A child that lies, over the socket or over rings.
struct Liar {
    socket: UnixStream,
    ring: Option<Ring>,
    manner: Manner,
    random: Random,
    buffer: Vec<u8>,
    /// The texts of calls that are not answered.
    open: BTreeMap<u32, Vec<u8>>,
    /// Those that the parent has cancelled.
    cancelled: BTreeMap<u32, Vec<u8>>,
    done: Vec<u32>,
    /// It says no more.
    is_mute: bool,
    /// Frames begin where frames end, so an answer has the text that it was given.
    is_aligned: Arc<AtomicBool>,
}

impl Liar {
    fn new(
        socket: UnixStream,
        manner: Manner,
        random: Random,
        is_aligned: Arc<AtomicBool>,
    ) -> Self {
        Self {
            socket,
            ring: None,
            manner,
            random,
            buffer: Vec::new(),
            open: BTreeMap::new(),
            cancelled: BTreeMap::new(),
            done: Vec::new(),
            is_mute: false,
            is_aligned,
        }
    }

    /// Reads the parent's hello and answers it; not always well.
    fn greet(&mut self) {
        let mut header = [0; 8];
        let memory = receive(&self.socket, &mut header);
        let length = u32::from_be_bytes(header[4..].try_into().unwrap());
        let mut hello = vec![0; length as usize];
        (&self.socket).read_exact(&mut hello).unwrap();
        let offered = hello.windows(13).any(|part| part == b"rings\x07offered");
        let scribbles = self.manner == Manner::Scribbles;
        let uses = memory.is_some() && offered && (scribbles || self.random.below(2) == 0);
        let honest = scribbles || self.random.below(2) == 0;
        let bytes = self.hello(uses, !offered && !honest, honest);
        let _ = (&self.socket).write_all(&bytes);
        self.ring = memory.filter(|_| uses).map(Ring::of_child);
        if honest || self.random.below(20) > 0 {
            self.send(&frame(4 << 28, &[]));
        }
    }

    /// Returns a hello. `claims` is whether it may claim rings that were not offered.
    fn hello(&mut self, uses: bool, claims: bool, honest: bool) -> Vec<u8> {
        let mut fields: Vec<&[u8]> = vec![b"worker", b"liars", b"serialiser", b"octets"];
        if self.random.below(2) == 0 {
            fields.extend([&b"backend"[..], b"blocking"]);
        }
        // A child that claims rings without an offer has none.
        if uses || claims && self.random.below(10) == 0 {
            fields.extend([&b"memory"[..], b"used", b"rings", b"used"]);
        }
        let odd = garbage(&mut self.random);
        if !honest && self.random.below(20) == 0 {
            fields.extend([&odd[..odd.len().min(100)], b"value"]);
        }
        let mut hello = [&b"C\x01"[..], &strings(&fields)].concat();
        // With rings the socket has other bytes, which are not to be taken for answers.
        if !honest && !uses && self.random.below(20) == 0 {
            let at = self.random.below(hello.len() as u64) as usize;
            hello[at] = self.random.next() as u8;
        }
        let mut bytes = frame(0xf0ff_5942, &hello);
        if !honest && !uses && self.random.below(30) == 0 {
            // What follows is taken for the rest of it.
            self.is_aligned.store(false, Ordering::SeqCst);
            bytes.truncate(self.random.below(bytes.len() as u64) as usize);
        }
        bytes
    }

    /// Tells lies until it has told enough, or the parent has cut the link. Gives `heard` the number of those that were
    /// told over the open link while calls were open, a few at a time.
    fn tell(&mut self, most: u64, mut heard: impl FnMut(u64)) {
        let mut told = 0;
        while told < most && !self.is_mute && self.waits_for_call() {
            let (mut lies, batch) = (0, 1 + self.random.below(6));
            for _ in 0..batch {
                let is_open = !self.open.is_empty() && !is_cut(&self.socket);
                let is_lie = self.lie();
                lies += u64::from(is_open && is_lie);
                if self.manner == Manner::Scribbles {
                    has_had_a_turn(&self.socket, self.ring.as_ref().unwrap());
                }
            }
            let is_whole = self.manner == Manner::Scribbles || self.is_heard();
            // One of them was heard where the link is cut.
            let counted = if is_whole { lies } else { lies.min(1) };
            told += counted;
            heard(counted);
        }
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    fn is_heard(&mut self) -> bool {
        let socket = self.socket.try_clone().unwrap();
        let ring = self.ring.take();
        let is_heard = is_heard(&socket, ring.as_ref(), || {});
        self.ring = ring;
        is_heard
    }

    /// Waits until a call is open. Returns false if none comes: the link is cut, or the parent waits for a lost answer.
    fn waits_for_call(&mut self) -> bool {
        let start = Instant::now();
        loop {
            self.hear();
            if !self.open.is_empty() {
                return true;
            }
            if is_cut(&self.socket) {
                return false;
            }
            // The parent takes answers for something else, or does not see them.
            let may_be_lost = !self.is_aligned.load(Ordering::SeqCst);
            if may_be_lost && start.elapsed() > Duration::from_millis(20) {
                return false;
            }
            assert!(start.elapsed() < soon(), "no call comes");
            if self.random.below(50) == 0 {
                self.lie();
            }
            thread::yield_now();
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        if !self.is_mute {
            self.write(bytes);
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        let is_whole = match &mut self.ring {
            Some(ring) => ring.write(bytes, &self.socket),
            None => send_nonblocking(&self.socket, bytes, 0),
        };
        if !is_whole {
            // What follows would be the rest of this frame.
            self.is_mute = true;
        }
    }

    /// Takes note of the calls that have come.
    fn hear(&mut self) {
        match &mut self.ring {
            Some(ring) => {
                receive_into(&mut Vec::new(), &self.socket);
                ring.read(&mut self.buffer, &self.socket);
            }
            None => receive_into(&mut self.buffer, &self.socket),
        }
        for (id, payload) in frames(&mut self.buffer) {
            let is_plain = self.manner == Manner::Plain;
            // A call with one string, whose length is in front.
            if (is_plain || id >> 28 == 0) && !payload.is_empty() {
                // After a scribble it may be anything.
                let text = payload[1..].iter().take(100).copied().collect();
                self.open.insert(id, text);
                if let Some(ring) = self.ring.as_ref().filter(|_| self.random.below(4) > 0) {
                    ring.starts();
                }
            } else if let (3, id) = (id >> 28, id & 0x0fff_ffff) {
                self.cancelled.extend(self.open.remove_entry(&id));
            }
        }
    }

    fn any_open(&mut self) -> Option<(u32, Vec<u8>)> {
        let count = self.open.len() + self.cancelled.len();
        let which = self.random.below(count.max(1) as u64) as usize;
        let mut all = self.open.iter().chain(&self.cancelled);
        all.nth(which).map(|(id, text)| (*id, text.clone()))
    }

    /// Says one thing. Returns whether it is a lie.
    fn lie(&mut self) -> bool {
        if self.manner == Manner::Scribbles && self.random.below(3) > 0 {
            let ring = self.ring.as_ref().unwrap();
            ring.scribble(&mut self.random, &self.socket);
            return true;
        }
        let Some((id, text)) = self.any_open() else {
            let kind = self.random.below(3) as u32;
            let payload = garbage(&mut self.random);
            // An event, or something of a call that was not made.
            let not_made = 1 + self.random.below(100) as u32;
            let is_event = self.manner == Manner::Plain || self.random.below(20) > 0;
            let id = if is_event { 0 } else { kind << 28 | not_made };
            self.send(&frame(id, &payload));
            return true;
        };
        let truth = strings(&[&[b"A", &text[..]].concat()]);
        if self.random.below(4) == 0 {
            let answer = self.answer(id, &truth);
            self.send(&answer);
            return false;
        }
        if self.manner == Manner::Plain {
            self.lie_plainly(id, &text)
        } else {
            self.lie_in_full(id, &text, &truth)
        }
        true
    }

    fn lie_plainly(&mut self, id: u32, text: &[u8]) {
        let payload = garbage(&mut self.random);
        let bytes = match self.random.below(50) {
            0..10 => self.answer(id, &strings(&[&[b"garbage", text].concat()])),
            10..20 => self.answer(id, &[&[0x7f][..], &payload].concat()),
            20..48 => frame(0, &payload),
            48 => frame(self.not_open(), &strings(&[b"WRONG"])),
            _ => self.misaligned(id, payload),
        };
        self.send(&bytes);
    }

    fn lie_in_full(&mut self, id: u32, text: &[u8], truth: &[u8]) {
        let payload = garbage(&mut self.random);
        let bytes = match self.random.below(150) {
            0..15 => self.answer(id, &strings(&[&[b"garbage", text].concat()])),
            15..30 => self.answer(id, &[&[0x7f][..], &payload].concat()),
            30..40 => self.answer(1 << 28 | id, &failure(&payload)),
            40..70 => frame(2 << 28 | id, &payload),
            70..110 => frame(0, &payload),
            110..120 => frame(0, &strings(&[text])),
            120..140 => self.announce(),
            140 => frame(4 << 28, &[]),
            141 => frame(6 << 28, &[]),
            142 => frame(0xf0ff_5942, b"C\x01"),
            143 => frame((1 + self.random.below(15) as u32) << 28 | id, &payload),
            // Nothing may come of these: the call is done, or was not made.
            144..146 => frame(self.not_open(), &strings(&[b"WRONG"])),
            146 => frame(2 << 28 | self.not_open(), &strings(&[b"WRONG"])),
            147..149 => self.misaligned(id, payload),
            _ => {
                // What follows would be the rest of the answer.
                self.send(&frame(id, truth)[..9]);
                self.is_mute = true;
                return;
            }
        };
        self.send(&bytes);
    }

    /// Bytes behind this are taken for something else.
    fn misaligned(&mut self, id: u32, payload: Vec<u8>) -> Vec<u8> {
        self.is_aligned.store(false, Ordering::SeqCst);
        if self.random.below(2) == 0 {
            return payload;
        }
        frame_of_any_length(&mut self.random, id, &payload)
    }

    fn answer(&mut self, id: u32, payload: &[u8]) -> Vec<u8> {
        let of_call = match self.manner {
            Manner::Plain => id,
            _ => id & 0x0fff_ffff,
        };
        self.open.remove(&of_call);
        self.cancelled.remove(&of_call);
        self.done.push(of_call);
        frame(id, payload)
    }

    fn not_open(&mut self) -> u32 {
        let which = self.random.below(1 + self.done.len() as u64) as usize;
        let done = self.done.get(which).copied();
        let id = done.unwrap_or(self.random.next() as u32 & 0x0fff_ffff);
        if self.open.contains_key(&id) || self.cancelled.contains_key(&id) || id == 0 {
            0x0fff_fff0
        } else {
            id
        }
    }

    /// An announcement, with what it announces or with something else.
    fn announce(&mut self) -> Vec<u8> {
        let (said, other) = (self.random.below(4) as u32, self.random.below(4) as usize);
        let sent = if self.random.below(2) == 0 {
            said as usize
        } else {
            other
        };
        let header = frame(5 << 28 | said, &[]);
        match &self.ring {
            Some(ring) if sent > 0 => {
                let place = ring.place() + self.random.below(20) / 19;
                send_nonblocking(&self.socket, &place.to_be_bytes(), sent);
                ring.add_lot();
            }
            Some(_) => {}
            None => {
                if !self.is_mute {
                    self.is_mute = !send_nonblocking(&self.socket, &header, sent);
                }
                return frame(0, &[]);
            }
        }
        header
    }
}

fn failure(payload: &[u8]) -> Vec<u8> {
    let texts: Vec<&[u8]> = payload.chunks(9).take(6).collect();
    let code: &[u8] = [&b"panic"[..], b"decode", b"cancelled", b"?"][payload.len() % 4];
    strings(&[&[code], &texts[..]].concat())
}

/// Fills `bytes`, with the descriptor that comes with the first of them.
fn receive(socket: &UnixStream, bytes: &mut [u8]) -> Option<OwnedFd> {
    let mut space = nix::cmsg_space!([i32; 4]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_WAITALL;
    let mut parts = [IoSliceMut::new(bytes)];
    let came = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags).unwrap();
    let mut found = Vec::new();
    for message in came.cmsgs().unwrap() {
        if let ControlMessageOwned::ScmRights(numbers) = message {
            // SAFETY: they have just come, and nothing else has them.
            let own = |number| unsafe { OwnedFd::from_raw_fd(number) };
            found.extend(numbers.into_iter().map(own));
        }
    }
    found.pop()
}

type Liars = Rpc<fn(String) -> String, offspring::Octets, String>;

/// Some calls, which are waited for, dropped, or late.
fn call_some(rpc: &Liars, number: u64, random: &mut Random, check: impl Fn(&str, &str)) {
    let texts: Vec<_> = (0..1 + random.below(8))
        .map(|n| format!("<{number}.{n}>"))
        .collect();
    let calls: Vec<Call<String, String>> = texts
        .iter()
        .map(|text| quickly(|| rpc.call(text)))
        .collect();
    for (mut call, text) in calls.into_iter().zip(&texts) {
        let answer = match random.below(8) {
            0 => continue,
            1 => {
                let time = Duration::from_micros(random.below(300));
                quickly(|| call.wait_timeout(time))
            }
            _ => quickly(|| call.wait()),
        };
        match answer {
            Ok(answer) => check(&answer, text),
            Err(error) => assert!(error.to_string().len() < 100_000),
        }
    }
}

/// A connection to a liar. Returns how many lies there were.
fn lied_to(random: &mut Random, manner: Manner) -> u64 {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let rpc = LIARS
        .builder()
        .socket(ours)
        .max_message(10_000)
        .max_events(50, 100_000)
        .max_descriptors(5)
        .when(manner == Manner::Plain, |own| own.plain())
        .rings(manner == Manner::Scribbles || random.below(3) > 0)
        .when(random.below(2) == 0, |own| own.on_event(|_| ()))
        .quiet()
        .spawn()
        .unwrap();
    let own = Random(random.next() | 1);
    let is_aligned = Arc::new(AtomicBool::new(manner != Manner::Scribbles));
    let mut liar = Liar::new(theirs, manner, own, Arc::clone(&is_aligned));
    let mut told = 0;
    thread::scope(|scope| {
        let liar = scope.spawn(move || {
            let mut told = 0;
            if manner != Manner::Plain {
                liar.greet();
            }
            liar.tell(MOST_OF_ONE, |count| told += count);
            told
        });
        let (mut number, mut dead) = (0, false);
        // In the last round it has gone.
        while !std::mem::replace(&mut dead, liar.is_finished()) {
            call_some(&rpc, number, random, |answer, text| {
                let is_right = answer.ends_with(text) || !is_aligned.load(Ordering::SeqCst);
                assert!(is_right, "{answer:?} is no answer to {text}");
            });
            number += 1;
        }
        let _ = quickly(|| rpc.join().wait());
        told = liar.join().unwrap();
    });
    told
}

/// Connects to one liar after the other.
fn go_through(manners: &[Manner], most: u64) {
    let _guard = guard();
    let no_panics = without_panics();
    let (mut random, mut told, mut links) = (Random::new(), 0, 0);
    println!("seed {}", random.0);
    // What the first connection allocates stays.
    lied_to(&mut random, manners[0]);
    while told < most {
        let manner = manners[random.below(manners.len() as u64) as usize];
        let peak = peak_of(|| told += lied_to(&mut random, manner));
        assert!(peak < MOST, "{peak} bytes");
        links += 1;
    }
    no_panics();
    println!("{told} lies over {links} links");
}

#[test]
fn children_that_lie() {
    use Manner::{Frames, Plain};
    go_through(&[Frames, Frames, Frames, Plain], lies());
}

#[test]
fn children_that_scribble() {
    go_through(&[Manner::Scribbles], lies() / 2);
}

/// The variable with the file in which a child of a pool counts its lies, a byte for each.
const TOLD: &str = "OFFSPRING_TEST_LIES_TOLD";

/// A process that lies as a child of a pool, over its stdin.
pub(crate) fn lie_to_the_parent() -> ! {
    // SAFETY: the link is open until this process exits.
    let link = unsafe { BorrowedFd::borrow_raw(0) };
    let socket = UnixStream::from(link.try_clone_to_owned().unwrap());
    let path = std::env::var_os(TOLD).unwrap();
    let mut file = OpenOptions::new().append(true).open(path).unwrap();
    let mut random = Random::new();
    random.0 ^= u64::from(std::process::id()) << 32;
    let manner = [Manner::Frames, Manner::Scribbles][random.below(2) as usize];
    let mut liar = Liar::new(socket, manner, random, Arc::default());
    liar.greet();
    liar.tell(MOST_OF_ONE, |count| {
        file.write_all(&vec![0; count as usize]).unwrap()
    });
    std::process::exit(0);
}

#[test]
fn children_of_a_pool_that_lie() {
    let _guard = guard();
    let no_panics = without_panics();
    let temp = Temp::new();
    let path = temp.path("told");
    File::create(&path).unwrap();
    let mut random = Random::new();
    println!("seed {}", random.0);
    let mut command = serving("liar");
    command.env(TOLD, &path);
    let (never, pool) = (Duration::ZERO, LIARS.program(command).max_message(10_000));
    let pool = pool
        .max_descriptors(5)
        .pool()
        .max(2)
        .backoff(never, never)
        .when(random.below(2) == 0, |own| own.on_event(|_| ()))
        .quiet()
        .spawn()
        .unwrap();
    // A start takes longer than the lies.
    let (mut number, told) = (0, || std::fs::metadata(&path).unwrap().len());
    while told() < lies() / 4 {
        call_some(pool.rpc(), number, &mut random, |_, _| ());
        number += 1;
    }
    let _ = quickly(|| pool.join().wait());
    no_panics();
    println!("{} lies", told());
}
